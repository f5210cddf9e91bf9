//! The guard's side of the report room allocates nothing, whether there is room in the queue or not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use hogwatch::report::status::{Limits, Scope, Snapshot};
use hogwatch::report::{Event, EventKind, LevelFilter, Output, Recorder, Reporter, ReporterOptions, Size, Text};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what the calling thread asks for.
struct Counting;

// SAFETY: every call is handed on to the system's allocator with the caller's own arguments; the counter is a plain
// thread-local that needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn sending_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    // Never read: most of the events find the queue full.
    let _journald = UnixDatagram::bind(&path).unwrap();
    let (sender, reporter) = Reporter::start(ReporterOptions {
        output: Output { journald: Some(path), stderr: None },
        dry_run: false,
        config: Default::default(),
        status: None,
        textfile: None,
        history: None,
        recorder: Recorder::new(Duration::from_secs(600)),
        diagnostics: LevelFilter::OFF,
    })
    .unwrap();

    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1, "the counter counts");

    let before = ALLOCATIONS.get();
    for n in 0..10_000 {
        let mut event = Event::new(EventKind::Kill);
        event.pid = Some(n);
        event.comm = Text::from_bytes(b"h\xffg");
        event.cgroup = Text::from_bytes(&[b'/'; 1000]);
        event.reason = Text::format(format_args!("{:.2} % available ({})", f64::from(n) / 100.0, Size(1 << 30)));
        write!(event.reason, ", at or below term {} %", 5).unwrap();
        sender.send(&event);
        sender.publish(|into| {
            *into = Snapshot {
                memory_total: 1,
                memory_available: 1,
                available_percent: 1.0,
                scope: Scope::Host,
                limits: Limits { warn: 3, term: 2, kill: 1 },
                swap_total: 1,
                swap_free: 1,
                psi_some_avg10: None,
                psi_full_avg10: None,
                cgroups: Vec::new(),
                more_cgroups: 0,
            };
        });
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(!reporter.stop(Duration::ZERO, Duration::ZERO));
}
