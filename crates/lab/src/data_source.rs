//! `DATA`: where it is, how it is split and scaled.

use crate::error::{LabError, Result};
use crate::model_source::WeightsFile;
use crate::session::Session;
use serde::{Deserialize, Serialize};
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_data::{
    DataError, Dataset, Normalization, Rows, Split, SplitConfig, Stream, Subset, Targets, Test,
    Train,
};
use thalweg_formats::dataset::{self, DataConfig, DataKind, Reading, Scale};
use thalweg_methods::Progress;
use thalweg_nn::{Architecture, Loss, Model, PortType};

/// What is asked of the data. What is not asked for is as it was when the model was trained, or a
/// default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataOptions {
    /// A built-in name, or the path of a file or folder.
    pub name: Option<String>,
    /// Share of the examples for the test part.
    pub test_fraction: Option<f64>,
    /// So many training examples at most.
    pub subsample: Option<usize>,
    /// Share of the training labels that get another class.
    pub label_noise: Option<f64>,
    /// Tokens in the input of an example of a text.
    pub context: Option<usize>,
    /// How the data are read. A caller that knows the number of classes says it here.
    pub config: DataConfig,
}

impl DataOptions {
    /// Refuses what the command line alone shows to be wrong.
    ///
    /// # Errors
    /// `Usage` with the option.
    pub fn check(&self) -> Result<()> {
        let fault = |text: String| Err(LabError::Usage(text));
        match self {
            DataOptions { test_fraction: Some(share), .. } if !(0.0..1.0).contains(share) => {
                fault(format!("--test-fraction {share}: expected at least 0 and below 1"))
            }
            DataOptions { label_noise: Some(share), .. } if !(0.0..=1.0).contains(share) => {
                fault(format!("--label-noise {share}: expected 0 to 1"))
            }
            DataOptions { subsample: Some(0), .. } => {
                fault("--subsample 0: expected at least 1 example".into())
            }
            DataOptions { context: Some(0), .. } => {
                fault("--context 0: expected at least 1 token".into())
            }
            _ => Ok(()),
        }
    }
}

/// Which data, and what is done to it before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataChoice {
    /// A built-in name, or the path of a file or folder.
    pub name: String,
    /// SHA-256 of the contents and of the fixed parts; empty until the data were read.
    pub fingerprint: String,
    /// The root of the streams that split, thin and disturb the data.
    pub seed: u64,
    /// Share of the examples for the test part, if the data bring none of their own.
    pub test_fraction: f64,
    /// So many training examples at most, stratified; 0: all.
    pub subsample: usize,
    /// Share of the training labels that get another class.
    pub label_noise: f64,
    /// Tokens in the input of an example, of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// How the data are read.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub reading: DataConfig,
}

fn is_plain(config: &DataConfig) -> bool {
    *config == DataConfig::default()
}

impl DataChoice {
    /// Data as they are.
    pub fn new(name: impl Into<String>, seed: u64) -> DataChoice {
        DataChoice {
            name: name.into(),
            fingerprint: String::new(),
            seed,
            test_fraction: 0.2,
            subsample: 0,
            label_noise: 0.0,
            context: None,
            reading: DataConfig::default(),
        }
    }
}

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

/// Who says how inputs are scaled: an option goes before what a model was trained with, and that
/// before a file beside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleSaid {
    /// Nobody.
    Nowhere,
    /// A file, or the record of a run.
    Beside,
    /// The command.
    Asked,
}

/// Folders in which data sets are looked for before those of system packages: `$THALWEG_DATA`,
/// `data` here, and `thalweg` in the user's data folder.
pub fn search_folders() -> Vec<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let user = named("XDG_DATA_HOME").or_else(|| named("HOME").map(|h| h.join(".local/share")));
    let mut folders: Vec<PathBuf> = named("THALWEG_DATA").into_iter().collect();
    folders.push(PathBuf::from("data"));
    folders.extend(user.map(|folder| folder.join("thalweg")));
    folders
}

/// How inputs are scaled: by what was said; else by the moments of the examples that are trained
/// on, and of them alone. Places in a picture are what they are.
fn normalization(
    train: &Train,
    choice: &DataChoice,
) -> std::result::Result<Normalization, DataError> {
    match &choice.reading.scale {
        Some(Scale::None) => Ok(Normalization::identity()),
        Some(Scale::Given { mean, std }) => {
            let channels = train.dataset().example_shape().last().copied().unwrap_or(1);
            Normalization::given(mean, std, channels)
        }
        None if choice.reading.reading == Some(Reading::Coordinates) => {
            Ok(Normalization::identity())
        }
        None | Some(Scale::Fitted) => Normalization::fit(train),
    }
}

fn said(choice: &DataChoice) -> ScaleSaid {
    match choice.reading.scale {
        Some(_) => ScaleSaid::Beside,
        None => ScaleSaid::Nowhere,
    }
}

/// The number of classes that the models tell, as their architectures say.
fn classes_of(models: &[WeightsFile]) -> Option<usize> {
    let design = |model: &WeightsFile| model.design().ok()?.outputs();
    models.iter().find_map(design).map(|outputs| outputs.max(2))
}

/// Data that are read, as they are.
pub(crate) struct Read {
    /// A built-in name, or the path that was named or that a TOML file names.
    pub name: String,
    pub kind: DataKind,
    pub dataset: Arc<Dataset>,
    /// How they were read: as the options say, else a TOML file beside the data, else the record
    /// of the models.
    pub config: DataConfig,
}

impl Read {
    /// Reads the data that are asked for, or those of the models, or the digits.
    pub fn new(options: &DataOptions, models: &[WeightsFile], search: &[PathBuf]) -> Result<Read> {
        let first = models.iter().find_map(|model| model.info.data.as_ref());
        let named = first.map(|data| data.name.clone());
        let name = options.name.clone().or(named).unwrap_or_else(|| "digits".to_owned());
        let (name, beside) = dataset::find_config(&name)?;
        let trained = first.map(|data| data.reading.clone()).unwrap_or_default();
        let said = options.config.clone().or(beside.clone());
        let kind = dataset::kind_of(&name, &said.clone().or(trained.clone()))?;
        check_place(&name, kind, options, &beside)?;
        let mut config = said.or(trained.for_kind(kind));
        config.n_classes = config.n_classes.or_else(|| classes_of(models));
        let context = options.context.or(beside.context).or(first.and_then(|data| data.context));
        let context = context.unwrap_or(dataset::CONTEXT);
        config.context = (kind == DataKind::Text).then_some(context);
        let mut dataset = dataset::load(&name, search, &config)?;
        let takes_tokens =
            |model: &WeightsFile| model.design().is_ok_and(|design| design.takes_tokens());
        if models.iter().any(takes_tokens) && !dataset.is_tokens() {
            let whole = Arc::unwrap_or_clone(dataset).with_token_inputs();
            let told = |error| LabError::Input(format!("{name}: {error}"));
            dataset = Arc::new(whole.map_err(told)?);
        }
        Ok(Read { name, kind, dataset, config })
    }
}

/// Refuses what is said of the data and is nothing that data of this kind have.
fn check_place(
    name: &str,
    kind: DataKind,
    options: &DataOptions,
    beside: &DataConfig,
) -> Result<()> {
    if let Some(context) = options.context
        && kind != DataKind::Text
    {
        let text = format!("--context {context}: {name} is no text, which alone has windows");
        return Err(LabError::Input(text));
    }
    let asked = options
        .config
        .misplaced(kind)
        .map(|(key, kinds)| (format!("--{}", key.replace('_', "-")), kinds));
    let said = || {
        let found = beside.misplaced(kind);
        found.map(|(key, kinds)| (format!("the key `{key}` of its TOML file"), kinds))
    };
    let Some((what, kinds)) = asked.or_else(said) else { return Ok(()) };
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.describe()).collect();
    Err(LabError::Input(format!(
        "{what}: {name} is {}, and it is for {}",
        kind.describe(),
        kinds.join(" or ")
    )))
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

    /// Refuses labels that a model with so many outputs cannot tell.
    ///
    /// # Errors
    /// `Input` with the rows.
    pub(crate) fn check_labels(&self, outputs: usize) -> Result<()> {
        // One output tells two classes apart.
        let classes = outputs.max(2);
        let beyond = |label: i32| usize::try_from(label).is_ok_and(|label| label >= classes);
        let labels = self.dataset.labels().unwrap_or_default();
        let Some(first) = labels.iter().position(|&label| beyond(label)) else { return Ok(()) };
        let rows: Rows = (first..labels.len()).filter(|&row| beyond(labels[row])).collect();
        Err(LabError::Input(format!(
            "{}: labels: example {first} has {}, and the model tells {classes} classes, 0 to {}{}",
            self.dataset.name(),
            labels[first],
            classes - 1,
            rows.also()
        )))
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
