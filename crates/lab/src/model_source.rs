//! `MODEL`: a run directory, an ONNX file, or a file of weights.

use crate::data_source::DataChoice;
use crate::design::{Design, Imported, is_onnx};
use crate::error::{LabError, Result};
use crate::run_directory::{STUDY, read_study};
use crate::weights_reader::{in_folder, read_weights, short_name};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Sha256};
use thalweg_formats::safetensors;
use thalweg_nn::{Architecture, Model, NnError, Weights, from_torch, to_torch, wrapping_prefix};

/// Keys of the metadata that a file of weights carries.
mod key {
    pub const ARCHITECTURE: &str = "architecture";
    pub const DATA: &str = "data";
    pub const FINGERPRINT: &str = "data_fingerprint";
    pub const SEED: &str = "data_seed";
    pub const TEST_FRACTION: &str = "data_test_fraction";
    pub const SUBSAMPLE: &str = "data_subsample";
    pub const LABEL_NOISE: &str = "data_label_noise";
    pub const CONTEXT: &str = "data_context";
    pub const READING: &str = "data_reading";
    pub const LOSS: &str = "loss";
    pub const MEAN: &str = "normalization_mean";
    pub const DIVISOR: &str = "normalization_divisor";
}

/// What a file of weights says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WeightsInfo {
    /// The architecture with every option.
    pub architecture: Option<String>,
    /// The data that it was trained on, and how they were split, thinned and disturbed.
    pub data: Option<DataChoice>,
    /// The loss that it was trained with.
    pub loss: Option<String>,
    /// What its inputs are shifted by and divided by.
    pub normalization: Option<Normalization>,
}

/// A file of weights, read but not yet fitted to a model.
#[derive(Debug, Clone)]
pub struct WeightsFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// A short name.
    pub name: String,
    /// What it says of itself.
    pub info: WeightsInfo,
    /// What makes its model, once it is known.
    design: Option<Design>,
    /// The graph that the file brings with its weights.
    graph: Option<Imported>,
    tensors: Vec<(String, Array)>,
}

/// The weights files that a `MODEL` names, itself or all of a run directory, with what makes their
/// models: the architecture asked for, or the one that a file names or brings.
///
/// # Errors
/// `Input` for a path that is neither a file of weights nor a run directory; `Usage` for an
/// architecture that is none, or one beside a file that brings a graph; `File` and `Format` for what
/// cannot be read.
pub fn open_models(model: &Path, architecture: Option<&str>) -> Result<Vec<WeightsFile>> {
    let mut files: Vec<WeightsFile> = Vec::new();
    for path in weights_paths(model)? {
        let mut file = WeightsFile::read(&path)?;
        // Members of a run are of one architecture, whose graph is read once.
        file.design = match files.last() {
            Some(other) if other.is_like(&file) => other.design.clone(),
            _ => file.find_design(architecture)?,
        };
        files.push(file);
    }
    Ok(files)
}

fn weights_paths(model: &Path) -> Result<Vec<PathBuf>> {
    if !model.is_dir() {
        return Ok(vec![model.to_path_buf()]);
    }
    let folder = model.join("weights");
    if let Some(path) = in_folder(model).filter(|_| !folder.is_dir()) {
        return Ok(vec![path]);
    }
    let mut paths = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(&folder).map_err(crate::error::at(&folder))? {
            let path = entry.map_err(crate::error::at(&folder))?.path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                paths.push(path);
            }
        }
    }
    if paths.is_empty() {
        return Err(LabError::Input(format!(
            "{} holds no weights/*.safetensors: expected the directory of a finished run of train, \
             or of map if it trained, or a folder with model.safetensors or \
             model.safetensors.index.json",
            model.display()
        )));
    }
    let expected = members(model)?;
    if paths.len() < expected {
        return Err(LabError::Input(format!(
            "{} holds the weights of {} of its {expected} models: the run is not finished, go on \
             with it by --resume, or name a file in weights/",
            model.display(),
            paths.len()
        )));
    }
    // Member 10 comes after member 9.
    paths.sort_by_key(|path| natural(&path.to_string_lossy()));
    Ok(paths)
}

/// How many files of weights a run of this study leaves; 0 if nothing says so.
fn members(run: &Path) -> Result<usize> {
    if !run.join(STUDY).is_file() {
        return Ok(0);
    }
    let study = read_study(run)?;
    let count = |table: &toml::Table, key: &str| table.get(key)?.as_array().map(Vec::len);
    let train = study.get("train").and_then(toml::Value::as_table);
    let Some(train) = train else { return Ok(0) };
    let population = count(train, "seeds").zip(count(train, "lr")).map_or(0, |(s, r)| s * r);
    Ok(population * count(&study, "names").unwrap_or(1))
}

/// The one weights file that a `MODEL` names.
///
/// # Errors
/// Those of [`open_models`], and `Input` for a run of several members.
pub fn open_model(model: &Path, architecture: Option<&str>) -> Result<WeightsFile> {
    let mut files = open_models(model, architecture)?;
    if files.len() > 1 {
        return Err(LabError::Input(format!(
            "{} holds {} models: name one of them, as {}",
            model.display(),
            files.len(),
            files[0].path.display()
        )));
    }
    Ok(files.remove(0))
}

impl WeightsFile {
    /// Reads a file of weights: ONNX, safetensors, also in shards by their index, what `torch.save`
    /// writes, or `.npz`.
    ///
    /// # Errors
    /// `File` or `Format` with its path.
    pub fn read(path: &Path) -> Result<WeightsFile> {
        if path.symlink_metadata().is_err() {
            return Err(LabError::Input(format!(
                "{}: there is no such file or directory: expected a run directory, an .onnx file, \
                 or a file of weights: .safetensors, .pt or .npz",
                path.display()
            )));
        }
        if is_onnx(path) {
            return Ok(WeightsFile {
                path: path.to_path_buf(),
                name: short_name(path),
                info: WeightsInfo::default(),
                design: None,
                graph: Some(Imported::read(path)?),
                tensors: Vec::new(),
            });
        }
        let read = read_weights(path)?;
        let text = |key: &str| read.metadata.get(key).cloned();
        let numbers = |key: &str| -> Option<Vec<f64>> {
            read.metadata.get(key)?.split(' ').map(|number| number.parse().ok()).collect()
        };
        let normalization = match (numbers(key::MEAN), numbers(key::DIVISOR)) {
            (Some(mean), Some(divisor))
                if mean.len() == divisor.len() && divisor.iter().all(|d| *d > 0.0) =>
            {
                Some(Normalization { mean, divisor, constant: Vec::new() })
            }
            _ => None,
        };
        let number = |key: &str| read.metadata.get(key)?.parse().ok();
        let data = text(key::DATA).map(|name| {
            let plain = DataChoice::new(name, 0);
            DataChoice {
                fingerprint: text(key::FINGERPRINT).unwrap_or_default(),
                seed: text(key::SEED).and_then(|seed| seed.parse().ok()).unwrap_or(plain.seed),
                test_fraction: number(key::TEST_FRACTION).unwrap_or(plain.test_fraction),
                subsample: text(key::SUBSAMPLE).and_then(|n| n.parse().ok()).unwrap_or(0),
                label_noise: number(key::LABEL_NOISE).unwrap_or(plain.label_noise),
                context: text(key::CONTEXT).and_then(|n| n.parse().ok()),
                reading: text(key::READING)
                    .and_then(|text| toml::from_str(&text).ok())
                    .unwrap_or_default(),
                ..plain
            }
        });
        Ok(WeightsFile {
            path: path.to_path_buf(),
            name: short_name(path),
            info: WeightsInfo {
                architecture: text(key::ARCHITECTURE),
                data,
                loss: text(key::LOSS),
                normalization,
            },
            design: None,
            graph: None,
            tensors: read.tensors.into_iter().collect(),
        })
    }

    /// Whether the same makes its model and that of another file.
    fn is_like(&self, other: &WeightsFile) -> bool {
        let place = |file: &WeightsFile| file.path.parent().map(Path::to_path_buf);
        self.graph.is_none()
            && other.graph.is_none()
            && self.info.architecture == other.info.architecture
            && place(self) == place(other)
    }

    fn find_design(&self, architecture: Option<&str>) -> Result<Option<Design>> {
        Ok(Some(match (architecture, &self.graph, &self.info.architecture) {
            (Some(text), Some(_), _) => {
                let path = self.path.display();
                let text = format!("--arch {text}: {path} brings its own graph");
                return Err(LabError::Usage(text));
            }
            (Some(text), None, _) => Design::open(text, None)?,
            (None, Some(graph), _) => Design::Imported(graph.clone()),
            (None, None, Some(text)) => Design::open(text, Some(&self.path))?,
            (None, None, None) => return Ok(None),
        }))
    }

    /// What makes its model.
    ///
    /// # Errors
    /// `Input` if nobody said an architecture.
    pub fn design(&self) -> Result<&Design> {
        self.design.as_ref().ok_or_else(|| {
            LabError::Input(format!(
                "{} does not say its architecture: give --arch, one of {}, or the .onnx file of \
                 its graph",
                self.path.display(),
                Architecture::names().join(", ")
            ))
        })
    }

    /// Whether it was not trained here: nothing says which data it saw, and how they were scaled.
    pub fn is_foreign(&self) -> bool {
        self.info.data.is_none()
    }

    /// The weights, under the model's names.
    ///
    /// # Errors
    /// `Weights` with the path and every name that is missing, not expected, or of another shape.
    pub fn weights(&self, model: &Model, float: DType) -> Result<Weights> {
        if let Some(graph) = &self.graph {
            return graph.weights(model, float);
        }
        from_torch(model, &self.tensors, float).map_err(|error| match error {
            NnError::Weights(faults) => {
                let path = self.path.display();
                let what = format!("{path}: the weights are not those of the model");
                LabError::Weights { what, faults }
            }
            other => LabError::Input(format!("{}: {other}", self.path.display())),
        })
    }

    /// What [`WeightsFile::weights`] takes off every name, if a wrapper of the model left anything
    /// there.
    pub(crate) fn prefix(&self, model: &Model) -> Option<&str> {
        if self.graph.is_some() {
            return None;
        }
        Some(wrapping_prefix(model, &self.tensors)).filter(|prefix| !prefix.is_empty())
    }

    /// SHA-256 of names and tensors, or of an ONNX file, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        if let Some(graph) = &self.graph {
            return graph.fingerprint().to_owned();
        }
        let mut hash = Sha256::new();
        for (name, array) in &self.tensors {
            hash.update_sizes(&[name.len()]);
            hash.update(name.as_bytes());
            hash.update_array(array);
        }
        hash.hex()
    }

    /// The name with that of the run directory that the file is in, if it is in one.
    pub(crate) fn long_name(&self) -> String {
        let run = self.path.parent().and_then(Path::parent).and_then(Path::file_name);
        match run {
            Some(run) => format!("{} {}", run.to_string_lossy(), self.name),
            None => self.name.clone(),
        }
    }

    /// The tensors as they are in a file of weights.
    pub fn tensors(&self) -> &[(String, Array)] {
        &self.tensors
    }
}

/// The bytes of a file of weights under PyTorch's names, with what it says of itself.
///
/// # Errors
/// `Nn` if the weights are not those of the model.
pub fn weights_bytes(model: &Model, weights: &Weights, info: &WeightsInfo) -> Result<Vec<u8>> {
    let entries = to_torch(model, weights)?;
    let entries: Vec<(&str, &Array)> =
        entries.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let mut metadata = BTreeMap::new();
    // What loaders of Hugging Face ask for.
    metadata.insert("format".to_owned(), "pt".to_owned());
    metadata.insert("thalweg_version".to_owned(), crate::VERSION.to_owned());
    let architecture =
        info.architecture.clone().or_else(|| model.architecture().map(ToString::to_string));
    for (name, value) in [(key::ARCHITECTURE, &architecture), (key::LOSS, &info.loss)] {
        if let Some(value) = value {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(data) = &info.data {
        let texts = [
            (key::DATA, data.name.clone()),
            (key::FINGERPRINT, data.fingerprint.clone()),
            (key::SEED, data.seed.to_string()),
            (key::TEST_FRACTION, data.test_fraction.to_string()),
            (key::SUBSAMPLE, data.subsample.to_string()),
            (key::LABEL_NOISE, data.label_noise.to_string()),
        ];
        metadata.extend(texts.map(|(name, value)| (name.to_owned(), value)));
        let context = data.context.map(|context| (key::CONTEXT.to_owned(), context.to_string()));
        metadata.extend(context);
        if let Some(text) = toml::to_string(&data.reading).ok().filter(|text| !text.is_empty()) {
            metadata.insert(key::READING.to_owned(), text);
        }
    }
    // That of tokens changes nothing.
    if let Some(normalization) = info.normalization.as_ref().filter(|n| !n.mean.is_empty()) {
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
        metadata.insert(key::MEAN.to_owned(), list(&normalization.mean));
        metadata.insert(key::DIVISOR.to_owned(), list(&normalization.divisor));
    }
    let mut bytes = Vec::new();
    safetensors::write(&mut bytes, &entries, &metadata)?;
    Ok(bytes)
}

/// A key by which `step-10` comes after `step-9`: runs of digits count as numbers.
pub(crate) fn natural(text: &str) -> Vec<(u64, char)> {
    let mut key = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c.to_digit(10) {
            Some(digit) => {
                let mut number = u64::from(digit);
                while let Some(digit) = characters.peek().and_then(|c| c.to_digit(10)) {
                    number = number.saturating_mul(10).saturating_add(u64::from(digit));
                    characters.next();
                }
                key.push((number, '0'));
            }
            None => key.push((0, c)),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_source::{DataOptions, PreparedData};
    use crate::files;
    use crate::scratch::Scratch;
    use thalweg_formats::dataset::{DataConfig, Task};

    struct Zero;

    impl thalweg_nn::Draw for Zero {
        fn normal(&mut self, _: &str, n: usize) -> Vec<f64> {
            vec![0.5; n]
        }

        fn uniform(&mut self, _: &str, n: usize) -> Vec<f64> {
            vec![0.5; n]
        }
    }

    fn digits() -> (DataChoice, PreparedData) {
        PreparedData::choose(&DataOptions::default(), &[], 0).unwrap()
    }

    #[test]
    fn weights_go_round_with_what_they_say_of_themselves() {
        let scratch = Scratch::new("model");
        let (choice, data) = digits();
        let model = "mlp hidden=3".parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap();
        let weights = model.initialize(&mut Zero, DType::F32).unwrap();
        let info = WeightsInfo {
            architecture: model.architecture().map(ToString::to_string),
            data: Some(DataChoice {
                seed: u64::MAX,
                test_fraction: 0.3,
                subsample: 1000,
                label_noise: 0.125,
                context: Some(12),
                reading: DataConfig {
                    target: vec!["a, \"b\"".into(), "c".into()],
                    classes: vec!["1".into(), "x\ny".into()],
                    scale: Some("mean=0.1:std=0.3".parse().unwrap()),
                    resize: Some("3x4".parse().unwrap()),
                    task: Some(Task::Classification),
                    ..DataConfig::default()
                },
                ..choice
            }),
            loss: Some("cross-entropy".into()),
            normalization: Some(Normalization {
                constant: Vec::new(),
                ..data.normalization.clone()
            }),
        };
        let path = scratch.path().join("weights/seed-0.safetensors");
        files::atomic_write_bytes(&path, &weights_bytes(&model, &weights, &info).unwrap()).unwrap();
        let file = open_model(scratch.path(), None).unwrap();
        assert_eq!((file.name.as_str(), &file.info), ("seed-0", &info));
        // The model's own data are those that it was trained on, whatever the seed is now.
        let models = std::slice::from_ref(&file);
        let again = |options| PreparedData::choose(&options, models, 7).unwrap().0;
        // The digits are no text, whatever the file says.
        let known = info.data.clone().unwrap();
        let reading = DataConfig { scale: known.reading.scale.clone(), ..DataConfig::default() };
        let known = DataChoice { context: None, reading, ..known };
        assert_eq!(again(DataOptions::default()), known);
        let all = DataOptions { subsample: Some(5), ..DataOptions::default() };
        assert_eq!((again(all.clone()).subsample, again(all).seed), (5, u64::MAX));
        let model = |file: &WeightsFile| file.design().unwrap().model(&data, None).unwrap();
        let back = model(&file);
        assert_eq!(file.weights(&back, DType::F32).unwrap(), weights);
        let other = model(&open_model(scratch.path(), Some("mlp hidden=4")).unwrap());
        let message = file.weights(&other, DType::F32).unwrap_err().to_string();
        assert!(
            message.contains("seed-0.safetensors") && message.contains("should be"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_model_is_told() {
        let scratch = Scratch::new("no-model");
        let message = |path: &Path| open_model(path, None).unwrap_err().to_string();
        assert!(message(scratch.path()).contains("finished run"));
        assert!(message(&scratch.path().join("a.onnx")).contains("no such file"));
        let path = scratch.path().join("a.safetensors");
        assert!(message(&path).contains("a.safetensors"));
        let mut lie = (1u64 << 62).to_le_bytes().to_vec();
        lie.extend(b"{}");
        fs::write(&path, lie).unwrap();
        assert!(message(&path).contains("claims a header of 4611686018427387904 bytes"));
    }

    #[test]
    fn a_run_that_is_not_finished_is_no_model() {
        let scratch = Scratch::new("half-run");
        let model = "linear".parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap();
        let weights = model.initialize(&mut Zero, DType::F32).unwrap();
        let bytes = weights_bytes(&model, &weights, &WeightsInfo::default()).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            files::atomic_write_bytes(&scratch.path().join(name), bytes).unwrap();
        };
        write(STUDY, b"[train]\nseeds = [0, 1]\nlr = [0.1]\n");
        write("weights/seed-0.safetensors", &bytes);
        let message = open_models(scratch.path(), None).unwrap_err().to_string();
        assert!(message.contains("1 of its 2 models") && message.contains("--resume"), "{message}");
        write("weights/seed-1.safetensors", &bytes);
        assert_eq!(open_models(scratch.path(), None).unwrap().len(), 2);
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        assert!(natural("seed-9.x") < natural("seed-10.x"));
        assert!(natural("a") < natural("b"));
    }
}
