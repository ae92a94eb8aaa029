//! Spectra.

use crate::arrays::to_numpy;
use crate::failure::{Failure, Kind, Result};
use crate::objective::{Objective, evaluation};
use crate::run::Run;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thalweg_lab::Metric;
use thalweg_lab::measure::{Measured, SpectrumConfig, norm_on_all_data, spectrum_of};
use thalweg_methods::MethodError;
use thalweg_methods::common;
use thalweg_methods::curvature::{
    CurvatureMatrix, ExampleGroup, OperatorChoice, ParameterBlock, Scope,
};
use thalweg_record::{Eigenvalue, Quantity};

/// What of the spectrum.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Wanted {
    top: usize,
    bottom: usize,
    tolerance: f64,
    trace_probes: usize,
    trace_tolerance: f64,
    trace_exact: bool,
    density_probes: usize,
    of: String,
    /// Empty: relative to nothing.
    relative_to: String,
    damping: f64,
    /// None: all.
    examples: Vec<usize>,
}

impl Wanted {
    fn measured(&self) -> Result<Measured> {
        let named = |what: &str, text: &str| -> Result<OperatorChoice> {
            text.parse().map_err(|error: MethodError| {
                Failure::new(Kind::Config, format!("{what}: {error}"))
            })
        };
        let relative_to = match self.relative_to.as_str() {
            "" => None,
            text => {
                let (operator, damping) = (named("relative_to", text)?, self.damping);
                if operator.matrix == CurvatureMatrix::Hessian {
                    let expected = "a matrix without eigenvalues below zero, as fisher";
                    return Err(Failure::config("relative_to", expected, text));
                }
                Some(Metric { operator, damping })
            }
        };
        let examples = match self.examples.as_slice() {
            [] => ExampleGroup::All,
            places => ExampleGroup::At(places.to_vec()),
        };
        Ok(Measured {
            operator: named("of", &self.of)?,
            scope: Scope { parameters: ParameterBlock::All, examples },
            relative_to,
            ..Measured::default()
        })
    }
}

/// Eigenvalues with vectors, trace and density of a curvature matrix.
#[pyfunction]
pub fn spectrum<'py>(
    py: Python<'py>,
    objective: &Bound<'py, Objective>,
    wanted: Wanted,
    run: Option<Bound<'py, Run>>,
    reporter: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let asked = objective.get();
    let n = asked.setup().model().layout().len();
    if wanted.top.saturating_add(wanted.bottom) > n {
        let expected = format!("at most {n} eigenvalues, as the model has parameters");
        let got = wanted.top.saturating_add(wanted.bottom);
        return Err(Failure::config("top and bottom", &expected, got).into());
    }
    let measured = wanted.measured()?;
    let (record, pairs, at) = asked.work(py, run.as_ref(), reporter.as_ref(), move |work| {
        let (ctx, objective, weights) = (work.ctx(), work.objective()?, work.weights());
        let at = common::gradient(ctx, &objective, &weights)?;
        let config = SpectrumConfig {
            top: wanted.top,
            bottom: wanted.bottom,
            tolerance: wanted.tolerance,
            trace: wanted.trace_probes,
            trace_tolerance: wanted.trace_tolerance,
            exact: wanted.trace_exact,
            density: wanted.density_probes,
        };
        let (mut record, pairs) = spectrum_of(ctx, &objective, &weights, &measured, &config)?;
        norm_on_all_data(ctx, &objective, &weights, &measured, &mut record)?;
        if let Some(results) = work.results() {
            record.write_zarr(&results)?;
        }
        let layout = work.setup().model().layout();
        let outward = pairs.into_iter().flat_map(|pair| layout.outward(pair.vector));
        Ok((record, outward.collect::<Vec<f64>>(), at))
    })?;
    let values = PyDict::new(py);
    values.set_item("at", evaluation(py, &at.at)?)?;
    values.set_item("gradient_norm", at.norm())?;
    values.set_item("dimension", record.dimension)?;
    let split = |pairs: &[Eigenvalue]| -> PyResult<[Option<Bound<'py, PyAny>>; 3]> {
        let array = |of: Vec<f64>| to_numpy(py, of, &[pairs.len()]);
        let of = |f: fn(&Eigenvalue) -> f64| array(pairs.iter().map(f).collect::<Vec<f64>>());
        let sampling: Option<Vec<f64>> = pairs.iter().map(|p| p.sampling_error).collect();
        let sampling = sampling.filter(|errors| !errors.is_empty()).map(array).transpose()?;
        Ok([Some(of(|p| p.value)?), Some(of(|p| p.residual)?), sampling])
    };
    values.set_item("top", split(&record.top)?)?;
    values.set_item("bottom", split(&record.bottom)?)?;
    let found = record.top.len() + record.bottom.len();
    values.set_item("vectors", to_numpy(py, pairs, &[found, n])?)?;
    values.set_item("trace", record.trace.map(|q| quantity(&q)))?;
    values.set_item("frobenius_squared", record.frobenius_squared.map(|q| quantity(&q)))?;
    if let Some(density) = record.density {
        let n = density.centres.len();
        let of = |values: Vec<f64>| to_numpy(py, values, &[n]);
        let density = (of(density.centres)?, of(density.values)?, of(density.standard_errors)?);
        values.set_item("density", density)?;
    }
    if let Some(found) = record.outliers {
        let count = quantity(&found.count.into());
        values.set_item("outliers", (found.below, found.above, count, found.found))?;
    }
    let p = record.products;
    values.set_item("products", (p.eigenvalues, p.trace, p.density))?;
    Ok(values)
}

/// Value, standard error and samples; without the last two where it is exact.
fn quantity(quantity: &Quantity) -> (f64, Option<f64>, Option<u64>) {
    match quantity {
        Quantity::Exact(value) => (*value, None, None),
        Quantity::Estimate(e) => (e.value, Some(e.standard_error), Some(e.samples)),
    }
}
