//! Softmax and its kin.

use crate::onnx::call::{Call, Outcome, axis_of, one};
use thalweg_graph::Tensor;

/// Along one axis; before opset 13 over all axes from one on.
fn along<'b>(
    call: &Call<'_, '_, 'b>,
    of: impl FnOnce(Tensor<'b>, usize) -> Tensor<'b>,
) -> Outcome<'b> {
    if call.version() < 13 {
        let x = call.tensor(0)?;
        let shape = x.shape();
        let axis = axis_of(call.integer_or("axis", 1)?, shape.len().max(1))?;
        let rows: usize = shape[..axis].iter().product();
        let columns: usize = shape[axis..].iter().product();
        return one(of(x.reshape(&[rows, columns]), 1).reshape(&shape));
    }
    let x = call.laid(0)?;
    let axis = axis_of(call.integer_or("axis", -1)?, x.rank())?;
    one(x.like(of(x.tensor, x.axis(axis))))
}

pub fn softmax<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    along(call, |x, axis| x.softmax(axis))
}

pub fn log_softmax<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    along(call, |x, axis| x.log_softmax(axis))
}

pub fn hardmax<'b>(call: &mut Call<'_, '_, 'b>) -> Outcome<'b> {
    along(call, |x, axis| {
        let hot = x.arg_max(axis).one_hot(x.shape()[axis], x.dtype());
        hot.move_axis(x.rank() - 1, axis)
    })
}
