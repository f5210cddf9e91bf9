//! `hogwatch status --watch`: the same on a whole terminal, second by second.
//!
//! Threads look ([`feed`]) and send what they saw; this one takes the news into the [`State`] and draws it. So neither a
//! daemon that does not answer nor a process table that takes its time keeps the view from answering a key.

mod draw;
mod feed;
mod history;
mod state;
mod terminal;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use crate::host::clock;

use super::super::EXIT_USAGE;
use feed::News;
use state::{State, Wish};
pub use terminal::Abilities;
use terminal::Screen;

/// How long a picture stands without news: its clock shows that the view lives.
const TICK: Duration = Duration::from_secs(1);

/// Why the view ends.
enum End {
    /// It was asked to.
    Asked,
    /// By this signal.
    Signal(i32),
    /// It can't go on.
    Failed(String),
}

/// Shows the view until it is left.
#[must_use]
pub fn run() -> ExitCode {
    if !io::stdout().is_terminal() {
        eprintln!(
            "hogwatch status --watch: standard output is not a terminal; for programs there is hogwatch status --json"
        );
        return ExitCode::from(EXIT_USAGE);
    }
    let abilities = Abilities::of(|name| std::env::var(name).ok());
    let (to, news) = mpsc::channel();
    let end = Screen::take().map_err(|e| format!("the terminal: {e}")).and_then(|mut screen| {
        feed::start(&to)?;
        Ok(watch(&mut screen, &news, abilities))
    });
    // The screen is given back by now, so this is seen.
    match end {
        Ok(End::Asked) => ExitCode::SUCCESS,
        Ok(End::Signal(signal)) => ExitCode::from(by_signal(signal)),
        Ok(End::Failed(why)) | Err(why) => {
            eprintln!("hogwatch status --watch: {why}");
            ExitCode::FAILURE
        }
    }
}

/// As a shell reports the end by a signal.
fn by_signal(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}

fn watch(screen: &mut Screen, news: &Receiver<News>, abilities: Abilities) -> End {
    let mut state = State::new(SystemTime::now(), clock::now(), 0);
    loop {
        state.now = SystemTime::now();
        state.tick = clock::now();
        state.utc_offset = clock::utc_offset(state.now);
        let drawn = screen.draw(|frame| {
            let most = draw::draw(frame, &state);
            draw::plain(frame.buffer_mut(), abilities);
            state.limit_scroll(most);
        });
        if let Err(error) = drawn {
            return End::Failed(format!("the terminal: {error}"));
        }
        let first = match news.recv_timeout(TICK) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return End::Failed("nobody looks any more".to_owned()),
        };
        // All there is, before the next picture.
        for new in std::iter::once(first).chain(news.try_iter()) {
            if let Err(end) = take(&mut state, screen, new) {
                return end;
            }
        }
    }
}

fn take(state: &mut State, screen: &mut Screen, news: News) -> Result<(), End> {
    match news {
        News::Looked(look) => state.looked(*look),
        News::Foresaw(next) => state.foresaw(*next),
        News::Key(key) => match state.key(key) {
            Wish::Nothing => {}
            Wish::Redraw => screen.clear().map_err(|e| End::Failed(format!("the terminal: {e}")))?,
            Wish::Quit => return Err(End::Asked),
        },
        // The next draw asks for the size.
        News::Resized => {}
        News::Signal(signal) => return Err(End::Signal(signal)),
        News::Deaf(why) => return Err(End::Failed(format!("the keys can't be read: {why}"))),
    }
    Ok(())
}
