//! `DATA`: where it is, how it is split and scaled.

mod options;
mod read;
mod scale;

pub use options::{DataChoice, DataOptions};
pub use read::search_folders;

pub(crate) use read::Read;
pub(crate) use scale::ScaleSaid;

use crate::error::{LabError, Result};
use crate::model_source::WeightsFile;
use crate::session::Session;
use scale::{normalization, said};
use std::sync::Arc;
use thalweg_data::{
    DataError, Dataset, Normalization, Split, SplitConfig, Stream, Subset, Targets, Test, Train,
    check_classes,
};
use thalweg_formats::dataset::DataConfig;
use thalweg_methods::Progress;
use thalweg_nn::{Architecture, Loss, Model, PortType};

/// What the inputs of data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// Images.
    Images,
    /// Features.
    Features,
    /// Tokens of a text.
    Tokens,
}

/// Data that are read, split and measured.
#[derive(Debug, Clone)]
pub struct PreparedData {
    /// The data.
    pub dataset: Arc<Dataset>,
    /// To train on.
    pub train: Train,
    /// For the final measurement.
    pub test: Test,
    /// Mean and spread of the training part, or what else was said.
    pub normalization: Normalization,
    /// Who said how inputs are scaled.
    pub(crate) scale: ScaleSaid,
}

impl PreparedData {
    /// Reads, splits and measures the data that are asked for, or those of the models, or the
    /// digits.
    ///
    /// A model's data are those that it was trained on: its test part stays a test part whatever
    /// `seed` is now, and its training part is the one that it saw. Data for models that do not say
    /// what they were trained on are not split, unless they bring parts or it is asked for.
    ///
    /// # Errors
    /// `Format` if there are no such data, `Input` if they are of no use.
    pub fn choose(
        options: &DataOptions,
        models: &[WeightsFile],
        seed: u64,
    ) -> Result<(DataChoice, PreparedData)> {
        let Read { name, dataset, config, .. } = Read::new(options, models, &search_folders())?;
        let mut of_models = models.iter().filter_map(|model| model.info.data.as_ref());
        let fingerprint = dataset.fingerprint();
        let trained = of_models.find(|data| data.fingerprint == fingerprint).cloned();
        let known = trained.unwrap_or_else(|| DataChoice::new(name.clone(), seed));
        let foreign = !models.is_empty() && models.iter().all(WeightsFile::is_foreign);
        let whole = foreign
            && dataset.fixed_test().is_empty()
            && (options.test_fraction, options.subsample, options.label_noise)
                == (None, None, None);
        let test_fraction = if whole { 0.0 } else { known.test_fraction };
        let choice = DataChoice {
            name,
            fingerprint: fingerprint.to_owned(),
            test_fraction: options.test_fraction.unwrap_or(test_fraction),
            subsample: options.subsample.unwrap_or(known.subsample),
            label_noise: options.label_noise.unwrap_or(known.label_noise),
            seed: known.seed,
            context: config.context,
            // Other data for the model are to have its classes, also where some do not occur.
            reading: DataConfig {
                classes: dataset.class_names().to_vec(),
                context: None,
                n_classes: None,
                ..config
            },
        };
        let prepared = match whole {
            true => PreparedData::whole(dataset, &choice),
            false => PreparedData::new(dataset, &choice),
        };
        let mut prepared =
            prepared.map_err(|error| LabError::Input(format!("{}: {error}", choice.name)))?;
        if options.config.scale.is_some() {
            prepared.scale = ScaleSaid::Asked;
        }
        Ok((choice, prepared))
    }

    /// Splits and measures.
    ///
    /// The split draws from `split/test`, a smaller training part from `data/subsample` and noise
    /// from `data/label-noise`, all of them streams of the choice's seed.
    fn new(
        dataset: Arc<Dataset>,
        choice: &DataChoice,
    ) -> std::result::Result<PreparedData, DataError> {
        let DataChoice { seed, test_fraction, .. } = *choice;
        let config = SplitConfig { test_fraction, validation_fraction: 0.0, seed };
        let split = Split::new(dataset.clone(), &config)?;
        let mut train = split.train;
        if choice.subsample > 0 {
            train = train.subsample(choice.subsample, &Stream::new(seed, "data/subsample"))?;
        }
        let normalization = normalization(&train, choice)?;
        if choice.label_noise != 0.0 {
            let stream = Stream::new(seed, "data/label-noise");
            train = train.with_label_noise(choice.label_noise, &stream)?;
        }
        let scale = said(choice);
        Ok(PreparedData { dataset, train, test: split.test, normalization, scale })
    }

    /// Takes the data as they are, every example in each part.
    fn whole(
        dataset: Arc<Dataset>,
        choice: &DataChoice,
    ) -> std::result::Result<PreparedData, DataError> {
        let Split { train, test, .. } = Split::whole(dataset.clone());
        let normalization = match choice.reading.scale {
            None => Normalization::identity(),
            Some(_) => normalization(&train, choice)?,
        };
        Ok(PreparedData { dataset, train, test, normalization, scale: said(choice) })
    }

    /// Tells what was noticed when the data were read.
    pub(crate) fn tell(&self, session: &Session) {
        for note in self.dataset.notes() {
            session.console.message(&format!("{}: {note}", self.dataset.name()));
        }
    }

    /// Refuses labels that a model cannot tell.
    ///
    /// # Errors
    /// `Input` with the rows.
    pub(crate) fn check_labels(&self, model: &Model) -> Result<()> {
        match self.dataset.targets() {
            Targets::Classes { labels, .. } | Targets::Sequences { labels, .. } => {
                check_classes(labels, model.n_classes()).map_err(|error| {
                    let name = self.dataset.name();
                    LabError::Input(format!("{name}, for the outputs of the model: {error}"))
                })
            }
            Targets::Values(_) => Ok(()),
        }
    }

    /// Whether no example is held out.
    pub fn is_whole(&self) -> bool {
        self.test.len() == self.dataset.len()
    }

    /// Refuses a loss that the targets do not have.
    ///
    /// # Errors
    /// `Input` for cross-entropy with targets that are neither labels nor probabilities.
    pub(crate) fn check_loss(&self, loss: &Loss) -> Result<()> {
        let (Loss::CrossEntropy { .. }, Targets::Values(values)) = (loss, self.dataset.targets())
        else {
            return Ok(());
        };
        // Single precision leaves a sum of probabilities this close to one.
        const ROUNDING: f64 = 1e-3;
        let probabilities = values.to_f64_vec().chunks(self.outputs().max(1)).all(|row| {
            row.iter().all(|&value| value >= 0.0)
                && (row.iter().sum::<f64>() - 1.0).abs() <= ROUNDING
        });
        if probabilities && self.outputs() > 1 {
            return Ok(());
        }
        Err(LabError::Input(format!(
            "the targets of {} are real values: cross-entropy needs labels or the probabilities \
             of classes, so give --loss mse",
            self.dataset.name()
        )))
    }

    /// What the inputs are.
    pub fn kind(&self) -> InputKind {
        match self.dataset.example_shape() {
            _ if self.dataset.is_tokens() => InputKind::Tokens,
            [_, _, _] => InputKind::Images,
            _ => InputKind::Features,
        }
    }

    /// The model of an architecture for these data.
    ///
    /// # Errors
    /// `Nn` for a shape that it cannot take, `Input` for tokens where it takes numbers or the
    /// other way round.
    pub(crate) fn model(&self, architecture: &Architecture) -> Result<Model> {
        let model = architecture.build(self.dataset.example_shape(), self.outputs())?;
        let takes_tokens = model.inputs().iter().any(|port| port.ty == PortType::Index);
        if takes_tokens == self.dataset.is_tokens() {
            return Ok(model);
        }
        let [takes, are] = match takes_tokens {
            true => ["the tokens of a text, as --data some.txt", "numbers"],
            false => ["numbers", "the tokens of a text: the architecture for them is gpt"],
        };
        let (name, data) = (architecture.kind.name(), self.dataset.name());
        Err(LabError::Input(format!("{name} takes {takes}, and {data} holds {are}")))
    }

    /// Units that a model of these data has: classes, or values to predict.
    pub fn outputs(&self) -> usize {
        match self.dataset.targets() {
            Targets::Classes { n_classes, .. } | Targets::Sequences { n_classes, .. } => *n_classes,
            Targets::Values(values) => values.shape().get(1).copied().unwrap_or(1),
        }
    }

    /// The part of a name: `train`, `test` or `all`.
    ///
    /// # Errors
    /// `Usage` for another name.
    pub fn part(&self, name: &str) -> Result<Subset> {
        match name {
            "train" => Ok((*self.train).clone()),
            "test" => Ok((*self.test).clone()),
            "all" => Ok(Subset::all(self.dataset.clone())),
            other => {
                let text = format!("--split {other}: expected train, test or all");
                Err(LabError::Usage(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::Array;
    use thalweg_data::Provenance;

    fn digits(options: DataOptions, seed: u64) -> (DataChoice, PreparedData) {
        PreparedData::choose(&options, &[], seed).unwrap()
    }

    #[test]
    fn the_embedded_digits_are_split_and_measured() {
        let (choice, data) = digits(DataOptions::default(), 0);
        assert_eq!((data.train.len(), data.test.len(), data.outputs()), (1438, 359, 10));
        assert_eq!(choice.fingerprint.len(), 64);
        assert!(data.part("validation").is_err());
        let options = DataOptions { subsample: Some(100), ..DataOptions::default() };
        assert_eq!(digits(options, 0).1.train.len(), 100);
    }

    #[test]
    fn shares_that_are_none_are_the_command_lines_fault() {
        let options = DataOptions::default();
        for options in [
            DataOptions { test_fraction: Some(1.0), ..options.clone() },
            DataOptions { test_fraction: Some(f64::NAN), ..options.clone() },
            DataOptions { label_noise: Some(-0.1), ..options.clone() },
            DataOptions { subsample: Some(0), ..options.clone() },
            DataOptions { context: Some(0), ..options.clone() },
        ] {
            let error = options.check().unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().starts_with("--"), "{error}");
        }
        options.check().unwrap();
    }

    #[test]
    fn unknown_data_are_named() {
        let options = DataOptions { name: Some("no/such.npz".into()), ..DataOptions::default() };
        let error = PreparedData::choose(&options, &[], 0).unwrap_err();
        assert!(error.to_string().contains("no/such.npz") && error.exit_code() == 1, "{error}");
    }

    #[test]
    fn only_a_text_has_windows() {
        let options = DataOptions { context: Some(8), ..DataOptions::default() };
        let message = PreparedData::choose(&options, &[], 0).unwrap_err().to_string();
        assert_eq!(message, "--context 8: digits is no text, which alone has windows");
    }

    #[test]
    fn tokens_and_numbers_have_architectures_of_their_own() {
        let tokens: Vec<i32> = (0..40).map(|i| i % 3).collect();
        let windows = Array::from_slice(&[10, 4], &tokens).unwrap();
        let text = Dataset::sequences("text", &windows, 3, Provenance::default()).unwrap();
        let text = PreparedData::new(Arc::new(text), &DataChoice::new("text", 0)).unwrap();
        assert_eq!((text.kind(), text.outputs()), (InputKind::Tokens, 3));
        assert_eq!(text.test.rows(), [8, 9]);
        text.check_loss(&Loss::default()).unwrap();
        let build = |data: &PreparedData, name: &str| data.model(&name.parse().unwrap());
        build(&text, "gpt").unwrap();
        let message = build(&text, "mlp").unwrap_err().to_string();
        assert_eq!(
            message,
            "mlp takes numbers, and text holds the tokens of a text: the architecture for them is \
             gpt"
        );
        let inputs = Array::from_slice(&[5, 4], &[1.0f32; 20]).unwrap();
        let labels = Array::vector(&[0, 1, 0, 1, 0]);
        let plain = Provenance::default();
        let features = Dataset::classification("features", &inputs, &labels, None, plain).unwrap();
        let features = PreparedData::new(Arc::new(features), &DataChoice::new("f", 0)).unwrap();
        let message = build(&features, "gpt").unwrap_err().to_string();
        assert_eq!(
            message,
            "gpt takes the tokens of a text, as --data some.txt, and features holds numbers"
        );
    }

    #[test]
    fn cross_entropy_needs_labels_or_probabilities() {
        let check = |columns: usize, targets: &[f32]| {
            let n = targets.len() / columns;
            let inputs = Array::from_slice(&[n, 1], &vec![1.0f32; n]).unwrap();
            let targets = Array::from_slice(&[n, columns], targets).unwrap();
            let dataset = Dataset::regression("values", &inputs, &targets, Provenance::default());
            let choice = DataChoice::new("values", 0);
            let data = PreparedData::new(Arc::new(dataset.unwrap()), &choice).unwrap();
            data.check_loss(&Loss::MeanSquaredError).unwrap();
            data.check_loss(&Loss::default())
        };
        check(2, &[0.25, 0.75].repeat(5)).unwrap();
        for (columns, targets) in [(1, [1.0, 1.0]), (2, [0.5, 0.7]), (2, [-1.0, 2.0])] {
            let message = check(columns, &targets.repeat(5)).unwrap_err().to_string();
            assert!(message.contains("--loss mse"), "{message}");
        }
        let (_, digits) = digits(DataOptions::default(), 0);
        digits.check_loss(&Loss::default()).unwrap();
    }
}
