//! How residual branches are scaled with the depth of a network.

use crate::error::NnError;
use crate::model::Model;
use crate::parameter::{Multipliers, Parameter};
use crate::parametrization::UpdateSize;

/// What a parameter has to do with a residual branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BranchPart {
    /// Nothing.
    Outside,
    /// It stands in one, and something else ends it.
    Inside,
    /// The branch is a product with it, or what a normalisation is multiplied with at the end.
    Last,
}

/// Of the branches of a network so many times deeper.
pub(crate) fn branch_factor(deeper: f64) -> f64 {
    1.0 / deeper.sqrt()
}

/// A model whose residual branches are scaled for a depth of `deeper` times the base's: the last parameter of
/// each has a forward factor of `1 / sqrt(deeper)`, and where updates are as large whatever the gradient,
/// rates in branches are scaled alike. Together with [`crate::Parametrization::MaximalUpdate`] it is Depth-muP.
///
/// # Errors
/// A depth that is not a positive number.
/// # Source    Bordelon, Noci, Li, Hanin, Pehlevan, Depthwise hyperparameter transfer in residual networks,
/// 2023, arXiv 2309.16620; Yang, Yu, Zhu, Hayou, Tensor Programs VI, 2023, arXiv 2310.02244
///
/// # Example
/// ```
/// use thalweg_nn::{Architecture, BranchPart, UpdateSize, scale_branches};
/// let model = "gpt width=8 heads=2 depth=4".parse::<Architecture>()?.build(&[16], 5)?;
/// let deep = scale_branches(model, 4.0, UpdateSize::Gradient, |parameter| {
///     match parameter.name.ends_with("c_proj.weight") {
///         true => BranchPart::Last,
///         false => BranchPart::Outside,
///     }
/// })?;
/// let scaled = deep.parameters().iter().filter(|p| p.multipliers.forward == 0.5);
/// assert_eq!(scaled.count(), 8);
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
pub fn scale_branches(
    model: Model,
    deeper: f64,
    updates: UpdateSize,
    part: impl Fn(&Parameter) -> BranchPart,
) -> Result<Model, NnError> {
    if !(deeper > 0.0 && deeper.is_finite()) {
        return Err(NnError::BadOption {
            owner: "parametrization".into(),
            option: "depth over the base's".into(),
            expected: "a positive number".into(),
            got: deeper.to_string(),
        });
    }
    let factor = branch_factor(deeper);
    Ok(model.with_multipliers(|parameter| {
        let (part, own) = (part(parameter), parameter.multipliers);
        let forward = if part == BranchPart::Last { factor } else { 1.0 };
        let learning_rate = match (part, updates) {
            (BranchPart::Outside, _) | (_, UpdateSize::Gradient) => 1.0,
            (_, UpdateSize::Normalized) => factor,
        };
        Multipliers {
            forward: own.forward * forward,
            learning_rate: own.learning_rate * learning_rate,
            ..own
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Parametrization};

    #[test]
    fn branches_are_scaled_where_they_end() {
        let part = |parameter: &Parameter| match parameter.name.as_str() {
            name if name.contains("conv2") => BranchPart::Last,
            name if name.contains("conv1") && name.starts_with("layer") => BranchPart::Inside,
            _ => BranchPart::Outside,
        };
        let of = |text: &str| text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap();
        let (wide, base) = (of("resnet depth=8 width=8"), of("resnet depth=8 width=2"));
        let factors = |updates| {
            let model = Parametrization::MaximalUpdate.apply(wide.clone(), &base, updates).unwrap();
            let deep = scale_branches(model, 4.0, updates, part).unwrap();
            let of = |name: &str| {
                let found = deep.parameters().iter().find(|p| p.name == name).unwrap().multipliers;
                (found.forward, found.learning_rate)
            };
            ["conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight"].map(of)
        };
        assert_eq!(factors(UpdateSize::Gradient), [(1.0, 4.0), (1.0, 1.0), (0.5, 1.0)]);
        assert_eq!(factors(UpdateSize::Normalized), [(1.0, 1.0), (1.0, 0.125), (0.5, 0.125)]);
        for deeper in [0.0, -1.0, f64::NAN] {
            assert!(scale_branches(base.clone(), deeper, UpdateSize::Gradient, part).is_err());
        }
    }
}
