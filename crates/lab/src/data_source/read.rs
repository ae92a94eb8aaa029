//! Data as they are read, before they are split.

use super::DataOptions;
use crate::error::{LabError, Result};
use crate::model_source::WeightsFile;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_data::Dataset;
use thalweg_formats::dataset::{self, DataConfig, DataKind};

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
