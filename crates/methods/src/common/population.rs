//! How many members of a population go at once.

use crate::{Context, MethodError};
use std::sync::Arc;
use thalweg_exec::Program;
use thalweg_graph::Graph;

/// The largest population up to `wanted` whose program keeps within the memory budget, and that
/// program. The estimate is the plan's own, made before anything runs.
pub(crate) fn fit(
    ctx: &Context<'_>,
    what: &str,
    wanted: usize,
    graph: impl Fn(usize) -> Result<Graph, MethodError>,
) -> Result<(usize, Arc<Program>), MethodError> {
    let compile = |members: usize| -> Result<(usize, Arc<Program>), MethodError> {
        let program = ctx.executor().compile(&graph(members)?)?;
        Ok((program.memory().peak(), program))
    };
    let budget = ctx.memory();
    let mut members = wanted.max(1);
    let (mut peak, mut program) = compile(members)?;
    if peak <= budget {
        return Ok((members, program));
    }
    let (alone, single) = compile(1)?;
    if alone > budget {
        let what = what.to_owned();
        return Err(MethodError::Memory { what, needed: alone, budget });
    }
    // Memory grows nearly in proportion to members, so that this is right or nearly so.
    while members > 1 {
        let each = (peak.saturating_sub(alone)).div_ceil(members - 1).max(1);
        members = (1 + (budget - alone) / each).min(members - 1);
        (peak, program) = match members {
            1 => (alone, single.clone()),
            _ => compile(members)?,
        };
        if peak <= budget {
            break;
        }
    }
    Ok((members, program))
}

/// Chunks of `members`, the last one filled up with its last element so that it needs no program
/// of its own.
pub(crate) fn padded<T: Clone>(items: &[T], members: usize) -> impl Iterator<Item = Vec<T>> {
    items.chunks(members.max(1)).map(move |chunk| {
        let mut chunk = chunk.to_vec();
        if let Some(last) = chunk.last().cloned() {
            chunk.resize(members, last);
        }
        chunk
    })
}
