//! Descent on a sum of terms from many starts at once.

use crate::common::{fit, padded};
use crate::{Context, MethodError};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Op, ScanStep, Tensor, TensorType};
use thalweg_nn::{Axis, Initializer, Parameter, Role};
use thalweg_train::part::{HyperValues, StepContext};
use thalweg_train::{Optimizer, Schedule};
use thalweg_transform::{Replacement, gradient, vmap};

/// Steps of one program.
const SEGMENT: u64 = 500;

/// A function as a sum of terms, each traced as a scalar of scalar coordinates.
pub trait Terms: Sync {
    /// Number of coordinates.
    fn coordinates(&self) -> usize;

    /// The terms at a point.
    fn trace<'b>(&self, builder: &'b Builder, point: &[Tensor<'b>]) -> Vec<Tensor<'b>>;
}

/// How [`term_descent`] goes down.
#[derive(Clone, Debug, PartialEq)]
pub struct TermDescentConfig {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Its rate before the schedule.
    pub lr: f64,
    /// The rate over time.
    pub schedule: Schedule,
    /// Steps.
    pub steps: u64,
    /// Terms of a step, drawn anew for each without replacement; all of them unless given.
    pub batch: Option<usize>,
}

/// Where descent ends from each of many starts, one program for all.
///
/// A step is along the gradient of `T / B` times the sum of the `B` terms that it draws, an unbiased
/// estimate of that of the whole sum of `T`. Runs differ in their starts and their draws, which are
/// those of the stream `term descent` at the place of the start. For landscapes of tens of
/// coordinates: each is a value of its own in the program.
///
/// # Errors
/// A start of another length; no terms in a step, or more than there are; those of the engine;
/// `Interrupted`.
pub fn term_descent(
    ctx: &Context<'_>,
    terms: &dyn Terms,
    starts: &[Vec<f64>],
    config: &TermDescentConfig,
) -> Result<Vec<Vec<f64>>, MethodError> {
    let n = terms.coordinates();
    if let Some(bad) = starts.iter().find(|start| start.len() != n) {
        return Err(MethodError::mismatch("a start", format!("{n} coordinates"), bad.len()));
    }
    let count = {
        let builder = Builder::new(ctx.precision());
        let point = vec![builder.scalar(0.0); n];
        terms.trace(&builder, &point).len()
    };
    if config.batch.is_some_and(|batch| batch == 0 || batch > count) {
        let got = config.batch.unwrap_or(0);
        return Err(MethodError::config("terms of a step", format!("1 to {count}"), got));
    }
    let slots = config.optimizer.rule().slots();
    let stream = ctx.stream("term descent");
    let scalar = |x: f64| Array::scalar(x).convert(ctx.precision());
    // Of each run: its key, its coordinates, the optimizer's numbers.
    let mut members: Vec<Vec<Array>> = Vec::with_capacity(starts.len());
    for (i, start) in starts.iter().enumerate() {
        let key = stream.at(i as u64).key().map(Array::scalar);
        let state = start.iter().map(|&x| scalar(x));
        let slots = slots.iter().flat_map(|slot| vec![scalar(slot.initial); n]);
        members.push(key.into_iter().chain(state).chain(slots).collect());
    }
    ctx.progress().start("descent", config.steps);
    let mut programs: HashMap<u64, (usize, Arc<Program>)> = HashMap::new();
    let mut first = 0;
    while first < config.steps {
        ctx.check()?;
        let end = (first + SEGMENT).min(config.steps);
        let length = end - first;
        let (at_once, program) = match programs.entry(length) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let graph =
                    |members| graph(ctx.precision(), terms, config, length as usize, members);
                new.insert(fit(ctx, "one descent", members.len(), graph)?)
            }
        };
        let steps = first..end;
        let factors: Vec<f64> =
            steps.clone().map(|step| config.schedule.factor(step, config.steps)).collect();
        let counts: Vec<f64> = steps.clone().map(|step| (step + 1) as f64).collect();
        let words: Vec<u32> = steps.map(|step| step as u32).collect();
        let shared = [
            Array::vector(&factors).convert(ctx.precision()),
            Array::vector(&counts).convert(ctx.precision()),
            Array::vector(&words),
        ];
        let mut next = Vec::with_capacity(members.len());
        for chunk in padded(&members, *at_once) {
            let mut inputs: Vec<Array> = Vec::new();
            for i in 0..chunk[0].len() {
                let each: Vec<Array> = chunk.iter().map(|member| member[i].clone()).collect();
                inputs.push(Array::stack(&each)?);
            }
            inputs.extend(shared.iter().cloned());
            let found = program.run(inputs)?;
            let left = members.len() - next.len();
            for (i, member) in chunk.iter().take(left).enumerate() {
                let state = found.iter().map(|array| array.row(i));
                let key = member[..2].iter().cloned().map(Ok);
                next.push(key.chain(state).collect::<Result<Vec<_>, _>>()?);
            }
        }
        members = next;
        ctx.progress().advance(length);
        first = end;
    }
    let ends = members.iter().map(|member| {
        member[2..2 + n].iter().map(|x| x.item().unwrap_or(f64::NAN)).collect::<Vec<f64>>()
    });
    Ok(ends.collect())
}

/// `length` steps of `members` runs.
fn graph(
    float: DType,
    terms: &dyn Terms,
    config: &TermDescentConfig,
    length: usize,
    members: usize,
) -> Result<Graph, MethodError> {
    let n = terms.coordinates();
    let rule = config.optimizer.rule();
    let builder = Builder::new(float);
    let state = n * (1 + rule.slots().len());
    let names = (0..2).map(|i| (format!("key{i}"), DType::U32));
    let names = names.chain((0..state).map(|i| (format!("state{i}"), float)));
    let own: Vec<Replacement<'_>> = names
        .map(|(name, dtype)| {
            let batched = builder.input(&name, TensorType::new(dtype, [members]));
            let member = builder.placeholder(TensorType::new(dtype, []));
            Replacement { member, batched, axis: 0 }
        })
        .collect();
    let member: Vec<Tensor<'_>> = own.iter().map(|own| own.member).collect();
    let sequence = |name: &str, dtype| builder.input(name, TensorType::new(dtype, [length]));
    let xs = [sequence("factor", float), sequence("count", float), sequence("word", DType::U32)];
    let descriptions: Vec<Parameter> = (0..n)
        .map(|i| {
            let axes: [Axis; 0] = [];
            let zero = Initializer::Constant(0.0);
            Parameter::new(&format!("x{i}"), &[], Role::Weight, &axes, zero)
        })
        .collect();
    let (key, state) = member.split_at(2);
    let (state, _) = builder.scan(length, state, &xs, key, 0, |step: ScanStep<'_, '_>| {
        let builder = step.builder;
        let (point, slots) = step.carry.split_at(n);
        let [factor, count, word] = [step.xs[0], step.xs[1], step.xs[2]];
        let all = terms.trace(builder, point);
        let chosen = match config.batch {
            None => all,
            Some(batch) => chosen(builder, all, batch, step.constants, word),
        };
        let sum = chosen.into_iter().reduce(|a, b| a + b);
        let gradient = sum.map_or_else(Vec::new, |sum| gradient(sum, point));
        let hyper = rule.hyper_parameters().into_iter().map(|hyper| {
            let value = if hyper.name == "lr" { config.lr } else { hyper.default };
            (hyper.name.to_owned(), builder.scalar(value))
        });
        let hyper = HyperValues::new(hyper.collect());
        let descriptions = &descriptions;
        let (parameters, hyper) = (point, &hyper);
        let context = StepContext { builder, descriptions, parameters, hyper, factor, count };
        let (point, slots) = rule.apply(&context, gradient, slots);
        ([point, slots].concat(), Vec::new())
    });
    let batched = vmap(&state, &own, members);
    let names: Vec<String> = (0..batched.len()).map(|i| format!("state{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(batched).collect();
    Ok(builder.finish(&named)?)
}

/// `batch` of the terms, those with the lowest of as many random words, scaled up to all; the others
/// as zeros.
fn chosen<'b>(
    builder: &'b Builder,
    terms: Vec<Tensor<'b>>,
    batch: usize,
    key: &[Tensor<'b>],
    word: Tensor<'b>,
) -> Vec<Tensor<'b>> {
    let count = terms.len();
    let draw = |i: usize| {
        let counter = builder.scalar_of(DType::U32, i as f64);
        builder.emit_one(Op::Threefry, &[key[0], key[1], word, counter])
    };
    let draws: Vec<Tensor<'b>> = (0..count).map(draw).collect();
    let scale = count as f64 / batch as f64;
    let place = |i: usize| {
        // Of equal words the earlier one is lower.
        let below = (0..count).filter(|&j| j != i).map(|j| {
            let lower = match j < i {
                true => draws[j].less_equal(draws[i]),
                false => draws[j].less(draws[i]),
            };
            lower.convert(DType::I32)
        });
        below.reduce(|a, b| a + b).unwrap_or_else(|| builder.scalar_of(DType::I32, 0.0))
    };
    let kept = |(i, term): (usize, Tensor<'b>)| {
        let taken = place(i).less(batch as f64);
        taken.select(term * scale, builder.scalar(0.0))
    };
    terms.into_iter().enumerate().map(kept).collect()
}

/// Starts from a normal distribution around zero, of the stream `starts`.
pub fn normal_starts(
    stream: &Stream,
    count: usize,
    coordinates: usize,
    spread: f64,
) -> Vec<Vec<f64>> {
    let start = |run: u64| {
        let draws = stream.at(run);
        (0..coordinates as u64).map(|i| spread * draws.normal(i)).collect()
    };
    (0..count as u64).map(start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_exec::Executor;

    /// `sum of a_i (x_i - b_i)^2`, a term a coordinate.
    struct Bowl;

    const A: [f64; 3] = [1.0, 0.5, 2.0];
    const B: [f64; 3] = [0.3, -1.0, 2.0];

    impl Terms for Bowl {
        fn coordinates(&self) -> usize {
            3
        }

        fn trace<'b>(&self, _: &'b Builder, x: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
            (0..3).map(|i| (x[i] - B[i]).square() * A[i]).collect()
        }
    }

    fn config(steps: u64, batch: Option<usize>) -> TermDescentConfig {
        let (optimizer, schedule) = (Optimizer::sgd(), Schedule::default());
        TermDescentConfig { optimizer, lr: 0.05, schedule, steps, batch }
    }

    #[test]
    fn all_terms_are_gradient_descent() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let starts = normal_starts(&Stream::new(1, "s"), 5, 3, 2.0);
        // More than a segment.
        let found = term_descent(&ctx, &Bowl, &starts, &config(503, None)).unwrap();
        let few = term_descent(&ctx, &Bowl, &starts, &config(7, None)).unwrap();
        for ((start, end), early) in starts.iter().zip(&found).zip(&few) {
            for i in 0..3 {
                let shrink = 1.0 - 2.0 * 0.05 * A[i];
                let at = |steps: i32| B[i] + (start[i] - B[i]) * shrink.powi(steps);
                assert!((end[i] - at(503)).abs() < 1e-12);
                assert!((early[i] - at(7)).abs() < 1e-12, "{} {}", early[i], at(7));
            }
        }
        // How many go at once changes nothing.
        let small = ctx.clone().with_memory(1 << 17);
        assert_eq!(term_descent(&small, &Bowl, &starts, &config(7, None)).unwrap(), few);
    }

    #[test]
    fn each_step_takes_as_many_terms_as_asked() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let starts = vec![vec![0.0; 3]; 400];
        let found = term_descent(&ctx, &Bowl, &starts, &config(1, Some(1))).unwrap();
        let mut hits = [0; 3];
        for end in &found {
            let moved: Vec<usize> = (0..3).filter(|&i| end[i] != 0.0).collect();
            assert_eq!(moved.len(), 1, "{end:?}");
            let i = moved[0];
            hits[i] += 1;
            // Three times its own gradient.
            assert!((end[i] - 3.0 * 0.05 * 2.0 * A[i] * B[i]).abs() < 1e-12);
        }
        // A third each, within four standard deviations.
        assert!(hits.iter().all(|&n| (n as f64 - 133.3).abs() < 38.0), "{hits:?}");
        let two = term_descent(&ctx, &Bowl, &starts[..9], &config(1, Some(2))).unwrap();
        assert!(two.iter().all(|end| end.iter().filter(|x| **x != 0.0).count() == 2));
        for batch in [0, 4] {
            assert!(term_descent(&ctx, &Bowl, &starts, &config(1, Some(batch))).is_err());
        }
        assert!(term_descent(&ctx, &Bowl, &[vec![0.0]], &config(1, None)).is_err());
    }
}
