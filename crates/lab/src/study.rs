//! What was asked, with every default filled in: the contents of `study.toml`.

use crate::class_loss;
use crate::data_source::InputKind;
use crate::design::Design;
use crate::error::{LabError, Result, usage};
use crate::instrument_choice::PRECONDITIONED;
use crate::session::Session;
use crate::watch::{WatchOptions, WatchSection};
use serde::{Deserialize, Serialize};
use thalweg_data::{Augmentation, LastBatch};
use thalweg_nn::{ClassLoss, Loss, NnError};
use thalweg_train::{Base, Length, Optimizer, Schedule, TrainConfig};

/// What every study says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Common {
    /// The command.
    pub command: String,
    /// The version of Thalweg: another one may give other bits.
    pub version: String,
    /// The root of every random stream.
    pub seed: u64,
    /// `f32` or `f64`.
    pub precision: String,
}

/// What may differ when a run is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BudgetSection {
    /// Threads.
    pub threads: u64,
    /// Memory.
    pub memory: String,
}

impl Common {
    /// The part of a command in this session.
    pub fn new(command: &str, session: &Session) -> Common {
        Common {
            command: command.to_owned(),
            version: crate::VERSION.to_owned(),
            seed: session.seed,
            precision: session.precision.to_string(),
        }
    }
}

impl BudgetSection {
    /// The budget of this session.
    pub fn new(session: &Session) -> BudgetSection {
        BudgetSection {
            threads: session.executor.threads() as u64,
            memory: session.budget.memory.to_string(),
        }
    }
}

/// How networks are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// The architecture; with every option once the data are known.
    pub architecture: String,
    /// The loss.
    pub loss: String,
    /// The optimizer.
    pub optimizer: String,
    /// The learning rate's factor over time.
    pub schedule: String,
    /// Learning rates.
    pub lr: Vec<f64>,
    /// Seeds of the members.
    pub seeds: Vec<u64>,
    /// Examples in a batch.
    pub batch: usize,
    /// Passes over the data; 0 if `steps` says how long.
    pub epochs: u64,
    /// Steps; 0 if `epochs` says how long.
    pub steps: u64,
    /// Random shifts of images by so many pixels.
    pub shift: usize,
    /// Random mirroring of images.
    pub flip: bool,
    /// Weights are kept every so many epochs; 0: only at the end.
    pub checkpoints: u64,
    /// What is measured along the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<WatchSection>,
}

/// What of a training run was given on the command line; the rest are defaults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrainOptions {
    /// The architecture.
    pub architecture: Option<String>,
    /// The loss.
    pub loss: Option<String>,
    /// The optimizer.
    pub optimizer: Option<String>,
    /// The schedule.
    pub schedule: Option<String>,
    /// Weight decay, over that of the optimizer's text.
    pub weight_decay: Option<f64>,
    /// Learning rates.
    pub lr: Option<Vec<f64>>,
    /// Seeds.
    pub seeds: Option<Vec<u64>>,
    /// Examples in a batch.
    pub batch: Option<usize>,
    /// Passes over the data.
    pub epochs: Option<u64>,
    /// Steps.
    pub steps: Option<u64>,
    /// Random shifts.
    pub shift: usize,
    /// Random mirroring.
    pub flip: bool,
    /// Epochs between kept weights.
    pub checkpoints: u64,
    /// What is measured along the way.
    pub watch: WatchOptions,
}

impl TrainOptions {
    /// The settings with defaults filled in, checked as far as they can be without data.
    ///
    /// The optimizer is SGD with Nesterov's momentum 0.9 and weight decay 5e-4, at a one-cycle rate
    /// of 0.1 (Adam and AdamW: 0.001), for 20 epochs of batches of 64. The architecture and the
    /// loss depend on the data: [`TrainSettings::for_data`].
    ///
    /// # Errors
    /// `Usage` with the option that does not parse.
    pub fn settings(&self, seed: u64) -> Result<TrainSettings> {
        let mut optimizer = match &self.optimizer {
            Some(text) => text.parse::<Optimizer>().map_err(|e| usage("--optimizer")(&e))?,
            None => TrainConfig::default().optimizer,
        };
        if let Some(decay) = self.weight_decay {
            if !(decay >= 0.0 && decay.is_finite()) {
                let text = format!("--weight-decay {decay}: expected a number of at least 0");
                return Err(LabError::Usage(text));
            }
            optimizer.weight_decay = (decay > 0.0).then_some(decay);
        }
        let divides = matches!(optimizer.base, Base::Adam { .. });
        if !divides && self.watch.instruments.iter().any(|one| one.name == PRECONDITIONED) {
            return Err(LabError::Usage(format!(
                "--watch {PRECONDITIONED}: expected adam or adamw, got {optimizer}, which divides \
                 no step by what it remembers"
            )));
        }
        let schedule = match &self.schedule {
            Some(text) => text.parse::<Schedule>().map_err(|e| usage("--schedule")(&e))?,
            None => Schedule::one_cycle(),
        };
        if let Some(text) = &self.architecture {
            Design::open(text, None)?;
        }
        if let Some(text) = &self.loss {
            text.parse::<ClassLoss>().map_err(|e| usage("--loss")(&e))?;
        }
        let default_lr = if matches!(optimizer.base, Base::Adam { .. }) { 1e-3 } else { 0.1 };
        let (epochs, steps) = match (self.epochs, self.steps) {
            (Some(_), Some(_)) => {
                return Err(LabError::Usage("--epochs and --steps exclude each other".into()));
            }
            (None, Some(steps)) => (0, steps),
            (epochs, None) => (epochs.unwrap_or(20), 0),
        };
        let batch = self.batch.unwrap_or(64);
        if batch == 0 {
            return Err(LabError::Usage("--batch 0: expected at least 1 example".into()));
        }
        Ok(TrainSettings {
            architecture: self.architecture.clone().unwrap_or_default(),
            loss: self.loss.clone().unwrap_or_default(),
            optimizer: optimizer.to_string(),
            schedule: schedule.to_string(),
            lr: self.lr.clone().unwrap_or_else(|| vec![default_lr]),
            seeds: self.seeds.clone().unwrap_or_else(|| vec![seed]),
            batch,
            epochs,
            steps,
            shift: self.shift,
            flip: self.flip,
            checkpoints: self.checkpoints,
            watch: None,
        })
    }
}

impl TrainSettings {
    /// Fills in what depends on the data: the loss (cross-entropy for classes, squared error for
    /// values), the architecture (`default` of what the inputs are if none was given), the shape.
    ///
    /// # Errors
    /// `Nn` if the architecture cannot take the data.
    pub fn for_data(
        mut self,
        data: &crate::PreparedData,
        default: impl Fn(InputKind) -> &'static str,
    ) -> Result<(TrainSettings, Design, thalweg_nn::Model)> {
        if self.loss.is_empty() {
            self.loss = default_loss(data).to_string();
        }
        if self.architecture.is_empty() {
            self.architecture = default(data.kind()).to_owned();
        }
        let loss: ClassLoss = self.loss.parse()?;
        data.check_loss(&loss.loss)?;
        class_loss::weights(&loss, data)?;
        if (self.shift > 0 || self.flip) && data.kind() != InputKind::Images {
            return Err(LabError::Input(format!(
                "--shift and --flip change images, and {} holds none",
                data.dataset.name()
            )));
        }
        let design = Design::open(&self.architecture, None)?;
        let model = design.model(data, Some(loss.loss)).map_err(|error| match error {
            // A value that no data would make right.
            LabError::Nn(error @ NnError::BadOption { .. }) => usage("--arch")(&error),
            other => other,
        })?;
        self.architecture = design.text(&model);
        // Batches larger than the data would never be full.
        self.batch = self.batch.min(data.train.len());
        Ok((self, design, model))
    }

    /// The configuration of the trainer.
    ///
    /// # Errors
    /// Texts that do not parse, which is not so after [`TrainOptions::settings`].
    pub fn config(&self, session: &Session, data: &crate::PreparedData) -> Result<TrainConfig> {
        // A shifted-in pixel is black, whatever the normalisation makes of it.
        let normalization = &data.normalization;
        let fill = normalization.mean.iter().zip(&normalization.divisor);
        let fill = fill.map(|(mean, divisor)| (-mean / divisor) as f32).collect();
        let fill = if self.shift > 0 { fill } else { Vec::new() };
        let loss: ClassLoss = self.loss.parse()?;
        Ok(TrainConfig {
            optimizer: self.optimizer.parse()?,
            schedule: self.schedule.parse()?,
            loss: loss.loss,
            adjustment: class_loss::adjustment(&loss, data)?,
            batch: self.batch,
            last_batch: LastBatch::Drop,
            length: match self.epochs {
                0 => Length::Steps(self.steps),
                epochs => Length::Epochs(epochs),
            },
            augmentation: Augmentation { shift: self.shift, flip: self.flip, fill },
            precision: session.precision.dtype(),
            segment: self.look(data),
        })
    }

    /// Says what is to be measured along the way, on how much and how often.
    pub fn watch(
        &mut self,
        options: &WatchOptions,
        model: &thalweg_nn::Model,
        data: &crate::PreparedData,
    ) {
        let usual = self.usual_look(data);
        let examples = data.train.len();
        self.watch = WatchSection::new(options, model, examples, self.batch, usual);
    }

    fn usual_look(&self, data: &crate::PreparedData) -> u64 {
        segment((data.train.len() / self.batch.max(1)).max(1) as u64)
    }

    /// Steps between two looks at a run.
    fn look(&self, data: &crate::PreparedData) -> u64 {
        let usual = self.usual_look(data);
        self.watch.as_ref().map_or(usual, |watch| watch.look(usual))
    }
}

/// The loss that data of a kind call for.
pub fn default_loss(data: &crate::PreparedData) -> Loss {
    match data.dataset.n_classes() {
        Some(_) => Loss::default(),
        None => Loss::MeanSquaredError,
    }
}

/// Steps between two looks: the largest divisor of an epoch that is not too long, so that looks
/// fall on the ends of epochs; 32 if there is no useful one.
fn segment(epoch: u64) -> u64 {
    const LONGEST: u64 = 64;
    let divisor = (1..=LONGEST).rev().find(|n| epoch.is_multiple_of(*n)).unwrap_or(1);
    if divisor < 8 && epoch > divisor { 32 } else { divisor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_with_epochs_where_they_can() {
        assert_eq!([22, 937, 128, 3, 1].map(segment), [22, 32, 64, 3, 1]);
    }

    #[test]
    fn options_that_do_not_parse_are_named() {
        let message = |options: TrainOptions| {
            let error = options.settings(0).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        };
        let text = |text: &str| Some(text.to_owned());
        let options = TrainOptions::default();
        assert!(
            message(TrainOptions { optimizer: text("sdg"), ..options.clone() })
                .starts_with("--optimizer: ")
        );
        assert!(
            message(TrainOptions { architecture: text("resnet widht=4"), ..options.clone() })
                .contains("did you mean")
        );
        assert!(
            message(TrainOptions { epochs: Some(1), steps: Some(1), ..options.clone() })
                .contains("exclude")
        );
        message(TrainOptions { batch: Some(0), ..options.clone() });
        message(TrainOptions { weight_decay: Some(f64::NAN), ..options.clone() });
        let settings = options.settings(7).unwrap();
        assert_eq!((settings.seeds, settings.lr), (vec![7], vec![0.1]));
    }
}
