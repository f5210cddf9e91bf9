//! The guard's loop: observe → decide → act, on one thread, waiting for nothing but time, PSI, signals and victims.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::act::reaper::Reaper;
use crate::act::{Actor, Aim};
use crate::config::Places;
use crate::decide::measure::{Level, Reading, Whose};
use crate::decide::victim::Own;
use crate::decide::{Act, Decision, Engine, Outcome, Step};
use crate::host::wait::{Source, WaitSet};
use crate::host::watchdog::Watchdog;
use crate::host::{Host, clock, memory};
use crate::observe::limits::{EnclosingReader, Hierarchy, OwnHighs};
use crate::observe::machine::{MachineReader, ReadError};
use crate::observe::pressure::Trigger;
use crate::observe::scan::Scanner;
use crate::observe::{Depth, Faults, Machine, Need, Observation};
use crate::report::{Event, EventKind, EventSender, Text};

use super::clerk::{Answer, Clerk};
use super::reader::Reader;
use super::scout::{Scout, Seen};
use super::snapshot::snapshot;
use super::{others, tell};

/// What the guard is made of.
pub struct Parts {
    /// Sends signals.
    pub actor: Actor,
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
    /// How often to write a line of the machine's state.
    pub journal_every: Option<Duration>,
    /// The machine's memory.
    pub machine: MachineReader,
    /// Who we are.
    pub own: Own,
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
    /// The guard itself may be throttled: the scout opens, the guard only reads.
    throttleable: bool,
}

/// The other threads.
struct Link {
    sender: EventSender,
    clerk: Option<Clerk>,
    reader: Option<Reader>,
    scout: Option<Scout>,
}

/// What is known of the last scan.
#[derive(Default)]
struct Scans {
    /// When the process table was last read.
    last: Option<Duration>,
    /// What was available then.
    available: u64,
    /// Since when the guard waits for the scout.
    awaited_since: Option<Duration>,
}

#[derive(Default)]
struct Timers {
    ping: Option<Duration>,
    state: Option<Duration>,
    publish: Option<Duration>,
    others: Option<Duration>,
    faults: Option<Duration>,
}

struct Signals {
    pipe: UnixStream,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// A process table older than this is read again while memory is near the thresholds: so that command lines are known,
/// tables are large enough and cgroups are cached before they are needed.
const RESCAN: Duration = Duration::from_secs(10);

/// Steps the engine may take without letting anything else happen. It never needs more than four (look, look at all,
/// act, next); a bug must not become a busy loop.
const STEPS: u8 = 16;

/// A scout's look younger than this is as good as one's own.
const FRESH: Duration = Duration::from_secs(2);

/// Between two looks whether the scout is back.
const AWAIT_SCOUT: Duration = Duration::from_millis(20);

/// A throttled scout needs a second or two for each process that is new; longer than this nobody should wait for it.
const AWAIT_AT_MOST: Duration = Duration::from_secs(10);

/// How often whoever asks for the status gets fresh numbers.
const PUBLISH: Duration = Duration::from_secs(1);

/// How often a user's guard looks whether the system's guard runs.
const OTHERS: Duration = Duration::from_secs(5);

/// How often faults of reading are told, if there are new ones.
const FAULTS: Duration = Duration::from_secs(60);

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
            throttleable: false,
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
        let now = clock::now();
        let Ok(machine) = self.parts.machine.read(&mut self.faults) else { return };
        self.last = machine;
        for _ in 0..2 {
            self.scan(Need { depth: Depth::All, oom_score: true });
            self.scanner.grow();
            self.parts.engine.reserve(self.scanner.tasks());
        }
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
    ) {
        self.parts.actor.set_reaper(reaper);
        let clerk = Clerk::start(explicit, places, last_good);
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
        self.link = Some(Link { sender, clerk: clerk.ok(), reader: None, scout: None });
        self.look_whether_throttleable();
        self.ask_scout();
        self.timers.others = Some(now);
        if !self.parts.own.may_signal_others {
            self.parts.engine.set_machine_is_ours(!others::system_guard_runs(&self.parts.host));
        }
        if let Ok(decision) = self.measure() {
            self.send(&tell::started(&decision));
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
                let pause = self.turn().min(self.until_timers());
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
        }
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.link.as_ref().and_then(|link| link.clerk.as_ref()?.answer()) {
            let event = match answer {
                Answer::New(new, reason) => {
                    let (config, rules) = *new;
                    let old = self.parts.engine.reconfigure(&config, rules);
                    self.parts.journal_every = config.journal.every;
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
                    return if self.trigger.is_some() { pause } else { pause.min(Duration::from_secs(1)) };
                }
                Step::Look(need) => {
                    if self.throttleable {
                        if self.must_await_scout(need) {
                            return AWAIT_SCOUT;
                        }
                    } else {
                        self.scan(need);
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
        let enclosing = self.parts.enclosing.read(&mut self.faults);
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
        let decision = engine.step(&obs, clock::now());
        drop((details, table));
        self.near = decision.near;
        if self.parts.engine.victim().is_none() {
            self.let_go();
        }
        self.tell_notes();
        Ok(decision)
    }

    /// Does what was decided, unless the cause or the victim is gone by now.
    fn perform(&mut self, act: &Act) {
        let outcome = self.attempt(act);
        self.parts.engine.acted(act, outcome, clock::now());
        // A SIGKILL that was not needed after all leaves the victim of the SIGTERM before it where it was.
        if self.parts.engine.victim().is_none() {
            self.let_go();
        }
        self.tell_notes();
    }

    fn attempt(&mut self, act: &Act) -> Outcome {
        // The clerk looks every few seconds; a system's guard that started since would take a second victim for one
        // shortage. Three opens, which a guard that may be throttled leaves to the clerk.
        let machines = !self.parts.own.may_signal_others && act.reading.whose == Whose::Machine;
        if machines && !self.throttleable && others::system_guard_runs(&self.parts.host) {
            self.parts.engine.set_machine_is_ours(false);
            return Outcome::Recovered;
        }
        let host = &self.parts.host;
        let held = self
            .link
            .as_ref()
            .filter(|_| self.throttleable)
            .and_then(|link| link.scout.as_ref()?.found()?.as_ref()?.found.roster.pidfd(act.victim.id));
        if self.parts.actor.aim(host, &act.victim, held) == Aim::Gone {
            return Outcome::Gone;
        }
        // Who can't look once more does not shoot; the next turn will.
        let Ok(machine) = self.parts.machine.read(&mut self.faults) else { return Outcome::Recovered };
        let enclosing = self.parts.enclosing.read(&mut self.faults);
        let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
        if !self.parts.engine.still_holds(act, &obs) {
            return Outcome::Recovered;
        }
        let sent =
            if self.parts.dry_run { Ok(0) } else { self.parts.actor.fire(host, act, self.parts.engine.members()) };
        let decided = clock::now().saturating_sub(act.seen_at);
        match sent {
            Ok(_) => {
                if let Some(fd) = self.parts.actor.wake_up() {
                    let _ = self.wait_set.add(fd, Source::Victim);
                }
                let details = self.link.as_ref().and_then(|link| link.reader.as_ref()?.table());
                let mut event = tell::acted(act, details.as_deref());
                drop(details);
                event.decide_usec = u64::try_from(decided.as_micros()).ok();
                self.send(&event);
                if self.parts.dry_run { Outcome::Pretended } else { Outcome::Sent }
            }
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Outcome::Gone,
            Err(e) => {
                let mut event = tell::acted(act, None);
                event.event = EventKind::Refused;
                event.reason =
                    Text::format(format_args!("{} could not be sent: {e}", tell::posix(act.signal).as_str()));
                self.send(&event);
                Outcome::Failed
            }
        }
    }

    fn let_go(&mut self) {
        if let Some(fd) = self.parts.actor.wake_up() {
            self.wait_set.remove(fd);
        }
        self.parts.actor.release();
    }

    fn scan(&mut self, need: Need) {
        let swap_used = self.last.meminfo.swap_used();
        self.scanner.scan(&self.parts.host, need, swap_used, &mut self.faults);
        self.scans.last = Some(clock::now());
    }

    /// What may be done now that nothing is urgent.
    fn afterwards(&mut self, reading: &Reading) {
        let now = clock::now();
        if self.near && self.parts.engine.victim().is_none() {
            self.keep_tables_fresh(reading, now);
        }
        if due(&mut self.timers.publish, now, PUBLISH)
            && let Some(link) = &self.link
        {
            link.sender.publish(&snapshot(reading, &self.last, self.parts.enclosing.found()));
        }
        if self.timers.state.is_some_and(|at| now >= at) {
            self.timers.state = self.parts.journal_every.map(|every| now + every);
            self.send(&tell::state(reading));
        }
        if due(&mut self.timers.others, now, OTHERS) {
            self.look_for_others();
            self.look_whether_throttleable();
            self.ask_scout();
        }
        if self.faults != self.told && due(&mut self.timers.faults, now, FAULTS) {
            self.tell_faults();
        }
    }

    /// Near the thresholds the process table is read now and then, and when much has been filled since.
    fn keep_tables_fresh(&mut self, reading: &Reading, now: Duration) {
        let old = self.scans.last.is_none_or(|at| now.saturating_sub(at) >= RESCAN);
        let headroom = reading.available.saturating_sub(reading.term);
        let then = self.scans.available.saturating_sub(reading.term);
        let filled = reading.level < Level::Term && headroom < then / 2;
        if !old && !filled {
            return;
        }
        self.scans.available = reading.available;
        self.scans.last = Some(now);
        let Some(link) = &mut self.link else { return };
        // Not before it is needed: most machines never come near.
        if link.reader.is_none() {
            link.reader = self.parts.host.proc.again().and_then(Reader::start).ok();
        }
        if self.throttleable {
            let table = link.scout.as_ref().and_then(Scout::found);
            if let (Some(reader), Some(Some(seen))) = (&link.reader, table.as_deref()) {
                reader.ask(seen.found.tasks.list.iter());
            }
            return;
        }
        // Processes move and units are marked: now is the time to see it, not when somebody has to be chosen.
        self.scanner.forget_cgroups();
        let need = self.parts.engine.chooser().need(reading);
        self.scan(need);
        // Above `warn` memory may be had.
        if reading.level == Level::Calm {
            self.scanner.grow();
            self.parts.engine.reserve(self.scanner.tasks());
        }
        if let Some(reader) = self.link.as_ref().and_then(|link| link.reader.as_ref()) {
            reader.ask(self.scanner.largest().iter());
        }
    }

    /// Limits come and go: whether one of them could throttle the guard itself is looked up now and then.
    fn look_whether_throttleable(&mut self) {
        self.throttleable = self.own_highs.any_is_finite();
        if let Some(link) = self.link.as_mut().filter(|link| self.throttleable && link.scout.is_none()) {
            link.scout = Scout::start(self.parts.hierarchy).ok();
        }
    }

    /// Whether what the scout saw last is too old to conclude from it that nobody is worth killing. Whoever is there and
    /// large enough is taken at once, however old the look; a guard that waits in vain goes on with what it has.
    fn must_await_scout(&mut self, need: Need) -> bool {
        let now = clock::now();
        let Some(scout) = self.link.as_ref().and_then(|link| link.scout.as_ref()) else { return false };
        let floor = match need.depth {
            Depth::Large { floor } => floor,
            Depth::All => 0,
        };
        let enough = scout.found().is_some_and(|mut table| {
            table.as_mut().is_some_and(|Seen { at, found }| {
                found.roster.refresh(&mut found.tasks, self.parts.host.page_size);
                let own = self.parts.own;
                let somebody = found.tasks.list.iter().any(|t| {
                    let may = own.may_signal_others || t.uid == Some(own.uid);
                    may && t.oom_score_adj != Some(-1000) && t.size_with_shared() >= floor
                });
                let age = now.saturating_sub(*at);
                age < FRESH || (somebody && floor > 0 && age < RESCAN)
            })
        });
        if enough {
            self.scans.awaited_since = None;
            return false;
        }
        scout.ask();
        let since = *self.scans.awaited_since.get_or_insert(now);
        now.saturating_sub(since) < AWAIT_AT_MOST
    }

    /// Has the scout look, if that is how the guard sees; and makes room for what it found last.
    fn ask_scout(&mut self) {
        let Some(scout) = self.link.as_ref().filter(|_| self.throttleable).and_then(|link| link.scout.as_ref()) else {
            return;
        };
        scout.ask();
        if let Some(seen) = scout.found().as_ref().and_then(|seen| seen.as_ref()) {
            self.parts.engine.reserve(&seen.found.tasks);
        }
    }

    /// A user's guard leaves the machine's memory to the system's guard; the clerk looks whether that runs.
    fn look_for_others(&mut self) {
        if !self.parts.own.may_signal_others
            && let Some(clerk) = self.link.as_ref().and_then(|link| link.clerk.as_ref())
        {
            clerk.look_for_others();
        }
    }

    fn measure(&mut self) -> Result<Reading, ReadError> {
        let machine = self.parts.machine.read(&mut self.faults)?;
        let enclosing = self.parts.enclosing.read(&mut self.faults);
        let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
        Ok(self.parts.engine.gauge().worst(&obs))
    }

    /// `/proc/meminfo` can't be read: says so once a minute and tries again soon.
    fn blind(&mut self, error: &ReadError) -> Duration {
        let now = clock::now();
        if due(&mut self.timers.faults, now, FAULTS) {
            let reason = Text::format(format_args!("blind: {error}"));
            self.send(&Event { reason, ..Event::new(EventKind::Degraded) });
        }
        Duration::from_millis(100)
    }

    fn tell_faults(&mut self) {
        let Faults { malformed, last, denied, failed, overflowed } = self.faults;
        let new = |now: u64, then: u64| now.saturating_sub(then);
        let mut reason = Text::format(format_args!(
            "could not be read in the last minute: {} malformed, {} failed, {} without room",
            new(malformed, self.told.malformed),
            new(failed, self.told.failed),
            new(overflowed, self.told.overflowed),
        ));
        let _ = denied;
        if let Some(last) = last {
            use std::fmt::Write;
            let _ = write!(reason, "; last: {last}");
        }
        let worth_telling =
            new(malformed, self.told.malformed) + new(failed, self.told.failed) + new(overflowed, self.told.overflowed);
        self.told = self.faults;
        if worth_telling > 0 {
            self.send(&Event { reason, ..Event::new(EventKind::Degraded) });
        }
    }

    fn tell_notes(&self) {
        for note in self.parts.engine.notes() {
            self.send(&tell::noted(note, &self.last));
        }
    }

    fn send(&self, event: &Event) {
        if let Some(link) = &self.link {
            let mut event = *event;
            event.incident = self.parts.engine.episode();
            event.psi_full_percent = self.parts.engine.gauge().stall.full_percent();
            link.sender.send(&event);
        }
    }

    /// How long until something other than memory wants attention.
    fn until_timers(&self) -> Duration {
        let now = clock::now();
        let ping = self.watchdog.as_ref().zip(self.timers.ping).map(|(w, last)| last + w.every);
        [ping, self.timers.state].into_iter().flatten().map(|at| at.saturating_sub(now)).min().unwrap_or(Duration::MAX)
    }
}

/// Whether `every` has passed since the last time, which becomes now.
fn due(last: &mut Option<Duration>, now: Duration, every: Duration) -> bool {
    let due = last.is_none_or(|last| now.saturating_sub(last) >= every);
    if due {
        *last = Some(now);
    }
    due
}

impl Signals {
    fn install() -> io::Result<Self> {
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let flag = |signals: &[i32]| {
            let flag = Arc::new(AtomicBool::new(false));
            for signal in signals {
                signal_hook::flag::register(*signal, Arc::clone(&flag))?;
                signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
            }
            io::Result::Ok(flag)
        };
        let stop = flag(&[SIGTERM, SIGINT])?;
        let reload = flag(&[SIGHUP])?;
        Ok(Self { pipe, stop, reload })
    }

    fn drain(&self) {
        use std::io::Read;
        let mut buf = [0; 64];
        while matches!((&self.pipe).read(&mut buf), Ok(n) if n > 0) {}
    }
}
