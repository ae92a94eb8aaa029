//! The outputs of a model, batch by batch.

use crate::arrays::{copied, from_numpy};
use crate::failure::{Failure, Kind, Result};
use crate::job::{self, Job};
use crate::model::Model;
use crate::setup::{Options, Setup};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use std::sync::atomic::Ordering;
use thalweg_array::{Array, DType};
use thalweg_data::check_indices;
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_nn::Mode;

/// Every output for all examples, with running statistics.
#[pyfunction]
pub fn predict<'py>(
    py: Python<'py>,
    model: &Bound<'py, Model>,
    x: Vec<Bound<'py, PyUntypedArray>>,
    options: Options,
    reporter: Option<Bound<'py, PyAny>>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let inputs = x.iter().map(from_numpy).collect::<Result<Vec<_>>>()?;
    let setup = Setup::new(model.get(), &options)?;
    let outputs = job::run(py, reporter.as_ref(), move |job| all(job, &setup, &inputs, &options))?;
    outputs.iter().map(|array| copied(py, array)).collect()
}

fn all(job: &Job, setup: &Setup, inputs: &[Array], options: &Options) -> Result<Vec<Array>> {
    // Only what is laid out otherwise needs another view: outputs keep their shape.
    let own = setup.model().model();
    let fits = own.inputs().iter().zip(inputs).all(|(p, x)| x.shape().get(1..) == Some(&p.shape));
    let model = &if fits { own.clone() } else { setup.model().for_data(inputs)? };
    let n = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(0);
    if n == 0 || inputs.iter().any(|x| x.shape().first() != Some(&n)) {
        return Err(Failure::shape("inputs: expected at least one example, and as many in each"));
    }
    let float = setup.dtype();
    let inputs: Vec<Array> = setup
        .model()
        .normalized(inputs)?
        .into_iter()
        .map(|x| if x.dtype() == DType::I32 { x } else { x.convert(float) })
        .collect();
    for (x, range) in inputs.iter().zip(model.index_ranges()) {
        range.as_ref().map_or(Ok(()), |range| check_indices(x, range))?;
    }
    let weights = setup.weights();
    let mut outputs: Vec<Vec<Array>> = Vec::new();
    for start in (0..n).step_by(options.batch) {
        if job.cancelled().load(Ordering::Relaxed) {
            return Err(Failure::new(Kind::Interrupted, "interrupted"));
        }
        let end = (start + options.batch).min(n);
        let program =
            setup.executor().compile(&evaluation_graph(model, &inputs, float, end - start)?)?;
        let mut arrays = weights.parameters.arrays().to_vec();
        arrays.extend_from_slice(weights.buffers.arrays());
        for x in &inputs {
            arrays.push(x.rows(start..end)?);
        }
        let results = program.run(arrays)?;
        outputs.resize_with(results.len(), Vec::new);
        for (parts, part) in outputs.iter_mut().zip(results) {
            for row in 0..end - start {
                parts.push(part.row(row)?);
            }
        }
    }
    Ok(outputs.iter().map(|rows| Array::stack(rows)).collect::<std::result::Result<_, _>>()?)
}

/// The graph of a batch of inputs of these types; what does not fit the model is said.
fn evaluation_graph(
    model: &thalweg_nn::Model,
    inputs: &[Array],
    float: DType,
    batch: usize,
) -> Result<Graph> {
    let builder = Builder::new(float);
    let (parameters, buffers) = model.declare(&builder);
    let xs: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let shape = [&[batch], x.shape().get(1..).unwrap_or_default()].concat();
            builder.input(&format!("data.{i}"), TensorType::new(x.dtype(), shape))
        })
        .collect();
    let applied = model.apply_to_all(&builder, &parameters, &buffers, &xs, &Mode::EVALUATE);
    let names: Vec<String> = (0..applied.outputs.len()).map(|i| format!("output{i}")).collect();
    let named = names.iter().map(String::as_str).zip(applied.outputs).collect::<Vec<_>>();
    Ok(builder.finish(&named)?)
}
