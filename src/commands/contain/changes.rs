//! From what is to what shall be: which files change, and the record by which all of it can be taken back.
//!
//! A file is ours when its text is one that the record says we wrote. Whatever else is found is somebody's work: it is
//! named and kept.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::docker::{self, Parent};
use super::files::{Content, Tree};
use super::machine::{DAEMON_JSON, Facts, MACHINES};
use super::plan::{self, MARK, Sizes};
use super::systemd::Passing;

/// Where the record is: in the daemon's state directory.
pub const RECORD: &str = "/var/lib/hogwatch/contain.json";

/// The version of its format.
const SCHEMA: u32 = 1;

/// What was done, written before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The files, in the order in which they are written.
    pub files: Vec<Entry>,
    /// The directories that were made for them, the outermost first.
    pub directories: Vec<PathBuf>,
    /// What else is to be put back: only while systemd is at it.
    #[serde(default)]
    pub passing: Passing,
}

/// A file of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where.
    pub path: PathBuf,
    /// What was there; none is nothing.
    pub before: Option<Content>,
    /// What we wrote: while an older text is replaced, both.
    pub ours: Vec<String>,
}

impl Entry {
    /// Whether this is a text of ours, or what was there before us.
    fn knows(&self, now: Option<&Content>) -> bool {
        self.is_before(now) || now.is_some_and(|now| self.ours.contains(&now.text))
    }

    fn is_before(&self, now: Option<&Content>) -> bool {
        now.map(|now| &now.text) == self.before.as_ref().map(|before| &before.text)
    }
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: PathBuf,
    /// What is there.
    pub from: Option<Content>,
    /// What shall be there.
    pub to: Option<Content>,
}

/// All that is to be done, and what is recorded while it is done and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In this order.
    pub changes: Vec<Change>,
    /// What was recorded before; none is nothing.
    pub before: Option<Record>,
    /// What can be taken back at any moment from now on.
    pub during: Record,
    /// What can be taken back when all is done; none is nothing.
    pub after: Option<Record>,
    /// What stays because others changed it, and what they should do.
    pub kept: Vec<String>,
}

/// Reads the record; none when nothing is recorded.
///
/// # Errors
/// It can't be read, or is no such record.
pub fn recorded(tree: &Tree) -> Result<Option<Record>, String> {
    let Some(content) = tree.read(Path::new(RECORD))? else { return Ok(None) };
    let bad =
        |why: String| format!("{RECORD}: {why}. It says how to take back what contain did; restore it from a copy");
    let record: Record = serde_json::from_str(&content.text).map_err(|e| bad(e.to_string()))?;
    match record.schema {
        SCHEMA => Ok(Some(record)),
        other => Err(bad(format!("its schema is {other}, this hogwatch reads {SCHEMA}"))),
    }
}

/// What `--apply` has to do.
///
/// # Errors
/// A file that would change is somebody else's, or can't be read; with what to do.
pub fn to_apply(tree: &Tree, facts: &Facts, sizes: Sizes, before: Option<Record>) -> Result<Step, String> {
    let old = |path: &Path| before.iter().flat_map(|record| &record.files).find(|entry| entry.path == path);
    let mut changes = Vec::new();
    let mut during = Vec::new();
    let mut after = Vec::new();
    // Where our own drop-in is why it is delegated, that stays.
    let delegate = !facts.delegated || old(&plan::place("user@.service")).is_some();
    let mut wanted = plan::drop_ins(facts, sizes, delegate);
    if plan::capped_containers(facts, sizes).contains(&docker::SLICE) {
        let now = tree.read(Path::new(DAEMON_JSON))?;
        match daemon_json(now.as_ref(), old(Path::new(DAEMON_JSON)))? {
            Json::Write(text) => wanted.push((DAEMON_JSON.into(), text)),
            Json::Keep(entry) => {
                during.extend(entry.clone());
                after.extend(entry);
            }
        }
    }
    for (path, text) in wanted {
        let now = tree.read(&path)?;
        let entry = match old(&path) {
            Some(entry) if entry.knows(now.as_ref()) => entry.clone(),
            // What docker's admin has made of the file meanwhile is what was there before us now.
            _ if now.is_none() || path == Path::new(DAEMON_JSON) => {
                Entry { path: path.clone(), before: now.clone(), ours: vec![] }
            }
            known => return Err(foreign(&path, known.is_some(), now.as_ref())),
        };
        let base = now.clone().or_else(|| entry.before.clone()).unwrap_or_else(|| Content::of_ours(String::new()));
        let mut both = entry.ours.clone();
        both.retain(|ours| *ours != text);
        both.push(text.clone());
        during.push(Entry { ours: both, ..entry.clone() });
        after.push(Entry { ours: vec![text.clone()], ..entry });
        changes.push(Change { path, from: now, to: Some(Content { text, ..base }) });
    }
    // What an earlier call wrote and this one does not want.
    for entry in before.iter().flat_map(|record| &record.files) {
        if during.iter().any(|wanted| wanted.path == entry.path) || is_rid_of(tree, entry)? {
            continue;
        }
        let now = tree.read(&entry.path)?;
        if !entry.knows(now.as_ref()) {
            return Err(foreign(&entry.path, true, now.as_ref()));
        }
        changes.push(Change { path: entry.path.clone(), from: now, to: entry.before.clone() });
        during.push(entry.clone());
    }
    changes.retain(|change| change.from != change.to);
    let mut directories = before.as_ref().map_or(vec![], |record| record.directories.clone());
    for path in during.iter().map(|entry| entry.path.as_path()).chain([Path::new(RECORD)]) {
        for dir in tree.missing_directories(path) {
            if !directories.contains(&dir) {
                directories.push(dir);
            }
        }
    }
    let during = Record { schema: SCHEMA, files: during, directories, passing: Passing::default() };
    let after = with_needed_directories(&during, after);
    Ok(Step { changes, before, during, after: Some(after), kept: vec![] })
}

/// What `--revert` has to do.
///
/// # Errors
/// A file can't be read.
pub fn to_revert(tree: &Tree, record: Record) -> Result<Step, String> {
    let mut changes = Vec::new();
    let mut stay = Vec::new();
    let mut kept = Vec::new();
    // The last first: docker's parent goes before the cap of its slice.
    for entry in record.files.iter().rev() {
        if is_rid_of(tree, entry)? {
            continue;
        }
        let now = tree.read(&entry.path)?;
        if entry.knows(now.as_ref()) {
            changes.push(Change { path: entry.path.clone(), from: now, to: entry.before.clone() });
        } else {
            kept.push(foreign(&entry.path, true, now.as_ref()));
            stay.push(entry.clone());
        }
    }
    stay.reverse();
    let after = (!stay.is_empty()).then(|| with_needed_directories(&record, stay));
    Ok(Step { changes, before: Some(record.clone()), during: record, after, kept })
}

/// What can be said without a record: files that bear our mark are ours.
pub fn presumed(tree: &Tree) -> Record {
    let units = ["user-.slice", "user-0.slice", "system.slice", "user@.service", docker::SLICE, MACHINES];
    let marked = units.map(plan::place).into_iter().filter_map(|path| {
        let text = tree.read(&path).ok()??.text;
        text.starts_with(MARK).then(|| Entry { path, before: None, ours: vec![text] })
    });
    Record { schema: SCHEMA, files: marked.collect(), directories: vec![], passing: Passing::default() }
}

/// What to do with docker's configuration.
enum Json {
    Write(String),
    /// It names our slice, and not in a text that we know: it is the admin's, who has worked on it, or always had it so.
    Keep(Option<Entry>),
}

fn daemon_json(now: Option<&Content>, old: Option<&Entry>) -> Result<Json, String> {
    let bad = |why: String| format!("{DAEMON_JSON}: {why}; mend that, or leave --containers out");
    // Ours is made of what was there: making it again changes nothing.
    let ours = old.filter(|old| now.is_some_and(|now| old.ours.contains(&now.text)));
    let text = ours.map_or(now, |old| old.before.as_ref()).map(|content| content.text.as_str());
    match docker::parent(text).map_err(bad)? {
        Parent::Unset => docker::with_parent(text).map(Json::Write).map_err(bad),
        Parent::Ours => Ok(Json::Keep(old.cloned())),
        Parent::Other(slice) => Err(format!(
            "{DAEMON_JSON}: cgroup-parent is {slice} already, which contain does not change; cap that slice by hand \
             (systemctl set-property {slice} MemoryMax=SIZE MemorySwapMax=0), and leave --containers out"
        )),
    }
}

/// Whether somebody else has taken our key out of docker's configuration: then nothing of ours is in it.
fn is_rid_of(tree: &Tree, entry: &Entry) -> Result<bool, String> {
    if entry.path != Path::new(DAEMON_JSON) {
        return Ok(false);
    }
    let now = tree.read(&entry.path)?;
    let parent = docker::parent(now.as_ref().map(|now| now.text.as_str()));
    Ok(!entry.knows(now.as_ref()) && matches!(parent, Ok(Parent::Unset | Parent::Other(_))))
}

/// That a file is not ours, and what to do.
fn foreign(path: &Path, recorded: bool, now: Option<&Content>) -> String {
    let path = path.display();
    if now.is_none() {
        return format!("{path}: somebody has removed what was there before hogwatch");
    }
    if path.to_string() == DAEMON_JSON {
        return format!(
            "{path} was changed since, and is kept: take \"cgroup-parent\": \"{}\" out of it by hand, and run this again",
            docker::SLICE
        );
    }
    match recorded {
        true => format!(
            "{path} was changed since hogwatch wrote it, and is kept: move your lines to a file of your own beside it (behind it \
             in the order of names, such as 45-local.conf), remove it, and run this again"
        ),
        false => {
            format!("{path} is there already, and no record says that hogwatch wrote it: remove it, and run this again")
        }
    }
}

fn with_needed_directories(all: &Record, files: Vec<Entry>) -> Record {
    let needed =
        |dir: &&PathBuf| Path::new(RECORD).starts_with(dir) || files.iter().any(|entry| entry.path.starts_with(dir));
    let directories = all.directories.iter().filter(needed).cloned().collect();
    Record { schema: SCHEMA, files, directories, passing: Passing::default() }
}
