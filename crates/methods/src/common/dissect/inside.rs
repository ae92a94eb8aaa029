//! Values inside a network, batch by batch.

use super::super::gradient::{Declared, declare};
use super::super::objective::{Objective, frozen_at};
use super::super::population::fit;
use crate::{Context, MethodError, Pass};
use std::collections::HashMap;
use thalweg_array::Array;
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::Weights;

/// Evaluates what `wanted` finds in the graph of a batch, for one batch after the other, and gives it
/// to `each` with the number of examples: one forward pass over the data.
///
/// # Errors
/// Weights of another model; what `wanted` and `each` refuse; those of the engine; `Interrupted`
/// between batches.
pub(crate) fn inside(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    wanted: impl for<'b> Fn(&Declared<'b>) -> Result<Vec<Tensor<'b>>, MethodError>,
    mut each: impl FnMut(usize, &[Array]) -> Result<(), MethodError>,
) -> Result<(), MethodError> {
    let point = frozen_at(ctx, objective, point)?;
    let mut programs = HashMap::new();
    for (size, batch) in objective.sizes() {
        let graph = |_: usize| {
            let builder = Builder::new(objective.float());
            let declared = declare(&builder, objective, batch)?;
            let found = wanted(&declared)?;
            let names: Vec<String> = (0..found.len()).map(|i| format!("value{i}")).collect();
            let named: Vec<_> = names.iter().map(String::as_str).zip(found).collect();
            Ok(builder.finish(&named)?)
        };
        programs.insert(size, fit(ctx, "one forward pass", 1, graph)?.1);
    }
    let shared = [point.parameters.arrays(), point.buffers.arrays()].concat();
    for (batch, size) in objective.batches().iter().enumerate() {
        ctx.check()?;
        let Some(program) = programs.get(size) else {
            return Err(MethodError::mismatch("batch sizes", "those at the start", size));
        };
        ctx.spend(Pass::Loss, *size);
        let inputs: Vec<Array> = [shared.as_slice(), &objective.data(batch)?].concat();
        each(*size, &program.run(inputs)?)?;
    }
    Ok(())
}
