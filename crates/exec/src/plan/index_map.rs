//! How the coordinates of a loop become the coordinates of a value read under views.

use super::view::View;
use thalweg_graph::Op;

/// One coordinate: `offset + stride * loop_coordinate[axis]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Coordinate {
    axis: Option<usize>,
    stride: isize,
    offset: isize,
}

/// The coordinates of a value as functions of a loop's coordinates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IndexMap(Vec<Coordinate>);

impl IndexMap {
    pub(crate) fn identity(rank: usize) -> IndexMap {
        IndexMap(
            (0..rank).map(|axis| Coordinate { axis: Some(axis), stride: 1, offset: 0 }).collect(),
        )
    }

    /// The map of a view's operand; `None` if the view is no function of this kind.
    pub(crate) fn through(&self, op: &Op, from: &[usize], to: &[usize]) -> Option<IndexMap> {
        let zero = Coordinate { axis: None, stride: 0, offset: 0 };
        Some(IndexMap(match op {
            Op::StopGradient => self.0.clone(),
            Op::Transpose { permutation } => {
                let mut map = vec![zero; from.len()];
                for (axis, &source) in permutation.iter().enumerate() {
                    map[source] = self.0[axis];
                }
                map
            }
            Op::Broadcast { axes, .. } => axes
                .iter()
                .enumerate()
                .map(|(axis, &target)| if from[axis] == to[target] { self.0[target] } else { zero })
                .collect(),
            Op::Slice { start, stride, .. } => self
                .0
                .iter()
                .zip(start.iter().zip(stride))
                .map(|(c, (&start, &stride))| Coordinate {
                    axis: c.axis,
                    stride: c.stride * stride as isize,
                    offset: c.offset * stride as isize + start as isize,
                })
                .collect(),
            Op::Reverse { axes } => self
                .0
                .iter()
                .enumerate()
                .map(|(axis, c)| {
                    if axes.contains(&axis) {
                        Coordinate {
                            axis: c.axis,
                            stride: -c.stride,
                            offset: from[axis].max(1) as isize - 1 - c.offset,
                        }
                    } else {
                        *c
                    }
                })
                .collect(),
            Op::Reshape { .. } if only_moves_ones(from, to) => {
                let mut long = (0..to.len()).filter(|&axis| to[axis] != 1);
                from.iter()
                    .map(|&extent| match extent {
                        1 => zero,
                        _ => long.next().map_or(zero, |axis| self.0[axis]),
                    })
                    .collect()
            }
            _ => return None,
        }))
    }

    /// A strided view under this map: offset, and stride by loop axis.
    pub(crate) fn apply(&self, view: &View, loop_rank: usize) -> View {
        let mut strides = vec![0; loop_rank];
        let mut offset = view.offset;
        for (c, &stride) in self.0.iter().zip(&view.strides) {
            offset += c.offset * stride;
            if let Some(axis) = c.axis {
                strides[axis] += c.stride * stride;
            }
        }
        View { buffer: view.buffer, offset, strides }
    }

    /// One coordinate as an affine function: offset, and stride by loop axis.
    pub(crate) fn coordinate(&self, axis: usize, loop_rank: usize) -> (isize, Vec<isize>) {
        let c = self.0[axis];
        let mut strides = vec![0; loop_rank];
        if let Some(loop_axis) = c.axis {
            strides[loop_axis] = c.stride;
        }
        (c.offset, strides)
    }

    pub(crate) fn is_identity(&self) -> bool {
        *self == IndexMap::identity(self.0.len())
    }
}

/// Whether two shapes differ only by extents of one.
pub(crate) fn only_moves_ones(from: &[usize], to: &[usize]) -> bool {
    let long = |shape: &[usize]| shape.iter().copied().filter(|&e| e != 1).collect::<Vec<_>>();
    long(from) == long(to)
}
