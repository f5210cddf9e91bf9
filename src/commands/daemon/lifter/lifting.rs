//! The steps of a lift and of its restore. First the file, then systemd: the stuck cgroup moves at once however busy the
//! manager is, and the reclaim that lowering a limit costs is paid by this thread, not by pid 1.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use crate::host::dir::Dir;
use crate::observe::cgroups::{self, CgroupPath};
use crate::observe::parse::{Limit, parse_limit};
use crate::report::Size;

use super::manager::{Done, Manager};
use super::notes::{Note, Notes};

/// What it works with.
#[derive(Debug)]
pub struct Lifting {
    /// The root of the unified hierarchy.
    pub root: Dir,
    /// What is lifted, for the next daemon.
    pub notes: Notes,
    /// systemd.
    pub manager: Manager,
    /// This boot.
    pub boot: String,
    /// What is lifted, for this one.
    pub lifted: Vec<Note>,
    /// Units that have lost a drop-in, which systemd has not noticed yet.
    pub changed: usize,
}

/// What became of a limit that was to be put back.
#[derive(Debug, PartialEq, Eq)]
pub enum Restored {
    /// It was put back; what somebody should know about it.
    Back(Option<String>),
    /// It was not, and need not be: why.
    Left(String),
}

impl Lifting {
    /// Raises the `memory.high` of the cgroup at `path` whose inode is `id`, and gives back what it was, in bytes. systemd is
    /// to be [told](Self::tell) afterwards.
    ///
    /// # Errors
    /// Why nothing was lifted.
    pub fn raise(&mut self, id: u64, path: &[u8]) -> Result<u64, String> {
        let dir = self.open(id, path)?.ok_or("it is gone")?;
        let Limit::Bytes(old) = read_high(&dir)? else { return Err("it has no memory.high to lift".to_owned()) };
        let cgroup = Path::new(std::ffi::OsStr::from_bytes(path)).to_owned();
        // One that stands here was restored but for systemd's part: what that lift left is still to be cleared away.
        let earlier = self.lifted.iter().position(|note| note.inode == id).map(|at| self.lifted.swap_remove(at));
        let unit = earlier.and_then(|note| note.unit);
        let note = Note { boot: self.boot.clone(), cgroup, inode: id, high: old, unit };
        let noted = self.notes.keep(&note).map_err(|e| format!("it can't be noted for the next start: {e}"));
        let write = |()| dir.write(c"memory.high", b"max\n").map_err(|e| format!("memory.high can't be written: {e}"));
        if let Err(why) = noted.and_then(write) {
            match note.unit {
                Some(_) => self.lifted.push(note),
                None => self.notes.drop(id).unwrap_or(()),
            }
            return Err(why);
        }
        self.lifted.push(note);
        Ok(old)
    }

    /// Tells systemd of a limit that was raised, if it is a unit's.
    ///
    /// # Errors
    /// Why it does not know: it may put the limit back whenever it touches the unit.
    pub fn tell(&mut self, id: u64, deadline: Instant) -> Result<(), String> {
        // Restored meanwhile.
        let Some(note) = self.lifted.iter_mut().find(|note| note.inode == id) else { return Ok(()) };
        let found = match &note.unit {
            Some(unit) => Some(unit.clone()),
            None => self.manager.owner(note.cgroup.as_os_str().as_bytes(), note.high, deadline)?,
        };
        let Some(unit) = found else { return Ok(()) };
        note.unit = Some(unit.clone());
        self.notes.keep(note).map_err(|e| format!("it can't be noted for the next start: {e}"))?;
        self.manager.lift(&unit, deadline)
    }

    /// Puts the limit of a cgroup back that this or, as its note says, an earlier daemon lifted.
    ///
    /// # Errors
    /// Why it could not be; its note stays, and it may be asked for again.
    pub fn restore(&mut self, id: u64, deadline: Instant) -> Result<Restored, String> {
        let Some(at) = self.lifted.iter().position(|note| note.inode == id) else {
            return Ok(Restored::Left("nothing of it is lifted".to_owned()));
        };
        let note = &self.lifted[at];
        let path = note.cgroup.as_os_str().as_bytes();
        let found = match self.open(note.inode, path)? {
            None => Found::Gone,
            Some(dir) => put_back(&dir, note.high)?,
        };
        // A daemon that ended in between may have put back the file already.
        let theirs = matches!(found, Found::Set(bytes) if bytes != note.high);
        let told = note.unit.as_ref().map(|unit| self.manager.restore(unit, note.high, theirs, deadline));
        self.changed += usize::from(matches!(told, Some(Ok(Done { reload: true, .. }))));
        let restored = match (found, told) {
            (Found::PutBack, None | Some(Ok(_))) | (_, Some(Ok(Done { told: true, .. }))) => Restored::Back(None),
            // The cgroup has its limit again. The note stays, and the next to look at it finishes the rest.
            (Found::PutBack, Some(Err(why))) => {
                return Ok(Restored::Back(Some(format!("systemd's part is yet to be done: {why}"))));
            }
            (_, Some(Err(why))) => return Err(why),
            (Found::Gone, _) => Restored::Left("it is gone".to_owned()),
            (Found::Set(bytes), _) if bytes == note.high => {
                Restored::Left("it has its old memory.high already".to_owned())
            }
            (Found::Set(bytes), _) => {
                Restored::Left(format!("somebody else has set its memory.high to {}", Size(bytes)))
            }
        };
        // A note that stays finds its cgroup as it should be, at the next start.
        let _ = self.notes.drop(id);
        self.lifted.swap_remove(at);
        Ok(restored)
    }

    /// Once nothing more is to be restored for now: one reload for all that was.
    pub fn settle(&mut self, deadline: Instant) {
        let units = std::mem::take(&mut self.changed);
        if units > 0 {
            // All values are right without it, so there is nothing to be said.
            let _ = self.manager.reload_if_alone(units, deadline);
        }
    }

    /// Takes over the notes of an earlier daemon, to be [restored](Self::restore): those of this boot. Gives back what is
    /// to be said of the others.
    pub fn take_over(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        for left in self.notes.left() {
            match left {
                Ok(note) if note.boot == self.boot => self.lifted.push(note),
                Ok(note) => {
                    let _ = self.notes.drop(note.inode);
                    let cgroup = note.cgroup.display();
                    said.push(format!("the note on {cgroup} was dropped: it is of an earlier boot"));
                }
                Err(why) => said.push(why),
            }
        }
        said
    }

    /// The path of what is lifted, for whoever tells of it.
    #[must_use]
    pub fn path(&self, id: u64) -> Option<CgroupPath> {
        let note = self.lifted.iter().find(|note| note.inode == id)?;
        CgroupPath::new(note.cgroup.as_os_str().as_bytes())
    }

    /// The cgroup's directory; none when it is gone, or another one has its name.
    fn open(&self, inode: u64, path: &[u8]) -> Result<Option<Dir>, String> {
        let dir = match cgroups::open(&self.root, path) {
            Ok(dir) => dir,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("it can't be opened: {e}")),
        };
        let found = dir.inode().map_err(|e| format!("it can't be opened: {e}"))?;
        Ok((found == inode).then_some(dir))
    }
}

/// What was found in the file when its limit was to be put back.
#[derive(Clone, Copy)]
enum Found {
    /// Still lifted; it is no more.
    PutBack,
    /// A limit.
    Set(u64),
    /// No such cgroup.
    Gone,
}

/// Writes the old limit, unless there is one. The kernel reclaims what is above it before the write returns.
fn put_back(dir: &Dir, old: u64) -> Result<Found, String> {
    if let Limit::Bytes(bytes) = read_high(dir)? {
        return Ok(Found::Set(bytes));
    }
    let written = dir.write(c"memory.high", format!("{old}\n").as_bytes());
    written.map_err(|e| format!("memory.high can't be written: {e}"))?;
    Ok(Found::PutBack)
}

fn read_high(dir: &Dir) -> Result<Limit, String> {
    let mut buf = [0; 64];
    let text = dir.read(c"memory.high", &mut buf).map_err(|e| format!("memory.high can't be read: {e}"))?;
    parse_limit(text).map_err(|e| format!("memory.high can't be read: {e}"))
}
