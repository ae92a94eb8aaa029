//! What an optimizer left beside the weights that it trained.

use crate::error::{LabError, Result, at};
use crate::files;
use crate::model_source::WeightsFile;
use crate::run_directory::{STUDY, read_study};
use crate::study::TrainSettings;
use crate::train::{STATE, member_names, state_folder};
use crate::units;
use std::path::Path;
use thalweg_array::Array;
use thalweg_methods::common::adam_preconditioner;
use thalweg_nn::Weights;
use thalweg_train::{Base, Optimizer};

/// What Adam divides a step by at the end of the training that left these weights, over all
/// parameters.
///
/// # Errors
/// `Input` for weights without a state of Adam's beside them, and for a state of other weights;
/// `File` for one that cannot be read.
pub(crate) fn adam_state(file: &WeightsFile, weights: &Weights) -> Result<Vec<f64>> {
    let path = file.path.display();
    let none = || {
        LabError::Input(format!(
            "{path} has no optimizer's state beside it: --preconditioned expects the weights of a \
             finished run of train by adam or adamw, whose training/{STATE} holds it"
        ))
    };
    let folder = file.path.parent().filter(|folder| folder.ends_with("weights"));
    let run = folder.and_then(Path::parent).filter(|run| run.join(STUDY).is_file());
    let (run, member) = run.zip(file.path.file_stem()).ok_or_else(none)?;
    let study = read_study(run)?;
    let settings = study.get("train").cloned().ok_or_else(none)?;
    let settings: TrainSettings = settings.try_into().map_err(|error: toml::de::Error| {
        LabError::Input(format!("{}: {}", run.join(STUDY).display(), error.message()))
    })?;
    // Runs that train several networks give each a name.
    let names = study.get("names").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let names = names.iter().filter_map(toml::Value::as_str).chain([""]);
    let found = names.into_iter().find_map(|name| {
        let place =
            member_names(name, &settings).iter().position(|known| *member == *known.as_str())?;
        Some((name, place))
    });
    let (name, place) = found.ok_or_else(none)?;
    let Base::Adam { beta1, beta2, eps, .. } = settings.optimizer.parse::<Optimizer>()?.base else {
        return Err(LabError::Input(format!(
            "{path} was trained by {}, which divides no step by what it remembers: --preconditioned \
             expects adam or adamw",
            settings.optimizer
        )));
    };
    let state = state_folder(run, name).join(STATE);
    let bytes = files::read_if_there(&state).map_err(at(&state))?.ok_or_else(none)?;
    let broken =
        |reason: &dyn std::fmt::Display| LabError::Input(format!("{}: {reason}", state.display()));
    let arrays = units::decode(&bytes).map_err(|reason| broken(&reason))?;
    let array = |name: &str| -> Result<&Array> {
        let found = arrays.iter().find(|(known, _)| known == name);
        found.map(|(_, array)| array).ok_or_else(|| broken(&format!("it holds no {name}")))
    };
    let of_member = |name: &str| -> Result<Array> {
        array(name)?.row(place).map_err(|error| broken(&format!("{name}: {error}")))
    };
    let mut moments = Vec::with_capacity(weights.parameters.count());
    for (name, weight) in weights.parameters.iter() {
        let known = of_member(&format!("parameter.{name}"))?.convert(weight.dtype());
        let moment = of_member(&format!("optimizer.exp_avg_sq.{name}"))?;
        if known != *weight || moment.shape() != weight.shape() {
            return Err(broken(&format!(
                "it is that of other weights than {path}: {name} differs"
            )));
        }
        moments.extend(moment.to_f64_vec());
    }
    // A member that diverged stays where it was before that step.
    let diverged = of_member("diverged_at")?.item().filter(|step| *step >= 0.0);
    let steps = diverged.or(array("step")?.item()).unwrap_or(0.0) as u64;
    if steps == 0 {
        return Err(broken(&"no step was taken, so that Adam has seen no gradient"));
    }
    Ok(adam_preconditioner(&moments, steps, (beta1, beta2), eps)?)
}
