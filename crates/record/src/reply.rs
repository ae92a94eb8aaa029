//! The JSON objects that the command line prints: a contract with scripts, key by key in
//! `schema/thalweg.schema.json`.
//!
//! A number that is not finite is `null`, and the innermost object that holds it then has
//! `"status": "not finite"`. [`Reply::to_json`] sets it; nobody else needs to.

use crate::{
    AdaptiveSummary, BasinSummary, Comparison, ConvexitySummary, DataDescription, Density,
    Eigenvalue, GridPoint, Inspection, MinimumReply, PlaneShare, Products, Quantity, number,
};
use serde::{Deserialize, Serialize};
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

/// The keys of `map`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapBody {
    /// One entry a model.
    pub models: Vec<MapModel>,
    /// The path of the report.
    pub report: String,
}

/// A model in the reply of `map`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapModel {
    /// Its name.
    pub name: String,
    /// The number of parameters.
    pub parameters: u64,
    /// The share of test examples classified correctly; absent without labels or a test split.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
    /// The loss at the centre of the surface.
    #[serde(with = "number")]
    pub loss: f64,
    /// The largest eigenvalue of the Hessian.
    #[serde(with = "number")]
    pub top_eigenvalue: f64,
    /// The trace of the Hessian.
    pub trace: Quantity,
    /// SAM's sharpness.
    #[serde(with = "number")]
    pub sharpness: f64,
    /// The roughness index.
    pub roughness: Quantity,
    /// How its surface came about, if it is to a tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveSummary>,
}

/// The keys of `train`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainBody {
    /// One entry a member of the population.
    pub members: Vec<Member>,
}

/// How a member's training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberStatus {
    /// All steps were taken.
    Finished,
    /// The loss or the weights stopped being finite.
    Diverged,
}

/// A member in the reply of `train`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// Its seed.
    pub seed: u64,
    /// Its learning rate.
    pub lr: f64,
    /// How it ended.
    pub status: MemberStatus,
    /// The steps taken.
    pub steps: u64,
    /// The loss on the training split.
    #[serde(with = "number")]
    pub train_loss: f64,
    /// The loss on the test split; absent without one.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_loss: Option<f64>,
    /// The share of test examples classified correctly; absent without labels or a test split.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
    /// The path of its weights.
    pub weights: String,
}

/// The keys of `surface`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SurfaceBody {
    /// The loss at the centre.
    #[serde(with = "number")]
    pub loss: f64,
    /// The lowest point; `null` if no loss is finite.
    pub minimum: Option<GridPoint>,
    /// The highest point; `null` if no loss is finite.
    pub maximum: Option<GridPoint>,
    /// The points evaluated.
    pub points: u64,
    /// Those of them whose loss is not finite.
    pub not_finite: u64,
    /// How directions were scaled: `filter`, `layer` or `none`.
    pub normalize: String,
    /// Roles of parameters held at the centre.
    pub ignore: Vec<String>,
    /// `frozen`, `batch` or `recalibrated`.
    pub batch_norm: String,
    /// Where the directions came from.
    pub directions: String,
    /// Examples that the surface is of.
    pub samples: u64,
    /// How it came about, if it is to a tolerance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveSummary>,
    /// `weights` or `inputs`.
    pub space: String,
    /// How much of the trajectory or of the curvature the plane holds; absent of other planes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plane_share: Option<PlaneShare>,
    /// The extreme eigenvalues over the plane, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convexity: Option<ConvexitySummary>,
    /// The basin around the centre, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basin: Option<BasinSummary>,
    /// The lowest point of each class, if surfaces of classes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<ClassReply>>,
    /// The derivative along each direction of the first pair at the centre.
    pub slope: Vec<Quantity>,
    /// The second derivative along each.
    pub curvature: Vec<Quantity>,
    /// The minima that are deep enough, the deepest first; at most a hundred.
    pub minima: Vec<MinimumReply>,
    /// How many are deep enough.
    pub minima_count: u64,
    /// The depth from which on they are, as a share of the level at which their basin ends.
    pub minima_threshold: f64,
    /// The integral of the slope over the line or plane, for each pair of directions.
    pub total_variation: Vec<f64>,
}

/// A class in the reply of `surface`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReply {
    /// The class.
    pub class: i32,
    /// Its examples.
    pub examples: u64,
    /// Its lowest point; `null` if no loss is finite.
    pub minimum: Option<GridPoint>,
    /// Its highest.
    pub maximum: Option<GridPoint>,
}

/// The keys of `spectrum`; those not asked for are absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpectrumBody {
    /// Which matrix, as `--of` names it.
    pub operator: String,
    /// What of it: `whole`, a layer, a class.
    pub scope: String,
    /// Whose state it is preconditioned by: `adam`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditioner: Option<String>,
    /// The loss.
    #[serde(with = "number")]
    pub loss: f64,
    /// The Euclidean norm of the gradient.
    #[serde(with = "number")]
    pub gradient_norm: f64,
    /// The largest eigenvalues, descending.
    pub top: Vec<Eigenvalue>,
    /// The smallest eigenvalues, ascending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bottom: Option<Vec<Eigenvalue>>,
    /// The trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Quantity>,
    /// The squared Frobenius norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frobenius_squared: Option<Quantity>,
    /// The density of eigenvalues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<Density>,
    /// Products with the matrix that each part took.
    pub products: Products,
}

/// The keys of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompareBody {
    /// The models.
    pub models: Vec<ComparedModel>,
    /// Examples that they are measured on.
    pub samples: u64,
    /// What instruments say of them.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// A model in the reply of `compare`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedModel {
    /// Its name.
    pub name: String,
    /// The number of parameters.
    pub parameters: u64,
    /// The share of test examples classified correctly; absent without labels or a test split.
    #[serde(skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
}

/// The keys of `data`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataBody {
    /// One entry a built-in data set; none if one was to be described.
    pub data: Vec<DataEntry>,
    /// The data set that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub described: Option<DataDescription>,
}

/// A data set in the reply of `data`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataEntry {
    /// Its name on the command line.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// The official source.
    pub source: String,
    /// The licence.
    pub license: String,
    /// How to cite it.
    pub citation: String,
    /// Its files; none if it is embedded.
    pub files: Vec<DataFile>,
    /// The folders that were searched.
    pub looked: Vec<String>,
    /// Where it was found; absent if nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// How to get it.
    pub obtain: String,
}

/// A file of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its uncompressed contents.
    pub sha256: String,
}

/// The keys of `export`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportBody {
    /// The paths of the files that were written.
    pub files: Vec<String>,
    /// `csv`, `npz`, `onnx` or `safetensors`.
    pub format: String,
    /// One entry a model; absent for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<ExportedModel>>,
}

/// A model in the reply of `export`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportedModel {
    /// What it is called.
    pub name: String,
    /// The path of its file.
    pub file: String,
    /// The number of its trainable elements.
    pub parameters: u64,
    /// The architecture with every option; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// The keys of `completions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompletionsBody {
    /// The shell.
    pub shell: String,
    /// The script.
    pub script: String,
}

/// The keys of `papers`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PapersBody {
    /// One entry a paper.
    pub papers: Vec<PaperEntry>,
}

/// Whether a paper's check can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaperStatus {
    /// It can.
    Done,
    /// Not yet.
    Planned,
}

/// A paper in the reply of `papers`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperEntry {
    /// Its number.
    pub n: u32,
    /// Its name on the command line.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Its family.
    pub family: String,
    /// What kind of thing it gives.
    pub kind: String,
    /// Whether its check can be run.
    pub status: PaperStatus,
    /// How much work its check is: `S`, `M` or `L`.
    pub size: String,
    /// Where it appeared, or where its authors' code is.
    pub source: String,
    /// What it claims, in one sentence.
    pub claim: String,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The claim's bound holds.
    Confirmed,
    /// The opposite bound holds.
    Refuted,
    /// Neither does.
    Inconclusive,
}

/// The keys of `reproduce`: what was found of one claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReproduceBody {
    /// The paper.
    pub slug: String,
    /// What it claims.
    pub claim: String,
    /// What was found.
    pub verdict: Verdict,
    /// The number that decides; of several the first.
    pub statistic: Quantity,
    /// The bound it is held against, and those of the others.
    pub criterion: String,
    /// The seeds that were run.
    pub seeds: Vec<u64>,
    /// `whole`, or `sample` for a reduced form whose verdict means nothing.
    pub scale: String,
    /// Floating-point operations that were planned.
    pub flops: u64,
    /// How many settings each arm was given to choose among.
    pub settings: u64,
    /// The smallest effect that was likely to be seen, in words.
    pub detectable: String,
    /// Conditions and controls.
    pub gates: Vec<CheckGate>,
    /// Each number that decides; none if a gate did not hold.
    pub parts: Vec<CheckPart>,
    /// Numbers that decide nothing.
    pub readings: Vec<CheckReading>,
}

/// A condition of a check, or a control whose answer is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckGate {
    /// What must hold.
    pub name: String,
    /// Whether it does.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

/// A number that decides on a claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckPart {
    /// Its name.
    pub name: String,
    /// The number.
    pub statistic: Quantity,
    /// Its 95 % interval.
    pub interval: CheckInterval,
    /// The bound that the interval is held against.
    pub criterion: String,
    /// What that says.
    pub verdict: Verdict,
}

/// A number that decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReading {
    /// What it is.
    pub name: String,
    /// Its value.
    #[serde(with = "number")]
    pub value: f64,
    /// Its 95 % interval, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interval: Option<CheckInterval>,
}

/// A range of plausible values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CheckInterval {
    /// The lower end.
    #[serde(with = "number")]
    pub low: f64,
    /// The upper end.
    #[serde(with = "number")]
    pub high: f64,
}

/// The keys of `reproduce --all`, or of several papers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReproduceAllBody {
    /// One entry a check.
    pub checks: Vec<DatedCheck>,
    /// The path of the table of results.
    pub results: String,
}

/// A check, when it was run and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatedCheck {
    /// What was found.
    #[serde(flatten)]
    pub found: ReproduceBody,
    /// How long it took, without what was done before it was resumed.
    pub seconds: f64,
    /// The day on which it ended, as `2026-01-31`.
    pub date: String,
    /// The version of Thalweg.
    pub version: String,
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
