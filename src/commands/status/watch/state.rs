//! What the view knows, and what a key does to it. Nothing here touches a terminal.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::commands::explain::Next;

use super::super::seen::{Document, Event};
use super::history::{History, Sample};

/// Events kept by the view: the daemon remembers sixteen, and forgets them when it ends.
const EVENTS: usize = 200;

/// Lines that a page key scrolls.
const PAGE: usize = 5;

/// Who told what is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The daemon.
    Daemon,
    /// Nobody: no daemon runs, the view looked by itself.
    NoDaemon,
    /// A daemon may run, but could not be asked; the view looked by itself.
    Silent {
        /// Why it could not be asked.
        why: String,
    },
}

/// One look at the machine.
#[derive(Clone, Debug)]
pub struct Look {
    pub source: Source,
    pub document: Document,
    /// Whether cgroups can be watched here at all.
    pub sees_cgroups: bool,
    /// When, on the clock of [`crate::host::clock::now`].
    pub at: Duration,
}

/// Who would be killed next.
#[derive(Clone, Debug)]
pub struct NextLook {
    /// For memory, or why that is not known.
    pub memory: Result<Next, String>,
    /// For the cgroup that is stuck worst, if one is: its path, escaped.
    pub stuck: Option<(String, Next)>,
    /// This is by a configuration that the daemon has not read yet.
    pub changed: bool,
    /// When that was found out.
    pub at: Duration,
}

/// All that changes by itself.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub look: Option<Look>,
    /// Why the last look failed, if it did.
    pub failed: Option<String>,
    pub next: Option<NextLook>,
    pub history: History,
    /// Oldest first.
    pub events: VecDeque<Event>,
    /// The daemon that was there, and when it was found gone.
    pub gone: Option<(i32, SystemTime)>,
}

/// What the arrow keys scroll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    #[default]
    Events,
    Cgroups,
}

/// Lines scrolled away from where a pane rests: the newest event, the worst cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scroll {
    pub events: usize,
    pub cgroups: usize,
}

/// Everything that is drawn.
#[derive(Clone, Debug)]
pub struct State {
    live: Picture,
    /// What is shown while paused; the live one goes on being collected.
    frozen: Option<Picture>,
    pub pane: Pane,
    pub scroll: Scroll,
    pub help: bool,
    /// The time of day.
    pub now: SystemTime,
    /// The same on the clock of [`crate::host::clock::now`].
    pub tick: Duration,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: i32,
}

/// What a key wants of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Nothing,
    /// Draw all of it again: something else has written to the terminal.
    Redraw,
    /// End.
    Quit,
}

impl State {
    pub fn new(now: SystemTime, tick: Duration, utc_offset: i32) -> Self {
        Self {
            live: Picture::default(),
            frozen: None,
            pane: Pane::default(),
            scroll: Scroll::default(),
            help: false,
            now,
            tick,
            utc_offset,
        }
    }

    /// What is shown.
    pub fn picture(&self) -> &Picture {
        self.frozen.as_ref().unwrap_or(&self.live)
    }

    pub fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// A look succeeded, or it did not.
    pub fn looked(&mut self, look: Result<Look, String>) {
        let look = match look {
            Ok(look) => look,
            Err(why) => {
                self.live.failed = Some(why);
                return;
            }
        };
        let live = &mut self.live;
        live.failed = None;
        live.history.push(look.at, sample(&look.document));
        for event in &look.document.events {
            if !live.events.contains(event) {
                live.events.push_back(event.clone());
            }
        }
        let surplus = live.events.len().saturating_sub(EVENTS);
        live.events.drain(..surplus);
        match &look.source {
            Source::Daemon => live.gone = None,
            Source::NoDaemon | Source::Silent { .. } => {
                let before = live.look.as_ref().filter(|before| before.source == Source::Daemon);
                if let Some(pid) = before.and_then(|before| before.document.daemon.pid) {
                    live.gone = Some((pid, self.now));
                }
            }
        }
        live.look = Some(look);
    }

    /// Who would be next was found out.
    pub fn foresaw(&mut self, next: NextLook) {
        self.live.next = Some(next);
    }

    /// Drawing has found out how far can be scrolled.
    pub fn limit_scroll(&mut self, most: Scroll) {
        self.scroll.events = self.scroll.events.min(most.events);
        self.scroll.cgroups = self.scroll.cgroups.min(most.cgroups);
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::Nothing;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Wish::Quit,
            KeyCode::Char('l') if control => return Wish::Redraw,
            KeyCode::Char(_) if control => {}
            // The help goes first: who asked for it wants to get back.
            KeyCode::Esc | KeyCode::Char('q') if self.help => self.help = false,
            KeyCode::Esc | KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char(' ') => self.frozen = if self.is_paused() { None } else { Some(self.live.clone()) },
            KeyCode::Tab | KeyCode::BackTab => {
                self.pane = match self.pane {
                    Pane::Events => Pane::Cgroups,
                    Pane::Cgroups => Pane::Events,
                }
            }
            KeyCode::Up | KeyCode::Char('k') => self.scroll_by(1, true),
            KeyCode::Down | KeyCode::Char('j') => self.scroll_by(1, false),
            KeyCode::PageUp => self.scroll_by(PAGE, true),
            KeyCode::PageDown => self.scroll_by(PAGE, false),
            KeyCode::Home => self.scroll_by(usize::MAX, true),
            KeyCode::End => self.scroll_by(usize::MAX, false),
            _ => {}
        }
        Wish::Nothing
    }

    /// Events rest at their end and cgroups at their beginning.
    fn scroll_by(&mut self, lines: usize, up: bool) {
        let (place, away) = match self.pane {
            Pane::Events => (&mut self.scroll.events, up),
            Pane::Cgroups => (&mut self.scroll.cgroups, !up),
        };
        *place = if away { place.saturating_add(lines) } else { place.saturating_sub(lines) };
    }
}

#[expect(clippy::cast_precision_loss, reason = "for a chart of a few rows")]
fn sample(document: &Document) -> Sample {
    let share = |part: Option<u64>, whole: Option<u64>| {
        let (part, whole) = (part? as f64, whole.filter(|whole| *whole > 0)? as f64);
        Some((1.0 - part / whole).clamp(0.0, 1.0))
    };
    let percent = |percent: Option<f64>| percent.map(|percent| (percent / 100.0).clamp(0.0, 1.0));
    Sample {
        used: share(document.memory.available_bytes, document.memory.total_bytes),
        swap: share(document.swap.free_bytes, document.swap.total_bytes),
        some: percent(document.psi.some_avg10),
        full: percent(document.psi.full_avg10),
    }
}
