//! Each command: request, outcome, report.

use crate::arguments::{Arguments, Command};
use crate::{figures, request};
use clap::CommandFactory;
use thalweg_lab::command::{self, Outcome};
use thalweg_lab::{LabError, Result, list_data};
use thalweg_record::Report;
use thalweg_record::reply::{Body, DataBody, MapBody};

/// What there is to tell when a command is done.
pub struct Done {
    /// The directory written.
    pub run: Option<String>,
    /// The keys of the JSON object.
    pub body: Body,
    /// What the page shows.
    pub report: Option<Report>,
}

/// Runs the command that was given.
///
/// # Errors
/// Those of the laboratory.
pub fn run(arguments: &Arguments) -> Result<Done> {
    let everywhere = &arguments.everywhere;
    match &arguments.command {
        Command::Train(own) => {
            let request = request::train(own, everywhere);
            finish(command::train(&request::session(arguments)?, request)?)
        }
        Command::Data => {
            Ok(Done { run: None, body: Body::Data(DataBody { data: list_data() }), report: None })
        }
        _ => Err(LabError::Input("not yet".into())),
    }
}

/// Writes the page and the figures.
fn finish(outcome: Outcome) -> Result<Done> {
    let page = figures::write(&outcome.run, &outcome.report)?;
    let body = match outcome.body {
        Body::Map(MapBody { models, .. }) => {
            Body::Map(MapBody { models, report: page.display().to_string() })
        }
        other => other,
    };
    let run = outcome.run.path().display().to_string();
    Ok(Done { run: Some(run), body, report: Some(outcome.report) })
}
