//! The JSON objects that the command line prints: a contract with scripts, key by key in
//! `schema/thalweg.schema.json`.
//!
//! A number that is not finite is `null`, and the innermost object that holds it then has
//! `"status": "not finite"`. [`Reply::to_json`] sets it; nobody else needs to.

mod compare;
mod data;
mod export;
mod map;
mod papers;
mod reproduce;
mod spectrum;
mod surface;
mod train;

pub use compare::{CompareBody, ComparedModel};
pub use data::{DataBody, DataEntry, DataFile};
pub use export::{CompletionsBody, ExportBody, ExportedModel};
pub use map::{MapBody, MapModel};
pub use papers::{PaperEntry, PaperStatus, PapersBody};
pub use reproduce::{
    CheckGate, CheckInterval, CheckPart, CheckReading, DatedCheck, FailedCheck, ReproduceAllBody,
    ReproduceBody, Verdict,
};
pub use spectrum::SpectrumBody;
pub use surface::{ClassReply, SurfaceBody};
pub use train::{Member, MemberStatus, TrainBody};

use crate::Inspection;
use serde::Serialize;
use serde_json::{Map, Value};

/// Every command's object: what all have in common, around the command's own keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The version of Thalweg.
    pub version: String,
    /// The directory written, if any.
    pub run: Option<String>,
    /// How long the command took.
    pub seconds: f64,
    /// Floating-point operations of what was computed again because memory was short.
    pub recomputed_flops: u64,
    /// The command's own keys.
    pub body: Body,
}

/// The keys of one command.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// `thalweg map`.
    Map(MapBody),
    /// `thalweg train`.
    Train(TrainBody),
    /// `thalweg surface`.
    Surface(Box<SurfaceBody>),
    /// `thalweg spectrum`.
    Spectrum(SpectrumBody),
    /// `thalweg compare`.
    Compare(CompareBody),
    /// `thalweg inspect`.
    Inspect(Inspection),
    /// `thalweg data`.
    Data(DataBody),
    /// `thalweg export`.
    Export(ExportBody),
    /// `thalweg completions`.
    Completions(CompletionsBody),
    /// `thalweg papers`.
    Papers(PapersBody),
    /// `thalweg reproduce SLUG`.
    Reproduce(ReproduceBody),
    /// `thalweg reproduce --all`, or of several papers.
    ReproduceAll(ReproduceAllBody),
}

/// What `--json` prints when a command fails.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorReply {
    /// The command that was given.
    pub command: String,
    /// The version of Thalweg.
    pub version: String,
    /// What was wrong, where, and what would be right.
    pub error: String,
}

impl Body {
    /// The name of the command.
    pub fn command(&self) -> &'static str {
        match self {
            Body::Map(_) => "map",
            Body::Train(_) => "train",
            Body::Surface(_) => "surface",
            Body::Spectrum(_) => "spectrum",
            Body::Compare(_) => "compare",
            Body::Inspect(_) => "inspect",
            Body::Data(_) => "data",
            Body::Export(_) => "export",
            Body::Completions(_) => "completions",
            Body::Papers(_) => "papers",
            Body::Reproduce(_) | Body::ReproduceAll(_) => "reproduce",
        }
    }

    /// What could not be done of what was asked, in a sentence; none if all was.
    pub fn failure(&self) -> Option<String> {
        let Body::ReproduceAll(ReproduceAllBody { checks, failed, .. }) = self else { return None };
        let slugs: Vec<&str> = failed.iter().map(|failed| failed.slug.as_str()).collect();
        let all = checks.len() + failed.len();
        let count = format!("{} of {all} checks could not be run", failed.len());
        (!slugs.is_empty()).then(|| format!("{count}: {}", slugs.join(", ")))
    }

    fn keys(&self) -> Map<String, Value> {
        let value = match self {
            Body::Map(body) => serde_json::to_value(body),
            Body::Train(body) => serde_json::to_value(body),
            Body::Surface(body) => serde_json::to_value(body),
            Body::Spectrum(body) => serde_json::to_value(body),
            Body::Compare(body) => serde_json::to_value(body),
            Body::Inspect(body) => serde_json::to_value(body),
            Body::Data(body) => serde_json::to_value(body),
            Body::Export(body) => serde_json::to_value(body),
            Body::Completions(body) => serde_json::to_value(body),
            Body::Papers(body) => serde_json::to_value(body),
            Body::Reproduce(body) => serde_json::to_value(body),
            Body::ReproduceAll(body) => serde_json::to_value(body),
        };
        match value {
            Ok(Value::Object(keys)) => keys,
            // Structs of plain data serialise to objects.
            _ => Map::new(),
        }
    }
}

impl Reply {
    /// The object as one line of JSON.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("command".into(), self.body.command().into());
        object.insert("version".into(), self.version.clone().into());
        object.insert("run".into(), self.run.clone().into());
        object.insert("seconds".into(), self.seconds.into());
        if self.recomputed_flops > 0 {
            object.insert("recomputed_flops".into(), self.recomputed_flops.into());
        }
        let mut keys = Value::Object(self.body.keys());
        mark(&mut keys);
        if let Value::Object(keys) = keys {
            object.extend(keys);
        }
        Value::Object(object).to_string()
    }
}

impl ErrorReply {
    /// The object as one line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Keys whose `null` says that there is nothing, not that a number is not finite.
const NOTHING: [&str; 2] = ["minimum", "maximum"];

/// Gives every object that holds a `null` number, itself or in a list of numbers, its `status`,
/// unless it has one.
fn mark(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mark),
        Value::Object(object) => {
            object.values_mut().for_each(mark);
            let null_in = |value: &Value| match value {
                Value::Null => true,
                Value::Array(items) => items.iter().any(Value::is_null),
                _ => false,
            };
            let null = object
                .iter()
                .any(|(key, value)| null_in(value) && !NOTHING.contains(&key.as_str()));
            if null && !object.contains_key("status") {
                object.insert("status".into(), "not finite".into());
            }
        }
        _ => {}
    }
}
