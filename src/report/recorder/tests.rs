use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use super::super::incident::schema;
use super::*;

const KEEP: Duration = Duration::from_secs(600);
const MIB: u64 = 1 << 20;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So long after boot it is so long after 1970.
fn anchor(since_boot: Duration, since_1970: Duration) -> Anchor {
    Anchor { since_boot, date: UNIX_EPOCH + since_1970 }
}

fn measured(available: u64) -> Measured {
    Measured { available, ..Measured::default() }
}

fn top<'a>(pid: i32, comm: &'a [u8], cgroup: Option<&'a [u8]>) -> Top<'a> {
    Top { pid, comm, size: 7 * MIB, swap: 2 * MIB, cgroup }
}

#[test]
fn all_of_it_fits_and_reaches_back_as_far_as_asked() {
    let bytes = Ring::<SampleEntry, SAMPLES>::BYTES
        + Ring::<TopsEntry, TOPS>::BYTES
        + Ring::<CgroupSampleEntry, OF_CGROUPS>::BYTES
        + Paths::BYTES;
    assert!(bytes + size_of::<Shared>() <= RECORDER_BYTES);
    for (keep, sample, tops) in [(1, 500, 5000), (600, 500, 5000), (1200, 1000, 10_000), (86_400, 72_000, 720_000)] {
        let recorder = Recorder::new(seconds(keep));
        assert_eq!(recorder.sample_pause(), Duration::from_millis(sample));
        assert_eq!(recorder.tops_pause(), Duration::from_millis(tops));
        let (mut at, end) = (seconds(0), seconds(3 * keep + 60));
        while at <= end {
            recorder.sample(at, &measured(1));
            at += recorder.sample_pause();
        }
        let seen = recorder.recorded_at(seconds(keep), anchor(end, end));
        let oldest = end.checked_sub(Duration::from_millis(seen.samples[0].t_ms)).unwrap();
        assert!(oldest <= seconds(keep), "{oldest:?}");
        assert!(
            oldest + recorder.sample_pause() > seconds(keep),
            "the fastest beat leaves the oldest there: {oldest:?}"
        );
    }
}

#[test]
fn a_thin_reading_has_all_of_late_and_now_and_then_one_before() {
    let recorder = Recorder::new(KEEP);
    for half in 0..1200_u32 {
        let at = Duration::from_millis(500) * half;
        recorder.sample(at, &measured(1));
        if half % 10 == 0 {
            recorder.tops(at, [top(1, b"x", None)].into_iter(), std::iter::empty());
        }
    }
    let thinning = Thinning { fine: Some(seconds(120)), samples_every: seconds(5), tops_every: seconds(30) };
    let seen = recorder.recorded_thinly(Duration::ZERO, anchor(KEEP, KEEP), thinning);
    let (coarse, fine): (Vec<u64>, Vec<u64>) =
        seen.samples.iter().map(|sample| sample.t_ms).partition(|t_ms| *t_ms < 480_000);
    assert!(coarse.windows(2).all(|two| two[1] - two[0] == 5000), "{coarse:?}");
    assert!(fine.windows(2).all(|two| two[1] - two[0] == 500));
    assert_eq!((coarse.len(), fine.len(), seen.tops.len()), (96, 240, 16 + 24));
}

#[test]
fn what_is_older_than_asked_is_left_out() {
    let recorder = Recorder::new(KEEP);
    for at in (0..=1000).step_by(100) {
        recorder.sample(seconds(at), &measured(at));
        recorder.tops(seconds(at), [top(1, b"x", None)].into_iter(), std::iter::empty());
    }
    recorder.candidates(seconds(850), std::iter::once(ranked(top(1, b"x", None))));
    let available = |last| {
        let seen = recorder.recorded_at(last, anchor(seconds(1000), seconds(1000)));
        assert_eq!(seen.samples.len(), seen.tops.len());
        (seen.samples.iter().map(|s| s.available_bytes).collect::<Vec<_>>(), seen.candidates.len())
    };
    assert_eq!(available(seconds(200)), (vec![800, 900, 1000], 1));
    assert_eq!(available(seconds(100)), (vec![900, 1000], 0));
    assert_eq!(available(seconds(5000)), (vec![400, 500, 600, 700, 800, 900, 1000], 1), "no further than it keeps");
    recorder.set_keep(seconds(300));
    assert_eq!(available(seconds(5000)).0, [700, 800, 900, 1000]);
}

#[test]
fn samples_too_fast_push_out_the_oldest() {
    let recorder = Recorder::new(KEEP);
    let count = u64::try_from(SAMPLES + 1000).unwrap();
    (0..count).for_each(|n| recorder.sample(Duration::from_millis(n), &measured(n)));
    let seen = recorder.recorded_at(KEEP, anchor(seconds(4), seconds(4))).samples;
    let all: Vec<_> = seen.iter().map(|sample| sample.available_bytes).collect();
    assert_eq!(all, (1000..count).collect::<Vec<_>>());
}

#[test]
fn fill_rates_are_differences() {
    let recorder = Recorder::new(KEEP);
    let measure = |at, available, other_scope| {
        recorder.sample(Duration::from_millis(at), &Measured { other_scope, ..measured(available) });
    };
    measure(0, 1000 * MIB, false);
    measure(500, 990 * MIB, false);
    measure(1500, 1010 * MIB, false);
    measure(1500, 1000 * MIB, false);
    measure(2500, 10 * MIB, true);
    measure(3500, 9 * MIB, false);
    let now = anchor(Duration::from_millis(3500), seconds(10));
    let rates = |last| -> Vec<_> {
        recorder.recorded_at(last, now).samples.iter().map(|sample| sample.fill_bytes_per_s).collect()
    };
    let mib = i64::try_from(MIB).unwrap();
    assert_eq!(rates(KEEP), [None, Some(20 * mib), Some(-20 * mib), None, None, Some(mib)]);
    assert_eq!(rates(Duration::from_millis(500)), [Some(mib)], "of the one before, though that is not asked for");
}

#[test]
fn a_date_that_is_set_puts_nothing_out_of_order() {
    let recorder = Recorder::new(KEEP);
    for at in [100, 101, 102] {
        recorder.sample(seconds(at), &Measured { psi_some_centi: Some(1234), ..measured(at) });
        recorder.tops(seconds(at), [top(1, b"x", None)].into_iter(), std::iter::empty());
    }
    let times = |date| -> Vec<u64> {
        let seen = recorder.recorded_at(KEEP, anchor(seconds(110), date));
        assert_eq!(
            seen.tops.iter().map(|tops| tops.t_ms).collect::<Vec<_>>(),
            seen.samples.iter().map(|s| s.t_ms).collect::<Vec<_>>()
        );
        seen.samples.iter().map(|sample| sample.t_ms).collect()
    };
    // Read at one date, and at another an hour before it: each time as of the clock at the reading.
    assert_eq!(times(seconds(1_000_000)), [999_990_000, 999_991_000, 999_992_000]);
    assert_eq!(times(seconds(996_400)), [996_390_000, 996_391_000, 996_392_000]);
    assert_eq!(times(seconds(9)), [0, 0, 1000], "never before 1970");
    // What came in between the anchor and the copy is of the moments after it.
    let seen = recorder.recorded_at(KEEP, anchor(seconds(101), seconds(1000))).samples;
    assert_eq!(seen.iter().map(|sample| sample.t_ms).collect::<Vec<_>>(), [999_000, 1_000_000, 1_001_000]);
    assert_eq!(seen[0].psi_some_percent, Some(12.34));
}

fn ranked(task: Top<'_>) -> Ranked<'_> {
    Ranked { task, uid: Some(1000), tier: "ordinary", oom_score_adj: Some(-5) }
}

#[test]
fn names_come_out_escaped_and_the_first_eight_count() {
    let recorder = Recorder::new(KEEP);
    let hostile: &[u8] = b"/a\n\x1b[31m.service";
    let tasks = (1..=20).map(|pid| top(pid, b"evil\nname", Some(hostile)));
    recorder.tops(seconds(1), tasks.clone(), std::iter::repeat_n((hostile, 9 * MIB), 20));
    recorder.candidates(seconds(1), tasks.map(ranked));
    let seen = recorder.recorded_at(KEEP, anchor(seconds(1), seconds(1)));
    let tops = &seen.tops[0];
    assert_eq!((tops.tasks.len(), tops.cgroups.len(), seen.candidates.len()), (LARGEST, LARGEST, LARGEST));
    assert_eq!(tops.tasks[7].pid, 8);
    assert_eq!(tops.tasks[0].comm, "evil\\nname");
    assert_eq!((tops.tasks[0].size_bytes, tops.tasks[0].swap_bytes), (7 * MIB, 2 * MIB));
    assert_eq!(tops.tasks[0].cgroup.as_deref(), Some("/a\\n\\x1b[31m.service"));
    assert_eq!((tops.cgroups[0].path.as_str(), tops.cgroups[0].size_bytes), ("/a\\n\\x1b[31m.service", 9 * MIB));
    let last = &seen.candidates[7];
    assert_eq!((last.rank, last.pid, last.uid, last.oom_score_adj), (8, 8, Some(1000), Some(-5)));
    assert_eq!((last.comm.as_str(), last.tier.as_str()), ("evil\\nname", "ordinary"));
    assert_eq!(last.cgroup.as_deref(), Some("/a\\n\\x1b[31m.service"));
}

/// Samples of a cgroup: when and what it held.
fn of(recorder: &Recorder, path: &str, last: Duration, now: Anchor) -> Vec<(u64, u64)> {
    let samples = recorder.of_cgroup_at(path, last, now);
    samples.iter().map(|sample| (sample.t_ms, sample.current_bytes)).collect()
}

fn write(recorder: &Recorder, at: u64, id: u64, path: &str) -> bool {
    let sample = CgroupSample { current_bytes: at, ..CgroupSample::default() };
    recorder.cgroup(seconds(at), id, path.as_bytes(), &sample)
}

#[test]
fn a_cgroup_is_read_without_the_others() {
    let recorder = Recorder::new(KEEP);
    let long = format!("/{}/end.service", "nested/".repeat(60).trim_end_matches('/'));
    let paths = ["/a.slice", "/a.slice/b.service", &long];
    for at in 0..50 {
        for (id, path) in (1..).zip(paths) {
            assert!(write(&recorder, at, id, path));
        }
    }
    let now = anchor(seconds(50), seconds(1000));
    let all: Vec<_> = (0..50).map(|at| ((950 + at) * 1000, at)).collect();
    for path in paths {
        assert_eq!(of(&recorder, path, KEEP, now), all, "{path}");
        assert_eq!(of(&recorder, path, seconds(3), now), all[47..], "{path}");
    }
    assert_eq!(of(&recorder, "/b.service", KEEP, now), []);
    write(&recorder, 50, 4, "/a\n.slice");
    assert_eq!(of(&recorder, "/a\\n.slice", KEEP, now), [(1_000_000, 50)], "as incidents have it");
    write(&recorder, 50, 5, "/a.slice");
    assert_eq!(of(&recorder, "/a.slice", KEEP, now), [(1_000_000, 50)], "made anew it is another one");
    recorder.set_keep(seconds(2));
    assert_eq!(of(&recorder, "/a.slice/b.service", KEEP, now), all[48..], "no further than it keeps");

    recorder.set_keep(KEEP);
    let later = anchor(seconds(200), seconds(200));
    (0..u64::try_from(OF_CGROUPS).unwrap()).for_each(|_| assert!(write(&recorder, 200, 6, "/new.slice")));
    let left = ["/a.slice/b.service", "/new.slice"].map(|path| of(&recorder, path, KEEP, later).len());
    assert_eq!(left, [0, OF_CGROUPS], "the oldest are gone");
}

#[test]
fn readings_of_which_each_begins_where_the_last_ended_leave_nothing_out() {
    let recorder = Recorder::new(KEEP);
    for at in 1..=5 {
        recorder.sample(seconds(at), &measured(at));
        recorder.tops(seconds(at), [top(1, b"x", None)].into_iter(), std::iter::empty());
        write(&recorder, at, 1, "/a.slice");
    }
    // What came in between the moment of a reading and the reading itself is left to the next one.
    for (since, until, expected) in [(0, 2, vec![1, 2]), (2, 4, vec![2, 3, 4]), (4, 5, vec![4, 5])] {
        let (since, until) = (seconds(since), anchor(seconds(until), seconds(until)));
        let seen = recorder.recorded_thinly(since, until, Thinning::default());
        let of_cgroup = recorder.of_cgroup("/a.slice", since, until);
        let expected: Vec<u64> = expected.into_iter().map(|at| at * 1000).collect();
        assert_eq!(seen.samples.iter().map(|one| one.t_ms).collect::<Vec<_>>(), expected);
        assert_eq!(seen.tops.iter().map(|one| one.t_ms).collect::<Vec<_>>(), expected);
        assert_eq!(of_cgroup.iter().map(|one| one.t_ms).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn of_more_cgroups_than_there_are_places_the_first_are_kept_until_they_are_calm() {
    let recorder = Recorder::new(KEEP);
    let count = u64::try_from(STALLING).unwrap();
    let path = |id: u64| format!("/{id}.slice");
    for at in 0..20 {
        for id in 0..2 * count {
            assert_eq!(write(&recorder, at, id, &path(id)), id < count, "{id} at {at} s");
        }
    }
    let now = anchor(seconds(20), seconds(20));
    for id in 0..count {
        assert_eq!(of(&recorder, &path(id), KEEP, now).len(), 20);
    }
    // Of so many at once not every sample.
    let soon = |id: u64| recorder.cgroup(Duration::from_millis(19_250), id, b"/", &CgroupSample::default());
    assert!(!soon(1));
    // All go on but one: its place is given away when it has been calm.
    for at in 20..40 {
        for id in 1..count {
            write(&recorder, at, id, &path(id));
        }
        assert_eq!(write(&recorder, at, count, &path(count)), at >= 29, "{at} s");
    }
}

#[test]
fn a_path_that_is_crowded_out_is_absent_and_never_anothers() {
    let recorder = Recorder::new(KEEP);
    let lists = u64::try_from(TOPS).unwrap();
    for at in 0..lists {
        let paths: Vec<_> = (0..8).map(|n| format!("/{at}/{n}")).collect();
        let tasks = paths.iter().map(|path| top(1, b"x", Some(path.as_bytes())));
        recorder.tops(seconds(at), tasks, paths.iter().map(|path| (path.as_bytes(), MIB)));
    }
    let seen = recorder.recorded_at(KEEP, anchor(seconds(lists), seconds(lists))).tops;
    assert_eq!(seen.len(), TOPS);
    for (at, tops) in seen.iter().enumerate() {
        assert_eq!(tops.tasks.len(), 8);
        for (n, task) in tops.tasks.iter().enumerate() {
            let recent = seen.len() - at <= 16;
            assert_eq!(task.cgroup, recent.then(|| format!("/{at}/{n}")), "128 paths are known");
        }
    }
}

#[test]
fn the_guard_never_waits_for_the_reader() {
    let recorder = Recorder::new(KEEP);
    recorder.sample(seconds(1), &measured(1));
    let reading = recorder.read();
    recorder.sample(seconds(2), &measured(2));
    recorder.tops(seconds(2), std::iter::empty(), std::iter::empty());
    recorder.candidates(seconds(2), std::iter::empty());
    recorder.cgroup(seconds(2), 1, b"/", &CgroupSample::default());
    drop(reading);
    recorder.sample(seconds(3), &measured(3));
    assert_eq!(recorder.missed(), 4);
    let seen = recorder.recorded_at(KEEP, anchor(seconds(3), seconds(3)));
    assert_eq!(seen.samples.iter().map(|sample| sample.available_bytes).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_is_read_while_it_is_written_is_whole_and_in_order() {
    /// Enough for the ring to go round while it is read.
    const READINGS: usize = 100;
    let recorder = Recorder::new(KEEP);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                write_alike(&recorder, n);
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        // However the reading ends: a writer that goes on would hide why.
        let _stopped = Stop(&stop);
        let mut readings = 0;
        while readings < READINGS || recorder.read().samples.end() < 2 * SAMPLES {
            let now = anchor(Duration::ZERO, Duration::ZERO);
            let recorded = recorder.recorded_at(KEEP, now);
            check_alike(&recorded);
            let of_cgroup = recorder.of_cgroup_at("/always", KEEP, now);
            for sample in &of_cgroup {
                assert_eq!((sample.current_bytes, sample.stalled_us), (sample.t_ms, sample.t_ms));
            }
            assert!(of_cgroup.windows(2).all(|two| two[0].t_ms < two[1].t_ms && (two[1].t_ms - two[0].t_ms) % 8 == 0));
            readings += 1;
        }
    });
    let last = recorder.recorded_at(KEEP, anchor(Duration::ZERO, Duration::ZERO));
    check_alike(&last);
    assert_eq!((last.samples.len(), last.candidates.len()), (SAMPLES, 1));
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All of a sample, a list, a cgroup and an act says the same: `n`.
fn write_alike(recorder: &Recorder, n: u64) {
    let at = Duration::from_millis(n);
    let missed = recorder.missed();
    recorder.sample(at, &Measured { swap_free: Some(n), zram: Some(n), ..measured(n) });
    let path = format!("/{n}");
    let path = path.as_bytes();
    let task = Top { size: n, swap: n, ..top(1, path, Some(path)) };
    recorder.tops(at, [task].into_iter(), [(path, n)].into_iter());
    recorder.cgroup(
        at,
        n % 8,
        b"/always",
        &CgroupSample { current_bytes: n, stalled_us: n, ..CgroupSample::default() },
    );
    recorder.candidates(at, [ranked(task)].into_iter());
    if recorder.missed() > missed {
        // The reader may have lost its core in the middle.
        std::thread::yield_now();
    }
}

fn check_alike(recorded: &Recorded) {
    for sample in &recorded.samples {
        let n = sample.t_ms;
        assert_eq!((sample.available_bytes, sample.swap_free_bytes, sample.zram_bytes), (n, Some(n), Some(n)));
    }
    for tops in &recorded.tops {
        let (task, n, path) = (&tops.tasks[0], tops.t_ms, format!("/{}", tops.t_ms));
        assert_eq!(
            (task.size_bytes, task.comm.as_str(), task.cgroup.as_deref()),
            (n, path.as_str(), Some(path.as_str()))
        );
        assert_eq!(tops.cgroups, [schema::TopCgroup { path, size_bytes: n }]);
    }
    for candidate in &recorded.candidates {
        let name = format!("/{}", candidate.size_bytes);
        assert_eq!((candidate.comm.as_str(), candidate.cgroup.as_deref()), (name.as_str(), Some(name.as_str())));
    }
    assert!(recorded.samples.is_sorted_by(|a, b| a.t_ms < b.t_ms));
    assert!(recorded.tops.is_sorted_by(|a, b| a.t_ms < b.t_ms));
}
