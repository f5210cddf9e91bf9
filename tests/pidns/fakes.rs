//! Files of `/proc` that a scenario answers itself, to make a moment last that no real machine would hold still for.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use nix::sys::stat::Mode;

use crate::namespace::Inside;

/// Covers one file of the namespace's `/proc` by another file.
fn cover(proc_file: &str, by: &Path) {
    let status = Command::new("mount")
        .arg("--bind")
        .args([by, Path::new(proc_file)])
        .status()
        .expect("run mount");
    assert!(status.success(), "cover {proc_file}");
}

/// A `/proc/meminfo` whose MemAvailable is what the scenario says; everything else is as it was.
pub struct FakeMeminfo {
    file: File,
    before: String,
    after: String,
}

impl FakeMeminfo {
    /// Covers `/proc/meminfo` by a copy of itself.
    pub fn cover(inside: &Inside) -> Self {
        let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
        let (before, rest) = text.split_once("MemAvailable:").expect("MemAvailable");
        let (_number, after) = rest.split_once('\n').expect("another line");
        let path = inside.file("meminfo");
        fs::write(&path, &text).expect("a copy of it");
        cover("/proc/meminfo", &path);
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("the copy");
        FakeMeminfo {
            file,
            before: before.to_owned(),
            after: after.to_owned(),
        }
    }

    /// Lets MemAvailable be `mib` MiB from now on. The text keeps its length and is written at once.
    pub fn set_available(&self, mib: u64) {
        let text = format!(
            "{}MemAvailable: {:>12} kB\n{}",
            self.before,
            mib * 1024,
            self.after
        );
        self.file
            .write_all_at(text.as_bytes(), 0)
            .expect("write the copy");
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Open,
    HoldNext,
    Holding,
}

/// A `/proc/PID/stat` that is a FIFO: whoever reads it waits until it is fed.
pub struct HeldStat {
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

impl HeldStat {
    /// Covers `/proc/PID/stat`; readers get what it said at this moment, at once until told otherwise.
    pub fn cover(inside: &Inside, pid: u32) -> Self {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read(&path).expect("its stat");
        let fifo = inside.file("stat");
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
        cover(&path, &fifo);
        let gate = Arc::new((Mutex::new(Gate::Open), Condvar::new()));
        let feeder = HeldStat {
            gate: Arc::clone(&gate),
        };
        std::thread::spawn(move || {
            loop {
                // Opening waits for a reader.
                let mut writer = OpenOptions::new()
                    .write(true)
                    .open(&fifo)
                    .expect("the FIFO");
                let (state, changed) = &*gate;
                let mut now = state.lock().expect("the gate");
                if *now == Gate::HoldNext {
                    *now = Gate::Holding;
                    changed.notify_all();
                }
                let passed = changed
                    .wait_while(now, |now| *now == Gate::Holding)
                    .expect("the gate");
                drop(passed);
                // A reader that has gone again is no concern of this thread's.
                let _ = writer.write_all(&text);
            }
        });
        feeder
    }

    /// Makes the next reader wait.
    pub fn hold_the_next_look(&self) {
        self.set(Gate::HoldNext);
    }

    /// Returns when a reader waits.
    pub fn wait_until_a_look_is_held(&self) {
        let (state, changed) = &*self.gate;
        let now = state.lock().expect("the gate");
        let held = changed
            .wait_timeout_while(now, crate::hog::DEADLINE, |now| *now != Gate::Holding)
            .expect("the gate");
        assert!(!held.1.timed_out(), "nobody looked");
    }

    /// Lets the waiting reader have its answer, and all that follow.
    pub fn let_go(&self) {
        self.set(Gate::Open);
    }

    fn set(&self, to: Gate) {
        let (state, changed) = &*self.gate;
        *state.lock().expect("the gate") = to;
        changed.notify_all();
    }
}
