//! Kills by others: the kernel's OOM killer and systemd-oomd. The guard only numbers and tells them; its own victims it
//! follows by their pidfds, whoever ends them.

use std::time::Duration;

use crate::decide::KilledFor;
use crate::host::clock;
use crate::host::wait::Source;
use crate::observe::cgroup_files::{Events, Sample};
use crate::observe::parse::Limit;
use crate::observe::survey::OomdKill;
use crate::report::incident::evidence::{Evidence, EvidenceSender, KernelOom};
use crate::report::{Event, EventKind, Text};

use super::super::killers::{Killers, News};
use super::Guard;

/// Kills at one limit that follow each other so closely are one incident: a build at its limit loses a compiler every other
/// second.
const ONE_INCIDENT: Duration = Duration::from_secs(60);

/// So many different limits at which somebody was killed are remembered: several builds at their limits, side by side.
const REMEMBERED: usize = 8;

/// What the guard knows of kills by others.
#[derive(Default)]
pub(super) struct Kills {
    killers: Option<Killers>,
    /// Where the kernel's own reports go, besides the journal.
    evidence: Option<EvidenceSender>,
    /// What was killed for last.
    latest: [Option<Latest>; REMEMBERED],
    /// Kills that were seen in the counts of a cgroup, since the machine's count was last told.
    attributed: u64,
}

/// The last kill for this.
struct Latest {
    killed_for: KilledFor,
    incident: u32,
    at: Duration,
}

impl Kills {
    /// The incident of the last kill for the same, if that was a moment ago.
    fn incident_of_the_last(&self, killed_for: &KilledFor, now: Duration) -> Option<u32> {
        let is_it = |last: &&Latest| last.killed_for == *killed_for && now.saturating_sub(last.at) < ONE_INCIDENT;
        self.latest.iter().flatten().find(is_it).map(|last| last.incident)
    }

    /// Remembers a kill, in place of the last one for the same, else of the oldest.
    fn remember(&mut self, killed_for: &KilledFor, incident: u32, now: Duration) {
        let known = |last: &Option<Latest>| last.as_ref().is_some_and(|last| last.killed_for == *killed_for);
        let at = self.latest.iter().position(known);
        // `None` is less than any time: a free place comes first.
        let oldest = || (0..REMEMBERED).min_by_key(|&at| self.latest[at].as_ref().map(|last| last.at)).unwrap_or(0);
        let at = at.unwrap_or_else(oldest);
        self.latest[at] = Some(Latest { killed_for: *killed_for, incident, at: now });
    }
}

impl Guard {
    /// Starts to listen for kills of the kernel's.
    pub(super) fn watch_for_kills(&mut self, evidence: Option<EvidenceSender>) {
        self.kills.evidence = evidence;
        match Killers::start(&self.parts.host) {
            Ok(killers) => {
                let _ = self.wait_set.add(killers.bell(), Source::Errand);
                self.kills.killers = Some(killers);
            }
            Err(e) => self.degraded(format_args!("kills by the kernel's OOM killer are not seen: {e}")),
        }
    }

    /// Takes what was heard of kills of the kernel's.
    pub(super) fn take_kills(&mut self) {
        while let Some(news) = self.kills.killers.as_ref().and_then(Killers::news) {
            match news {
                News::Kill { kill, killed_for } => self.tell_kernel_kill(kill, &killed_for),
                News::Line(line) => self.hand_over(Evidence::KernelLine(line)),
                News::Counted(kills) => self.tell_counted(kills),
                News::Degraded(reason) => self.degraded(format_args!("{reason}")),
            }
        }
    }

    fn tell_kernel_kill(&mut self, mut kill: Box<KernelOom>, killed_for: &KilledFor) {
        // A user's guard speaks of that user's processes only.
        let own = &self.parts.own;
        if !own.may_signal_others && kill.event.uid.is_some_and(|uid| uid != own.uid) {
            return self.give_back(Evidence::KernelOom(kill));
        }
        kill.event.incident = Some(self.incident_of_kill(killed_for));
        self.send(&kill.event);
        self.hand_over(Evidence::KernelOom(kill));
    }

    /// Passes it on to whoever writes the incident down, if anybody does and has room.
    fn hand_over(&self, evidence: Evidence) {
        let left = match &self.kills.evidence {
            Some(sender) => sender.send(evidence).err(),
            None => Some(evidence),
        };
        if let Some(evidence) = left {
            self.give_back(evidence);
        }
    }

    /// The guard frees nothing: another thread may hold the allocator's lock while it waits for a page.
    fn give_back(&self, evidence: Evidence) {
        if let Some(killers) = &self.kills.killers {
            killers.give_back(evidence);
        }
    }

    /// Processes were killed that nobody can name. Those that were seen in a cgroup's own counts are told already.
    fn tell_counted(&mut self, kills: u64) {
        let unknown = kills.saturating_sub(std::mem::take(&mut self.kills.attributed));
        if unknown == 0 || !self.parts.engine.gauge().machine_is_ours {
            return;
        }
        let reason = Text::format(format_args!(
            "somewhere on this machine; who and why is only in the kernel's log (`journalctl -k -g oom-kill`)"
        ));
        let incident = Some(self.incident_of_kill(&KilledFor::Unknown));
        self.send(&Event {
            members: u32::try_from(unknown).ok(),
            reason,
            incident,
            ..Event::new(EventKind::KernelOom)
        });
    }

    /// Without the kernel's log: somebody was killed in a cgroup that is sampled. It is told where the limit was hit.
    pub(super) fn note_kills(&mut self, at: usize, before: Events, sample: &Sample) {
        if self.kills.killers.as_ref().is_some_and(|killers| killers.reads_log) || before.oom == sample.events.oom {
            return;
        }
        let kills = sample.events.oom_kill.saturating_sub(before.oom_kill);
        self.kills.attributed = self.kills.attributed.saturating_add(kills);
        let path = self.breaker.path_of(at);
        let incident = Some(self.incident_of_kill(&KilledFor::Limit(path)));
        let limit_bytes = match sample.max {
            Limit::Bytes(bytes) => Some(bytes),
            Limit::Max => None,
        };
        self.send(&Event {
            kind: Some("cgroup_limit"),
            cgroup: Text::from_bytes(path.as_bytes()),
            members: u32::try_from(kills).ok(),
            reason: Text::format(format_args!(
                "its memory.max was hit; who is only in the kernel's log (`journalctl -k -g oom-kill`)"
            )),
            limit_bytes,
            incident,
            ..Event::new(EventKind::KernelOom)
        });
    }

    /// Tells of a kill of systemd-oomd's.
    pub(super) fn tell_oomd_kill(&mut self, kill: &OomdKill) {
        let incident = Some(self.incident_of_kill(&KilledFor::Oomd(kill.path)));
        self.send(&Event {
            cgroup: Text::from_bytes(kill.path.as_bytes()),
            members: kill.processes.and_then(|n| u32::try_from(n).ok()),
            reason: Text::format(format_args!("`journalctl -u systemd-oomd` says why")),
            incident,
            ..Event::new(EventKind::OomdKill)
        });
    }

    /// The incident that a kill belongs to: one that is open, else that of the last kill for the same, else a new one.
    fn incident_of_kill(&mut self, killed_for: &KilledFor) -> u32 {
        let now = clock::now();
        let Self { parts, kills, .. } = self;
        let open = parts.engine.incident_of_kill(killed_for, now);
        let known = open.or_else(|| kills.incident_of_the_last(killed_for, now));
        let incident = known.unwrap_or_else(|| parts.engine.new_incident());
        kills.remember(killed_for, incident, now);
        incident
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::cgroups::CgroupPath;

    fn limit(n: usize) -> KilledFor {
        KilledFor::Limit(CgroupPath::new(format!("/{n}").as_bytes()).expect("short"))
    }

    #[test]
    fn limits_that_alternate_are_an_incident_each() {
        let mut kills = Kills::default();
        let s = Duration::from_secs;
        let known = [KilledFor::Machine, KilledFor::Unknown, KilledFor::SomeLimit, limit(1), limit(2)];
        for round in 0..3 {
            for (number, killed_for) in (1..).zip(known) {
                let last = kills.incident_of_the_last(&killed_for, s(round * 40));
                assert_eq!(last, (round > 0).then_some(number), "{killed_for:?}");
                kills.remember(&killed_for, number, s(round * 40));
            }
        }
        assert_eq!(kills.incident_of_the_last(&limit(1), s(80) + ONE_INCIDENT), None, "long ago");
        // The oldest makes room.
        (0..REMEMBERED).for_each(|n| kills.remember(&limit(n), 100, s(90)));
        assert_eq!(kills.incident_of_the_last(&KilledFor::Machine, s(90)), None);
        assert!((0..REMEMBERED).all(|n| kills.incident_of_the_last(&limit(n), s(90)) == Some(100)));
    }
}
