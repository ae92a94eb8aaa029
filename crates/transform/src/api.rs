//! Derivatives of values: reverse mode, Hessian products, linearisation.

use crate::jvp::{check_pairs, duals};
use crate::substitute::substitute;
use crate::transpose::transpose;
use thalweg_graph::{Builder, Tensor};

/// Values of outputs and the cotangents of variables.
pub struct Vjp<'b> {
    /// The outputs. Use these in place of the ones given: the loops that reverse mode runs forward
    /// compute them too.
    pub outputs: Vec<Tensor<'b>>,
    /// The cotangent of each variable; `None` where it is zero throughout.
    pub cotangents: Vec<Option<Tensor<'b>>>,
}

/// The cotangents of `wrt` from those of `outputs`, each variable independent of the others.
///
/// `ct_i = sum over outputs of (dy / dx_i)^T ct_y`
///
/// Errors as [`crate::jvp()`]; a cotangent is of its output's type.
#[track_caller]
pub fn vjp<'b>(outputs: &[Tensor<'b>], wrt: &[Tensor<'b>], cotangents: &[Tensor<'b>]) -> Vjp<'b> {
    let Some(first) = outputs.first() else {
        return Vjp { outputs: Vec::new(), cotangents: vec![None; wrt.len()] };
    };
    let builder = first.builder();
    check_pairs(builder, "vjp", outputs, cotangents);
    let Linearized { outputs: values, placeholders, tangents } =
        linearized(builder, outputs, wrt, "vjp");
    let pairs: Vec<_> = tangents
        .iter()
        .zip(cotangents)
        .filter_map(|(&tangent, &ct)| Some((tangent?, Some(ct))))
        .collect();
    let transposed = transpose(builder, &pairs, &placeholders, &values);
    Vjp { outputs: transposed.data, cotangents: transposed.cotangents }
}

struct Linearized<'b> {
    outputs: Vec<Tensor<'b>>,
    placeholders: Vec<Tensor<'b>>,
    tangents: Vec<Option<Tensor<'b>>>,
}

#[track_caller]
fn linearized<'b>(
    builder: &'b Builder,
    outputs: &[Tensor<'b>],
    wrt: &[Tensor<'b>],
    what: &str,
) -> Linearized<'b> {
    let placeholders: Vec<_> = wrt.iter().map(|x| builder.placeholder(x.ty())).collect();
    check_pairs(builder, what, wrt, &placeholders);
    let floats = |(x, _): &(Tensor<'b>, Tensor<'b>)| x.dtype().is_float();
    let pairs = wrt.iter().copied().zip(placeholders.iter().copied());
    let seeds: Vec<_> = pairs.filter(floats).collect();
    let duals = duals(builder, outputs, &seeds);
    Linearized {
        outputs: duals.iter().map(|dual| dual.primal).collect(),
        tangents: duals.iter().map(|dual| dual.tangent).collect(),
        placeholders,
    }
}

/// The gradient of the scalar `y`, zeros where it does not depend on a variable.
#[track_caller]
pub fn gradient<'b>(y: Tensor<'b>, wrt: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
    value_and_grad(y, wrt).1
}

/// The scalar `y` and its gradient.
///
/// Use the value that comes back in place of the one given: see [`Vjp::outputs`].
#[track_caller]
pub fn value_and_grad<'b>(y: Tensor<'b>, wrt: &[Tensor<'b>]) -> (Tensor<'b>, Vec<Tensor<'b>>) {
    let (values, gradient) = values_and_grad(&[y], wrt);
    (values[0], gradient)
}

/// The gradient of the scalar `outputs[0]`, and all the outputs: for a loss beside what is
/// reported with it.
///
/// An error when there is no output, or the first one is not a scalar of a float type.
#[track_caller]
pub fn values_and_grad<'b>(
    outputs: &[Tensor<'b>],
    wrt: &[Tensor<'b>],
) -> (Vec<Tensor<'b>>, Vec<Tensor<'b>>) {
    let Some(&y) = outputs.first() else {
        return (Vec::new(), wrt.iter().map(|x| x.zeros_like()).collect());
    };
    let builder = y.builder();
    if y.rank() != 0 || !y.dtype().is_float() {
        builder.reject("gradient", "a scalar of a float type", y.ty().to_string());
        return (outputs.to_vec(), wrt.iter().map(|x| x.zeros_like()).collect());
    }
    let Linearized { outputs, placeholders, tangents } =
        linearized(builder, outputs, wrt, "gradient");
    let one = builder.full(&y.ty(), 1.0);
    let pairs: Vec<_> = tangents[0].map(|tangent| (tangent, Some(one))).into_iter().collect();
    let transposed = transpose(builder, &pairs, &placeholders, &outputs);
    let gradient = transposed
        .cotangents
        .into_iter()
        .zip(wrt)
        .map(|(ct, x)| ct.unwrap_or_else(|| x.zeros_like()))
        .collect();
    (transposed.data, gradient)
}

/// The Hessian of the scalar `y` times a vector, forward over reverse.
///
/// `H v = d/de grad y(x + e v) at e = 0`
#[track_caller]
pub fn hvp<'b>(y: Tensor<'b>, wrt: &[Tensor<'b>], vector: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
    gradient_and_hvp(y, wrt, vector).1
}

/// The gradient of the scalar `y` and its Hessian times a vector.
#[track_caller]
pub fn gradient_and_hvp<'b>(
    y: Tensor<'b>,
    wrt: &[Tensor<'b>],
    vector: &[Tensor<'b>],
) -> (Vec<Tensor<'b>>, Vec<Tensor<'b>>) {
    let gradient = gradient(y, wrt);
    let along = crate::jvp(&gradient, wrt, vector);
    let products = along
        .tangents
        .into_iter()
        .zip(wrt)
        .map(|(tangent, x)| tangent.unwrap_or_else(|| x.zeros_like()))
        .collect();
    (along.outputs, products)
}

/// The derivative of some outputs as a linear map, to be applied many times.
pub struct Linear<'b> {
    /// The outputs.
    pub outputs: Vec<Tensor<'b>>,
    placeholders: Vec<Tensor<'b>>,
    tangents: Vec<Option<Tensor<'b>>>,
}

/// Linearises `outputs` as functions of `wrt` at the values that they have.
#[track_caller]
pub fn linearize<'b>(outputs: &[Tensor<'b>], wrt: &[Tensor<'b>]) -> Linear<'b> {
    let Some(first) = outputs.first() else {
        return Linear { outputs: Vec::new(), placeholders: Vec::new(), tangents: Vec::new() };
    };
    let Linearized { outputs, placeholders, tangents } =
        linearized(first.builder(), outputs, wrt, "linearize");
    Linear { outputs, placeholders, tangents }
}

impl<'b> Linear<'b> {
    /// The derivative of each output along tangents of the variables, zeros where there is none.
    #[track_caller]
    pub fn apply(&self, tangents: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let Some(first) = self.outputs.first() else { return Vec::new() };
        check_pairs(first.builder(), "linear map", &self.placeholders, tangents);
        let pairs: Vec<_> =
            self.placeholders.iter().copied().zip(tangents.iter().copied()).collect();
        let tangents: Vec<_> = self
            .tangents
            .iter()
            .zip(&self.outputs)
            .map(|(tangent, output)| tangent.unwrap_or_else(|| output.zeros_like()))
            .collect();
        // What has no placeholder in it is a constant zero, and stays.
        substitute(&tangents, &pairs)
    }

    /// The cotangent of each variable from those of the outputs, zeros where there is none.
    #[track_caller]
    pub fn transpose(&self, cotangents: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let Some(first) = self.outputs.first() else {
            return self.placeholders.iter().map(|x| x.zeros_like()).collect();
        };
        check_pairs(first.builder(), "linear map", &self.outputs, cotangents);
        let pairs: Vec<_> = self
            .tangents
            .iter()
            .zip(cotangents)
            .filter_map(|(&tangent, &ct)| Some((tangent?, Some(ct))))
            .collect();
        let transposed = transpose(first.builder(), &pairs, &self.placeholders, &[]);
        transposed
            .cotangents
            .into_iter()
            .zip(&self.placeholders)
            .map(|(ct, x)| ct.unwrap_or_else(|| x.zeros_like()))
            .collect()
    }
}
