//! What a thread allocates while it does something.

#![allow(dead_code, reason = "each test reads the counts that it is about")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    /// Bytes held since the count began, and the most of them.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
    /// Allocations since the count began, and the largest of them.
    static MADE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: isize) {
    // A thread that is ending has no count any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + change, most.max(now + change)));
    });
}

fn made(size: usize) {
    let _ = MADE.try_with(|made| {
        let (count, largest) = made.get();
        made.set((count + 1, largest.max(size)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        made(layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        made(layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as isize - layout.size() as isize);
        made(new_size);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// What was allocated by one thread.
#[derive(Clone, Copy, Debug)]
pub struct Allocated {
    /// The most bytes held beyond what was held before.
    pub peak: usize,
    /// How many times memory was asked for.
    pub count: usize,
    /// The most bytes asked for at once.
    pub largest: usize,
}

/// What `run` gives, and what this thread allocated meanwhile.
pub fn allocated<R>(run: impl FnOnce() -> R) -> (R, Allocated) {
    HELD.set((0, 0));
    MADE.set((0, 0));
    let result = run();
    let (count, largest) = MADE.get();
    (result, Allocated { peak: HELD.get().1.max(0) as usize, count, largest })
}
