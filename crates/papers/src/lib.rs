//! What papers claim, and the checks that confirm or refute it.
//!
//! [`registry`] knows every paper by name: its title, family and source, and its claim in one
//! sentence. A paper whose check is written has a file of its own in its family's folder and a line
//! in the family's list; [`check`] says what a check is, and [`reproduce()`] runs it. The methods that
//! papers propose are not here but in `thalweg-methods`, where everybody can use them.

pub mod bench;
pub mod check;
pub mod cloze;
pub mod data;
pub mod digit_tasks;
pub mod files;
pub mod images;
mod kept;
pub mod list;
pub mod pictures;
pub mod record;
pub mod registry;
pub mod reproduce;
pub mod results;
pub mod spectrum;
pub mod statistic;
pub mod tabular;
pub mod texts;
pub mod tuning;
pub mod work;

mod curvature;
mod dynamics;
mod optim;
mod surface;

#[cfg(test)]
mod conformance;

pub use check::{Check, Scale};
pub use list::list;
pub use registry::Paper;
pub use reproduce::{ReproduceRequest, reproduce};
