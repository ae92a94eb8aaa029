//! Panics of crates that read foreign files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What a function returns, or `None` if it panics; the panic is not printed.
///
/// Only for readers of other crates that are known to panic on damaged files, and only where what
/// they worked on is thrown away with them.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                usual(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    fn a_panic_ends_here() {
        assert_eq!(caught(|| 3), Some(3));
        assert_eq!(caught(|| [1, 2][std::hint::black_box(5)]), None);
        assert_eq!(caught(|| 4), Some(4));
    }
}
