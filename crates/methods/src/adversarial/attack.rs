//! Attacks by the gradient of the loss with respect to the input.

use crate::common::{ModelObjective, Objective, check_point, fit, movable_input};
use crate::{Context, MethodError, Pass};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Op, Tensor, TensorType};
use thalweg_nn::Weights;
use thalweg_transform::gradient;

/// Ascent of each example's loss within a box around its input:
/// `x <- clip(x + step sign(grad_x l), x_0 - eps, x_0 + eps)`, held within `range`.
///
/// # Source    FGSM: Goodfellow, Shlens, Szegedy, Explaining and harnessing adversarial examples, 2014,
/// arXiv 1412.6572; PGD: Madry et al., Towards deep learning models resistant to adversarial attacks,
/// 2017, arXiv 1706.06083
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attack {
    /// Half the side of the box.
    pub eps: f64,
    /// Length of a step.
    pub step: f64,
    /// Steps.
    pub steps: usize,
    /// Whether it starts at a random point of the box.
    pub random_start: bool,
    /// How often it is tried; the worst for each example counts.
    pub restarts: usize,
    /// Least and largest value of an input, if there are any.
    pub range: Option<(f64, f64)>,
}

impl Attack {
    /// The fast gradient sign method: one step to a corner of the box.
    pub fn fgsm(eps: f64) -> Attack {
        Attack { eps, step: eps, steps: 1, random_start: false, restarts: 1, range: None }
    }

    /// Projected gradient descent (an ascent of the loss): steps of `2.5 eps / steps` from one random
    /// start.
    pub fn pgd(eps: f64, steps: usize) -> Attack {
        let step = 2.5 * eps / steps.max(1) as f64;
        Attack { eps, step, steps, random_start: true, restarts: 1, range: None }
    }

    /// With the values that inputs can have.
    pub fn within(self, low: f64, high: f64) -> Attack {
        Attack { range: Some((low, high)), ..self }
    }

    /// With several tries.
    pub fn restarts(self, restarts: usize) -> Attack {
        Attack { restarts, ..self }
    }

    /// Refuses what is no attack.
    ///
    /// # Errors
    /// A negative size, no steps or tries, an empty range.
    pub fn check(&self) -> Result<(), MethodError> {
        for (what, size) in [("eps of an attack", self.eps), ("step of an attack", self.step)] {
            if !(size >= 0.0 && size.is_finite()) {
                return Err(MethodError::config(what, "a number of at least 0", size));
            }
        }
        for (what, n) in [("steps", self.steps), ("restarts", self.restarts)] {
            if n == 0 {
                return Err(MethodError::config(&format!("{what} of an attack"), "at least 1", 0));
            }
        }
        match self.range {
            Some((low, high)) if low.is_nan() || high.is_nan() || low >= high => {
                let got = format!("{low} to {high}");
                Err(MethodError::config("range of inputs", "an upper end above the lower", got))
            }
            _ => Ok(()),
        }
    }

    /// One step from `x`, where `losses` gives each example's loss there; `origin` is the middle of the
    /// box. No derivative goes through it.
    pub(crate) fn advanced<'b>(
        &self,
        losses: Tensor<'b>,
        x: Tensor<'b>,
        origin: Tensor<'b>,
    ) -> Tensor<'b> {
        let slope = gradient(losses.sum_all(), &[x])[0];
        self.projected(x + slope.sign() * self.step, origin).stop_gradient()
    }

    /// The nearest point of the box and the range.
    pub(crate) fn projected<'b>(&self, x: Tensor<'b>, origin: Tensor<'b>) -> Tensor<'b> {
        let near = x.maximum(origin - self.eps).minimum(origin + self.eps);
        match self.range {
            None => near,
            Some((low, high)) => near.maximum(low).minimum(high),
        }
    }

    /// The start of an attack in a graph: with a key, `u32 [2]`, a random point of the box if the attack
    /// starts at one.
    pub(crate) fn started<'b>(&self, origin: Tensor<'b>, key: Option<Tensor<'b>>) -> Tensor<'b> {
        let Some(key) = key.filter(|_| self.random_start) else { return origin };
        let (builder, shape) = (origin.builder(), origin.shape());
        let n: usize = shape.iter().product();
        let word = |i| key.index(0, i).broadcast_in(&shape, &[]);
        let counter = builder.iota(DType::U32, &[n], 0).reshape(&shape);
        // A stream of its own beside those of dropout, whose second word counts layers from zero.
        let own = builder.scalar_of(DType::U32, f64::from(u32::MAX)).broadcast_in(&shape, &[]);
        let bits = builder.emit_one(Op::Threefry, &[word(0), word(1), counter, own]);
        let unit = bits.convert(origin.dtype()) * 2f64.powi(-32);
        self.projected(origin + (unit * 2.0 - 1.0) * self.eps, origin)
    }
}

/// What an attack found.
#[derive(Clone, Debug, PartialEq)]
pub struct Attacked {
    /// The moved inputs, `[n, ..]`.
    pub inputs: Array,
    /// The loss of each example there.
    pub losses: Vec<f64>,
    /// Whether each is still classified rightly, which it is not if any try succeeded; nothing where
    /// targets are values.
    pub correct: Option<Vec<bool>>,
}

impl Attacked {
    /// The share of examples that are still classified rightly, if they have classes.
    pub fn robust_accuracy(&self) -> Option<f64> {
        let correct = self.correct.as_ref()?;
        let right = correct.iter().filter(|correct| **correct).count();
        Some(right as f64 / correct.len() as f64)
    }
}

/// Attacks every example of an objective, by the objective's own loss, in units of the inputs as the
/// network reads them.
///
/// An example's inputs are those of the try that it is classified wrongly after, and among several
/// the one of the highest loss. Random starts are draws of the stream `attack`.
///
/// # Errors
/// An attack that is none; weights of another model; a model of several inputs or of tokens; batch
/// statistics; those of the engine; `Interrupted` between batches.
pub fn attack(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    weights: &Weights,
    attack: &Attack,
) -> Result<Attacked, MethodError> {
    attack.check()?;
    let known: &dyn Objective = objective;
    let point = check_point(known, "the weights", weights)?;
    movable_input(objective, false)?;
    let shared = [point.parameters.into_arrays(), point.buffers.into_arrays()].concat();
    let mut programs: Vec<(usize, Arc<Program>)> = Vec::new();
    for (size, batch) in known.sizes() {
        let (_, program) = fit(ctx, "one attack", 1, |_| graph(objective, batch, attack))?;
        programs.push((size, program));
    }
    let stream = ctx.stream("attack");
    let (mut rows, mut losses) = (Vec::new(), Vec::new());
    let mut correct = known.labels().map(|_| Vec::new());
    for (batch, &size) in known.batches().iter().enumerate() {
        let Some((_, program)) = programs.iter().find(|(known, _)| *known == size) else {
            return Err(MethodError::mismatch("batch sizes", "those at the start", size));
        };
        let data = known.data(batch)?;
        let origin = &data[0];
        let mut best: Option<Attacked> = None;
        for restart in 0..attack.restarts as u64 {
            let draws = stream.at(restart).at(batch as u64);
            let mut x = start(origin, attack, &draws)?;
            let mut tried = None;
            // The last run only reads what became of the losses.
            for step in 0..=attack.steps {
                ctx.check()?;
                ctx.spend(if step < attack.steps { Pass::Gradient } else { Pass::Loss }, size);
                let moved = [&shared[..], &[x.clone()], &data].concat();
                let mut found = program.run(moved)?.into_iter();
                let (Some(next), Some(losses)) = (found.next(), found.next()) else { break };
                if step == attack.steps {
                    let hits = |c: Array| c.to_f64_vec().into_iter().map(|c| c == 1.0).collect();
                    let (inputs, losses) = (x.clone(), losses.to_f64_vec());
                    tried = Some(Attacked { inputs, losses, correct: found.next().map(hits) });
                }
                x = next;
            }
            best = match (best, tried) {
                (Some(best), Some(tried)) => Some(worse(best, tried)?),
                (best, tried) => tried.or(best),
            };
        }
        if let Some(best) = best {
            for row in 0..size {
                rows.push(best.inputs.row(row)?);
            }
            losses.extend(best.losses);
            if let (Some(correct), Some(best)) = (&mut correct, best.correct) {
                correct.extend(best);
            }
        }
    }
    Ok(Attacked { inputs: Array::stack(&rows)?, losses, correct })
}

/// Of each example the worse of two tries.
fn worse(mut first: Attacked, second: Attacked) -> Result<Attacked, MethodError> {
    let mut rows = Vec::with_capacity(first.losses.len());
    for i in 0..first.losses.len() {
        let correct = [&first, &second].map(|a| a.correct.as_ref().map(|correct| correct[i]));
        let takes = match correct {
            [Some(true), Some(false)] => true,
            [Some(false), Some(true)] => false,
            _ => second.losses[i] > first.losses[i],
        };
        rows.push(if takes { second.inputs.row(i)? } else { first.inputs.row(i)? });
        if takes {
            first.losses[i] = second.losses[i];
            if let (Some(correct), [_, Some(own)]) = (&mut first.correct, correct) {
                correct[i] = own;
            }
        }
    }
    Ok(Attacked { inputs: Array::stack(&rows)?, ..first })
}

/// Where a try begins.
fn start(origin: &Array, attack: &Attack, draws: &Stream) -> Result<Array, MethodError> {
    if !attack.random_start {
        return Ok(origin.clone());
    }
    let (low, high) = attack.range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    let moved = origin.to_f64_vec().into_iter().enumerate().map(|(i, x)| {
        let aside = (2.0 * draws.uniform(i as u64) - 1.0) * attack.eps;
        (x + aside).max(low).min(high)
    });
    let moved: Vec<f64> = moved.collect();
    Ok(Array::from_slice(origin.shape(), &moved)?.convert(origin.dtype()))
}

/// Weights, the moved inputs, the data -> the inputs a step on; losses and hits at the moved ones.
fn graph(objective: &ModelObjective, batch: usize, attack: &Attack) -> Result<Graph, MethodError> {
    let known: &dyn Objective = objective;
    let float = known.float();
    let builder = Builder::new(float);
    let weights = |name: &str, shape: &[usize]| builder.input(name, TensorType::new(float, shape));
    let parameters: Vec<_> = known
        .parameters()
        .iter()
        .map(|p| weights(&format!("weights.{}", p.name), &p.shape))
        .collect();
    let buffers: Vec<_> =
        known.buffers().iter().map(|b| weights(&format!("buffer.{}", b.name), &b.shape)).collect();
    let types = known.data_types(batch)?;
    let x = builder.input("x", types[0].clone());
    let mut data: Vec<_> = types
        .into_iter()
        .enumerate()
        .map(|(i, ty)| builder.input(&format!("data.{i}"), ty))
        .collect();
    let origin = std::mem::replace(&mut data[0], x);
    let traced = known.trace(&builder, &parameters, &buffers, &data, false);
    let next = attack.advanced(traced.losses, x, origin);
    let mut outputs = vec![("next", next), ("losses", traced.losses)];
    outputs.extend(traced.correct.map(|correct| ("correct", correct)));
    Ok(builder.finish(&outputs)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::ObjectiveConfig;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss, Model};
    use thalweg_train::initialize;

    /// Two classes of linear outputs, with their weights and inputs.
    fn linear(ctx: &Context<'_>) -> (ModelObjective, Weights, Vec<f64>) {
        let model = "linear".parse::<Architecture>().unwrap().build(&[3], 2).unwrap();
        let draws = Stream::new(1, "inputs");
        let inputs: Vec<f64> = (0..30).map(|i| draws.uniform(i)).collect();
        let labels: Vec<i32> = (0..10).map(|i| i % 2).collect();
        let array = Array::from_slice(&[10, 3], &inputs).unwrap();
        let config = ObjectiveConfig { batch: 4, ..ObjectiveConfig::default() };
        let (loss, labels) = (Loss::default(), Array::vector(&labels));
        let made =
            ModelObjective::from_arrays(ctx, &model, loss, vec![array], labels, true, &config);
        (made.unwrap(), initialize(&model, 4, DType::F64).unwrap(), inputs)
    }

    /// Per example, the margin of the right class and the loss after the worst move within `eps`.
    fn worst(weights: &Weights, inputs: &[f64], eps: f64) -> Vec<(f64, f64)> {
        let flat = weights.parameters.flatten();
        let slope: Vec<f64> = (0..3).map(|i| flat[2 * i] - flat[2 * i + 1]).collect();
        let length: f64 = slope.iter().map(|s| s.abs()).sum();
        let margins = inputs.chunks(3).enumerate().map(|(i, x)| {
            let lead = x.iter().zip(&slope).map(|(x, s)| x * s).sum::<f64>() + flat[6] - flat[7];
            let margin = if i % 2 == 0 { lead } else { -lead } - eps * length;
            (margin, (-margin).exp().ln_1p())
        });
        margins.collect()
    }

    #[test]
    fn a_linear_classifier_loses_the_norm_of_its_slope() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (objective, weights, inputs) = linear(&ctx);
        let eps = 0.2;
        let expected = worst(&weights, &inputs, eps);
        // The box has one worst corner, which any number of steps reaches from anywhere.
        for way in [Attack::fgsm(eps), Attack::pgd(eps, 7), Attack::pgd(eps, 20).restarts(3)] {
            let found = attack(&ctx, &objective, &weights, &way).unwrap();
            let right: Vec<bool> = expected.iter().map(|(margin, _)| *margin > 0.0).collect();
            assert_eq!(found.correct, Some(right));
            for (i, (_, loss)) in expected.iter().enumerate() {
                assert!((found.losses[i] - loss).abs() < 1e-12, "{way:?} {i}");
            }
            let moved = found.inputs.to_f64_vec();
            assert!(moved.iter().zip(&inputs).all(|(a, b)| ((a - b).abs() - eps).abs() < 1e-12));
        }
        let still = attack(&ctx, &objective, &weights, &Attack::pgd(0.0, 3)).unwrap();
        assert_eq!(still.inputs.to_f64_vec(), inputs);
        let right =
            worst(&weights, &inputs, 0.0).iter().filter(|(margin, _)| *margin > 0.0).count();
        assert_eq!(still.robust_accuracy(), Some(right as f64 / 10.0));
    }

    #[test]
    fn moved_inputs_stay_in_the_box_and_in_range() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (objective, weights, inputs) = linear(&ctx);
        let way = Attack::pgd(0.3, 5).within(0.0, 1.0);
        let found = attack(&ctx, &objective, &weights, &way).unwrap();
        let moved = found.inputs.to_f64_vec();
        assert!(moved.iter().all(|x| (0.0..=1.0).contains(x)));
        assert!(moved.iter().zip(&inputs).all(|(a, b)| (a - b).abs() < 0.3 + 1e-12));
        assert!(moved.contains(&0.0) && moved.contains(&1.0));
    }

    #[test]
    fn the_worst_try_of_each_example_counts() {
        let tried = |losses: [f64; 3], correct: [bool; 3], at: f64| Attacked {
            inputs: Array::from_slice(&[3, 1], &[at; 3]).unwrap(),
            losses: losses.to_vec(),
            correct: Some(correct.to_vec()),
        };
        let first = tried([1.0, 5.0, 0.1], [false, true, true], 0.0);
        let second = tried([2.0, 0.7, 0.2], [true, false, true], 1.0);
        let found = worse(first, second).unwrap();
        assert_eq!(found.inputs.to_f64_vec(), [0.0, 1.0, 1.0]);
        assert_eq!(found.losses, [1.0, 0.7, 0.2]);
        assert_eq!(found.correct, Some(vec![false, false, true]));
    }

    #[test]
    fn what_is_no_attack_is_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (objective, weights, _) = linear(&ctx);
        for way in [
            Attack::fgsm(-0.1),
            Attack::fgsm(f64::NAN),
            Attack { steps: 0, ..Attack::fgsm(0.1) },
            Attack::fgsm(0.1).restarts(0),
            Attack::fgsm(0.1).within(1.0, 0.0),
        ] {
            assert!(attack(&ctx, &objective, &weights, &way).is_err(), "{way:?}");
        }
    }

    #[test]
    fn a_regression_is_moved_along_its_error() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model: Model = "linear".parse::<Architecture>().unwrap().build(&[3], 1).unwrap();
        let w = Array::from_slice(&[3, 1], &[-2.0, 3.0, 0.0]).unwrap();
        let parameters = model.parameter_tree(vec![w, Array::vector(&[0.0])]).unwrap();
        let weights = Weights { parameters, buffers: model.initial_buffers(DType::F64) };
        // Outputs are 0 and -1.8; the first is to be 1, the second -3.
        let x = Array::from_slice(&[2, 3], &[0.0, 0.0, 0.5, 0.9, 0.0, 0.5]).unwrap();
        let y = Array::from_slice(&[2, 1], &[1.0, -3.0]).unwrap();
        let config = ObjectiveConfig::default();
        let loss = Loss::MeanSquaredError;
        let values = ModelObjective::from_arrays(&ctx, &model, loss, vec![x], y, false, &config);
        let way = Attack { step: 0.1, steps: 4, ..Attack::fgsm(0.25) }.within(-1.0, 1.0);
        let found = attack(&ctx, &values.unwrap(), &weights, &way).unwrap();
        let expected = [0.25, -0.25, 0.5, 0.65, 0.25, 0.5];
        for (found, expected) in found.inputs.to_f64_vec().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!((found.correct.clone(), found.robust_accuracy()), (None, None));
    }
}
