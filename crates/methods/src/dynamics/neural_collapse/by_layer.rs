//! How far every layer of a network is from collapse.

use super::measures::{centred, class_means, mean};
use super::{frame_distance, simplex_frame, within_class_variability};
use crate::common::{Dissection, Objective, inside, vector};
use crate::{Context, MethodError};
use thalweg_nn::Weights;

/// Where class means are to come to.
#[derive(Clone, Debug, PartialEq)]
pub enum CollapseTarget {
    /// The corners of a simplex around their mean: equal classes, and a bias or the cross-entropy.
    Simplex,
    /// Orthogonal and of one length: equal classes under the squared error without a bias.
    Orthogonal,
    /// Orthogonal with these squared lengths, as [`crate::dynamics::deep_linear_collapse()`] predicts.
    Lengths(Vec<f64>),
    /// Anything else, by its Gram matrix.
    Gram(Vec<Vec<f64>>),
}

impl CollapseTarget {
    /// The Gram matrix of the class means, up to a factor.
    fn gram(&self, classes: usize) -> Vec<Vec<f64>> {
        let diagonal = |length: &dyn Fn(usize) -> f64| -> Vec<Vec<f64>> {
            let entry = |i: usize, j: usize| if i == j { length(i) } else { 0.0 };
            (0..classes).map(|i| (0..classes).map(|j| entry(i, j)).collect()).collect()
        };
        match self {
            CollapseTarget::Simplex => simplex_frame(classes),
            CollapseTarget::Orthogonal => diagonal(&|_| 1.0),
            CollapseTarget::Lengths(squares) => {
                diagonal(&|i| squares.get(i).copied().unwrap_or(f64::NAN))
            }
            CollapseTarget::Gram(gram) => gram.clone(),
        }
    }

    /// The distance of class means from the target, each Gram matrix over its norm; those of a simplex
    /// are taken from their mean.
    ///
    /// # Errors
    /// A target of another number of classes, or one that is zero; means that are all zero.
    pub fn distance(&self, means: &[Vec<f64>]) -> Result<f64, MethodError> {
        if let CollapseTarget::Lengths(squares) = self
            && squares.len() != means.len()
        {
            let expected = format!("{}, one a class", means.len());
            return Err(MethodError::mismatch("lengths of a target", expected, squares.len()));
        }
        let means = match self {
            CollapseTarget::Simplex => centred(means, &mean(means)),
            _ => means.to_vec(),
        };
        let row = |a: &Vec<f64>| means.iter().map(|b| vector::dot(a, b)).collect();
        let gram: Vec<Vec<f64>> = means.iter().map(row).collect();
        frame_distance(&gram, &self.gram(means.len()))
    }
}

/// What [`neural_collapse_by_layer`] found of one layer. Both are zero at collapse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerCollapse {
    /// How many numbers of an example the layer reads.
    pub width: usize,
    /// NC1: see [`within_class_variability`].
    pub variability: f64,
    /// NC2: the distance of the class means from the target.
    pub from_target: f64,
}

/// NC1 and NC2 of what every layer of a network reads, from the input on, and of what it gives in the end: where
/// collapse begins, and in deep linear ends how it goes on through them.
///
/// # Errors
/// An objective that is not the loss of a network's outputs; examples without classes, or a class without
/// examples; a target of another number of classes; more features than the memory holds; weights of another
/// model; those of the engine.
/// # Source    Dang et al., Neural collapse in deep linear networks, 2023, arXiv 2301.00437; Papyan, Han,
/// Donoho, Prevalence of neural collapse, 2020, arXiv 2008.08186
pub fn neural_collapse_by_layer(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    target: &CollapseTarget,
) -> Result<Vec<LayerCollapse>, MethodError> {
    let Some(labels) = objective.labels() else {
        let expected = "examples with a class each";
        return Err(MethodError::mismatch("neural collapse", expected, "none"));
    };
    let labels: Vec<usize> =
        labels.iter().map(|&label| usize::try_from(label).unwrap_or(usize::MAX)).collect();
    let classes = labels.iter().max().map_or(0, |label| label.saturating_add(1));
    let n = objective.examples();
    if classes > n {
        let expected = format!("{classes} at least, one of each class");
        return Err(MethodError::mismatch("examples of neural collapse", expected, n));
    }
    let mut layers: Vec<Vec<Vec<f64>>> = Vec::new();
    inside(
        ctx,
        objective,
        point,
        |declared| Ok(Dissection::new(objective, declared)?.layer_inputs(declared)),
        |size, arrays| {
            let numbers = arrays.iter().map(|array| array.len() / size.max(1)).sum::<usize>();
            let needed = numbers.saturating_mul(n).saturating_mul(size_of::<f64>());
            if needed > ctx.memory() {
                let what = format!("what every layer reads of {n} examples");
                return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
            }
            layers.resize(arrays.len(), Vec::new());
            for (layer, array) in layers.iter_mut().zip(arrays) {
                let width = array.shape().last().copied().unwrap_or(1).max(1);
                layer.extend(array.to_f64_vec().chunks(width).map(<[f64]>::to_vec));
            }
            Ok(())
        },
    )?;
    let collapse = |features: &Vec<Vec<f64>>| -> Result<LayerCollapse, MethodError> {
        let (means, _) = class_means(features, &labels, classes)?;
        Ok(LayerCollapse {
            width: features.first().map_or(0, Vec::len),
            variability: within_class_variability(features, &labels, classes)?,
            from_target: target.distance(&means)?,
        })
    };
    layers.iter().map(collapse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::{CollapseConfig, deep_linear_collapse, free_features};
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::Array;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss, Model};

    fn by_layer(
        model: &Model,
        point: &Weights,
        inputs: &[f64],
        labels: &[i32],
        target: &CollapseTarget,
    ) -> Result<Vec<LayerCollapse>, MethodError> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64)?;
        let n = labels.len();
        let inputs = vec![Array::from_slice(&[n, inputs.len() / n], inputs)?];
        let (labels, loss) = (Array::vector(labels), Loss::HalfSquaredError);
        let config = ObjectiveConfig { batch: 4, ..ObjectiveConfig::default() };
        let objective =
            ModelObjective::from_arrays(&ctx, model, loss, inputs, labels, true, &config)?;
        neural_collapse_by_layer(&ctx, &objective, point, target)
    }

    #[test]
    fn every_layer_of_the_closed_form_has_its_lengths() {
        // Three and one examples, two matrices, each class along an axis.
        let config = CollapseConfig { depth: 2, decay_weights: 5e-3, decay_features: 5e-3 };
        let classes = deep_linear_collapse(&[3, 1], &config).unwrap();
        let model = free_features(4, 2, 2, 2, false).unwrap();
        let feature =
            |class: usize, axis: usize| if class == axis { classes[class].feature } else { 0.0 };
        let strength = |i: usize| if i.is_multiple_of(3) { classes[i / 3].strength } else { 0.0 };
        let mut flat: Vec<f64> = (0..8).map(|i| feature(usize::from(i / 2 == 3), i % 2)).collect();
        flat.extend((0..4).map(strength));
        flat.extend((0..4).map(strength));
        let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        point.parameters = point.parameters.unflatten(&flat).unwrap();
        let units: Vec<f64> = (0..16).map(|i| f64::from(u8::from(i % 5 == 0))).collect();
        let of = |power: i32| -> Vec<f64> {
            let square = |class: &crate::dynamics::ClassCollapse| {
                class.feature_gram() * class.strength.powi(2 * power)
            };
            classes.iter().map(square).collect()
        };
        // Features, after one matrix, after both.
        for (layer, power) in [(1, 0), (2, 1), (3, 2)] {
            let seen = |target: &CollapseTarget| {
                by_layer(&model, &point, &units, &[0, 0, 0, 1], target).unwrap()
            };
            let found = seen(&CollapseTarget::Lengths(of(power)));
            assert_eq!(found.len(), 4);
            assert_eq!((found[0].width, found[layer].width), (4, 2));
            assert!(found[layer].variability < 1e-12 && found[layer].from_target < 1e-12);
            // The lengths are not equal, and two orthogonal vectors are no simplex around zero.
            assert!(seen(&CollapseTarget::Orthogonal)[layer].from_target > 1e-3);
        }
        let other = CollapseTarget::Lengths(vec![1.0; 3]);
        assert!(by_layer(&model, &point, &units, &[0, 0, 0, 1], &other).is_err());
    }

    #[test]
    fn targets_are_at_no_distance_from_themselves() {
        let corners: Vec<Vec<f64>> = simplex_frame(4)
            .iter()
            .map(|row| row.iter().map(|x| 2.0 * x + 7.0).collect())
            .collect();
        assert!(CollapseTarget::Simplex.distance(&corners).unwrap() < 1e-12);
        assert!(CollapseTarget::Orthogonal.distance(&corners).unwrap() > 0.1);
        let axes = [vec![3.0, 0.0], vec![0.0, 3.0]];
        assert!(CollapseTarget::Orthogonal.distance(&axes).unwrap() < 1e-12);
        assert!(CollapseTarget::Lengths(vec![2.0, 2.0]).distance(&axes).unwrap() < 1e-12);
        let gram = CollapseTarget::Gram(vec![vec![1.0, 0.0], vec![0.0, 4.0]]);
        assert!(gram.distance(&[vec![1.0, 0.0], vec![0.0, 2.0]]).unwrap() < 1e-12);
        assert!(gram.distance(&[vec![1.0], vec![0.0], vec![0.0]]).is_err());
        assert!(CollapseTarget::Orthogonal.distance(&[vec![0.0], vec![0.0]]).is_err());
    }

    #[test]
    fn the_layers_of_a_network_are_found() {
        let model = "mlp hidden=5-4".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        let inputs: Vec<f64> = (0..18).map(|i| (f64::from(i) * 0.7).sin()).collect();
        let labels = [0, 1, 0, 1, 0, 1];
        let found = by_layer(&model, &point, &inputs, &labels, &CollapseTarget::Simplex).unwrap();
        assert_eq!(found.iter().map(|layer| layer.width).collect::<Vec<_>>(), [3, 5, 4, 2]);
        assert!(found.iter().all(|layer| layer.variability > 0.0));
        let missing = [0, 2, 0, 2, 0, 2];
        assert!(by_layer(&model, &point, &inputs, &missing, &CollapseTarget::Simplex).is_err());
    }
}
