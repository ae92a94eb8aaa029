//! How far a network's features and classifier are from collapse.

mod by_layer;
mod measures;

pub use by_layer::{CollapseTarget, LayerCollapse, neural_collapse_by_layer};
pub use measures::{frame_distance, simplex_frame, within_class_variability};

use crate::common::{
    Features, Objective, Sampling, blocks_alike, features, share_error, standard_error, vector,
};
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use measures::{Scatter, centred, combined, frame_slope, mean};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, Jackknife, pairwise_sum};

/// Blocks that are left out of a sample one by one.
const BLOCKS: usize = 16;

/// What [`neural_collapse`] found. All are zero at collapse.
#[derive(Clone, Debug, PartialEq)]
pub struct Collapse {
    /// NC1 to NC4.
    pub measures: [f64; 4],
    /// Their standard errors, where the examples are a sample.
    pub standard_errors: Option<[f64; 4]>,
    /// What each example contributed to each of them, to first order.
    pub examples: [Vec<f64>; 4],
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
/// On a sample of the data the means have errors: features lie nearer to them and they lie farther from
/// each other and from a simplex than those of all the data. What of this falls like one over the size of
/// the sample is taken out of NC1 to NC3 by the jackknife over 16 blocks alike, which may leave them below
/// zero where the data's are near it. Standard errors are those of the examples' contributions to first
/// order, of NC4 with the class means held, so that its share is a little off on average.
///
/// # Errors
/// A network without penultimate features, or with several vectors an example; examples without
/// classes, or a class without examples; of a sample a class of which there are several with one;
/// weights of another model; those of the engine.
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
    let whole = of_features(&found, &labels)?;
    let Sampling::Strata(strata) = objective.sampling() else { return Ok(whole) };
    let alone = |(places, size): &&(Vec<usize>, usize)| places.len() == 1 && *size > 1;
    if let Some((places, size)) = strata.iter().find(alone) {
        let what = format!("examples of class {} in a sample of {size}", labels[places[0]]);
        return Err(MethodError::mismatch(what, "at least 2", 1));
    }
    let blocks = blocks_alike(strata, &ctx.stream("neural collapse/blocks"), BLOCKS);
    let without = |block: &Vec<usize>| -> Result<[f64; 3], MethodError> {
        let mut kept = vec![true; labels.len()];
        block.iter().for_each(|&place| kept[place] = false);
        let places = || (0..labels.len()).filter(|&place| kept[place]);
        let rows: Vec<&[f64]> = places().map(|place| found.rows[place].as_slice()).collect();
        let labels: Vec<usize> = places().map(|place| labels[place]).collect();
        Geometry::new(&rows, &labels, &found.weight)?.measures()
    };
    let without: Vec<[f64; 3]> = blocks.iter().map(without).collect::<Result<_, _>>()?;
    let n = labels.len();
    let unseen = 1.0 - n as f64 / objective.sampling().population(n) as f64;
    let mut measures = whole.measures;
    for (which, measure) in measures.iter_mut().take(3).enumerate() {
        let without = without.iter().map(|of| of[which]).collect();
        *measure -= unseen * Jackknife::new(*measure, without).bias();
    }
    let [scatter, simplex, duality, disagreement] = &whole.examples;
    let [scatter, simplex, duality] =
        [scatter, simplex, duality].map(|terms| standard_error(terms, strata));
    let standard_errors = Some([scatter, simplex, duality, share_error(disagreement, strata)]);
    Ok(Collapse { measures, standard_errors, ..whole })
}

/// Features by class, and a classifier.
struct Geometry<'a> {
    scatter: Scatter,
    weight: &'a [Vec<f64>],
    /// Class means less their mean.
    apart: Vec<Vec<f64>>,
}

impl<'a> Geometry<'a> {
    fn new<F: AsRef<[f64]>>(
        rows: &[F],
        labels: &[usize],
        weight: &'a [Vec<f64>],
    ) -> Result<Geometry<'a>, MethodError> {
        let scatter = Scatter::new(rows, labels, weight.len())?;
        let apart = centred(&scatter.means, &mean(&scatter.means));
        Ok(Geometry { scatter, weight, apart })
    }

    /// The products of rows with the class means.
    fn products(&self, left: &[Vec<f64>]) -> Vec<Vec<f64>> {
        left.iter().map(|a| self.apart.iter().map(|b| vector::dot(a, b)).collect()).collect()
    }

    /// NC1 to NC3.
    fn measures(&self) -> Result<[f64; 3], MethodError> {
        let simplex = simplex_frame(self.weight.len());
        Ok([
            self.scatter.value(),
            frame_distance(&self.products(&self.apart), &simplex)?,
            frame_distance(&self.products(self.weight), &simplex)?,
        ])
    }

    /// What each example contributed to NC2 and NC3: the class means move by its distance from its own
    /// over the share of its class. Rows of the slopes by products with means that are centred sum to
    /// zero, so that how the mean of the means moves does not matter.
    fn frame_terms(
        &self,
        rows: &[Vec<f64>],
        labels: &[usize],
        [simplex, duality]: [f64; 2],
    ) -> Result<[Vec<f64>; 2], MethodError> {
        let frame = simplex_frame(self.weight.len());
        let of_simplex = frame_slope(&self.products(&self.apart), &frame)?;
        let of_duality = frame_slope(&self.products(self.weight), &frame)?;
        // By the mean of a class, which is on both sides of the first products.
        let by_means: Vec<Vec<f64>> = of_simplex
            .iter()
            .map(|slopes| {
                combined(&slopes.iter().map(|s| 2.0 * s).collect::<Vec<_>>(), &self.apart)
            })
            .collect();
        let column = |class: usize| of_duality.iter().map(|row| row[class]).collect::<Vec<_>>();
        let by_weight: Vec<Vec<f64>> =
            (0..self.weight.len()).map(|class| combined(&column(class), self.weight)).collect();
        let terms = |value: f64, slopes: &[Vec<f64>]| -> Vec<f64> {
            let term = |(row, &label): (&Vec<f64>, &usize)| {
                let share = self.scatter.counts[label] as f64 / rows.len() as f64;
                let (slope, mean) = (&slopes[label], &self.scatter.means[label]);
                value + (vector::dot(row, slope) - vector::dot(mean, slope)) / share
            };
            rows.iter().zip(labels).map(term).collect()
        };
        Ok([terms(simplex, &by_means), terms(duality, &by_weight)])
    }
}

/// The measures of the features themselves, and what each contributed.
fn of_features(found: &Features, labels: &[usize]) -> Result<Collapse, MethodError> {
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
    let geometry = Geometry::new(&found.rows, labels, &found.weight)?;
    let nearest = |feature: &Vec<f64>| {
        let distance = |mean: &Vec<f64>| -> f64 {
            mean.iter().zip(feature).map(|(a, b)| (a - b).powi(2)).sum()
        };
        first_largest(geometry.scatter.means.iter().map(|mean| -distance(mean)))
    };
    let decisions = found.rows.iter().zip(&found.outputs);
    let disagreement: Vec<f64> = decisions
        .map(|(feature, outputs)| {
            let same = nearest(feature) == first_largest(outputs.iter().copied());
            f64::from(u8::from(!same))
        })
        .collect();
    let [variability, simplex, duality] = geometry.measures()?;
    let share = pairwise_sum(&disagreement) / disagreement.len().max(1) as f64;
    let scatter = geometry.scatter.terms(&found.rows, labels);
    let [of_simplex, of_duality] = geometry.frame_terms(&found.rows, labels, [simplex, duality])?;
    Ok(Collapse {
        measures: [variability, simplex, duality, share],
        standard_errors: None,
        examples: [scatter, of_simplex, of_duality, disagreement],
    })
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
        let names = [
            "NC1 within-class scatter",
            "NC2 distance from simplex",
            "NC3 distance from duality",
            "NC4 disagreement",
        ];
        let quantity = |(which, name): (usize, &str)| {
            let (value, terms) = (reading.measures[which], &reading.examples[which]);
            let quantity = match reading.standard_errors {
                None => Quantity::exact(name, value),
                Some(errors) => {
                    let (standard_error, samples) = (errors[which], terms.len());
                    Quantity::estimated(name, Estimate { value, standard_error, samples })
                }
            };
            quantity.with_terms(Over::Examples, terms)
        };
        names.into_iter().enumerate().map(quantity).collect()
    }

    fn refused() -> Vec<()> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
