//! Each command: request, outcome, report.

use crate::arguments::{Arguments, Command, Everywhere};
use crate::request::Export;
use crate::{figures, request};
use clap::CommandFactory;
use thalweg_lab::command::{self, Outcome};
use thalweg_lab::{Result, Session, describe_data, list_data};
use thalweg_record::reply::{Body, CompletionsBody, DataBody, MapBody};

/// What there is to tell when a command is done, in words or as one JSON object.
pub struct Done {
    /// The directory written.
    pub run: Option<String>,
    /// Floating-point operations of what was computed again because memory was short.
    pub recomputed_flops: u64,
    /// The keys of the JSON object.
    pub body: Body,
}

/// Runs the command that was given.
///
/// # Errors
/// Those of the laboratory.
pub fn run(arguments: &Arguments) -> Result<Done> {
    let everywhere = &arguments.everywhere;
    match &arguments.command {
        Command::Map(own) => {
            let request = request::map(own, everywhere);
            run_in(everywhere, |session| command::map(session, request))
        }
        Command::Train(own) => {
            let request = request::train(own, everywhere);
            run_in(everywhere, |session| command::train(session, request))
        }
        Command::Surface(own) => {
            let request = request::surface(own, everywhere);
            run_in(everywhere, |session| command::surface(session, request))
        }
        Command::Spectrum(own) => {
            let request = request::spectrum(own, everywhere);
            run_in(everywhere, |session| command::spectrum(session, request))
        }
        Command::Compare(own) => {
            let request = request::compare(own, everywhere);
            run_in(everywhere, |session| command::compare(session, request))
        }
        Command::Inspect(own) => Ok(plain(command::inspect(&request::inspect(own))?)),
        Command::Data(own) => {
            let described = match own.data {
                Some(_) => Some(describe_data(&request::described(own))?),
                None => None,
            };
            let data = if described.is_some() { Vec::new() } else { list_data() };
            Ok(plain(Body::Data(DataBody { data, described })))
        }
        Command::Export(own) => {
            let body = match request::export(own, everywhere) {
                Export::Tables(format) => {
                    command::export(&own.model, format, everywhere.out.as_deref())?
                }
                Export::Models(request) => command::export_model(&request)?,
            };
            Ok(plain(body))
        }
        Command::Papers(own) => {
            let body = thalweg_papers::list(own.family.as_deref(), own.slug.as_deref())?;
            Ok(plain(Body::Papers(body)))
        }
        Command::Reproduce(own) => {
            let request = request::reproduce(own, everywhere);
            run_in(everywhere, |session| thalweg_papers::reproduce(session, &request))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "thalweg", &mut script);
            let script = String::from_utf8_lossy(&script).into_owned();
            let shell = shell.to_string();
            Ok(plain(Body::Completions(CompletionsBody { shell, script })))
        }
    }
}

/// A result that is no run.
fn plain(body: Body) -> Done {
    Done { run: None, recomputed_flops: 0, body }
}

/// Does the work in a session of its own, and writes the page and the figures.
fn run_in(everywhere: &Everywhere, work: impl FnOnce(&Session) -> Result<Outcome>) -> Result<Done> {
    let session = request::session(everywhere)?;
    let outcome = work(&session)?;
    let page = figures::write(&outcome.run, &outcome.report)?;
    let body = match outcome.body {
        Body::Map(MapBody { models, .. }) => {
            Body::Map(MapBody { models, report: page.display().to_string() })
        }
        other => other,
    };
    let run = outcome.run.path().display().to_string();
    Ok(Done { run: Some(run), recomputed_flops: session.executor.recomputed_flops(), body })
}
