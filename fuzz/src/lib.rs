//! The targets of `crates/formats/tests/robust/targets.rs`, for libFuzzer.
//!
//! ```text
//! cargo install cargo-fuzz
//! RUSTC_BOOTSTRAP=1 cargo fuzz run -s none torch fuzz/corpus/torch crates/formats/tests/corpus/torch \
//!     -- -max_total_time=600 -timeout=10
//! ```
//!
//! What is found is mended and then kept in `crates/formats/tests/corpus`, which the tests read
//! again with every change.

#[path = "../../crates/formats/tests/robust/memory.rs"]
mod memory;
#[path = "../../crates/formats/tests/robust/targets.rs"]
mod targets;

pub use targets::*;
