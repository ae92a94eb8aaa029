//! A model made of another one, with the same weights.

use crate::MethodError;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Loss, Mode, Model, ModelPort, Network, Parameters, PortType, Scope};

/// The original model at the weights of the derived one, while that is being traced.
pub struct Original<'a, 'b> {
    builder: &'b Builder,
    model: &'a Model,
    parameters: &'a [Tensor<'b>],
    mode: &'a Mode<'b>,
}

impl<'b> Original<'_, 'b> {
    /// What traces.
    pub fn builder(&self) -> &'b Builder {
        self.builder
    }

    /// The first output for any inputs `[n, ..]`, as often as it is needed.
    #[track_caller]
    pub fn output(&self, inputs: &[Tensor<'b>]) -> Tensor<'b> {
        self.output_at(self.parameters, inputs)
    }

    /// The weights of the derived model, in the original's order.
    pub fn parameters(&self) -> &[Tensor<'b>] {
        self.parameters
    }

    /// The first output as [`Original::output`], at other weights.
    #[track_caller]
    pub fn output_at(&self, parameters: &[Tensor<'b>], inputs: &[Tensor<'b>]) -> Tensor<'b> {
        self.model.apply_to_all(self.builder, parameters, &[], inputs, self.mode).output
    }

    /// Weights that stay as they are, as values.
    pub fn constants(&self, parameters: &Parameters) -> Vec<Tensor<'b>> {
        let (builder, float) = (self.builder, self.builder.float());
        parameters.arrays().iter().map(|array| builder.constant(array.convert(float))).collect()
    }

    /// The key of this step's draws, `u32 [2]`; none where nothing is drawn, as in an evaluation.
    pub fn key(&self) -> Option<Tensor<'b>> {
        self.mode.dropout_key
    }
}

/// What the derived model computes of the original one and its own inputs.
type Function =
    dyn for<'a, 'b> Fn(&Original<'a, 'b>, &[Tensor<'b>]) -> Vec<Tensor<'b>> + Send + Sync;

struct Derived {
    model: Model,
    function: Box<Function>,
}

impl Network for Derived {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let own = self.model.parameters().iter().map(|parameter| {
            // The original applies the factor of the forward pass itself.
            let mut parameter = parameter.clone();
            parameter.multipliers.forward = 1.0;
            scope.parameter(parameter)
        });
        let parameters: Vec<Tensor<'b>> = own.collect();
        let (builder, model, mode) = (scope.builder(), &self.model, scope.mode());
        let original = Original { builder, model, parameters: &parameters, mode };
        (self.function)(&original, inputs)
    }
}

/// A model with the parameters of another and any function of it as outputs: its derivatives by
/// its inputs, its outputs where an attack has moved them, a loss with a penalty.
///
/// It is trained, evaluated and looked at like any other model. Weights go from one to the other
/// as they are.
///
/// # Errors
/// A model with running statistics, which a function that applies it more than once would move
/// more than once; the first mistake of the function.
///
/// # Example
/// ```
/// use thalweg_methods::common::derived_model;
/// use thalweg_nn::{Architecture, ModelPort};
/// use thalweg_transform::gradient;
/// let model = "mlp hidden=8 activation=tanh".parse::<Architecture>()?.build(&[3], 1)?;
/// let slope = derived_model(&model, vec![ModelPort::float("x", &[3])], &["slope"], |f, x| {
///     gradient(f.output(x).sum_all(), x)
/// })?;
/// assert_eq!(slope.parameter_count(), model.parameter_count());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn derived_model(
    model: &Model,
    inputs: Vec<ModelPort>,
    outputs: &[&str],
    function: impl for<'a, 'b> Fn(&Original<'a, 'b>, &[Tensor<'b>]) -> Vec<Tensor<'b>>
    + Send
    + Sync
    + 'static,
) -> Result<Model, MethodError> {
    if let Some(buffer) = model.buffers().first() {
        let expected = "one without running statistics";
        return Err(MethodError::config("model to derive from", expected, &buffer.name));
    }
    let derived = Derived { model: model.clone(), function: Box::new(function) };
    Ok(Model::new(Arc::new(derived), inputs, outputs)?)
}

/// The inputs of a derived model that reads the label of each example beside a model's one input.
///
/// # Errors
/// A model of several inputs or of tokens.
pub(crate) fn labelled_ports(model: &Model) -> Result<Vec<ModelPort>, MethodError> {
    match model.inputs() {
        [port] if port.ty == PortType::Float => {
            let label = ModelPort { name: "label".into(), shape: Vec::new(), ty: PortType::Index };
            Ok(vec![port.clone(), label])
        }
        ports => {
            let got = format!("{} inputs", ports.len());
            Err(MethodError::config("inputs that are moved", "one array of floats", got))
        }
    }
}

/// The loss and the targets with which the one output `[n, 1]` of a model is the loss of each of
/// `n` examples itself.
pub fn output_as_loss(n: usize, float: DType) -> (Loss, Array) {
    (Loss::NegativeLogLikelihood, Array::full(&[n, 1], -1.0).convert(float))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;
    use thalweg_train::initialize;
    use thalweg_transform::gradient;

    #[test]
    fn a_penalty_on_the_slope_is_that_of_the_formula() {
        // f(x) = w . x + b: the slope is w whatever the input.
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 1).unwrap();
        let ports = vec![ModelPort::float("x", &[3])];
        let penalised = derived_model(&model, ports, &["loss"], |f, x| {
            let output = f.output(x);
            let slope = gradient(output.sum_all(), x)[0];
            vec![output.square() + slope.square().sum(&[1]).expand(1)]
        })
        .unwrap();
        assert_eq!(penalised.parameters(), model.parameters());
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let weights = initialize(&model, 3, DType::F64).unwrap();
        let inputs = [1.0, -2.0, 0.5, 0.3, 0.0, 4.0];
        let array = Array::from_slice(&[2, 3], &inputs).unwrap();
        let (loss, targets) = output_as_loss(2, DType::F64);
        let config = ObjectiveConfig::default();
        let objective = ModelObjective::from_arrays(
            &ctx,
            &penalised,
            loss,
            vec![array],
            targets,
            false,
            &config,
        );
        let found = evaluate(&ctx, &objective.unwrap(), &weights).unwrap().loss;
        let flat = weights.parameters.flatten();
        let (w, b) = (&flat[..3], flat[3]);
        let dot = |x: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        let each: f64 = inputs.chunks(3).map(|x| (dot(x) + b).powi(2)).sum::<f64>() / 2.0;
        assert!((found - each - dot(w)).abs() < 1e-12, "{found}");
    }

    #[test]
    fn running_statistics_are_refused() {
        let model = "convnet channels=4 norm=batch".parse::<Architecture>().unwrap();
        let model = model.build(&[4, 4, 1], 2).unwrap();
        let ports = vec![ModelPort::float("x", &[4, 4, 1])];
        let refused = derived_model(&model, ports, &["y"], |f, x| vec![f.output(x)]);
        assert!(refused.unwrap_err().to_string().contains("without running statistics"));
    }
}
