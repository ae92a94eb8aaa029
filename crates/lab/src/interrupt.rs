//! Ctrl-C.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The flag that Ctrl-C raises. Work in progress looks at it between units, finishes the unit it
/// is at, and leaves a run that can be resumed. A second Ctrl-C ends the process at once; files
/// are whole even then.
pub fn interrupt_flag() -> Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        let flag = Arc::new(AtomicBool::new(false));
        let raised = flag.clone();
        // Where no handler can be set, Ctrl-C kills, and --resume goes on all the same.
        let _ = ctrlc::set_handler(move || {
            if raised.swap(true, Ordering::SeqCst) {
                process::exit(130);
            }
        });
        flag
    });
    flag.clone()
}
