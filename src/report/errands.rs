//! The errands thread: all that may take its time and is not the journal. Today that is the status socket and
//! the metrics file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::poll::{PollFd, PollFlags};

use super::diagnostics::{self, Diagnostics};
use super::event::Event;
use super::field::Origin;
use super::metrics::Metrics;
use super::queue::{Queue, Sent, poll_ready};
use super::remarks::Remarks;
use super::repeats::Repeats;
use super::status::server::{self, Server};
use super::status::{RunningConfig, Shared};
use super::stop::Stop;

/// So many events are remembered for `hogwatch status`.
pub(super) const LATEST_EVENTS: usize = 16;

/// How long connections are left alone after one could not be accepted: it would only fail again.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// So many callers are answered before the thread looks whether it is to stop, or has something else to do: whoever calls
/// without end shall not keep it.
const CLIENTS_A_TURN: usize = 16;

/// All that the thread owns.
#[derive(Debug)]
pub(super) struct ErrandsThread {
    pub queue: Arc<Queue>,
    pub stop: Arc<Stop>,
    pub shared: Arc<Shared>,
    pub origin: Origin,
    pub server: Option<Server>,
    pub config: Arc<RunningConfig>,
    pub latest: VecDeque<Sent>,
    pub repeats: Repeats,
    pub diagnostics: Diagnostics,
    pub metrics: Metrics,
    pub remarks: Arc<Remarks>,
}

impl ErrandsThread {
    /// Until stopped; then the socket's file is removed, and that of the metrics.
    pub fn run(mut self) {
        let _diagnostics = diagnostics::on_this_thread(&self.diagnostics);
        let mut accept_again = None;
        while !self.stop.is_requested() {
            let accepting = accept_again.is_none();
            let pauses = [accept_again.map(|_| ACCEPT_PAUSE), self.metrics.pause()];
            self.wait(accepting, pauses.into_iter().flatten().min());
            self.queue.clear_wake();
            self.catch_up();
            if accept_again.is_none_or(|at| Instant::now() >= at) {
                accept_again = self.serve();
            }
            if let Some(complaint) = self.metrics.turn(&self.shared) {
                self.say(&complaint);
            }
        }
    }

    fn wait(&self, accepting: bool, timeout: Option<Duration>) {
        let wake = PollFd::new(self.queue.wake_fd(), PollFlags::POLLIN);
        match &self.server {
            Some(server) if accepting => {
                let asked = PollFd::new(server.fd(), PollFlags::POLLIN);
                poll_ready(&mut [wake, asked], timeout);
            }
            _ => {
                poll_ready(&mut [wake], timeout);
            }
        }
    }

    /// Answers those who ask, as many as have their turn; when that must rest, until when.
    fn serve(&mut self) -> Option<Instant> {
        for _ in 0..CLIENTS_A_TURN {
            match self.server.as_ref()?.accept() {
                Ok(Some(stream)) => {
                    // What was sent before somebody asked belongs into the answer.
                    self.catch_up();
                    server::answer(&stream, &self.origin, &self.config, &self.shared, self.latest.iter());
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!("the status socket rests for {} s: {error}", ACCEPT_PAUSE.as_secs());
                    return Some(Instant::now() + ACCEPT_PAUSE);
                }
            }
        }
        None
    }

    fn catch_up(&mut self) {
        while let Some(sent) = self.queue.pop() {
            self.remember(&sent);
        }
    }

    /// Puts something into the journal that the errands themselves have to say.
    fn say(&mut self, event: &Event) {
        let at = SystemTime::now();
        self.remarks.say(at, event);
        self.remember(&Sent { at, event: *event });
    }

    fn remember(&mut self, sent: &Sent) {
        self.metrics.saw(&sent.event);
        if self.repeats.admit(&sent.event, Instant::now()).is_none() {
            return;
        }
        if self.latest.len() == LATEST_EVENTS {
            self.latest.pop_front();
        }
        self.latest.push_back(*sent);
    }
}
