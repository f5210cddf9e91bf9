//! The lines that matter, each told from what its writer cannot choose.
//!
//! A task's name has 15 bytes at most and stands at known places. So a line counts only when the kernel's own words are
//! longer than a name could be, or when what follows the name can't be part of one; of two possible ends of a name the last
//! one is taken, because behind it the kernel writes numbers only. Formats: `mm/oom_kill.c`, `mm/memcontrol.c` and
//! `kernel/hung_task.c` of Linux 5.0 to 6.18.

use super::record::{number, signed};

/// TASK_COMM_LEN without its NUL.
const NAME_BYTES: usize = 15;

/// Bytes of a kernel's kB.
const KIB: u64 = 1024;

/// A line of a report, or a hung task's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `NAME invoked oom-killer: gfp_mask=…`: a report begins.
    Invoked(&'a [u8]),
    /// `memory: usage 102400kB, limit 102400kB, failcnt 43`, in bytes.
    Usage { usage: u64, limit: u64 },
    /// `Memory cgroup stats for PATH:`
    StatsFor(&'a [u8]),
    /// `[  pid  ]   uid  tgid total_vm …`: the head of the process dump.
    Heading(Columns),
    /// `oom-kill:constraint=…`: all about the kill in one line.
    Summary,
    /// `…: Killed process 396 (NAME) total-vm:…`
    Killed(Killed<'a>),
    /// `Tasks in PATH are going to be killed due to memory.oom.group set`
    Group(&'a [u8]),
    /// `INFO: task NAME:425 blocked for more than 120 seconds.`
    Hung,
}

/// A process that was killed. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Killed<'a> {
    pub pid: i32,
    pub name: &'a [u8],
    pub anon: u64,
    pub uid: Option<u32>,
    pub oom_score_adj: Option<i32>,
    /// The message says which memory was short: a cgroup's.
    pub of_cgroup: bool,
}

/// Where the columns of the dump are: some were added, some dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    uid: usize,
    tgid: usize,
    rss: usize,
    swap: usize,
    adj: usize,
}

/// A row of the dump, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub pid: i32,
    pub uid: u32,
    pub rss: u64,
    pub swap: u64,
    pub oom_score_adj: i32,
    pub name: &'a [u8],
}

impl<'a> Line<'a> {
    /// What a line says; `None` for all others.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some(at) = find(text, b" invoked oom-killer: gfp_mask=").filter(|&at| at <= NAME_BYTES) {
            return Some(Self::Invoked(&text[..at]));
        }
        if let Some(killed) = Killed::parse(text) {
            return Some(Self::Killed(killed));
        }
        if text.starts_with(b"oom-kill:constraint=CONSTRAINT_") {
            return Some(Self::Summary);
        }
        if let Some(path) = text.strip_prefix(b"Memory cgroup stats for /") {
            // Linux before 5.3 went on in the same line, with `cache:0KB …`.
            let end = rfind(text, b": cache:").unwrap_or_else(|| text.len().saturating_sub(1));
            let begin = text.len() - path.len() - 1;
            return text.get(begin..end).filter(|_| text.get(end) == Some(&b':')).map(Self::StatsFor);
        }
        if let Some(rest) = text.strip_prefix(b"memory: usage ") {
            return usage(rest);
        }
        if let Some(rest) = text.strip_prefix(b"Tasks in ") {
            let path = rest.strip_suffix(b" are going to be killed due to memory.oom.group set")?;
            return path.starts_with(b"/").then_some(Self::Group(path));
        }
        if text.starts_with(b"INFO: task ") {
            let blocked = rfind(text, b" blocked for more than ")?;
            let is_pid = number::<u32>(text[..blocked].rsplit(|&byte| byte == b':').next()?).is_some();
            return (is_pid && text.ends_with(b" seconds.")).then_some(Self::Hung);
        }
        Columns::parse(text).map(Self::Heading)
    }
}

/// `102400kB, limit 102400kB, failcnt 43`
fn usage(rest: &[u8]) -> Option<Line<'_>> {
    let mut parts = rest.split(|&byte| byte == b',');
    let usage = kilobytes(parts.next()?)?;
    let limit = kilobytes(parts.next()?.strip_prefix(b" limit ")?)?;
    parts.next()?.strip_prefix(b" failcnt ")?;
    Some(Line::Usage { usage, limit })
}

impl<'a> Killed<'a> {
    /// `Out of memory: Killed process 436 (hog) total-vm:1893380kB, anon-rss:1892024kB, file-rss:4kB, shmem-rss:696kB,
    /// UID:0 pgtables:3740kB oom_score_adj:0`. Linux before 5.3 had a sentence of its own for "Out of memory", and nothing
    /// behind `shmem-rss`.
    fn parse(text: &'a [u8]) -> Option<Self> {
        const MESSAGES: [&[u8]; 4] =
            [b"Out of memory: ", b"Out of memory (oom_kill_allocating_task): ", b"Memory cgroup out of memory: ", b""];
        let (message, rest) = MESSAGES
            .iter()
            .find_map(|message| Some((*message, text.strip_prefix(*message)?.strip_prefix(b"Killed process ")?)))?;
        let (pid, rest) = split_once(rest, b" (")?;
        let end = rfind(rest, b") total-vm:")?;
        let (name, numbers) = (&rest[..end], &rest[end + 2..]);
        let mut killed = Self {
            pid: number(pid)?,
            name,
            anon: 0,
            uid: None,
            oom_score_adj: None,
            of_cgroup: message.starts_with(b"Memory cgroup"),
        };
        let mut anon = None;
        for word in numbers.split(|&byte| byte == b' ' || byte == b',') {
            let Some((key, value)) = split_once(word, b":") else { continue };
            match key {
                b"anon-rss" => anon = kilobytes(value),
                b"UID" => killed.uid = number(value),
                b"oom_score_adj" => killed.oom_score_adj = signed(value),
                _ => {}
            }
        }
        killed.anon = anon?;
        (name.len() <= NAME_BYTES).then_some(killed)
    }
}

impl Columns {
    /// `[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name`
    fn parse(text: &[u8]) -> Option<Self> {
        let (bracket, rest) = split_once(text.strip_prefix(b"[")?, b"]")?;
        if bracket.trim_ascii() != b"pid" {
            return None;
        }
        let column = |name: &[u8]| words(rest).position(|word| word == name);
        let adj = column(b"oom_score_adj")?;
        // The name is the last column and the score stands before it: behind that nothing can be told from the name.
        (column(b"name")? == adj + 1).then_some(())?;
        Some(Self {
            uid: column(b"uid")?,
            tgid: column(b"tgid")?,
            rss: column(b"rss")?,
            swap: column(b"swapents")?,
            adj,
        })
    }

    /// A row under this heading.
    pub fn row<'a>(&self, text: &'a [u8]) -> Option<Row<'a>> {
        let (bracket, mut rest) = split_once(text.strip_prefix(b"[")?, b"]")?;
        number::<u32>(bracket.trim_ascii())?;
        let mut row = Row { pid: 0, uid: 0, rss: 0, swap: 0, oom_score_adj: 0, name: b"" };
        for column in 0..=self.adj {
            rest = rest.trim_ascii_start();
            let end = rest.iter().position(|&byte| byte == b' ')?;
            let word = &rest[..end];
            rest = &rest[end..];
            match column {
                _ if column == self.uid => row.uid = number(word)?,
                _ if column == self.tgid => row.pid = number(word)?,
                _ if column == self.rss => row.rss = number(word)?,
                _ if column == self.swap => row.swap = number(word)?,
                _ if column == self.adj => row.oom_score_adj = signed(word)?,
                _ => {}
            }
        }
        row.name = rest.strip_prefix(b" ")?;
        Some(row)
    }
}

/// What the summary of a kill says, as far as it can be told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary<'a> {
    pub constraint: &'a [u8],
    pub limit_cgroup: Option<&'a [u8]>,
    pub task_cgroup: Option<&'a [u8]>,
    pub name: &'a [u8],
    pub pid: Option<i32>,
    pub uid: Option<u32>,
}

impl<'a> Summary<'a> {
    /// `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=NAME,mems_allowed=0,oom_memcg=PATH,task_memcg=PATH,
    /// task=NAME,pid=396,uid=0`. `killed` (pid and name) and `limit_cgroup` are what other lines have said, where nothing
    /// can be confused: names and paths may hold anything, commas and these very keys too.
    pub fn parse(text: &'a [u8], killed: Option<(i32, &[u8])>, limit_cgroup: Option<&'a [u8]>) -> Option<Self> {
        let text = text.strip_prefix(b"oom-kill:constraint=")?;
        let (constraint, text) = split_once(text, b",")?;
        let mut summary = Self { constraint, ..Self::default() };
        let text = summary.take_task(text, killed);
        if constraint == b"CONSTRAINT_MEMCG" {
            (summary.limit_cgroup, summary.task_cgroup) = match limit_cgroup {
                Some(known) => (limit_cgroup, behind(text, &[b",oom_memcg=", known, b",task_memcg="].concat())),
                None => match behind(text, b",oom_memcg=").and_then(|rest| split_once(rest, b",task_memcg=")) {
                    Some((oom, task)) => (Some(oom), Some(task)),
                    None => (None, None),
                },
            };
        } else {
            summary.task_cgroup = behind(text, b",global_oom,task_memcg=");
        }
        Some(summary)
    }

    /// Takes `,task=NAME,pid=396,uid=0` off the end of the line; without it the line was cut.
    fn take_task(&mut self, text: &'a [u8], killed: Option<(i32, &[u8])>) -> &'a [u8] {
        let Some((rest, uid)) = rsplit_once(text, b",uid=") else { return text };
        let Some((rest, pid)) = rsplit_once(rest, b",pid=") else { return text };
        let (Some(uid), Some(pid)) = (number(uid), number(pid)) else { return text };
        (self.uid, self.pid) = (Some(uid), Some(pid));
        let known = killed.filter(|(killed, _)| *killed == pid).and_then(|(_, name)| {
            let before = rest.strip_suffix(name)?.strip_suffix(b",task=")?;
            Some((before, &rest[rest.len() - name.len()..]))
        });
        // The first that leaves no more than a name: a name may hold ",task=" too.
        let first = || {
            let from = rest.len().saturating_sub(NAME_BYTES + b",task=".len());
            let at = from + find(&rest[from..], b",task=")?;
            Some((&rest[..at], &rest[at + b",task=".len()..]))
        };
        let Some((before, name)) = known.or_else(first) else { return rest };
        self.name = name;
        before
    }
}

fn kilobytes(word: &[u8]) -> Option<u64> {
    number::<u64>(word.strip_suffix(b"kB")?)?.checked_mul(KIB)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

/// What stands behind the first `what`.
fn behind<'a>(text: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    split_once(text, what).map(|(_, rest)| rest)
}

fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(text, separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

fn rsplit_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = rfind(text, separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}
