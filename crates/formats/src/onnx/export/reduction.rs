//! Reductions and running sums.

use super::extent::Extent;
use super::file::int;
use super::held::Held;
use super::print::Printer;
use crate::FormatError;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::{Array, DType};
use thalweg_graph::{Reduction, Value};

const ONE: Extent = Extent::Fixed(1);

impl Printer<'_> {
    /// A reduction whose axes go, or stay with extent one.
    pub(super) fn reduce(
        &mut self,
        op: &str,
        x: Value,
        axes: &[usize],
        keep: bool,
    ) -> Result<Held, FormatError> {
        let held = self.solid_along(x, axes)?;
        let shuffle = held.shuffle.clone().filter(|shuffle| !axes.contains(&shuffle.axis));
        let held = Held { shuffle, ..held };
        let reduced = self.reduced(op, &held, axes, keep)?;
        Ok(match keep {
            true => reduced,
            false => {
                let before = |axis: usize| axes.iter().filter(|&&gone| gone < axis).count();
                reduced.relabelled(|axis| axis - before(axis))
            }
        })
    }

    fn reduced(
        &mut self,
        op: &str,
        held: &Held,
        axes: &[usize],
        keep: bool,
    ) -> Result<Held, FormatError> {
        let places: Vec<usize> =
            (0..held.axes.len()).filter(|&place| axes.contains(&held.axes[place])).collect();
        let mut kept = held.extents.clone();
        places.iter().for_each(|&place| kept[place] = ONE);
        let left: Vec<usize> =
            (0..held.axes.len()).filter(|place| !places.contains(place)).collect();
        let left_axes: Vec<usize> = left.iter().map(|&place| held.axes[place]).collect();
        // The mean over the pixels of each channel has a name of its own.
        let global = op == "ReduceMean" && held.axes.len() == 4 && places == [2, 3];
        if global {
            let result = (held.dtype, kept.clone());
            let value = self.file.one("GlobalAveragePool", &[&held.name], Vec::new(), result);
            let value = match keep {
                true => return Ok(Held { value, ..held.clone() }),
                false => self.file.reshape(&value, &held.extents[..2])?,
            };
            return Ok(Held { value, axes: left_axes, shuffle: held.shuffle.clone() });
        }
        let numbers: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let list = self.file.integers(&numbers)?;
        let extents = match keep {
            true => kept,
            false => left.iter().map(|&place| held.extents[place]).collect(),
        };
        let axes = if keep { held.axes.clone() } else { left_axes };
        let attributes = vec![int("keepdims", i64::from(keep))];
        let value = self.file.one(op, &[&held.name, &list], attributes, (held.dtype, extents));
        Ok(Held { value, axes, shuffle: held.shuffle.clone() })
    }

    pub(super) fn reduction(
        &mut self,
        kind: Reduction,
        x: Value,
        axes: &[usize],
    ) -> Result<Held, FormatError> {
        if axes.is_empty() {
            return Ok(self.get(x));
        }
        let op = match kind {
            Reduction::Sum => "ReduceSum",
            Reduction::Max | Reduction::Any => "ReduceMax",
            Reduction::Min | Reduction::All => "ReduceMin",
        };
        if self.traced.graph.type_of(x).dtype != DType::Bool {
            return self.reduce(op, x, axes, false);
        }
        // Booleans have no order there.
        let mut held = self.as_it_lies(x)?;
        held.value = self.file.cast(&held.value, DataType::Int32);
        let reduced = self.reduced(op, &held, axes, false)?;
        let before = |axis: usize| axes.iter().filter(|&&gone| gone < axis).count();
        let reduced = reduced.relabelled(|axis| axis - before(axis));
        Ok(Held { value: self.file.cast(&reduced.value, DataType::Bool), ..reduced })
    }

    pub(super) fn cumulative_sum(
        &mut self,
        x: Value,
        axis: usize,
        reverse: bool,
    ) -> Result<Held, FormatError> {
        let held = self.solid_along(x, &[axis])?;
        let place = held.place(axis).unwrap_or(axis);
        let at = self.file.constant(&Array::scalar(place as i64))?;
        let attributes = vec![int("reverse", i64::from(reverse))];
        let result = (held.dtype, held.extents.clone());
        let value = self.file.one("CumSum", &[&held.name, &at.name], attributes, result);
        Ok(Held { value, ..held })
    }
}
