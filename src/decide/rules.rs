//! The admin's and the built-in lists, compiled: who is protected, avoided, preferred.
//!
//! All patterns of a list that search the same thing are one automaton, so a process is looked at once a list. The
//! engine used (Thompson NFA simulation) has all its memory from the start; the lazy DFA of the `regex` crate would
//! allocate while it searches, on the kill path.

use regex_automata::meta::{Cache, Regex};
use regex_automata::nfa::thompson::{NFA, State, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Input, PatternSet};

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
    builtin: bool,
    protect: List,
    avoid: List,
    prefer: List,
    users: Vec<(u32, Box<[u8]>)>,
}

impl Rules {
    /// Compiles the lists of a configuration. `users` are the names of user ids, for `user:` patterns.
    ///
    /// # Errors
    /// When a list is too large as a whole; single patterns were checked when the file was read.
    pub fn new(victim: &Victim, users: Vec<(u32, Box<[u8]>)>) -> Result<Self, TooLarge> {
        Ok(Self {
            builtin: victim.protect_builtin,
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
        if let Some(rule) = builtin_protection(task).filter(|_| self.builtin) {
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
        match builtin::find(builtin::AVOID, task.comm.as_bytes()).filter(|_| self.builtin) {
            Some(n) => Says::Avoid(Rule::BuiltinAvoid(n)),
            None => Says::Nothing,
        }
    }
}

fn builtin_protection(task: &Task) -> Option<Rule> {
    let name = task.comm.as_bytes();
    // Whoever can't be looked up is taken for the system's: sparing a hog costs less than killing the way in.
    let systems_own = task.uid.is_none_or(|uid| uid < builtin::FIRST_ORDINARY_UID);
    if (systems_own || task.size() < builtin::NAME_TRUSTED_BELOW)
        && let Some(n) = builtin::find(builtin::PROTECT, name)
    {
        return Some(Rule::BuiltinProtect(n));
    }
    (task.uid.is_none_or(|uid| uid == 0) && builtin::is_systemd_child(name)).then_some(Rule::SystemdChild)
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
    found: PatternSet,
}

impl Automaton {
    fn new(list: &'static str, patterns: &[&str]) -> Result<Self, TooLarge> {
        let regex = compile_list(patterns).map_err(|source| TooLarge { list, source })?;
        let found = PatternSet::new(regex.pattern_len());
        let mut cache = roomy_cache(alternatives(patterns)).map_err(|source| TooLarge { list, source })?;
        cache.reset(&regex);
        Ok(Self { cache, found, regex })
    }

    /// The number of a pattern that matches anywhere in `text`.
    fn search(&mut self, text: &[u8]) -> Option<u16> {
        let text = &text[..text.len().min(SUBJECT_BYTES)];
        // The lists are compiled without capture groups, which would cost some hundred KiB of locked memory; every search
        // but this one then finds no match at all, as it has nowhere to put the offsets.
        self.found.clear();
        self.regex.which_overlapping_matches_with(&mut self.cache, &Input::new(text), &mut self.found);
        u16::try_from(self.found.iter().next()?.as_usize()).ok()
    }
}

/// How many places of the automaton one step of a search can have to come back to at most: every other branch of every
/// fork, once.
fn alternatives(patterns: &[&str]) -> usize {
    let forks = |nfa: NFA| {
        let each = nfa.states().iter().map(|state| match state {
            State::Union { alternates } => alternates.len(),
            State::BinaryUnion { .. } => 1,
            _ => 0,
        });
        each.sum()
    };
    NFA::compiler()
        .configure(NFA::config().which_captures(WhichCaptures::None))
        .syntax(syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true))
        .build_many(patterns)
        .map_or(0, forks)
}

/// Scratch memory in which a search has already had so many places to come back to. That stack is the one thing that
/// still grows while it is searched, and it keeps its room when the memory is handed to another regex.
fn roomy_cache(places: usize) -> Result<Cache, RegexError> {
    /// Far more forks than any list has that people write; twice as many would not compile within the limit.
    const MOST: usize = 8192;
    // Each `a??` is first passed over, which leaves one place to come back to.
    let deep = compile_list(&[&format!("^(?:a??){{{}}}b", places.min(MOST) + 1)])?;
    let mut cache = deep.create_cache();
    deep.which_overlapping_matches_with(&mut cache, &Input::new("c"), &mut PatternSet::new(1));
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_a_list_is_found_where_it_stands() {
        let mut list =
            Automaton::new("protect", &["^keep-me$", "precious", "^a(b|c)?d$", "--keep", "^(x|y).*z$"]).unwrap();
        for (text, expected) in [
            ("keep-me", Some(0)),
            ("keep-me2", None),
            ("so precious!", Some(1)),
            ("acd", Some(2)),
            ("ad", Some(2)),
            ("abcd", None),
            ("run --keep=1", Some(3)),
            ("x\n\u{e4}z", Some(4)),
            ("", None),
        ] {
            assert_eq!(list.search(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_list_of_one_literal_is_found_too() {
        let mut list = Automaton::new("avoid", &["--type=renderer"]).unwrap();
        assert_eq!(list.search(b"firefox --type=renderer -x"), Some(0));
        assert_eq!(list.search(b"firefox"), None);
    }
}
