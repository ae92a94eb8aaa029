//! The three convolutions: one sum over triples of an input pixel, a weight and an output pixel,
//! read in three ways.

use super::dense::Dense;
use thalweg_graph::{ConvolutionWindow, TensorType};

pub(super) fn convolution(x: &Dense, w: &Dense, ty: &TensorType, it: &ConvolutionWindow) -> Dense {
    over_members(x, w, ty, it, |x, w, y| {
        let shapes = [x.shape, w.shape, y.shape];
        for_each_triple(shapes, it, |at_x, at_w, at_y| {
            y.floats[at_y] += x.floats[at_x] * w.floats[at_w]
        });
    })
}

pub(super) fn input_gradient(
    dy: &Dense,
    w: &Dense,
    ty: &TensorType,
    it: &ConvolutionWindow,
) -> Dense {
    over_members(dy, w, ty, it, |dy, w, dx| {
        let shapes = [dx.shape, w.shape, dy.shape];
        for_each_triple(shapes, it, |at_x, at_w, at_y| {
            dx.floats[at_x] += dy.floats[at_y] * w.floats[at_w];
        });
    })
}

pub(super) fn weight_gradient(
    x: &Dense,
    dy: &Dense,
    ty: &TensorType,
    it: &ConvolutionWindow,
) -> Dense {
    over_members(x, dy, ty, it, |x, dy, dw| {
        let shapes = [x.shape, dw.shape, dy.shape];
        for_each_triple(shapes, it, |at_x, at_w, at_y| {
            dw.floats[at_w] += x.floats[at_x] * dy.floats[at_y];
        });
    })
}

/// One member of an operand: four extents and its floats.
struct Member<'a> {
    shape: [usize; 4],
    floats: &'a [f64],
}

/// One member of the result.
struct MemberMut<'a> {
    shape: [usize; 4],
    floats: &'a mut [f64],
}

/// Calls `each` for every member of the population, with operands that have none shared.
fn over_members(
    lhs: &Dense,
    rhs: &Dense,
    ty: &TensorType,
    it: &ConvolutionWindow,
    each: impl Fn(&Member<'_>, &Member<'_>, &mut MemberMut<'_>),
) -> Dense {
    let four = |shape: &[usize]| -> [usize; 4] {
        shape[shape.len() - 4..].try_into().expect("a slice of four")
    };
    let (left, right) = (lhs.floats(), rhs.floats());
    let population = if it.has_population() { ty.shape[0] } else { 1 };
    let (shape_left, shape_right, shape) = (four(&lhs.shape), four(&rhs.shape), four(&ty.shape));
    let size = |shape: [usize; 4]| shape.iter().product::<usize>();
    let mut result = vec![0.0; population * size(shape)];
    for p in 0..population {
        let at_left = if it.lhs_population { p * size(shape_left) } else { 0 };
        let at_right = if it.rhs_population { p * size(shape_right) } else { 0 };
        each(
            &Member { shape: shape_left, floats: &left[at_left..at_left + size(shape_left)] },
            &Member { shape: shape_right, floats: &right[at_right..at_right + size(shape_right)] },
            &mut MemberMut { shape, floats: &mut result[p * size(shape)..(p + 1) * size(shape)] },
        );
    }
    Dense::from_floats(ty.dtype, &ty.shape, &result)
}

/// Calls `visit(at_x, at_w, at_y)` for every product `x * w` that is part of a `y`: `x [batch,
/// height, width, in]`, `w [height, width, in / groups, out]`, `y [batch, height, width, out]`.
fn for_each_triple(
    [x, w, y]: [[usize; 4]; 3],
    it: &ConvolutionWindow,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let offset = |shape: [usize; 4], i: [usize; 4]| {
        ((i[0] * shape[1] + i[1]) * shape[2] + i[2]) * shape[3] + i[3]
    };
    let source = |axis: usize, output: usize, kernel: usize| {
        let padded = output * it.stride[axis] + kernel * it.dilation[axis];
        padded.checked_sub(it.padding[axis].0).filter(|&i| i < x[1 + axis])
    };
    let in_each_group = w[2];
    let out_each_group = w[3] / it.groups;
    for n in 0..y[0] {
        for row in 0..y[1] {
            for column in 0..y[2] {
                for kernel_row in 0..w[0] {
                    let Some(x_row) = source(0, row, kernel_row) else { continue };
                    for kernel_column in 0..w[1] {
                        let Some(x_column) = source(1, column, kernel_column) else { continue };
                        for out in 0..w[3] {
                            let group = out / out_each_group;
                            for channel in 0..in_each_group {
                                let from = group * in_each_group + channel;
                                visit(
                                    offset(x, [n, x_row, x_column, from]),
                                    offset(w, [kernel_row, kernel_column, channel, out]),
                                    offset(y, [n, row, column, out]),
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}
