//! The command lines of those who were signalled: once they are gone nobody can read them.

use crate::report::{CMDLINE_BYTES, COMM_BYTES, Event, EventKind, Text};

/// So many victims may be on their way out at once: one for the machine's memory, and those of some stuck cgroups.
const KEPT: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Kept {
    pid: i32,
    /// A pid may be another's by now.
    comm: Text<COMM_BYTES>,
    cmdline: Text<CMDLINE_BYTES>,
}

impl Kept {
    fn is_of(&self, event: &Event) -> bool {
        Some(self.pid) == event.pid && self.comm.as_bytes() == event.comm.as_bytes()
    }
}

/// Of fixed size; the oldest makes room.
#[derive(Debug, Default)]
pub(super) struct Cmdlines {
    kept: [Option<Kept>; KEPT],
    next: usize,
}

impl Cmdlines {
    /// Keeps that of an act's victim.
    pub(super) fn keep(&mut self, act: &Event) {
        let Some(pid) = act.pid.filter(|_| !act.cmdline.as_bytes().is_empty()) else { return };
        let known = self.kept.iter().position(|kept| kept.is_some_and(|kept| kept.is_of(act)));
        let at = known.unwrap_or(self.next);
        if known.is_none() {
            self.next = (at + 1) % KEPT;
        }
        self.kept[at] = Some(Kept { pid, comm: act.comm, cmdline: act.cmdline });
    }

    /// Gives it to an entry about what became of the victim.
    pub(super) fn complete(&self, event: &mut Event) {
        let of_victim = matches!(event.event, EventKind::Kill | EventKind::Exited | EventKind::SetAside);
        if of_victim && event.cmdline.as_bytes().is_empty() {
            let kept = self.kept.iter().flatten().find(|kept| kept.is_of(event));
            event.cmdline = kept.map_or(Text::new(), |kept| kept.cmdline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, pid: i32, cmdline: &str) -> Event {
        Event { pid: Some(pid), cmdline: Text::from_bytes(cmdline.as_bytes()), ..Event::new(kind) }
    }

    #[test]
    fn what_follows_an_act_has_its_command_line() {
        let mut cmdlines = Cmdlines::default();
        let told = |cmdlines: &Cmdlines, kind, pid| {
            let mut event = event(kind, pid, "");
            cmdlines.complete(&mut event);
            event.cmdline.to_string()
        };
        cmdlines.keep(&event(EventKind::Term, 1, "java -jar a.jar"));
        cmdlines.keep(&event(EventKind::Term, 2, "hog"));
        // What is read beforehand forgets who shrank.
        cmdlines.keep(&event(EventKind::Kill, 1, ""));
        for kind in [EventKind::Kill, EventKind::Exited, EventKind::SetAside] {
            assert_eq!(told(&cmdlines, kind, 1), "java -jar a.jar");
        }
        assert_eq!(told(&cmdlines, EventKind::Exited, 2), "hog");
        assert_eq!(told(&cmdlines, EventKind::Exited, 3), "");
        assert_eq!(told(&cmdlines, EventKind::Refused, 1), "", "not about what became of it");
        let mut other = Event { comm: Text::from_bytes(b"bash"), ..event(EventKind::Exited, 1, "") };
        cmdlines.complete(&mut other);
        assert_eq!(other.cmdline.to_string(), "");

        let many = i32::try_from(KEPT).unwrap();
        for pid in 10..10 + many - 1 {
            cmdlines.keep(&event(EventKind::Term, pid, "one more"));
        }
        assert_eq!(
            (told(&cmdlines, EventKind::Exited, 1), told(&cmdlines, EventKind::Exited, 2)),
            (String::new(), "hog".to_owned())
        );
        cmdlines.keep(&event(EventKind::Term, 10, "another process"));
        assert_eq!(told(&cmdlines, EventKind::Exited, 10), "another process");
    }
}
