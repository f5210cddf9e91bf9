//! Title, alerts, the next victim and the footer, and how text is broken into lines.

use std::time::{Duration, SystemTime};

use ratatui::text::{Line, Span};

use crate::commands::explain::Next;
use crate::commands::status::lines;

use super::super::state::{Look, Pane, Source, State};
use super::{BAD, FAINT, GOOD, LABEL, LABELS, NOTABLE, PLAIN, ROOMY};

/// A guard looks every five seconds at the latest; one that has not for three times that is stuck.
const GUARD_LATE: Duration = Duration::from_secs(15);

/// The view looks every second, and waits for a daemon for less.
const VIEW_LATE: Duration = Duration::from_secs(5);

/// The look at all processes is made every five seconds.
const NEXT_LATE: Duration = Duration::from_secs(15);

pub(super) fn title(state: &State, width: u16) -> Line<'static> {
    let (words, style) = match &state.picture().look {
        None => ("looking ...".to_owned(), PLAIN),
        Some(look) => who(look),
    };
    let paused = if state.is_paused() { "PAUSED " } else { "" };
    let right = format!("{paused}{}", clock(state.now, state.utc_offset));
    let left = [Span::styled("hogwatch  ", LABELS), Span::styled(words, style)];
    let taken = left.iter().map(Span::width).sum::<usize>() + right.len();
    let gap = usize::from(width).saturating_sub(taken).max(1);
    let [name, words] = left;
    // The time stays whole: a view that hangs shows by it.
    let room = usize::from(width).saturating_sub(name.width() + right.len() + 1);
    let words = Span::styled(lines::cut(&words.content, room), words.style);
    Line::from(vec![name, words, Span::raw(" ".repeat(gap)), Span::styled(right, LABELS)])
}

fn who(look: &Look) -> (String, ratatui::style::Style) {
    let daemon = &look.document.daemon;
    let pid = daemon.pid.map_or("?".to_owned(), |pid| pid.to_string());
    match &look.source {
        Source::Daemon if daemon.dry_run == Some(true) => (format!("dry run, it signals nobody (pid {pid})"), NOTABLE),
        Source::Daemon => {
            let version = daemon.version.as_ref().map_or("?", |version| version.as_str());
            (format!("guarding (pid {pid}, version {version})"), GOOD)
        }
        Source::NoDaemon => ("NO DAEMON RUNS; this view looks by itself".to_owned(), BAD),
        Source::Silent { .. } => ("unknown: the daemon can't be asked; this view looks by itself".to_owned(), BAD),
    }
}

/// What is wrong with the picture itself.
pub(super) fn alert(state: &State) -> Option<String> {
    let picture = state.picture();
    if let Some(why) = &picture.failed {
        return Some(format!("this view can't look: {why}"));
    }
    let look = picture.look.as_ref()?;
    let age = state.tick.saturating_sub(look.at);
    if !state.is_paused() && age > VIEW_LATE {
        return Some(format!("nothing new for {} s: looking takes that long", age.as_secs()));
    }
    match (&look.source, picture.gone) {
        (Source::NoDaemon, Some((pid, at))) => {
            Some(format!("the daemon (pid {pid}) went away at {}", clock(at, state.utc_offset)))
        }
        (Source::NoDaemon, None) => None,
        (Source::Silent { why }, _) => Some(why.clone()),
        (Source::Daemon, _) => {
            let late = state.now.duration_since(look.document.seen_at()?).unwrap_or_default();
            (late > GUARD_LATE && !state.is_paused())
                .then(|| format!("the guard has not looked for {} s", late.as_secs()))
        }
    }
}

/// Who goes first, and why.
pub(super) fn next(state: &State, width: u16) -> Vec<Line<'static>> {
    let Some(next) = &state.picture().next else {
        return labelled(vec![("looking ...".to_owned(), FAINT)], width);
    };
    let mut texts = Vec::new();
    if let Some((path, next)) = &next.stuck {
        texts.push((format!("of {path}, which is stuck: {}", sentence(next)), BAD));
    }
    let stuck = next.stuck.as_ref().map(|(_, next)| next);
    texts.push(match &next.memory {
        Ok(next) if stuck.is_none() => (sentence(next), PLAIN),
        Ok(next) if stuck == Some(next) => ("of all, if memory ran short: the same".to_owned(), PLAIN),
        Ok(next) => (format!("of all, if memory ran short: {}", sentence(next)), PLAIN),
        Err(why) => (format!("not known: {why}"), NOTABLE),
    });
    if next.changed {
        texts.push(("by the configuration as it is now: it was changed since the daemon read it".to_owned(), NOTABLE));
    }
    let age = state.tick.saturating_sub(next.at);
    if age > NEXT_LATE && !state.is_paused() {
        texts.push((format!("as of {} s ago: looking at all processes takes that long", age.as_secs()), NOTABLE));
    }
    labelled(texts, width)
}

fn sentence(next: &Next) -> String {
    let place = next.cgroup.as_ref().map(|path| format!(" in {path}")).unwrap_or_default();
    let why = if next.why.is_empty() { String::new() } else { format!(": {}", next.why) };
    match &next.whom {
        Some(whom) => format!("{whom}{place}{why}"),
        None => format!("nobody{why}"),
    }
}

/// Texts beside their label, each broken into lines.
fn labelled(texts: Vec<(String, ratatui::style::Style)>, width: u16) -> Vec<Line<'static>> {
    let (label, indent) = if width >= ROOMY { ("next victim", LABEL) } else { ("next", 5) };
    let room = width.saturating_sub(indent);
    let lines =
        texts.into_iter().flat_map(|(text, style)| lines::wrapped(&text, room).into_iter().map(move |l| (l, style)));
    let mut label = Some(label);
    let beside = |(line, style)| {
        let label = format!("{:<width$}", label.take().unwrap_or(""), width = usize::from(indent));
        Line::from(vec![Span::styled(label, LABELS), Span::styled(line, style)])
    };
    lines.map(beside).collect()
}

pub(super) fn footer(state: &State) -> Line<'static> {
    let pane = match state.pane {
        Pane::Events => "events",
        Pane::Cgroups => "cgroups",
    };
    let pause = if state.is_paused() { "space go on" } else { "space pause" };
    Line::styled(format!("q quit  {pause}  ↑↓ scroll {pane}  tab other pane  ? help"), FAINT)
}

/// `03:15:02`, by the clock on the wall.
pub(super) fn clock(at: SystemTime, utc_offset: i32) -> String {
    crate::report::clock(at, utc_offset).to_string()
}
