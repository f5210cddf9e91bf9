//! The admin's and the built-in lists, compiled: who is protected, avoided, preferred.
//!
//! All patterns of a list that search the same thing are one automaton, so a process is looked at once a list. The
//! engine used (Thompson NFA simulation) has all its memory from the start; the lazy DFA of the `regex` crate would
//! allocate while it searches, on the kill path.

use regex_automata::Input;
use regex_automata::meta::{Cache, Regex};

use crate::config::{Pattern, RegexError, Subject, Victim, compile_list};
use crate::observe::details::Details;
use crate::observe::{Cgroups, Task};

use super::builtin;

/// What the lists say of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// In no list.
    Nothing,
    /// Only when nothing else is left.
    Avoid(Rule),
    /// First.
    Prefer(Rule),
    /// Never.
    Protect(Rule),
    /// A `protect` pattern asks for something that could not be read in time.
    Unread(Rule),
}

/// Which pattern it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Of the built-in protect list.
    BuiltinProtect(u16),
    /// A child of systemd's that has not executed its program yet.
    SystemdChild,
    /// Of the built-in avoid list.
    BuiltinAvoid(u16),
    /// Of the admin's lists: position in `protect`, `avoid` or `prefer`.
    Admin(u16),
}

/// Longest text a pattern is searched in, in bytes. Command lines are kept only so far.
pub const SUBJECT_BYTES: usize = 512;

/// A list that does not compile as a whole, though each of its patterns does.
#[derive(Debug, thiserror::Error)]
#[error(
    "victim.{list}: the patterns together need more than 1 MiB of memory once compiled: use fewer or simpler ones ({source})"
)]
pub struct TooLarge {
    list: &'static str,
    source: RegexError,
}

/// The compiled lists.
#[derive(Debug)]
pub struct Rules {
    builtin: Option<Builtin>,
    protect: List,
    avoid: List,
    prefer: List,
    users: Vec<(u32, Box<[u8]>)>,
}

#[derive(Debug)]
struct Builtin {
    protect: Automaton,
    systemd_child: Automaton,
    avoid: Automaton,
}

impl Rules {
    /// Compiles the lists of a configuration. `users` are the names of user ids, for `user:` patterns.
    ///
    /// # Errors
    /// When a list is too large as a whole; single patterns were checked when the file was read.
    pub fn new(victim: &Victim, users: Vec<(u32, Box<[u8]>)>) -> Result<Self, TooLarge> {
        let builtin = |list, patterns: &[&str]| Automaton::new(list, patterns);
        Ok(Self {
            builtin: victim
                .protect_builtin
                .then(|| {
                    Ok(Builtin {
                        protect: builtin("protect_builtin", builtin::PROTECT)?,
                        systemd_child: builtin("protect_builtin", &[builtin::SYSTEMD_CHILD])?,
                        avoid: builtin("protect_builtin", builtin::AVOID)?,
                    })
                })
                .transpose()?,
            protect: List::new("protect", &victim.protect)?,
            avoid: List::new("avoid", &victim.avoid)?,
            prefer: List::new("prefer", &victim.prefer)?,
            users,
        })
    }

    /// Whether any pattern asks for a command line or an executable, which must be read beforehand.
    #[must_use]
    pub fn want_details(&self) -> bool {
        [&self.protect, &self.avoid, &self.prefer].iter().any(|list| list.wants_details())
    }

    /// What the lists say of `task`. The admin's lists come before the built-in ones, protection before the rest.
    pub fn judge(&mut self, task: &Task, cgroups: &Cgroups, details: Option<&Details>) -> Says {
        let look = Look { task, cgroups, details, users: &self.users };
        let admin = match self.protect.search(&look) {
            Found::Yes(n) => return Says::Protect(Rule::Admin(n)),
            Found::Unread(n) => Some(Says::Unread(Rule::Admin(n))),
            Found::No => None,
        };
        if let Some(rule) = self.builtin.as_mut().and_then(|b| b.protects(task)) {
            return Says::Protect(rule);
        }
        if let Some(unread) = admin {
            return unread;
        }
        if let Found::Yes(n) = self.prefer.search(&look) {
            return Says::Prefer(Rule::Admin(n));
        }
        if let Found::Yes(n) = self.avoid.search(&look) {
            return Says::Avoid(Rule::Admin(n));
        }
        match self.builtin.as_mut().and_then(|b| b.avoid.search(task.comm.as_bytes())) {
            Some(n) => Says::Avoid(Rule::BuiltinAvoid(n)),
            None => Says::Nothing,
        }
    }
}

impl Builtin {
    fn protects(&mut self, task: &Task) -> Option<Rule> {
        let name = task.comm.as_bytes();
        // Whoever can't be looked up is taken for the system's: sparing a hog costs less than killing the way in.
        let systems_own = task.uid.is_none_or(|uid| uid < builtin::FIRST_ORDINARY_UID);
        if (systems_own || task.size() < builtin::NAME_TRUSTED_BELOW)
            && let Some(n) = self.protect.search(name)
        {
            return Some(Rule::BuiltinProtect(n));
        }
        (task.uid.is_none_or(|uid| uid == 0) && self.systemd_child.search(name).is_some()).then_some(Rule::SystemdChild)
    }
}

/// What a pattern may look at.
struct Look<'a> {
    task: &'a Task,
    cgroups: &'a Cgroups,
    details: Option<&'a Details>,
    users: &'a [(u32, Box<[u8]>)],
}

enum Found {
    Yes(u16),
    Unread(u16),
    No,
}

/// One of the admin's lists, an automaton for each thing its patterns search.
#[derive(Debug)]
struct List(Vec<BySubject>);

#[derive(Debug)]
struct BySubject {
    subject: Subject,
    automaton: Automaton,
    /// Position of each of the automaton's patterns in the admin's list.
    positions: Vec<u16>,
}

impl List {
    fn new(name: &'static str, patterns: &[Pattern]) -> Result<Self, TooLarge> {
        const SUBJECTS: [Subject; 6] =
            [Subject::Comm, Subject::User, Subject::Cgroup, Subject::Unit, Subject::Cmdline, Subject::Exe];
        let mut list = Vec::new();
        for subject in SUBJECTS {
            let (positions, texts): (Vec<u16>, Vec<&str>) = patterns
                .iter()
                .enumerate()
                .filter(|(_, p)| p.subject == subject)
                .filter_map(|(i, p)| Some((u16::try_from(i).ok()?, p.regex.as_str())))
                .unzip();
            if !texts.is_empty() {
                list.push(BySubject { subject, automaton: Automaton::new(name, &texts)?, positions });
            }
        }
        Ok(Self(list))
    }

    fn wants_details(&self) -> bool {
        self.0.iter().any(|s| matches!(s.subject, Subject::Cmdline | Subject::Exe))
    }

    fn search(&mut self, look: &Look<'_>) -> Found {
        let mut unread = None;
        for by in &mut self.0 {
            let Some(text) = look.text(by.subject) else {
                unread = unread.or(by.positions.first().copied());
                continue;
            };
            if let Some(position) = by.automaton.search(text).and_then(|n| by.positions.get(usize::from(n))) {
                return Found::Yes(*position);
            }
        }
        unread.map_or(Found::No, Found::Unread)
    }
}

impl<'a> Look<'a> {
    fn text(&self, subject: Subject) -> Option<&'a [u8]> {
        match subject {
            Subject::Comm => Some(self.task.comm.as_bytes()),
            Subject::Cgroup => self.task.cgroup.map(|id| self.cgroups.path(id)),
            Subject::Unit => {
                self.task.cgroup.map(|id| crate::observe::cgroups::unit(self.cgroups.path(id)).unwrap_or(b""))
            }
            Subject::User => {
                let uid = self.task.uid?;
                Some(self.users.iter().find(|(id, _)| *id == uid).map_or(&b""[..], |(_, name)| name))
            }
            Subject::Cmdline => self.details?.of(self.task).map(|d| d.cmdline()),
            Subject::Exe => self.details?.of(self.task).map(|d| d.exe()),
        }
    }
}

/// Patterns compiled into one, with the scratch memory to search by.
#[derive(Debug)]
struct Automaton {
    regex: Regex,
    cache: Cache,
}

impl Automaton {
    fn new(list: &'static str, patterns: &[&str]) -> Result<Self, TooLarge> {
        let regex = compile_list(patterns).map_err(|source| TooLarge { list, source })?;
        let mut automaton = Self { cache: regex.create_cache(), regex };
        automaton.warm_up();
        Ok(automaton)
    }

    /// The number of a pattern that matches anywhere in `text`.
    fn search(&mut self, text: &[u8]) -> Option<u16> {
        let text = &text[..text.len().min(SUBJECT_BYTES)];
        let found = self.regex.search_half_with(&mut self.cache, &Input::new(text).earliest(true))?;
        u16::try_from(found.pattern().as_usize()).ok()
    }

    /// Searches in a long and varied text, so that what grows in the scratch memory has grown.
    fn warm_up(&mut self) {
        let mut text = [0u8; SUBJECT_BYTES];
        for (i, byte) in text.iter_mut().enumerate() {
            *byte = u8::try_from(i % 256).unwrap_or(0);
        }
        self.search(&text);
        self.search(b"");
    }
}
