//! The commands: what was asked to what is left behind.

mod train;

pub use train::{TrainRequest, train};

use crate::error::Result;
use crate::run_directory::RunDirectory;
use crate::session::{Session, device};
use crate::{DataChoice, VERSION};
use thalweg_record::reply::Body;
use thalweg_record::{Provenance, Report};

/// What a command left: a directory, its reply, and what a report shows.
#[derive(Debug)]
pub struct Outcome {
    /// The directory that was written.
    pub run: RunDirectory,
    /// The keys of the JSON object.
    pub body: Body,
    /// Everything that a report shows.
    pub report: Report,
}

/// Does the work in a directory; takes the directory back if the work fails before anything of
/// value came into it.
fn within<T>(
    run: RunDirectory,
    work: impl FnOnce(&RunDirectory) -> Result<T>,
) -> Result<(RunDirectory, T)> {
    match work(&run) {
        Ok(done) => Ok((run, done)),
        Err(error) => {
            run.discard_if_empty();
            Err(error)
        }
    }
}

fn provenance(session: &Session, data: &DataChoice) -> Provenance {
    Provenance {
        version: VERSION.to_owned(),
        seed: session.seed,
        device: device(),
        data: data.name.clone(),
        data_fingerprint: data.fingerprint.clone(),
        precision: session.precision.to_string(),
        command: session.command_line.clone(),
    }
}

/// What a loss is and its unit.
fn loss_name(text: &str) -> String {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("cross-entropy", "") => "cross-entropy (nats)".to_owned(),
        ("cross-entropy", options) => format!("cross-entropy, {options} (nats)"),
        ("mse", _) => "mean squared error".to_owned(),
        ("half-squared-error", _) => "half squared error".to_owned(),
        ("bce", _) => "binary cross-entropy (nats)".to_owned(),
        _ => text.to_owned(),
    }
}
