//! The same training at many learning rates.

use crate::error::stored;
use crate::{Context, MethodError};
use std::ops::ControlFlow;
use thalweg_array::Array;
use thalweg_nn::Weights;
use thalweg_train::{Ended, Evaluator, Member, Resources, Segment, Status, Trainer};

/// A number of a network in the midst of training, as the largest eigenvalue of its Hessian.
pub type Look<'a> = dyn Fn(&Weights) -> Result<f64, MethodError> + 'a;

/// What [`learning_rate_sweep`] trains.
#[derive(Clone, Copy)]
pub struct SweepConfig<'a> {
    /// The rates, in the order in which they are told.
    pub rates: &'a [f64],
    /// The seeds at each rate.
    pub seeds: &'a [u64],
    /// The weights that each seed begins with; none: those that it draws.
    pub starts: Option<&'a [Weights]>,
    /// What is read after so many steps, or at the first look at the run behind them.
    pub look: Option<(u64, &'a Look<'a>)>,
}

/// What [`learning_rate_sweep`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningRateSweep {
    /// The rates.
    pub rates: Vec<f64>,
    /// The mean loss at the end; infinite of a run that diverged. `[rate][seed]`
    pub losses: Vec<Vec<f64>>,
    /// What was read on the way; not a number of a run that had diverged by then, or whose reading
    /// was not finite. `[rate][seed]`, empty if nothing was asked for.
    pub readings: Vec<Vec<f64>>,
}

impl LearningRateSweep {
    /// Of each rate the share of runs that do not end below a loss: with an infinite one of those that
    /// diverged.
    pub fn failure_rates(&self, level: f64) -> Vec<f64> {
        let share = |losses: &Vec<f64>| {
            let failed = losses.iter().filter(|&&loss| fails(loss, level)).count();
            failed as f64 / losses.len().max(1) as f64
        };
        self.losses.iter().map(share).collect()
    }

    /// The largest rate at which a seed's run ends below a loss.
    pub fn largest(&self, seed: usize, level: f64) -> Option<f64> {
        let ends = self.rates.iter().zip(&self.losses);
        let trained =
            ends.filter(|(_, losses)| losses.get(seed).is_some_and(|&l| !fails(l, level)));
        trained.map(|(rate, _)| *rate).reduce(f64::max)
    }

    /// The lowest loss of a seed's runs; infinite if all diverged.
    pub fn best(&self, seed: usize) -> f64 {
        let of_seed = self.losses.iter().filter_map(|losses| losses.get(seed));
        of_seed.copied().fold(f64::INFINITY, f64::min)
    }
}

/// Whether a loss is not below a level, as one that is not a number is not.
fn fails(loss: f64, level: f64) -> bool {
    !matches!(loss.partial_cmp(&level), Some(std::cmp::Ordering::Less))
}

/// Trains every seed at every rate, one population, and evaluates the ends.
///
/// The whole is a unit of work; a run's bits are those that it has alone.
///
/// # Errors
/// No rates or seeds, another number of starts than of seeds; those of the trainer, of the
/// evaluation and of what is read, but for readings that are not finite; `Interrupted`.
pub fn learning_rate_sweep(
    ctx: &Context<'_>,
    trainer: &Trainer,
    evaluator: &Evaluator,
    config: &SweepConfig<'_>,
) -> Result<LearningRateSweep, MethodError> {
    let SweepConfig { rates, seeds, starts, look } = *config;
    if rates.is_empty() || seeds.is_empty() {
        let got = format!("{} and {}", rates.len(), seeds.len());
        return Err(MethodError::config("rates and seeds", "at least 1 of each", got));
    }
    if let Some(starts) = starts.filter(|starts| starts.len() != seeds.len()) {
        let expected = format!("{}, one a seed", seeds.len());
        return Err(MethodError::mismatch("weights to begin with", expected, starts.len()));
    }
    let members = Member::product(seeds, rates);
    let n = members.len();
    let arrays = ctx.unit("sweep", || {
        let mut state = match starts {
            None => trainer.start(&members)?,
            Some(starts) => {
                let each: Vec<Weights> = rates.iter().flat_map(|_| starts.to_vec()).collect();
                trainer.start_from(&members, &each)?
            }
        };
        let progress = ctx.progress();
        progress.start("learning rates", trainer.total_steps());
        let until = look.map_or(u64::MAX, |(at, _)| at);
        let watch = |segment: &Segment<'_>, until: u64| {
            progress.advance(segment.end - segment.first);
            match segment.end < until && ctx.check().is_ok() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        };
        let mut readings = Vec::new();
        if let Some((_, look)) = look {
            if until > 0 {
                trainer.run(&mut state, &mut |segment: &Segment<'_>| watch(segment, until))?;
            }
            for (i, member) in state.members().iter().enumerate() {
                ctx.check()?;
                readings.push(match member.status {
                    Status::Running => match look(&state.weights(i)?) {
                        // Weights so large that what is computed of them overflows.
                        Err(MethodError::NotFinite { .. }) => f64::NAN,
                        found => found?,
                    },
                    Status::Diverged { .. } => f64::NAN,
                });
            }
        }
        let ended =
            trainer.run(&mut state, &mut |segment: &Segment<'_>| watch(segment, u64::MAX))?;
        if ended == Ended::Stopped {
            return Err(MethodError::Interrupted);
        }
        let weights: Vec<Weights> = (0..n).map(|i| state.weights(i)).collect::<Result<_, _>>()?;
        let resources = Resources { memory: Some(ctx.memory()), chunk: None };
        let found = evaluator.evaluate(&weights, &resources)?;
        let losses: Vec<f64> = found
            .iter()
            .zip(state.members())
            .map(|(found, member)| {
                match member.status == Status::Running && found.loss.is_finite() {
                    true => found.loss,
                    false => f64::INFINITY,
                }
            })
            .collect();
        Ok(vec![
            ("losses".into(), Array::vector(&losses)),
            ("readings".into(), Array::vector(&readings)),
        ])
    })?;
    let by_rate = |values: &[f64]| -> Vec<Vec<f64>> {
        values.chunks(seeds.len()).map(<[f64]>::to_vec).collect()
    };
    let losses = by_rate(stored("sweep", &arrays, "losses", n)?);
    let asked = if look.is_some() { n } else { 0 };
    let readings = by_rate(stored("sweep", &arrays, "readings", asked)?);
    Ok(LearningRateSweep { rates: rates.to_vec(), losses, readings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use thalweg_array::DType;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::{Examples, Length, Schedule, TrainConfig, initialize};

    /// A parabola `5 w^2`: gradient descent converges below a rate of 0.2.
    fn scene(text: &str, steps: u64, segment: u64) -> (Arc<Executor>, Trainer, Evaluator) {
        let executor = Arc::new(Executor::new(1));
        let model = "linear bias=false".parse::<Architecture>().unwrap().build(&[1], 1).unwrap();
        let input = Array::from_slice(&[1, 1], &[10f64.sqrt()]).unwrap();
        let target = Array::zeros(DType::F64, &[1, 1]);
        let data = Examples::from_arrays(input, target, false, DType::F64).unwrap();
        let config = TrainConfig {
            optimizer: text.parse().unwrap(),
            schedule: Schedule::default(),
            loss: Loss::HalfSquaredError,
            batch: 1,
            length: Length::Steps(steps),
            precision: DType::F64,
            segment,
            ..TrainConfig::default()
        };
        let (loss, resources) = (config.loss, Resources::default());
        let evaluator =
            Evaluator::new(executor.clone(), model.clone(), loss, data.clone(), 1).unwrap();
        let trainer = Trainer::new(executor.clone(), model, data, config, resources).unwrap();
        (executor, trainer, evaluator)
    }

    #[test]
    fn a_parabola_fails_where_it_must() {
        // Beyond 0.38 momentum 0.9 diverges; 8,000 steps are enough for infinity.
        for (text, rates, largest) in [
            ("sgd", [0.05, 0.195, 0.205, 0.4], 0.195),
            ("sgd:momentum=0.9", [0.05, 0.37, 0.39, 0.8], 0.37),
        ] {
            let (executor, trainer, evaluator) = scene(text, 8_000, 100);
            let ctx = Context::new(&executor, 0);
            let look: &Look<'_> = &|weights: &Weights| Ok(weights.parameters.norm());
            let (seeds, look) = ([0, 1], Some((100, look)));
            let config = SweepConfig { rates: &rates, seeds: &seeds, starts: None, look };
            let found = learning_rate_sweep(&ctx, &trainer, &evaluator, &config).unwrap();
            assert_eq!(found.failure_rates(f64::INFINITY), [0.0, 0.0, 1.0, 1.0], "{text}");
            assert_eq!(found.failure_rates(1e-6), [0.0, 0.0, 1.0, 1.0], "{text}");
            for seed in 0..2 {
                assert_eq!(found.largest(seed, 1e-6), Some(largest), "{text}");
                assert!(found.best(seed) < 1e-12, "{text}");
                assert_eq!(found.largest(seed, 0.0), None);
            }
            assert_eq!((found.readings.len(), found.readings[3].len()), (4, 2));
            assert!(found.readings[3][0] > found.readings[0][0], "{text}");
        }
    }

    #[test]
    fn a_run_is_what_it_is_alone_and_begins_where_it_is_told() {
        let (executor, trainer, evaluator) = scene("sgd", 12, 5);
        let ctx = Context::new(&executor, 0);
        let model = &trainer.recipe().model;
        let start = initialize(model, 7, DType::F64).unwrap();
        let w = start.parameters.flatten()[0];
        let look: &Look<'_> = &|weights: &Weights| match weights.parameters.norm() {
            norm if norm > 1.0 => {
                Err(MethodError::NotFinite { what: "it".into(), value: norm.to_string() })
            }
            norm => Ok(norm),
        };
        let starts = [start.clone(), start];
        let config = SweepConfig {
            rates: &[0.1, 0.15, 0.5],
            seeds: &[1, 2],
            starts: Some(&starts),
            look: Some((8, look)),
        };
        let found = learning_rate_sweep(&ctx, &trainer, &evaluator, &config).unwrap();
        // w <- (1 - 10 lr) w; looks fall on ends of segments, of which that of ten is the next.
        let after = |lr: f64, steps: i32| w * (1.0 - 10.0 * lr).powi(steps);
        for seed in 0..2 {
            assert!(found.losses[0][seed] < 1e-30, "{:?}", found.losses);
            let expected = 5.0 * after(0.15, 12).powi(2);
            assert!((found.losses[1][seed] / expected - 1.0).abs() < 1e-9);
            assert!((found.readings[1][seed] / after(0.15, 10).abs() - 1.0).abs() < 1e-9);
            // A reading that is none is told as none.
            assert!(found.readings[2][seed].is_nan());
        }
        let alone = SweepConfig { rates: &[0.15], look: None, ..config };
        let alone = learning_rate_sweep(&ctx, &trainer, &evaluator, &alone).unwrap();
        assert_eq!((&alone.losses[0], alone.readings.len()), (&found.losses[1], 0));
        let fewer = SweepConfig { starts: Some(&starts[..1]), ..config };
        assert!(learning_rate_sweep(&ctx, &trainer, &evaluator, &fewer).is_err());
        let none = SweepConfig { rates: &[], ..config };
        assert!(learning_rate_sweep(&ctx, &trainer, &evaluator, &none).is_err());
    }
}
