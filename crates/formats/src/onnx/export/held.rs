//! How a value of the engine lies in the file.
//!
//! The engine's images have their channels last and its kernels their filters, ONNX has them first.
//! No value is turned round for that: each is kept in the order in which it was computed, with a
//! note of which axis is where, and what reads it either follows that order or turns it. Axes along
//! which a value is only repeated are left out, since element-wise operations repeat by
//! themselves.

use super::extent::Extent;
use super::file::{File, Typed};
use crate::FormatError;
use std::ops::Deref;

/// A value of the engine in the file.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The value of the file.
    pub(super) value: Typed,
    /// The engine's axis of each axis of the file. Along one that is missing, and along one of
    /// extent one, the value is repeated.
    pub(super) axes: Vec<usize>,
    /// An axis whose elements are in another order.
    pub(super) shuffle: Option<Shuffle>,
}

/// An axis of the engine that is several axes in one, in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shuffle {
    /// The engine's axis.
    pub(super) axis: usize,
    /// Its parts in the engine's order.
    pub(super) split: Vec<usize>,
    /// The part of each part in the file's order.
    pub(super) permutation: Vec<usize>,
}

impl Deref for Held {
    type Target = Typed;

    fn deref(&self) -> &Typed {
        &self.value
    }
}

impl Held {
    /// A value that lies as in the engine.
    pub(super) fn plain(value: Typed) -> Held {
        let axes = (0..value.extents.len()).collect();
        Held { value, axes, shuffle: None }
    }

    /// The same under other axes of the engine.
    pub(super) fn relabelled(&self, of: impl Fn(usize) -> usize) -> Held {
        let axes = self.axes.iter().map(|&axis| of(axis)).collect();
        let shuffle = self.shuffle.clone().map(|s| Shuffle { axis: of(s.axis), ..s });
        Held { value: self.value.clone(), axes, shuffle }
    }

    /// The file's axis of an axis of the engine.
    pub(super) fn place(&self, axis: usize) -> Option<usize> {
        self.axes.iter().position(|&known| known == axis)
    }

    /// The file's extent along an axis of the engine.
    pub(super) fn extent(&self, axis: usize) -> Extent {
        self.place(axis).map_or(Extent::Fixed(1), |place| self.value.extents[place])
    }

    /// Every axis of the engine in the order of the file; those that are missing first, or where
    /// they belong if the order is the engine's.
    pub(super) fn order(&self, rank: usize) -> Vec<usize> {
        if self.axes.is_sorted() {
            return (0..rank).collect();
        }
        let missing = (0..rank).filter(|axis| !self.axes.contains(axis));
        missing.chain(self.axes.iter().copied()).collect()
    }
}

impl File {
    /// The file's axes in another order of the same.
    pub(super) fn turned(&mut self, held: &Held, axes: &[usize]) -> Held {
        let permutation: Vec<usize> = axes.iter().filter_map(|&axis| held.place(axis)).collect();
        let value = self.transpose(&held.value, &permutation);
        Held { value, axes: axes.to_vec(), shuffle: held.shuffle.clone() }
    }

    /// Every axis in the engine's order of elements.
    pub(super) fn unshuffled(&mut self, held: &Held) -> Result<Held, FormatError> {
        let Some(shuffle) = &held.shuffle else { return Ok(held.clone()) };
        let mut held = Held { shuffle: None, ..held.clone() };
        let Some(place) =
            held.place(shuffle.axis).filter(|_| held.extent(shuffle.axis) != Extent::Fixed(1))
        else {
            return Ok(held);
        };
        let count = shuffle.split.len();
        let parts = shuffle.permutation.iter().map(|&part| Extent::Fixed(shuffle.split[part]));
        let mut extents = held.extents.clone();
        extents.splice(place..=place, parts);
        let apart = self.reshape(&held.value, &extents)?;
        let mut permutation: Vec<usize> = (0..extents.len()).collect();
        for (from, &part) in shuffle.permutation.iter().enumerate() {
            permutation[place + part] = place + from;
        }
        debug_assert_eq!(extents.len(), held.extents.len() + count - 1);
        let turned = self.transpose(&apart, &permutation);
        held.value = self.reshape(&turned, &held.extents.clone())?;
        Ok(held)
    }

    /// The value with its axes in an order, the last ones at the end: what an element-wise
    /// operation in that order reads.
    pub(super) fn aligned(&mut self, held: &Held, order: &[usize]) -> Result<Held, FormatError> {
        let mut axes = held.axes.clone();
        axes.sort_by_key(|axis| order.iter().position(|known| known == axis));
        let turned = self.turned(held, &axes);
        let Some(first) = axes.first() else { return Ok(turned) };
        let start = order.iter().position(|axis| axis == first).unwrap_or(0);
        let wanted = &order[start..];
        let missing: Vec<usize> =
            (0..wanted.len()).filter(|&i| !axes.contains(&wanted[i])).collect();
        let value = self.unsqueeze(&turned.value, &missing)?;
        Ok(Held { value, axes: wanted.to_vec(), shuffle: turned.shuffle })
    }

    /// The value with every axis in an order and nothing left to repeat.
    pub(super) fn solid(
        &mut self,
        held: &Held,
        order: &[usize],
        extents: &[Extent],
    ) -> Result<Held, FormatError> {
        let aligned = self.aligned(held, order)?;
        let missing: Vec<usize> = (0..order.len() - aligned.axes.len()).collect();
        let value = self.unsqueeze(&aligned.value, &missing)?;
        let wanted: Vec<Extent> = order.iter().map(|&axis| extents[axis]).collect();
        // Extents that are right already may be anything that repeats nothing.
        let grown: Vec<Extent> = wanted
            .iter()
            .zip(&value.extents)
            .map(|(&wanted, &is)| if wanted == is { Extent::Fixed(1) } else { wanted })
            .collect();
        let value = match grown.iter().all(|&extent| extent == Extent::Fixed(1)) {
            true => value,
            false => {
                let shape = self.shape(&grown)?;
                self.one("Expand", &[&value.name, &shape], Vec::new(), (value.dtype, wanted))
            }
        };
        Ok(Held { value, axes: order.to_vec(), shuffle: aligned.shuffle })
    }
}
