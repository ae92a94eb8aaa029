//! Extents that may be multiples of the batch, found by tracing a model twice.

use crate::FormatError;
use thalweg_array::DType;
use thalweg_graph::{Graph, Op, TensorType, Value};
use thalweg_nn::Model;

/// An extent of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Extent {
    /// The same for every batch.
    Fixed(usize),
    /// So many times the number of examples.
    Batch(usize),
}

use Extent::{Batch, Fixed};

impl Extent {
    /// The extent that is `seen` in batches of two sizes.
    fn of(seen: [usize; 2], batches: [usize; 2]) -> Option<Extent> {
        let [first, second] = seen;
        if first == second {
            return Some(Fixed(first));
        }
        let factor = first / batches[0];
        let fits = [factor.checked_mul(batches[0])?, factor.checked_mul(batches[1])?] == seen;
        fits.then_some(Batch(factor))
    }

    /// The number, if it is the same for every batch.
    pub(super) fn fixed(self) -> Option<usize> {
        match self {
            Fixed(extent) => Some(extent),
            Batch(_) => None,
        }
    }
}

/// The product, if it is a multiple of the batch and not of its square.
pub(super) fn product(extents: &[Extent]) -> Option<Extent> {
    extents.iter().try_fold(Fixed(1), |all, &extent| match (all, extent) {
        (Fixed(a), Fixed(b)) => a.checked_mul(b).map(Fixed),
        (Fixed(a), Batch(b)) | (Batch(a), Fixed(b)) => a.checked_mul(b).map(Batch),
        (Batch(_), Batch(_)) => None,
    })
}

/// A graph with the extents of its values for any batch.
pub(super) struct Traced {
    /// The graph for one batch.
    pub(super) graph: Graph,
    /// Extents of each result of each node.
    extents: Vec<Vec<Vec<Extent>>>,
}

/// Primes at which a model is traced, small because places of windows are counted in 31 bits.
const BATCHES: [usize; 10] = [11, 13, 17, 19, 23, 29, 31, 37, 41, 43];

impl Traced {
    /// Traces a model's evaluation.
    ///
    /// # Errors
    /// A model that is not the same function of each example in batches of every size.
    pub(super) fn new(model: &Model, float: DType) -> Result<Traced, FormatError> {
        let ports = model.inputs().iter().chain(model.outputs()).map(|port| &port.shape);
        let known: Vec<usize> =
            ports.chain(model.parameters().iter().map(|p| &p.shape)).flatten().copied().collect();
        let mut batches = BATCHES.into_iter().filter(|prime| !known.contains(prime));
        let batches = [batches.next().unwrap_or(47), batches.next().unwrap_or(53)];
        let graph = |batch| {
            model
                .evaluation_graph(float, batch)
                .map_err(|error| super::unsupported(format!("the model cannot be traced: {error}")))
        };
        Traced::of([graph(batches[0])?, graph(batches[1])?], batches)
    }

    /// Two graphs of one function as one.
    pub(super) fn of(graphs: [Graph; 2], batches: [usize; 2]) -> Result<Traced, FormatError> {
        let differs = |what: &str| {
            super::unsupported(format!(
                "the model is not one function for every number of examples: {what} for {} and \
                 for {}",
                batches[0], batches[1]
            ))
        };
        let [first, second] = graphs;
        let pairs = first.nodes().iter().zip(second.nodes());
        if first.nodes().len() != second.nodes().len() {
            return Err(differs("it takes other operations"));
        }
        let mut extents = Vec::with_capacity(first.nodes().len());
        for (a, b) in pairs {
            let operands: Vec<_> = a.inputs.iter().map(|&v| first.type_of(v)).collect();
            let others: Vec<_> = b.inputs.iter().map(|&v| second.type_of(v)).collect();
            if a.inputs != b.inputs || !same(&a.op, &b.op, &operands, &others) {
                return Err(differs(&format!("its {} is another", a.op.name())));
            }
            let types = a.types.iter().zip(&b.types).map(|(a, b)| {
                let pairs = a.shape.iter().zip(&b.shape);
                pairs.map(|(&a, &b)| Extent::of([a, b], batches)).collect::<Option<Vec<_>>>()
            });
            let types: Option<Vec<_>> = types.collect();
            let what = || differs(&format!("the extents of its {} are no multiples", a.op.name()));
            extents.push(types.ok_or_else(what)?);
        }
        Ok(Traced { graph: first, extents })
    }

    /// Extents of a value.
    pub(super) fn extents(&self, value: Value) -> &[Extent] {
        &self.extents[value.node as usize][value.output as usize]
    }
}

/// Whether two operations are one but for the batch.
fn same(a: &Op, b: &Op, operands: &[&TensorType], others: &[&TensorType]) -> bool {
    match (a, b) {
        (Op::Reshape { .. }, Op::Reshape { .. }) => true,
        (Op::Broadcast { axes: a, .. }, Op::Broadcast { axes: b, .. }) => a == b,
        (Op::Iota { dtype: a_type, axis: a, .. }, Op::Iota { dtype: b_type, axis: b, .. }) => {
            a_type == b_type && a == b
        }
        (
            Op::Slice { start: a, limit: a_limit, stride: a_stride },
            Op::Slice { start: b, limit: b_limit, stride: b_stride },
        ) => {
            // A limit is the same, or the end.
            let at_end = |limit: &[usize], types: &[&TensorType]| -> Vec<bool> {
                let shape = types.first().map(|ty| ty.shape.as_slice()).unwrap_or_default();
                shape.iter().zip(limit).map(|(extent, limit)| extent == limit).collect()
            };
            let ends = at_end(a_limit, operands).into_iter().zip(at_end(b_limit, others));
            let limits = a_limit.iter().zip(b_limit).zip(ends);
            let mut limits = limits.map(|((a, b), (a_ends, b_ends))| a == b || a_ends && b_ends);
            a == b && a_stride == b_stride && limits.all(|same| same)
        }
        (Op::DynamicSlice { .. }, Op::DynamicSlice { .. }) => true,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_of_the_batch_are_told_from_numbers() {
        assert_eq!(Extent::of([7, 7], [11, 13]), Some(Fixed(7)));
        assert_eq!(Extent::of([33, 39], [11, 13]), Some(Batch(3)));
        assert_eq!(Extent::of([12, 14], [11, 13]), None);
        assert_eq!(product(&[Fixed(2), Batch(3)]), Some(Batch(6)));
        assert_eq!(product(&[Batch(2), Batch(3)]), None);
    }
}
