//! Operations that move elements.

use super::extent::Extent;
use super::file::{Typed, data_type, int, whole};
use super::held::Held;
use super::print::Printer;
use super::regroup::regrouped;
use super::unsupported;
use crate::FormatError;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::{Array, DType};
use thalweg_graph::Value;

const ONE: Extent = Extent::Fixed(1);
/// A limit past every end.
const END: i64 = i64::MAX;

impl Printer<'_> {
    pub(super) fn iota(
        &mut self,
        dtype: DType,
        axis: usize,
        value: Value,
    ) -> Result<Held, FormatError> {
        let extent = self.traced.extents(value)[axis];
        let value = match extent {
            Extent::Fixed(count) => {
                let numbers: Vec<i64> = (0..whole(count)?).collect();
                self.file.constant(&Array::vector(&numbers).convert(dtype))?
            }
            Extent::Batch(_) => {
                let count = self.file.shape(&[extent])?;
                let count = Typed { name: count, dtype: DataType::Int64, extents: vec![ONE] };
                let count = self.file.squeeze(&count, &[0])?;
                let [zero, one] = [0i64, 1].map(|n| self.file.constant(&Array::scalar(n)));
                let (zero, one) = (zero?, one?);
                let inputs = [zero.name.as_str(), &count.name, &one.name];
                let result = (DataType::Int64, vec![extent]);
                let range = self.file.one("Range", &inputs, Vec::new(), result);
                self.file.cast(&range, data_type(dtype))
            }
        };
        Ok(Held { value, axes: vec![axis], shuffle: None })
    }

    /// The same elements under another shape. Axes that come, go or stay cost nothing or little
    /// in whatever order they lie; axes that join do where they lie together.
    pub(super) fn reshape(&mut self, x: Value, value: Value) -> Result<Held, FormatError> {
        let (from, to) = (self.traced.extents(x).to_vec(), self.traced.extents(value).to_vec());
        let held = self.raw(x);
        if let Some(plan) = regrouped(&held, &from, &to) {
            let value = match &plan.kept {
                Some(gone) => self.file.squeeze(&held.value, gone)?,
                None => self.file.reshape(&held.value, &plan.extents)?,
            };
            let there = Held { value, axes: plan.axes, shuffle: plan.shuffle };
            // Pixels that became positions are no image any more: what follows has them first.
            let turned = plan.kept.is_none() && there.shuffle.is_none() && !there.axes.is_sorted();
            return Ok(match turned {
                true => {
                    let mut axes = there.axes.clone();
                    axes.sort_unstable();
                    self.file.turned(&there, &axes)
                }
                false => there,
            });
        }
        let plain = self.plain(x)?;
        Ok(Held::plain(self.file.reshape(&plain.value, &to)?))
    }

    /// A value in which nothing is repeated along some axes, and these are in order.
    pub(super) fn solid_along(&mut self, x: Value, axes: &[usize]) -> Result<Held, FormatError> {
        let extents = self.traced.extents(x).to_vec();
        let mut held = self.get(x);
        if held.shuffle.as_ref().is_some_and(|shuffle| axes.contains(&shuffle.axis)) {
            held = self.file.unshuffled(&held)?;
        }
        let there =
            |&axis: &usize| held.place(axis).is_some() && held.extent(axis) == extents[axis];
        if axes.iter().all(there) {
            return Ok(held);
        }
        let order = held.order(extents.len());
        let held = self.file.unshuffled(&held)?;
        self.file.solid(&held, &order, &extents)
    }

    pub(super) fn slice(
        &mut self,
        x: Value,
        start: &[usize],
        limit: &[usize],
        stride: &[usize],
    ) -> Result<Held, FormatError> {
        let shape = self.traced.graph.type_of(x).shape.clone();
        let extents = self.traced.extents(x).to_vec();
        let cut: Vec<usize> = (0..shape.len())
            .filter(|&axis| start[axis] > 0 || limit[axis] < shape[axis] || stride[axis] > 1)
            .collect();
        let held = self.solid_along(x, &cut)?;
        let mut lists: [Vec<i64>; 4] = Default::default();
        let mut result = held.extents.clone();
        for &axis in &cut {
            let place = held.place(axis).unwrap_or(axis);
            if extents[axis].fixed().is_none() {
                return Err(unsupported("a slice of the batch, which has any number of examples"));
            }
            let end = if limit[axis] == shape[axis] { END } else { whole(limit[axis])? };
            let numbers = [whole(start[axis])?, end, place as i64, whole(stride[axis])?];
            for (list, number) in lists.iter_mut().zip(numbers) {
                list.push(number);
            }
            let taken = limit[axis].saturating_sub(start[axis]).div_ceil(stride[axis].max(1));
            result[place] = Extent::Fixed(taken);
        }
        let value = self.sliced(&held.value, lists, result)?;
        Ok(Held { value, ..held })
    }

    /// `[starts, ends, axes, steps]`.
    fn sliced(
        &mut self,
        value: &Typed,
        lists: [Vec<i64>; 4],
        extents: Vec<Extent>,
    ) -> Result<Typed, FormatError> {
        if lists[0].is_empty() {
            return Ok(value.clone());
        }
        let mut names = vec![value.name.clone()];
        for list in &lists {
            names.push(self.file.integers(list)?);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(self.file.one("Slice", &names, Vec::new(), (value.dtype, extents)))
    }

    pub(super) fn reverse(&mut self, x: Value, axes: &[usize]) -> Result<Held, FormatError> {
        let held = self.solid_along(x, axes)?;
        let places = axes.iter().filter_map(|&axis| held.place(axis)).map(|place| place as i64);
        let n = axes.len();
        let lists = [vec![-1; n], vec![i64::MIN; n], places.collect(), vec![-1; n]];
        let value = self.sliced(&held.value, lists, held.extents.clone())?;
        Ok(Held { value, ..held })
    }

    /// One index of an axis, which goes.
    pub(super) fn index(
        &mut self,
        x: Value,
        axis: usize,
        index: usize,
    ) -> Result<Held, FormatError> {
        let held = self.solid_along(x, &[axis])?;
        let place = held.place(axis).unwrap_or(axis);
        let at = self.file.constant(&Array::scalar(whole(index)?))?;
        let mut extents = held.extents.clone();
        extents.remove(place);
        let attributes = vec![int("axis", place as i64)];
        let result = (held.dtype, extents);
        let value = self.file.one("Gather", &[&held.name, &at.name], attributes, result);
        let axes = held.axes.iter().copied().filter(|&known| known != axis).collect();
        let rest = Held { value, axes, shuffle: held.shuffle };
        Ok(rest.relabelled(|known| known - usize::from(known > axis)))
    }

    pub(super) fn pad(
        &mut self,
        inputs: &[Value],
        low: &[usize],
        high: &[usize],
        interior: &[usize],
    ) -> Result<Held, FormatError> {
        let fill = self.plain(inputs[1])?;
        let grown: Vec<usize> =
            (0..low.len()).filter(|&axis| low[axis] + high[axis] + interior[axis] > 0).collect();
        let mut held = self.as_it_lies_along(inputs[0], &grown)?;
        for &axis in &grown {
            let place = held.place(axis).unwrap_or(axis);
            let Extent::Fixed(extent) = held.extents[place] else {
                return Err(unsupported("examples added to the batch"));
            };
            let mut extents = held.extents.clone();
            if interior[axis] > 0 && extent > 0 {
                // Each element with what follows it, less what follows the last.
                let step = interior[axis] + 1;
                let apart = self.file.unsqueeze(&held.value, &[place + 1])?;
                let mut pads = vec![0i64; 2 * apart.extents.len()];
                pads[apart.extents.len() + place + 1] = whole(interior[axis])?;
                let mut wide = apart.extents.clone();
                wide[place + 1] = Extent::Fixed(step);
                let padded = self.padded(&apart, &pads, &fill.value, wide)?;
                extents[place] = Extent::Fixed(extent * step);
                let joined = self.file.reshape(&padded, &extents)?;
                let length = extent * step - interior[axis];
                extents[place] = Extent::Fixed(length);
                let lists = [vec![0], vec![whole(length)?], vec![place as i64], vec![1]];
                held.value = self.sliced(&joined, lists, extents.clone())?;
            }
            if let Extent::Fixed(extent) = extents[place] {
                extents[place] = Extent::Fixed(extent + low[axis] + high[axis]);
            }
            let rank = extents.len();
            let mut pads = vec![0i64; 2 * rank];
            (pads[place], pads[rank + place]) = (whole(low[axis])?, whole(high[axis])?);
            held.value = self.padded(&held.value.clone(), &pads, &fill.value, extents)?;
        }
        Ok(held)
    }

    fn as_it_lies_along(&mut self, x: Value, axes: &[usize]) -> Result<Held, FormatError> {
        // What is put beside repeated elements must not be repeated with them.
        if axes.is_empty() { Ok(self.get(x)) } else { self.as_it_lies(x) }
    }

    fn padded(
        &mut self,
        value: &Typed,
        pads: &[i64],
        fill: &Typed,
        extents: Vec<Extent>,
    ) -> Result<Typed, FormatError> {
        if pads.iter().all(|&pad| pad == 0) {
            return Ok(value.clone());
        }
        let pads = self.file.integers(pads)?;
        let inputs = [value.name.as_str(), &pads, &fill.name];
        Ok(self.file.one("Pad", &inputs, Vec::new(), (value.dtype, extents)))
    }

    pub(super) fn concatenate(
        &mut self,
        inputs: &[Value],
        axis: usize,
    ) -> Result<Held, FormatError> {
        let rank = self.traced.extents(inputs[0]).len();
        let lead = inputs.iter().max_by_key(|&&value| self.raw(value).axes.len());
        let order = self.raw(*lead.unwrap_or(&inputs[0])).order(rank);
        let mut parts = Vec::new();
        for &input in inputs {
            parts.push(self.solid(input, &order)?);
        }
        let place = order.iter().position(|&known| known == axis).unwrap_or(axis);
        let mut extents = parts[0].extents.clone();
        let along: Option<Vec<usize>> =
            parts.iter().map(|part| part.extents[place].fixed()).collect();
        let along = along.ok_or_else(|| unsupported("a concatenation along the batch"))?;
        extents[place] = Extent::Fixed(along.iter().sum());
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let attributes = vec![int("axis", place as i64)];
        let value = self.file.one("Concat", &names, attributes, (parts[0].dtype, extents));
        Ok(Held { value, axes: order, shuffle: None })
    }
}
