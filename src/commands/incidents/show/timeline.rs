//! Available memory over time as a line of blocks, with what was done below it; likewise how a stuck cgroup stalled.

use std::env;

use super::super::page::Page;
use crate::report::incident::answer::short;
use crate::report::incident::schema::{CgroupSample, Incident, Sample};
use crate::report::incident::stalled::{self, Step};
use crate::report::{Local, Size};

/// Moments in the line.
const COLUMNS: usize = 66;

/// From the last of this many samples on, all are shown as numbers too: how it was just before.
const NUMBERS: usize = 4;

/// What the line is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Glyphs {
    /// Eighths of a block.
    Blocks,
    /// For terminals that have no others.
    Ascii,
}

impl Glyphs {
    /// By the locale, as setlocale(3) finds it.
    pub fn of_this_process() -> Self {
        let of = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Self::of_locale(&of("LC_ALL").or_else(|| of("LC_CTYPE")).or_else(|| of("LANG")).unwrap_or_default())
    }

    fn of_locale(locale: &str) -> Self {
        let locale = locale.to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::Blocks } else { Self::Ascii }
    }

    fn level(self, share: f64) -> char {
        let levels: [char; 8] = match self {
            Self::Blocks => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => ['_', '.', ',', '-', '=', '+', '*', '#'],
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 8, cut to its range")]
        let step = (share * 8.0) as usize;
        levels[step.min(levels.len() - 1)]
    }
}

/// The marks, the gravest first: of two in one place that one is shown.
const MARKS: [(&str, char, &str); 8] = [
    ("kernel_oom", 'O', "kernel's OOM killer"),
    ("oomd_kill", 'D', "systemd-oomd"),
    ("kill", 'K', "SIGKILL"),
    ("term", 'T', "SIGTERM"),
    ("lift", 'L', "memory.high lifted"),
    ("refused", 'N', "refused"),
    ("warn", 'w', "warned"),
    ("recovered", 'r', "recovered"),
];

/// The line with its marks and numbers; nothing without samples.
pub(super) fn write(page: &mut Page, incident: &Incident, glyphs: Glyphs) {
    if incident.before.is_empty() {
        return;
    }
    page.heading(&match incident.cgroup.as_deref() {
        Some(cgroup) if incident.kind == "cgroup_limit" => {
            format!("Available memory below the limit of {}", short(cgroup))
        }
        _ => "Available memory of the machine".to_owned(),
    });
    let most = incident.before.iter().map(|sample| sample.available_bytes).max().unwrap_or(0).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a height of eight steps")]
    let points = incident.before.iter().map(|sample| (sample.t_ms, sample.available_bytes as f64 / most as f64));
    draw(page, incident, glyphs, points, f64::min);
    let limits = incident.thresholds.map_or(String::new(), |limits| {
        let (warn, term, kill) = (Size(limits.warn_bytes), Size(limits.term_bytes), Size(limits.kill_bytes));
        format!("; warn at {warn}, SIGTERM at {term}, SIGKILL at {kill}")
    });
    page.labelled("  ", &format!("the highest is {}{limits}", Size(most)));
    let has_swap = incident.host.swap_total_bytes != Some(0);
    for sample in numbers(incident) {
        page.labelled(&format!("  {}  ", Local::at_ms(sample.t_ms).clock()), &in_numbers(sample, has_swap));
    }
}

/// The cgroup in trouble; nothing where it was not seen to stall.
pub(super) fn write_cgroup(page: &mut Page, incident: &Incident, glyphs: Glyphs) {
    let steps: Vec<Step> = stalled::steps(incident).collect();
    if steps.is_empty() {
        return;
    }
    let (Some(cgroup), Some(at_issue)) = (&incident.cgroup, stalled::at_issue(incident)) else { return };
    page.heading(&format!(
        "How {} stalled{}",
        short(cgroup),
        limits(at_issue, incident.host.swap_total_bytes != Some(0))
    ));
    draw(page, incident, glyphs, steps.iter().map(|step| (step.t_ms, step.stalled)), f64::max);
    page.labelled("  ", "the highest is all of the time in which none of its tasks could run");
    let until = incident.acts.first().map_or(u64::MAX, |act| act.t_ms);
    let before = steps.partition_point(|step| step.t_ms <= until);
    let from = before.saturating_sub(NUMBERS);
    let first = steps.first().filter(|_| from > 0);
    let end = steps.last().filter(|_| before < steps.len());
    for step in first.into_iter().chain(&steps[from..before]).chain(end) {
        page.labelled(&format!("  {}  ", Local::at_ms(step.t_ms).clock()), &step_in_numbers(step));
    }
}

/// The limits of a cgroup, for a heading.
fn limits(sample: &CgroupSample, has_swap: bool) -> String {
    let of = |name: &str, bytes: Option<u64>| bytes.map(|bytes| format!("{name} {}", Size(bytes)));
    let swap = match sample.swap_max_bytes {
        bytes if !has_swap || bytes == Some(0) => Some("no swap".to_owned()),
        bytes => of("memory.swap.max", bytes),
    };
    let all = [of("memory.high", sample.high_bytes), of("memory.max", sample.max_bytes), swap];
    let all: Vec<String> = all.into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

fn step_in_numbers(step: &Step) -> String {
    let mut parts = vec![Size(step.current_bytes).to_string(), format!("stalled {:.0} %", step.stalled * 100.0)];
    let file = step.limit.map_or("its limit", |(file, _)| file);
    parts.push(format!("{} times at {file}", step.hits));
    parts.extend(step.reclaimed_bytes.map(|bytes| format!("{} reclaimed", Size(bytes))));
    parts.extend(step.again_bytes.filter(|bytes| *bytes > 0).map(|bytes| format!("{} needed again", Size(bytes))));
    parts.join(", ")
}

/// A line of these times and heights, 0 to 1, with marks and times below it; of several in one column one is picked.
fn draw(
    page: &mut Page,
    incident: &Incident,
    glyphs: Glyphs,
    points: impl Iterator<Item = (u64, f64)> + Clone,
    pick: fn(f64, f64) -> f64,
) {
    let Some(axis) = Axis::of(points.clone().map(|(t_ms, _)| t_ms)) else { return };
    let mut heights: [Option<f64>; COLUMNS] = [None; COLUMNS];
    for (t_ms, height) in points {
        let cell = &mut heights[axis.column(t_ms)];
        *cell = Some(cell.map_or(height, |other| pick(other, height)));
    }
    page.line(format!("  {}", blocks(&heights, glyphs)));
    marks(page, incident, &axis);
    axis.write(page);
}

/// A line of blocks. Where nothing was seen it is as the last look found it.
fn blocks(heights: &[Option<f64>; COLUMNS], glyphs: Glyphs) -> String {
    let mut now = heights.iter().find_map(|height| *height).unwrap_or(0.0);
    let mut level = |height: &Option<f64>| {
        now = height.unwrap_or(now);
        glyphs.level(now)
    };
    heights.iter().map(&mut level).collect()
}

/// The time that a line stands for.
struct Axis {
    from: u64,
    to: u64,
}

impl Axis {
    /// Whoever wrote the file may have set the clock meanwhile, or have put any number there.
    fn of(times: impl Iterator<Item = u64> + Clone) -> Option<Self> {
        Some(Self { from: times.clone().min()?, to: times.max()? })
    }

    fn column(&self, t_ms: u64) -> usize {
        let Self { from, to } = *self;
        let at = u128::from(t_ms.clamp(from, to) - from) * (COLUMNS as u128 - 1) / u128::from(to - from).max(1);
        usize::try_from(at).unwrap_or(COLUMNS - 1)
    }

    fn write(&self, page: &mut Page) {
        let clock = |t_ms| Local::at_ms(t_ms).clock().to_string();
        let (begin, end) = (clock(self.from), clock(self.to));
        page.line(format!("  {begin}{}{end}", " ".repeat(COLUMNS - begin.len() - end.len())));
    }
}

fn marks(page: &mut Page, incident: &Incident, axis: &Axis) {
    let mut line = [' '; COLUMNS];
    let mut shown = Vec::new();
    // From the least to the gravest, so that the gravest stays.
    for (event, mark, meaning) in MARKS.iter().rev() {
        let entries = || incident.events.iter().chain(&incident.acts).filter(|entry| entry.event == *event);
        entries().for_each(|entry| line[axis.column(entry.t_ms)] = *mark);
        // One that a graver one covers happened all the same.
        shown.extend(entries().map(|entry| axis.column(entry.t_ms)).min().map(|first| (first, mark, meaning)));
    }
    if shown.is_empty() {
        return;
    }
    shown.sort_unstable();
    page.line(format!("  {}", line.iter().collect::<String>()));
    let meanings: Vec<String> = shown.iter().map(|(_, mark, meaning)| format!("{mark} {meaning}")).collect();
    page.labelled("  ", &meanings.join(", "));
}

/// The first sample, and the last ones before the first act (or before the end).
fn numbers(incident: &Incident) -> Vec<&Sample> {
    let until = incident.acts.first().map_or(u64::MAX, |act| act.t_ms);
    let before: Vec<&Sample> = incident.before.iter().filter(|sample| sample.t_ms <= until).collect();
    let from = before.len().saturating_sub(NUMBERS);
    let mut shown: Vec<&Sample> = before.first().into_iter().copied().filter(|_| from > 0).collect();
    shown.extend(&before[from..]);
    shown
}

fn in_numbers(sample: &Sample, has_swap: bool) -> String {
    let mut parts = vec![format!("{} available", Size(sample.available_bytes))];
    parts.extend(sample.swap_free_bytes.filter(|_| has_swap).map(|bytes| format!("swap free {}", Size(bytes))));
    parts.extend(sample.zram_bytes.filter(|bytes| *bytes > 0).map(|bytes| format!("zram {}", Size(bytes))));
    parts.extend(sample.psi_full_percent.map(|percent| format!("stalled {percent:.0} %")));
    match sample.fill_bytes_per_s {
        Some(fill) if fill > 0 => parts.push(format!("falling {}/s", Size(fill.unsigned_abs()))),
        Some(fill) if fill < 0 => parts.push(format!("rising {}/s", Size(fill.unsigned_abs()))),
        Some(_) | None => {}
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyphs_follow_the_locale() {
        for (locale, expected) in [
            ("en_US.UTF-8", Glyphs::Blocks),
            ("C.utf8", Glyphs::Blocks),
            ("C", Glyphs::Ascii),
            ("", Glyphs::Ascii),
            ("de_DE@euro", Glyphs::Ascii),
        ] {
            assert_eq!(Glyphs::of_locale(locale), expected, "{locale}");
        }
    }

    #[test]
    fn levels_reach_from_nothing_to_all() {
        assert_eq!((Glyphs::Blocks.level(0.0), Glyphs::Blocks.level(1.0)), ('▁', '█'));
        assert_eq!((Glyphs::Ascii.level(0.0), Glyphs::Ascii.level(1.0)), ('_', '#'));
    }
}
