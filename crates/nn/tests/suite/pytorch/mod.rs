//! Losses, gradients and Hessian-vector products of every architecture and layer against
//! PyTorch's, and running statistics after a batch.
//!
//! In f64 both evaluators agree with PyTorch's float64 to 1e-10 of the norm of each array. In f32
//! the executor's error against it is at most three times that of PyTorch's float32; losses agree
//! to 1e-5.

mod cases;
mod networks;

use cases::{Case, Expected, from_layout};
use thalweg_array::{Array, DType};
use thalweg_exec::{Executor, reference};
use thalweg_graph::{Builder, Graph, TensorType};
use thalweg_nn::Mode;
use thalweg_transform::gradient_and_hvp;

/// `(parameters.., buffers.., input, target, weights, directions..)` to the loss, the loss of each
/// example, each buffer after the batch, the gradients and the Hessian-vector products.
fn objective(case: &Case, float: DType) -> Graph {
    let builder = Builder::new(float);
    let (parameters, buffers) = case.model.declare(&builder);
    let port = &case.model.inputs()[0];
    let batch = case.input.shape()[0];
    let x = builder.input(&port.name, port.batch_type(float, batch));
    let target_type = match case.target.dtype() {
        DType::I32 => DType::I32,
        _ => float,
    };
    let target = builder.input("target", TensorType::new(target_type, case.target.shape()));
    let weights = builder.input("weights", TensorType::new(float, case.example_weights.shape()));
    let directions: Vec<_> = case
        .directions
        .iter()
        .enumerate()
        .map(|(i, v)| builder.input(&format!("direction {i}"), TensorType::new(float, v.shape())))
        .collect();

    let mode = Mode { batch_norm: case.mode, dropout_key: None };
    let applied = case.model.apply(&builder, &parameters, &buffers, x, &mode);
    let loss = case.loss.of(applied.output, target, Some(weights));
    let losses = case.loss.per_example(applied.output, target);
    let mut variables = parameters;
    if case.differentiate_input {
        variables.push(x);
    }
    let (gradients, products) = gradient_and_hvp(loss, &variables, &directions);

    let mut outputs = vec![loss, losses];
    outputs.extend(applied.new_buffers);
    outputs.extend(gradients);
    outputs.extend(products);
    let keys: Vec<String> = references(case).into_iter().map(|r| r.key).collect();
    let named: Vec<_> = keys.iter().map(String::as_str).zip(outputs).collect();
    builder.finish(&named).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// What the objective takes, in its order.
fn arguments(case: &Case, float: DType) -> Vec<Array> {
    let floats = |array: &Array| match array.dtype() {
        DType::F64 => array.convert(float),
        _ => array.clone(),
    };
    let weights = &case.weights;
    let mut arrays = weights.parameters.arrays().to_vec();
    arrays.extend_from_slice(weights.buffers.arrays());
    arrays.extend([case.input.clone(), case.target.clone(), case.example_weights.clone()]);
    arrays.extend_from_slice(&case.directions);
    arrays.iter().map(floats).collect()
}

/// PyTorch's results in the order of the objective and in the engine's layout.
struct Reference {
    key: String,
    values: Vec<f64>,
    /// Norm of the error of PyTorch's float32.
    error: f64,
    /// Norm of all arrays of its kind.
    scale: f64,
}

fn references(case: &Case) -> Vec<Reference> {
    let find = |key: &str| -> &Expected {
        let found = case.expected.iter().find(|expected| expected.key == key);
        found.unwrap_or_else(|| panic!("{}: no {key}", case.name))
    };
    let plain = |key: &str| {
        let Expected { key, error, values } = find(key);
        let scale = norm(values);
        Reference { key: key.clone(), values: values.clone(), error: *error, scale }
    };
    let mut references = vec![plain("loss"), plain("losses")];
    for buffer in case.model.buffers() {
        references.push(plain(&format!("buffer {}", buffer.name)));
    }
    for kind in ["gradient", "product"] {
        let parameters = case.model.parameters();
        let keys = parameters.iter().map(|p| format!("{kind} {}", p.name));
        let mut of_kind: Vec<Reference> = keys.map(|key| plain(&key)).collect();
        let arrays: Vec<Array> = parameters
            .iter()
            .zip(&of_kind)
            .map(|(p, r)| Array::from_slice(&p.torch.shape, &r.values).unwrap())
            .collect();
        for (reference, array) in of_kind.iter_mut().zip(from_layout(&case.model, &arrays)) {
            reference.values = array.to_f64_vec();
        }
        if case.differentiate_input {
            of_kind.push(plain(&format!("{kind} input")));
        }
        let scale = norm(&of_kind.iter().map(|r| r.scale).collect::<Vec<_>>());
        of_kind.iter_mut().for_each(|reference| reference.scale = scale);
        references.extend(of_kind);
    }
    assert_eq!(references.len(), case.expected.len(), "{}", case.name);
    references
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: &Array, b: &[f64]) -> f64 {
    let a = a.to_f64_vec();
    assert_eq!(a.len(), b.len());
    norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// Whether an array is zero but for rounding, as the gradient of a bias before a normalisation.
fn vanishes(reference: &Reference) -> bool {
    norm(&reference.values) < 1e-10 * reference.scale
}

/// Every array of every case within `allowed`, or a list of those that are not.
fn check(
    float: DType,
    run: impl Fn(&Graph, Vec<Array>) -> Vec<Array>,
    allowed: impl Fn(&Reference) -> f64,
) {
    let mut faults = Vec::new();
    for case in cases::read() {
        let results = run(&objective(&case, float), arguments(&case, float));
        for (reference, result) in references(&case).iter().zip(&results) {
            let (error, allowed) = (distance(result, &reference.values), allowed(reference));
            if error.is_nan() || error > allowed {
                let size = norm(&reference.values);
                let Reference { key, error: torch, .. } = reference;
                faults.push(format!(
                    "{}, {key}: off by {error:.1e} of {size:.1e}, allowed {allowed:.1e} \
                     (PyTorch's float32 {torch:.1e})",
                    case.name
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn double_precision(reference: &Reference) -> f64 {
    1e-10 * if vanishes(reference) { reference.scale } else { norm(&reference.values) }
}

#[test]
fn the_oracle_agrees_in_double_precision() {
    let run = |graph: &Graph, inputs: Vec<Array>| reference::evaluate(graph, &inputs).unwrap();
    check(DType::F64, run, double_precision);
}

#[test]
fn the_executor_agrees_in_double_precision() {
    let executor = Executor::new(2);
    check(DType::F64, |graph, inputs| execute(&executor, graph, inputs), double_precision);
}

#[test]
fn the_executor_errs_at_most_three_times_as_much_as_pytorch_in_single_precision() {
    let executor = Executor::new(2);
    let allowed = |reference: &Reference| {
        let size = norm(&reference.values);
        // One rounding of each element: PyTorch's error may happen to be smaller.
        let rounding = f64::from(f32::EPSILON);
        match reference.key.as_str() {
            "loss" => 1e-5 * size,
            _ if vanishes(reference) => rounding * reference.scale,
            _ => (3.0 * reference.error).max(rounding * size),
        }
    };
    check(DType::F32, |graph, inputs| execute(&executor, graph, inputs), allowed);
}

fn execute(executor: &Executor, graph: &Graph, inputs: Vec<Array>) -> Vec<Array> {
    executor.compile(graph).unwrap().run(inputs).unwrap()
}
