//! The machine: memory with its thresholds, swap and pressure, now and over time.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{RenderDirection, Sparkline};

use crate::decide::measure::Level;
use crate::report::Size;

use super::super::super::seen::{Document, Limits, Words, level_words, size};
use super::super::history::Sample;

use super::super::state::State;
use super::{BAD, FAINT, GOOD, LABEL, LABELS, NOTABLE, PLAIN, Page, ROOMY};

/// From this share of stalled time on, in percent, pressure is worth a look.
const PRESSED: f64 = 10.0;

/// Between charts.
const GAP: u16 = 2;

/// Three charts side by side need so many columns for what stands above them.
pub(super) const THREE_CHARTS: u16 = 3 * 25 + 2 * GAP;

fn style_of(level: Level) -> Style {
    match level {
        Level::Calm => GOOD,
        Level::Warn => NOTABLE,
        Level::Term | Level::Kill => BAD,
    }
}

/// Memory in numbers, as a bar, and what the marks on the bar mean.
pub(super) fn numbers(page: &mut Page<'_, '_>, state: &State, legend: bool) {
    let width = usize::from(page.left.width);
    let Some(look) = &state.picture().look else {
        page.take(2 + u16::from(legend));
        return;
    };
    let level = look.document.level();
    page.line(in_numbers(&look.document, level, width));
    let area = page.take(1);
    let used = look.document.memory.total_bytes.zip(look.document.memory.available_bytes);
    page.frame.render_widget(bar(used, level, area.width), area);
    if legend {
        page.line(level.map_or_else(Line::default, |(_, limits)| meaning(limits, width)));
    }
}

fn in_numbers(document: &Document, level: Option<(Level, Limits)>, width: usize) -> Line<'static> {
    let memory = &document.memory;
    let percent = memory.available_percent.map_or("?".to_owned(), |percent| format!("{percent:.2}"));
    let (available, total) = (size(memory.available_bytes), size(memory.total_bytes));
    let whole = match memory.scope.as_ref().map(Words::as_str) {
        Some("cgroup") => format!("the {total} limit"),
        _ => total,
    };
    let long = format!("{percent} % available ({available} of {whole})");
    let label = Span::styled(format!("{:<width$}", "memory", width = usize::from(LABEL)), LABELS);
    let verdict = level.map_or_else(Span::default, |(level, _)| Span::styled(level_words(level), style_of(level)));
    let fits = |text: &str| label.width() + text.len() + 2 + verdict.width() <= width;
    let (label, text) =
        if fits(&long) { (label, long) } else { (Span::styled("mem ", LABELS), format!("{percent} % ({available})")) };
    let gap = width.saturating_sub(label.width() + text.len() + verdict.width());
    let style = level.map_or(PLAIN, |(level, _)| if level == Level::Calm { PLAIN } else { style_of(level) });
    Line::from(vec![label, Span::styled(text, style), Span::raw(" ".repeat(gap)), verdict])
}

/// The memory in use, from empty to full, with the thresholds where they are crossed.
fn bar(used: Option<(u64, u64)>, level: Option<(Level, Limits)>, width: u16) -> Line<'static> {
    let cells = usize::from(width).saturating_sub(2);
    let Some((total, available)) = used.filter(|(total, _)| *total > 0) else {
        return Line::raw(format!("▕{}▏", " ".repeat(cells)));
    };
    let at = |available: u64| place(total.saturating_sub(available), total, cells);
    let filled = at(available);
    let style = level.map_or(PLAIN, |(level, _)| style_of(level));
    let mut marks: Vec<(usize, &str)> = Vec::new();
    if let Some((_, limits)) = level {
        // From the end, so that marks that fall together stand side by side in their order.
        for (bytes, letter) in [(limits.kill_bytes, "K"), (limits.term_bytes, "T"), (limits.warn_bytes, "W")] {
            let most = marks.last().map_or(cells.saturating_sub(1), |(before, _)| before.saturating_sub(1));
            marks.push((at(bytes).min(most), letter));
        }
    }
    let cell = |n: usize| match marks.iter().find(|(place, _)| *place == n) {
        Some((_, letter)) if n < filled => Span::styled(*letter, style.add_modifier(Modifier::REVERSED)),
        Some((_, letter)) => Span::styled(*letter, LABELS),
        None if n < filled => Span::styled("█", style),
        None => Span::styled("·", FAINT),
    };
    let ends = [Span::raw("▕"), Span::raw("▏")];
    let [begin, end] = ends;
    Line::from_iter(std::iter::once(begin).chain((0..cells).map(cell)).chain([end]))
}

/// The cell of `part` on a line of so many that stand for `whole`.
fn place(part: u64, whole: u64, cells: usize) -> usize {
    let place = u128::from(part) * cells as u128 / u128::from(whole.max(1));
    usize::try_from(place).unwrap_or(cells).min(cells)
}

/// What the letters on the bar stand for: so much memory is available there.
fn meaning(limits: Limits, width: usize) -> Line<'static> {
    let [warn, term, kill] = [limits.warn_bytes, limits.term_bytes, limits.kill_bytes].map(|b| Size(b).to_string());
    let long = format!("W warn at {warn}   T SIGTERM at {term}   K SIGKILL at {kill} available");
    let short = format!("W {warn}, T {term}, K {kill}");
    Line::styled(if long.len() <= width { long } else { short }, FAINT)
}

/// Memory in a few letters.
pub(super) fn in_short(state: &State) -> Line<'static> {
    let Some(look) = &state.picture().look else { return Line::default() };
    let percent = look.document.memory.available_percent.map_or("?".to_owned(), |percent| format!("{percent:.1}"));
    let style = look.document.level().map_or(PLAIN, |(level, _)| style_of(level));
    Line::styled(format!("{percent} % available"), style)
}

/// Swap and pressure in one line.
pub(super) fn swap_and_pressure(state: &State, width: u16) -> Line<'static> {
    let Some(look) = &state.picture().look else { return Line::default() };
    let (mut swap, _) = swap(&look.document);
    if let (Some(total @ 1..), Some(free)) = (look.document.swap.total_bytes, look.document.swap.free_bytes)
        && width < ROOMY
    {
        swap = format!("swap {} %", place(total.saturating_sub(free), total, 100));
    }
    let (pressure, pressed) = pressure(&look.document);
    Line::from(vec![Span::raw(format!("{swap}   ")), Span::styled(pressure, pressed)])
}

fn swap(document: &Document) -> (String, Style) {
    let swap = &document.swap;
    match (swap.total_bytes, swap.free_bytes) {
        (Some(0), _) => ("no swap".to_owned(), FAINT),
        (Some(total), Some(free)) => {
            let used = total.saturating_sub(free);
            let style = if free < total / 10 { NOTABLE } else { PLAIN };
            (format!("swap {} of {}", Size(used), Size(total)), style)
        }
        _ => ("swap ?".to_owned(), FAINT),
    }
}

fn pressure(document: &Document) -> (String, Style) {
    match (document.psi.some_avg10, document.psi.full_avg10) {
        (None, _) => ("no PSI".to_owned(), FAINT),
        (Some(some), full) => {
            let full = full.unwrap_or(0.0);
            let style = if full >= PRESSED {
                BAD
            } else if some >= PRESSED {
                NOTABLE
            } else {
                PLAIN
            };
            let number = |n: f64| if n < 9.95 { format!("{n:.1}") } else { format!("{n:.0}") };
            (format!("PSI some {}, full {} %", number(some), number(full)), style)
        }
    }
}

/// What a chart shows of a sample.
type Value = fn(&Sample) -> Option<f64>;

/// Memory, swap and pressure over time, on [`THREE_CHARTS`] columns at least.
pub(super) fn charts(area: Rect, frame: &mut Frame<'_>, state: &State) {
    let picture = state.picture();
    let Some(look) = &picture.look else { return };
    let (pressure, pressure_style) = pressure(&look.document);
    let level = look.document.level().map_or(PLAIN, |(level, _)| style_of(level));
    let memory = &look.document.memory;
    let used = memory.total_bytes.zip(memory.available_bytes).map(|(total, left)| total.saturating_sub(left));
    let mut all: Vec<(String, Style, Style, Value)> =
        vec![(format!("in use {}", size(used)), PLAIN, level, |sample| sample.used)];
    let (swap, swap_style) = swap(&look.document);
    if look.document.swap.total_bytes == Some(0) {
        all[0].0 += ", no swap";
    } else {
        all.push((swap, swap_style, NOTABLE, |sample| sample.swap));
    }
    all.push((pressure, pressure_style, BAD, |sample| sample.some));
    let shown = if all.len() == 2 { 2 } else { 3 };
    let width = (area.width - GAP * (shown - 1)) / shown;
    for ((title, style, bars, value), place) in all.into_iter().zip(0..shown) {
        let area = Rect { x: area.x + place * (width + GAP), width, ..area };
        let head = Rect { height: 1, ..area };
        let chart = Rect { y: area.y + 1, height: area.height - 1, ..area };
        let (columns, step) = picture.history.columns(usize::from(width), value);
        let span = over(step * usize::from(area.width));
        let gap = usize::from(area.width).saturating_sub(title.len() + span.len());
        let span = if gap > 0 { span } else { String::new() };
        let title = vec![Span::styled(title, style), Span::raw(" ".repeat(gap)), Span::styled(span, FAINT)];
        frame.render_widget(Line::from(title), head);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share from 0 to 1")]
        let thousandths: Vec<_> = columns.iter().map(|c| c.map(|share| (share * 1000.0) as u64)).collect();
        let line = Sparkline::default().data(thousandths).max(1000).direction(RenderDirection::RightToLeft).style(bars);
        frame.render_widget(line, chart);
    }
}

/// How long a chart reaches back.
fn over(seconds: usize) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}
