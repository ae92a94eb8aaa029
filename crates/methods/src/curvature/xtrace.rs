//! The trace by XTrace.

use super::Eigenpair;
use super::curvature_terms::OnSample;
use super::known::Known;
use super::sketch::{Sketch, SketchedTrace, exchangeable_variance};
use crate::common::{LinearOperator, Objective, normals, vector};
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, pairwise_sum};

/// How many products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XTraceConfig {
    /// Products, two for each probe; at least 4.
    pub products: usize,
}

impl Default for XTraceConfig {
    fn default() -> XTraceConfig {
        XTraceConfig { products: 32 }
    }
}

/// The trace of a symmetric operator from probes that all do both: span a sketch, and see what is
/// outside the sketch of the others.
///
/// For each of `k` normal probes `x_i`, with `Q_i` an orthonormal basis of the products with all the
/// others: `t_i = tr(Q_i^T A Q_i) + (n - k + 1) u_i^T A u_i / |u_i|^2`, `u_i = (I - Q_i Q_i^T) x_i`;
/// the trace is their mean. Each is unbiased, since `u_i` given `Q_i` has every direction outside
/// alike.
///
/// Eigenpairs that are `known` are added exactly and taken out, as in [`super::hutchinson()`]. The
/// standard error knows that the `t_i` share their sketches: beside the paper's
/// `s^2 / k` with their sample variance `s^2` it has their covariance, estimated without bias from
/// what each `t_i` changes by when another probe joins, at no further product. Zero where the sketch
/// holds the whole range, which makes the trace exact but for rounding.
///
/// # Errors
/// Fewer than 4 products; a known vector of another length; more vectors than the memory holds; a
/// product that is not finite.
/// # Deviations from the paper    the covariance in the standard error: where `n` is not far above
/// `k` the paper's is up to 1.4 times too small, and its 95 % bars cover 84 to 92 %
/// # Source    Epperly, Tropp, Webber, XTrace: making the most of every sample in stochastic trace
/// estimation, 2024, arXiv 2301.07825, sections 2.1 to 2.3
pub fn xtrace(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    known: &[Eigenpair],
    config: &XTraceConfig,
) -> Result<SketchedTrace, MethodError> {
    check(config)?;
    let n = operator.dimension();
    let Known { outside, trace: exact, .. } = Known::new(operator, known)?;
    let k = (config.products / 2).min(outside.left());
    ctx.progress().start("trace", config.products as u64);
    let stream = ctx.stream("xtrace");
    let probe = |i: usize| {
        let mut x = normals(&stream.at(i as u64), n);
        outside.project(&mut x);
        x
    };
    let sketch = Sketch::new(ctx, &outside, "xtrace", k, probe)?;
    let projected = sketch.projected();
    let diagonal: Vec<f64> = (0..projected.len()).map(|j| projected[j][j]).collect();
    let inside = pairwise_sum(&diagonal);
    let products = sketch.products;
    if sketch.exhausted || sketch.basis.len() == outside.left() || k < 2 {
        let trace = Estimate { value: exact + inside, standard_error: 0.0, samples: k.max(2) };
        return Ok(SketchedTrace { trace, products });
    }
    let along_basis = |x: &Vec<f64>| sketch.basis.iter().map(|q| vector::dot(q, x)).collect();
    let mut probes = Vec::with_capacity(k);
    for i in 0..k {
        let x = probe(i);
        let along: Vec<f64> = along_basis(&x);
        let mut column = sketch.triangle[i].clone();
        column.resize(k, 0.0);
        // A x = Q r, so that x^T A x = (Q^T x)^T r.
        probes.push(Probe { square: vector::dot(&x, &x), along, column });
    }
    let dimensions = outside.left() - k;
    let term = |i: usize, left: &[&[f64]]| {
        // What of the trace is within the others' span.
        let lost: f64 = left.iter().map(|s| form(&projected, s)).sum();
        inside - lost + (dimensions + left.len()) as f64 * probes[i].outside(&projected, left)
    };
    let left_out = sketch.left_out();
    let traces: Vec<f64> = (0..k).map(|i| term(i, &[left_out[i].unit.as_slice()])).collect();
    let mut changes = vec![vec![0.0; k]; k];
    for (i, row) in changes.iter_mut().enumerate() {
        for (j, change) in row.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let own = left_out[i].unit.as_slice();
            let mut other = left_out[j].unit.clone();
            let common = vector::dot(own, &other);
            vector::add_scaled(&mut other, -common, own);
            let length = vector::norm(&other);
            vector::scale(&mut other, 1.0 / length);
            *change = traces[i] - term(i, &[own, &other]);
        }
    }
    let pairs: f64 = (0..k)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| changes[i][j] * changes[j][i])
        .sum();
    let covariance = pairs / (k * (k - 1)) as f64 * 2.0;
    let variance = exchangeable_variance(&traces, covariance);
    let value = exact + pairwise_sum(&traces) / k as f64;
    let trace = Estimate { value, standard_error: variance.sqrt(), samples: k };
    Ok(SketchedTrace { trace, products })
}

/// A probe in the coordinates of the basis: `Q^T x`, `R`'s column with `A x = Q r`, and `|x|^2`.
struct Probe {
    along: Vec<f64>,
    column: Vec<f64>,
    square: f64,
}

impl Probe {
    /// `u^T A u / |u|^2` of what the probe has outside the basis without some unit vectors.
    fn outside(&self, projected: &[Vec<f64>], left: &[&[f64]]) -> f64 {
        let mut within = self.along.clone();
        for unit in left {
            vector::add_scaled(&mut within, -vector::dot(unit, &self.along), unit);
        }
        let whole = vector::dot(&self.along, &self.column);
        let numerator = whole - 2.0 * vector::dot(&within, &self.column) + form(projected, &within);
        numerator / (self.square - vector::dot(&within, &within))
    }
}

/// `x^T M x`.
fn form(columns: &[Vec<f64>], x: &[f64]) -> f64 {
    columns.iter().zip(x).map(|(column, x_j)| x_j * vector::dot(column, x)).sum()
}

fn check(config: &XTraceConfig) -> Result<(), MethodError> {
    match config.products >= 4 {
        true => Ok(()),
        false => Err(MethodError::config("products of XTrace", "at least 4", config.products)),
    }
}

/// [`xtrace`] on the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct XTrace;

impl Instrument for XTrace {
    const ID: &'static str = "xtrace";
    const SUMMARY: &'static str =
        "trace of the Hessian, each probe outside the sketch of the others";
    const SOURCE: &'static str = "Epperly, Tropp, Webber 2024, arXiv 2301.07825";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = XTraceConfig;
    type Reading = OnSample<SketchedTrace>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &XTraceConfig,
    ) -> Result<OnSample<SketchedTrace>, MethodError> {
        check(config)?;
        let found = xtrace(ctx, &super::Hessian::new(ctx, objective, point)?, &[], config)?;
        OnSample::trace(ctx, objective, point, found, config.products)
    }

    fn cost(config: &XTraceConfig, size: &Size) -> Cost {
        OnSample::cost_of(config.products, size)
    }

    fn quantities(reading: &OnSample<SketchedTrace>) -> Vec<Quantity> {
        reading.quantities()
    }

    fn refused() -> Vec<XTraceConfig> {
        [0, 3].map(|products| XTraceConfig { products }).to_vec()
    }
}
