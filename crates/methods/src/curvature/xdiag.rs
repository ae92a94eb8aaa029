//! The diagonal by XDiag.

use super::OfMatrix;
use super::sketch::{Sketch, combined, exchangeable_variance};
use crate::common::{LinearOperator, Objective, signs, vector};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// How many products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XDiagConfig {
    /// Products, two for each probe; at least 4.
    pub products: usize,
}

impl Default for XDiagConfig {
    fn default() -> XDiagConfig {
        XDiagConfig { products: 32 }
    }
}

/// A diagonal with what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagonal {
    /// The diagonal.
    pub values: Vec<f64>,
    /// Standard error of each element over the probes.
    pub standard_errors: Vec<f64>,
    /// The largest and the smallest element. The extreme ones of many with errors are too extreme: each
    /// half of the probes says where it is, and the other half how large.
    pub extremes: [Estimate; 2],
    /// How many probes.
    pub samples: usize,
    /// Products that it took.
    pub products: usize,
}

/// Where a diagonal is largest, and where it is smallest.
fn extreme_places(values: &[f64]) -> [usize; 2] {
    let by_value = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
    let places = || 0..values.len();
    [places().max_by(by_value), places().min_by(by_value)].map(Option::unwrap_or_default)
}

/// The extremes of a diagonal that is known exactly.
fn exact_extremes(values: &[f64], samples: usize) -> [Estimate; 2] {
    extreme_places(values).map(|place| Estimate {
        value: values.get(place).copied().unwrap_or(f64::NAN),
        standard_error: 0.0,
        samples,
    })
}

/// The extremes of a diagonal from what each probe makes of it, `inside + each`, and the covariances
/// of two probes.
///
/// On average not more extreme than the diagonal itself: the place is drawn apart from the value, but
/// for what probes share.
fn extremes(inside: &[f64], each: &[Vec<f64>], covariances: &[f64]) -> [Estimate; 2] {
    let k = each.len();
    let (first, second) = each.split_at(k / 2);
    let of_half = |half: &[Vec<f64>]| -> Vec<f64> {
        let mut sum = vec![0.0; inside.len()];
        half.iter().for_each(|of| vector::add_scaled(&mut sum, 1.0 / half.len() as f64, of));
        sum.iter().zip(inside).map(|(sum, inside)| sum + inside).collect()
    };
    let places = [second, first].map(|half| extreme_places(&of_half(half)));
    [0, 1].map(|end| {
        let place = |i: usize| places[usize::from(i >= k / 2)][end];
        let terms: Vec<f64> = (0..k).map(|i| inside[place(i)] + each[i][place(i)]).collect();
        let covariance = 0.5 * (covariances[places[0][end]] + covariances[places[1][end]]);
        Estimate {
            value: pairwise_sum(&terms) / k as f64,
            standard_error: exchangeable_variance(&terms, covariance).sqrt(),
            samples: k,
        }
    })
}

/// The diagonal of a symmetric operator from probes that all do both: span a sketch, and see what
/// is outside the sketch of the others.
///
/// For each of `k` probes `x_i` of signs, with `Q_i` an orthonormal basis of the products with all
/// the others: `d_i = diag(Q_i Q_i^T A) + x_i * (I - Q_i Q_i^T) A x_i`, element by element; the
/// diagonal is their mean. Standard errors know that the `d_i` share their sketches, as in
/// [`super::xtrace()`].
/// Zero where the sketch holds the whole range, which makes the diagonal exact but for rounding.
///
/// # Errors
/// Fewer than 4 products; more vectors than the memory holds; a product that is not finite.
/// # Deviations from the paper    which gives no error of its own for the diagonal
/// # Source    Epperly, Tropp, Webber, XTrace: making the most of every sample in stochastic trace
/// estimation, 2024, arXiv 2301.07825, section 2.4; Hutchinson's estimate of a diagonal: Bekas,
/// Kokiopoulou, Saad, An estimator for the diagonal of a matrix, 2007
pub fn xdiag(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &XDiagConfig,
) -> Result<Diagonal, MethodError> {
    check(config)?;
    let n = operator.dimension();
    let k = (config.products / 2).min(n);
    ctx.progress().start("diagonal", config.products as u64);
    let stream = ctx.stream("xdiag");
    let probe = |i: usize| signs(&stream.at(i as u64), n);
    let sketch = Sketch::new(ctx, operator, "xdiag", k, probe)?;
    let products = sketch.products;
    let mut inside = vec![0.0; n];
    for (q, image) in sketch.basis.iter().zip(&sketch.images) {
        inside.iter_mut().zip(q.iter().zip(image)).for_each(|(sum, (q, z))| *sum += q * z);
    }
    if sketch.exhausted || sketch.basis.len() == n || k < 2 {
        let extremes = exact_extremes(&inside, k);
        let standard_errors = vec![0.0; n];
        return Ok(Diagonal { values: inside, standard_errors, extremes, samples: k, products });
    }
    let left_out = sketch.left_out();
    // Vectors go once they are combined, so that there are never more than a sketch may have.
    let of = |vectors: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        left_out.iter().map(|left| combined(&vectors, &left.unit, n)).collect()
    };
    let (missing, images) = (of(sketch.basis), of(sketch.images));
    // What of `A x_i` is outside the others' span is `Q s_i / length`.
    let mut each = Vec::with_capacity(k);
    for (i, left) in left_out.iter().enumerate() {
        let signs = probe(i);
        let element = |e: usize| missing[i][e] * (signs[e] / left.length - images[i][e]);
        each.push((0..n).map(element).collect::<Vec<f64>>());
    }
    let mut covariances = vec![0.0; n];
    for i in 0..k {
        let first = probe(i);
        for j in 0..i {
            let second = probe(j);
            let common = vector::dot(&left_out[i].unit, &left_out[j].unit);
            let length = (1.0 - common * common).sqrt();
            // What the diagonal by probe `a` changes by when `b` joins: `s_b` without `s_a` leaves
            // the missing part.
            let change = |e: usize, a: usize, b: usize, signs: &[f64]| {
                let column = -common / (length * left_out[a].length);
                let part = (missing[b][e] - common * missing[a][e]) / length;
                let image = (images[b][e] - common * images[a][e]) / length;
                part * (image - signs[e] * column)
            };
            for (e, covariance) in covariances.iter_mut().enumerate() {
                *covariance += change(e, i, j, &first) * change(e, j, i, &second);
            }
        }
    }
    let pairs = (k * (k - 1)) as f64 / 2.0;
    vector::scale(&mut covariances, 1.0 / pairs);
    let extremes = extremes(&inside, &each, &covariances);
    let (mut values, mut standard_errors) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for (e, inside) in inside.into_iter().enumerate() {
        let terms: Vec<f64> = each.iter().map(|of| of[e]).collect();
        values.push(inside + pairwise_sum(&terms) / k as f64);
        standard_errors.push(exchangeable_variance(&terms, covariances[e]).sqrt());
    }
    Ok(Diagonal { values, standard_errors, extremes, samples: k, products })
}

fn check(config: &XDiagConfig) -> Result<(), MethodError> {
    match config.products >= 4 {
        true => Ok(()),
        false => Err(MethodError::config("products of XDiag", "at least 4", config.products)),
    }
}

/// [`xdiag`] on a curvature matrix of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct XDiag;

impl Instrument for XDiag {
    const ID: &'static str = "xdiag";
    const SUMMARY: &'static str = "diagonal of the Hessian (or another matrix)";
    const SOURCE: &'static str = "Epperly, Tropp, Webber 2024, arXiv 2301.07825";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation];
    type Config = OfMatrix<XDiagConfig>;
    type Reading = Diagonal;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &OfMatrix<XDiagConfig>,
    ) -> Result<Diagonal, MethodError> {
        check(config)?;
        xdiag(ctx, &config.at(ctx, objective, point)?, config)
    }

    fn cost(config: &OfMatrix<XDiagConfig>, _: &Size) -> Cost {
        Cost::at_most(0, 0, config.products)
    }

    fn quantities(reading: &Diagonal) -> Vec<Quantity> {
        let [largest, smallest] = reading.extremes;
        vec![
            Quantity::estimated("largest diagonal element", largest),
            Quantity::estimated("smallest diagonal element", smallest),
        ]
    }

    fn refused() -> Vec<OfMatrix<XDiagConfig>> {
        OfMatrix::refused([0, 3].map(|products| XDiagConfig { products }).to_vec())
    }
}
