//! No parser allocates: they run when there is no memory to be had.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::every::{FIXTURES, parse_with_all};

thread_local! {
    /// Allocations of this thread since the last reset: other tests allocate on theirs.
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

fn allocations_of(work: impl FnOnce()) -> usize {
    ALLOCATIONS.set(0);
    work();
    ALLOCATIONS.get()
}

#[test]
fn no_parser_allocates() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(vec![1]))), 1, "the counter counts");
    let hostile: [&[u8]; 4] = [b"", b"\xff\n\x1b: (\n) kB", b"1 (\xe2\x86) Z 1 1\n", b"MemTotal: x kB\nMemTotal"];
    let allocations = allocations_of(|| {
        for bytes in FIXTURES {
            parse_with_all(bytes);
            parse_with_all(&bytes[..bytes.len() / 2]);
        }
        hostile.into_iter().for_each(parse_with_all);
    });
    assert_eq!(allocations, 0);
}
