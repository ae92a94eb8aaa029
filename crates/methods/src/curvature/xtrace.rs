//! The trace by XTrace.

use super::Eigenpair;
use super::sketch::{Sketch, SketchedTrace, combined};
use crate::common::{Deflated, LinearOperator, Objective, normals, vector};
use crate::registry::Instrument;
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
/// standard error is `sqrt(sum (t_i - mean)^2 / (k (k - 1)))`, the paper's estimate: the `t_i` share
/// their sketches and are nearly, not quite, independent. Zero where the sketch holds the whole
/// range, which makes the trace exact but for rounding.
///
/// # Errors
/// Fewer than 4 products; a known vector of another length; more vectors than the memory holds; a
/// product that is not finite.
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
    let basis = known.iter().map(|pair| pair.vector.clone()).collect();
    let outside = Deflated::new(operator, basis)?;
    let exact: f64 = known.iter().map(|pair| pair.value).sum();
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
    let dimensions = (outside.left() - (k - 1)) as f64;
    let mut traces = Vec::with_capacity(k);
    for (i, (s, _)) in sketch.left_out().into_iter().enumerate() {
        let mut u = probe(i);
        let mut along: Vec<f64> = sketch.basis.iter().map(|q| vector::dot(q, &u)).collect();
        let missing = vector::dot(&s, &along);
        vector::add_scaled(&mut along, -missing, &s);
        vector::add_scaled(&mut u, -1.0, &combined(&sketch.basis, &along, n));
        // A u = A x - (A Q) (..), and A x = Q r.
        let mut image = combined(&sketch.basis, &sketch.triangle[i], n);
        vector::add_scaled(&mut image, -1.0, &combined(&sketch.images, &along, n));
        let form = vector::dot(&u, &image) / vector::dot(&u, &u);
        let of_s: Vec<f64> = projected.iter().map(|column| vector::dot(column, &s)).collect();
        traces.push(inside - vector::dot(&of_s, &s) + dimensions * form);
    }
    let mean = Estimate::mean(&traces)?;
    let trace = Estimate { value: exact + mean.value, ..mean };
    Ok(SketchedTrace { trace, products })
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
    type Config = XTraceConfig;
    type Reading = SketchedTrace;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &XTraceConfig,
    ) -> Result<SketchedTrace, MethodError> {
        check(config)?;
        xtrace(ctx, &super::Hessian::new(ctx, objective, point)?, &[], config)
    }

    fn refused() -> Vec<XTraceConfig> {
        [0, 3].map(|products| XTraceConfig { products }).to_vec()
    }
}
