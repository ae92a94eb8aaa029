//! Operations that move elements and do not compute.

use super::elementwise::alike;
use crate::onnx::batch::{Batch, Place};
use crate::onnx::call::{Call, Outcome, axis_of, integers, one};
use crate::onnx::value::{Laid, Value};
use thalweg_array::{Array, element_count};
use thalweg_graph::Tensor;

/// Elements of the largest tensor that an operation may make out of few.
const MOST_ELEMENTS: usize = 1 << 29;

/// Extents that a file gives as integers.
pub(in crate::onnx) fn extents(values: &[i64]) -> Result<Vec<usize>, String> {
    let each = values.iter().map(|&extent| usize::try_from(extent));
    each.collect::<Result<_, _>>().map_err(|_| format!("a shape of {values:?}"))
}

/// Refuses a result that no machine should be asked for.
pub(in crate::onnx) fn check_large(shape: &[usize]) -> Result<(), String> {
    match element_count(shape) {
        Some(count) if count <= MOST_ELEMENTS => Ok(()),
        _ => Err(format!("its result of shape {shape:?} is too large")),
    }
}

pub fn shape<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let shape = call.shape(0)?;
    let rank = shape.len() as i64;
    let bound = |value: i64| {
        let wrapped = if value < 0 { value.saturating_add(rank) } else { value };
        wrapped.clamp(0, rank) as usize
    };
    let start = bound(call.integer_or("start", 0)?);
    let end = bound(call.integer_or("end", rank)?).max(start);
    let part: Vec<i64> = shape[start..end].iter().map(|&extent| extent as i64).collect();
    one(Array::vector(&part))
}

pub fn size<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let count = element_count(&call.shape(0)?).unwrap_or(usize::MAX);
    one(Array::scalar(count as i64))
}

/// The shape that a reshape asks for.
pub(in crate::onnx) fn reshape_target(
    call: &Call<'_, '_, '_>,
    from: &[usize],
) -> Result<Vec<usize>, String> {
    let target = match call.has(1) {
        true => call.host_integers(1)?,
        false => call.integers_of("shape")?.ok_or("its shape is missing")?,
    };
    resolve(&target, from, call.flag("allowzero")?)
}

/// Extents with zero and minus one replaced.
fn resolve(target: &[i64], from: &[usize], allow_zero: bool) -> Result<Vec<usize>, String> {
    let fault = || format!("shape {from:?} cannot become {target:?}");
    let mut shape = Vec::with_capacity(target.len());
    let mut free = None;
    for (axis, &extent) in target.iter().enumerate() {
        shape.push(match extent {
            0 if !allow_zero => *from.get(axis).ok_or_else(fault)?,
            -1 if free.is_none() => {
                free = Some(axis);
                1
            }
            extent => usize::try_from(extent).map_err(|_| fault())?,
        });
    }
    let total = element_count(from).ok_or_else(fault)?;
    let known = element_count(&shape).ok_or_else(fault)?;
    if let Some(axis) = free {
        if known == 0 || !total.is_multiple_of(known) {
            return Err(fault());
        }
        shape[axis] = total / known;
    } else if known != total {
        return Err(fault());
    }
    Ok(shape)
}

pub fn reshape<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let from = call.shape(0)?;
    let (input, output) = (&call.node.inputs[0], call.node.outputs.first());
    if let (Batch::Moved(moved), Some(output)) = (&call.tracer.batch, output)
        && call.has(1)
    {
        let target = call.host_integers(1)?;
        let literal = reshape_target(call, &from);
        let settled = literal.is_ok() && !target.contains(&-1);
        if !settled && let Some((shape, place)) = moved.reshaped((input, &from), output, &target) {
            let output = output.clone();
            if let Batch::Moved(moved) = &mut call.tracer.batch {
                moved.put(&output, place);
            }
            return one(call.tensor(0)?.reshape(&shape));
        }
    }
    let target = reshape_target(call, &from)?;
    one(to_shape(call.laid(0)?, &target))
}

/// Reshapes; what only adds or takes axes of one at the end keeps its order.
fn to_shape<'b>(x: Laid<'b>, target: &[usize]) -> Laid<'b> {
    if x.shape() == target {
        return x;
    }
    Laid::plain_of(x.plain().reshape(target))
}

pub(in crate::onnx) fn flatten_target(
    call: &Call<'_, '_, '_>,
    from: &[usize],
) -> Result<Vec<usize>, String> {
    let axis = call.integer_or("axis", 1)?;
    let axis = if axis == from.len() as i64 { from.len() } else { axis_of(axis, from.len())? };
    let count = |extents: &[usize]| element_count(extents).unwrap_or(usize::MAX);
    Ok(vec![count(&from[..axis]), count(&from[axis..])])
}

pub fn flatten<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let target = flatten_target(call, &call.shape(0)?)?;
    one(to_shape(call.laid(0)?, &target))
}

pub(in crate::onnx) fn squeeze_target(
    call: &Call<'_, '_, '_>,
    from: &[usize],
) -> Result<Vec<usize>, String> {
    let mut gone = vec![false; from.len()];
    match call.axes(1, "axes")? {
        Some(axes) => {
            for axis in axes {
                let axis = axis_of(axis, from.len())?;
                if from[axis] != 1 {
                    return Err(format!("axis {axis} of shape {from:?} is not of extent one"));
                }
                gone[axis] = true;
            }
        }
        None => gone.iter_mut().zip(from).for_each(|(gone, &extent)| *gone = extent == 1),
    }
    Ok((0..from.len()).filter(|&axis| !gone[axis]).map(|axis| from[axis]).collect())
}

pub fn squeeze<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let target = squeeze_target(call, &call.shape(0)?)?;
    one(to_shape(call.laid(0)?, &target))
}

pub(in crate::onnx) fn unsqueeze_target(
    call: &Call<'_, '_, '_>,
    from: &[usize],
) -> Result<Vec<usize>, String> {
    let axes = call.axes(1, "axes")?.ok_or("its axes are missing")?;
    let rank = from.len() + axes.len();
    let mut new = vec![false; rank];
    for axis in axes {
        let axis = axis_of(axis, rank)?;
        if std::mem::replace(&mut new[axis], true) {
            return Err(format!("axis {axis} comes twice"));
        }
    }
    let mut rest = from.iter().copied();
    Ok(new.into_iter().map(|new| if new { 1 } else { rest.next().unwrap_or(1) }).collect())
}

pub fn unsqueeze<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let target = unsqueeze_target(call, &call.shape(0)?)?;
    one(to_shape(call.laid(0)?, &target))
}

pub(in crate::onnx) fn permutation(
    call: &Call<'_, '_, '_>,
    rank: usize,
) -> Result<Vec<usize>, String> {
    let Some(permutation) = call.counts_of("perm")? else {
        return Ok((0..rank).rev().collect());
    };
    let mut sorted = permutation.clone();
    sorted.sort_unstable();
    match sorted.into_iter().eq(0..rank) {
        true => Ok(permutation),
        false => Err(format!("attribute `perm` is {permutation:?} for {rank} axes")),
    }
}

pub fn transpose<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let permutation = permutation(call, x.rank())?;
    let from = x.shape();
    // The batch keeps its place within its axis.
    let (input, output) = (call.node.inputs.first(), call.node.outputs.first());
    if let (Batch::Moved(moved), Some(input), Some(output)) =
        (&mut call.tracer.batch, input, output)
        && let Some(place) = moved.place(input, &from)
        && let Some(axis) = permutation.iter().position(|&axis| axis == place.axis)
    {
        moved.put(output, Place { axis, ..place });
    }
    // To the engine's own order for images, and back, nothing moves.
    let rank = x.rank();
    let mut outward: Vec<usize> = (0..rank).collect();
    if rank > 2 {
        outward.remove(1);
        outward.push(1);
    }
    if x.last && permutation == outward {
        return one(x.tensor);
    }
    let mut inward: Vec<usize> = (0..rank).collect();
    if rank > 2 {
        inward.pop();
        inward.insert(1, rank - 1);
    }
    if !x.last && rank > 3 && permutation == inward {
        return one(Laid::last_of(x.tensor));
    }
    one(x.plain().transpose(&permutation))
}

pub fn expand<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut wanted = extents(&call.host_integers(1)?)?;
    let from = call.shape(0)?;
    if let Some(moved) = call.tracer.batch.as_moved() {
        // The file's batch size, written out, where nothing else says what it is.
        let offset = wanted.len().saturating_sub(from.len());
        let own = |axis: usize| axis.checked_sub(offset).map_or(1, |axis| from[axis]);
        if let Some(first) = wanted.first_mut()
            && *first == moved.file
            && (own(0) == 1 || own(0) == moved.now)
        {
            *first = moved.now;
        }
    }
    // What was folded from the file's batch size, where the shape is that of the data.
    let mut x = call.laid(0)?;
    for (axis, &to) in wanted.iter().rev().take(from.len()).enumerate() {
        let own = from.len() - 1 - axis;
        if to != from[own] && from[own] > 1 {
            x = call.tracer.batch.fit(x, own, to)?;
        }
    }
    let to = crate::onnx::host::stretched(&x.shape(), &wanted)?;
    check_large(&to)?;
    one(x.plain().broadcast_to(&to))
}

pub fn tile<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut repeats = extents(&call.host_integers(1)?)?;
    let x = call.tensor(0)?;
    let from = x.shape();
    if repeats.len() != from.len() {
        return Err(format!("{} repeats of {} axes", repeats.len(), from.len()));
    }
    if let Some(moved) = call.tracer.batch.as_moved()
        && moved.file > 1
        && let (Some(first), Some(&1)) = (repeats.first_mut(), from.first())
        && *first == moved.file
    {
        *first = moved.now;
    }
    let to: Vec<usize> =
        from.iter().zip(&repeats).map(|(&extent, &n)| extent.saturating_mul(n)).collect();
    check_large(&to)?;
    let split: Vec<usize> = from.iter().flat_map(|&extent| [1, extent]).collect();
    let spread: Vec<usize> =
        from.iter().zip(&repeats).flat_map(|(&extent, &n)| [n, extent]).collect();
    one(x.reshape(&split).broadcast_to(&spread).reshape(&to))
}

pub fn concat<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let mut parts = call.all_laid()?;
    let first = *parts.first().ok_or("it takes at least one input")?;
    let rank = first.rank();
    if let Some(other) = parts.iter().find(|part| part.rank() != rank) {
        return Err(format!("{:?} does not go beside {:?}", other.shape(), first.shape()));
    }
    let axis = axis_of(call.integer("axis")?.ok_or("attribute `axis` is missing")?, rank)?;
    call.tracer.batch.stretch_beside(&mut parts, axis)?;
    alike(&mut parts)?;
    let last = parts.iter().any(|part| part.last);
    let tensors: Vec<Tensor<'b>> = match last {
        true => parts.iter().map(|part| part.channels_last()).collect(),
        false => parts.iter().map(|part| part.plain()).collect(),
    };
    // An empty part of another shape is nothing.
    let like = Laid { tensor: first.tensor, last };
    one(like.like(call.builder().concatenate(&tensors, like.axis(axis))))
}

/// Indices along one axis.
#[derive(Clone, Copy, Debug)]
pub(in crate::onnx) struct Picked {
    pub start: usize,
    pub count: usize,
    /// May be negative.
    pub step: i64,
}

impl Picked {
    pub fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| (self.start as i64 + i as i64 * self.step) as usize)
    }
}

/// What a slice takes of each axis.
pub(in crate::onnx) fn slices(
    call: &Call<'_, '_, '_>,
    shape: &[usize],
) -> Result<Vec<Picked>, String> {
    let (starts, ends, axes, steps) = match call.integers_of("starts")? {
        Some(starts) => {
            let ends = call.integers_of("ends")?.ok_or("attribute `ends` is missing")?;
            (starts, ends, call.integers_of("axes")?, None)
        }
        None => {
            let optional = |i: usize| -> Result<Option<Vec<i64>>, String> {
                if call.has(i) { call.host_integers(i).map(Some) } else { Ok(None) }
            };
            (call.host_integers(1)?, call.host_integers(2)?, optional(3)?, optional(4)?)
        }
    };
    let n = starts.len();
    let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; n]);
    if ends.len() != n || axes.len() != n || steps.len() != n {
        return Err(format!(
            "{n} starts, {} ends, {} axes and {} steps",
            ends.len(),
            axes.len(),
            steps.len()
        ));
    }
    let mut picked: Vec<Picked> =
        shape.iter().map(|&count| Picked { start: 0, count, step: 1 }).collect();
    for i in 0..n {
        let axis = axis_of(axes[i], shape.len())?;
        let extent = shape[axis] as i64;
        let wrap = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
        let step = steps[i];
        let (start, end) = match step {
            0 => return Err("a step is zero".into()),
            1.. => (wrap(starts[i]).clamp(0, extent), wrap(ends[i]).clamp(0, extent)),
            _ => (wrap(starts[i]).clamp(0, extent - 1), wrap(ends[i]).clamp(-1, extent - 1)),
        };
        let span = if step > 0 { end - start } else { start - end };
        let step = step.clamp(-extent - 1, extent + 1);
        let size = step.unsigned_abs() as i64;
        let count = if span > 0 { (span + size - 1) / size } else { 0 };
        picked[axis] = Picked {
            start: if count > 0 { start as usize } else { 0 },
            count: count as usize,
            step,
        };
    }
    Ok(picked)
}

pub fn slice<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let shape = x.shape();
    let picked = slices(call, &shape)?;
    let (mut start, mut limit, mut stride) = (Vec::new(), Vec::new(), Vec::new());
    let mut turned = Vec::new();
    for (axis, range) in picked.iter().enumerate() {
        let step = range.step.unsigned_abs() as usize;
        let reach = range.count.saturating_sub(1) * step;
        let first = if range.step < 0 { range.start - reach } else { range.start };
        if range.step < 0 && range.count > 1 {
            turned.push(x.axis(axis));
        }
        start.push(first);
        limit.push(if range.count == 0 { first } else { first + reach + 1 });
        stride.push(step.max(1));
    }
    let y = x.tensor.slice_all(&x.ordered(&start), &x.ordered(&limit), &x.ordered(&stride));
    one(x.like(y.reverse(&turned)))
}

/// The axis and the extents of the parts of a split.
pub(in crate::onnx) fn split_parts(
    call: &Call<'_, '_, '_>,
    shape: &[usize],
) -> Result<(usize, Vec<usize>), String> {
    let axis = axis_of(call.integer_or("axis", 0)?, shape.len())?;
    let extent = shape[axis];
    let given = match call.has(1) {
        true => Some(call.host_integers(1)?),
        false => call.integers_of("split")?,
    };
    let parts = match given {
        Some(parts) => extents(&parts)?,
        None => {
            let n = call.count_or("num_outputs", call.node.outputs.len())?;
            if n == 0 || n > call.node.outputs.len() {
                return Err(format!("{n} parts for {} outputs", call.node.outputs.len()));
            }
            // The last part is smaller where they are not equal.
            let size = extent.div_ceil(n);
            let part = |i: usize| extent.saturating_sub(i.saturating_mul(size)).min(size);
            (0..n).map(part).collect()
        }
    };
    let total = parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
    match total == Some(extent) {
        true => Ok((axis, parts)),
        false => Err(format!("parts {parts:?} of {extent} elements")),
    }
}

pub fn split<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let (axis, parts) = split_parts(call, &x.shape())?;
    let place = x.axis(axis);
    let mut start = 0;
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        out.push(Value::Tensor(x.like(x.tensor.slice(place, start, start + part))));
        start += part;
    }
    Ok(out)
}

/// The integers of a value that is known while tracing.
pub(super) fn host_list(value: &Value<'_>) -> Result<Vec<i64>, String> {
    match value {
        Value::Host(array) => integers(array),
        _ => Err("its list must be known before the data are".into()),
    }
}
