//! Operations that move elements, and reductions.

use super::extent::{Extent, product};
use super::file::{Typed, data_type, int, whole};
use super::held::{Held, Shuffle};
use super::print::Printer;
use super::unsupported;
use crate::FormatError;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::{Array, DType};
use thalweg_graph::{Reduction, Value};

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
            let value = match plan.kept {
                Some(gone) => self.file.squeeze(&held.value, &gone)?,
                None => self.file.reshape(&held.value, &plan.extents)?,
            };
            return Ok(Held { value, axes: plan.axes, shuffle: plan.shuffle });
        }
        let plain = self.plain(x)?;
        Ok(Held::plain(self.file.reshape(&plain.value, &to)?))
    }

    /// A value in which nothing is repeated along some axes, and these are in order.
    fn solid_along(&mut self, x: Value, axes: &[usize]) -> Result<Held, FormatError> {
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

/// How a value takes another shape where it lies.
struct Regrouped {
    axes: Vec<usize>,
    extents: Vec<Extent>,
    shuffle: Option<Shuffle>,
    /// The file's axes that go, if that is all that happens.
    kept: Option<Vec<usize>>,
}

/// The plan for axes that come, go, stay, part, or join where they lie together.
fn regrouped(held: &Held, from: &[Extent], to: &[Extent]) -> Option<Regrouped> {
    let blocks = blocks(from, to)?;
    let block_of = |axis: usize| blocks.iter().find(|(own, _)| own.contains(&axis));
    let mut plan =
        Regrouped { axes: Vec::new(), extents: Vec::new(), shuffle: None, kept: Some(Vec::new()) };
    let mut place = 0;
    while let Some(&axis) = held.axes.get(place) {
        let (own, new) = block_of(axis)?;
        let shuffled = held.shuffle.as_ref().filter(|shuffle| shuffle.axis == axis);
        match (own.as_slice(), new.as_slice()) {
            // An axis of one that goes.
            ([_], []) => {
                if let Some(gone) = &mut plan.kept {
                    gone.push(place);
                }
            }
            ([_], &[new]) => {
                plan.axes.push(new);
                plan.extents.push(held.extents[place]);
                if let Some(shuffle) = shuffled {
                    plan.shuffle = Some(Shuffle { axis: new, ..shuffle.clone() });
                }
            }
            // Repeated elements are repeated under any shape.
            _ if own.iter().all(|&axis| held.extent(axis) == ONE) => {
                if let Some(gone) = &mut plan.kept {
                    gone.push(place);
                }
            }
            ([_], new) => {
                if shuffled.is_some() || held.extents[place] != from[axis] {
                    return None;
                }
                plan.axes.extend(new);
                plan.extents.extend(new.iter().map(|&axis| to[axis]));
                plan.kept = None;
            }
            (own, &[new]) => {
                let run = held.axes.get(place..place + own.len())?;
                let solid = own.iter().all(|&axis| held.extent(axis) == from[axis]);
                if !solid || shuffled.is_some() || !run.iter().all(|axis| own.contains(axis)) {
                    return None;
                }
                if !run.is_sorted() {
                    if plan.shuffle.is_some() {
                        return None;
                    }
                    plan.shuffle = Some(Shuffle {
                        axis: new,
                        split: own.iter().map(|&axis| from[axis].fixed()).collect::<Option<_>>()?,
                        permutation: run.iter().map(|&axis| axis - own[0]).collect(),
                    });
                }
                plan.axes.push(new);
                plan.extents.push(to[new]);
                plan.kept = None;
                place += own.len() - 1;
            }
            _ => return None,
        }
        place += 1;
    }
    Some(plan)
}

/// Neighbouring axes before and after, block by block, that hold the same elements; axes of extent
/// one that come or go are blocks of their own.
fn blocks(from: &[Extent], to: &[Extent]) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    let mut blocks = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        match (from.get(i), to.get(j)) {
            (Some(&a), Some(&b)) if a == b => {
                blocks.push((vec![i], vec![j]));
                (i, j) = (i + 1, j + 1);
            }
            (Some(&ONE), _) => {
                blocks.push((vec![i], Vec::new()));
                i += 1;
            }
            (_, Some(&ONE)) => {
                blocks.push((Vec::new(), vec![j]));
                j += 1;
            }
            (Some(_), Some(_)) => {
                let (mut end_i, mut end_j) = (i + 1, j + 1);
                loop {
                    let (a, b) = (product(&from[i..end_i])?, product(&to[j..end_j])?);
                    if a == b {
                        break;
                    }
                    let count = |extent| match extent {
                        Extent::Fixed(n) => (0, n),
                        Extent::Batch(n) => (1, n),
                    };
                    if count(a) < count(b) && end_i < from.len() {
                        end_i += 1;
                    } else if end_j < to.len() {
                        end_j += 1;
                    } else {
                        return None;
                    }
                }
                blocks.push(((i..end_i).collect(), (j..end_j).collect()));
                (i, j) = (end_i, end_j);
            }
            _ => return None,
        }
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Extent::{Batch, Fixed};

    #[test]
    fn blocks_are_the_smallest() {
        let got = blocks(
            &[Batch(1), Fixed(4), Fixed(6), Fixed(8)],
            &[Batch(1), Fixed(24), Fixed(1), Fixed(2), Fixed(4)],
        );
        let expected: Vec<(Vec<usize>, Vec<usize>)> = vec![
            (vec![0], vec![0]),
            (vec![1, 2], vec![1]),
            (vec![], vec![2]),
            (vec![3], vec![3, 4]),
        ];
        assert_eq!(got.unwrap(), expected);
        let all = blocks(&[Batch(2), Fixed(3)], &[Fixed(3), Batch(2)]).unwrap();
        assert_eq!(all, [(vec![0, 1], vec![0, 1])]);
    }
}
