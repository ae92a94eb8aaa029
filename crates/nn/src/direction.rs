//! Directions in weight space under PyTorch's names and in its layout.

use crate::error::NnError;
use crate::faults::{Named, WeightsFaults, Wrong};
use crate::model::Model;
use crate::parameters::Parameters;
use crate::torch::{batches_name, inward, wrapping_prefix};
use std::collections::{BTreeMap, BTreeSet};
use thalweg_array::{Array, DType};

/// A direction in weight space.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// How every parameter moves.
    pub parameters: Parameters,
    /// Parameters that nothing was given for, which do not move.
    pub held: Vec<String>,
    /// Names of running statistics that something was given for, which do not move either.
    pub aside: Vec<String>,
}

/// A direction whose parts stand under the names of parameters, in PyTorch's layout and with the
/// [`wrapping_prefix`] of every name or without, converted to `float`.
///
/// # Errors
/// `Weights` with every name that the model does not have, and every part of another shape or type.
pub fn direction_from_torch(
    model: &Model,
    entries: &[(String, Array)],
    float: DType,
) -> Result<Direction, NnError> {
    let start = wrapping_prefix(model, entries).len();
    let mut given: BTreeMap<&str, &Array> = BTreeMap::new();
    let mut faults = Vec::new();
    let named =
        |name: &str, array: &Array| Named { name: name.to_owned(), shape: array.shape().to_vec() };
    for (name, array) in entries {
        let name = &name[start..];
        if given.insert(name, array).is_some() {
            faults.push((named(name, array), Some(named(name, array)), Wrong::Twice));
        }
    }
    let (mut arrays, mut held, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in model.parameters() {
        let (name, shape) = (&parameter.name, &parameter.torch.shape);
        let wanted = || Named { name: name.clone(), shape: shape.clone() };
        let Some(array) = given.remove(name.as_str()) else {
            held.push(name.clone());
            left.push(wanted());
            arrays.push(Array::zeros(float, &parameter.shape));
            continue;
        };
        if array.shape() != shape {
            faults.push((wanted(), Some(named(name, array)), Wrong::Shape));
        } else if !array.dtype().is_float() {
            faults.push((wanted(), Some(named(name, array)), Wrong::Type(array.dtype())));
        } else {
            arrays.push(inward(parameter, &array.convert(float))?);
        }
    }
    let statistics: BTreeSet<String> = model
        .buffers()
        .iter()
        .flat_map(|buffer| [buffer.name.clone(), batches_name(&buffer.name)])
        .collect();
    let (aside, unknown): (Vec<_>, Vec<_>) =
        given.iter().partition(|(name, _)| statistics.contains(**name));
    let unknown = unknown.into_iter().map(|(name, array)| named(name, array)).collect();
    let faults = WeightsFaults::unknown(faults, unknown, left);
    if !faults.is_empty() {
        return Err(NnError::Weights(Box::new(faults)));
    }
    let aside = aside.into_iter().map(|(name, _)| (*name).to_owned()).collect();
    Ok(Direction { parameters: model.parameter_tree(arrays)?, held, aside })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;
    use crate::torch::tests::counted;
    use crate::torch::to_torch;

    #[test]
    fn directions_may_leave_parameters_out() {
        let architecture = "mlp hidden=4 norm=batch".parse::<Architecture>().unwrap();
        let model = architecture.build(&[5], 3).unwrap();
        let entries = to_torch(&model, &counted(&model)).unwrap();
        let whole = direction_from_torch(&model, &entries, DType::F64).unwrap();
        assert_eq!(whole.parameters, counted(&model).parameters);
        assert!(whole.held.is_empty() && whole.aside.len() == 3, "{:?}", whole.aside);
        let some: Vec<(String, Array)> = entries
            .iter()
            .filter(|(name, _)| name.as_str() == "fc2.weight")
            .map(|(name, array)| (format!("module.{name}"), array.clone()))
            .collect();
        let part = direction_from_torch(&model, &some, DType::F64).unwrap();
        assert_eq!(part.held.len(), model.parameters().len() - 1);
        for (name, array) in part.parameters.iter() {
            let expected = counted(&model).parameters;
            let moves = name == "fc2.weight";
            assert_eq!(array == expected.get(name).unwrap(), moves, "{name}");
            assert!(moves || array.to_f64_vec().iter().all(|x| *x == 0.0), "{name}");
        }
        let mut wrong = some.clone();
        wrong[0].0 = "fc2.weights".into();
        wrong.push(("fc1.weight".into(), Array::zeros(DType::F32, &[5, 4])));
        assert_eq!(
            direction_from_torch(&model, &wrong, DType::F64).unwrap_err().to_string(),
            "the weights are not those of the model: fc2.weights is not expected (there is \
             fc2.weight); fc1.weight should be [4, 5], got [5, 4]"
        );
    }
}
