//! How far a network's features and classifier are from collapse.

mod by_layer;
mod measures;

pub use by_layer::{CollapseTarget, LayerCollapse, neural_collapse_by_layer};
pub use measures::{class_scatter, frame_distance, simplex_frame, within_class_variability};

use crate::common::{Features, Objective, Sampling, features, standard_error, vector};
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use measures::{centred, class_means, mean};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// What [`neural_collapse`] found. All are zero at collapse.
#[derive(Clone, Debug, PartialEq)]
pub struct Collapse {
    /// NC1: how each feature scatters around the mean of its class, in units of how the means do; NC1
    /// is the mean.
    pub scatter: Vec<f64>,
    /// NC2: the distance of the class means from a simplex.
    pub from_simplex: f64,
    /// NC3: the distance of the classifier from the class means.
    pub from_duality: f64,
    /// NC4: 1 where the network decides otherwise than the nearest class mean.
    pub disagreement: Vec<f64>,
    /// Standard errors of NC1 and NC4 where the examples are a sample.
    pub standard_errors: Option<[f64; 2]>,
}

/// How far a classifier and its penultimate features are from neural collapse.
///
/// With the features `h_i` that the last weight `W` is multiplied with, the means `m_k` of `K` classes
/// and the mean `m` of the `m_k`, `M = [m_k - m]`:
///
/// - NC1 `= tr(S_w S_b^+) / K`: see [`within_class_variability`];
/// - NC2 `= || M^T M / |M^T M| - E / |E| ||` with the Gram matrix `E = I - 1 1^T / K` of a simplex;
/// - NC3 `= || W M / |W M| - E / |E| ||`: the classifier is the simplex's own;
/// - NC4: the share of examples that the network classifies otherwise than the nearest class mean.
///
/// Of NC1 and NC4 each example contributes a term; their standard errors hold the class means.
///
/// # Errors
/// A network without penultimate features, or with several vectors an example; examples without
/// classes, or a class without examples; weights of another model; those of the engine.
/// # Source    Papyan, Han, Donoho, Prevalence of neural collapse during the terminal phase of deep
/// learning training, 2020, arXiv 2008.08186; NC2 and NC3 as Zhu et al. 2021, arXiv 2105.02375,
/// equations 15 and 16
pub fn neural_collapse(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Collapse, MethodError> {
    let Some(labels) = objective.labels() else {
        let expected = "examples with a class each";
        return Err(MethodError::mismatch("neural collapse", expected, "none"));
    };
    let found = features(ctx, objective, point)?;
    let labels: Vec<usize> =
        labels.iter().map(|&label| usize::try_from(label).unwrap_or(usize::MAX)).collect();
    let (scatter, from_simplex, from_duality, disagreement) = of_features(&found, &labels)?;
    let standard_errors = match objective.sampling() {
        Sampling::All => None,
        Sampling::Strata(strata) => {
            Some([&scatter, &disagreement].map(|terms| standard_error(terms, strata)))
        }
    };
    Ok(Collapse { scatter, from_simplex, from_duality, disagreement, standard_errors })
}

type Measures = (Vec<f64>, f64, f64, Vec<f64>);

fn of_features(found: &Features, labels: &[usize]) -> Result<Measures, MethodError> {
    let classes = found.weight.len();
    if found.positions != 1 || found.rows.len() != found.outputs.len() {
        let expected = "one vector of features an example";
        return Err(MethodError::mismatch("neural collapse", expected, found.positions));
    }
    let units = found.outputs.first().map_or(0, Vec::len);
    if classes < 2 || units != classes {
        let expected = "a last weight with a unit for each of at least 2 classes";
        return Err(MethodError::mismatch("neural collapse", expected, classes));
    }
    let (means, _) = class_means(&found.rows, labels, classes)?;
    let apart = centred(&means, &mean(&means));
    let products = |left: &[Vec<f64>]| -> Vec<Vec<f64>> {
        left.iter().map(|a| apart.iter().map(|b| vector::dot(a, b)).collect()).collect()
    };
    let simplex = simplex_frame(classes);
    let nearest = |feature: &Vec<f64>| {
        let distance = |mean: &Vec<f64>| -> f64 {
            mean.iter().zip(feature).map(|(a, b)| (a - b).powi(2)).sum()
        };
        first_largest(means.iter().map(|mean| -distance(mean)))
    };
    let decisions = found.rows.iter().zip(&found.outputs);
    let disagreement = decisions.map(|(feature, outputs)| {
        let same = nearest(feature) == first_largest(outputs.iter().copied());
        f64::from(u8::from(!same))
    });
    Ok((
        class_scatter(&found.rows, labels, classes)?,
        frame_distance(&products(&apart), &simplex)?,
        frame_distance(&products(&found.weight), &simplex)?,
        disagreement.collect(),
    ))
}

fn first_largest(values: impl Iterator<Item = f64>) -> usize {
    let better = |best: (usize, f64), (i, value): (usize, f64)| match value > best.1 {
        true => (i, value),
        false => best,
    };
    values.enumerate().fold((0, f64::NEG_INFINITY), better).0
}

/// [`neural_collapse`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct NeuralCollapse;

impl Instrument for NeuralCollapse {
    const ID: &'static str = "neural_collapse";
    const SUMMARY: &'static str = "NC1 to NC4 of the penultimate features: how far they are from a simplex with its classifier";
    const SOURCE: &'static str =
        "Papyan et al. 2020, arXiv 2008.08186; Zhu et al. 2021, arXiv 2105.02375";
    const INVARIANCES: &'static [Invariance] = &[
        Invariance::Permutation,
        Invariance::LayerRescaling,
        Invariance::NormalizedFilters,
        Invariance::Rotation,
        Invariance::LinearCoordinates,
        Invariance::LossScale,
    ];
    type Config = ();
    type Reading = Collapse;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        (): &(),
    ) -> Result<Collapse, MethodError> {
        neural_collapse(ctx, objective, point)
    }

    fn cost((): &(), _: &Size) -> Cost {
        Cost::exactly(1, 0, 0)
    }

    fn quantities(reading: &Collapse) -> Vec<Quantity> {
        let mean = |name: &str, terms: &[f64], which: usize| {
            let samples = terms.len();
            let value = pairwise_sum(terms) / samples.max(1) as f64;
            let quantity = match reading.standard_errors {
                None => Quantity::exact(name, value),
                Some(errors) => {
                    let standard_error = errors[which];
                    Quantity::estimated(name, Estimate { value, standard_error, samples })
                }
            };
            quantity.with_terms(Over::Examples, terms)
        };
        vec![
            mean("NC1 within-class scatter", &reading.scatter, 0),
            Quantity::exact("NC2 distance from simplex", reading.from_simplex),
            Quantity::exact("NC3 distance from duality", reading.from_duality),
            mean("NC4 disagreement", &reading.disagreement, 1),
        ]
    }

    fn refused() -> Vec<()> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::Array;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss};

    /// Inputs at the corners of a simplex, moved by an offset, and a linear classifier.
    fn measured(offset: f64, noise: f64, weight: impl Fn(usize, usize) -> f64) -> Collapse {
        let classes = 4;
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[classes], classes).unwrap();
        let labels: Vec<i32> = (0..12).map(|i| i % 4).collect();
        let simplex = simplex_frame(classes);
        let inputs: Vec<f64> = labels
            .iter()
            .enumerate()
            .flat_map(|(i, &label)| {
                // Both signs of a class sum to nothing, so that its mean stays.
                let sign = [1.0, -1.0, 0.0][i / 4];
                let corner = simplex[label as usize].clone();
                corner.into_iter().map(move |x| 3.0 * x + offset + noise * sign)
            })
            .collect();
        let inputs = vec![Array::from_slice(&[12, classes], &inputs).unwrap()];
        let (labels, config) = (Array::vector(&labels), ObjectiveConfig::default());
        let objective = ModelObjective::from_arrays(
            &ctx,
            &model,
            Loss::default(),
            inputs,
            labels,
            true,
            &config,
        )
        .unwrap();
        let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        let mut flat: Vec<f64> = (0..16).map(|i| weight(i / 4, i % 4)).collect();
        flat.extend([0.0; 4]);
        point.parameters = point.parameters.unflatten(&flat).unwrap();
        neural_collapse(&ctx, &objective, &point).unwrap()
    }

    #[test]
    fn all_measures_are_zero_on_a_simplex_with_its_own_classifier() {
        let own = |i: usize, k: usize| simplex_frame(4)[i][k];
        for offset in [0.0, 5.0] {
            let found = measured(offset, 0.0, own);
            let all = NeuralCollapse::quantities(&found);
            assert_eq!(all.len(), 4);
            for quantity in all {
                assert!(quantity.value.number().abs() < 1e-12, "{quantity:?}");
            }
        }
    }

    #[test]
    fn what_is_off_is_what_is_measured() {
        let own = |i: usize, k: usize| simplex_frame(4)[i][k];
        // Along (1, 1, 1, 1) class means do not differ.
        let along_nothing = measured(0.0, 0.1, own);
        assert!(pairwise_sum(&along_nothing.scatter) < 1e-12);
        // The classifier of other classes: the first two exchanged.
        let exchanged = measured(0.0, 0.0, |i, k| own(i, [1, 0, 2, 3][k]));
        assert!(exchanged.from_simplex < 1e-12 && exchanged.from_duality > 0.5);
        assert_eq!(pairwise_sum(&exchanged.disagreement), 6.0);
    }
}
