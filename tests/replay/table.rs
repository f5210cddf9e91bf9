//! The table of detectors: bounded, and who has to make room.

use std::time::Duration;

use hogwatch::decide::livelock::{Table, Terms, Verdict};

use crate::simulate::{Now, TERMS, livelock, samples};

#[test]
fn a_full_table_gives_up_the_quiet_first_then_the_watched_and_never_the_stuck() {
    let mut table = Table::new(3);
    let stuck = samples(livelock, 0.25, 20.0);
    let quiet = samples(|_| Now::default(), 0.25, 20.0);
    let watched = samples(|_| Now { high_events: 20.0, ..Now::default() }, 0.25, 20.0);
    for ((stuck, watched), quiet) in stuck.iter().zip(&watched).zip(&quiet) {
        table.push(1, &TERMS, stuck);
        table.push(2, &TERMS, watched);
        table.push(3, &TERMS, quiet);
    }
    let verdicts = |table: &Table| [1, 2, 3, 4, 5, 6].map(|id| table.get(id).map(|d| d.verdict()));
    assert!(matches!(
        verdicts(&table),
        [Some(Verdict::Stalled(_)), Some(Verdict::Watching), Some(Verdict::Quiet), None, None, None]
    ));
    assert_eq!(table.push(4, &TERMS, &stuck[80]), Some(Verdict::Watching));
    assert!(table.get(3).is_none() && table.get(2).is_some());
    for sample in &stuck {
        table.push(4, &TERMS, sample);
    }
    table.push(5, &TERMS, &stuck[0]);
    assert!(table.get(2).is_none());
    for sample in &stuck {
        table.push(5, &TERMS, sample);
    }
    assert_eq!(table.push(6, &TERMS, &stuck[0]), None, "all are stuck");
    assert_eq!(table.len(), 3);
    assert!(table.remove(4) && !table.remove(4));
    assert_eq!(table.push(6, &TERMS, &stuck[0]), Some(Verdict::Quiet));
}

#[test]
fn other_terms_begin_a_new_window() {
    let mut table = Table::new(1);
    let stuck = samples(livelock, 0.25, 40.0);
    let mut last = None;
    for (n, sample) in stuck.iter().enumerate() {
        let after = Duration::from_secs(if n < 80 { 10 } else { 12 });
        last = table.push(1, &Terms { after, ..TERMS }, sample);
        match n {
            79 => assert!(matches!(last, Some(Verdict::Stalled(_)))),
            80..128 => assert_eq!(last, Some(Verdict::Watching), "{n}"),
            _ => {}
        }
    }
    assert!(matches!(last, Some(Verdict::Stalled(_))));
    table.get_mut(1).unwrap().restart();
    assert_eq!(table.get(1).map(|d| d.verdict()), Some(Verdict::Quiet));
}
