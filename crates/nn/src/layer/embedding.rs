//! Embedding lookup.

use crate::initialize::Initializer;
use crate::model::Layer;
use crate::parameter::{Axis, Parameter, Role};
use crate::scope::Scope;
use thalweg_graph::Tensor;

/// `y[.., :] = weight[x[..], :]`; an index outside the table reads zeros.
///
/// # Shapes    x `i32 [..]`, weight `[entries, units]` -> y `[.., units]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Embedding {
    /// Rows of the table.
    pub entries: usize,
    /// Length of a row.
    pub units: usize,
}

impl Layer for Embedding {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let shape = [self.entries, self.units];
        let initializer = Initializer::Normal { standard_deviation: 1.0 };
        let axes = [Axis::Input, Axis::Output];
        let table = Parameter::new("weight", &shape, Role::Embedding, &axes, initializer);
        scope.parameter(table).take(x)
    }
}
