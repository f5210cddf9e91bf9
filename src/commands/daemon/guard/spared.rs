//! A victim that lives on when memory is there again: no SIGKILL. Its SIGTERM may end it yet (a database writes for a while
//! before it goes), and whose signal that was has to be known. The engine is done with it; this only watches and tells.

use std::time::Duration;

use crate::act::Actor;
use crate::decide::measure::Reading;
use crate::decide::victim::Victim;
use crate::decide::{Act, Note, SPARED_FOR};
use crate::host::clock;
use crate::report::Event;

use super::super::tell;
use super::Guard;

/// Whom the memory guard spared last.
pub(super) struct Spared {
    victim: Victim,
    /// Holds it, as it was held for the signal.
    actor: Actor,
    asked_at: Duration,
    spared_at: Duration,
    incident: Option<u32>,
}

impl Guard {
    /// Keeps hold of a victim that the last step spared. Of a group nobody is watched: its members are known only as long as it
    /// is the one at work.
    pub(super) fn hold_spared(&mut self, incident: Option<u32>) {
        let spared = self.parts.engine.notes().find_map(|note| match note {
            Note::Spared { victim, waited, .. } if victim.group.is_none() => Some((*victim, *waited)),
            _ => None,
        });
        let Some((victim, waited)) = spared else { return };
        self.let_go_of_spared();
        let now = clock::now();
        let fresh = self.parts.actor.another();
        self.spared = Some(Spared {
            victim,
            actor: std::mem::replace(&mut self.parts.actor, fresh),
            asked_at: now.saturating_sub(waited),
            spared_at: now,
            incident,
        });
    }

    /// Tells of its exit; in time it is let go.
    pub(super) fn watch_spared(&mut self, reading: &Reading) {
        let Some(Spared { victim, actor, asked_at, spared_at, incident }) = &self.spared else { return };
        let now = clock::now();
        let over = now.saturating_sub(*spared_at) >= SPARED_FOR;
        let exited = !over && actor.exited(&self.parts.host, victim, &[]);
        if exited {
            let waited = now.saturating_sub(*asked_at);
            self.send(&Event { incident: *incident, ..tell::spared_exited(victim, waited, reading) });
        }
        if exited || over {
            self.let_go_of_spared();
        }
    }

    /// Whoever is to be signalled again is told of by whoever signals him: the case in this place, or the memory guard.
    pub(super) fn forget_spared(&mut self, act: &Act, place: Option<usize>) {
        let engine = &mut self.parts.engine;
        engine.forget_spared(act, place);
        if self.spared.as_ref().is_some_and(|spared| engine.hits(act, place, spared.victim.id)) {
            self.let_go_of_spared();
        }
    }

    fn let_go_of_spared(&mut self) {
        if let Some(fd) = self.spared.as_ref().and_then(|spared| spared.actor.wake_up()) {
            self.wait_set.remove(fd);
        }
        self.spared = None;
    }
}
