//! One more value, made of those that are there.
//!
//! In an exact graph every element is an integer of at most nine in size after each step
//! ([`Grower::tame`]), so that every sum is exact in `f32` and the executor must meet the oracle
//! to the bit, whatever is sorted, compared or converted.

use crate::numbers::Numbers;
use crate::{dense, loops};
use thalweg_array::{Array, DType};
use thalweg_graph::{
    Binary, Builder, Comparison, GatherAxes, Op, Reduction, Tensor, TensorType, Unary,
};

/// Most elements of a value.
const MOST: usize = 40_000;

pub struct Grower<'b> {
    pub b: &'b Builder,
    pub values: Vec<Tensor<'b>>,
    pub exact: bool,
    /// Loops around this graph.
    pub depth: usize,
}

impl<'b> Grower<'b> {
    /// A value for which something holds, rather a new one.
    pub fn pick(
        &self,
        numbers: &mut Numbers,
        holds: impl Fn(&Tensor<'b>) -> bool,
    ) -> Option<Tensor<'b>> {
        let fit: Vec<_> = self.values.iter().copied().filter(|x| holds(x)).collect();
        let back = if numbers.once_in(3) { numbers.below(fit.len()) } else { numbers.below(3) };
        fit.len().checked_sub(1 + back.min(fit.len().saturating_sub(1))).map(|at| fit[at])
    }

    /// Any value of numbers.
    pub fn number(&self, numbers: &mut Numbers) -> Option<Tensor<'b>> {
        self.pick(numbers, |x| x.dtype() != DType::Bool)
    }

    pub fn float(&self, numbers: &mut Numbers) -> Option<Tensor<'b>> {
        self.pick(numbers, |x| x.dtype().is_float())
    }

    /// Small again: the next step may multiply or sum it.
    pub fn tame(&self, x: Tensor<'b>) -> Tensor<'b> {
        match x.dtype() {
            DType::Bool => x,
            DType::U32 => x.minimum(9.0),
            dtype if dtype.is_float() && !self.exact => x.tanh(),
            _ => x.maximum(-9.0).minimum(9.0),
        }
    }

    /// The elements of `x`, cut or repeated, under another shape and type.
    pub fn resized(&self, x: Tensor<'b>, ty: &TensorType) -> Tensor<'b> {
        let (have, want) = (x.ty().element_count(), ty.element_count());
        let x = if x.dtype() == ty.dtype { x } else { self.tame(x.convert(ty.dtype)) };
        if have == 0 {
            return self.b.full(ty, 1.0);
        }
        let flat = x.reshape(&[have]);
        let flat = match want.div_ceil(have) {
            0 | 1 => flat.slice(0, 0, want),
            times => flat.broadcast_to(&[times, have]).reshape(&[times * have]).slice(0, 0, want),
        };
        flat.reshape(&ty.shape)
    }

    /// Integers that are often in `0..n`.
    pub fn indices(&self, numbers: &mut Numbers, n: usize, shape: &[usize]) -> Tensor<'b> {
        let dtype = numbers.pick(&[DType::I32, DType::I64, DType::U32]);
        let source = self.pick(numbers, |x| !x.dtype().is_float() || self.exact);
        let counted = TensorType::new(dtype, shape);
        let count = shape.iter().product::<usize>();
        let iota = self.b.iota(dtype, &[count], 0).reshape(shape);
        let mixed = match source {
            Some(source) => self.resized(source, &counted) * 3.0 + iota,
            None => iota,
        };
        // Now and then beyond the end.
        mixed.remainder((n + numbers.below(2)).max(1) as f64)
    }
}

/// Adds a value, or none where none fits.
pub fn step<'b>(grower: &mut Grower<'b>, numbers: &mut Numbers) {
    let grown = match numbers.below(10) {
        0 | 1 => elementwise(grower, numbers),
        2..=4 => moved(grower, numbers),
        5 => reduced(grower, numbers),
        6 => indexed(grower, numbers),
        7 | 8 => dense::step(grower, numbers),
        _ => loops::step(grower, numbers),
    };
    for value in grown {
        if value.rank() <= 6 && value.ty().element_count() <= MOST {
            grower.values.push(grower.tame(value));
        }
    }
}

fn elementwise<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.pick(numbers, |_| true) else { return Vec::new() };
    let (ty, dtype) = (x.ty(), x.dtype());
    let float = dtype.is_float();
    let alike = grower.pick(numbers, |y| y.ty() == ty).unwrap_or(x);
    // Another value, or one that stretches along some axes.
    let y = match numbers.below(3) {
        0 => alike,
        _ => {
            let narrow: Vec<usize> =
                ty.shape.iter().map(|&n| if numbers.once_in(2) { 1 } else { n }).collect();
            let cut = numbers.below(narrow.len() + 1);
            let source = grower.pick(numbers, |_| true).unwrap_or(x);
            if float && !grower.exact && !source.dtype().is_float() {
                alike
            } else {
                grower.resized(source, &TensorType::new(dtype, &narrow[cut..]))
            }
        }
    };
    let smooth = [Unary::Tanh, Unary::Sin, Unary::Cos, Unary::Exp, Unary::Erf, Unary::Logistic];
    let kinked = [Unary::Abs, Unary::Sign, Unary::Floor, Unary::Ceil, Unary::Round];
    vec![match (numbers.below(8), dtype) {
        (0..=2, DType::Bool) => {
            let kind = numbers.pick(&[0, 1, 2]);
            [x.and(y), x.or(y), x.xor(y)][kind]
        }
        (3, DType::Bool) => x.logical_not(),
        (0, _) => x + y,
        (1, _) => x * y,
        (2, DType::U32) => x.maximum(y) - x.minimum(y),
        (2, _) => x - y,
        (3, _) if grower.exact => x.maximum(y).minimum(x + y),
        (4, _) if float && !grower.exact => x.unary(numbers.pick(&smooth)),
        (4, _) if float => x.unary(numbers.pick(&kinked)),
        (4, DType::U32) => x.shift_right_logical(numbers.below(3) as f64),
        (4, DType::Bool) => x,
        (4, _) => x.unary(numbers.pick(&[Unary::Negate, Unary::Abs, Unary::Sign])),
        (5, _) if grower.exact || !float => {
            let comparison = numbers.pick(&Comparison::ALL);
            let y = if y.ty() == ty { y } else { alike };
            let holds = grower.b.emit_one(Op::Compare(comparison), &[x, y]);
            if numbers.once_in(2) {
                return vec![holds];
            }
            holds.select(x, alike)
        }
        (6, _) if grower.exact => x.convert(numbers.pick(&DType::ALL)),
        (6, DType::F64 | DType::I64) => {
            let other = if float { DType::I64 } else { DType::F64 };
            x.bitcast(other).bitcast(dtype)
        }
        (7, DType::I32 | DType::I64 | DType::U32) => {
            let op = numbers.pick(&[Binary::Divide, Binary::Remainder, Binary::Xor, Binary::And]);
            grower.b.emit_one(Op::Binary(op), &[x, alike])
        }
        (7, _) => x.stop_gradient(),
        _ => x,
    }]
}

fn factors(numbers: &mut Numbers, mut n: usize) -> Vec<usize> {
    let mut shape = Vec::new();
    for prime in [2, 3, 5, 7, 11, 13] {
        while n > 0 && n.is_multiple_of(prime) && numbers.below(3) > 0 {
            shape.push(prime);
            n /= prime;
        }
    }
    shape.push(n);
    if numbers.once_in(3) {
        shape.push(1);
    }
    let order = numbers.permutation(shape.len());
    let shape: Vec<usize> = order.into_iter().map(|i| shape[i]).collect();
    // Few axes, so that the next steps stay small.
    if shape.len() > 5 { vec![shape.iter().product()] } else { shape }
}

/// Views, and what looks like one.
fn moved<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.pick(numbers, |_| true) else { return Vec::new() };
    let (shape, rank) = (x.shape(), x.rank());
    let axis = numbers.below(rank);
    vec![match numbers.below(9) {
        0 | 1 => x.transpose(&numbers.permutation(rank)),
        2 => x.reshape(&factors(numbers, shape.iter().product())),
        3 if rank > 0 => {
            let axes: Vec<usize> = (0..rank).filter(|_| numbers.once_in(2)).collect();
            x.reverse(&axes)
        }
        4 if rank > 0 => {
            let mut start = Vec::new();
            let (mut limit, mut stride) = (Vec::new(), Vec::new());
            for &extent in &shape {
                let from = numbers.below(extent + 1).min(numbers.below(extent + 1));
                start.push(from);
                limit.push(numbers.between(from, extent).max(numbers.between(from, extent)));
                stride.push(numbers.pick(&[1, 1, 2, 3]));
            }
            x.slice_all(&start, &limit, &stride)
        }
        5 => {
            let stretched: Vec<usize> =
                shape.iter().map(|&n| if n == 1 { numbers.pick(&[1, 2, 5]) } else { n }).collect();
            let front = if numbers.once_in(2) { vec![numbers.pick(&[1, 2, 3, 0])] } else { vec![] };
            x.broadcast_to(&[front, stretched].concat())
        }
        6 if rank > 0 => {
            let mut amounts = || -> Vec<usize> {
                (0..rank).map(|_| if numbers.once_in(2) { numbers.below(3) } else { 0 }).collect()
            };
            let (low, high, interior) = (amounts(), amounts(), amounts());
            let fill = if x.dtype() == DType::Bool { 1.0 } else { 2.0 };
            x.pad(fill, &low, &high, &interior)
        }
        7 if rank > 0 => {
            let alike = |y: &Tensor<'b>| {
                let (mut own, mut other) = (shape.clone(), y.shape());
                y.dtype() == x.dtype() && y.rank() == rank && {
                    own.remove(axis);
                    other.remove(axis);
                    own == other
                }
            };
            let mut parts = vec![x];
            for _ in 0..numbers.below(3) {
                parts.extend(grower.pick(numbers, alike));
            }
            parts.push(x.slice(axis, 0, shape[axis] / 2));
            grower.b.concatenate(&parts, axis)
        }
        8 => x.expand(numbers.below(rank + 1)),
        _ => x,
    }]
}

fn reduced<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.pick(numbers, |x| x.rank() > 0) else { return Vec::new() };
    let axes: Vec<usize> = (0..x.rank()).filter(|_| numbers.once_in(2)).collect();
    let kind = match x.dtype() {
        DType::Bool => numbers.pick(&[Reduction::All, Reduction::Any]),
        dtype if dtype.is_float() && !grower.exact => Reduction::Sum,
        _ => numbers.pick(&[Reduction::Sum, Reduction::Max, Reduction::Min]),
    };
    let reduced = x.reduce(kind, &axes);
    // A mean taken away, as a normalisation does: a loop that reads what it reduced.
    if kind == Reduction::Sum && x.dtype().is_float() && numbers.once_in(2) {
        return vec![x - grower.tame(reduced).keep(&axes)];
    }
    vec![reduced]
}

fn indexed<'b>(grower: &Grower<'b>, numbers: &mut Numbers) -> Vec<Tensor<'b>> {
    let Some(x) = grower.pick(numbers, |x| x.rank() > 0) else { return Vec::new() };
    let (shape, rank) = (x.shape(), x.rank());
    let starts = |numbers: &mut Numbers| -> Vec<Tensor<'b>> {
        shape.iter().map(|&n| grower.indices(numbers, n, &[])).collect()
    };
    vec![match numbers.below(5) {
        0 => {
            let sizes: Vec<usize> =
                shape.iter().map(|&n| numbers.between(0, n).max(n / 2)).collect();
            x.dynamic_slice(&starts(numbers), &sizes)
        }
        1 => {
            let sizes: Vec<usize> = shape.iter().map(|&n| numbers.between(0, n)).collect();
            let other = grower.pick(numbers, |y| y.dtype() == x.dtype()).unwrap_or(x);
            let update = grower.resized(other, &TensorType::new(x.dtype(), sizes));
            x.dynamic_update_slice(update, &starts(numbers))
        }
        kind => {
            let batch = numbers.below(rank);
            let trailing = numbers.below(rank - batch);
            let picks: Vec<usize> =
                (0..numbers.below(3)).map(|_| numbers.pick(&[1, 2, 3, 5])).collect();
            let index_shape = [&shape[..batch], &picks, &shape[rank - trailing..]].concat();
            let axes = GatherAxes { batch, trailing };
            let indices = grower.indices(numbers, shape[batch], &index_shape);
            if kind < 4 {
                return vec![x.gather(indices, axes)];
            }
            let updates = [
                &shape[..batch],
                &picks,
                &shape[batch + 1..rank - trailing],
                &shape[rank - trailing..],
            ]
            .concat();
            let other = grower.pick(numbers, |y| y.dtype() == x.dtype()).unwrap_or(x);
            let updates = grower.resized(other, &TensorType::new(x.dtype(), updates));
            x.scatter_add(indices, updates, axes)
        }
    }]
}

/// A literal of a type.
pub fn literal<'b>(grower: &Grower<'b>, numbers: &mut Numbers, ty: &TensorType) -> Tensor<'b> {
    let array: Array = numbers.array(ty.dtype, &ty.shape, grower.exact);
    grower.b.constant(array)
}
