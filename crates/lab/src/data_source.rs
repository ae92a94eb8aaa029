//! `DATA`: where it is, how it is split and scaled.

use crate::error::{LabError, Result};
use serde::{Deserialize, Serialize};
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_data::{Dataset, Normalization, Split, SplitConfig, Stream, Subset, Test, Train};
use thalweg_formats::dataset;

/// Which data, and what is done to it before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataChoice {
    /// A built-in name, or the path of a file or folder.
    pub name: String,
    /// SHA-256 of the contents and of the fixed parts; empty until the data were read.
    pub fingerprint: String,
    /// Share of the examples for the test part, if the data bring none of their own.
    pub test_fraction: f64,
    /// So many training examples at most, stratified; 0: all.
    pub subsample: usize,
    /// Share of the training labels that are drawn anew.
    pub label_noise: f64,
}

impl DataChoice {
    /// Data as they are.
    pub fn new(name: impl Into<String>) -> DataChoice {
        DataChoice {
            name: name.into(),
            fingerprint: String::new(),
            test_fraction: 0.2,
            subsample: 0,
            label_noise: 0.0,
        }
    }
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
    /// Mean and spread of the training part.
    pub normalization: Normalization,
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

impl PreparedData {
    /// Reads, splits and measures; fills the fingerprint of `choice` in.
    ///
    /// The split draws from `split/test`, a smaller training part from `data/subsample` and noise
    /// from `data/label-noise`, all of them streams of `seed`.
    ///
    /// # Errors
    /// `Format` if there are no such data, `Data` if they are of no use.
    pub fn load(choice: &mut DataChoice, seed: u64) -> Result<PreparedData> {
        let dataset = dataset::load(&choice.name, &search_folders())?;
        choice.fingerprint = dataset.fingerprint().to_owned();
        let config =
            SplitConfig { test_fraction: choice.test_fraction, validation_fraction: 0.0, seed };
        let split = Split::new(dataset.clone(), &config)?;
        let mut train = split.train;
        if choice.subsample > 0 {
            train = train.subsample(choice.subsample, &Stream::new(seed, "data/subsample"))?;
        }
        // Of the examples that are trained on, and of them alone.
        let normalization = Normalization::fit(&train)?;
        if choice.label_noise != 0.0 {
            let stream = Stream::new(seed, "data/label-noise");
            train = train.with_label_noise(choice.label_noise, &stream)?;
        }
        Ok(PreparedData { dataset, train, test: split.test, normalization })
    }

    /// Units that a model of these data has: classes, or values to predict.
    pub fn outputs(&self) -> usize {
        match self.dataset.targets() {
            thalweg_data::Targets::Classes { n_classes, .. } => *n_classes,
            thalweg_data::Targets::Values(values) => values.shape().get(1).copied().unwrap_or(1),
        }
    }

    /// The part of a name: `train` or `test`.
    ///
    /// # Errors
    /// `Usage` for another name.
    pub fn part(&self, name: &str) -> Result<&Subset> {
        match name {
            "train" => Ok(&self.train),
            "test" => Ok(&self.test),
            other => Err(LabError::Usage(format!("--split {other}: expected train or test"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_digits_are_split_and_measured() {
        let mut choice = DataChoice::new("digits");
        let data = PreparedData::load(&mut choice, 0).unwrap();
        assert_eq!((data.train.len(), data.test.len(), data.outputs()), (1438, 359, 10));
        assert_eq!(choice.fingerprint.len(), 64);
        assert!(data.part("validation").is_err());
        choice.subsample = 100;
        assert_eq!(PreparedData::load(&mut choice, 0).unwrap().train.len(), 100);
    }

    #[test]
    fn unknown_data_are_named() {
        let error = PreparedData::load(&mut DataChoice::new("no/such.npz"), 0).unwrap_err();
        assert!(error.to_string().contains("no/such.npz") && error.exit_code() == 1, "{error}");
    }
}
