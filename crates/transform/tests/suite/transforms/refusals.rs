//! What has no derivative, and what does not fit.

use std::sync::Arc;
use thalweg_graph::{Builder, DType, GraphError, Op, Tensor, TensorType, While};
use thalweg_transform::{gradient, jvp, vjp};

fn refused(f: impl for<'b> FnOnce(&'b Builder, Tensor<'b>) -> Tensor<'b>) -> GraphError {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [2]));
    let y = f(&b, x);
    b.finish(&[("y", y)]).unwrap_err()
}

/// Doubles `x` while its sum is below `limit`.
fn doubling<'b>(b: &'b Builder, x: Tensor<'b>, limit: Tensor<'b>) -> Tensor<'b> {
    let inner = |f: &dyn for<'s> Fn(Tensor<'s>, Tensor<'s>) -> Tensor<'s>| {
        let b = Builder::new(DType::F64);
        let (x, limit) = (b.input("x", x.ty()), b.input("limit", limit.ty()));
        Arc::new(b.finish(&[("y", f(x, limit))]).unwrap())
    };
    let looped = While {
        condition: inner(&|x, limit| x.sum_all().less(limit)),
        body: inner(&|x, _| x * 2.0),
        n_carry: 1,
    };
    b.emit_one(Op::While(Arc::new(looped)), &[x, limit])
}

#[test]
fn a_loop_of_unknown_length_has_no_derivative() {
    let error = refused(|b, x| gradient(doubling(b, x, b.scalar(9.0)).sum_all(), &[x])[0]);
    assert_eq!(error.op, "derivative of while");
    assert_eq!(
        error.expected,
        "a loop of known length (`scan`), or no derivative through the loop, which runs forward only"
    );
    // Where only the number of steps depends on a variable, the derivative is zero.
    let b = Builder::new(DType::F64);
    let limit = b.input("limit", TensorType::new(DType::F64, []));
    let start = b.full(&TensorType::new(DType::F64, [2]), 1.0);
    let slope = jvp(&[doubling(&b, start, limit)], &[limit], &[b.scalar(1.0)]);
    assert!(slope.tangents[0].is_none());
    b.finish(&[("y", slope.outputs[0])]).unwrap();
}

#[test]
fn types_that_do_not_fit_are_named() {
    let error = refused(|_, x| gradient(x * 2.0, &[x])[0]);
    assert_eq!((&*error.op, &*error.got), ("gradient", "f64[2]"));
    let error = refused(|_, x| {
        let places = x.convert(DType::I32);
        gradient(places.convert(DType::F64).sum_all(), &[places])[0]
    });
    assert_eq!((&*error.expected, &*error.got), ("a variable of a float type", "i32[2]"));
    let error = refused(|b, x| jvp(&[x.exp()], &[x], &[b.scalar(1.0)]).outputs[0]);
    assert_eq!((&*error.expected, &*error.got), ("a tangent of type f64[2]", "f64[]"));
    let error = refused(|_, x| vjp(&[x.exp()], &[x], &[]).outputs[0]);
    assert_eq!((&*error.expected, &*error.got), ("1 tangents", "0"));
}

#[test]
fn what_is_not_differentiable_has_no_tangent() {
    let b = Builder::new(DType::F64);
    let x = b.input("x", TensorType::new(DType::F64, [4]));
    let ones = b.full(&x.ty(), 1.0);
    let outputs = [
        x.floor(),
        x.sign(),
        x.stop_gradient(),
        x.greater(0.0),
        x.arg_max(0),
        x.convert(DType::I32).convert(DType::F64),
        b.iota(DType::F64, &[4], 0),
    ];
    assert!(jvp(&outputs, &[x], &[ones]).tangents.iter().all(Option::is_none));
}
