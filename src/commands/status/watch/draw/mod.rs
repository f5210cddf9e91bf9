//! The picture: what goes where, and how much of it when there is little room.

mod cgroups;
mod events;
mod help;
mod machine;
mod plain;
mod words;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::super::lines;
use super::state::{Scroll, State};

pub use plain::plain;

/// Smaller than this the view can only say that it is too small. A line each for: the title, the numbers, the bar, swap and
/// pressure, the next victim, the cgroups, and two for the events.
const SMALLEST: (u16, u16) = (40, LEAST_ROWS);
const LEAST_ROWS: u16 = 8;

/// Rows of a chart with the line above it.
const CHART: u16 = 4;

/// What a chart grows to at most.
const TALLEST_CHART: u16 = 12;

/// From this width on there is room for columns of labels, times and priorities.
const ROOMY: u16 = 60;

/// Columns of a label, so that what is labelled stands in a column too.
const LABEL: u16 = 13;

pub(super) const PLAIN: Style = Style::new();
pub(super) const LABELS: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const NOTABLE: Style = Style::new().fg(Color::Yellow);
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// Draws the view; how far each pane can be scrolled.
pub fn draw(frame: &mut Frame<'_>, state: &State) -> Scroll {
    let area = frame.area();
    let mut page = Page { frame, left: area };
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(&mut page, state, area);
        return Scroll::default();
    }
    let alert = words::alert(state);
    let alert = alert.map(|alert| lines::wrapped(&alert, area.width));
    let next = words::next(state, area.width);
    let at_limit = cgroups::lines(state, area.width);
    let events = events::lines(state, area.width);
    let wanted = Wanted {
        alert: alert.as_ref().map_or(0, Vec::len),
        next: next.len(),
        cgroups: at_limit.len(),
        events: events.all.len(),
        charts: area.width >= machine::THREE_CHARTS,
    };
    let rows = Rows::of(area.height, &wanted);

    page.line(words::title(state, area.width));
    for line in alert.into_iter().flatten().take(rows.alert) {
        page.line(Line::styled(line, BAD));
    }
    machine::numbers(&mut page, state, rows.legend);
    if rows.charts > 0 {
        machine::charts(page.take(rows.charts), page.frame, state);
    } else {
        page.line(machine::swap_and_pressure(state, area.width));
    }
    for line in next.into_iter().take(rows.next) {
        page.line(line);
    }
    let footer = rows.footer.then(|| page.take_last());
    let most = Scroll {
        cgroups: cgroups::draw(&mut page, state, at_limit, rows.cgroups),
        events: events::draw(&mut page, state, events),
    };
    if let Some(footer) = footer {
        page.frame.render_widget(words::footer(state), footer);
    }
    if state.help {
        help::draw(frame, area);
    }
    most
}

/// How many rows parts would fill.
struct Wanted {
    alert: usize,
    next: usize,
    cgroups: usize,
    events: usize,
    /// Whether there are charts: not without the width for what stands above them.
    charts: bool,
}

/// How many rows each part gets.
#[derive(Debug)]
struct Rows {
    alert: usize,
    legend: bool,
    footer: bool,
    next: usize,
    /// Below their heading.
    cgroups: u16,
    /// 0: one line says it.
    charts: u16,
}

impl Rows {
    /// In this order each gets what is worth most next, and the events the rest.
    fn of(height: u16, wanted: &Wanted) -> Self {
        let mut left = height.saturating_sub(LEAST_ROWS);
        let mut take = |rows: usize| {
            let taken = u16::try_from(rows).unwrap_or(left).min(left);
            left -= taken;
            taken
        };
        let alert = usize::from(take(wanted.alert));
        // A heading, and the two lines of the worst.
        let worst = take(wanted.cgroups.min(3));
        let more_next = usize::from(take(wanted.next.saturating_sub(1).min(2)));
        let legend = take(1) == 1;
        let footer = take(1) == 1;
        let next = 1 + more_next + usize::from(take(wanted.next.saturating_sub(1 + more_next)));
        let events = take(4);
        // One line of the least is theirs already.
        let charts = if wanted.charts && left >= CHART - 1 {
            left -= CHART - 1;
            CHART
        } else {
            0
        };
        left += events;
        let rest = rows_of(wanted.cgroups).saturating_sub(worst).min(left / 2);
        left -= rest;
        // What few events leave, and a part of what many would fill.
        let spare = left.saturating_sub(rows_of(wanted.events)).max(left / 5);
        let taller = if charts > 0 { spare.min(TALLEST_CHART - CHART) } else { 0 };
        Self { alert, legend, footer, next, cgroups: worst + rest, charts: charts + taller }
    }
}

fn rows_of(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

/// A page that is filled from the top.
pub(super) struct Page<'f, 'b> {
    pub frame: &'f mut Frame<'b>,
    pub left: Rect,
}

impl Page<'_, '_> {
    /// The next rows, fewer where there are no more.
    pub fn take(&mut self, rows: u16) -> Rect {
        let rows = rows.min(self.left.height);
        let taken = Rect { height: rows, ..self.left };
        self.left.y += rows;
        self.left.height -= rows;
        taken
    }

    /// The last row.
    fn take_last(&mut self) -> Rect {
        let rows = self.left.height.min(1);
        self.left.height -= rows;
        Rect { y: self.left.bottom(), height: rows, ..self.left }
    }

    pub fn line(&mut self, line: Line<'_>) {
        let area = self.take(1);
        self.frame.render_widget(line, area);
    }

    /// A heading, with a rule to the right end.
    pub fn heading(&mut self, words: &str, style: Style, remark: &str) {
        let width = usize::from(self.left.width);
        let fits = Span::raw(words).width() + Span::raw(remark).width() + 2 < width;
        let remark = if remark.is_empty() || !fits { String::new() } else { format!(" {remark}") };
        let rule = width.saturating_sub(Span::raw(words).width() + Span::raw(&remark).width() + 1);
        self.line(Line::from(vec![
            Span::styled(words.to_owned(), style),
            Span::styled(format!(" {}", "─".repeat(rule)), FAINT),
            Span::styled(remark, FAINT),
        ]));
    }
}

fn too_small(page: &mut Page<'_, '_>, state: &State, area: Rect) {
    page.line(Line::styled("too small", LABELS));
    page.line(Line::raw(format!("{}x{} of {}x{}", area.width, area.height, SMALLEST.0, SMALLEST.1)));
    page.line(machine::in_short(state));
}
