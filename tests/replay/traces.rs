//! The recorded traces: each judged right, in time, at any window, any pace of sampling, and with gaps.

use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use flate2::read::GzDecoder;
use hogwatch::commands::replay::trace::{Subject, Trace};
use hogwatch::decide::livelock::{Detector, Kind, MachineSample, Sample, Terms};
use proptest::prelude::*;

use crate::simulate::{TERMS, found_on};

/// What the recorder expected of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Livelock,
    Thrash,
    Healthy,
}

pub struct Recorded<S = Sample> {
    pub name: String,
    pub expected: Expected,
    /// When it began, in seconds; the first sample of a healthy one.
    pub onset: f64,
    pub samples: Vec<S>,
}

/// All traces of cgroups, by name.
pub fn all() -> Vec<Recorded> {
    files(Subject::Cgroup, |trace| trace.next_entry().unwrap().map(|entry| (entry.sample.t, entry.sample)))
}

/// All traces of the machine as a whole, by name.
pub fn all_of_machines() -> Vec<Recorded<MachineSample>> {
    files(Subject::Machine, |trace| trace.next_machine_entry().unwrap().map(|entry| (entry.sample.t, entry.sample)))
}

type File = Trace<BufReader<std::fs::File>>;

fn files<S>(scope: Subject, next: impl Fn(&mut File) -> Option<(Duration, S)>) -> Vec<Recorded<S>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().filter_map(|path| read(path, scope, &next)).collect()
}

fn read<S>(path: &PathBuf, scope: Subject, next: impl Fn(&mut File) -> Option<(Duration, S)>) -> Option<Recorded<S>> {
    let mut trace = Trace::open(BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
    if trace.header().scope != scope {
        return None;
    }
    let text = std::io::read_to_string(GzDecoder::new(std::fs::File::open(path).unwrap())).unwrap();
    let header: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let header = &header["header"];
    let timed: Vec<(Duration, S)> = std::iter::from_fn(|| next(&mut trace)).collect();
    let expected = match header["expected"].as_str().unwrap() {
        "livelock" => Expected::Livelock,
        "thrash" => Expected::Thrash,
        "healthy" => Expected::Healthy,
        other => panic!("{other} is expected of {path:?}"),
    };
    let onset = match expected {
        Expected::Healthy => timed[0].0.as_secs_f64(),
        Expected::Livelock | Expected::Thrash => header["onset_ms"].as_f64().unwrap() / 1000.0,
    };
    let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".jsonl.gz").unwrap().to_owned();
    Some(Recorded { name, expected, onset, samples: timed.into_iter().map(|(_, sample)| sample).collect() })
}

fn is_right(kind: Kind, expected: Expected) -> bool {
    match expected {
        Expected::Livelock => matches!(kind, Kind::Throttled | Kind::Squeezed),
        // A cgroup that thrashes its files away ends up squeezed, then throttled.
        Expected::Thrash => kind != Kind::OomStuck,
        Expected::Healthy => false,
    }
}

/// Judges a trace as sampled, with `late` seconds more allowed than a window and the time to reach it.
fn check(trace: &Recorded, samples: &[Sample], terms: &Terms, late: f64) {
    let found = found_on(terms, samples);
    let what = format!("{} with {terms:?}: {found:?}, onset {}", trace.name, trace.onset);
    if trace.expected == Expected::Healthy {
        assert_eq!(found, [], "{what}");
        return;
    }
    let (kind, at) = *found.first().unwrap_or_else(|| panic!("nothing found in {what}"));
    assert!(is_right(kind, trace.expected), "{what}");
    let window = if matches!(kind, Kind::Thrash | Kind::SwapThrash) { terms.thrash_after } else { terms.after };
    let after = at - trace.onset;
    assert!(after > 5.0, "{what}");
    assert!(after <= window.as_secs_f64() + late, "{what}");
    assert_eq!(found.len(), 1, "one episode: {what}");
}

#[test]
fn every_trace_is_judged_right_and_in_time() {
    let traces = all();
    assert_eq!(traces.len(), 41);
    for trace in &traces {
        // 16 s after its onset for throttled and squeezed, 50 s for thrash.
        check(trace, &trace.samples, &TERMS, if trace.expected == Expected::Thrash { 20.0 } else { 6.0 });
    }
}

/// Of these samples those that the recorder would have: all while the cgroup stalls, and the one before each beginning.
fn recorded(samples: &[Sample]) -> Vec<Sample> {
    let mut detector = Detector::new(TERMS);
    let stalls: Vec<bool> = samples
        .iter()
        .map(|sample| {
            detector.push(sample);
            detector.wants_stat()
        })
        .collect();
    let kept = |at: usize| stalls[at] || stalls.get(at + 1) == Some(&true);
    samples.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, sample)| *sample).collect()
}

#[test]
fn what_is_recorded_of_a_cgroup_is_judged_as_it_was() {
    for trace in all() {
        let kept = recorded(&trace.samples);
        let (was, is) = (found_on(&TERMS, &trace.samples), found_on(&TERMS, &kept));
        let what = format!("{}: was {was:?}, is {is:?} on {} of {}", trace.name, kept.len(), trace.samples.len());
        assert_eq!(is.len(), was.len(), "{what}");
        for ((_, at_was), (kind, at_is)) in was.iter().zip(&is) {
            // What was before the stall is not recorded: thrash may begin below the share that counts as one, and of two kinds
            // that come to hold within a second the other may be the first.
            assert!(is_right(*kind, trace.expected) && (at_is - at_was).abs() <= 1.0, "{what}");
        }
    }
}

#[test]
fn the_verdicts_hold_at_any_window_and_pace() {
    for trace in all() {
        for window in [6, 8, 10, 12, 15] {
            let after = Duration::from_secs(window);
            for thrash_after in [after, 2 * after, 3 * after] {
                for every in [1, 2, 4] {
                    for first in 0..every {
                        let samples: Vec<_> = trace.samples.iter().skip(first).step_by(every).copied().collect();
                        check(&trace, &samples, &Terms { after, thrash_after, ..TERMS }, 6.0);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verdicts_hold_with_gaps(gaps in proptest::collection::vec((0.5..8.0_f64, 0.5..5.0_f64), 12)) {
        for trace in all() {
            let mut samples = trace.samples.clone();
            let mut from = samples[0].t.as_secs_f64();
            for (good, gap) in &gaps {
                let (begin, end) = (from + good, from + good + gap);
                samples.retain(|sample| !(begin..end).contains(&sample.t.as_secs_f64()));
                from = end;
            }
            // A gap may fall on the moment the window ends.
            check(&trace, &samples, &TERMS, 11.0);
        }
    }
}
