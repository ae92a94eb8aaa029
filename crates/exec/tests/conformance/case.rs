//! A case: a function to be traced and operands away from its kinks.

use crate::draw::Draw;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, Tensor, TensorType};

type Trace = Box<dyn for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>>>;

/// A function and its operands.
pub struct Case {
    pub name: String,
    /// Floats are `f64`; the same function is traced in `f32` too.
    pub operands: Vec<Array>,
    /// Orders to which the derivative by the operands is checked. 0: there is none to check, and
    /// the exemption table says why.
    pub orders: usize,
    /// Executor's tolerance in place of the table's `(f64, f32)`, with its reason.
    pub executor_tolerance: Option<(f64, f64, &'static str)>,
    trace: Trace,
}

/// A case that is differentiated to order 3.
pub fn case(
    name: impl Into<String>,
    operands: impl FnOnce(&mut Draw) -> Vec<Array>,
    trace: impl for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>> + 'static,
) -> Case {
    let name = name.into();
    let operands = operands(&mut Draw::new(&name));
    Case { name, operands, orders: 3, executor_tolerance: None, trace: Box::new(trace) }
}

/// A case of an operation that has no derivative: see the exemption table.
pub fn plain(
    name: impl Into<String>,
    operands: impl FnOnce(&mut Draw) -> Vec<Array>,
    trace: impl for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>> + 'static,
) -> Case {
    Case { orders: 0, ..case(name, operands, trace) }
}

impl Case {
    /// Checked to fewer orders.
    pub fn orders(self, orders: usize) -> Case {
        Case { orders, ..self }
    }

    /// Another tolerance for the executor, in `f64` and in `f32`.
    pub fn tolerance(self, wide: f64, narrow: f64, reason: &'static str) -> Case {
        Case { executor_tolerance: Some((wide, narrow, reason)), ..self }
    }

    /// The function as a graph.
    pub fn graph(&self, float: DType) -> Graph {
        let b = Builder::new(float);
        let inputs: Vec<Tensor<'_>> = self
            .operands
            .iter()
            .enumerate()
            .map(|(i, operand)| {
                let dtype = if operand.dtype().is_float() { float } else { operand.dtype() };
                b.input(&format!("x{i}"), TensorType::new(dtype, operand.shape()))
            })
            .collect();
        let outputs = (self.trace)(&b, &inputs);
        let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
        let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
        match b.finish(&named) {
            Ok(graph) => graph,
            Err(error) => panic!("{}: {error}", self.name),
        }
    }
}
