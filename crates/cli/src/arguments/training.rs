//! How networks are trained.

use super::DataArguments;
use clap::Args;
use std::path::PathBuf;
use thalweg_lab::{InstrumentChoice, parse_rates, parse_seeds};

/// How networks are trained.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingArguments {
    /// Passes over the data [default: 20].
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Steps, instead of --epochs.
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub steps: Option<u64>,
    /// Examples in a batch [default: 64].
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Optimizer: sgd, momentum, nesterov, adam, adamw or sam, with options as
    /// sgd:momentum=0.9,clip=1 or sam:rho=0.5,scale=adaptive,shard=16 [default:
    /// nesterov:weight_decay=5e-4].
    #[arg(long, value_name = "TEXT")]
    pub optimizer: Option<String>,
    /// Schedule of the rate: constant, linear, cosine, step, wsd, one-cycle or table, with options
    /// as cosine:warm_up=0.05 or table:factors=1/0.5/0.1 [default: one-cycle].
    #[arg(long, value_name = "TEXT")]
    pub schedule: Option<String>,
    /// Weight decay, in place of the optimizer's.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// Loss: cross-entropy, nll, mse, half-squared-error, bce, mae or huber, with options as
    /// "cross-entropy smoothing=0.1". For classes of unequal frequency: balanced=0.9999 weights them
    /// by their effective numbers, with from=0.8 after that share of the steps; tau=1 adjusts logits,
    /// gamma=0.3 scales them, margin=0.5 takes a margin from the true one [default: cross-entropy for
    /// classes, mse for values].
    #[arg(long, value_name = "TEXT")]
    pub loss: Option<String>,
    /// Shift training images at random by up to so many pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub shift: usize,
    /// Mirror training images at random.
    #[arg(long)]
    pub flip: bool,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// A run directory, an .onnx file or a file of weights: every member starts from it, and a seed draws
    /// the order of the data alone [default: each seed draws its own weights].
    #[arg(value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Architecture: linear, mlp, deep-linear, convnet, resnet, alternet, vit, gpt or siren, with options as
    /// "resnet depth=20 width=16 skip=false", or an .onnx file, whose weights are drawn anew [default: resnet depth=20 width=16 for images, mlp
    /// for features, gpt for text].
    #[arg(long, value_name = "TEXT")]
    pub arch: Option<String>,
    /// Seeds, as 0..16 (16 left out) or 0,3,5 [default: that of --seed]. Seeds and rates multiply.
    #[arg(long, value_name = "SEEDS", value_parser = seeds)]
    pub seeds: Option<Seeds>,
    /// Learning rates, as 0.1,0.03 [default: 0.1; 0.001 for adam and adamw].
    #[arg(long, value_name = "RATES", value_parser = rates, allow_negative_numbers = true)]
    pub lr: Option<Rates>,
    /// Keep the weights every so many epochs, in trajectory/; 0: only at the end.
    #[arg(long, value_name = "EPOCHS", default_value_t = 0)]
    pub checkpoints: u64,
    /// Read instruments along the way, as sharpness,trace:100, into metrics.parquet and the report:
    /// sharpness (the largest Hessian eigenvalue), preconditioned_sharpness (that of the Hessian that
    /// Adam's steps meet), trace, or any that `thalweg compare` knows; :100 reads every 100 steps,
    /// :probes=4 sets an option, as trace:100:probes=4.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub watch: Vec<InstrumentChoice>,
    /// Share of training's work for readings whose steps are not given [default: 10%].
    #[arg(long, value_name = "PERCENT", value_parser = share, requires = "watch")]
    pub watch_budget: Option<f64>,
    /// Training examples that are measured on, at most [default: 1000].
    #[arg(long, value_name = "N", requires = "watch")]
    pub watch_samples: Option<usize>,
    /// How networks are trained.
    #[command(flatten)]
    pub training: TrainingArguments,
    /// Which data.
    #[command(flatten)]
    pub data: DataArguments,
}

/// Seeds of a population.
#[derive(Debug, Clone)]
pub struct Seeds(pub Vec<u64>);

/// Learning rates of a population.
#[derive(Debug, Clone)]
pub struct Rates(pub Vec<f64>);

fn seeds(text: &str) -> Result<Seeds, String> {
    parse_seeds(text).map(Seeds)
}

/// A share, as `10%` or `0.1`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    match number.trim().parse::<f64>().map(|number| number / unit) {
        Ok(share) if share > 0.0 && share.is_finite() => Ok(share),
        _ => Err("expected a share above 0, as 10% or 0.1".into()),
    }
}

fn rates(text: &str) -> Result<Rates, String> {
    parse_rates(text).map(Rates)
}
