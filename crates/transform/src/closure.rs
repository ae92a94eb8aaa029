//! Transformations of functions.
//!
//! Each traces its function on fresh placeholders, transforms that, and puts the arguments in. So
//! an argument is a variable of its own even where it is computed from another argument or where
//! the function uses the same value on its own account; the forms on values cannot tell these
//! apart, because equal values are one node.

use crate::api::{gradient_and_hvp, value_and_grad};
use crate::jvp::{Jvp, check_pairs, jvp};
use crate::substitute::substitute;
use crate::vmap::{Replacement, vmap};
use thalweg_graph::Tensor;

fn placeholders<'b>(at: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
    at.iter().map(|x| x.builder().placeholder(x.ty())).collect()
}

fn pairs<'b>(old: &[Tensor<'b>], new: &[Tensor<'b>]) -> Vec<(Tensor<'b>, Tensor<'b>)> {
    old.iter().copied().zip(new.iter().copied()).collect()
}

/// The gradient of a scalar function at a point.
///
/// # Example
/// ```
/// use thalweg_graph::{Builder, DType, TensorType};
/// use thalweg_transform::gradient_of;
/// let b = Builder::new(DType::F64);
/// let x = b.input("x", TensorType::new(DType::F64, []));
/// // d/dx (x * d/dy (x + y)) = 1: the inner derivative does not see the outer variable.
/// let outer = gradient_of(
///     |x| x[0] * gradient_of(|y| x[0] + y[0], &[b.scalar(1.0)])[0],
///     &[x],
/// );
/// assert_eq!(outer[0].ty().to_string(), "f64[]");
/// ```
#[track_caller]
pub fn gradient_of<'b>(
    f: impl FnOnce(&[Tensor<'b>]) -> Tensor<'b>,
    at: &[Tensor<'b>],
) -> Vec<Tensor<'b>> {
    value_and_grad_of(f, at).1
}

/// The value and the gradient of a scalar function at a point.
#[track_caller]
pub fn value_and_grad_of<'b>(
    f: impl FnOnce(&[Tensor<'b>]) -> Tensor<'b>,
    at: &[Tensor<'b>],
) -> (Tensor<'b>, Vec<Tensor<'b>>) {
    let x = placeholders(at);
    let (value, gradient) = value_and_grad(f(&x), &x);
    let mut results = substitute(&[&[value], &gradient[..]].concat(), &pairs(&x, at));
    let gradient = results.split_off(1);
    (results[0], gradient)
}

/// The Hessian of a scalar function at a point, times a vector.
#[track_caller]
pub fn hvp_of<'b>(
    f: impl FnOnce(&[Tensor<'b>]) -> Tensor<'b>,
    at: &[Tensor<'b>],
    vector: &[Tensor<'b>],
) -> Vec<Tensor<'b>> {
    let (x, v) = (placeholders(at), placeholders(vector));
    let (_, products) = gradient_and_hvp(f(&x), &x, &v);
    substitute(&products, &[pairs(&x, at), pairs(&v, vector)].concat())
}

/// The values of a function at a point and their derivatives along tangents.
#[track_caller]
pub fn jvp_of<'b>(
    f: impl FnOnce(&[Tensor<'b>]) -> Vec<Tensor<'b>>,
    at: &[Tensor<'b>],
    tangents: &[Tensor<'b>],
) -> Jvp<'b> {
    if let Some(first) = at.first() {
        check_pairs(first.builder(), "jvp", at, tangents);
    }
    let (x, t) = (placeholders(at), placeholders(tangents));
    let result = jvp(&f(&x), &x, &t);
    let there: Vec<Tensor<'b>> = result.tangents.iter().flatten().copied().collect();
    let arguments = [pairs(&x, at), pairs(&t, tangents)].concat();
    let mut replaced =
        substitute(&[result.outputs.as_slice(), &there].concat(), &arguments).into_iter();
    let outputs = replaced.by_ref().take(result.outputs.len()).collect();
    let tangents = result.tangents.iter().map(|t| t.and_then(|_| replaced.next())).collect();
    Jvp { outputs, tangents }
}

/// A function of one member run for `size` members: an argument with an axis has its own value for
/// each member along it, the others are shared. Results have the members' axis in front.
#[track_caller]
pub fn vmap_of<'b>(
    f: impl FnOnce(&[Tensor<'b>]) -> Vec<Tensor<'b>>,
    arguments: &[(Tensor<'b>, Option<usize>)],
    size: usize,
) -> Vec<Tensor<'b>> {
    let mut replacements = Vec::new();
    let x: Vec<Tensor<'b>> = arguments
        .iter()
        .map(|&(batched, axis)| {
            let Some(axis) = axis else { return batched };
            let mut ty = batched.ty();
            if axis < ty.rank() {
                ty.shape.remove(axis);
            }
            let member = batched.builder().placeholder(ty);
            replacements.push(Replacement { member, batched, axis });
            member
        })
        .collect();
    vmap(&f(&x), &replacements, size)
}
