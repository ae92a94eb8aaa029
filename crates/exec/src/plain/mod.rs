//! Operations with kernels of their own, on dense buffers.
//!
//! Each element of a result is computed in one fixed order by one task, so threads never change
//! a bit.

mod factor;
mod indexing;
mod ordering;
mod solve;
mod window;

use crate::error::ExecError;
use crate::kernel::Pool;
use crate::kernel::bounds::{self, Operand};
use crate::plan::{Plain, Plan};
use thalweg_graph::{DType, Op, TensorType};

/// Runs a plan on bound inputs and outputs: `(plan, inputs, outputs, arena)`.
pub(crate) type RunPlan<'a> =
    &'a dyn Fn(&Plan, &[*mut u8], &[*mut u8], *mut u8) -> Result<(), ExecError>;

/// An operand or result: its start and its type.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub start: *mut u8,
    pub ty: &'a TensorType,
}

// SAFETY: kernels write disjoint elements of results from different tasks and only read operands.
unsafe impl Sync for Slot<'_> {}
// SAFETY: as above.
unsafe impl Send for Slot<'_> {}

impl Slot<'_> {
    /// The elements to read.
    ///
    /// # Safety
    /// `T` is the storage type, and nothing writes the elements meanwhile.
    unsafe fn read<T>(&self) -> &[T] {
        let count = self.ty.element_count();
        // SAFETY: a slot spans the elements of its type.
        unsafe { std::slice::from_raw_parts(self.source(0, count), count) }
    }

    /// Where so many elements from one on are read.
    #[inline(always)]
    fn source<T>(&self, at: usize, count: usize) -> *const T {
        let from = self.start.cast::<T>().wrapping_add(at).cast_const();
        bounds::reads(from, [0, count as isize - 1]);
        from
    }

    /// Where so many elements from one on are written.
    #[inline(always)]
    fn target<T>(&self, at: usize, count: usize) -> *mut T {
        let to = self.start.cast::<T>().wrapping_add(at);
        bounds::writes(to, [0, count as isize - 1]);
        to
    }
}

/// Calls a generic function with the storage type of elements of a size.
macro_rules! by_size {
    ($size:expr, $t:ident => $body:expr) => {
        match $size {
            1 => {
                type $t = u8;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            _ => {
                type $t = u64;
                $body
            }
        }
    };
}
use by_size;

/// Calls a generic function with the Rust type of an element type; booleans are added by `or`.
macro_rules! by_number {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::Bool => {
                type $t = bool;
                $body
            }
        }
    };
}
use by_number;

/// A number that can be added and compared.
pub(crate) trait Number: Copy + PartialOrd + Send + Sync {
    const ZERO: Self;
    fn plus(self, other: Self) -> Self;
    fn is_nan(self) -> bool;

    /// Whether this is larger than `top`, NaN being larger than all.
    fn exceeds(self, top: Self) -> bool {
        self > top || (self.is_nan() && !top.is_nan())
    }
}

macro_rules! numbers {
    ($($t:ty: $zero:expr, $plus:expr, $nan:expr);* $(;)?) => {$(
        impl Number for $t {
            const ZERO: $t = $zero;
            #[inline(always)]
            fn plus(self, other: $t) -> $t { ($plus)(self, other) }
            #[inline(always)]
            fn is_nan(self) -> bool { ($nan)(self) }
        }
    )*};
}

numbers! {
    f32: 0.0, |a: f32, b| a + b, |x: f32| x.is_nan();
    f64: 0.0, |a: f64, b| a + b, |x: f64| x.is_nan();
    i32: 0, |a: i32, b| a.wrapping_add(b), |_| false;
    i64: 0, |a: i64, b| a.wrapping_add(b), |_| false;
    u32: 0, |a: u32, b| a.wrapping_add(b), |_| false;
    bool: false, |a: bool, b: bool| a | b, |_| false;
}

/// Element `index` of an integer slot.
///
/// # Safety
/// The slot holds integers and `index` is within it.
unsafe fn integer(slot: &Slot<'_>, index: usize) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        match slot.ty.dtype {
            DType::I32 => i64::from(*slot.source::<i32>(index, 1)),
            DType::I64 => *slot.source::<i64>(index, 1),
            _ => i64::from(*slot.source::<u32>(index, 1)),
        }
    }
}

/// Bytes of working memory.
pub(crate) fn scratch_bytes(plain: &Plain, _pool: &Pool) -> usize {
    match &plain.op {
        Op::LinearSolve(_) | Op::FixedPoint(_) => solve::scratch_bytes(plain),
        _ => 0,
    }
}

/// Runs one operation.
///
/// # Safety
/// Slots have the types that the shape rule checked, results overlap nothing, and `scratch` has
/// [`scratch_bytes`].
pub(crate) unsafe fn run(
    plain: &Plain,
    pool: &Pool,
    inputs: &[Slot<'_>],
    outputs: &[Slot<'_>],
    scratch: *mut u8,
    run_plan: RunPlan<'_>,
) -> Result<(), ExecError> {
    let operands = || {
        let work = Operand::dense(scratch, scratch_bytes(plain, pool), true);
        operands(inputs, outputs).chain([work]).collect()
    };
    // SAFETY: the caller's promise.
    let run = || unsafe { kernel(plain, pool, inputs, outputs, scratch, run_plan) };
    bounds::within(operands, run)
}

/// What an operation may touch beside its working memory.
fn operands<'s>(
    inputs: &'s [Slot<'_>],
    outputs: &'s [Slot<'_>],
) -> impl Iterator<Item = Operand> + 's {
    let operand = |writable: bool| {
        move |slot: &Slot<'_>| Operand::dense(slot.start, slot.ty.size_in_bytes(), writable)
    };
    inputs.iter().map(operand(false)).chain(outputs.iter().map(operand(true)))
}

/// # Safety
/// As for [`run`].
unsafe fn kernel(
    plain: &Plain,
    pool: &Pool,
    inputs: &[Slot<'_>],
    outputs: &[Slot<'_>],
    scratch: *mut u8,
    run_plan: RunPlan<'_>,
) -> Result<(), ExecError> {
    // SAFETY: the caller's promise, passed on to each kernel.
    unsafe {
        match &plain.op {
            Op::DynamicSlice { .. } => {
                indexing::dynamic_slice(&inputs[0], &inputs[1..], &outputs[0]);
            }
            Op::DynamicUpdateSlice => {
                indexing::dynamic_update_slice(&inputs[0], &inputs[1], &inputs[2..], &outputs[0]);
            }
            Op::Gather(axes) => indexing::gather(*axes, &inputs[0], &inputs[1], &outputs[0], pool),
            Op::ScatterAdd(axes) => {
                indexing::scatter_add(*axes, &inputs[0], &inputs[1], &inputs[2], &outputs[0], pool);
            }
            Op::WindowSum(window) => window::sum(window, &inputs[0], &outputs[0], pool),
            Op::WindowArgMax(window) => window::arg_max(window, &inputs[0], &outputs[0], pool),
            Op::ArgMax { axis } => ordering::arg_max(*axis, &inputs[0], &outputs[0], pool),
            Op::Sort { axis, descending } => {
                ordering::sort(*axis, *descending, inputs, outputs, pool);
            }
            Op::CumulativeSum { axis, reverse } => {
                ordering::cumulative_sum(*axis, *reverse, &inputs[0], &outputs[0], pool);
            }
            Op::Cholesky => factor::cholesky(&inputs[0], &outputs[0], pool),
            Op::TriangularSolve { lower, transpose } => {
                factor::triangular_solve(
                    *lower,
                    *transpose,
                    &inputs[0],
                    &inputs[1],
                    &outputs[0],
                    pool,
                );
            }
            Op::SymmetricEigen => {
                factor::symmetric_eigen(&inputs[0], &outputs[0], &outputs[1], pool);
            }
            Op::LinearSolve(solve) => {
                solve::linear_solve(solve, plain, inputs, &outputs[0], scratch, run_plan)?;
            }
            Op::FixedPoint(fixed) => {
                solve::fixed_point(fixed, plain, inputs, &outputs[0], scratch, run_plan)?;
            }
            Op::Input { .. }
            | Op::Constant(_)
            | Op::Iota { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert(_)
            | Op::Bitcast(_)
            | Op::Threefry
            | Op::StopGradient
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concatenate { .. }
            | Op::Reverse { .. }
            | Op::Reduce { .. }
            | Op::Dot(_)
            | Op::Convolution(_)
            | Op::ConvolutionInputGradient { .. }
            | Op::ConvolutionWeightGradient { .. }
            | Op::Scan(_)
            | Op::While(_) => unreachable!("{} is planned otherwise", plain.op.name()),
        }
    }
    Ok(())
}

/// Extents before, of, and after an axis.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

#[cfg(test)]
mod tests;
