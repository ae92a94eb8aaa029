//! Shape rules of windows, products, convolutions and factorisations.

use super::{Inferred, arity, floats, numbers, one};
use crate::error::{Mismatch, ensure};
use crate::graph::TensorType;
use crate::op::{ConvolutionWindow, DotAxes, Op, Window, window_extent};
use thalweg_array::DType;

pub(super) fn infer(op: &Op, inputs: &[&TensorType]) -> Inferred {
    match op {
        Op::WindowSum(window) => {
            arity(inputs, 1)?;
            numbers(inputs[0])?;
            one(inputs[0].dtype, windowed(inputs[0], window)?)
        }
        Op::WindowArgMax(window) => {
            arity(inputs, 1)?;
            numbers(inputs[0])?;
            let shape = windowed(inputs[0], window)?;
            ensure!(
                (0..shape.len()).all(|axis| each_holds_an_element(
                    inputs[0].shape[axis],
                    shape[axis],
                    window,
                    axis
                )),
                "padding so small that every window holds an element",
                format!("{:?} for {:?} over {}", window.padding, window.size, inputs[0])
            );
            ensure!(
                i32::try_from(inputs[0].element_count()).is_ok(),
                "fewer than 2^31 elements",
                inputs[0].to_string()
            );
            one(DType::I32, shape)
        }
        Op::Dot(axes) => {
            arity(inputs, 2)?;
            dot(inputs[0], inputs[1], axes)
        }
        Op::Convolution(window) => {
            arity(inputs, 2)?;
            convolution(inputs[0], inputs[1], window)
        }
        Op::ConvolutionInputGradient { window, input } => {
            arity(inputs, 2)?;
            let (population, dy, w) = operands(inputs[0], inputs[1], window)?;
            let mut x = vec![dy[0], input[0], input[1], w[2].saturating_mul(window.groups)];
            let expected = result(&x, &w, window)?;
            ensure!(
                dy == expected,
                format!("an output gradient of shape {expected:?}"),
                inputs[0].to_string()
            );
            prepend(population, &mut x);
            one(inputs[0].dtype, x)
        }
        Op::ConvolutionWeightGradient { window, kernel } => {
            arity(inputs, 2)?;
            let (population, x, dy) = operands(inputs[0], inputs[1], window)?;
            ensure!(
                window.groups > 0 && x[3].is_multiple_of(window.groups),
                format!("channels in {} groups", window.groups),
                inputs[0].to_string()
            );
            let mut w = vec![kernel[0], kernel[1], x[3] / window.groups, dy[3]];
            let expected = result(&x, &w, window)?;
            ensure!(
                dy == expected,
                format!("an output gradient of shape {expected:?}"),
                inputs[1].to_string()
            );
            prepend(population, &mut w);
            one(inputs[0].dtype, w)
        }
        Op::Cholesky => {
            arity(inputs, 1)?;
            square(inputs[0])?;
            Ok(vec![inputs[0].clone()])
        }
        Op::TriangularSolve { .. } => {
            arity(inputs, 2)?;
            square(inputs[0])?;
            let rank = inputs[0].rank();
            let fits = inputs[1].dtype == inputs[0].dtype
                && inputs[1].rank() == rank
                && inputs[1].shape[..rank - 1] == inputs[0].shape[..rank - 1];
            ensure!(
                fits,
                format!("a right side with rows of {}", inputs[0]),
                inputs[1].to_string()
            );
            Ok(vec![inputs[1].clone()])
        }
        Op::SymmetricEigen => {
            arity(inputs, 1)?;
            square(inputs[0])?;
            let values = inputs[0].shape[..inputs[0].rank() - 1].to_vec();
            Ok(vec![TensorType::new(inputs[0].dtype, values), inputs[0].clone()])
        }
        _ => unreachable!("{} is not a contraction", op.name()),
    }
}

fn windowed(input: &TensorType, window: &Window) -> Result<Vec<usize>, Mismatch> {
    let rank = input.rank();
    let counts =
        [window.size.len(), window.stride.len(), window.padding.len(), window.dilation.len()];
    ensure!(
        counts.iter().all(|&count| count == rank),
        format!("a window over {rank} axes"),
        format!("{counts:?} sizes, strides, paddings and dilations")
    );
    (0..rank)
        .map(|axis| {
            window_extent(
                input.shape[axis],
                window.size[axis],
                window.stride[axis],
                window.padding[axis],
                window.dilation[axis],
            )
            .ok_or_else(|| {
                Mismatch::new(
                    format!("a window that fits axis {axis} of {input}"),
                    format!(
                        "size {} stride {} padding {:?} dilation {}",
                        window.size[axis],
                        window.stride[axis],
                        window.padding[axis],
                        window.dilation[axis]
                    ),
                )
            })
        })
        .collect()
}

/// Most windows that may start in the padding before an operand shorter than a step: each is looked
/// at, and no one means as many.
const MOST_BEFORE: usize = 1 << 16;

/// Whether each of `n_windows` windows along an axis has an element that is not padding. With
/// dilation a window may step over a short operand altogether.
fn each_holds_an_element(extent: usize, n_windows: usize, window: &Window, axis: usize) -> bool {
    let (low, high) = window.padding[axis];
    let (size, dilation) = (window.size[axis], window.dilation[axis]);
    // A window that starts within the operand or, undilated, reaches into it, holds an element;
    // only the few that start in the padding before it are looked at one by one.
    let reach = dilation * (size - 1) + 1;
    if extent == 0 || high >= reach || low >= reach {
        return false;
    }
    // Steps no longer than the operand do not step over it.
    if dilation <= extent {
        return true;
    }
    let before = n_windows.min(low.div_ceil(window.stride[axis]));
    before <= MOST_BEFORE
        && (0..n_windows).map(|i| i * window.stride[axis]).take_while(|&start| start < low).all(
            |start| {
                let steps = (low - start).div_ceil(dilation);
                steps < size && start + steps * dilation - low < extent
            },
        )
}

fn dot(lhs: &TensorType, rhs: &TensorType, axes: &DotAxes) -> Inferred {
    ensure!(lhs.dtype == rhs.dtype, lhs.dtype.to_string(), rhs.dtype.to_string());
    floats(lhs)?;
    let pairs = |left: &[usize], right: &[usize]| -> Result<(), Mismatch> {
        ensure!(
            left.len() == right.len(),
            format!("as many right as left axes {left:?}"),
            format!("{right:?}")
        );
        for (&l, &r) in left.iter().zip(right) {
            let equal = lhs.shape.get(l).is_some_and(|extent| rhs.shape.get(r) == Some(extent));
            ensure!(
                equal,
                format!("equal extents of left axis {l} and right axis {r}"),
                format!("{lhs} and {rhs}")
            );
        }
        Ok(())
    };
    pairs(&axes.lhs_batch, &axes.rhs_batch)?;
    pairs(&axes.lhs_contract, &axes.rhs_contract)?;
    let distinct = |batch: &[usize], contract: &[usize]| {
        let mut all = [batch, contract].concat();
        all.sort_unstable();
        all.windows(2).all(|pair| pair[0] != pair[1])
    };
    ensure!(
        distinct(&axes.lhs_batch, &axes.lhs_contract)
            && distinct(&axes.rhs_batch, &axes.rhs_contract),
        "each axis named once",
        format!("{axes:?}")
    );
    let mut shape: Vec<usize> = axes.lhs_batch.iter().map(|&axis| lhs.shape[axis]).collect();
    let free = DotAxes::free(lhs.rank(), &axes.lhs_batch, &axes.lhs_contract);
    shape.extend(free.into_iter().map(|axis| lhs.shape[axis]));
    let free = DotAxes::free(rhs.rank(), &axes.rhs_batch, &axes.rhs_contract);
    shape.extend(free.into_iter().map(|axis| rhs.shape[axis]));
    one(lhs.dtype, shape)
}

/// A population's extent, and the shapes of two operands without that axis.
type Split = (Option<usize>, Vec<usize>, Vec<usize>);

fn operands(
    lhs: &TensorType,
    rhs: &TensorType,
    window: &ConvolutionWindow,
) -> Result<Split, Mismatch> {
    ensure!(lhs.dtype == rhs.dtype, lhs.dtype.to_string(), rhs.dtype.to_string());
    floats(lhs)?;
    let split = |ty: &TensorType, population: bool| {
        let rank = 4 + usize::from(population);
        ensure!(ty.rank() == rank, format!("an operand of rank {rank}"), ty.to_string());
        Ok(if population {
            (Some(ty.shape[0]), ty.shape[1..].to_vec())
        } else {
            (None, ty.shape.clone())
        })
    };
    let (left, x) = split(lhs, window.lhs_population)?;
    let (right, w) = split(rhs, window.rhs_population)?;
    if let (Some(left), Some(right)) = (left, right) {
        ensure!(left == right, format!("a population of {left}"), right.to_string());
    }
    Ok((left.or(right), x, w))
}

/// Shape of a convolution's result, without the population axis.
fn result(x: &[usize], w: &[usize], window: &ConvolutionWindow) -> Result<Vec<usize>, Mismatch> {
    let fits = window.groups > 0
        && w[2].checked_mul(window.groups) == Some(x[3])
        && w[3].is_multiple_of(window.groups);
    ensure!(
        fits,
        format!("a kernel [height, width, in / groups, out] for {} groups of {x:?}", window.groups),
        format!("{w:?}")
    );
    let extent = |i: usize| {
        window.output_extent(i, x[1 + i], w[i]).ok_or_else(|| {
            Mismatch::new(format!("a kernel that fits {x:?}"), format!("{w:?} with {window:?}"))
        })
    };
    Ok(vec![x[0], extent(0)?, extent(1)?, w[3]])
}

fn convolution(lhs: &TensorType, rhs: &TensorType, window: &ConvolutionWindow) -> Inferred {
    let (population, x, w) = operands(lhs, rhs, window)?;
    let mut shape = result(&x, &w, window)?;
    prepend(population, &mut shape);
    one(lhs.dtype, shape)
}

fn prepend(population: Option<usize>, shape: &mut Vec<usize>) {
    if let Some(population) = population {
        shape.insert(0, population);
    }
}

fn square(ty: &TensorType) -> Result<(), Mismatch> {
    floats(ty)?;
    let rank = ty.rank();
    ensure!(
        rank >= 2 && ty.shape[rank - 1] == ty.shape[rank - 2],
        "square matrices in the last two axes",
        ty.to_string()
    );
    Ok(())
}
