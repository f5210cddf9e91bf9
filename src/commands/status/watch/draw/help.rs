//! What the keys do and what the words mean.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

const TEXT: [&str; 18] = [
    "q, Esc, Ctrl-C   quit            space    pause, go on",
    "arrows, j, k     scroll          tab      events or cgroups",
    "PgUp, PgDn       scroll more     Ctrl-L   draw again",
    "Home, End        scroll all      ?        this help",
    "",
    "Memory: the bar is what is in use. At W the daemon warns,",
    "at T it sends SIGTERM to the next victim, at K SIGKILL.",
    "Charts: newest right, 0 to 100 %, the worst of each column.",
    "PSI: percent of the last 10 s in which some, or all, tasks",
    "waited for memory.",
    "",
    "throttled    above memory.high, held by the kernel for ever",
    "squeezed     at the limit, page cache squeezed out",
    "thrash       at the limit, reads its own files again",
    "swap_thrash  at the limit, swaps itself out and in",
    "oom_stuck    at memory.max, and nobody there may be killed",
    "watching     at its limit, not stuck or not for long enough",
    "More: hogwatch explain, hogwatch explain --cgroup PATH",
];

/// In the middle, over the rest.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect) {
    let widest = TEXT.iter().map(|line| line.len()).max().unwrap_or(0);
    let wanted =
        (u16::try_from(widest + 4).unwrap_or(area.width), u16::try_from(TEXT.len() + 2).unwrap_or(area.height));
    let (width, height) = (wanted.0.min(area.width), wanted.1.min(area.height));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let text: Vec<Line<'_>> = TEXT.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" help ")), place);
}
