//! The pure training driver.
//!
//! A training step is a traced graph ([`Recipe`]): model, loss and an optimizer made of parts
//! ([`part`]). [`Trainer`] runs segments of scanned steps for a whole population of members, each
//! with its own seed and hyper-parameters, as one batched program, in chunks that fit a memory
//! budget. [`TrainState`] is a value: it can be kept, forked and resumed with the same bits.
//! [`Observer`]s look at a run between segments and may stop it. [`Evaluator`] and
//! [`Recalibrator`] take many weights at once over a set of examples.
//!
//! Nothing here reads a clock, prints, or touches a file.

mod config;
mod deferred;
mod error;
mod evaluate;
mod examples;
mod feed;
mod initial;
mod observe;
mod optimizer;
pub mod part;
mod population;
mod recalibrate;
mod recipe;
mod schedule;
mod segment;
mod state;
mod tasks;
mod text;
mod trainer;

pub use config::{Length, Member, TrainConfig};
pub use deferred::run_deferred;
pub use error::TrainError;
pub use evaluate::{Evaluation, Evaluator};
pub use examples::Examples;
pub use initial::{StreamDraw, initialize};
pub use observe::{History, Metrics, Observer, Segment, Unobserved};
pub use optimizer::{Base, Optimizer};
pub use population::{Argument, Chunking, Population, Resources};
pub use recalibrate::Recalibrator;
pub use recipe::{Batch, Clock, Point, Recipe, Sequences, Shared, StepInfo};
pub use schedule::{Schedule, Shape};
pub use state::{MemberState, Status, TrainState};
pub use tasks::{TaskStream, train_on_tasks};
pub use trainer::{Ended, Trainer};
