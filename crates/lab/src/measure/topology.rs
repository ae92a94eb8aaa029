//! Minima and loops of a surface, as a record has them.

use crate::error::Result;
use thalweg_methods::surface::{Neighbours, loops, merge_tree, total_variation};
use thalweg_record::{Surface, SurfaceLoop, SurfaceMinimum, Topology};

/// The depth of a minimum, as a share of the level at which its basin ends, from which on it is
/// shown and counted.
pub const PROMINENT: f64 = 0.01;

/// The minima and loops of every pair of a surface; none where no loss is finite.
pub(super) fn topology(surface: &Surface) -> Result<Option<Topology>> {
    let (columns, size) = (surface.x.len(), surface.x.len() * surface.y.len());
    let neighbours = Neighbours::default();
    let mut found = Topology { threshold: PROMINENT, ..Topology::default() };
    for (index, values) in surface.loss.chunks(size).enumerate() {
        let (before, pair) = (found.minima.len(), index as u32);
        let errors = surface.loss_standard_error.as_ref().map(|errors| &errors[index * size..]);
        let error =
            |points: [usize; 2]| errors.map(|errors| points.map(|at| errors[at]).iter().sum());
        let tree = merge_tree(values, columns, neighbours)?;
        found.minima.extend(tree.minima.iter().map(|minimum| {
            let (at, end) = (surface.point(minimum.at), surface.point(minimum.end));
            SurfaceMinimum {
                pair,
                x: at.x,
                y: at.y,
                loss: minimum.birth,
                saddle_x: end.x,
                saddle_y: end.y,
                saddle: minimum.death,
                parent: minimum.parent.map(|parent| (before + parent) as u32),
                standard_error: error([minimum.at, minimum.end]),
            }
        }));
        let point = |at: usize| surface.point(index * size + at);
        found.loops.extend(loops(values, columns, neighbours)?.iter().map(|around| SurfaceLoop {
            pair,
            saddle: point(around.closes),
            peak: around.fills.map(point),
            standard_error: around.fills.and_then(|top| error([around.closes, top])),
        }));
        found.total_variation.push(total_variation(values, &surface.x, &surface.y)?);
    }
    Ok((!found.minima.is_empty()).then_some(found))
}
