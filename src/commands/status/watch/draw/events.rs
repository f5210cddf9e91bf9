//! The last events, the newest at the bottom, as in the journal.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::super::lines;
use super::super::super::seen::Event;
use super::super::state::{Pane, State};
use super::{BAD, FAINT, LABELS, NOTABLE, PLAIN, Page, ROOMY, words};

/// An event older than this has days in place of a time of day.
const TODAY: Duration = Duration::from_secs(20 * 3600);

/// Columns of time and priority.
const FRONT: u16 = 17;

/// All events, broken into lines.
pub(super) struct Lines {
    pub all: Vec<Line<'static>>,
    /// How many of them are the newest event's.
    newest: usize,
}

pub(super) fn lines(state: &State, width: u16) -> Lines {
    let events: Vec<_> = state.picture().events.iter().map(|event| one(event, state, width)).collect();
    let newest = events.last().map_or(0, Vec::len);
    Lines { all: events.into_iter().flatten().collect(), newest }
}

pub(super) fn draw(page: &mut Page<'_, '_>, state: &State, lines: Lines) -> usize {
    let picture = state.picture();
    let rows = usize::from(page.left.height.saturating_sub(1));
    let Lines { all: lines, newest } = lines;
    // The newest is seen from its beginning, also where its end finds no room.
    let hidden = lines.len().saturating_sub(rows.max(newest));
    let below = state.scroll.events.min(hidden);
    let above = hidden - below;
    let remark = match (above, below, state.pane) {
        (0, 0, _) => String::new(),
        (above, 0, Pane::Events) => format!("{above} more above"),
        (above, below, Pane::Events) => format!("{above} more above, {below} below"),
        (above, _, Pane::Cgroups) => format!("{above} more above (tab)"),
    };
    let title = match (picture.events.len(), &picture.look) {
        (0, Some(look)) if look.document.daemon.pid.is_none() => "no events: they are told by a daemon",
        (0, _) => "no events",
        _ => "last events",
    };
    page.heading(title, LABELS, &remark);
    for line in lines.into_iter().skip(above).take(rows) {
        page.line(line);
    }
    hidden
}

fn one(event: &Event, state: &State, width: u16) -> Vec<Line<'static>> {
    let age = state.now.duration_since(event.at()).unwrap_or_default();
    let when = if age > TODAY {
        format!("{} d ago", (age.as_secs() / 86_400).max(1))
    } else {
        words::clock(event.at(), state.utc_offset)
    };
    let style = style(event.priority.as_str());
    let priority = lines::cut(event.priority.as_str(), 7);
    let message = event.message.as_str();
    if width < ROOMY {
        let lines = lines::wrapped(&format!("{when} {priority} {message}"), width.saturating_sub(1));
        return lines
            .into_iter()
            .enumerate()
            .map(|(n, line)| if n == 0 { Line::styled(line, style) } else { Line::raw(format!(" {line}")) })
            .collect();
    }
    let front = format!("{when:<8} {priority:<7} ");
    let text_style = if style == FAINT { FAINT } else { PLAIN };
    let lines = lines::wrapped(message, width.saturating_sub(FRONT));
    let lines = lines.into_iter().enumerate().map(|(n, line)| {
        let front = if n == 0 { front.clone() } else { " ".repeat(usize::from(FRONT)) };
        Line::from(vec![Span::styled(front, style), Span::styled(line, text_style)])
    });
    lines.collect()
}

fn style(priority: &str) -> Style {
    match priority {
        "emerg" | "alert" | "crit" | "err" => BAD,
        "warning" => NOTABLE,
        "notice" => PLAIN,
        _ => FAINT,
    }
}
