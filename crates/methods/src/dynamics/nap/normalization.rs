//! Networks in which the scale of a layer does not matter.

use crate::common::{gradient, vector};
use crate::{Context, MethodError, Objective};
use thalweg_nn::architecture::{Kind, Scheme};
use thalweg_nn::layer::Normalization;
use thalweg_nn::{Architecture, Model, Role, Weights};

/// The same architecture with a normalisation behind every layer but the last, before the activation,
/// and no biases, which the normalisation would take out again: `y = phi(norm(W x))`.
///
/// In a residual network each branch and each shortcut of a block has its own, before they are added:
/// `y = phi(norm(W x) + shortcut(x))`, so that no kernel's scale matters there either.
///
/// # Errors
/// `Config` for a model without an architecture, as an imported one, for one that is none of `mlp`,
/// `convnet` and `resnet`, and for a normalisation by the batch or none: the network is to be free
/// of each layer's scale example by example. Transformers, and networks that normalise first, add
/// what a layer gives to a stream as it is: its scale matters there, and a normalisation before the
/// activation does not change that.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 4
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::insert_norm;
/// use thalweg_nn::{Architecture, layer::Normalization};
/// let plain = "mlp hidden=16-16".parse::<Architecture>()?.build(&[4], 3)?;
/// let model = insert_norm(&plain, Normalization::Layer)?;
/// assert_eq!(model.parameter_count(), 4 * 16 + 16 * 16 + 16 * 3 + 4 * 16);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn insert_norm(model: &Model, norm: Normalization) -> Result<Model, MethodError> {
    if !matches!(norm, Normalization::Layer | Normalization::Rms) {
        let got = format!("{norm:?}");
        return Err(MethodError::config("normalisation to insert", "layer or rms", got));
    }
    let expected = "an mlp, a convnet or a resnet, whose layers can all be normalised";
    let Some(mut architecture) = model.architecture().cloned() else {
        return Err(MethodError::config("model to normalise", expected, "no architecture"));
    };
    let init = match &mut architecture.kind {
        Kind::Mlp(mlp) => {
            (mlp.norm, mlp.bias) = (norm, false);
            Some(mlp.init)
        }
        Kind::ConvNet(net) => {
            (net.norm, net.bias) = (norm, false);
            Some(net.init)
        }
        Kind::ResNet(net) => {
            (net.norm, net.bias) = (norm, false);
            None
        }
        other => return Err(MethodError::config("model to normalise", expected, other.name())),
    };
    // Sines have a frequency, which a normalisation before them would set anew.
    if init == Some(Scheme::Siren) {
        return Err(MethodError::config("initialisation", "any but that of sines", "siren"));
    }
    Ok(Architecture::rebuild(&architecture)?)
}

/// For each weight, the cosine of its gradient and itself: zero for a layer whose scale does not
/// matter, because a normalisation follows it.
///
/// The product of the two is the derivative of the loss by the logarithm of the layer's scale.
///
/// # Errors
/// Those of [`gradient`].
pub fn radial_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Vec<(String, f64)>, MethodError> {
    let flat = gradient(ctx, objective, point)?.gradient;
    let gradients = point.parameters.unflatten(&flat)?;
    let pairs = point.parameters.iter().zip(gradients.arrays()).zip(objective.parameters());
    let weights = pairs.filter(|(_, p)| p.role == Role::Weight);
    let cosine = |((name, w), g): ((&str, &thalweg_array::Array), &thalweg_array::Array)| {
        let (w, g) = (w.to_f64_vec(), g.to_f64_vec());
        let lengths = vector::norm(&w) * vector::norm(&g);
        (name.to_owned(), if lengths > 0.0 { vector::dot(&w, &g) / lengths } else { 0.0 })
    };
    Ok(weights.map(|(pair, _)| cosine(pair)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::model;
    use super::super::{NapConfig, nap, projected_weights};
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::Loss;
    use thalweg_train::Optimizer;

    #[test]
    fn an_architecture_is_normalised() {
        let plain = "mlp hidden=8-8".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        let model = insert_norm(&plain, Normalization::Rms).unwrap();
        let names: Vec<&str> = model.parameters().iter().map(|p| p.name.as_str()).collect();
        let expected = ["fc1.weight", "norm1.weight", "fc2.weight", "norm2.weight", "fc3.weight"];
        assert_eq!(names, expected);
        assert_eq!(projected_weights(&model, false), ["fc1.weight", "fc2.weight"]);
        assert!(insert_norm(&plain, Normalization::Batch).is_err());
        assert!(insert_norm(&self::model(), Normalization::Layer).is_err());
        let base = || Optimizer::sgd().rule();
        assert!(nap(&plain, base(), &NapConfig { every: 0, ..NapConfig::default() }).is_err());
        let linear = "linear".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        assert!(nap(&linear, base(), &NapConfig::default()).is_err());
        let vit = "vit patch=4 depth=1 width=8 heads=2".parse::<Architecture>().unwrap();
        let vit = vit.build(&[8, 8, 1], 3).unwrap();
        let message = insert_norm(&vit, Normalization::Layer).unwrap_err().to_string();
        assert!(message.ends_with("can all be normalised, got vit"), "{message}");
    }

    #[test]
    fn no_kernel_of_a_normalised_residual_network_has_a_scale_that_matters() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let stream = Stream::new(4, "pictures");
        let pictures: Vec<f64> = (0..9 * 64).map(|i| stream.normal(i)).collect();
        let labels: Vec<i32> = (0..9).map(|i| i % 3).collect();
        let cosines = |model: &Model| {
            let inputs = vec![Array::from_slice(&[9, 8, 8, 1], &pictures).unwrap()];
            let (targets, loss) = (Array::vector(&labels), Loss::default());
            let config = ObjectiveConfig::default();
            let objective =
                ModelObjective::from_arrays(&ctx, model, loss, inputs, targets, true, &config);
            let point = thalweg_train::initialize(model, 1, DType::F64).unwrap();
            radial_gradients(&ctx, &objective.unwrap(), &point).unwrap()
        };
        for text in ["resnet depth=8 width=4 norm=none", "resnet depth=8 width=4 skip=false"] {
            let plain = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 3).unwrap();
            for norm in [Normalization::Layer, Normalization::Rms] {
                let model = insert_norm(&plain, norm).unwrap();
                let no_bias = |p: &thalweg_nn::Parameter| p.role != Role::Bias;
                assert!(model.buffers().is_empty() && model.parameters().iter().all(no_bias));
                let projected = projected_weights(&model, false);
                let found = cosines(&model);
                assert_eq!(found.len(), projected.len() + 1);
                for (name, cosine) in found {
                    // What is left is the normalisation's epsilon.
                    assert_eq!(cosine.abs() < 1e-4, name != "fc.weight", "{name}: {cosine}");
                    assert_eq!(projected.contains(&name), name != "fc.weight");
                }
            }
        }
    }
}
