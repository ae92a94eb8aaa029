//! How a step's effects on single examples cancel each other.

use crate::common::Gradients;
use crate::common::vector;
use crate::{Context, MethodError, Objective};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_exec::Program;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Mode, Model, Weights};

/// How the changes of single losses cancel in their sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interference {
    /// `D = 1 - |sum of changes| / sum of |changes|`, from 0 (all of one sign) to 1 (they cancel:
    /// zero-sum learning); zero where nothing changes.
    pub destructive: f64,
    /// `M`: the mean absolute change, in the unit of the loss.
    pub magnitude: f64,
    /// The change of the mean loss; `|change| = (1 - D) M`.
    pub change: f64,
}

/// The interference of the changes of losses between two points of training: `before[i]` and
/// `after[i]` are the losses of one example, or token.
///
/// # Errors
/// `Mismatch` for no losses or different numbers of them.
/// # Source    Mircea et al., Training dynamics underlying language model scaling laws: loss
/// deceleration and zero-sum learning, 2025, arXiv 2506.05447, section 3
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::interference;
/// let found = interference(&[1.0, 2.0, 3.0], &[0.0, 3.0, 1.0])?;
/// assert_eq!((found.destructive, found.change), (0.5, -2.0 / 3.0));
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn interference(before: &[f64], after: &[f64]) -> Result<Interference, MethodError> {
    if before.is_empty() || before.len() != after.len() {
        let expected = format!("{}, and at least one", before.len());
        return Err(MethodError::mismatch("losses after a step", expected, after.len()));
    }
    let changes: Vec<f64> = before.iter().zip(after).map(|(a, b)| b - a).collect();
    let n = changes.len() as f64;
    let sum = thalweg_stats::pairwise_sum(&changes);
    let absolute =
        thalweg_stats::pairwise_sum(&changes.iter().map(|change| change.abs()).collect::<Vec<_>>());
    let destructive = if absolute > 0.0 { 1.0 - sum.abs() / absolute } else { 0.0 };
    Ok(Interference { destructive, magnitude: absolute / n, change: sum / n })
}

/// The interference of each step of a run, of the losses of the same examples at its points.
///
/// # Errors
/// As [`interference`], and fewer than two points.
pub fn zero_sum_report(losses: &[Vec<f64>]) -> Result<Vec<Interference>, MethodError> {
    if losses.len() < 2 {
        return Err(MethodError::mismatch("points of a run", "at least 2", losses.len()));
    }
    losses.windows(2).map(|pair| interference(&pair[0], &pair[1])).collect()
}

/// The loss of every token of a batch of sequences, for many weights one after the other.
pub struct PositionLosses {
    program: Arc<Program>,
    float: DType,
    data: [Array; 2],
}

impl PositionLosses {
    /// For a model that predicts a class at each position: tokens and labels `i32 [n, positions]`.
    ///
    /// # Errors
    /// Tokens and labels that do not fit each other or the model.
    pub fn new(
        ctx: &Context<'_>,
        model: &Model,
        tokens: &Array,
        labels: &Array,
    ) -> Result<PositionLosses, MethodError> {
        thalweg_data::check_classes(labels, model.n_classes())?;
        let float = ctx.precision();
        let builder = Builder::new(float);
        let (parameters, buffers) = model.declare(&builder);
        let input = |name: &str, array: &Array| {
            builder.input(name, TensorType::new(array.dtype(), array.shape()))
        };
        let (x, y) = (input("tokens", tokens), input("labels", labels));
        let output = model.apply(&builder, &parameters, &buffers, x, &Mode::EVALUATE).output;
        let classes = output.shape().last().copied().unwrap_or(0);
        if output.rank() != labels.rank() + 1 {
            let expected = format!("logits for labels {:?}", labels.shape());
            return Err(MethodError::mismatch("the model's output", expected, output.ty()));
        }
        let axis = output.rank() - 1;
        let chosen = y.one_hot(classes, DType::Bool);
        let own = chosen.select(output, output.zeros_like()).sum(&[axis]);
        let losses = output.logsumexp(&[axis]) - own;
        let program = ctx.executor().compile(&builder.finish(&[("losses", losses)])?)?;
        Ok(PositionLosses { program, float, data: [tokens.clone(), labels.clone()] })
    }

    /// The losses at a point, in nats, sequence after sequence.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn at(&self, weights: &Weights) -> Result<Vec<f64>, MethodError> {
        let weights = weights.convert(self.float);
        let arrays = weights.parameters.arrays().iter().chain(weights.buffers.arrays());
        let inputs = arrays.cloned().chain(self.data.iter().cloned()).collect();
        let found = self.program.run(inputs)?;
        Ok(found.first().map(Array::to_f64_vec).unwrap_or_default())
    }
}

/// How the gradients of single examples cancel.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientInterference {
    /// `1 - |sum over i of g_ij| / sum over i of |g_ij|` of each coordinate `j`; zero where no example
    /// has a gradient. Its histogram over coordinates is the paper's.
    pub coordinates: Vec<f64>,
    /// `1 - |sum over i of g_i . delta| / sum over i of |g_i . delta|`: of the changes of losses that
    /// the gradients predict for the update.
    pub predicted: f64,
    /// `g_i . delta` of each example.
    pub changes: Vec<f64>,
    /// The sum of the gradients.
    pub sum: Vec<f64>,
}

/// The interference of the gradients of an objective's batches at a point, and of what they say that
/// an update `delta` changes.
///
/// With batches of one, batches are examples. Gradients are folded into their sums as they come: what
/// is held is three vectors of the model's size, however many examples there are.
///
/// # Errors
/// `Mismatch` for an update of another length; those of the engine.
/// # Source    as [`interference`], section 4
pub fn gradient_interference(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    update: &[f64],
) -> Result<GradientInterference, MethodError> {
    let n = objective.dimension();
    if update.len() != n {
        return Err(MethodError::mismatch("an update", n.to_string(), update.len()));
    }
    let gradients = Gradients::new(ctx, objective)?;
    let (mut sum, mut absolute) = (vec![0.0; n], vec![0.0; n]);
    let mut changes = Vec::new();
    for batch in 0..objective.batches().len() {
        let one = gradients.over(point, batch..batch + 1)?.gradient;
        vector::add_scaled(&mut sum, 1.0, &one);
        absolute.iter_mut().zip(&one).for_each(|(all, g)| *all += g.abs());
        changes.push(vector::dot(&one, update));
    }
    let opposed = |sum: f64, absolute: f64| match absolute > 0.0 {
        true => 1.0 - sum.abs() / absolute,
        false => 0.0,
    };
    let total = thalweg_stats::pairwise_sum(&changes);
    let sizes: Vec<f64> = changes.iter().map(|change| change.abs()).collect();
    Ok(GradientInterference {
        coordinates: sum.iter().zip(&absolute).map(|(&s, &a)| opposed(s, a)).collect(),
        predicted: opposed(total, thalweg_stats::pairwise_sum(&sizes)),
        changes,
        sum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::gradient;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};

    #[test]
    fn changes_of_one_sign_do_not_interfere_and_those_that_cancel_do() {
        let zero = vec![0.0; 4];
        let found = interference(&zero, &[-1.0, -0.5, -3.0, -2.0]).unwrap();
        assert_eq!((found.destructive, found.magnitude, found.change), (0.0, 1.625, -1.625));
        let found = interference(&zero, &[-1.0, 1.0, -3.0, 3.0]).unwrap();
        assert_eq!((found.destructive, found.change), (1.0, 0.0));
        assert_eq!(interference(&zero, &zero).unwrap().destructive, 0.0);
        let stream = Stream::new(4, "losses");
        let losses = |k: u64| (0..1000).map(|i| stream.at(k).normal(i)).collect::<Vec<f64>>();
        let run: Vec<Vec<f64>> = (0..5).map(losses).collect();
        for found in zero_sum_report(&run).unwrap() {
            let predicted = (1.0 - found.destructive) * found.magnitude;
            assert!((predicted - found.change.abs()).abs() < 1e-12);
            assert!(found.destructive > 0.5 && found.destructive < 1.0);
        }
        assert!(interference(&zero, &[1.0]).is_err() && zero_sum_report(&run[..1]).is_err());
    }

    #[test]
    fn sums_by_coordinate_are_the_batch_gradient() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "mlp hidden=5".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let stream = Stream::new(2, "inputs");
        let values: Vec<f64> = (0..24).map(|i| stream.normal(i)).collect();
        let inputs = Array::from_slice(&[8, 3], &values).unwrap();
        let labels = Array::vector(&[0, 1, 1, 0, 1, 0, 0, 1]);
        let objective = |batch| {
            let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
            let inputs = vec![inputs.clone()];
            let loss = Loss::default();
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, labels.clone(), true, &config)
                .unwrap()
        };
        let weights = thalweg_train::initialize(&model, 1, DType::F64).unwrap();
        let whole = gradient(&ctx, &objective(8), &weights).unwrap().gradient;
        let update: Vec<f64> = whole.iter().map(|g| -0.1 * g).collect();
        let found = gradient_interference(&ctx, &objective(1), &weights, &update).unwrap();
        for (sum, mean) in found.sum.iter().zip(&whole) {
            assert!((sum / 8.0 - mean).abs() < 1e-14);
        }
        assert!(found.coordinates.iter().all(|d| (0.0..=1.0).contains(d)));
        // Of a softmax with two classes the output biases have opposite gradients: each example
        // pulls at one of them, and four pull each way.
        let biases = &found.coordinates[found.coordinates.len() - 2..];
        assert!(biases.iter().all(|d| *d > 0.5), "{biases:?}");
        let predicted = found.changes.iter().sum::<f64>() / 8.0;
        assert!((predicted + 0.1 * vector::dot(&whole, &whole)).abs() < 1e-12);
        assert!(gradient_interference(&ctx, &objective(1), &weights, &[1.0]).is_err());
    }

    #[test]
    fn losses_of_tokens_have_the_mean_of_the_sequences() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let gpt = "gpt depth=1 width=8 heads=2".parse::<Architecture>().unwrap();
        let model = gpt.build(&[6], 5).unwrap();
        let tokens: Vec<i32> = (0..18).map(|i| i * i % 5).collect();
        let labels: Vec<i32> = (0..18).map(|i| (i * i + 1) % 5).collect();
        let [tokens, labels] =
            [tokens, labels].map(|values| Array::from_slice(&[3, 6], &values).unwrap());
        let weights = thalweg_train::initialize(&model, 1, DType::F64).unwrap();
        let losses = PositionLosses::new(&ctx, &model, &tokens, &labels).unwrap();
        let found = losses.at(&weights).unwrap();
        let config = ObjectiveConfig::default();
        let (loss, inputs) = (Loss::default(), vec![tokens.clone()]);
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, labels, true, &config).unwrap();
        let mean = crate::evaluate(&ctx, &objective, &weights).unwrap().loss;
        assert_eq!(found.len(), 18);
        assert!((found.iter().sum::<f64>() / 18.0 - mean).abs() < 1e-12);
        let beyond = Array::from_slice(&[3, 6], &[7i32; 18]).unwrap();
        assert!(PositionLosses::new(&ctx, &model, &tokens, &beyond).is_err());
    }
}
