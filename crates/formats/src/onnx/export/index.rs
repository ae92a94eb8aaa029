//! Look-ups, orders, and slices that begin where the data say.

use super::extent::Extent;
use super::file::{Typed, int, text, whole};
use super::held::Held;
use super::print::Printer;
use super::unsupported;
use crate::FormatError;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::{Array, DType};
use thalweg_graph::{GatherAxes, Op, Value};

const ONE: Extent = Extent::Fixed(1);

/// Indices that are in range, and where they were.
struct Guarded {
    indices: Held,
    within: Option<Held>,
}

impl Printer<'_> {
    /// The look-up of one axis. An index outside reads zero, as in the engine; one that is an
    /// input of the model is the runtime's to refuse.
    pub(super) fn gather(
        &mut self,
        operand: Value,
        indices: Value,
        axes: GatherAxes,
    ) -> Result<Held, FormatError> {
        let from = self.traced.extents(operand).to_vec();
        let rank = self.traced.extents(indices).len();
        let GatherAxes { batch, trailing } = axes;
        let (picked, each) = (rank - batch - trailing, from.len() - batch - 1 - trailing);
        let result_rank = rank + each;
        let count = from[batch];
        let guarded = match self.given(indices) {
            true => Guarded { indices: self.indices(indices)?, within: None },
            false => self.guarded(indices, count)?,
        };
        let index = guarded.indices;
        let gathered = if batch == 0 && trailing == 0 {
            let operand = self.plain(operand)?;
            let extents = [index.extents.as_slice(), &operand.extents[1..]].concat();
            let inputs = [operand.name.as_str(), &index.name];
            let result = (operand.dtype, extents);
            Held::plain(self.file.one("Gather", &inputs, vec![int("axis", 0)], result))
        } else if picked == 1 && each == 0 {
            let operand = self.plain(operand)?;
            let inputs = [operand.name.as_str(), &index.name];
            let attributes = vec![int("axis", batch as i64)];
            let result = (operand.dtype, index.extents.clone());
            Held::plain(self.file.one("GatherElements", &inputs, attributes, result))
        } else {
            // Matched axes come first there.
            let order = |rank: usize| -> Vec<usize> {
                (rank - trailing..rank).chain(0..rank - trailing).collect()
            };
            let operand = self.solid(operand, &order(from.len()))?;
            let index = self.file.turned(&index, &order(rank));
            let index = self.file.cast(&index.value, DataType::Int64);
            let index = self.file.unsqueeze(&index, &[rank])?;
            let extents =
                [&index.extents[..rank], &operand.extents[batch + trailing + 1..]].concat();
            let inputs = [operand.name.as_str(), &index.name];
            let attributes = vec![int("batch_dims", whole(batch + trailing)?)];
            let value = self.file.one("GatherND", &inputs, attributes, (operand.dtype, extents));
            Held { value, axes: order(result_rank), shuffle: None }
        };
        let Some(within) = guarded.within else { return Ok(gathered) };
        let within =
            within.relabelled(|axis| if axis >= rank - trailing { axis + each } else { axis });
        let dtype = self.traced.graph.type_of(operand).dtype;
        let zero = self.number(dtype, 0.0)?;
        let dtype = gathered.dtype;
        self.elementwise("Where", &[within, gathered, zero], dtype, result_rank)
    }

    pub(super) fn scatter_add(
        &mut self,
        inputs: &[Value],
        axes: GatherAxes,
    ) -> Result<Held, FormatError> {
        let ty = self.traced.graph.type_of(inputs[0]);
        let (dtype, rank) = (ty.dtype, ty.rank());
        let n_index = self.traced.extents(inputs[1]).len();
        let GatherAxes { batch, trailing } = axes;
        let (picked, each) = (n_index - batch - trailing, rank - batch - 1 - trailing);
        let rows = batch == 0 && trailing == 0;
        if dtype == DType::Bool || !(rows || picked == 1 && each == 0) {
            return Err(unsupported("scatter_add along matched axes is not an operation of ONNX"));
        }
        let count = self.traced.extents(inputs[0])[batch];
        let guarded = self.guarded(inputs[1], count)?;
        let update_rank = self.traced.extents(inputs[2]).len();
        let updates = self.plain(inputs[2])?;
        let zero = self.number(dtype, 0.0)?;
        let updates = match guarded.within {
            Some(within) => {
                let full = updates.extents.clone();
                let kind = updates.dtype;
                let masked =
                    self.elementwise("Where", &[within, updates, zero], kind, update_rank)?;
                self.file.solid(&masked, &(0..update_rank).collect::<Vec<_>>(), &full)?
            }
            None => updates,
        };
        let operand = self.plain(inputs[0])?;
        let mut index = self.file.cast(&guarded.indices.value, DataType::Int64);
        let mut attributes = vec![text("reduction", "add")];
        let op = match rows {
            true => {
                index = self.file.unsqueeze(&index, &[n_index])?;
                "ScatterND"
            }
            false => {
                attributes.push(int("axis", batch as i64));
                "ScatterElements"
            }
        };
        let names = [operand.name.as_str(), &index.name, &updates.name];
        let result = (operand.dtype, operand.extents.clone());
        Ok(Held::plain(self.file.one(op, &names, attributes, result)))
    }

    /// Whether indices are an input of the model, perhaps rearranged.
    fn given(&self, mut value: Value) -> bool {
        loop {
            let node = &self.traced.graph.nodes()[value.node as usize];
            match (&node.op, node.inputs.first()) {
                (Op::Input { .. }, _) => return true,
                (
                    Op::Reshape { .. }
                    | Op::Transpose { .. }
                    | Op::Broadcast { .. }
                    | Op::Slice { .. }
                    | Op::StopGradient,
                    Some(&inner),
                ) => value = inner,
                _ => return false,
            }
        }
    }

    /// Indices as the engine lays them out, of whatever integer type the file has them in.
    fn indices(&mut self, value: Value) -> Result<Held, FormatError> {
        let extents = self.traced.extents(value).to_vec();
        let raw = self.raw(value);
        let held = match matches!(raw.dtype, DataType::Int32 | DataType::Int64) {
            true => raw,
            false => Held { value: self.file.cast(&raw.value, DataType::Int64), ..raw },
        };
        let held = self.file.unshuffled(&held)?;
        self.file.solid(&held, &(0..extents.len()).collect::<Vec<_>>(), &extents)
    }

    /// Indices with zero where they are out of `0..count`.
    fn guarded(&mut self, value: Value, count: Extent) -> Result<Guarded, FormatError> {
        let held = self.indices(value)?;
        let held = Held { value: self.file.cast(&held.value, DataType::Int64), ..held };
        let rank = held.axes.len();
        let limit = self.file.shape(&[count])?;
        let limit = Typed { name: limit, dtype: DataType::Int64, extents: vec![ONE] };
        let limit =
            Held { value: self.file.squeeze(&limit, &[0])?, axes: Vec::new(), shuffle: None };
        let zero = Held::plain(self.file.constant(&Array::scalar(0i64))?);
        let bool = DataType::Bool;
        let low = self.elementwise("GreaterOrEqual", &[held.clone(), zero.clone()], bool, rank)?;
        let high = self.elementwise("Less", &[held.clone(), limit], bool, rank)?;
        let within = self.elementwise("And", &[low, high], bool, rank)?;
        let operands = [within.clone(), held, zero];
        let indices = self.elementwise("Where", &operands, DataType::Int64, rank)?;
        Ok(Guarded { indices, within: Some(within) })
    }

    pub(super) fn arg_max(&mut self, x: Value, axis: usize) -> Result<Held, FormatError> {
        let mut held = self.as_it_lies(x)?;
        if self.traced.graph.type_of(x).dtype == DType::Bool {
            held.value = self.file.cast(&held.value, DataType::Int32);
        }
        let place = held.place(axis).unwrap_or(axis);
        let mut extents = held.extents.clone();
        extents.remove(place);
        let attributes = vec![int("axis", place as i64), int("keepdims", 0)];
        let result = (DataType::Int64, extents);
        let value = self.file.one("ArgMax", &[&held.name], attributes, result);
        let value = self.file.cast(&value, DataType::Int32);
        let axes = held.axes.iter().copied().filter(|&known| known != axis).collect();
        let rest = Held { value, axes, shuffle: None };
        Ok(rest.relabelled(|known| known - usize::from(known > axis)))
    }

    pub(super) fn sort(
        &mut self,
        inputs: &[Value],
        axis: usize,
        descending: bool,
    ) -> Result<Vec<Held>, FormatError> {
        let key = self.as_it_lies(inputs[0])?;
        let place = key.place(axis).unwrap_or(axis);
        let count = self.file.shape(&[key.extents[place]])?;
        let attributes = vec![
            int("axis", place as i64),
            int("largest", i64::from(descending)),
            int("sorted", 1),
        ];
        let extents = key.extents.clone();
        let results = [(key.dtype, extents.clone()), (DataType::Int64, extents.clone())];
        let results = self.file.emit("TopK", &[&key.name, &count], attributes, &results);
        let mut sorted = vec![Held { value: results[0].clone(), ..key.clone() }];
        for &other in &inputs[1..] {
            let other = self.solid(other, &key.axes)?;
            let names = [other.name.as_str(), &results[1].name];
            let attributes = vec![int("axis", place as i64)];
            let result = (other.dtype, extents.clone());
            let value = self.file.one("GatherElements", &names, attributes, result);
            sorted.push(Held { value, ..other });
        }
        Ok(sorted)
    }

    /// Starts, clamped so that a slice of `sizes` fits, `int64 [axes]`, without the axes along
    /// which there is nothing to choose.
    fn starts(
        &mut self,
        starts: &[Value],
        from: &[Extent],
        sizes: &[Extent],
    ) -> Result<Option<(Typed, Vec<usize>)>, FormatError> {
        let mut parts = Vec::new();
        let mut axes = Vec::new();
        for (axis, (&extent, &size)) in from.iter().zip(sizes).enumerate() {
            if extent == size {
                continue;
            }
            let (Extent::Fixed(extent), Extent::Fixed(size)) = (extent, size) else {
                return Err(unsupported("a slice of the batch, which has any number of examples"));
            };
            let start = self.plain(starts[axis])?;
            let start = Held::plain(self.file.cast(&start.value, DataType::Int64));
            let most = Held::plain(self.file.constant(&Array::scalar(whole(extent - size)?))?);
            let least = Held::plain(self.file.constant(&Array::scalar(0i64))?);
            let below = self.elementwise("Min", &[start, most], DataType::Int64, 0)?;
            let start = self.elementwise("Max", &[below, least], DataType::Int64, 0)?;
            parts.push(self.file.unsqueeze(&start.value, &[0])?.name);
            axes.push(axis);
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = parts.iter().map(String::as_str).collect();
        let result = (DataType::Int64, vec![Extent::Fixed(axes.len())]);
        Ok(Some((self.file.one("Concat", &names, vec![int("axis", 0)], result), axes)))
    }

    pub(super) fn dynamic_slice(
        &mut self,
        inputs: &[Value],
        sizes: &[usize],
    ) -> Result<Held, FormatError> {
        let from = self.traced.extents(inputs[0]).to_vec();
        let shape = self.traced.graph.type_of(inputs[0]).shape.clone();
        let to: Vec<Extent> =
            (0..from.len())
                .map(|axis| {
                    if sizes[axis] == shape[axis] { from[axis] } else { Extent::Fixed(sizes[axis]) }
                })
                .collect();
        let held = self.plain(inputs[0])?;
        let Some((starts, axes)) = self.starts(&inputs[1..], &from, &to)? else { return Ok(held) };
        let lengths: Vec<i64> =
            axes.iter().map(|&axis| whole(sizes[axis])).collect::<Result<_, _>>()?;
        let lengths = self.file.integers(&lengths)?;
        let result = (DataType::Int64, starts.extents.clone());
        let ends = self.file.one("Add", &[&starts.name, &lengths], Vec::new(), result);
        let axes = self.file.integers(&axes.iter().map(|&axis| axis as i64).collect::<Vec<_>>())?;
        let names = [held.name.as_str(), &starts.name, &ends.name, &axes];
        Ok(Held::plain(self.file.one("Slice", &names, Vec::new(), (held.dtype, to))))
    }

    /// The update padded to the operand's extents, where it is, and the operand elsewhere.
    pub(super) fn dynamic_update_slice(&mut self, inputs: &[Value]) -> Result<Held, FormatError> {
        let (to, from) =
            (self.traced.extents(inputs[0]).to_vec(), self.traced.extents(inputs[1]).to_vec());
        let (operand, update) = (self.plain(inputs[0])?, self.plain(inputs[1])?);
        let Some((starts, axes)) = self.starts(&inputs[2..], &to, &from)? else {
            return Ok(update);
        };
        let room: Vec<i64> = axes
            .iter()
            .map(|&axis| match (to[axis], from[axis]) {
                (Extent::Fixed(to), Extent::Fixed(from)) => whole(to - from),
                _ => whole(0),
            })
            .collect::<Result<_, _>>()?;
        let room = self.file.integers(&room)?;
        let result = (DataType::Int64, starts.extents.clone());
        let after = self.file.one("Sub", &[&room, &starts.name], Vec::new(), result);
        let result = (DataType::Int64, vec![Extent::Fixed(2 * axes.len())]);
        let pads = [starts.name.as_str(), &after.name];
        let pads = self.file.one("Concat", &pads, vec![int("axis", 0)], result);
        let axes = self.file.integers(&axes.iter().map(|&axis| axis as i64).collect::<Vec<_>>())?;
        // All of the update, told from the padding.
        let here = self.file.constant(&Array::scalar(1i32))?;
        let here = self.file.solid(
            &Held::plain(here).relabelled(|axis| axis),
            &(0..from.len()).collect::<Vec<_>>(),
            &from,
        )?;
        let mut padded = Vec::new();
        for part in [&here, &update] {
            let dtype = self.traced.graph.type_of(inputs[1]).dtype;
            let fill = match part.dtype {
                DataType::Int32 => self.number(DType::I32, 0.0)?,
                _ => self.number(dtype, 0.0)?,
            };
            let names = [part.name.as_str(), &pads.name, &fill.name, &axes];
            padded.push(self.file.one("Pad", &names, Vec::new(), (part.dtype, to.clone())));
        }
        let here = Held::plain(self.file.cast(&padded[0], DataType::Bool));
        let (update, dtype, rank) = (Held::plain(padded.swap_remove(1)), operand.dtype, to.len());
        self.elementwise("Where", &[here, update, operand], dtype, rank)
    }
}
