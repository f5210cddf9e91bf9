//! The detector allocates nothing after its table was made: it runs when there is no memory to be had.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hogwatch::decide::livelock::{Episodes, Table};

use crate::simulate::{Now, TERMS, livelock, samples};

thread_local! {
    /// Allocations of this thread: other tests allocate on theirs.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // Fails only while the thread ends; nothing is measured then.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches a `Cell` of this thread that
// needs no allocation and no destructor.
#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn nothing_is_allocated_after_the_table_was_made() {
    let stuck = samples(livelock, 0.25, 40.0);
    let idle = samples(|_| Now::default(), 0.25, 40.0);
    let mut table = Table::new(4);
    let mut episodes = Episodes::default();
    let mut found = 0;
    ALLOCATIONS.set(0);
    drop(std::hint::black_box(vec![1]));
    assert_eq!(ALLOCATIONS.get(), 1, "the counter counts");
    for (n, (stuck, idle)) in stuck.iter().zip(&idle).enumerate() {
        let verdict = table.push(7, &TERMS, stuck).unwrap();
        found += u32::from(episodes.follow(&verdict, stuck.t, &TERMS).is_some());
        // More cgroups than there is room for come and go.
        std::hint::black_box(table.push(100 + n as u64 % 9, &TERMS, idle));
        std::hint::black_box(table.get(7).map(|detector| detector.judge()));
        table.remove(100 + n as u64 % 5);
    }
    assert_eq!((ALLOCATIONS.get(), found), (1, 1));
}
