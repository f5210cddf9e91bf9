//! The history thread: what is on disk of an incident, and when.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hogwatch::report::incident::evidence::{Evidence, KernelOom};
use hogwatch::report::incident::schema::{Cause, CgroupSample, Incident, KernelLine, KernelReport, State, Victim};
use hogwatch::report::recorder::{Anchor, Measured, Top};
use hogwatch::report::{
    Event, EventKind, EventSender, HistoryOptions, Output, Pace, Recorder, Reporter, ReporterOptions, Text,
};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::journald::{FakeJournald, options};

/// Far more than anything takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const LONG: Duration = Duration::from_secs(3600);

/// Nothing is done by time: what is not said is not done.
const STILL: Pace = Pace { complete_after: LONG, current_every: LONG, silence: LONG, refresh: LONG };

/// Completed at once.
const AT_ONCE: Pace = Pace { complete_after: Duration::ZERO, ..STILL };

struct Place {
    dir: TempDir,
    journald: FakeJournald,
}

struct Daemon {
    sender: EventSender,
    reporter: Reporter,
    recorder: Recorder,
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), journald: FakeJournald::start() }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.state().join(name)
    }

    fn start(&self, pace: Pace) -> Daemon {
        self.start_with(pace, 200, false)
    }

    fn start_with(&self, pace: Pace, incidents: u32, dry_run: bool) -> Daemon {
        fn restarted(cgroup: &str, _: Duration) -> Result<Option<bool>, String> {
            match cgroup {
                "/system.slice/db.service" => Ok(Some(true)),
                _ => Err("no systemd here".to_owned()),
            }
        }
        let recorder = Recorder::new(Duration::from_secs(600));
        let history = HistoryOptions { state: self.state(), incidents, restarted, pace };
        let output = Output { journald: Some(self.journald.path()), stderr: None };
        let started = Reporter::start(ReporterOptions {
            history: Some(history),
            recorder: recorder.clone(),
            ..options(output, dry_run)
        });
        let (sender, reporter) = started.unwrap();
        Daemon { sender, reporter, recorder }
    }

    /// All files, of which the oldest is the first.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.file("incidents")) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_by_key(|name| {
            name.rsplit_once('-').and_then(|(_, end)| end.trim_end_matches(".json").parse::<u32>().ok())
        });
        names
    }

    fn incidents(&self) -> Vec<Incident> {
        let read = |name: &String| fs::read(self.file("incidents").join(name)).ok();
        let files = self.names().into_iter().filter(|name| name.ends_with(".json"));
        files
            .filter_map(|name| read(&name))
            .map(|text| serde_json::from_slice(&text).expect("a whole incident"))
            .collect()
    }

    /// Waits for the only incident to be as it should.
    fn wait(&self, what: &str, is: impl Fn(&Incident) -> bool) -> Incident {
        until(what, || self.incidents().pop().filter(&is))
    }

    fn wait_current(&self) -> Incident {
        until("current.json", || serde_json::from_slice(&fs::read(self.file("current.json")).ok()?).ok())
    }

    /// The next entry of this event in the journal.
    fn entry(&self, event: &str) -> crate::journald::Entry {
        loop {
            let entry = self.journald.entry();
            if entry.get("HOGWATCH_EVENT") == Some(event) {
                return entry;
            }
        }
    }
}

impl Daemon {
    fn say(&self, kind: EventKind, incident: u32, fill: impl FnOnce(&mut Event)) {
        let mut event = Event { incident: Some(incident), kind: Some("memory"), ..Event::new(kind) };
        fill(&mut event);
        self.sender.send(&event);
    }

    fn warn(&self, incident: u32) {
        self.say(EventKind::Warn, incident, |event| event.limit_bytes = Some(10 << 30));
    }

    fn term(&self, incident: u32) {
        self.say(EventKind::Term, incident, |event| {
            event.pid = Some(4242);
            event.comm = Text::from_bytes(b"mysq\nld");
            event.cmdline = Text::from_bytes(b"mysqld --all");
            event.uid = Some(110);
            event.cgroup = Text::from_bytes(b"/system.slice/db.service");
            event.size_bytes = Some(12 << 30);
            event.swap_bytes = Some(1 << 30);
            event.oom_score_adj = Some(-5);
            event.signal = Some(Signal::SIGTERM);
            event.limit_bytes = Some(5 << 30);
            event.reason = Text::from_bytes(b"4.87 % available");
        });
    }

    fn exited(&self, incident: u32, freed: u64) {
        self.say(EventKind::Exited, incident, |event| {
            event.pid = Some(4242);
            event.freed_bytes = Some(freed);
        });
    }

    fn recovered(&self, incident: u32) {
        self.say(EventKind::Recovered, incident, |event| event.available_bytes = Some(11 << 30));
    }

    fn record(&self, available: u64) {
        let now = Anchor::now().since_boot;
        self.recorder.sample(now, &Measured { available, ..Measured::default() });
        let top = Top { pid: 7, comm: b"hog", size: 3, swap: 1, cgroup: Some(b"/a.slice") };
        self.recorder.tops(now, [top].into_iter(), [(&b"/a.slice"[..], 3)].into_iter());
    }

    fn stop(self) -> bool {
        self.reporter.stop(PATIENCE, PATIENCE)
    }
}

#[test]
fn an_act_is_written_at_once_and_completed_with_what_followed() {
    let state = Place::new();
    let daemon = state.start(AT_ONCE);
    daemon.record(1000);
    daemon.warn(1);
    let current = state.wait_current();
    assert_eq!((current.state, current.events.len(), current.before.len()), (State::Open, 1, 1));
    assert_eq!(state.names(), [""; 0], "nothing was done yet");

    daemon.term(1);
    let open = state.wait("the act", |_| true);
    assert_eq!((open.schema, open.state, open.cause, open.dry_run), (1, State::Open, Cause::Hogwatch, false));
    assert_eq!((open.kind.as_str(), open.reason.as_str()), ("memory", "4.87 % available"));
    assert_eq!((open.limit_bytes, &open.cgroup, open.end_ms), (Some(5 << 30), &None, None));
    let victim = Victim {
        pid: Some(4242),
        comm: "mysq\\nld".into(),
        cmdline: Some("mysqld --all".into()),
        uid: Some(110),
        unit: Some("db.service".into()),
        cgroup: Some("/system.slice/db.service".into()),
        size_bytes: Some(12 << 30),
        swap_bytes: Some(1 << 30),
        oom_score_adj: Some(-5),
        members: None,
    };
    assert_eq!(open.victim, Some(victim));
    assert_eq!((open.before[0].available_bytes, open.tops[0].tasks[0].pid), (1000, 7));
    assert!(open.host.boot_id.is_some() && open.host.mem_total_bytes > Some(0));
    assert_eq!(open.begin_ms, open.events[0].t_ms);

    daemon.record(2000);
    daemon.exited(1, 3 << 30);
    daemon.exited(1, 4 << 30);
    daemon.recovered(1);
    let complete = state.wait("what followed", |incident| incident.state == State::Complete);
    let names: Vec<_> = complete.events.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(names, ["warn", "term", "exited", "exited", "recovered"]);
    assert_eq!(complete.acts, [complete.events[1].clone()]);
    assert!(complete.acts[0].message.starts_with("sent SIGTERM to mysq\\nld (pid 4242"), "{:?}", complete.acts[0]);
    assert_eq!(complete.before.iter().map(|sample| sample.available_bytes).collect::<Vec<_>>(), [1000, 2000]);
    let after = complete.after.expect("what followed");
    assert_eq!(
        (after.freed_bytes, after.available_bytes, after.unit_restarted),
        (Some(7 << 30), Some(11 << 30), Some(true))
    );
    assert!(after.recovered_ms.is_some());
    assert_eq!(complete.end_ms, Some(complete.events[4].t_ms));
    assert_eq!((&complete.id, &complete.victim, complete.begin_ms), (&open.id, &open.victim, open.begin_ms));
    until("current.json to go", || (!state.file("current.json").exists()).then_some(()));

    let file = state.file("incidents").join(format!("{}.json", complete.id));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777 & !0o640, 0, "others may not read it");
    assert_eq!(state.names().len(), 1, "nothing else is left");
    assert!(daemon.stop());
}

#[test]
fn a_mere_warning_is_an_incident_at_its_end() {
    let state = Place::new();
    let daemon = state.start(AT_ONCE);
    daemon.warn(1);
    state.wait_current();
    assert_eq!(state.names(), [""; 0]);
    daemon.recovered(1);
    let incident = state.wait("the end", |incident| incident.state == State::Complete);
    assert_eq!(
        (incident.kind.as_str(), incident.cause, incident.victim, incident.acts.len()),
        ("memory", Cause::Unknown, None, 0)
    );
    assert!(daemon.stop());
}

#[test]
fn an_incident_of_a_cgroup_has_its_samples_and_no_others_each_once() {
    let state = Place::new();
    let daemon = state.start(AT_ONCE);
    let record = |path: &str, current_bytes: u64| {
        let sample = CgroupSample { current_bytes, ..CgroupSample::default() };
        let id = u64::from(path == "/a.slice");
        assert!(until("nobody to read", || {
            daemon.recorder.cgroup(Anchor::now().since_boot, id, path.as_bytes(), &sample).then_some(true)
        }));
        // Two of the same millisecond are one.
        std::thread::sleep(Duration::from_millis(10));
    };
    let held = |incident: &Incident| -> Vec<u64> {
        incident.cgroup_samples.iter().map(|sample| sample.current_bytes).collect()
    };
    record("/a.slice", 1);
    record("/b.slice", 2);
    record("/a.slice", 3);
    daemon.say(EventKind::Livelock, 1, |event| {
        event.kind = Some("throttled");
        event.cgroup = Text::from_bytes(b"/a.slice");
    });
    let current = state.wait_current();
    assert_eq!(held(&current), [1, 3]);
    let open = state.wait("that it was found", |_| true);
    assert_eq!(held(&open), [1, 3]);
    record("/b.slice", 4);
    record("/a.slice", 5);
    daemon.recovered(1);
    let complete = state.wait("what followed", |incident| incident.state == State::Complete);
    assert_eq!(held(&complete), [1, 3, 5]);
    assert!(complete.host.page_bytes >= Some(4096));
    assert!(daemon.stop());
}

#[test]
fn what_comes_back_after_it_was_complete_is_added() {
    let state = Place::new();
    let daemon = state.start(AT_ONCE);
    daemon.say(EventKind::Livelock, 1, |event| {
        event.kind = Some("throttled");
        event.cgroup = Text::from_bytes(b"/a.slice");
        event.limit_bytes = Some(77);
    });
    daemon.recovered(1);
    daemon.record(1);
    state.wait("the end", |incident| incident.state == State::Complete);
    daemon.term(1);
    let incident = state.wait("the act", |incident| !incident.acts.is_empty());
    assert_eq!((incident.state, incident.end_ms, incident.after), (State::Open, None, None));
    assert_eq!((incident.cgroup.as_deref(), incident.events.len()), (Some("/a.slice"), 3));
    let times: Vec<_> = incident.before.iter().map(|sample| sample.t_ms).collect();
    assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
    assert!(daemon.stop());
}

#[test]
fn a_stuck_cgroup_of_which_nothing_more_is_said_is_complete_after_a_while() {
    let state = Place::new();
    let daemon = state.start(Pace { silence: Duration::from_millis(50), ..STILL });
    daemon.say(EventKind::OomStuck, 1, |event| event.kind = Some("oom_stuck"));
    let incident = state.wait("the silence", |incident| incident.state == State::Complete);
    assert_eq!((incident.kind.as_str(), incident.end_ms), ("oom_stuck", None));
    assert_eq!(incident.after.unwrap().recovered_ms, None);
    assert!(daemon.stop());
}

#[test]
fn a_kernels_kill_has_the_kernels_report() {
    let state = Place::new();
    let daemon = state.start(AT_ONCE);
    let evidence = daemon.sender.evidence().unwrap();
    let report =
        KernelReport { limit_cgroup: Some("/b.slice".into()), limit_bytes: Some(99), ..KernelReport::default() };
    let line = KernelLine { t_ms: 1, text: "belongs to nothing".into() };
    evidence.send(Evidence::KernelLine(Box::new(line))).unwrap();
    let event = Event { incident: Some(3), ..Event::new(EventKind::KernelOom) };
    evidence.send(Evidence::KernelOom(Box::new(KernelOom { event, report: report.clone() }))).unwrap();
    daemon.say(EventKind::KernelOom, 3, |event| {
        event.kind = None;
        event.pid = Some(8);
        event.cgroup = Text::from_bytes(b"/b.slice/c.service");
    });
    let incident = state.wait("both", |incident| incident.victim.is_some() && incident.state == State::Complete);
    assert_eq!((incident.kind.as_str(), incident.cause), ("kernel_oom", Cause::Kernel));
    assert_eq!((incident.cgroup.as_deref(), incident.limit_bytes), (Some("/b.slice"), Some(99)));
    assert_eq!((incident.kernel, incident.kernel_lines.len()), (Some(report), 0));
    assert_eq!(incident.victim.unwrap().pid, Some(8));
    assert_eq!(incident.after.unwrap().unit_restarted, None, "systemd could not be asked");
    assert!(incident.end_ms.is_some());
    assert!(daemon.stop());
}

#[test]
fn a_dry_run_has_ended_nobody() {
    let state = Place::new();
    let daemon = state.start_with(AT_ONCE, 200, true);
    daemon.term(1);
    let incident = state.wait("the act", |_| true);
    assert!(incident.dry_run && incident.victim.is_some());
    assert_eq!(incident.cause, Cause::Unknown);
    assert!(daemon.stop());
    assert_eq!(state.incidents()[0].after.unwrap().unit_restarted, None);
}

#[test]
fn a_stop_completes_what_is_open() {
    let state = Place::new();
    let daemon = state.start(STILL);
    daemon.warn(1);
    daemon.say(EventKind::Livelock, 2, |event| event.kind = Some("thrash"));
    state.wait_current();
    assert!(daemon.stop());
    let states: Vec<_> = state.incidents().iter().map(|incident| (incident.state, incident.end_ms)).collect();
    assert_eq!(states, [(State::Complete, None), (State::Complete, None)]);
    assert!(!state.file("current.json").exists(), "it was no unclean end");
}

#[test]
fn a_current_json_that_stays_is_removed_later() {
    let state = Place::new();
    let daemon = state.start(Pace { current_every: Duration::from_millis(300), ..AT_ONCE });
    daemon.warn(1);
    state.wait_current();
    let (current, folder) = (state.file("current.json"), state.dir.path().join("folder"));
    fs::create_dir(&folder).unwrap();
    // At no moment is there nothing.
    let exchange = || renameat2(AT_FDCWD, &current, AT_FDCWD, &folder, RenameFlags::RENAME_EXCHANGE).unwrap();
    exchange();
    daemon.recovered(1);
    state.wait("the end", |incident| incident.state == State::Complete);
    let entry = state.entry("degraded");
    assert!(entry.message().contains("current.json can't be"), "{}", entry.message());
    exchange();
    until("current.json to go", || (!current.exists()).then_some(()));
    assert!(daemon.stop());
}

#[test]
fn a_run_that_starts_in_the_same_second_overwrites_nothing() {
    let state = Place::new();
    for _ in 0..3 {
        let daemon = state.start(STILL);
        daemon.term(1);
        assert!(daemon.stop());
    }
    assert_eq!(state.names().len(), 3);
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let state = Place::new();
    let daemon = state.start_with(STILL, 3, false);
    fs::create_dir_all(state.file("incidents")).unwrap();
    fs::write(state.file("incidents/notes.json"), "an admin's own").unwrap();
    for number in 1..=6 {
        daemon.say(EventKind::KernelOom, number, |_| ());
        until("the file", || state.names().iter().any(|name| name.ends_with(&format!("-{number}.json"))).then_some(()));
        // Dates are as fine as the kernel's clock tick.
        std::thread::sleep(Duration::from_millis(20));
    }
    let numbers = || -> Vec<String> {
        let names = state.names().into_iter().filter(|name| name != "notes.json");
        names.map(|name| name.rsplit_once('-').unwrap().1.to_owned()).collect()
    };
    until("the last to go", || (numbers() == ["4.json", "5.json", "6.json"]).then_some(()));
    assert!(state.file("incidents/notes.json").exists(), "what is no incident is left alone");
    daemon.sender.keep_incidents(1);
    daemon.say(EventKind::KernelOom, 7, |_| ());
    until("the new bound", || (numbers() == ["7.json"]).then_some(()));
    daemon.sender.keep_incidents(0);
    daemon.warn(8);
    assert!(daemon.stop());
    assert_eq!(numbers(), ["7.json"], "none are kept");
}

#[test]
fn kills_by_others_do_not_push_out_what_hogwatch_did() {
    let state = Place::new();
    let daemon = state.start_with(STILL, 6, false);
    // The oldest are hogwatch's own; a clock tick lies between any two.
    let kinds = [EventKind::Term, EventKind::Livelock, EventKind::Refused];
    let others =
        (4..=12).map(|number| (number, if number % 2 == 0 { EventKind::KernelOom } else { EventKind::OomdKill }));
    for (number, kind) in (1..).zip(kinds).chain(others) {
        daemon.say(kind, number, |_| ());
        until("the file", || state.names().iter().any(|name| name.ends_with(&format!("-{number}.json"))).then_some(()));
        std::thread::sleep(Duration::from_millis(20));
        // Else the journal would be full.
        state.journald.entry();
    }
    let numbers = || -> Vec<String> {
        state.names().into_iter().map(|name| name.rsplit_once('-').unwrap().1.to_owned()).collect()
    };
    until("the last to go", || {
        (numbers() == ["1.json", "2.json", "3.json", "10.json", "11.json", "12.json"]).then_some(())
    });
    // Nor the other way round: with half of the room they are as good as anybody.
    daemon.term(13);
    until("the oldest to go", || {
        (numbers() == ["2.json", "3.json", "10.json", "11.json", "12.json", "13.json"]).then_some(())
    });
    assert!(daemon.stop());
}

#[test]
fn a_shortage_finds_room_among_many_kills() {
    let state = Place::new();
    let daemon = state.start_with(STILL, 500, false);
    for number in 1..=200 {
        // Another's each: none is held back in the journal.
        daemon.say(EventKind::KernelOom, number, |event| event.uid = Some(number));
        // Nothing is lost on the way: the queue is short.
        until("the file", || file_of(&state, number));
        state.journald.entry();
    }
    daemon.term(201);
    until("the act", || file_of(&state, 201));
    assert!(daemon.stop());
    assert_eq!(state.names().len(), 201);
}

/// The name of the file of this number.
fn file_of(state: &Place, number: u32) -> Option<String> {
    state.names().into_iter().find(|name| name.ends_with(&format!("Z-{number}.json")))
}

#[test]
fn the_oldest_go_when_they_are_too_large_and_those_of_a_wrong_clock_first() {
    let state = Place::new();
    fs::create_dir_all(state.file("incidents")).unwrap();
    let place = |name: &str, size: u64, age: i64| {
        let file = fs::File::create(state.file("incidents").join(name)).unwrap();
        file.set_len(size).unwrap();
        let now = std::time::SystemTime::now();
        let age_s = Duration::from_secs(age.unsigned_abs());
        file.set_modified(if age < 0 { now + age_s } else { now - age_s }).unwrap();
    };
    place("20200101T000000Z-1.json", 30 << 20, 2000);
    place("20200101T000000Z-2.json", 30 << 20, 1000);
    place("20990101T000000Z-3.json", 30 << 20, -100_000);
    let daemon = state.start(STILL);
    daemon.say(EventKind::KernelOom, 4, |_| ());
    until("the one of the future to go", || (!state.file("incidents/20990101T000000Z-3.json").exists()).then_some(()));
    assert!(daemon.stop());
    assert_eq!(state.names().len(), 3);
}

#[test]
fn what_a_crash_left_is_cleared_and_completed() {
    let state = Place::new();
    let daemon = state.start(STILL);
    daemon.term(1);
    let mut open = state.wait("the act", |_| true);
    assert!(daemon.stop());
    // As it would be after a crash.
    open.id = "20250101T000000Z-1".into();
    let incidents = state.file("incidents");
    fs::write(incidents.join("20250101T000000Z-1.json"), serde_json::to_vec(&open).unwrap()).unwrap();
    fs::write(incidents.join(".20250101T000000Z-2.json.new"), "{\"schema\":1,").unwrap();
    fs::write(state.file(".current.json.new"), "{").unwrap();
    fs::write(incidents.join("20250101T000000Z-3.json"), "{\"schema\":1,\"state\":\"open\"").unwrap();

    let daemon = state.start(STILL);
    let path = incidents.join("20250101T000000Z-1.json");
    until("its completion", || {
        let incident: Incident = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        (incident.state == State::Complete && incident.after.is_none()).then_some(())
    });
    let entry = state.entry("degraded");
    assert!(entry.message().contains("20250101T000000Z-3.json can't be read"), "{}", entry.message());
    assert!(daemon.stop());
    assert!(!state.file(".current.json.new").exists());
    assert!(!state.names().iter().any(|name| name.starts_with('.')), "{:?}", state.names());
}

#[test]
fn current_json_is_replaced_again_and_again_while_it_lasts() {
    let state = Place::new();
    let daemon = state.start(Pace { current_every: Duration::from_millis(10), ..STILL });
    daemon.warn(1);
    let inode = |state: &Place| fs::metadata(state.file("current.json")).ok().map(|meta| meta.ino());
    let first = until("current.json", || inode(&state));
    let line = Box::new(KernelLine { t_ms: u64::MAX, text: "hung".into() });
    daemon.sender.evidence().unwrap().send(Evidence::KernelLine(line)).unwrap();
    until("another file", || inode(&state).filter(|inode| *inode != first));
    until("what is new", || {
        // It is read so often that a record may find no room.
        daemon.record(1);
        let current = state.wait_current();
        (!current.before.is_empty() && current.kernel_lines.len() == 1).then_some(())
    });
    assert!(daemon.stop());
    assert_eq!(state.incidents()[0].kernel_lines.len(), 1);
}

/// Leaves the files as a daemon that was killed in the middle of an incident would.
fn crashed(state: &Place, boot_id: &str) {
    let daemon = state.start(STILL);
    daemon.record(7 << 30);
    daemon.term(1);
    let open = state.wait("the act", |_| true);
    let mut current = state.wait_current();
    assert!(daemon.stop());
    if !boot_id.is_empty() {
        current.host.boot_id = Some(boot_id.to_owned());
    }
    // Another run: its start is another second.
    let (run, run_1) = ("20250101T000000Z", "20250101T000000Z-1");
    fs::remove_dir_all(state.file("incidents")).unwrap();
    fs::create_dir(state.file("incidents")).unwrap();
    let open = Incident { id: run_1.into(), ..open };
    fs::write(state.file(&format!("incidents/{run}-1.json")), serde_json::to_vec(&open).unwrap()).unwrap();
    let current = Incident { id: run_1.into(), ..current };
    fs::write(state.file("current.json"), serde_json::to_vec(&current).unwrap()).unwrap();
}

#[test]
fn an_unclean_end_is_an_incident_of_the_next_run() {
    for (boot_id, said) in [("", "only hogwatch ended"), ("another-boot", "the machine was restarted since")] {
        let state = Place::new();
        crashed(&state, boot_id);
        let daemon = state.start(STILL);
        let entry = until("the entry", || {
            let entry = state.entry("degraded");
            (entry.get("HOGWATCH_KIND") == Some("unclean_end")).then_some(entry)
        });
        assert!(
            entry.message().contains(said) && entry.message().contains("with 7.0 GiB available"),
            "{}",
            entry.message()
        );
        let id = entry.get("HOGWATCH_INCIDENT").expect("an incident").to_owned();
        assert!(id.ends_with("-0") && entry.message().contains(&id), "{id}");
        let text = fs::read(state.file("incidents").join(format!("{id}.json"))).unwrap();
        let incident: Incident = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            (incident.kind.as_str(), incident.cause, incident.state),
            ("unclean_end", Cause::Unknown, State::Complete)
        );
        assert_eq!((&incident.id, incident.end_ms, incident.before.len()), (&id, None, 1));
        assert!(incident.reason.contains(said), "{}", incident.reason);
        let events: Vec<_> = incident.events.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(events, ["term", "degraded"]);
        until("current.json to go", || (!state.file("current.json").exists()).then_some(()));
        assert!(daemon.stop());
        let kinds: Vec<_> = state.incidents().into_iter().map(|incident| (incident.kind, incident.state)).collect();
        assert_eq!(kinds, [("unclean_end".into(), State::Complete), ("memory".into(), State::Complete)]);
    }
}

/// Puts something in a file's place.
type Puts<'a> = &'a dyn Fn(&PathBuf);

/// Puts something in the way.
type Blocks<'a> = &'a dyn Fn(&Place);

#[test]
fn a_current_json_that_is_none_is_set_aside_and_said() {
    let future = r#"{"schema":2,"id":"20250101T000000Z-1","kind":"x","cause":"unknown","state":"open","begin_ms":0,
        "end_ms":null,"host":{"name":null,"kernel":null,"hogwatch":"9","boot_id":null,"mem_total_bytes":null,
        "swap_total_bytes":null},"thresholds":null,"cgroup":null,"limit_bytes":null,"victim":null,"kernel":null,"after":null}"#;
    let cases: [(&str, Puts); 7] = [
        ("holds no incident", &|path| fs::write(path, "not JSON at all").unwrap()),
        ("holds no incident", &|path| fs::write(path, "").unwrap()),
        ("holds no incident", &|path| fs::write(path, "{\"schema\":1,\"id\":\"20250101T0").unwrap()),
        ("schema 2", &|path| fs::write(path, future).unwrap()),
        ("more than the", &|path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap()),
        ("symbolic link", &|path| symlink("/etc/passwd", path).unwrap()),
        ("no regular file", &|path| fs::create_dir(path).unwrap()),
    ];
    for (said, place) in cases {
        let state = Place::new();
        fs::create_dir_all(state.state()).unwrap();
        place(&state.file("current.json"));
        let daemon = state.start(STILL);
        let entry = state.entry("degraded");
        let message = entry.message();
        assert!(message.contains(said) && message.contains("set aside as current.json.bad"), "{said}: {message}");
        assert!(fs::symlink_metadata(state.file("current.json.bad")).is_ok());
        // And all goes on as ever.
        daemon.warn(1);
        state.wait_current();
        assert!(daemon.stop());
        assert_eq!(state.incidents().len(), 1, "{said}");
    }
}

#[test]
fn what_cannot_be_written_is_said_once_and_the_journal_has_all() {
    let in_the_way: [(&str, Blocks); 3] = [
        ("Not a directory", &|state| {
            fs::create_dir_all(state.state()).unwrap();
            fs::write(state.file("incidents"), "a file").unwrap();
        }),
        ("incidents is a symbolic link", &|state| {
            fs::create_dir_all(state.state()).unwrap();
            symlink(state.dir.path(), state.file("incidents")).unwrap();
        }),
        ("state is a symbolic link", &|state| {
            fs::create_dir_all(state.dir.path().join("elsewhere")).unwrap();
            symlink("elsewhere", state.state()).unwrap();
        }),
    ];
    for (why, place) in in_the_way {
        let state = Place::new();
        place(&state);
        let daemon = state.start(STILL);
        for number in 1..=3 {
            daemon.term(number);
        }
        assert!(daemon.stop());
        let mut terms = 0;
        let mut told = Vec::new();
        while terms < 3 || told.is_empty() {
            let entry = state.journald.entry();
            match entry.get("HOGWATCH_EVENT") {
                Some("term") => terms += 1,
                Some("degraded") => told.push(entry.message().to_owned()),
                other => panic!("{other:?}"),
            }
        }
        assert!(told.len() == 1 && told[0].contains(why), "{why}: {told:?}");
    }
    assert!(!std::path::Path::new("elsewhere/incidents").exists());
}
