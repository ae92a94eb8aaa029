//! Zeroed bytes on a 64-byte boundary, or bytes of someone else's.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::ptr::NonNull;

const ALIGNMENT: usize = 64;

/// Who keeps memory that is not ours alive.
pub(crate) type Owner = Box<dyn Any + Send + Sync>;

/// A block of bytes: owned, and then starting on a cache line, or foreign, and then never written.
pub(crate) struct Storage {
    start: NonNull<u8>,
    len: usize,
    foreign: Option<Owner>,
}

// SAFETY: the block is owned, or its owner keeps it; shared references only read it.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// `len` zero bytes; `None` if the system has no room for them.
    pub(crate) fn zeroed(len: usize) -> Option<Storage> {
        let layout = Layout::from_size_align(len.max(1), ALIGNMENT).ok()?;
        // SAFETY: the layout has a size of at least one byte.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Storage { start, len, foreign: None })
    }

    /// # Safety
    /// `start` is that of `len` initialised bytes that nobody writes while `owner` lives.
    pub(crate) unsafe fn foreign(start: NonNull<u8>, len: usize, owner: Owner) -> Storage {
        Storage { start, len, foreign: Some(owner) }
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// Of an owned block.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        debug_assert!(!self.is_foreign(), "foreign memory is never written");
        self.start.as_ptr()
    }

    /// Of an owned block.
    pub(crate) fn as_mut_bytes(&mut self) -> &mut [u8] {
        debug_assert!(!self.is_foreign(), "foreign memory is never written");
        // SAFETY: the block is `len` initialised bytes, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if self.is_foreign() {
            return;
        }
        let layout = Layout::from_size_align(self.len.max(1), ALIGNMENT).expect("as allocated");
        // SAFETY: allocated by `zeroed` with this same layout.
        unsafe { dealloc(self.start.as_ptr(), layout) };
    }
}
