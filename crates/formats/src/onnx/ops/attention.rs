//! Attention, and the rotation of queries and keys by position.

use super::matrix;
use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::value::Value;
use thalweg_array::DType;
use thalweg_graph::{Reduction, Tensor, TensorType};

/// `[n, t, heads * e]` to `[n, heads, t, e]`.
fn split_heads<'b>(x: Tensor<'b>, heads: usize) -> Result<Tensor<'b>, String> {
    match x.shape()[..] {
        [n, t, units] if heads > 0 && units.is_multiple_of(heads) => {
            Ok(x.reshape(&[n, t, heads, units / heads]).transpose(&[0, 2, 1, 3]))
        }
        _ => Err(format!("an input of shape {:?} in {heads} heads", x.shape())),
    }
}

/// `softmax(q k^T scale + bias) v`, with as many query heads for each key head as there are.
pub fn attention<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let builder = call.builder();
    let [q, k, v] = [call.tensor(0)?, call.tensor(1)?, call.tensor(2)?];
    let flat = q.rank() == 3;
    let (q, mut k, mut v) = if flat {
        let heads = call.count_or("q_num_heads", 0)?;
        let key_heads = call.count_or("kv_num_heads", 0)?;
        (split_heads(q, heads)?, split_heads(k, key_heads)?, split_heads(v, key_heads)?)
    } else {
        (q, k, v)
    };
    let past = match (call.optional(4)?, call.optional(5)?) {
        (Some(key), Some(value)) => {
            let before = key.shape().get(2).copied().unwrap_or(0);
            k = builder.concatenate(&[key, k], 2);
            v = builder.concatenate(&[value, v], 2);
            before
        }
        (None, None) => 0,
        _ => return Err("past keys and past values come together".into()),
    };
    let present = [k, v];
    let [n, heads, queries, units] = four(q)?;
    let [_, key_heads, keys, _] = four(k)?;
    if key_heads == 0 || !heads.is_multiple_of(key_heads) {
        return Err(format!("{heads} heads of queries and {key_heads} of keys"));
    }
    if heads != key_heads {
        let repeat = |x: Tensor<'b>| {
            let [n, h, t, e] = four(x)?;
            let spread = [n, h, heads / h, t, e];
            let spread = x.expand(2).broadcast_to(&spread);
            Ok::<_, String>(spread.reshape(&[n, heads, t, e]))
        };
        (k, v) = (repeat(k)?, repeat(v)?);
    }
    let scale = match call.float("scale")? {
        Some(scale) => scale,
        None => 1.0 / (units.max(1) as f64).sqrt(),
    };
    let product = matrix::product(call, q * scale, k.transpose(&[0, 1, 3, 2]))?;
    let softcap = call.float_or("softcap", 0.0)?;
    let scores = match softcap > 0.0 {
        true => (product * (1.0 / softcap)).tanh() * softcap,
        false => product,
    };
    // Keys that a query may see, and what is added to their scores.
    let square = [queries, keys];
    let index = |axis: usize| builder.iota(DType::I64, &square, axis);
    let valid = match call.optional(6)? {
        Some(lengths) => {
            if lengths.shape() != [n] {
                return Err(format!("lengths of shape {:?} for a batch of {n}", lengths.shape()));
            }
            Some(lengths.convert(DType::I64))
        }
        None => None,
    };
    let whole = [n, heads, queries, keys];
    let mut allowed: Option<Tensor<'b>> = None;
    let mut allow = |mask: Tensor<'b>| {
        let mask = mask.broadcast_to(&whole);
        allowed = Some(allowed.map_or(mask, |known| known.and(mask)));
    };
    // The place of a query among the keys, which may differ from example to example.
    let query = match valid {
        Some(lengths) if past == 0 => {
            let spread = index(0).broadcast_to(&[n, 1, queries, keys]);
            spread + lengths.reshape(&[n, 1, 1, 1]) - queries as f64
        }
        _ => index(0) + past as f64,
    };
    let key = index(1).broadcast_to(&query.shape());
    if call.flag("is_causal")? {
        allow(key.less_equal(query));
    }
    let (left, right) =
        (call.integer_or("left_window_size", -1)?, call.integer_or("right_window_size", -1)?);
    if left >= 0 {
        allow(query.less_equal(key + left as f64));
    }
    if right >= 0 {
        allow(key.less_equal(query + right as f64));
    }
    if let Some(lengths) = valid {
        let place = builder.iota(DType::I64, &[n, 1, 1, keys], 3);
        allow(place.less(lengths.reshape(&[n, 1, 1, 1])));
    }
    let mut biased = scores;
    if let Some(mask) = call.optional(3)? {
        let mut mask = mask;
        let last = mask.rank().checked_sub(1).ok_or("a mask without axes")?;
        let missing = keys.saturating_sub(mask.shape()[last]);
        if missing > 0 && mask.shape()[last] != 1 {
            let (none, mut high) = (vec![0; last + 1], vec![0; last + 1]);
            high[last] = missing;
            let fill = if mask.dtype() == DType::Bool { 0.0 } else { f64::NEG_INFINITY };
            mask = mask.pad(builder.scalar_of(mask.dtype(), fill), &none, &high, &none);
        }
        crate::onnx::host::stretched(&mask.shape(), &whole)?;
        if mask.dtype() == DType::Bool {
            allow(mask);
        } else {
            let bias = mask.convert(builder.float()).broadcast_to(&whole);
            allow(bias.greater(f64::NEG_INFINITY));
            biased = scores + bias;
        }
    }
    let weights = match allowed {
        Some(allowed) => {
            let never = builder.full(&TensorType::new(scores.dtype(), whole), f64::NEG_INFINITY);
            biased = allowed.select(biased, never);
            // A query that sees no key gives zeros; its scores are made harmless before.
            let sees = allowed.reduce(Reduction::Any, &[3]).expand(3).broadcast_to(&whole);
            let safe = sees.select(biased, biased.zeros_like());
            let weights = safe.softmax(3);
            sees.select(weights, weights.zeros_like())
        }
        None => biased.softmax(3),
    };
    let shown = match call.integer_or("qk_matmul_output_mode", 0)? {
        0 => product,
        1 => scores,
        2 => biased,
        3 => weights,
        mode => return Err(format!("attribute `qk_matmul_output_mode` is {mode}")),
    };
    let mut y = matrix::product(call, weights, v)?;
    if flat {
        let [n, heads, queries, units] = four(y)?;
        y = y.transpose(&[0, 2, 1, 3]).reshape(&[n, queries, heads * units]);
    }
    Ok([y, present[0], present[1], shown].into_iter().map(Value::from).collect())
}

fn four(x: Tensor<'_>) -> Result<[usize; 4], String> {
    <[usize; 4]>::try_from(x.shape())
        .map_err(|shape| format!("four axes are needed, got {shape:?}"))
}

pub fn rotary_embedding<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = call.tensor(0)?;
    let flat = x.rank() == 3;
    // `[n, t, heads, e]`.
    let heads = call.count_or("num_heads", 0)?;
    let whole = match x.shape()[..] {
        [n, t, units] if heads > 0 && units.is_multiple_of(heads) => {
            x.reshape(&[n, t, heads, units / heads])
        }
        [_, _, _, _] => x.transpose(&[0, 2, 1, 3]),
        _ => return Err(format!("an input of shape {:?} in {heads} heads", x.shape())),
    };
    let units = whole.shape()[3];
    let turned = match call.count_or("rotary_embedding_dim", 0)? {
        0 => units,
        n if n <= units => n,
        n => return Err(format!("attribute `rotary_embedding_dim` is {n} of {units}")),
    };
    let half = turned / 2;
    let positions = call.optional(3)?;
    let cache = |i: usize| -> Result<Tensor<'b>, String> {
        let table = call.tensor(i)?;
        let table = match positions {
            Some(positions) => table.take(positions),
            None => table,
        };
        match table.shape()[..] {
            [_, _, last] if last == half => Ok(table.expand(2)),
            _ => Err(format!("a table of shape {:?} for {turned} units", table.shape())),
        }
    };
    let (cosine, sine) = (cache(1)?, cache(2)?);
    let part = whole.slice(3, 0, turned);
    let rest = whole.slice(3, turned, units);
    let [n, t, h, _] = four(part)?;
    let interleaved = call.flag("interleaved")?;
    let (a, b) = if interleaved {
        let pairs = part.reshape(&[n, t, h, half, 2]);
        (pairs.index(4, 0), pairs.index(4, 1))
    } else {
        (part.slice(3, 0, half), part.slice(3, half, turned))
    };
    let (real, imaginary) = (a * cosine - b * sine, a * sine + b * cosine);
    let builder = call.builder();
    let joined = if interleaved {
        let pairs = builder.concatenate(&[real.expand(4), imaginary.expand(4)], 4);
        pairs.reshape(&[n, t, h, turned])
    } else {
        builder.concatenate(&[real, imaginary], 3)
    };
    let y = if turned < units { builder.concatenate(&[joined, rest], 3) } else { joined };
    one(if flat { y.reshape(&x.shape()) } else { y.transpose(&[0, 2, 1, 3]) })
}
