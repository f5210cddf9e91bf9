//! The guard's loop: observe → decide → act, on one thread, waiting for nothing but time, PSI, cgroups, signals and
//! victims.

mod acting;
mod cmdlines;
pub mod hooks;
mod kills;
mod lifting;
mod livelock;
pub mod plan;
mod recording;
mod sight;
mod signals;
mod spared;
mod thrash;
mod timers;
mod units;

use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::act::Actor;
use crate::act::reaper::Reaper;
use crate::config::Places;
use crate::decide::measure::{Level, Reading};
use crate::decide::victim::Own;
use crate::decide::{Decision, Engine, Step};
use crate::host::wait::{Source, WaitSet};
use crate::host::watchdog::Watchdog;
use crate::host::{Host, clock, memory};
use crate::observe::limits::{EnclosingReader, Hierarchy, OwnHighs};
use crate::observe::machine::{MachineReader, ReadError};
use crate::observe::pressure::Trigger;
use crate::observe::scan::Scanner;
use crate::observe::{Depth, Faults, Machine, Need, Observation};
use crate::report::hooks::{Commands, Hooks};
use crate::report::status::RunningConfig;
use crate::report::{Event, EventKind, EventSender, Recorder, Text};

use super::clerk::{Answer, Clerk};
use super::reader::Reader;
use super::scout::{Scout, Seen};
use super::{others, tell};
use cmdlines::Cmdlines;
use kills::Kills;
use lifting::Lifting;
use livelock::Breaker;
use plan::Plan;
use recording::Recording;
use sight::{AWAIT_SCOUT, Scans};
use signals::Signals;
use spared::Spared;
use timers::{Timers, due};

/// What the guard is made of.
pub struct Parts {
    /// Sends signals.
    pub actor: Actor,
    /// What is run before and after acts.
    pub commands: Commands,
    /// Signal nobody.
    pub dry_run: bool,
    /// The limits around us.
    pub enclosing: EnclosingReader,
    /// Decides.
    pub engine: Engine,
    /// Which cgroup hierarchy counts.
    pub hierarchy: Hierarchy,
    /// The system.
    pub host: Host,
    /// What is asked of each cgroup.
    pub plan: Arc<Plan>,
    /// How often to write a line of the machine's state.
    pub journal_every: Option<Duration>,
    /// The machine's memory.
    pub machine: MachineReader,
    /// Who we are.
    pub own: Own,
    /// What happened last, for whoever wants to know afterwards.
    pub recorder: Recorder,
    /// Where notes on lifts are kept.
    pub runtime: Option<PathBuf>,
    /// The cgroup directory of our own unit, where we run in one (v2).
    pub unit_dir: Option<PathBuf>,
}

/// The guard.
pub struct Guard {
    parts: Parts,
    scanner: Scanner,
    wait_set: WaitSet,
    signals: Signals,
    faults: Faults,
    /// What stood in `faults` when it was last told.
    told: Faults,
    last: Machine,
    near: bool,
    scans: Scans,
    watchdog: Option<Watchdog>,
    timers: Timers,
    trigger: Option<Trigger>,
    link: Option<Link>,
    own_highs: OwnHighs,
    breaker: Breaker,
    lifting: Lifting,
    recording: Recording,
    kills: Kills,
    spared: Option<Spared>,
    /// The guard itself may be throttled: the scout opens, the guard only reads.
    throttleable: bool,
    units: units::Units,
    cmdlines: Cmdlines,
    /// When a hook was last waited for.
    waited_at: Option<Duration>,
}

/// The other threads.
struct Link {
    sender: EventSender,
    clerk: Option<Clerk>,
    hooks: Option<Hooks>,
    reader: Option<Reader>,
    scout: Option<Scout>,
}

/// Steps the engine may take without letting anything else happen. It never needs more than four (look, look at all,
/// act, next); a bug must not become a busy loop.
const STEPS: u8 = 16;

impl Guard {
    /// Puts the guard together.
    ///
    /// # Errors
    /// No descriptor for signals or waiting.
    pub fn new(parts: Parts) -> io::Result<Box<Self>> {
        let wait_set = WaitSet::new()?;
        let signals = Signals::install()?;
        wait_set.add(&signals.pipe, Source::Signal)?;
        let scanner = Scanner::new(parts.hierarchy);
        Ok(Box::new(Self {
            own_highs: OwnHighs::open(&parts.host),
            breaker: Breaker::new(),
            lifting: Lifting::default(),
            recording: Recording::new(),
            kills: Kills::default(),
            spared: None,
            throttleable: false,
            units: units::Units::default(),
            cmdlines: Cmdlines::default(),
            waited_at: None,
            parts,
            scanner,
            wait_set,
            signals,
            faults: Faults::default(),
            told: Faults::default(),
            last: Machine::default(),
            near: false,
            scans: Scans::default(),
            watchdog: None,
            timers: Timers::default(),
            trigger: None,
            link: None,
        }))
    }

    /// Goes through a whole decision once, signalling nobody: so that every page of program and stack that the kill path
    /// needs is there, tables have the right size, and lazy parts are lazy no more.
    pub fn rehearse(&mut self) {
        self.scan_with_room(Need { depth: Depth::All, oom_score: true });
        self.rehearse_again();
    }

    /// The same without making room: there is some.
    pub fn rehearse_again(&mut self) {
        let now = clock::now();
        let Ok(machine) = self.parts.machine.read(&mut self.faults) else { return };
        self.last = machine;
        self.scan(Need { depth: Depth::All, oom_score: true });
        let enclosing = self.parts.enclosing.read(&mut self.faults);
        let tasks = self.scanner.tasks();
        let obs =
            Observation { machine: &self.last, enclosing, victim_exited: false, tasks: Some(tasks), details: None };
        let reading = self.parts.engine.gauge().worst(&obs);
        let chooser = self.parts.engine.chooser();
        chooser.judge(tasks, &obs, &reading, |_| false);
        let _ = chooser.choose(tasks, &reading);
        let _ = crate::host::process::PidFd::open(self.parts.own.pid).and_then(|fd| fd.signal(None));
        self.scans.last = Some(now);
        self.scans.available = reading.available;
    }

    /// Locks the daemon in memory, all but the code that is `needless`.
    ///
    /// # Errors
    /// Those of [`memory::lock_all`].
    pub fn lock_in_memory(&self, needless: &[Range<usize>]) -> io::Result<()> {
        memory::lock_all(&self.parts.host.proc, needless)
    }

    /// Lowers the guard's own `oom_score_adj`. A dry run stays as killable as it was.
    ///
    /// # Errors
    /// Those of writing it.
    pub fn lower_own_oom_score(&self, adj: i32) -> io::Result<()> {
        if self.parts.dry_run { Ok(()) } else { memory::set_own_oom_score_adj(&self.parts.host.proc, adj) }
    }

    /// Connects the guard to the other threads and to the kernel's notifications.
    pub fn arm(
        &mut self,
        sender: EventSender,
        reaper: Option<Reaper>,
        explicit: Option<PathBuf>,
        places: Places,
        last_good: Option<String>,
        running: Arc<RunningConfig>,
    ) {
        self.parts.actor.set_reaper(reaper);
        self.parts.engine.cases_mut().make_room();
        self.breaker.make_room();
        let clerk = Clerk::start(explicit, places, last_good, running);
        let degraded = |what: &str, e: &io::Error| {
            sender
                .send(&Event { reason: Text::format(format_args!("{what}: {e}")), ..Event::new(EventKind::Degraded) });
        };
        match &clerk {
            Ok(clerk) => {
                let _ = self.wait_set.add(clerk.bell(), Source::Errand);
            }
            Err(e) => degraded("the configuration can't be reloaded, no thread for it", e),
        }
        match Trigger::set(&self.parts.host.proc, self.parts.own.may_signal_others) {
            Ok(trigger) => {
                let _ = self.wait_set.add(trigger.as_fd(), Source::Pressure);
                self.trigger = Some(trigger);
            }
            Err(e) => degraded("no memory pressure trigger, looking at least once a second instead", &e),
        }
        match Watchdog::from_environment() {
            Ok(watchdog) => self.watchdog = watchdog,
            Err(e) => degraded("the systemd watchdog can't be pinged", &e),
        }
        let now = clock::now();
        self.timers.state = self.parts.journal_every.map(|every| now + every);
        self.near = true;
        self.link = Some(Link { sender, clerk: clerk.ok(), hooks: None, reader: None, scout: None });
        self.follow_hooks(self.parts.commands.clone());
        self.look_whether_throttleable();
        self.ask_scout();
        self.timers.others = Some(now);
        if !self.parts.own.may_signal_others {
            self.parts.engine.set_machine_is_ours(!others::system_guard_runs(&self.parts.host));
        }
        self.follow_cgroups();
        let evidence = self.link.as_ref().and_then(|link| link.sender.evidence());
        self.watch_for_kills(evidence);
        if let Ok(reading) = self.measure() {
            // Short from the start: it will not get better by waiting.
            if reading.level != Level::Calm {
                self.touch_recorder();
            }
            self.send(&tell::started(&reading));
        }
    }

    /// Runs until a signal asks to stop.
    ///
    /// # Errors
    /// When the runtime can't be had.
    pub fn watch(&mut self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let wake_up = self.wait_set.in_runtime()?;
            loop {
                self.attend();
                if self.signals.stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let pause = self.turn().min(self.break_livelocks()).min(self.until_timers());
                self.wait_set.wake_after(pause)?;
                wake_up.readable().await?.clear_ready();
            }
        })
    }

    /// Says that the guard ends.
    pub fn say_stop(&self) {
        self.send(&Event::new(EventKind::Stop));
    }

    /// Tells systemd that the loop turns, and deals with whatever woke the guard besides time.
    fn attend(&mut self) {
        if let Some(watchdog) = &self.watchdog
            && due(&mut self.timers.ping, clock::now(), watchdog.every)
        {
            watchdog.ping();
        }
        let ready = self.wait_set.ready(Duration::ZERO);
        if ready.has(Source::Signal) {
            self.signals.drain();
            if self.signals.reload.swap(false, Ordering::Relaxed)
                && let Some(clerk) = self.link.as_ref().and_then(|link| link.clerk.as_ref())
            {
                clerk.reload();
            }
        }
        if ready.has(Source::Errand) {
            self.take_answers();
            self.take_lifts();
            self.take_kills();
            self.take_remarks();
        }
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.link.as_ref().and_then(|link| link.clerk.as_ref()?.answer()) {
            let event = match answer {
                Answer::New(new, reason) => {
                    let (mut config, rules) = *new;
                    let old = self.parts.engine.reconfigure(&config, rules);
                    self.parts.journal_every = config.journal.every;
                    if let Some(link) = &self.link {
                        link.sender.keep_incidents(config.recorder.incidents);
                    }
                    self.parts.recorder.set_keep(config.recorder.keep);
                    self.parts.plan = Arc::new(self.parts.plan.again(&config));
                    self.follow_cgroups();
                    if let Some(link) = &self.link {
                        link.sender.set_textfile(config.metrics.textfile.take());
                    }
                    self.follow_hooks(hooks::commands(&config));
                    self.timers.state = config.journal.every.map(|every| clock::now() + every);
                    if let Some(clerk) = self.link.as_ref().and_then(|link| link.clerk.as_ref()) {
                        clerk.applied(old);
                    }
                    Event { reason, ..Event::new(EventKind::Reload) }
                }
                Answer::SystemGuardRuns(runs) => {
                    self.parts.engine.set_machine_is_ours(!runs);
                    continue;
                }
                Answer::Managed(asked) => {
                    self.take_managed(asked);
                    continue;
                }
                Answer::Bad(reason) => Event { reason, ..Event::new(EventKind::ConfigRejected) },
                Answer::NotKept(reason) => Event { reason, ..Event::new(EventKind::Degraded) },
            };
            self.send(&event);
        }
    }

    /// One turn: observes and decides, and acts if that was decided. Returns for how long nothing needs to be done.
    fn turn(&mut self) -> Duration {
        let mut looked = None;
        for _ in 0..STEPS {
            let decision = match self.decide(looked) {
                Ok(decision) => decision,
                Err(e) => return self.blind(&e),
            };
            looked = None;
            match decision.step {
                Step::Wait(pause) => {
                    self.afterwards(&decision.reading);
                    let pause = pause.min(self.record(&decision, pause));
                    return if self.trigger.is_some() { pause } else { pause.min(Duration::from_secs(1)) };
                }
                Step::Look(need) => {
                    if !self.look(need) {
                        return AWAIT_SCOUT;
                    }
                    looked = Some(need);
                }
                Step::Act(act) => self.perform(&act),
            }
        }
        Duration::from_millis(1)
    }

    /// Observes and lets the engine decide. The processes are shown if they were just looked at.
    fn decide(&mut self, looked: Option<Need>) -> Result<Decision, ReadError> {
        self.last = self.parts.machine.read(&mut self.faults)?;
        self.parts.enclosing.read(&mut self.faults);
        let episode = self.parts.engine.episode();
        let decision = self.show(looked, Engine::step);
        self.near = decision.near;
        self.hold_spared(episode);
        if self.parts.engine.victim().is_none() {
            self.let_go();
        }
        self.tell_notes(episode);
        self.watch_spared(&decision.reading);
        Ok(decision)
    }

    /// Shows the engine what there is to see: the memory as it was last read, the processes as they are now.
    fn show<R>(
        &mut self,
        looked: Option<Need>,
        decide: impl FnOnce(&mut Engine, &Observation<'_>, Duration) -> R,
    ) -> R {
        self.recording.judged = looked.is_some();
        let enclosing = self.parts.enclosing.found();
        let engine = &mut self.parts.engine;
        let victim_exited =
            engine.victim().is_some_and(|victim| self.parts.actor.exited(&self.parts.host, victim, engine.members()));
        let details = self.link.as_ref().and_then(|link| link.reader.as_ref()?.table());
        let mut table = self.link.as_ref().filter(|_| self.throttleable).and_then(|link| link.scout.as_ref()?.found());
        let scouted = table.as_mut().and_then(|seen| seen.as_mut()).filter(|_| looked.is_some());
        let tasks = match scouted {
            Some(Seen { found, .. }) => {
                found.roster.refresh(&mut found.tasks, self.parts.host.page_size);
                Some(&found.tasks)
            }
            // The scout has nothing yet: better throttled than blind.
            None if self.throttleable
                && let Some(need) = looked =>
            {
                let swap_used = self.last.meminfo.swap_used();
                Some(self.scanner.scan(&self.parts.host, need, swap_used, &mut self.faults))
            }
            None => looked.map(|_| self.scanner.tasks()),
        };
        let obs = Observation { machine: &self.last, enclosing, victim_exited, tasks, details: details.as_deref() };
        decide(engine, &obs, clock::now())
    }

    fn measure(&mut self) -> Result<Reading, ReadError> {
        let machine = self.parts.machine.read(&mut self.faults)?;
        let enclosing = self.parts.enclosing.read(&mut self.faults);
        let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
        Ok(self.parts.engine.gauge().worst(&obs))
    }

    /// Tells what the engine noted. `before` is the episode that was under way before its step: the note of its end belongs
    /// to it.
    fn tell_notes(&self, before: Option<u32>) {
        for note in self.parts.engine.notes() {
            let incident = self.parts.engine.episode().or(before);
            self.send(&Event { incident, ..tell::noted(note, &self.last) });
        }
    }

    fn send(&self, event: &Event) {
        if let Some(link) = &self.link {
            let event = self.complete(event);
            link.sender.send(&event);
            if let Some(hooks) = &link.hooks {
                hooks.after(&event);
            }
        }
    }

    /// An event with what every event has.
    fn complete(&self, event: &Event) -> Event {
        let mut event = *event;
        event.incident = event.incident.or(self.parts.engine.episode());
        event.psi_full_percent = event.psi_full_percent.or(self.parts.engine.gauge().stall.full_percent());
        self.cmdlines.complete(&mut event);
        let units = self.link.as_ref().and_then(|link| link.clerk.as_ref()?.units());
        event.follows = units.and_then(|units| super::units::foretell(&units, &event));
        event
    }
}
