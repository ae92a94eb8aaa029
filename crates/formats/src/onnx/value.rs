//! What a name stands for while the graph is traced.

use std::fmt;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor};

/// A value of the graph.
#[derive(Clone)]
pub(super) enum Value<'b> {
    /// Known while tracing: a constant, or a shape.
    Host(Array),
    /// Computed by the engine's graph.
    Tensor(Laid<'b>),
    /// A list of values.
    Sequence(Vec<Value<'b>>),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Host(array) => write!(f, "constant {}{:?}", array.dtype(), array.shape()),
            Value::Tensor(laid) => write!(f, "{}{:?}", laid.tensor.dtype(), laid.shape()),
            Value::Sequence(values) => write!(f, "sequence of {}", values.len()),
        }
    }
}

impl<'b> From<Tensor<'b>> for Value<'b> {
    fn from(tensor: Tensor<'b>) -> Value<'b> {
        Value::Tensor(Laid::plain_of(tensor))
    }
}

impl<'b> From<Laid<'b>> for Value<'b> {
    fn from(laid: Laid<'b>) -> Value<'b> {
        Value::Tensor(laid)
    }
}

impl From<Array> for Value<'_> {
    fn from(array: Array) -> Self {
        Value::Host(array)
    }
}

impl<'b> Value<'b> {
    /// Extents in the file's order of axes.
    pub fn shape(&self) -> Result<Vec<usize>, String> {
        match self {
            Value::Host(array) => Ok(array.shape().to_vec()),
            Value::Tensor(laid) => Ok(laid.shape()),
            Value::Sequence(_) => Err("a tensor is needed, got a sequence".into()),
        }
    }

    /// The tensor with its layout; constants become literals of the builder's float type.
    pub fn laid(&self, builder: &'b Builder) -> Result<Laid<'b>, String> {
        match self {
            Value::Host(array) => Ok(Laid::plain_of(literal(builder, array))),
            Value::Tensor(laid) => Ok(*laid),
            Value::Sequence(_) => Err("a tensor is needed, got a sequence".into()),
        }
    }

    /// Whether its elements are floats.
    pub fn dtype(&self) -> Option<DType> {
        match self {
            Value::Host(array) => Some(array.dtype()),
            Value::Tensor(laid) => Some(laid.tensor.dtype()),
            Value::Sequence(_) => None,
        }
    }
}

/// A constant in the engine's graph.
pub(super) fn literal<'b>(builder: &'b Builder, array: &Array) -> Tensor<'b> {
    let array =
        if array.dtype().is_float() { array.convert(builder.float()) } else { array.clone() };
    // One value everywhere needs no memory.
    if array.len() > 1 {
        let bytes = array.as_bytes();
        let size = array.dtype().size();
        if let Some(first) = bytes.get(..size)
            && bytes.chunks_exact(size).all(|element| element == first)
            && let Ok(flat) = array.reshape(&[array.len()])
            && let Ok(one) = flat.row(0)
        {
            return builder.constant(one).broadcast_in(array.shape(), &[]);
        }
    }
    builder.constant(array)
}

/// A tensor and the order in which its axes lie.
#[derive(Clone, Copy)]
pub(super) struct Laid<'b> {
    /// The axes as the engine has them.
    pub tensor: Tensor<'b>,
    /// Whether axis 1 of the file's order is the last one here.
    pub last: bool,
}

/// `[n, c, s..]` to `[n, s.., c]`.
fn outward(rank: usize) -> Vec<usize> {
    let mut permutation: Vec<usize> = (0..rank).collect();
    if rank > 2 {
        permutation.remove(1);
        permutation.push(1);
    }
    permutation
}

/// `[n, s.., c]` to `[n, c, s..]`.
fn inward(rank: usize) -> Vec<usize> {
    let mut permutation: Vec<usize> = (0..rank).collect();
    if rank > 2 {
        permutation.pop();
        permutation.insert(1, rank - 1);
    }
    permutation
}

/// A transpose that moves nothing is a reshape.
fn permuted<'b>(tensor: Tensor<'b>, permutation: &[usize]) -> Tensor<'b> {
    let shape = tensor.shape();
    let moving = permutation.iter().filter(|&&axis| shape[axis] != 1);
    if moving.clone().zip(moving.skip(1)).all(|(a, b)| a < b) {
        let target: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
        return tensor.reshape(&target);
    }
    tensor.transpose(permutation)
}

impl<'b> Laid<'b> {
    /// A tensor in the file's order.
    pub fn plain_of(tensor: Tensor<'b>) -> Laid<'b> {
        Laid { tensor, last: false }
    }

    /// A tensor with its channels last.
    pub fn last_of(tensor: Tensor<'b>) -> Laid<'b> {
        Laid { tensor, last: tensor.rank() > 2 }
    }

    /// Another tensor in the same order.
    pub fn like(self, tensor: Tensor<'b>) -> Laid<'b> {
        Laid { tensor, last: self.last }
    }

    pub fn rank(self) -> usize {
        self.tensor.rank()
    }

    /// Extents in the file's order.
    pub fn shape(self) -> Vec<usize> {
        let shape = self.tensor.shape();
        match self.last {
            true => inward(shape.len()).into_iter().map(|axis| shape[axis]).collect(),
            false => shape,
        }
    }

    /// The tensor in the file's order.
    pub fn plain(self) -> Tensor<'b> {
        match self.last {
            true => permuted(self.tensor, &inward(self.rank())),
            false => self.tensor,
        }
    }

    /// The tensor with axis 1 last.
    pub fn channels_last(self) -> Tensor<'b> {
        match self.last {
            true => self.tensor,
            false => permuted(self.tensor, &outward(self.rank())),
        }
    }

    /// Where an axis of the file's order lies.
    pub fn axis(self, axis: usize) -> usize {
        match (self.last, axis) {
            (true, 1) => self.rank() - 1,
            (true, axis) if axis > 1 => axis - 1,
            (_, axis) => axis,
        }
    }

    /// Axis by axis values of the file's order in the order here.
    pub fn ordered<T: Clone>(self, values: &[T]) -> Vec<T> {
        match self.last {
            true => outward(self.rank())
                .into_iter()
                .filter_map(|axis| values.get(axis).cloned())
                .collect(),
            false => values.to_vec(),
        }
    }
}

/// Operands brought to one order, and to one rank where one of them has its channels last.
pub(super) fn together<'b>(operands: &[Laid<'b>]) -> (Vec<Tensor<'b>>, bool) {
    let rank = operands.iter().map(|operand| operand.rank()).max().unwrap_or(0);
    let last = operands.iter().any(|operand| operand.last && operand.rank() == rank);
    if !last {
        return (operands.iter().map(|operand| operand.plain()).collect(), false);
    }
    let moved = operands.iter().map(|operand| {
        if operand.rank() == 0 || (operand.last && operand.rank() == rank) {
            return operand.tensor;
        }
        let plain = operand.plain();
        let mut shape = vec![1; rank - plain.rank()];
        shape.extend(plain.shape());
        Laid::plain_of(plain.reshape(&shape)).channels_last()
    });
    (moved.collect(), true)
}
