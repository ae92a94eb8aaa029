//! A study: what was asked, run, and left behind on disk.
//!
//! Everything below this crate is pure; here are the clock, the environment, the files and the
//! terminal. A run is a [`RunDirectory`]; every piece of work in it that takes long is kept when it
//! is done, so that a run that was killed at any moment goes on with `--resume` and ends with the
//! same bits.

mod budget;
mod catalogue;
mod checkpoints;
mod class_loss;
pub mod command;
mod console;
mod data_source;
mod describe;
mod design;
mod differences;
mod directions;
mod effort;
mod error;
mod files;
mod given_directions;
mod instrument_choice;
mod interrupt;
mod lock;
pub mod measure;
mod measurements;
mod model_source;
mod optimizer_state;
mod range;
mod relative;
mod routers;
mod run_directory;
#[cfg(test)]
mod scratch;
mod session;
mod stability;
mod store;
mod study;
mod subject;
mod train;
mod units;
mod watch;
mod weights_reader;
mod words;

pub use budget::{Budget, Bytes};
pub use catalogue::list_data;
pub use console::{Console, Verbosity};
pub use data_source::{DataChoice, DataOptions, InputKind, PreparedData, search_folders};
pub use describe::describe_data;
pub use design::{Design, Imported};
pub use effort::{EXACT_UP_TO, Effort, Taken, USUAL, operations};
pub use error::{LabError, Result};
pub use files::{atomic_write, atomic_write_bytes};
pub use instrument_choice::{InstrumentChoice, InstrumentOptions};
pub use interrupt::interrupt_flag;
pub use lock::Lock;
pub use model_source::{WeightsFile, WeightsInfo, open_model, open_models, weights_bytes};
pub use range::{Axis, MOST_POINTS, parse_examples, parse_rates, parse_seeds};
pub use relative::Metric;
pub use routers::read_routers;
pub use run_directory::{Output, RunDirectory, STUDY, read_study};
pub use session::{Precision, Session, device};
pub use store::DirectoryStore;
pub use study::{BudgetSection, Common, TrainOptions, TrainSettings, default_loss};
pub use subject::{ObjectiveChoice, Subject, Wanted};
pub use thalweg_formats::dataset::{
    BadValue, DataConfig, ImageSize, Reading, Scale, Task, channels, delimiter,
};
pub use train::{Trained, TrainedMember, Training, train};
pub use units::Units;
pub use watch::{WatchOptions, WatchSection, WatchedInstrument};

/// The version of Thalweg.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
