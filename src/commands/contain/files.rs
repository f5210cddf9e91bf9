//! Files as they are and as they shall be: read whole, replaced atomically, put back with owner and mode.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Settings are a few lines, docker's configuration a page: whatever is larger is something else.
const MOST_BYTES: u64 = 1 << 20;

/// The mode of settings that everybody may read.
const MODE: u32 = 0o644;

/// What a call locks. Whoever can open a file can lock it: so nobody but root can open this one.
const LOCK: &str = "/run/hogwatch-contain.lock";
const LOCK_MODE: u32 = 0o600;

/// Behind the name of a file that is being written. Not a name that systemd or docker reads.
const UNFINISHED: &str = ".hogwatch-new";

/// A file: what is in it, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// All of it.
    pub text: String,
    /// Permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What keeps other calls away while it lives.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: Flock<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked, so that nobody else's is removed. One that stays is no harm.
        let _ = fs::remove_file(&self.path);
    }
}

impl Content {
    /// Readable for all, and owned by who runs this: root.
    pub fn of_ours(text: String) -> Self {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Self { text, mode: MODE, uid, gid }
    }
}

/// The machine's file system, below a directory that is `/` but for tests.
#[derive(Clone, Debug)]
pub struct Tree(PathBuf);

impl Tree {
    /// The tree below `root`.
    pub fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Where a path of the machine's is.
    pub fn at(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Keeps other calls away for as long as the result lives. It leaves no trace, but a file in /run when it is killed.
    ///
    /// # Errors
    /// Another call is at it; or with the lock's path.
    pub fn lock(&self) -> Result<Lock, String> {
        let path = self.at(Path::new(LOCK));
        let named = |e: io::Error| format!("{LOCK}: {e}");
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).mode(LOCK_MODE).custom_flags(libc::O_NOFOLLOW);
            let file = options.open(&path).map_err(named)?;
            let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
                Errno::EWOULDBLOCK => "another \"hogwatch contain\" is running; wait for it".to_owned(),
                e => named(e.into()),
            })?;
            // Who held it may have removed it between the two calls: then it is nobody's, and the next call's is another.
            let inode = file.metadata().map_err(named)?.ino();
            if path.symlink_metadata().is_ok_and(|there| there.ino() == inode) {
                return Ok(Lock { path, _file: file });
            }
        }
    }

    /// Whether something is there, be it a link to nowhere.
    pub fn has(&self, path: &Path) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// Reads a file; none when there is no such file.
    ///
    /// # Errors
    /// With its path: it can't be read, or is no plain UTF-8 file. A link is refused, because replacing would end it.
    pub fn read(&self, path: &Path) -> Result<Option<Content>, String> {
        let named = |why: String| format!("{}: {why}", path.display());
        let real = self.at(path);
        let meta = match real.symlink_metadata() {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(named(e.to_string())),
            Ok(meta) => meta,
        };
        if !meta.is_file() {
            return Err(named("it is no plain file, and would have to be replaced by one".into()));
        }
        if meta.len() > MOST_BYTES {
            return Err(named(format!("it has {} bytes: that is no file of settings", meta.len())));
        }
        let text = fs::read_to_string(&real).map_err(|e| named(e.to_string()))?;
        Ok(Some(Content { text, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid() }))
    }

    /// Replaces, makes or removes a file, and returns when that is on the disk. The file is the old one or the new one at
    /// any moment. The directory is there.
    ///
    /// # Errors
    /// With its path; the file is as it was.
    pub fn put(&self, path: &Path, content: Option<&Content>) -> Result<(), String> {
        let real = self.at(path);
        let done = match content {
            Some(content) => replace(&real, content),
            None => remove(&real),
        };
        done.and_then(|()| real.parent().map_or(Ok(()), sync)).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Removes what an interrupted [`Tree::put`] left.
    ///
    /// # Errors
    /// With its path.
    pub fn sweep(&self, path: &Path) -> Result<(), String> {
        let unfinished = unfinished(&self.at(path));
        remove(&unfinished).map_err(|e| format!("{}: {e}", unfinished.display()))
    }

    /// The directories that would have to be made for this file, the outermost first.
    pub fn missing_directories(&self, path: &Path) -> Vec<PathBuf> {
        let above = path.ancestors().skip(1).take_while(|dir| !self.has(dir));
        let mut missing: Vec<_> = above.map(Path::to_owned).collect();
        missing.reverse();
        missing
    }

    /// Makes a directory, with this mode; one that is there is left as it is.
    ///
    /// # Errors
    /// With its path.
    pub fn make_directory(&self, path: &Path, mode: u32) -> Result<(), String> {
        let real = self.at(path);
        let made = match fs::create_dir(&real) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            made => made.and_then(|()| fs::set_permissions(&real, fs::Permissions::from_mode(mode))),
        };
        made.and_then(|()| real.parent().map_or(Ok(()), sync)).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Removes a directory, unless something is in it.
    ///
    /// # Errors
    /// With its path.
    pub fn remove_directory(&self, path: &Path) -> Result<(), String> {
        match fs::remove_dir(self.at(path)) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            Err(e) if self.has(path) => Err(format!("{}: {e}", path.display())),
            _ => Ok(()),
        }
    }
}

fn replace(real: &Path, content: &Content) -> io::Result<()> {
    let new = unfinished(real);
    // What a crash left is in the way of create_new, which in turn follows nobody's symbolic link.
    remove(&new)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = fill(&mut file, content).and_then(|()| fs::rename(&new, real));
    if written.is_err() {
        // The error is the one to tell; revert looks for what is left here, too.
        let _ = fs::remove_file(&new);
    }
    written
}

fn fill(file: &mut File, content: &Content) -> io::Result<()> {
    file.write_all(content.text.as_bytes())?;
    fchown(&*file, Some(content.uid), Some(content.gid))?;
    // After the owner: chown clears bits.
    file.set_permissions(fs::Permissions::from_mode(content.mode))?;
    file.sync_all()
}

fn unfinished(real: &Path) -> PathBuf {
    let mut name = real.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// Removes a file if it is there. (On a disk that is mounted read-only the kernel refuses without having looked.)
fn remove(real: &Path) -> io::Result<()> {
    match fs::remove_file(real) {
        Err(e) if real.symlink_metadata().is_ok() => Err(e),
        _ => Ok(()),
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        // Removing from a directory that is not there has left nothing to force to the disk.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new(dir.path());
        (dir, tree)
    }

    #[test]
    fn a_file_is_put_read_and_taken_away() {
        let (dir, tree) = tree();
        let path = Path::new("/etc/x/y.conf");
        assert_eq!(tree.missing_directories(path), [Path::new("/etc"), Path::new("/etc/x")]);
        for missing in tree.missing_directories(path) {
            tree.make_directory(&missing, 0o755).unwrap();
        }
        assert_eq!(tree.read(path).unwrap(), None);
        let content = Content { mode: 0o4640, ..Content::of_ours("a\n".into()) };
        fs::write(dir.path().join("etc/x/y.conf.hogwatch-new"), "of a crash").unwrap();
        tree.put(path, Some(&content)).unwrap();
        assert_eq!(tree.read(path).unwrap(), Some(content));
        assert_eq!(fs::read_dir(dir.path().join("etc/x")).unwrap().count(), 1);
        tree.remove_directory(Path::new("/etc/x")).unwrap();
        assert!(tree.has(path), "a directory with something in it stays");
        tree.put(path, None).unwrap();
        tree.put(path, None).unwrap();
        tree.remove_directory(Path::new("/etc/x")).unwrap();
        tree.remove_directory(Path::new("/etc/x")).unwrap();
        assert!(!tree.has(Path::new("/etc/x")));
        tree.put(path, None).unwrap();
    }

    #[test]
    fn a_lock_is_roots_alone_and_leaves_nothing() {
        let (dir, tree) = tree();
        fs::create_dir(dir.path().join("run")).unwrap();
        let path = dir.path().join("run/hogwatch-contain.lock");
        let lock = tree.lock().unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(tree.lock().unwrap_err().starts_with("another "));
        assert!(path.exists(), "who was turned away removes nothing");
        drop(lock);
        assert!(!path.exists());
        // Of a call that was killed.
        fs::write(&path, "").unwrap();
        drop(tree.lock().unwrap());
        assert!(!path.exists());
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        assert!(tree.lock().unwrap_err().starts_with("/run/hogwatch-contain.lock: "));
    }

    #[test]
    fn what_is_no_plain_file_is_refused() {
        let (dir, tree) = tree();
        std::os::unix::fs::symlink("/nowhere", dir.path().join("link")).unwrap();
        assert!(tree.read(Path::new("/link")).unwrap_err().contains("/link: it is no plain file"));
        fs::write(dir.path().join("bytes"), b"\xff").unwrap();
        assert!(tree.read(Path::new("/bytes")).unwrap_err().starts_with("/bytes: "));
        fs::write(dir.path().join("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(tree.read(Path::new("/large")).unwrap_err().contains("1048577 bytes"));
    }
}
