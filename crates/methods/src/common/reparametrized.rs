//! A model whose layers use functions of the weights that it keeps.

use crate::{Context, MethodError};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_nn::{Model, Network, Parameter, Scope, Weights};

/// What becomes of a weight before its layer uses it.
pub(crate) trait Reparametrization: Clone + Send + Sync + 'static {
    /// The parameter that comes with a weight, if there is one: its gains, say.
    fn beside(&self, _: &Parameter) -> Option<Parameter> {
        None
    }

    /// The weight that the layer uses, from the one that is kept and what comes with it.
    fn of<'b>(&self, w: Tensor<'b>, beside: Option<Tensor<'b>>) -> Tensor<'b>;
}

/// A model that is another one at functions of some of its weights; gradients go through them.
///
/// Names, shapes and initial values are those of the model, and the further parameter of a weight
/// stands behind it.
///
/// # Errors
/// A name that is no parameter of more than one axis; a model with running statistics, which belong
/// to the weights as they are; the first mistake of tracing.
pub(crate) fn reparametrized(
    model: &Model,
    names: &[&str],
    of: impl Reparametrization,
) -> Result<Model, MethodError> {
    let known = model.parameters();
    for name in names {
        if !known.iter().any(|p| p.name == *name && p.shape.len() > 1) {
            let expected = "a weight of more than one axis";
            return Err(MethodError::config("weight to normalise", expected, name));
        }
    }
    if let Some(buffer) = model.buffers().first() {
        let expected = "one without running statistics";
        return Err(MethodError::config("model to normalise", expected, &buffer.name));
    }
    let changed = known.iter().map(|p| names.contains(&p.name.as_str())).collect();
    let network = Reparametrized { model: model.clone(), changed, of };
    let outputs: Vec<&str> = model.outputs().iter().map(|port| port.name.as_str()).collect();
    Ok(Model::new(Arc::new(network), model.inputs().to_vec(), &outputs)?)
}

struct Reparametrized<R> {
    model: Model,
    /// Of each parameter, whether a function of it is used.
    changed: Vec<bool>,
    of: R,
}

impl<R: Reparametrization> Network for Reparametrized<R> {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let used =
            self.model.parameters().iter().zip(&self.changed).map(|(parameter, &changed)| {
                // The model applies the factor of the forward pass itself.
                let mut own = parameter.clone();
                own.multipliers.forward = 1.0;
                let w = scope.parameter(own);
                if !changed {
                    return w;
                }
                let beside = self.of.beside(parameter).map(|beside| scope.parameter(beside));
                self.of.of(w, beside)
            });
        let used: Vec<Tensor<'b>> = used.collect();
        self.model.apply_to_all(scope.builder(), &used, &[], inputs, scope.mode()).outputs
    }
}

/// The weights that the layers of a [`reparametrized`] model use, computed as they compute them, in the
/// context's precision: `model` as it was is at these the same function.
///
/// # Errors
/// Weights of another model; those of the engine.
pub(crate) fn used_weights(
    ctx: &Context<'_>,
    model: &Model,
    names: &[&str],
    of: &impl Reparametrization,
    weights: &Weights,
) -> Result<Weights, MethodError> {
    let known = |name: &str| {
        let none = || MethodError::mismatch("weights", name, "none");
        weights.parameters.get(name).ok_or_else(none)
    };
    let float = ctx.precision();
    let builder = Builder::new(float);
    let (mut arguments, mut results) = (Vec::new(), Vec::new());
    let mut arrays = Vec::new();
    for parameter in model.parameters() {
        let array = known(&parameter.name)?;
        arrays.push(array.clone());
        if !names.contains(&parameter.name.as_str()) {
            continue;
        }
        let mut input = |name: &str, array: &Array| {
            arguments.push(array.convert(float));
            builder.input(name, TensorType::new(float, array.shape()))
        };
        let w = input(&parameter.name, array);
        let beside = match of.beside(parameter) {
            Some(beside) => Some(input(&beside.name, known(&beside.name)?)),
            None => None,
        };
        results.push((parameter.name.as_str(), of.of(w, beside)));
    }
    if !results.is_empty() {
        let program = ctx.executor().compile(&builder.finish(&results)?)?;
        let mut used = program.run(arguments)?.into_iter();
        for (parameter, array) in model.parameters().iter().zip(&mut arrays) {
            if names.contains(&parameter.name.as_str())
                && let Some(used) = used.next()
            {
                *array = used.convert(array.dtype());
            }
        }
    }
    let parameters = model.parameter_tree(arrays)?;
    Ok(Weights { parameters, buffers: weights.buffers.clone() })
}
