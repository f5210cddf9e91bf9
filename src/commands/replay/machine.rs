//! Replays a trace of the machine as a whole.

use std::io::{BufRead, Write};

use serde_json::json;

use crate::config::{Config, LivelockAction};
use crate::decide::livelock::{Kind, MachineDetector, MachineEpisode, MachineSample, MachineStall};
use crate::decide::measure::percent;
use crate::report::Size;

use super::Ended;
use super::cgroup::whom;
use super::trace::{Entry, Trace};

/// Prints what would have been done; how many samples there were.
pub(super) fn replay(
    trace: &mut Trace<impl BufRead>,
    config: &Config,
    json: bool,
    out: &mut impl Write,
) -> Result<u64, Ended> {
    let thrash_after = config.livelock.thrash_after;
    let (mut detector, mut episode) = (MachineDetector::new(thrash_after), MachineEpisode::default());
    let mut samples = 0;
    while let Some(entry) = trace.next_machine_entry().map_err(Ended::Bad)? {
        samples += 1;
        if !config.livelock.enabled {
            continue;
        }
        let sample = &entry.sample;
        let verdict = detector.push(sample);
        let is_short = |stall: &MachineStall| {
            let (term, swap_term) = (config.memory.term.of(sample.mem_total), config.swap.term.of(sample.swap_total));
            stall.is_short(term, swap_term)
        };
        let Some(stall) = episode.follow(&verdict, sample.t, thrash_after, is_short) else { continue };
        // There is no limit that could be lifted.
        let kills = config.livelock.action == LivelockAction::Kill && is_short(&stall);
        let line = if json { as_json(&entry, &stall, kills) } else { as_text(&entry, &stall, kills) };
        writeln!(out, "{line}").map_err(Ended::Unwritable)?;
    }
    Ok(samples)
}

fn as_json(entry: &Entry<MachineSample>, stall: &MachineStall, kills: bool) -> String {
    json!({
        "schema": 1,
        "t_ms": entry.t_ms,
        "event": "livelock",
        "kind": Kind::SwapThrash.name(),
        "cgroup": null,
        "pid": entry.largest,
        "action": if kills { "term" } else { "warn" },
        "reason": reason(&entry.sample, stall),
    })
    .to_string()
}

fn as_text(entry: &Entry<MachineSample>, stall: &MachineStall, kills: bool) -> String {
    let what = if kills { format!("would send SIGTERM to {}", whom(entry.largest)) } else { "would warn".to_owned() };
    let kind = Kind::SwapThrash.name();
    format!("{} ms: {what}: the machine is stuck ({kind}), {}", entry.t_ms, reason(&entry.sample, stall))
}

fn reason(sample: &MachineSample, stall: &MachineStall) -> String {
    format!(
        "its memory is swapped out and in: {:.0} % of the last {:.0} s stalled, programs got {:.0} % of the processors' work, {:.1} % available ({}), {} of swap free",
        stall.stalled * 100.0,
        stall.window.as_secs_f64(),
        stall.programs * 100.0,
        percent(sample.available, sample.mem_total),
        Size(sample.available),
        Size(sample.swap_free),
    )
}
