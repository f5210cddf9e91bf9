//! The cgroups in danger, each with its band: where it is between `memory.high` and `memory.max`.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::super::lines;
use super::super::super::seen::{Band, Cgroup, Words, limit, size};
use super::super::state::{Pane, State};
use super::{BAD, FAINT, LABELS, NOTABLE, PLAIN, Page};

/// Cells of a band.
const BAND: usize = 10;

/// Columns of the numbers in front of the path.
const NUMBERS: usize = 72;

/// A path that gets less room than this beside its numbers stands below them.
const PATH: usize = 30;

const HEADINGS: &str = "state       stall  current      high  high..max        max  doing";

pub(super) fn draw(page: &mut Page<'_, '_>, state: &State, lines: Vec<Line<'static>>, rows: u16) -> usize {
    let look = state.picture().look.as_ref();
    let at_limit = look.map_or(0, |look| look.document.cgroups.iter().filter(|c| c.is_at_limit()).count());
    let more = look.and_then(|look| look.document.more_cgroups).unwrap_or(0);
    let stuck = look.map_or(0, |look| look.document.cgroups.iter().filter(|c| c.stuck().is_some()).count());
    let title = match (at_limit, stuck) {
        _ if look.is_none() => "cgroups".to_owned(),
        (0, _) if look.is_some_and(|look| !look.sees_cgroups) => "no cgroup v2: cgroups are not watched".to_owned(),
        (0, _) => "no cgroup is at its limit".to_owned(),
        (1, 0) => "1 cgroup at its limit, not stuck".to_owned(),
        (n, 0) => format!("{} cgroups at their limit, none stuck", n as u64 + more),
        (1, _) => "1 CGROUP STUCK AT ITS LIMIT".to_owned(),
        (n, stuck) => format!("{} cgroups at their limit, {stuck} STUCK", n as u64 + more),
    };
    let hidden = lines.len().saturating_sub(usize::from(rows));
    let first = state.scroll.cgroups.min(hidden);
    let remark = match (hidden - first, state.pane) {
        (0, _) if first == 0 => String::new(),
        (below, Pane::Cgroups) => format!("{first} more above, {below} below"),
        (below, Pane::Events) => format!("{below} more below (tab)"),
    };
    page.heading(&title, if stuck > 0 { BAD } else { LABELS }, &remark);
    for line in lines.into_iter().skip(first).take(usize::from(rows)) {
        page.line(line);
    }
    hidden
}

/// All of them, the headings first.
pub(super) fn lines(state: &State, width: u16) -> Vec<Line<'static>> {
    let Some(look) = &state.picture().look else { return Vec::new() };
    let width = usize::from(width);
    let (at_limit, enclosing): (Vec<&Cgroup>, Vec<&Cgroup>) =
        look.document.cgroups.iter().partition(|cgroup| cgroup.is_at_limit());
    let mut lines = Vec::new();
    if !at_limit.is_empty() && width >= NUMBERS {
        let path = if width >= NUMBERS + PATH { format!("{HEADINGS:<NUMBERS$}path") } else { HEADINGS.to_owned() };
        lines.push(Line::styled(path, FAINT));
    }
    for cgroup in at_limit {
        lines.extend(one(cgroup, width));
    }
    if let Some(more) = look.document.more_cgroups.filter(|more| *more > 0) {
        lines.push(Line::styled(format!("and {more} more (hogwatch status --json has sixteen)"), FAINT));
    }
    for cgroup in enclosing {
        let text = format!("limit around the guard: {} of {}  ", size(cgroup.current), size(cgroup.max));
        let path = lines::cut_front(cgroup.path.as_str(), width.saturating_sub(text.len()));
        lines.push(Line::from(vec![Span::styled(text, FAINT), Span::raw(path)]));
    }
    lines
}

fn one(cgroup: &Cgroup, width: usize) -> Vec<Line<'static>> {
    let stuck = cgroup.stuck().is_some();
    let style = if stuck { BAD } else { PLAIN };
    let stall = cgroup.stall_percent.map_or("?".to_owned(), |percent| format!("{percent:.0} %"));
    let doing = cgroup.doing.as_ref().map_or("", Words::as_str);
    let state = cgroup.state.as_ref().map_or("-", Words::as_str);
    let mut spans = vec![
        Span::styled(format!("{:<11}", lines::cut(state, 11)), style),
        Span::styled(format!(" {stall:>5} "), style),
    ];
    let band = band(cgroup, style);
    if width >= NUMBERS {
        spans.push(Span::raw(format!("{:>8}  {:>8} ", size(cgroup.current), limit(cgroup.high))));
        spans.extend(band);
        spans.push(Span::raw(format!(" {:>8}  ", limit(cgroup.max))));
        spans.push(Span::styled(format!("{:<10}  ", lines::cut(doing, 10)), NOTABLE));
    } else {
        spans.push(Span::raw(format!("{:>8} ", size(cgroup.current))));
        spans.extend(band);
    }
    let path = cgroup.path.as_str();
    if width >= NUMBERS + PATH {
        spans.push(Span::styled(lines::cut_front(path, width - NUMBERS), LABELS));
        return vec![Line::from(spans)];
    }
    let path = lines::cut_front(path, width.saturating_sub(2));
    vec![Line::from(spans), Line::styled(format!("  {path}"), LABELS)]
}

/// Its [`Band`] as a picture.
fn band(cgroup: &Cgroup, style: Style) -> Vec<Span<'static>> {
    let outside = BAND + 2;
    match cgroup.band() {
        Band::Free => vec![Span::raw(" ".repeat(outside))],
        Band::Above(percent) => vec![Span::styled(format!("{:^outside$}", format!("{percent:+.1} %")), style)],
        Band::Share(share) => {
            let full = lines::cells(share, BAND);
            vec![
                Span::raw("▕"),
                Span::styled("█".repeat(full), style),
                Span::styled("·".repeat(BAND - full), FAINT),
                Span::raw("▏"),
            ]
        }
    }
}
