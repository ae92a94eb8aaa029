//! The command line.

mod data;
mod surface;
mod training;

pub use data::{DataArguments, DescribeArguments, ReadingArguments};
pub use surface::{InputSpaceArguments, MeasureArguments};
pub use training::{TrainArguments, TrainingArguments};

use clap::{ArgGroup, Args, Parser, Subcommand};
use std::path::PathBuf;
use thalweg_lab::command::TraceChoice;
use thalweg_lab::{Axis, Bytes, InstrumentChoice, Precision};

/// A laboratory for the loss landscapes of neural networks.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub everywhere: Everywhere,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Everywhere {
    /// Print one JSON object to stdout, and nothing else there.
    #[arg(long, global = true)]
    pub json: bool,
    /// The root of every random stream.
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Threads; 0 is one for each core. They never change a result.
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Memory that may be used, as 2GiB [default: 60 % of what is free]. It never changes a
    /// result.
    #[arg(long, global = true, value_name = "SIZE")]
    pub memory: Option<Bytes>,
    /// Float type of weights and arithmetic: f32 or f64.
    #[arg(long, global = true, value_name = "TYPE", default_value_t = Precision::F32)]
    pub precision: Precision,
    /// Directory to write; refused if it exists, unless --resume [default: runs/COMMAND, or
    /// runs/COMMAND-2 and so on if that exists].
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with a run that was stopped or killed, asked for with the same options; without
    /// --out with the latest of the command.
    #[arg(long, global = true)]
    pub resume: bool,
    /// Say nothing on stderr but errors.
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Map the landscape around networks: surface, curvature, sharpness, roughness, one report.
    ///
    /// Without MODEL it trains the default pair first: two deep narrow residual networks, one with
    /// skip connections and one without.
    Map(MapArguments),
    /// Train a population: seeds and rates as one batched program.
    Train(TrainArguments),
    /// The loss on a line or a plane through weight space.
    Surface(SurfaceArguments),
    /// Eigenvalues, trace and density of the Hessian or a kindred matrix.
    Spectrum(SpectrumArguments),
    /// The same instruments on several models, and which differences are real.
    ///
    /// All models see the same examples and the same random draws, so that standard errors of
    /// differences are those of pairs. What is called real is so for all differences at once, with a
    /// probability of 5 % that any of them is not.
    Compare(CompareArguments),
    /// What a model takes, gives and consists of, before anything runs.
    Inspect(InspectArguments),
    /// Describe a data set as the program sees it; without DATA list the built-in ones: what they
    /// are, where they come from, where they were looked for.
    Data(DescribeArguments),
    /// Write models as ONNX or safetensors files, or the arrays of a run as CSV or .npz.
    ///
    /// Models go to RUN/export, or beside the file of weights; --out is a folder, or with the
    /// extension .onnx or .safetensors the file of one model. What exists is not written over. An
    /// ONNX file takes raw data in batches of any size and begins with the normalisation that the
    /// model was trained with; --precision is the float type of the file.
    Export(ExportArguments),
    /// The papers that the checks are of: what each claims, and whether its check can be run.
    Papers(PapersArguments),
    /// Check what a paper claims: confirmed, refuted or inconclusive, with numbers.
    ///
    /// Data, seeds, statistic and bound of a check were fixed before it was first run. It says what
    /// it plans and what it could show, tests itself, and then measures. A second run with --resume
    /// takes only the checks that are new or have changed.
    Reproduce(ReproduceArguments),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// The name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Map(_) => "map",
            Command::Train(_) => "train",
            Command::Surface(_) => "surface",
            Command::Spectrum(_) => "spectrum",
            Command::Compare(_) => "compare",
            Command::Inspect(_) => "inspect",
            Command::Data(_) => "data",
            Command::Export(_) => "export",
            Command::Papers(_) => "papers",
            Command::Reproduce(_) => "reproduce",
            Command::Completions { .. } => "completions",
        }
    }
}

/// How the loss is evaluated around a model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Objective")]
pub struct ObjectiveArguments {
    /// The part of the data: train, test or all [default: train; all for a model that was trained
    /// elsewhere, on data that bring no parts].
    #[arg(long, value_name = "PART")]
    pub split: Option<String>,
    /// Examples, stratified by class, or all.
    #[arg(long, value_name = "N", default_value = "all", value_parser = samples)]
    pub samples: Samples,
    /// Examples in a batch; changes results only under batch statistics.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub batch: usize,
    /// What batch normalisation does: frozen, batch or recalibrated.
    #[arg(long, value_name = "MODE", default_value = "frozen")]
    pub batch_norm: String,
    /// The loss, in place of the one that the model was trained with: cross-entropy, nll, mse,
    /// half-squared-error, bce, mae or huber, with options as "cross-entropy smoothing=0.1"; for
    /// classes of unequal frequency with balanced, tau, gamma or margin, as for train
    /// [default: cross-entropy for classes, mse for values].
    #[arg(long, value_name = "TEXT")]
    pub loss: Option<String>,
    /// The output of an ONNX file, or of one of its nodes, that the loss is of [default: the first;
    /// for cross-entropy what a last softmax takes].
    #[arg(long, value_name = "NAME")]
    pub loss_on: Option<String>,
}

/// How many examples; none: all.
#[derive(Debug, Clone, Copy)]
pub struct Samples(pub Option<usize>);

fn samples(text: &str) -> Result<Samples, String> {
    match text {
        "all" => Ok(Samples(None)),
        number => match number.parse() {
            Ok(0) | Err(_) => Err("expected a number of examples of at least 1, or all".into()),
            Ok(number) => Ok(Samples(Some(number))),
        },
    }
}

/// Arguments of `map`.
#[derive(Debug, Args)]
pub struct MapArguments {
    /// Run directories, or files of weights (.safetensors, .pt, .npz); none: train the default pair.
    #[arg(value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Architectures to train, or that of a file of weights that does not say it; an .onnx file is one
    /// too.
    #[arg(long, value_name = "TEXT")]
    pub arch: Vec<String>,
    /// Seed of the networks that are trained [default: that of --seed].
    #[arg(long, value_name = "N")]
    pub train_seed: Option<u64>,
    /// Learning rate of the networks that are trained [default: 0.1].
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Coordinates of the surface along both directions, as A:B:N.
    #[arg(long, value_name = "A:B:N", default_value = "-1:1:31", allow_hyphen_values = true)]
    pub grid: Axis,
    /// Coordinates of the lines along both directions, as A:B:N.
    #[arg(long, value_name = "A:B:N", default_value = "-1:1:51", allow_hyphen_values = true)]
    pub line: Axis,
    /// How directions are scaled: filter or layer to the norm of the weights', weight by each weight,
    /// dfilter, dlayer or sphere to norm one, or none [default: filter].
    #[arg(long, value_name = "SCALE")]
    pub normalize: Option<String>,
    /// Roles of parameters held at the centre: bias, norm, or none.
    #[arg(long, value_name = "ROLES", value_delimiter = ',', default_value = "bias,norm")]
    pub ignore: Vec<String>,
    /// Training examples on which the landscape is measured, stratified by class, or all.
    #[arg(long, value_name = "N", default_value = "512", value_parser = samples)]
    pub samples: Samples,
    /// How many of the largest eigenvalues.
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub top: usize,
    /// Random probes of the trace.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub probes: usize,
    /// Distance of SAM's ascent.
    #[arg(long, value_name = "X", default_value_t = 0.05, allow_negative_numbers = true)]
    pub rho: f64,
    /// Random directions of the roughness index.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub roughness_directions: usize,
    /// Whether surfaces and lines are exact.
    #[command(flatten)]
    pub effort: EffortArguments,
    /// How networks are trained.
    #[command(flatten)]
    pub training: TrainingArguments,
    /// Which data.
    #[command(flatten)]
    pub data: DataArguments,
}

/// Whether a surface is exact.
#[derive(Debug, Args)]
pub struct EffortArguments {
    /// Take the surface to a tolerance, with error bars: an error may be this share of the height
    /// over the centre plus the loss there. Points are chosen, sampled and interpolated [default:
    /// exact up to 10 TFLOP, else 0.01].
    #[arg(long, value_name = "X", conflicts_with = "exact", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// Evaluate every point on all examples, however long it takes.
    #[arg(long)]
    pub exact: bool,
}

/// Arguments of `surface`.
#[derive(Debug, Args)]
pub struct SurfaceArguments {
    /// A run directory, an .onnx file or a file of weights (.safetensors, .pt, .npz): the centre. With
    /// --directions checkpoints one or two more, at which the coordinates are one; with plane two or
    /// more.
    #[arg(value_name = "MODEL", required_unless_present = "checkpoints", num_args = 1..)]
    pub models: Vec<PathBuf>,
    /// Architecture of a file of weights that does not say it, or the .onnx file of its graph.
    #[arg(long, value_name = "TEXT")]
    pub arch: Option<String>,
    /// Where directions come from: random, checkpoints, plane (through three models, or nearest to more,
    /// in their own distances), eigenvectors, trajectory (of the run that MODEL is in, or of
    /// --checkpoints), or a .safetensors, .npz or .pt file of x.PARAMETER and y.PARAMETER, or two files of
    /// one direction each, as X,Y; parameters that are left out stay at the centre [default: random;
    /// checkpoints for two or three models, plane for more].
    #[arg(long, value_name = "KIND")]
    pub directions: Option<String>,
    /// The files of the trajectory, in the order of the numbers in their names: a folder, or a
    /// pattern in quotes, as 'run/*.pt'. Without MODEL the last is the centre.
    #[arg(long, value_name = "FOLDER")]
    pub checkpoints: Option<String>,
    /// How directions are scaled: filter or layer to the norm of the weights', weight by each weight,
    /// dfilter, dlayer or sphere to norm one, or none [default: filter for random directions and
    /// those of a file, else none].
    #[arg(long, value_name = "SCALE")]
    pub normalize: Option<String>,
    /// Roles of parameters held at the centre: bias, norm, or none [default: none].
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// Coordinates along the first direction [default: -1:1:31; what holds all checkpoints for
    /// those of a trajectory].
    #[arg(long, value_name = "A:B:N", allow_hyphen_values = true)]
    pub x: Option<Axis>,
    /// Coordinates along the second direction [default: as --x].
    #[arg(long, value_name = "A:B:N", allow_hyphen_values = true)]
    pub y: Option<Axis>,
    /// The first direction alone.
    #[arg(long, conflicts_with = "y")]
    pub line: bool,
    /// So many pairs of random directions, for their spread.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub pairs: usize,
    /// Whether it is exact.
    #[command(flatten)]
    pub effort: EffortArguments,
    /// What is measured beside the loss.
    #[command(flatten)]
    pub measures: MeasureArguments,
    /// In the space of inputs.
    #[command(flatten)]
    pub inputs: InputSpaceArguments,
    /// How the loss is evaluated.
    #[command(flatten)]
    pub objective: ObjectiveArguments,
    /// Which data.
    #[command(flatten)]
    pub data: DataArguments,
}

/// Arguments of `spectrum`.
#[derive(Debug, Args)]
pub struct SpectrumArguments {
    /// A run directory, an .onnx file or a file of weights: .safetensors (also in shards), .pt or .npz.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Architecture of a file of weights that does not say it, or the .onnx file of its graph.
    #[arg(long, value_name = "TEXT")]
    pub arch: Option<String>,
    /// Of which matrix: hessian, gauss-newton, fisher (of the model's own distribution),
    /// monte-carlo-fisher (of targets drawn from it), empirical-fisher or gradient-covariance; or of
    /// an approximation of one: with -diagonal, or -kfac (a Kronecker product for each layer), as
    /// fisher-kfac.
    #[arg(long, value_name = "MATRIX", default_value = "hessian")]
    pub of: String,
    /// Of this part of the model alone: a parameter's name, or what comes before a dot in names.
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Of these parameters alone, by their names.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "layer")]
    pub parameters: Vec<String>,
    /// Of the block between two parts of the model, each named as for --layer: its singular values,
    /// with both signs.
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',',
          conflicts_with_all = ["layer", "parameters"])]
    pub between: Vec<String>,
    /// Of the examples of this class alone.
    #[arg(long, value_name = "K")]
    pub class: Option<i32>,
    /// Of these examples alone, by their places among those of --split and --samples from 0 on, as 7
    /// or 0,5,20..30 (30 left out).
    #[arg(long, value_name = "PLACES", conflicts_with = "class")]
    pub examples: Option<String>,
    /// Targets drawn for each example of monte-carlo-fisher [default: 1].
    #[arg(long, value_name = "N")]
    pub draws: Option<usize>,
    /// As Adam's steps meet it: P^-1 A with what Adam divides steps by, from the state that the run
    /// of MODEL keeps.
    #[arg(long)]
    pub preconditioned: bool,
    /// Eigenvalues relative to this matrix, named as for --of but not hessian: those l with
    /// A v = l (B + damping) v, by LOBPCG preconditioned by B's inverse or that of its K-FAC or diagonal.
    #[arg(long, value_name = "MATRIX")]
    pub relative_to: Option<String>,
    /// What is added to the diagonal of the matrix of --relative-to, so that what is flat to it does
    /// not count without bound [default: 0.1].
    #[arg(long, value_name = "X", requires = "relative_to", allow_negative_numbers = true)]
    pub damping: Option<f64>,
    /// How many of the largest eigenvalues [default: 5, or as many as there are].
    #[arg(long, value_name = "K")]
    pub top: Option<usize>,
    /// How many of the smallest eigenvalues.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub bottom: usize,
    /// Random probes of the trace, or a share as 5%: as many as its standard error needs to be that
    /// small; 0: no trace; exact: one product for each parameter [default: 32; 0 with --between and
    /// --relative-to].
    #[arg(long, value_name = "PROBES", value_parser = trace, num_args = 0..=1,
          default_missing_value = "32")]
    pub trace: Option<TraceChoice>,
    /// How the trace is estimated: hutchinson, hutch++ or xtrace, which take --trace as a number of
    /// products.
    #[arg(long, value_name = "NAME", default_value = "hutchinson")]
    pub estimator: String,
    /// Random probes of the density of eigenvalues; 0: no density.
    #[arg(long, value_name = "PROBES", num_args = 0..=1, default_value_t = 0,
          default_missing_value = "8")]
    pub density: usize,
    /// How the density is found: lanczos (quadrature) or kernel-polynomial, which needs less memory.
    #[arg(long, value_name = "NAME", default_value = "lanczos")]
    pub density_by: String,
    /// Largest residual of an eigenvalue, as a share of the largest [default: 1e-3; with
    /// --precision f64 1e-6].
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub tolerance: Option<f64>,
    /// How the loss is evaluated.
    #[command(flatten)]
    pub objective: ObjectiveArguments,
    /// Which data.
    #[command(flatten)]
    pub data: DataArguments,
}

fn trace(text: &str) -> Result<TraceChoice, String> {
    let fault = "expected a number of probes (at least 2, or 0 for none), a share as 5%, or exact";
    if text == "exact" {
        return Ok(TraceChoice::Exact);
    }
    if let Some(number) = text.strip_suffix('%') {
        let share: f64 = number.parse().map_err(|_| fault.to_owned())?;
        return match share > 0.0 && share < 100.0 {
            true => Ok(TraceChoice::Within(share / 100.0)),
            false => Err(fault.to_owned()),
        };
    }
    match text.parse() {
        Ok(1) | Err(_) => Err(fault.to_owned()),
        Ok(number) => Ok(TraceChoice::Probes(number)),
    }
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// Run directories, .onnx files or files of weights (.safetensors, .pt, .npz), two models at
    /// least; of a run directory all that it holds.
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<PathBuf>,
    /// Architecture of a file of weights that does not say it, or the .onnx file of its graph.
    #[arg(long, value_name = "TEXT")]
    pub arch: Option<String>,
    /// Instruments by name [default: loss, sam_sharpness, adaptive_sharpness, average_sharpness,
    /// critical_sharpness, lanczos, hutchinson, relative_flatness, fisher_rao_norm]; options follow,
    /// as lanczos:top=3:tolerance=1e-4.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub instruments: Vec<InstrumentChoice>,
    /// How the loss is evaluated.
    #[command(flatten)]
    pub objective: ObjectiveArguments,
    /// Which data.
    #[command(flatten)]
    pub data: DataArguments,
}

/// Arguments of `papers`.
#[derive(Debug, Args)]
pub struct PapersArguments {
    /// One paper, by its short name.
    #[arg(value_name = "PAPER")]
    pub slug: Option<String>,
    /// The papers of a family, as surface or curvature.
    #[arg(long, value_name = "FAMILY")]
    pub family: Option<String>,
}

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceArguments {
    /// Papers, by their short names; thalweg papers lists them.
    #[arg(value_name = "PAPER", required_unless_present = "all", conflicts_with = "all")]
    pub slugs: Vec<String>,
    /// Every paper that has a check.
    #[arg(long)]
    pub all: bool,
    /// A reduced form that shows in seconds that everything works. Its verdict means nothing.
    #[arg(long)]
    pub sample: bool,
    /// Put the results into this page, as Markdown, in the place of what it says of the same papers.
    #[arg(long, value_name = "FILE", conflicts_with = "sample")]
    pub write_results: Option<PathBuf>,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// A run directory, an .onnx file or a file of weights: .safetensors (also in shards), .pt or .npz.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Architecture of a file of weights that does not say it, with input and outputs, as
    /// "mlp input=8x8x1 outputs=10".
    #[arg(long, value_name = "TEXT")]
    pub arch: Option<String>,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("format").required(true)
    .args(["onnx", "safetensors", "csv", "npz"]))]
pub struct ExportArguments {
    /// A run directory; for --onnx and --safetensors a file of weights too.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Write one ONNX file a model (opset 18).
    #[arg(long)]
    pub onnx: bool,
    /// Write the weights of each model under PyTorch's names and in its layout.
    #[arg(long)]
    pub safetensors: bool,
    /// Write CSV files.
    #[arg(long)]
    pub csv: bool,
    /// Write one .npz file.
    #[arg(long)]
    pub npz: bool,
    /// Architecture of a file that does not say it, with input and outputs.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["csv", "npz"])]
    pub arch: Option<String>,
    /// Images as [batch, height, width, channels], as Thalweg has them, not with channels first
    /// as PyTorch.
    #[arg(long, conflicts_with_all = ["csv", "npz", "safetensors"])]
    pub channels_last: bool,
    /// Leave the normalisation out: the file takes what the network reads.
    #[arg(long, conflicts_with_all = ["csv", "npz", "safetensors"])]
    pub no_normalization: bool,
}
