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
    /// How the table is drawn.
    pub initializer: Initializer,
}

impl Embedding {
    /// PyTorch's default layer.
    pub fn new(entries: usize, units: usize) -> Embedding {
        Embedding { entries, units, initializer: Initializer::Normal { standard_deviation: 1.0 } }
    }

    /// The table itself, for networks that use it twice.
    pub fn table<'b>(&self, scope: &Scope<'_, 'b>) -> Tensor<'b> {
        let shape = [self.entries, self.units];
        let axes = [Axis::Input, Axis::Output];
        scope.parameter(Parameter::new("weight", &shape, Role::Embedding, &axes, self.initializer))
    }
}

impl Layer for Embedding {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        self.table(scope).take(x)
    }
}
