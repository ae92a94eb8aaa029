//! Directions that are not drawn: between checkpoints, and given ones.

use crate::MethodError;
use thalweg_array::{Array, DType};
use thalweg_nn::{Parameter, Parameters};

/// The direction from one point to another, in `f64`: the other lies at coordinate one.
///
/// # Errors
/// Points of different models.
pub fn between(from: &Parameters, to: &Parameters) -> Result<Parameters, MethodError> {
    let (from, to) = (from.convert(DType::F64), to.convert(DType::F64));
    Ok(to.add_scaled(-1.0, &from)?)
}

/// The direction whose arrays are `axis.<parameter>` among named arrays, as `x.fc.weight`; in the
/// engine's layout.
///
/// # Errors
/// An array that is missing, or of another shape; one of this axis that is no parameter's.
pub fn given(
    described: &[Parameter],
    axis: &str,
    entries: &[(String, Array)],
) -> Result<Parameters, MethodError> {
    let prefix = format!("{axis}.");
    let of_axis =
        || entries.iter().filter_map(|(name, array)| Some((name.strip_prefix(&prefix)?, array)));
    if let Some((stray, _)) = of_axis().find(|(name, _)| described.iter().all(|p| p.name != *name))
    {
        let expected = format!("{prefix} and a parameter of the model");
        return Err(MethodError::mismatch(
            "a given direction",
            expected,
            format!("{prefix}{stray}"),
        ));
    }
    let mut arrays = Vec::with_capacity(described.len());
    for parameter in described {
        let found = of_axis().find(|(name, _)| *name == parameter.name);
        let expected = format!("{prefix}{} {:?}", parameter.name, parameter.shape);
        match found {
            Some((_, array)) if array.shape() == parameter.shape && array.dtype().is_float() => {
                arrays.push((parameter.name.clone(), array.clone()));
            }
            Some((_, array)) => {
                let got = format!("{}{:?}", array.dtype(), array.shape());
                return Err(MethodError::mismatch("a given direction", expected, got));
            }
            None => {
                return Err(MethodError::mismatch("a given direction", expected, "none"));
            }
        }
    }
    Ok(Parameters::new(arrays)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_nn::Architecture;

    #[test]
    fn given_arrays_are_checked() {
        let model = "resnet depth=8 width=4".parse::<Architecture>().unwrap();
        let model = model.build(&[8, 8, 1], 10).unwrap();
        let described = model.parameters().to_vec();
        let weights = thalweg_train::initialize(&model, 0, DType::F64).unwrap().parameters;
        let mut entries: Vec<(String, Array)> =
            weights.iter().map(|(name, array)| (format!("x.{name}"), array.clone())).collect();
        assert_eq!(given(&described, "x", &entries).unwrap(), weights);
        assert!(given(&described, "y", &entries).is_err());
        entries.push(("x.extra".into(), Array::scalar(0.0)));
        let message = given(&described, "x", &entries).unwrap_err().to_string();
        assert_eq!(
            message,
            "a given direction: expected x. and a parameter of the model, got x.extra"
        );
    }
}
