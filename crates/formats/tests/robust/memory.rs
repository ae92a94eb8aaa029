//! The most memory that a thread holds at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| {
            held.set(held.get().saturating_add(layout.size()));
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Reads bytes, and holds what the reader has at a time, its result with it, against a bound.
///
/// # Panics
/// Where it takes more.
#[track_caller]
pub fn within<T>(bound: usize, bytes: &[u8], read: impl FnOnce(&[u8]) -> T) -> T {
    let before = HELD.get();
    PEAK.set(before);
    let result = read(bytes);
    let most = PEAK.get() - before;
    let length = bytes.len();
    assert!(most <= bound, "{most} bytes for a file of {length}, expected at most {bound}");
    result
}
