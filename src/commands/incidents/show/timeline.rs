//! Available memory over time as a line of blocks, with what was done below it.

use std::env;

use super::super::page::Page;
use crate::report::incident::answer::short;
use crate::report::incident::schema::{Incident, Sample};
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
    let Some(first) = incident.before.first() else { return };
    page.heading(&match incident.cgroup.as_deref() {
        Some(cgroup) if incident.kind == "cgroup_limit" => {
            format!("Available memory below the limit of {}", short(cgroup))
        }
        _ => "Available memory of the machine".to_owned(),
    });
    // Whoever wrote the file may have set the clock meanwhile, or have put any number there.
    let times = || incident.before.iter().map(|sample| sample.t_ms);
    let (from, to) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let column = |t_ms: u64| {
        let at = u128::from(t_ms.clamp(from, to) - from) * (COLUMNS as u128 - 1) / u128::from(to - from).max(1);
        usize::try_from(at).unwrap_or(COLUMNS - 1)
    };
    let most = incident.before.iter().map(|sample| sample.available_bytes).max().unwrap_or(0).max(1);
    let mut lowest: [Option<u64>; COLUMNS] = [None; COLUMNS];
    for sample in &incident.before {
        let cell = &mut lowest[column(sample.t_ms)];
        *cell = Some(cell.map_or(sample.available_bytes, |low| low.min(sample.available_bytes)));
    }
    // Between two looks it is as the last one found it.
    let mut now = first.available_bytes;
    let line: String = lowest
        .iter()
        .map(|low| {
            now = low.unwrap_or(now);
            #[expect(clippy::cast_precision_loss, reason = "a height of eight steps")]
            glyphs.level(now as f64 / most as f64)
        })
        .collect();
    page.line(format!("  {line}"));
    marks(page, incident, &column);
    let (begin, end) = (Local::at_ms(from).clock().to_string(), Local::at_ms(to).clock().to_string());
    page.line(format!("  {begin}{}{end}", " ".repeat(COLUMNS - begin.len() - end.len())));
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

fn marks(page: &mut Page, incident: &Incident, column: &impl Fn(u64) -> usize) {
    let mut line = [' '; COLUMNS];
    let mut shown = Vec::new();
    // From the least to the gravest, so that the gravest stays.
    for (event, mark, meaning) in MARKS.iter().rev() {
        let entries = || incident.events.iter().chain(&incident.acts).filter(|entry| entry.event == *event);
        entries().for_each(|entry| line[column(entry.t_ms)] = *mark);
        // One that a graver one covers happened all the same.
        shown.extend(entries().map(|entry| column(entry.t_ms)).min().map(|first| (first, mark, meaning)));
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
