//! What goes into the residual blocks of a network and comes out of them, as maps.

use super::gradient::declare;
use super::objective::Objective;
use super::{BlockKind, Dissection, inside, vector};
use crate::{Context, MethodError};
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::Weights;

/// Means over the examples of numbers that the maps before and after a residual block have.
pub(crate) struct BlockReading {
    pub(crate) kind: BlockKind,
    pub(crate) before: Vec<f64>,
    pub(crate) after: Vec<f64>,
}

/// Reads every residual block: one forward pass over the data. `measure` makes of maps
/// `[examples, side, side, channels]` the sum over the examples of some numbers, `[numbers]`.
///
/// # Errors
/// A network without residual blocks, or with maps that are no squares; weights of another model; a
/// number that is not finite; those of the engine.
pub(crate) fn block_readings(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    measure: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b>,
) -> Result<Vec<BlockReading>, MethodError> {
    let kinds = block_kinds(objective)?;
    let mut sums: Vec<Vec<f64>> = Vec::new();
    ctx.progress().start("maps of residual blocks", objective.examples() as u64);
    inside(
        ctx,
        objective,
        point,
        |declared| {
            let blocks = Dissection::new(objective, declared)?.residual_blocks();
            let maps = blocks.iter().flat_map(|block| [block.before, block.after]);
            maps.map(|maps| Ok(measure(square_maps(maps)?))).collect()
        },
        |size, arrays| {
            sums.resize_with(arrays.len(), Vec::new);
            for (sum, array) in sums.iter_mut().zip(arrays) {
                let values = array.to_f64_vec();
                sum.resize(values.len(), 0.0);
                vector::add_scaled(sum, 1.0, &values);
            }
            ctx.progress().advance(size as u64);
            Ok(())
        },
    )?;
    let share = 1.0 / objective.examples().max(1) as f64;
    sums.iter_mut().for_each(|sum| vector::scale(sum, share));
    if let Some(value) = sums.iter().flatten().find(|value| !value.is_finite()) {
        let what = "a reading of a residual block".to_owned();
        return Err(MethodError::NotFinite { what, value: value.to_string() });
    }
    let mut pairs = sums.into_iter();
    let mut readings = Vec::with_capacity(kinds.len());
    for kind in kinds {
        let (before, after) = (pairs.next().unwrap_or_default(), pairs.next().unwrap_or_default());
        readings.push(BlockReading { kind, before, after });
    }
    Ok(readings)
}

/// The kinds of a network's residual blocks.
///
/// # Errors
/// A network without any.
pub(crate) fn block_kinds(objective: &dyn Objective) -> Result<Vec<BlockKind>, MethodError> {
    let builder = Builder::new(objective.float());
    let declared = declare(&builder, objective, 0)?;
    let blocks = Dissection::new(objective, &declared)?.residual_blocks();
    match blocks.is_empty() {
        false => Ok(blocks.iter().map(|block| block.kind).collect()),
        true => Err(MethodError::mismatch("the network", "one with residual blocks", "none")),
    }
}

/// Maps `[examples, side, side, channels]` of maps as they are, or of tokens `[examples, tokens,
/// channels]`, of which a first one that is none of a square's is left out.
///
/// # Errors
/// Maps that are no squares.
pub(crate) fn square_maps(x: Tensor<'_>) -> Result<Tensor<'_>, MethodError> {
    match x.shape()[..] {
        [_, height, width, _] if height == width => Ok(x),
        [examples, tokens, channels] => {
            let side = tokens.isqrt();
            let rest = tokens.saturating_sub(1);
            let rest_side = rest.isqrt();
            if side * side == tokens {
                Ok(x.reshape(&[examples, side, side, channels]))
            } else if rest_side * rest_side == rest {
                let placed = x.slice(1, 1, tokens);
                Ok(placed.reshape(&[examples, rest_side, rest_side, channels]))
            } else {
                Err(no_squares(x))
            }
        }
        _ => Err(no_squares(x)),
    }
}

fn no_squares(x: Tensor<'_>) -> MethodError {
    let expected = "[examples, side, side, channels], or tokens of a square";
    MethodError::mismatch("maps", expected, x.ty())
}
