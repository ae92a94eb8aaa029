//! A loss as a function of the input.

use super::model_objective::{ModelObjective, gather};
use super::objective::{BatchNorm, Examples, Objective, Sampling, check_point};
use crate::MethodError;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Axis, Buffer, Initializer, Loss, Parameter, Parameters, Role, Weights};

/// What is looked at over the inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Likelihood {
    /// The objective's own loss.
    #[default]
    Loss,
    /// `-log p(x, y) - log Z = -f(x)[y]`: the network's outputs as energies of inputs and classes.
    Joint,
    /// `-log p(x) - log Z = -logsumexp over y of f(x)[y]`.
    Marginal,
}

impl Likelihood {
    /// Its negative logarithm for each example, `[n]`: given losses as they are, or of outputs `[n,
    /// classes]` and labels `[n]`.
    #[track_caller]
    pub fn negative_log<'b>(
        self,
        losses: Tensor<'b>,
        outputs: Tensor<'b>,
        labels: Tensor<'b>,
    ) -> Tensor<'b> {
        let last = outputs.rank().saturating_sub(1);
        match self {
            Likelihood::Loss => losses,
            Likelihood::Joint => Loss::NegativeLogLikelihood.per_example(outputs, labels),
            Likelihood::Marginal => -outputs.logsumexp(&[last]),
        }
    }
}

/// The loss of fixed weights as a function of what is added to the input:
/// `L(d) = 1/n sum over examples of l(x_i + d)`, with one `d` for all.
///
/// Its one parameter is `d`, in units of the inputs as the network reads them: where they are
/// normalised, in standard deviations. Whatever is done to an objective can be done to it.
///
/// # Source    the energies of [`Likelihood`]: Grathwohl et al., Your classifier is secretly an energy
/// based model, 2020, arXiv 1912.03263; their landscape: Lin, Kolouri et al. 2020, arXiv 2008.11300
pub struct InputObjective<'a> {
    inner: &'a ModelObjective,
    /// Parameters, then buffers.
    weights: Vec<Array>,
    parameters: Vec<Parameter>,
    likelihood: Likelihood,
    /// The one example that is looked at, with its arrays; none: all.
    example: Option<Vec<Array>>,
}

impl<'a> InputObjective<'a> {
    /// The loss over all examples of an objective, or over one, by its place among them.
    ///
    /// # Errors
    /// Weights of another model; a model of several inputs or of tokens; batch statistics, for which an
    /// example has no loss of its own; energies of a model that is no classifier; an example that is
    /// none.
    pub fn new(
        inner: &'a ModelObjective,
        weights: &Weights,
        likelihood: Likelihood,
        example: Option<usize>,
    ) -> Result<InputObjective<'a>, MethodError> {
        let objective: &dyn Objective = inner;
        let weights = check_point(objective, "the weights", weights)?;
        let input = movable_input(inner, likelihood != Likelihood::Loss)?;
        let shape = &input.shape()[1..];
        let axes = vec![Axis::Other; shape.len()];
        let zero = Initializer::Constant(0.0);
        let parameters = vec![Parameter::new("input", shape, Role::Weight, &axes, zero)];
        let example = example.map(|place| one(objective, place)).transpose()?;
        let weights = [weights.parameters.into_arrays(), weights.buffers.into_arrays()].concat();
        Ok(InputObjective { inner, weights, parameters, likelihood, example })
    }

    /// Nothing added: the centre.
    ///
    /// # Errors
    /// None for a model's inputs.
    pub fn centre(&self) -> Result<Weights, MethodError> {
        let zero = |p: &Parameter| (p.name.clone(), Array::zeros(DType::F64, &p.shape));
        let parameters = Parameters::new(self.parameters.iter().map(zero).collect())?;
        Ok(Weights { parameters, buffers: Parameters::new(Vec::new())? })
    }
}

/// The input that can be moved of an objective's first batch.
///
/// # Errors
/// A model of several inputs or of tokens; batch statistics, for which an example has no loss of its
/// own; examples without a class, if each is to have one.
pub(crate) fn movable_input(inner: &ModelObjective, classes: bool) -> Result<Array, MethodError> {
    let objective: &dyn Objective = inner;
    if objective.batch_norm() != BatchNorm::Frozen && !objective.buffers().is_empty() {
        let (what, got) = ("batch normalisation in input space", objective.batch_norm());
        return Err(MethodError::config(what, "frozen statistics", got));
    }
    if classes && objective.labels().is_none() {
        return Err(MethodError::config("a likelihood", "examples with a class each", "none"));
    }
    let input = objective.data(0)?.into_iter().next();
    let input = input.filter(|input| input.dtype().is_float() && inner.n_inputs() == 1);
    input.ok_or_else(|| {
        let got = format!("{} inputs", inner.n_inputs());
        MethodError::config("inputs that are moved", "one array of floats", got)
    })
}

/// The arrays of one example.
fn one(objective: &dyn Objective, place: usize) -> Result<Vec<Array>, MethodError> {
    let mut start = 0;
    for (batch, &size) in objective.batches().iter().enumerate() {
        if place < start + size {
            let at = place - start;
            let rows = objective.data(batch)?;
            return Ok(rows
                .iter()
                .map(|array| array.rows(at..at + 1))
                .collect::<Result<_, _>>()?);
        }
        start += size;
    }
    Err(MethodError::config("example", format!("below {start}"), place))
}

impl Objective for InputObjective<'_> {
    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn buffers(&self) -> &[Buffer] {
        &[]
    }

    fn float(&self) -> DType {
        self.inner.float()
    }

    fn batch_norm(&self) -> BatchNorm {
        BatchNorm::Frozen
    }

    fn batches(&self) -> &[usize] {
        if self.example.is_some() { &[1] } else { self.inner.batches() }
    }

    fn data(&self, batch: usize) -> Result<Vec<Array>, MethodError> {
        let examples = match &self.example {
            Some(example) => example.clone(),
            None => self.inner.data(batch)?,
        };
        Ok([examples.as_slice(), &self.weights].concat())
    }

    fn data_at(&self, places: &[usize]) -> Result<Vec<Array>, MethodError> {
        let examples = match &self.example {
            Some(example) => {
                if let Some(place) = places.iter().find(|&&place| place != 0) {
                    return Err(MethodError::config("example", "the only one, 0", place));
                }
                example.iter().map(|array| gather(array, places)).collect::<Result<_, _>>()?
            }
            None => self.inner.data_at(places)?,
        };
        Ok([examples, self.weights.clone()].concat())
    }

    fn sampling(&self) -> &Sampling {
        if self.example.is_some() { &Sampling::All } else { self.inner.sampling() }
    }

    fn loss(&self) -> Option<Loss> {
        Objective::loss(self.inner).filter(|_| self.likelihood == Likelihood::Loss)
    }

    fn is_likelihood(&self) -> bool {
        self.inner.is_likelihood()
    }

    fn labels(&self) -> Option<Vec<i32>> {
        match self.example {
            Some(_) => None,
            None => self.inner.labels(),
        }
    }

    fn trace<'b>(
        &self,
        builder: &'b Builder,
        parameters: &[Tensor<'b>],
        _: &[Tensor<'b>],
        data: &[Tensor<'b>],
        _: bool,
    ) -> Examples<'b> {
        let (examples, weights) = data.split_at(data.len() - self.weights.len());
        let (weights, buffers) = weights.split_at(self.inner.parameters().len());
        let mut examples = examples.to_vec();
        let shape = examples[0].shape();
        let axes: Vec<usize> = (1..shape.len()).collect();
        examples[0] = examples[0] + parameters[0].broadcast_in(&shape, &axes);
        let mut traced = self.inner.trace(builder, weights, buffers, &examples, false);
        if let Some(outputs) = traced.outputs {
            traced.losses = self.likelihood.negative_log(traced.losses, outputs, examples[1]);
        }
        traced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ObjectiveConfig, gradient};
    use crate::{Context, evaluate};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;

    /// A linear classifier of three features and four classes, its weights and inputs.
    fn linear(ctx: &Context<'_>, loss: Loss) -> (ModelObjective, Weights, Vec<f64>) {
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 4).unwrap();
        let draws = Stream::new(1, "inputs");
        let inputs: Vec<f64> = (0..15).map(|i| draws.normal(i)).collect();
        let array = Array::from_slice(&[5, 3], &inputs).unwrap();
        let labels = Array::vector(&[0i32, 3, 1, 2, 0]);
        let config = ObjectiveConfig { batch: 2, ..ObjectiveConfig::default() };
        let made =
            ModelObjective::from_arrays(ctx, &model, loss, vec![array], labels, true, &config);
        (made.unwrap(), thalweg_train::initialize(&model, 4, DType::F64).unwrap(), inputs)
    }

    /// The outputs for an input, by hand.
    fn outputs(weights: &Weights, x: &[f64]) -> Vec<f64> {
        let find = |end: &str| {
            let found = weights.parameters.iter().find(|(name, _)| name.ends_with(end));
            found.map(|(_, array)| array.to_f64_vec()).unwrap()
        };
        let (w, b) = (find("weight"), find("bias"));
        (0..4).map(|k| b[k] + (0..3).map(|i| x[i] * w[4 * i + k]).sum::<f64>()).collect()
    }

    #[test]
    fn moved_inputs_have_the_losses_of_the_formula() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (objective, weights, inputs) = linear(&ctx, Loss::default());
        let shift = [0.3, -0.7, 1.1];
        let log_sum = |f: &[f64]| f.iter().map(|v| v.exp()).sum::<f64>().ln();
        let labels = [0, 3, 1, 2, 0];
        for likelihood in [Likelihood::Loss, Likelihood::Joint, Likelihood::Marginal] {
            let each: Vec<f64> = inputs
                .chunks(3)
                .zip(labels)
                .map(|(x, y)| {
                    let moved: Vec<f64> = x.iter().zip(shift).map(|(x, d)| x + d).collect();
                    let f = outputs(&weights, &moved);
                    match likelihood {
                        Likelihood::Loss => log_sum(&f) - f[y],
                        Likelihood::Joint => -f[y],
                        Likelihood::Marginal => -log_sum(&f),
                    }
                })
                .collect();
            let all = InputObjective::new(&objective, &weights, likelihood, None).unwrap();
            let centre = all.centre().unwrap();
            let parameters = centre.parameters.unflatten(&shift).unwrap();
            let point = Weights { parameters, buffers: centre.buffers };
            let found = evaluate(&ctx, &all, &point).unwrap().loss;
            assert!((found - each.iter().sum::<f64>() / 5.0).abs() < 1e-12, "{likelihood:?}");
            let third = InputObjective::new(&objective, &weights, likelihood, Some(3)).unwrap();
            let found = evaluate(&ctx, &third, &point).unwrap();
            assert!((found.loss - each[3]).abs() < 1e-12 && found.examples == 1);
            // The slope of outputs that are linear is their row.
            if likelihood == Likelihood::Joint {
                let slope = gradient(&ctx, &third, &point).unwrap().gradient;
                let zero = outputs(&weights, &[0.0; 3])[2];
                for i in 0..3 {
                    let unit: Vec<f64> = (0..3).map(|j| f64::from(u8::from(i == j))).collect();
                    let expected = zero - outputs(&weights, &unit)[2];
                    assert!((slope[i] - expected).abs() < 1e-12);
                }
            }
        }
        assert!(InputObjective::new(&objective, &weights, Likelihood::Loss, Some(5)).is_err());
    }

    #[test]
    fn nothing_added_is_the_objective_itself() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let (objective, weights, _) = linear(&ctx, Loss::default());
        let inputs = InputObjective::new(&objective, &weights, Likelihood::Loss, None).unwrap();
        let one = evaluate(&ctx, &inputs, &inputs.centre().unwrap()).unwrap();
        assert_eq!(one, evaluate(&ctx, &objective, &weights).unwrap());
    }
}
