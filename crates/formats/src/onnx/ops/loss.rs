//! Losses.

use crate::onnx::call::{Call, Outcome, one};
use thalweg_array::DType;
use thalweg_graph::Tensor;

/// The loss of log-probabilities `[n, c, d..]` and classes `[n, d..]`.
fn of_log<'b>(call: &Call<'_, '_, 'b>, log: Tensor<'b>) -> Result<Tensor<'b>, String> {
    let target = call.tensor(1)?;
    let shape = log.shape();
    if shape.len() < 2
        || target.shape() != [&shape[..1], &shape[2..]].concat()
        || !target.dtype().is_integer()
    {
        return Err(format!("classes of shape {:?} for {shape:?}", target.shape()));
    }
    let classes = shape[1];
    let ignored = call.integer("ignore_index")?;
    let counted = ignored.map(|index| target.not_equal(index as f64));
    // What is ignored may be no class at all.
    let safe = match counted {
        Some(counted) => counted.select(target, target.zeros_like()),
        None => target,
    };
    let hot = safe.one_hot(classes, DType::Bool);
    let last = hot.rank() - 1;
    let hot = hot.move_axis(last, 1);
    let mut losses = -hot.select(log, log.zeros_like()).sum(&[1]);
    let mut weights: Option<Tensor<'b>> = None;
    if let Some(of_class) = call.optional(2)? {
        if of_class.shape() != [classes] {
            return Err(format!("weights of shape {:?} for {classes} classes", of_class.shape()));
        }
        weights = Some(of_class.take(safe));
    }
    if let Some(counted) = counted {
        let counted = counted.convert(log.dtype());
        weights = Some(weights.map_or(counted, |weights| weights * counted));
    }
    if let Some(weights) = weights {
        losses = losses * weights;
    }
    match call.text_or("reduction", "mean")? {
        "none" => Ok(losses),
        "sum" => Ok(losses.sum_all()),
        "mean" => Ok(match weights {
            Some(weights) => losses.sum_all() / weights.sum_all(),
            None => losses.sum_all() * (1.0 / losses.ty().element_count().max(1) as f64),
        }),
        other => Err(format!("attribute `reduction` is `{other}`")),
    }
}

pub fn negative_log_likelihood<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    one(of_log(call, call.tensor(0)?)?)
}

pub fn softmax_cross_entropy<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let scores = call.tensor(0)?;
    if scores.rank() < 2 {
        return Err(format!("scores of shape {:?}", scores.shape()));
    }
    let log = scores.log_softmax(1);
    Ok(vec![of_log(call, log)?.into(), log.into()])
}
