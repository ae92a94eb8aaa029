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
/// `y = phi(norm(W x) + shortcut(x))`, so that no kernel's scale matters there either. So it is in a
/// transformer, at each position: what comes out of an attention or a perceptron is normalised before
/// it is added to the stream, the first layer of a perceptron before its activation, and queries and
/// keys, each head by itself, before the softmax of their products. Values go through linear maps to
/// the end of their attention, and are normalised there. Of a vision transformer the patches'
/// projection is normalised too. Normalisations that a block begins with stay.
///
/// # Errors
/// `Config` for a model without an architecture, as an imported one, for one that is none of `mlp`,
/// `convnet`, `resnet`, `vit` and `gpt`, and for a normalisation by the batch or none: the network is
/// to be free of each layer's scale example by example.
/// # Deviations from the paper    where normalisations are in transformers is our own reading of the
/// rule, and tables of tokens and positions are no layers
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
    let expected = "an mlp, convnet, resnet, vit or gpt, whose layers can all be normalised";
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
        Kind::Vit(vit) => {
            (vit.norm, vit.bias) = (norm, false);
            None
        }
        Kind::Gpt(gpt) => {
            (gpt.norm, gpt.bias) = (norm, false);
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
        let alternet = "alternet width=4".parse::<Architecture>().unwrap();
        let alternet = alternet.build(&[8, 8, 1], 3).unwrap();
        let message = insert_norm(&alternet, Normalization::Layer).unwrap_err().to_string();
        assert!(message.ends_with("can all be normalised, got alternet"), "{message}");
    }

    /// For each weight, drawn at random as every parameter is, the cosine of it and its gradient.
    fn cosines(model: &Model, inputs: Array, labels: Array) -> Vec<(String, f64)> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (loss, config) = (Loss::default(), ObjectiveConfig::default());
        let objective =
            ModelObjective::from_arrays(&ctx, model, loss, vec![inputs], labels, true, &config);
        let mut point = thalweg_train::initialize(model, 1, DType::F64).unwrap();
        let stream = Stream::new(1, "weights");
        let drawn: Vec<f64> =
            (0..model.parameter_count()).map(|i| stream.normal(i as u64)).collect();
        point.parameters = point.parameters.unflatten(&drawn).unwrap();
        radial_gradients(&ctx, &objective.unwrap(), &point).unwrap()
    }

    #[test]
    fn no_weight_of_a_normalised_network_has_a_scale_that_matters_but_its_output_layers() {
        let stream = Stream::new(4, "pictures");
        let pictures: Vec<f64> = (0..9 * 64).map(|i| stream.normal(i)).collect();
        let pictures = Array::from_slice(&[9, 8, 8, 1], &pictures).unwrap();
        let classes: Vec<i32> = (0..9).map(|i| i % 3).collect();
        let classes = Array::vector(&classes);
        let tokens: Vec<i32> = (0..20).map(|i| i * 7 % 5).collect();
        let tokens = Array::from_slice(&[4, 5], &tokens).unwrap();
        let next: Vec<i32> = (0..20).map(|i| i * 3 % 5).collect();
        let next = Array::from_slice(&[4, 5], &next).unwrap();
        for (text, output) in [
            ("resnet depth=8 width=4 norm=none", "fc.weight"),
            ("resnet depth=8 width=4 skip=false", "fc.weight"),
            ("vit patch=4 depth=2 width=8 heads=2", "head.weight"),
            ("vit patch=4 depth=1 width=8 heads=2 pool=mean", "head.weight"),
            ("gpt depth=2 width=8 heads=2 tied=false", "lm_head.weight"),
            // Its output layer is the table of tokens.
            ("gpt depth=1 width=8 heads=2", ""),
        ] {
            let (shape, outputs, inputs, labels) = match text.starts_with("gpt") {
                true => (vec![5], 5, &tokens, &next),
                false => (vec![8, 8, 1], 3, &pictures, &classes),
            };
            let plain = text.parse::<Architecture>().unwrap().build(&shape, outputs).unwrap();
            for norm in [Normalization::Layer, Normalization::Rms] {
                let model = insert_norm(&plain, norm).unwrap();
                let no_bias = |p: &thalweg_nn::Parameter| p.role != Role::Bias;
                assert!(model.buffers().is_empty() && model.parameters().iter().all(no_bias));
                let projected = projected_weights(&model, false);
                let found = cosines(&model, inputs.clone(), labels.clone());
                assert_eq!(found.len(), projected.len() + usize::from(!output.is_empty()));
                for (name, cosine) in found {
                    // What is left is the normalisation's epsilon.
                    assert_eq!(cosine.abs() < 1e-4, name != output, "{text}: {name}: {cosine}");
                    assert_eq!(projected.contains(&name), name != output, "{text}: {name}");
                }
            }
        }
    }
}
