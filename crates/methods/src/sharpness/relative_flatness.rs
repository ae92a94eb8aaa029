//! Relative flatness.

use crate::common::{
    LinearOperator, Objective, SampleTerms, check_point, sampled_strata, signs, vector,
};
use crate::curvature::{Curvature, CurvatureMatrix, ExampleGroup, Forms, ParameterBlock, Scope};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Over, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_nn::{Axis, Parameter, Weights};
use thalweg_stats::Estimate;

/// Probes in a unit of work, and those by which examples of a sample are told apart, at most.
const BLOCK: usize = 8;

/// Of which layer, and how many probes.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeFlatnessConfig {
    /// The name of a weight matrix; `None`: the last one, of which the paper's theory is.
    pub layer: Option<String>,
    /// Number of random matrices; at least two, for a standard error.
    pub probes: usize,
}

impl Default for RelativeFlatnessConfig {
    fn default() -> RelativeFlatnessConfig {
        RelativeFlatnessConfig { layer: None, probes: 32 }
    }
}

/// What [`relative_flatness`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Flatness {
    /// The layer.
    pub layer: String,
    /// The measure, with its standard error over the probes. Small is flat.
    pub measure: Estimate,
    /// What each probe gave.
    pub forms: Vec<f64>,
    /// What each example contributed by probe, where the examples are a sample.
    pub sample: Option<SampleTerms>,
}

/// How curved the loss is in a layer, held against the layer's own weights.
///
/// `kappa = sum over s, t of <w_s, w_t> tr(H_st)` with the rows `w_s` of a weight matrix `W`, one
/// for each output unit, and `H_st` the second derivatives by `w_s` and `w_t`: definition 3. The
/// layer times `a` and its inputs by `a` leave it as it is.
///
/// As a trace: `kappa = tr(H (R R^T x I)) = E[<R U, H (R U)>]` with `R R^T = W W^T` over matrices `U`
/// of random signs, `[., input]`: `R` is `W` itself, or Cholesky's of fewer columns where there are
/// fewer outputs than inputs. The standard error is that over them; what the choice of a sample leaves
/// open the second derivatives of its examples' losses along some of them say.
///
/// # Errors
/// Fewer than two probes; a model without such a weight matrix; weights of another model; a product
/// that is not finite; those of the engine.
/// # Source    Petzka, Kamp, Adilova, Sminchisescu, Boley, Relative flatness and generalization,
/// 2021, arXiv 2001.00939
pub fn relative_flatness(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &RelativeFlatnessConfig,
) -> Result<Flatness, MethodError> {
    check(config)?;
    let layer = layer(objective, config.layer.as_deref())?;
    let Some(array) = point.parameters.get(&layer.name).filter(|a| a.shape() == layer.shape) else {
        let expected = format!("{} {:?}", layer.name, layer.shape);
        return Err(MethodError::mismatch("the point", expected, "none of that shape"));
    };
    let [rows, columns] = layer.shape[..] else {
        return Err(MethodError::mismatch(&layer.name, "two axes", layer.shape.len()));
    };
    let weights = array.to_f64_vec();
    let scope = Scope {
        parameters: ParameterBlock::Named(vec![layer.name.clone()]),
        examples: ExampleGroup::All,
    };
    let hessian = Curvature::new(ctx, objective, point, CurvatureMatrix::Hessian, &scope)?;
    // Whether output units are columns: then all is transposed.
    let outputs_last = layer.axes.last() == Some(&Axis::Output);
    let (inputs, outputs) = if outputs_last { (rows, columns) } else { (columns, rows) };
    let weight = |output: usize, input: usize| match outputs_last {
        true => weights[input * columns + output],
        false => weights[output * columns + input],
    };
    let root = root(outputs, inputs, weight);
    let width = inputs.min(outputs);
    let stream = ctx.stream("relative flatness");
    let probe = |probe: usize| {
        let u = signs(&stream.at(probe as u64), width * inputs);
        let mut product = vec![0.0; weights.len()];
        for (output, of) in root.iter().enumerate() {
            for (factor, u) in of.iter().zip(u.chunks(inputs.max(1))) {
                for (input, sign) in u.iter().enumerate() {
                    let place = match outputs_last {
                        true => input * columns + output,
                        false => output * columns + input,
                    };
                    product[place] += factor * sign;
                }
            }
        }
        product
    };
    ctx.progress().start("relative flatness", config.probes as u64);
    let mut forms = Vec::with_capacity(config.probes);
    for first in (0..config.probes).step_by(BLOCK) {
        let last = (first + BLOCK).min(config.probes);
        let key = format!("flatness/{first}-{last}");
        let arrays = ctx.unit(&key, || {
            let vectors: Vec<Vec<f64>> = (first..last).map(probe).collect();
            let products = hessian.apply(&vectors)?;
            let forms: Vec<f64> =
                vectors.iter().zip(&products).map(|(v, hv)| vector::dot(v, hv)).collect();
            Ok(vec![("forms".into(), Array::vector(&forms))])
        })?;
        forms.extend_from_slice(stored(&key, &arrays, "forms", last - first)?);
        ctx.progress().advance((last - first) as u64);
    }
    if let Some(value) = forms.iter().find(|form| !form.is_finite()) {
        let what = format!("a product with the Hessian of {}", layer.name);
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    let sample = match sampled_strata(objective) {
        None => None,
        Some(strata) => {
            let point = check_point(objective, "the point", point)?;
            let mut of_examples = Forms::new(ctx, objective, &point);
            let some = 0..config.probes.min(BLOCK);
            let draws = some.map(|i| of_examples.along(i, &hessian.embedded(&probe(i))));
            Some(SampleTerms::new(draws.collect::<Result<_, _>>()?, strata))
        }
    };
    let (layer, measure) = (layer.name.clone(), Estimate::mean(&forms)?);
    Ok(Flatness { layer, measure, forms, sample })
}

/// Rows, one for each output, whose products with each other are those of the rows of a weight matrix:
/// its own, or, of as many columns as outputs, those of the lower triangle `L L^T = W W^T`.
fn root(outputs: usize, inputs: usize, weight: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> =
        (0..outputs).map(|s| (0..inputs).map(|k| weight(s, k)).collect()).collect();
    if inputs <= outputs {
        return rows;
    }
    let mut root: Vec<Vec<f64>> = Vec::with_capacity(outputs);
    for (s, row) in rows.iter().enumerate() {
        let mut of = vec![0.0; outputs];
        for (t, other) in root.iter().enumerate() {
            // A row that depends on those before has nothing of its own.
            if other[t] > 0.0 {
                of[t] = (vector::dot(row, &rows[t]) - vector::dot(&of, other)) / other[t];
            }
        }
        let square = vector::dot(row, row);
        let own = square - vector::dot(&of, &of);
        of[s] = if own > 1e-12 * square { own.sqrt() } else { 0.0 };
        root.push(of);
    }
    root
}

fn check(config: &RelativeFlatnessConfig) -> Result<(), MethodError> {
    match config.probes < 2 {
        true => Err(MethodError::config("number of probes", "at least 2", config.probes)),
        false => Ok(()),
    }
}

fn layer<'a>(
    objective: &'a dyn Objective,
    named: Option<&str>,
) -> Result<&'a Parameter, MethodError> {
    let of_two = |p: &&Parameter| {
        let axes = [&p.axes[..], &[]].concat();
        p.shape.len() == 2 && axes.contains(&Axis::Output) && axes.contains(&Axis::Input)
    };
    let mut found = objective.parameters().iter().filter(of_two);
    let found = match named {
        Some(name) => found.find(|p| p.name == name),
        None => found.next_back(),
    };
    found.ok_or_else(|| {
        let expected = "a weight matrix of inputs and outputs";
        MethodError::mismatch("the layer", expected, named.unwrap_or("a model without one"))
    })
}

/// [`relative_flatness`] as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct RelativeFlatness;

impl Instrument for RelativeFlatness {
    const ID: &'static str = "relative_flatness";
    const SUMMARY: &'static str =
        "trace of the last layer's Hessian, held against the layer's own weights";
    const SOURCE: &'static str = "Petzka et al. 2021, arXiv 2001.00939";
    const INVARIANCES: &'static [Invariance] =
        &[Invariance::Permutation, Invariance::LayerRescaling, Invariance::NormalizedFilters];
    type Config = RelativeFlatnessConfig;
    type Reading = Flatness;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &RelativeFlatnessConfig,
    ) -> Result<Flatness, MethodError> {
        relative_flatness(ctx, objective, point, config)
    }

    fn cost(config: &RelativeFlatnessConfig, size: &Size) -> Cost {
        let derivatives = if size.sampled { config.probes.min(BLOCK) } else { 0 };
        Cost::exactly(0, 0, config.probes).with_second_derivatives(derivatives)
    }

    fn quantities(reading: &Flatness) -> Vec<Quantity> {
        let measure = Quantity::estimated("relative flatness", reading.measure);
        let measure = measure.with_terms(Over::Draws, &reading.forms);
        vec![measure.with_sample(reading.sample.as_ref())]
    }

    fn refused() -> Vec<RelativeFlatnessConfig> {
        [0, 1].map(|probes| RelativeFlatnessConfig { layer: None, probes }).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_the_products_of_the_rows() {
        // The third row is the sum of the first two, and the fourth is zero.
        let wide = [
            [1.0, 2.0, 0.0, -1.0, 0.5],
            [0.0, 1.0, 1.0, 3.0, 0.0],
            [1.0, 3.0, 1.0, 2.0, 0.5],
            [0.0; 5],
        ];
        let found = root(4, 5, |s, k| wide[s][k]);
        assert!(found.iter().all(|row| row.len() == 4));
        for s in 0..4 {
            for t in 0..4 {
                let expected = vector::dot(&wide[s], &wide[t]);
                assert!((vector::dot(&found[s], &found[t]) - expected).abs() < 1e-12, "{s} {t}");
            }
        }
        let tall = root(5, 4, |s, k| wide[k][s]);
        assert_eq!(tall[1], [2.0, 1.0, 3.0, 0.0]);
    }
}
