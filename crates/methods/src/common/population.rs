//! How many members of a population go at once.

use crate::{Context, MethodError};
use std::sync::Arc;
use thalweg_exec::Program;
use thalweg_graph::Graph;

/// The largest population up to `wanted` whose program keeps within the memory budget, and that
/// program. The estimate is the plan's own, made before anything runs. Where a single member needs
/// more, its program computes again what it would have kept.
///
/// # Errors
/// `Memory`, naming `what`, where even that is too much; those of the graph and of the engine.
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
        return Ok((1, program_within(ctx, what, &graph(1)?)?));
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

/// The program of a graph that keeps within the memory budget: where it needs more, it computes again
/// what it would have kept.
///
/// # Errors
/// `Memory`, naming `what`, where even that is too much; those of the engine.
pub(crate) fn program_within(
    ctx: &Context<'_>,
    what: &str,
    graph: &Graph,
) -> Result<Arc<Program>, MethodError> {
    let budget = ctx.memory();
    let program = ctx.executor().compile_within(graph, budget)?;
    match program.memory().peak() {
        needed if needed > budget => {
            Err(MethodError::Memory { what: what.to_owned(), needed, budget })
        }
        _ => Ok(program),
    }
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

/// As few chunks of at most `members` as there can be, whose sizes differ by at most one.
pub(crate) fn even_chunks<T>(items: &[T], members: usize) -> impl Iterator<Item = &[T]> {
    let n_chunks = items.len().div_ceil(members.max(1));
    let n = items.len();
    (0..n_chunks).map(move |i| &items[i * n / n_chunks..(i + 1) * n / n_chunks])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_few_and_even() {
        let sizes = |n: usize, members: usize| -> Vec<usize> {
            even_chunks(&vec![0; n], members).map(<[i32]>::len).collect()
        };
        assert_eq!(sizes(10, 16), [10]);
        assert_eq!(sizes(10, 6), [5, 5]);
        assert_eq!(sizes(17, 8), [5, 6, 6]);
        assert_eq!(sizes(3, 1), [1, 1, 1]);
        assert!(sizes(0, 4).is_empty());
        let items: Vec<usize> = (0..17).collect();
        assert_eq!(even_chunks(&items, 8).flatten().copied().collect::<Vec<_>>(), items);
    }
}
