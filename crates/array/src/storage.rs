//! Zeroed bytes on a 64-byte boundary.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

const ALIGNMENT: usize = 64;

/// An owned block of bytes that starts on a cache line.
pub(crate) struct Storage {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the block is owned, and shared references only read it.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// `len` zero bytes; `None` if the system has no room for them.
    pub(crate) fn zeroed(len: usize) -> Option<Storage> {
        let layout = Layout::from_size_align(len.max(1), ALIGNMENT).ok()?;
        // SAFETY: the layout has a size of at least one byte.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Storage { start, len })
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is `len` initialised bytes, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.len.max(1), ALIGNMENT).expect("as allocated");
        // SAFETY: allocated by `zeroed` with this same layout.
        unsafe { dealloc(self.start.as_ptr(), layout) };
    }
}
