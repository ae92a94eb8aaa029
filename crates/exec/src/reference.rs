//! The oracle: a slow evaluator that is obviously right.
//!
//! Every operation is written as its definition, over odometer loops and without any cleverness.
//! Floats are computed in `f64` throughout, whatever the graph's float type: the inputs of an
//! `f32` graph are widened, and only its outputs are rounded to `f32` ([`evaluate`]) or not even
//! those ([`evaluate_f64`]). So a conversion to `f32` inside a graph does not round; a bitcast
//! from `f32` does, because bits are asked for. Integers are exact and wrap around.
//!
//! A matrix without a Cholesky factor and a singular system give values that are not finite, not
//! an error: one bad member of a batch must not hide the others.

mod control;
mod convolution;
mod dense;
mod elementwise;
mod linear_algebra;
mod structural;
#[cfg(test)]
mod tests;
mod threefry;
mod window;

use dense::{Dense, Scalar};
use thalweg_array::{Array, DType};
use thalweg_graph::{Graph, GraphError, Op, TensorType};

/// Why a graph could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The graph itself is wrong.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The number of arrays is not the number of inputs.
    #[error("the graph takes {expected} inputs, got {got}")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Arrays given.
        got: usize,
    },
    /// An array is not of its input's type.
    #[error("input {name:?}: expected {expected}, got {got}")]
    InputType {
        /// Name of the input.
        name: String,
        /// Its type.
        expected: TensorType,
        /// Type of the array.
        got: TensorType,
    },
}

/// The graph's outputs, in its own types.
///
/// # Errors
/// `Graph` when the verifier refuses the graph; `InputCount` and `InputType` when the arrays are
/// not what it takes.
///
/// # Example
/// ```
/// use thalweg_array::{Array, DType};
/// use thalweg_graph::{Builder, TensorType};
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, [3]));
/// let graph = b.finish(&[("y", (x * x).sum(&[0]))])?;
/// let y = thalweg_exec::reference::evaluate(&graph, &[Array::vector(&[1.0, 2.0, 3.0])])?;
/// assert_eq!(y[0].item(), Some(14.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(graph: &Graph, inputs: &[Array]) -> Result<Vec<Array>, ReferenceError> {
    let outputs = outputs(graph, inputs, false)?;
    Ok(outputs.iter().map(|output| output.to_array(output.dtype)).collect())
}

/// The graph's outputs with floats unrounded, as `f64` arrays; other types as they are.
///
/// Inputs of type `f32` are taken as `f32` or as `f64` arrays, so that finite differences of an
/// `f32` graph can be taken in `f64`.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_f64(graph: &Graph, inputs: &[Array]) -> Result<Vec<Array>, ReferenceError> {
    let outputs = outputs(graph, inputs, true)?;
    let unrounded = |dtype: DType| if dtype.is_float() { DType::F64 } else { dtype };
    Ok(outputs.iter().map(|output| output.to_array(unrounded(output.dtype))).collect())
}

fn outputs(graph: &Graph, inputs: &[Array], widened: bool) -> Result<Vec<Dense>, ReferenceError> {
    graph.verify()?;
    if inputs.len() != graph.n_inputs() {
        return Err(ReferenceError::InputCount { expected: graph.n_inputs(), got: inputs.len() });
    }
    let mut arguments = Vec::with_capacity(inputs.len());
    for (port, array) in graph.inputs().zip(inputs) {
        let fits = array.dtype() == port.ty.dtype
            || widened && port.ty.dtype == DType::F32 && array.dtype() == DType::F64;
        if !fits || array.shape() != port.ty.shape {
            return Err(ReferenceError::InputType {
                name: port.name.clone(),
                expected: port.ty.clone(),
                got: TensorType::new(array.dtype(), array.shape()),
            });
        }
        arguments.push(Dense::from_array(array, port.ty.dtype));
    }
    Ok(run(graph, &arguments))
}

/// Evaluates a verified graph on arguments of its input types.
fn run(graph: &Graph, arguments: &[Dense]) -> Vec<Dense> {
    let mut values: Vec<Vec<Dense>> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let results = match node.op {
            Op::Input { index } => vec![arguments[index as usize].clone()],
            _ => {
                let operands: Vec<&Dense> = node
                    .inputs
                    .iter()
                    .map(|input| &values[input.node as usize][input.output as usize])
                    .collect();
                apply(&node.op, &operands, &node.types)
            }
        };
        values.push(results);
    }
    graph.output_values().map(|v| values[v.node as usize][v.output as usize].clone()).collect()
}

/// One operation; `types` are those of its results.
fn apply(op: &Op, operands: &[&Dense], types: &[TensorType]) -> Vec<Dense> {
    let ty = &types[0];
    let one = |result: Dense| vec![result];
    match op {
        Op::Input { .. } => unreachable!("inputs are given"),
        Op::Constant(array) => one(Dense::from_array(array, array.dtype())),
        Op::Iota { dtype, axis, .. } => {
            one(Dense::build(ty, |index| Scalar::from_index(index[*axis], *dtype)))
        }
        Op::Unary(unary) => {
            one(operands[0].map(ty.dtype, |x| elementwise::unary(*unary, x, operands[0].dtype)))
        }
        Op::Binary(binary) => one(operands[0]
            .zip(operands[1], ty.dtype, |a, b| elementwise::binary(*binary, a, b, ty.dtype))),
        Op::Compare(comparison) => one(operands[0].zip(operands[1], DType::Bool, |a, b| {
            Scalar::Bool(elementwise::compare(*comparison, a, b))
        })),
        Op::Select => one(Dense::build(ty, |index| {
            if operands[0].at(index).boolean() {
                operands[1].at(index)
            } else {
                operands[2].at(index)
            }
        })),
        Op::Convert(dtype) => one(operands[0].map(*dtype, |x| elementwise::convert(x, *dtype))),
        Op::Bitcast(dtype) => {
            let from = operands[0].dtype;
            one(operands[0].map(*dtype, |x| elementwise::bitcast(x, from, *dtype)))
        }
        Op::Threefry => one(Dense::build(ty, |index| {
            let word = |i: usize| operands[i].at(index).integer() as u32;
            let [first, _] = threefry::threefry_2x32([word(0), word(1)], [word(2), word(3)]);
            Scalar::Integer(i64::from(first))
        })),
        Op::StopGradient => one(operands[0].clone()),
        Op::Broadcast { axes, .. } => one(structural::broadcast(operands[0], ty, axes)),
        Op::Reshape { .. } => one(structural::reshape(operands[0], ty)),
        Op::Transpose { permutation } => one(structural::transpose(operands[0], ty, permutation)),
        Op::Slice { start, stride, .. } => one(structural::slice(operands[0], ty, start, stride)),
        Op::Pad { low, interior, .. } => {
            one(structural::pad(operands[0], operands[1], ty, low, interior))
        }
        Op::Concatenate { axis } => one(structural::concatenate(operands, ty, *axis)),
        Op::Reverse { axes } => one(structural::reverse(operands[0], ty, axes)),
        Op::DynamicSlice { .. } => one(structural::dynamic_slice(operands[0], &operands[1..], ty)),
        Op::DynamicUpdateSlice => {
            one(structural::dynamic_update_slice(operands[0], operands[1], &operands[2..]))
        }
        Op::Gather(axes) => one(structural::gather(operands[0], operands[1], ty, *axes)),
        Op::ScatterAdd(axes) => {
            one(structural::scatter_add(operands[0], operands[1], operands[2], *axes))
        }
        Op::Reduce { kind, axes } => one(window::reduce(operands[0], ty, *kind, axes)),
        Op::WindowSum(window) => one(window::window_sum(operands[0], ty, window)),
        Op::WindowArgMax(window) => one(window::window_arg_max(operands[0], ty, window)),
        Op::ArgMax { axis } => one(window::arg_max(operands[0], ty, *axis)),
        Op::Sort { axis, descending } => window::sort(operands, *axis, *descending),
        Op::CumulativeSum { axis, reverse } => {
            one(window::cumulative_sum(operands[0], *axis, *reverse))
        }
        Op::Dot(axes) => one(linear_algebra::dot(operands[0], operands[1], ty, axes)),
        Op::Convolution(window) => {
            one(convolution::convolution(operands[0], operands[1], ty, window))
        }
        Op::ConvolutionInputGradient { window, .. } => {
            one(convolution::input_gradient(operands[0], operands[1], ty, window))
        }
        Op::ConvolutionWeightGradient { window, .. } => {
            one(convolution::weight_gradient(operands[0], operands[1], ty, window))
        }
        Op::Cholesky => one(linear_algebra::cholesky(operands[0])),
        Op::TriangularSolve { lower, transpose } => {
            one(linear_algebra::triangular_solve(operands[0], operands[1], *lower, *transpose))
        }
        Op::SymmetricEigen => linear_algebra::symmetric_eigen(operands[0], types),
        Op::LinearSolve(solve) => one(control::linear_solve(solve, operands)),
        Op::FixedPoint(fixed) => one(control::fixed_point(fixed, operands)),
        Op::Scan(scan) => control::scan(scan, operands, types),
        Op::While(looped) => control::repeat_while(looped, operands),
    }
}
