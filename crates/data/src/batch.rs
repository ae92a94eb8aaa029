//! The order in which examples are seen.

use crate::{DataError, Stream};
use thalweg_array::{Array, DType};

/// What becomes of the examples that do not fill a last batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastBatch {
    /// They are left out of the epoch; each epoch leaves out others.
    #[default]
    Drop,
    /// The batch is filled up from the start of the same epoch's order.
    Wrap,
}

/// Batches of fixed size, a new permutation each epoch.
///
/// # Example
/// ```
/// use thalweg_data::{Batches, LastBatch, Stream};
/// let batches = Batches::new(10, 4, LastBatch::Wrap)?;
/// let epoch = batches.epoch(&Stream::new(0, "order"), 2)?;
/// assert_eq!(epoch.shape(), [3, 4]);
/// # Ok::<(), thalweg_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    examples: usize,
    batch: usize,
    last: LastBatch,
}

impl Batches {
    /// Batches of `batch` out of `examples`.
    ///
    /// # Errors
    /// No examples or more than fit `i32`, a batch of zero, or one larger than the data.
    pub fn new(examples: usize, batch: usize, last: LastBatch) -> Result<Batches, DataError> {
        if examples == 0 || i32::try_from(examples).is_err() {
            return Err(DataError::Range {
                what: "the number of examples",
                expected: format!("1 to {}", i32::MAX),
                got: examples.to_string(),
            });
        }
        if batch == 0 || batch > examples {
            return Err(DataError::Range {
                what: "the batch size",
                expected: format!("1 to the {examples} examples there are"),
                got: batch.to_string(),
            });
        }
        Ok(Batches { examples, batch, last })
    }

    /// Examples in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Batches in an epoch.
    pub fn steps(&self) -> usize {
        match self.last {
            LastBatch::Drop => self.examples / self.batch,
            LastBatch::Wrap => self.examples.div_ceil(self.batch),
        }
    }

    /// Positions of the examples, `i32 [steps, batch]`: the permutation of the stream
    /// `order.at(epoch)`.
    ///
    /// # Errors
    /// [`DataError::Array`] if there is no room for them.
    pub fn epoch(&self, order: &Stream, epoch: u64) -> Result<Array, DataError> {
        Ok(self.epoch_of_population(std::slice::from_ref(order), epoch)?.row(0)?)
    }

    /// Positions for several members, each with an order of its own, `i32 [member, steps, batch]`;
    /// a member's rows are those that [`Batches::epoch`] gives for its stream alone.
    ///
    /// # Errors
    /// [`DataError::Array`] if there is no room for them.
    pub fn epoch_of_population(&self, orders: &[Stream], epoch: u64) -> Result<Array, DataError> {
        let mut out = Array::try_zeros(DType::I32, &[orders.len(), self.steps(), self.batch])?;
        let each = self.steps() * self.batch;
        for (positions, order) in out.as_mut_slice::<i32>()?.chunks_exact_mut(each).zip(orders) {
            let permutation = order.at(epoch).permutation(self.examples);
            for (to, from) in positions.iter_mut().zip(permutation.iter().cycle()) {
                *to = *from as i32;
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_every_example_once() {
        let order = Stream::new(0, "order");
        let wrapped = Batches::new(10, 4, LastBatch::Wrap).unwrap().epoch(&order, 0).unwrap();
        let positions = wrapped.as_slice::<i32>().unwrap();
        let mut once = positions[..10].to_vec();
        once.sort_unstable();
        assert!(once.into_iter().eq(0..10));
        assert_eq!(positions[10..], positions[..2]);
        let dropped = Batches::new(10, 4, LastBatch::Drop).unwrap().epoch(&order, 0).unwrap();
        assert_eq!(dropped.shape(), [2, 4]);
        assert_eq!(dropped.as_slice::<i32>().unwrap(), &positions[..8]);
        let next = Batches::new(10, 4, LastBatch::Wrap).unwrap().epoch(&order, 1).unwrap();
        assert_ne!(next, wrapped);
    }

    #[test]
    fn a_member_has_the_order_that_it_has_alone() {
        let batches = Batches::new(50, 8, LastBatch::Drop).unwrap();
        let orders: Vec<Stream> = (0..4).map(|seed| Stream::new(seed, "order")).collect();
        let together = batches.epoch_of_population(&orders, 3).unwrap();
        assert_eq!(together.shape(), [4, 6, 8]);
        for (member, order) in orders.iter().enumerate() {
            assert_eq!(together.row(member).unwrap(), batches.epoch(order, 3).unwrap());
        }
        assert_ne!(together.row(0).unwrap(), together.row(1).unwrap());
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Batches::new(0, 1, LastBatch::Drop).is_err());
        assert!(Batches::new(10, 0, LastBatch::Drop).is_err());
        assert_eq!(
            Batches::new(10, 11, LastBatch::Wrap).unwrap_err().to_string(),
            "the batch size is 11, expected 1 to the 10 examples there are"
        );
    }
}
