//! Activations.

use super::elementwise::operands;
use crate::onnx::call::{Call, Outcome, one};
use crate::onnx::value::Laid;
use thalweg_graph::Tensor;
use thalweg_nn::layer::Activation;

fn map<'b>(call: &Call<'_, '_, 'b>, of: impl FnOnce(Tensor<'b>) -> Tensor<'b>) -> Outcome<'b> {
    let x = call.laid(0)?;
    one(x.like(of(x.tensor)))
}

macro_rules! plain {
    ($($name:ident => $of:expr),* $(,)?) => {$(
        pub fn $name<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
            map(call, $of)
        }
    )*};
}

plain! {
    relu => |x| Activation::Relu.of(x),
    sigmoid => |x| x.logistic(),
    softplus => |x| x.softplus(),
    softsign => |x| x / (x.abs() + 1.0),
    mish => |x| x * x.softplus().tanh(),
    hard_swish => |x| x * clipped(x * (1.0 / 6.0) + 0.5),
    quick_gelu_default => |x| x * (x * 1.702).logistic(),
}

/// Between zero and one.
fn clipped(x: Tensor<'_>) -> Tensor<'_> {
    let above = x.relu();
    above.greater_equal(1.0).select(x.zeros_like() + 1.0, above)
}

pub fn hard_sigmoid<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (alpha, beta) = (call.float_or("alpha", 0.2)?, call.float_or("beta", 0.5)?);
    map(call, |x| hard_sigmoid_of(x, alpha, beta))
}

pub(super) fn hard_sigmoid_of(x: Tensor<'_>, alpha: f64, beta: f64) -> Tensor<'_> {
    clipped(x * alpha + beta)
}

pub fn leaky_relu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let slope = call.float_or("alpha", 0.01)?;
    map(call, |x| Activation::LeakyRelu(slope).of(x))
}

pub fn thresholded_relu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let threshold = call.float_or("alpha", 1.0)?;
    map(call, |x| x.greater(threshold).select(x, x.zeros_like()))
}

/// `x` where positive, else `scale (e^(x / width) - 1)`; the other branch never overflows.
pub(super) fn exponential(x: Tensor<'_>, scale: f64, width: f64) -> Tensor<'_> {
    let positive = x.greater(0.0);
    let below = positive.select(x.zeros_like(), x);
    positive.select(x, (below * (1.0 / width)).expm1() * scale)
}

pub fn elu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let alpha = call.float_or("alpha", 1.0)?;
    map(call, |x| exponential(x, alpha, 1.0))
}

pub fn celu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let alpha = call.float_or("alpha", 1.0)?;
    map(call, |x| exponential(x, alpha, alpha))
}

pub fn selu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let alpha = call.float_or("alpha", 1.673_263_242_354_377_2)?;
    let gamma = call.float_or("gamma", 1.050_700_987_355_480_5)?;
    map(call, |x| exponential(x, alpha, 1.0) * gamma)
}

pub fn gelu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let kind = match call.text_or("approximate", "none")? {
        "none" => Activation::Gelu,
        "tanh" => Activation::GeluTanh,
        other => return Err(format!("attribute `approximate` is `{other}`")),
    };
    map(call, |x| kind.of(x))
}

/// The form with `tanh`, of `x` plus an optional bias.
pub fn fast_gelu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let x = match call.has(1) {
        true => {
            let (tensors, last) = operands(call, &[0, 1])?;
            Laid { tensor: tensors[0] + tensors[1], last }
        }
        false => call.laid(0)?,
    };
    one(x.like(Activation::GeluTanh.of(x.tensor)))
}

pub fn quick_gelu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    match call.float("alpha")? {
        None => quick_gelu_default(call),
        Some(alpha) => map(call, |x| x * (x * alpha).logistic()),
    }
}

pub fn swish<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let alpha = call.float_or("alpha", 1.0)?;
    map(call, |x| x * (if alpha == 1.0 { x } else { x * alpha }).logistic())
}

/// `x + bias` below `-lambda`, `x - bias` above `lambda`, else zero.
pub fn shrink<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    let (bias, lambda) = (call.float_or("bias", 0.0)?, call.float_or("lambd", 0.5)?);
    map(call, |x| {
        let above = x.greater(lambda).select(x - bias, x.zeros_like());
        x.less(-lambda).select(x + bias, above)
    })
}

pub fn prelu<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    // Older files give one slope for each channel without the axes after it.
    let (shape, slope) = (call.shape(0)?, call.laid(1)?);
    let slopes = slope.shape();
    if shape.len() > 2 && slopes.len() == 1 && slopes[0] == shape[1] && slopes[0] != 1 {
        let mut spread = vec![1; shape.len() - 1];
        spread[0] = slopes[0];
        if shape.last() != Some(&slopes[0]) {
            call.inputs[1] = Some(slope.plain().reshape(&spread).into());
        }
    }
    let (tensors, last) = operands(call, &[0, 1])?;
    let (x, slope) = (tensors[0], tensors[1]);
    one(Laid { tensor: x.less(0.0).select(x * slope, x), last })
}
