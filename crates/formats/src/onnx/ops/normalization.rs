//! Normalisations.

use crate::onnx::call::{Call, Outcome, axis_of, one};
use crate::onnx::value::{Laid, Value};
use thalweg_array::Array;
use thalweg_graph::{Tensor, Window};
use thalweg_nn::{BatchNormMode, Buffer, Statistic};

/// Batch normalisation over every axis but the channels'.
///
/// In a model its mode is that of the application, and the running statistics are buffers, moved
/// as PyTorch moves them: by the unbiased variance. Without a model the file's own mode counts.
pub fn batch<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let shape = x.shape();
    if shape.len() < 2 {
        return Err(format!("an input of shape {shape:?}"));
    }
    let channels = shape[1];
    let rank = shape.len();
    let x = if rank > 2 && !x.last { Laid::last_of(x.channels_last()) } else { x };
    for i in 1..5 {
        if call.shape(i)? != [channels] {
            return Err(format!("input {i} of shape {:?} for {channels} channels", call.shape(i)?));
        }
    }
    let (scale, bias) = (call.tensor(1)?, call.tensor(2)?);
    let eps = call.float_or("epsilon", 1e-5)?;
    let momentum = call.float_or("momentum", 0.9)?;
    let axes: Vec<usize> = (0..rank - 1).collect();
    let frozen = |mean: Tensor<'b>, variance: Tensor<'b>| {
        let factor = (variance + eps).rsqrt() * scale;
        x.tensor * factor + (bias - mean * factor)
    };
    let statistics = || {
        let mean = x.tensor.mean(&axes);
        // Centred first: the difference of squares would cancel.
        let centred = x.tensor - mean;
        (mean, centred, centred.square().mean(&axes))
    };
    let normalized = |centred: Tensor<'b>, variance: Tensor<'b>| {
        centred * ((variance + eps).rsqrt() * scale) + bias
    };
    let Some(scope) = call.tracer.scope.filter(|_| call.tracer.is_buffered(call.node)) else {
        let (mean, variance) = (call.tensor(3)?, call.tensor(4)?);
        if !call.flag("training_mode")? {
            return one(x.like(frozen(mean, variance)));
        }
        let (now, centred, spread) = statistics();
        let moved =
            |running: Tensor<'b>, now: Tensor<'b>| running * momentum + now * (1.0 - momentum);
        let y = x.like(normalized(centred, spread));
        return Ok(vec![y.into(), moved(mean, now).into(), moved(variance, spread).into()]);
    };
    let buffer = |i: usize, statistic| Buffer {
        name: call.node.inputs[i].clone(),
        shape: vec![channels],
        statistic,
    };
    let (mean, variance) = (buffer(3, Statistic::Mean), buffer(4, Statistic::Variance));
    match scope.mode().batch_norm {
        BatchNormMode::Frozen => {
            let mean = scope.buffer(mean, |running| (running, running));
            let variance = scope.buffer(variance, |running| (running, running));
            Ok(vec![x.like(frozen(mean, variance)).into(), mean.into(), variance.into()])
        }
        BatchNormMode::Batch => {
            let (now, centred, spread) = statistics();
            let n: usize = axes.iter().map(|&axis| x.tensor.shape()[axis]).product();
            if n < 2 {
                return Err(format!("batch statistics of {n} value per channel"));
            }
            let unbiased = spread * (n as f64 / (n - 1) as f64);
            let moved = |running: Tensor<'b>, now: Tensor<'b>| {
                (now, running * momentum + now * (1.0 - momentum))
            };
            let mean = scope.buffer(mean, |running| moved(running, now));
            let variance = scope.buffer(variance, |running| moved(running, unbiased));
            let y = x.like(normalized(centred, spread));
            Ok(vec![y.into(), mean.into(), variance.into()])
        }
    }
}

/// Centred and divided by the standard deviation over axes.
fn standardized<'b>(x: Tensor<'b>, axes: &[usize], eps: f64) -> [Tensor<'b>; 3] {
    let mean = x.mean(axes).keep(axes);
    let centred = x - mean;
    let inverse = (centred.square().mean(axes).keep(axes) + eps).rsqrt();
    [centred * inverse, mean, inverse]
}

pub fn layer<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let rank = x.rank();
    let axis = axis_of(call.integer_or("axis", -1)?, rank)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let eps = call.float_or("epsilon", 1e-5)?;
    let [mut y, mean, inverse] = standardized(x, &axes, eps);
    if let Some(scale) = call.optional(1)? {
        y = y * scale;
    }
    if let Some(bias) = call.optional(2)? {
        y = y + bias;
    }
    Ok(vec![y.into(), mean.into(), inverse.into()])
}

pub fn rms<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let rank = x.rank();
    let axis = axis_of(call.integer_or("axis", -1)?, rank)?;
    let axes: Vec<usize> = (axis..rank).collect();
    let eps = call.float_or("epsilon", 1e-5)?;
    let y = x * (x.square().mean(&axes).keep(&axes) + eps).rsqrt();
    one(match call.optional(1)? {
        Some(scale) => y * scale,
        None => y,
    })
}

pub fn instance<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let rank = x.rank();
    if rank < 3 {
        return Err(format!("an input of shape {:?}", x.shape()));
    }
    let x = x.channels_last();
    let axes: Vec<usize> = (1..rank - 1).collect();
    let [y, _, _] = standardized(x, &axes, call.float_or("epsilon", 1e-5)?);
    one(Laid::last_of(y * call.tensor(1)? + call.tensor(2)?))
}

pub fn group<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let rank = x.rank();
    let groups = call.count_or("num_groups", 0)?;
    let channels = x.shape().get(1).copied().unwrap_or(0);
    if rank < 2 || groups == 0 || !channels.is_multiple_of(groups) {
        return Err(format!("an input of shape {:?} in {groups} groups", x.shape()));
    }
    let x = if rank > 2 { x.channels_last() } else { x.tensor };
    let shape = x.shape();
    let inner = channels / groups;
    let split = [&shape[..rank - 1], &[groups, inner]].concat();
    let mut axes: Vec<usize> = (1..rank - 1).collect();
    axes.push(rank);
    let [y, _, _] = standardized(x.reshape(&split), &axes, call.float_or("epsilon", 1e-5)?);
    let affine = |i: usize| -> Result<Tensor<'b>, String> {
        let values = call.tensor(i)?;
        // Up to opset 20 there is one for each group.
        match values.shape()[..] {
            [n] if n == channels => Ok(values),
            [n] if n == groups => {
                Ok(values.broadcast_in(&[groups, inner], &[0]).reshape(&[channels]))
            }
            _ => Err(format!("input {i} of shape {:?} for {channels} channels", values.shape())),
        }
    };
    one(Laid::last_of(y.reshape(&shape) * affine(1)? + affine(2)?))
}

pub fn mean_variance<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let mut axes = Vec::new();
    for axis in call.integers_of("axes")?.unwrap_or_else(|| vec![0, 2, 3]) {
        axes.push(axis_of(axis, x.rank())?);
    }
    let centred = x - x.mean(&axes).keep(&axes);
    let deviation = centred.square().mean(&axes).keep(&axes).sqrt();
    one(centred / (deviation + 1e-9))
}

pub fn lp<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let axis = axis_of(call.integer_or("axis", -1)?, x.rank())?;
    let norm = match call.integer_or("p", 2)? {
        1 => x.abs().sum(&[axis]),
        2 => x.square().sum(&[axis]).sqrt(),
        p => return Err(format!("attribute `p` is {p}, not 1 or 2")),
    };
    let norm = norm.keep(&[axis]);
    // Zeros stay zeros.
    let zero = norm.equal(0.0);
    one(x / zero.select(1.0, norm))
}

/// `x / (bias + alpha / size * sum of squares over near channels)^beta`.
pub fn local_response<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    let rank = x.rank();
    if rank < 3 {
        return Err(format!("an input of shape {:?}", x.shape()));
    }
    let size = call.count_or("size", 0)?;
    if size == 0 {
        return Err("attribute `size` is missing".into());
    }
    let x = x.channels_last();
    let mut window = Window {
        size: vec![1; rank],
        stride: vec![1; rank],
        padding: vec![(0, 0); rank],
        dilation: vec![1; rank],
    };
    window.size[rank - 1] = size;
    window.padding[rank - 1] = ((size - 1) / 2, size / 2);
    let sum = x.square().window_sum(&window);
    let (alpha, beta) = (call.float_or("alpha", 1e-4)?, call.float_or("beta", 0.75)?);
    let base = sum * (alpha / size as f64) + call.float_or("bias", 1.0)?;
    one(Value::Tensor(Laid::last_of(x * (base.log() * -beta).exp())))
}

/// `(x - offset) * scale`, as skl2onnx writes a standard scaler.
pub fn scaler<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?.convert(call.builder().float());
    let columns = x.shape().last().copied().unwrap_or(0);
    let values = |name: &str, neutral: f64| -> Result<Tensor<'b>, String> {
        let values = call.floats_of(name)?.unwrap_or_else(|| vec![neutral]);
        match values.len() {
            1 => Ok(call.builder().scalar(values[0])),
            n if n == columns => Ok(call.literal(&Array::vector(&values))),
            n => Err(format!("attribute `{name}` has {n} numbers for {columns} columns")),
        }
    };
    let (offset, scale) = (values("offset", 0.0)?, values("scale", 1.0)?);
    one((x - offset) * scale)
}

/// Each row divided by its norm.
pub fn normalizer<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?.convert(call.builder().float());
    let axis = x.rank().checked_sub(1).ok_or("an input without axes")?;
    let norm = match call.text_or("norm", "MAX")? {
        "MAX" => x.abs().max(&[axis]),
        "L1" => x.abs().sum(&[axis]),
        "L2" => x.square().sum(&[axis]).sqrt(),
        other => return Err(format!("attribute `norm` is `{other}`")),
    };
    let norm = norm.keep(&[axis]);
    one(x / norm.equal(0.0).select(1.0, norm))
}
