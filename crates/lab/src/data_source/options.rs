//! What is asked of data, and what is recorded of them.

use crate::error::{LabError, Result};
use serde::{Deserialize, Serialize};
use thalweg_formats::dataset::DataConfig;

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
