//! The terminal: taken over, and always given back as it was.

use std::io::{self, BufWriter, Stdout, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// A whole screen of 200 by 60 with its colours goes out in one write: over ssh a picture must not arrive in pieces.
const ONE_WRITE: usize = 64 * 1024;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// More than ASCII.
    pub utf8: bool,
    /// Colours.
    pub colour: bool,
    /// Bold and dim.
    pub emphasis: bool,
}

impl Abilities {
    /// As the environment says: locale(7) for the characters, <https://no-color.org> and `TERM` for the colours.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
        let term = set("TERM").unwrap_or_else(|| "dumb".to_owned());
        let plain = term == "dumb" || term.starts_with("vt1") || term.starts_with("vt2") || term.ends_with("-m");
        Self {
            utf8: (locale.contains("utf-8") || locale.contains("utf8")) && term != "linux",
            colour: !plain && set("NO_COLOR").is_none(),
            emphasis: term != "dumb",
        }
    }
}

/// Whether there is something to give back: a second time would move the cursor over what was said since.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The screen while the view has it. It is given back when this is dropped, and when the program panics.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It is none, or it is gone.
    pub fn take() -> io::Result<Self> {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            give_back();
            usual(what);
        }));
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::Relaxed);
        let taken = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(ONE_WRITE, stdout()))));
        if taken.is_err() {
            give_back();
        }
        Ok(Self { terminal: taken? })
    }

    /// Draws.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// Forgets what is on the screen: the next draw writes all of it.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Leaves the terminal as it was found: modes, screen, cursor. Where it is gone there is nothing to give back.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_can_show_is_told_by_the_environment() {
        let of = |variables: &[(&str, &str)]| {
            let found = Abilities::of(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
            (found.utf8, found.colour, found.emphasis)
        };
        let xterm = ("TERM", "xterm-256color");
        assert_eq!(of(&[xterm, ("LANG", "en_US.UTF-8")]), (true, true, true));
        assert_eq!(of(&[xterm, ("LANG", "C.utf8")]), (true, true, true));
        assert_eq!(of(&[xterm]), (false, true, true));
        assert_eq!(of(&[xterm, ("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]), (false, true, true));
        assert_eq!(of(&[xterm, ("LC_ALL", ""), ("LC_CTYPE", "de_DE.UTF-8"), ("LANG", "C")]), (true, true, true));
        assert_eq!(of(&[xterm, ("NO_COLOR", "1"), ("LANG", "C.UTF-8")]), (true, false, true));
        assert_eq!(of(&[xterm, ("NO_COLOR", "")]), (false, true, true));
        assert_eq!(of(&[("TERM", "vt100"), ("LANG", "C.UTF-8")]), (true, false, true));
        assert_eq!(of(&[("TERM", "dumb"), ("LANG", "C.UTF-8")]), (true, false, false));
        assert_eq!(of(&[("LANG", "C.UTF-8")]), (true, false, false));
        // The kernel's console has UTF-8, but its fonts lack most of the blocks.
        assert_eq!(of(&[("TERM", "linux"), ("LANG", "C.UTF-8")]), (false, true, true));
    }
}
