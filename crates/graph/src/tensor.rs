//! Handles of values under construction, and the operations on them.
//!
//! Operators follow NumPy: operands are aligned at their last axis and extents of one stretch. A
//! scalar literal takes its tensor's type; nothing else is converted implicitly.

use crate::builder::Builder;
use crate::graph::{TensorType, Value};
use crate::op::{Binary, Comparison, DotAxes, GatherAxes, Op, Reduction, Unary};
use std::ops;
use thalweg_array::DType;

/// A value of a [`Builder`].
#[derive(Clone, Copy)]
pub struct Tensor<'b> {
    pub(crate) builder: &'b Builder,
    pub(crate) value: Value,
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}.{}: {}", self.value.node, self.value.output, self.ty())
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $unary:ident),* $(,)?) => {
        impl<'b> Tensor<'b> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self) -> Tensor<'b> {
                self.unary(Unary::$unary)
            }
        )*}
    };
}

unary_methods! {
    /// Absolute value.
    abs => Abs,
    /// -1, 0 or 1.
    sign => Sign,
    /// `e^x`.
    exp => Exp,
    /// `e^x - 1` without cancellation.
    expm1 => Expm1,
    /// Natural logarithm.
    log => Log,
    /// `log(1 + x)` without cancellation.
    log1p => Log1p,
    /// Square root.
    sqrt => Sqrt,
    /// `1 / sqrt(x)`.
    rsqrt => Rsqrt,
    /// Sine.
    sin => Sin,
    /// Cosine.
    cos => Cos,
    /// Hyperbolic tangent.
    tanh => Tanh,
    /// `1 / (1 + e^-x)`.
    logistic => Logistic,
    /// Error function.
    erf => Erf,
    /// Largest integer not above.
    floor => Floor,
    /// Smallest integer not below.
    ceil => Ceil,
    /// Nearest integer, ties to even.
    round => Round,
    /// Logical or bit-wise not.
    logical_not => Not,
    /// Neither infinite nor NaN.
    is_finite => IsFinite,
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:expr),* $(,)?) => {
        impl<'b> Tensor<'b> {$(
            $(#[$doc])*
            #[track_caller]
            pub fn $method(self, other: impl Operand<'b>) -> Tensor<'b> {
                self.elementwise($op, other)
            }
        )*}
    };
}

binary_methods! {
    /// The larger of two elements; derivative one half each where they are equal.
    maximum => Op::Binary(Binary::Maximum),
    /// The smaller of two elements; derivative one half each where they are equal.
    minimum => Op::Binary(Binary::Minimum),
    /// `self` to the power `other`.
    power => Op::Binary(Binary::Power),
    /// Remainder with the sign of the dividend.
    remainder => Op::Binary(Binary::Remainder),
    /// Logical or bit-wise and.
    and => Op::Binary(Binary::And),
    /// Logical or bit-wise or.
    or => Op::Binary(Binary::Or),
    /// Logical or bit-wise exclusive or.
    xor => Op::Binary(Binary::Xor),
    /// Bits shifted left.
    shift_left => Op::Binary(Binary::ShiftLeft),
    /// Bits shifted right, zeros in.
    shift_right_logical => Op::Binary(Binary::ShiftRightLogical),
    /// Is equal.
    equal => Op::Compare(Comparison::Equal),
    /// Is not equal.
    not_equal => Op::Compare(Comparison::NotEqual),
    /// Is less.
    less => Op::Compare(Comparison::Less),
    /// Is less or equal.
    less_equal => Op::Compare(Comparison::LessEqual),
    /// Is greater.
    greater => Op::Compare(Comparison::Greater),
    /// Is greater or equal.
    greater_equal => Op::Compare(Comparison::GreaterEqual),
}

/// What may stand on the right of an operator: a tensor, or a number that takes the tensor's type.
pub trait Operand<'b> {
    /// The operand beside `left`.
    fn beside(self, left: Tensor<'b>) -> Tensor<'b>;
}

impl<'b> Operand<'b> for Tensor<'b> {
    fn beside(self, _: Tensor<'b>) -> Tensor<'b> {
        self
    }
}

impl<'b> Operand<'b> for f64 {
    #[track_caller]
    fn beside(self, left: Tensor<'b>) -> Tensor<'b> {
        let dtype = left.dtype();
        if dtype.is_integer() && self.fract() != 0.0 {
            let what = format!("a whole number beside {}", left.ty());
            left.builder.reject("number", what, self.to_string());
        }
        left.builder.scalar_of(dtype, self)
    }
}

impl<'b> Tensor<'b> {
    /// The builder that this value belongs to.
    pub fn builder(self) -> &'b Builder {
        self.builder
    }

    /// The value's place in the builder's arena.
    pub fn value(self) -> Value {
        self.value
    }

    /// Element type and shape.
    pub fn ty(self) -> TensorType {
        self.builder.type_of(self.value)
    }

    /// Element type.
    pub fn dtype(self) -> DType {
        self.ty().dtype
    }

    /// Extent of each axis.
    pub fn shape(self) -> Vec<usize> {
        self.ty().shape
    }

    /// Number of axes.
    pub fn rank(self) -> usize {
        self.ty().rank()
    }

    /// Zeros of the same type.
    #[track_caller]
    pub fn zeros_like(self) -> Tensor<'b> {
        self.builder.zeros(&self.ty())
    }

    /// An element-wise function.
    #[track_caller]
    pub fn unary(self, unary: Unary) -> Tensor<'b> {
        self.builder.emit_one(Op::Unary(unary), &[self])
    }

    #[track_caller]
    fn elementwise(self, op: Op, other: impl Operand<'b>) -> Tensor<'b> {
        let [left, right] = self.builder.stretch([self, other.beside(self)]);
        self.builder.emit_one(op, &[left, right])
    }

    /// `on_true` where this condition holds, else `on_false`.
    #[track_caller]
    pub fn select(self, on_true: impl Operand<'b>, on_false: Tensor<'b>) -> Tensor<'b> {
        let on_true = on_true.beside(on_false);
        let [condition, on_true, on_false] = self.builder.stretch([self, on_true, on_false]);
        self.builder.emit_one(Op::Select, &[condition, on_true, on_false])
    }

    /// Every element converted to another type.
    #[track_caller]
    pub fn convert(self, dtype: DType) -> Tensor<'b> {
        if self.dtype() == dtype {
            return self;
        }
        self.builder.emit_one(Op::Convert(dtype), &[self])
    }

    /// The same bits as another type.
    #[track_caller]
    pub fn bitcast(self, dtype: DType) -> Tensor<'b> {
        self.builder.emit_one(Op::Bitcast(dtype), &[self])
    }

    /// The same value with derivative zero.
    #[track_caller]
    pub fn stop_gradient(self) -> Tensor<'b> {
        self.builder.emit_one(Op::StopGradient, &[self])
    }

    /// Operand axis `i` becomes result axis `axes[i]`.
    #[track_caller]
    pub fn broadcast_in(self, shape: &[usize], axes: &[usize]) -> Tensor<'b> {
        if self.shape() == shape && axes.iter().copied().eq(0..shape.len()) {
            return self;
        }
        let op = Op::Broadcast { shape: shape.to_vec(), axes: axes.to_vec() };
        self.builder.emit_one(op, &[self])
    }

    /// Stretched to `shape`, aligned at the last axis.
    #[track_caller]
    pub fn broadcast_to(self, shape: &[usize]) -> Tensor<'b> {
        let missing = shape.len().saturating_sub(self.rank());
        let axes: Vec<usize> = (missing..missing + self.rank()).collect();
        self.broadcast_in(shape, &axes)
    }

    /// The same elements under another shape.
    #[track_caller]
    pub fn reshape(self, shape: &[usize]) -> Tensor<'b> {
        if self.shape() == shape {
            return self;
        }
        self.builder.emit_one(Op::Reshape { shape: shape.to_vec() }, &[self])
    }

    /// A new axis of extent one before axis `axis`.
    #[track_caller]
    pub fn expand(self, axis: usize) -> Tensor<'b> {
        let mut shape = self.shape();
        shape.insert(axis.min(shape.len()), 1);
        self.reshape(&shape)
    }

    /// Result axis `i` is this tensor's axis `permutation[i]`.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Tensor<'b> {
        if permutation.iter().copied().eq(0..self.rank()) {
            return self;
        }
        self.builder.emit_one(Op::Transpose { permutation: permutation.to_vec() }, &[self])
    }

    /// Axis `from` moved to position `to`, the others in order.
    #[track_caller]
    pub fn move_axis(self, from: usize, to: usize) -> Tensor<'b> {
        let mut permutation: Vec<usize> = (0..self.rank()).collect();
        if from < permutation.len() && to < permutation.len() {
            let axis = permutation.remove(from);
            permutation.insert(to, axis);
        } else {
            self.builder.reject(
                "move_axis",
                format!("axes of {}", self.ty()),
                format!("{from}, {to}"),
            );
        }
        self.transpose(&permutation)
    }

    /// Indices `start..limit` of one axis.
    #[track_caller]
    pub fn slice(self, axis: usize, start: usize, limit: usize) -> Tensor<'b> {
        let mut starts = vec![0; self.rank()];
        let mut limits = self.shape();
        if axis < limits.len() {
            starts[axis] = start;
            limits[axis] = limit;
        } else {
            self.builder.reject("slice", format!("an axis of {}", self.ty()), axis.to_string());
        }
        self.slice_all(&starts, &limits, &vec![1; self.rank()])
    }

    /// Elements `start, start + stride, ... < limit` along each axis.
    #[track_caller]
    pub fn slice_all(self, start: &[usize], limit: &[usize], stride: &[usize]) -> Tensor<'b> {
        let whole = start.iter().all(|&s| s == 0)
            && stride.iter().all(|&s| s == 1)
            && limit == self.shape();
        if whole {
            return self;
        }
        let op =
            Op::Slice { start: start.to_vec(), limit: limit.to_vec(), stride: stride.to_vec() };
        self.builder.emit_one(op, &[self])
    }

    /// One index of an axis, which is removed.
    #[track_caller]
    pub fn index(self, axis: usize, index: usize) -> Tensor<'b> {
        let mut shape = self.shape();
        if axis < shape.len() {
            shape.remove(axis);
        }
        self.slice(axis, index, index.saturating_add(1)).reshape(&shape)
    }

    /// `fill` before, after and between the elements of each axis.
    #[track_caller]
    pub fn pad(
        self,
        fill: impl Operand<'b>,
        low: &[usize],
        high: &[usize],
        interior: &[usize],
    ) -> Tensor<'b> {
        let nothing = |amounts: &[usize]| amounts.iter().all(|&amount| amount == 0);
        if nothing(low) && nothing(high) && nothing(interior) {
            return self;
        }
        let op = Op::Pad { low: low.to_vec(), high: high.to_vec(), interior: interior.to_vec() };
        self.builder.emit_one(op, &[self, fill.beside(self)])
    }

    /// The order of elements turned round along axes.
    #[track_caller]
    pub fn reverse(self, axes: &[usize]) -> Tensor<'b> {
        if axes.is_empty() {
            return self;
        }
        self.builder.emit_one(Op::Reverse { axes: axes.to_vec() }, &[self])
    }

    /// A slice of `sizes` from scalar integer starts, clamped so that it fits.
    #[track_caller]
    pub fn dynamic_slice(self, starts: &[Tensor<'b>], sizes: &[usize]) -> Tensor<'b> {
        let operands: Vec<_> = std::iter::once(self).chain(starts.iter().copied()).collect();
        self.builder.emit_one(Op::DynamicSlice { sizes: sizes.to_vec() }, &operands)
    }

    /// This tensor with `update` written at scalar integer starts, clamped so that it fits.
    #[track_caller]
    pub fn dynamic_update_slice(self, update: Tensor<'b>, starts: &[Tensor<'b>]) -> Tensor<'b> {
        let operands: Vec<_> = [self, update].into_iter().chain(starts.iter().copied()).collect();
        self.builder.emit_one(Op::DynamicUpdateSlice, &operands)
    }

    /// `[B.., N, S.., T..]` picked by `indices [B.., I.., T..]` into `[B.., I.., S.., T..]`; an
    /// index outside `0..N` reads zero.
    #[track_caller]
    pub fn gather(self, indices: Tensor<'b>, axes: GatherAxes) -> Tensor<'b> {
        self.builder.emit_one(Op::Gather(axes), &[self, indices])
    }

    /// Rows of the leading axis: `[N, S..]` by `[I..]` into `[I.., S..]`.
    #[track_caller]
    pub fn take(self, indices: Tensor<'b>) -> Tensor<'b> {
        self.gather(indices, GatherAxes { batch: 0, trailing: 0 })
    }

    /// One element along `axis` for each index; the other axes match.
    #[track_caller]
    pub fn take_along(self, indices: Tensor<'b>, axis: usize) -> Tensor<'b> {
        let trailing = self.rank().saturating_sub(axis.saturating_add(1));
        self.gather(indices, GatherAxes { batch: axis, trailing })
    }

    /// The transpose of gather: `updates` added at `indices`; one outside is dropped.
    #[track_caller]
    pub fn scatter_add(
        self,
        indices: Tensor<'b>,
        updates: Tensor<'b>,
        axes: GatherAxes,
    ) -> Tensor<'b> {
        self.builder.emit_one(Op::ScatterAdd(axes), &[self, indices, updates])
    }

    /// A reduction over axes, which are removed.
    #[track_caller]
    pub fn reduce(self, kind: Reduction, axes: &[usize]) -> Tensor<'b> {
        if axes.is_empty() {
            return self;
        }
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        self.builder.emit_one(Op::Reduce { kind, axes }, &[self])
    }

    /// Sum over axes.
    #[track_caller]
    pub fn sum(self, axes: &[usize]) -> Tensor<'b> {
        self.reduce(Reduction::Sum, axes)
    }

    /// Sum over all axes.
    #[track_caller]
    pub fn sum_all(self) -> Tensor<'b> {
        self.sum(&(0..self.rank()).collect::<Vec<_>>())
    }

    /// Largest over axes; the derivative is shared equally where several are largest.
    #[track_caller]
    pub fn max(self, axes: &[usize]) -> Tensor<'b> {
        self.reduce(Reduction::Max, axes)
    }

    /// Smallest over axes; the derivative is shared equally where several are smallest.
    #[track_caller]
    pub fn min(self, axes: &[usize]) -> Tensor<'b> {
        self.reduce(Reduction::Min, axes)
    }

    /// Index (`i32`) of the first largest element along an axis.
    #[track_caller]
    pub fn arg_max(self, axis: usize) -> Tensor<'b> {
        self.builder.emit_one(Op::ArgMax { axis }, &[self])
    }

    /// Running sum along an axis.
    #[track_caller]
    pub fn cumulative_sum(self, axis: usize, reverse: bool) -> Tensor<'b> {
        self.builder.emit_one(Op::CumulativeSum { axis, reverse }, &[self])
    }

    /// Sorted along an axis, smallest first.
    #[track_caller]
    pub fn sort(self, axis: usize) -> Tensor<'b> {
        self.builder.emit_one(Op::Sort { axis, descending: false }, &[self])
    }

    /// The general product.
    #[track_caller]
    pub fn dot(self, other: Tensor<'b>, axes: DotAxes) -> Tensor<'b> {
        self.builder.emit_one(Op::Dot(axes), &[self, other])
    }

    /// Last axis of this with the first of `other`: `[A.., k]` by `[k, B..]` into `[A.., B..]`.
    #[track_caller]
    pub fn matmul(self, other: Tensor<'b>) -> Tensor<'b> {
        let axes = DotAxes {
            lhs_contract: vec![self.rank().saturating_sub(1)],
            rhs_contract: vec![0],
            ..DotAxes::default()
        };
        self.dot(other, axes)
    }
}

impl Builder {
    /// Operands stretched to one shape, aligned at the last axis.
    #[track_caller]
    fn stretch<'b, const N: usize>(&'b self, operands: [Tensor<'b>; N]) -> [Tensor<'b>; N] {
        let shapes = operands.map(|operand| operand.shape());
        if shapes.iter().all(|shape| *shape == shapes[0]) {
            return operands;
        }
        let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
        let mut common = vec![1; rank];
        for shape in &shapes {
            for (to, &extent) in common[rank - shape.len()..].iter_mut().zip(shape) {
                if *to == 1 {
                    *to = extent;
                }
            }
        }
        // A loop, since a closure would be the caller that an error names.
        let mut stretched = operands;
        for operand in &mut stretched {
            if operand.shape() != common {
                *operand = operand.broadcast_to(&common);
            }
        }
        stretched
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $binary:ident),*) => {$(
        impl<'b> ops::$trait<Tensor<'b>> for Tensor<'b> {
            type Output = Tensor<'b>;
            #[track_caller]
            fn $method(self, other: Tensor<'b>) -> Tensor<'b> {
                self.elementwise(Op::Binary(Binary::$binary), other)
            }
        }
        impl<'b> ops::$trait<f64> for Tensor<'b> {
            type Output = Tensor<'b>;
            #[track_caller]
            fn $method(self, other: f64) -> Tensor<'b> {
                self.elementwise(Op::Binary(Binary::$binary), other)
            }
        }
        impl<'b> ops::$trait<Tensor<'b>> for f64 {
            type Output = Tensor<'b>;
            #[track_caller]
            fn $method(self, other: Tensor<'b>) -> Tensor<'b> {
                self.beside(other).elementwise(Op::Binary(Binary::$binary), other)
            }
        }
    )*};
}

operators!(Add add Add, Sub sub Subtract, Mul mul Multiply, Div div Divide);

impl<'b> ops::Neg for Tensor<'b> {
    type Output = Tensor<'b>;
    #[track_caller]
    fn neg(self) -> Tensor<'b> {
        self.unary(Unary::Negate)
    }
}
