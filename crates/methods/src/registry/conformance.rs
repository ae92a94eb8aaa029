//! What every instrument must do, run over the registry.

mod scenes;

use super::*;
use crate::{Function, Meter};
use scenes::{Change, Scene};
use std::collections::HashSet;
use thalweg_exec::Executor;
use thalweg_graph::DType;

pub(super) trait Check {
    fn instrument<I: Instrument>(&mut self);
}

/// A smooth function without symmetry, at a point that is not stationary.
fn landscape() -> (Function, Weights) {
    let function = Function::new(DType::F64, &[("w", &[3, 2]), ("b", &[2])], |_, w| {
        let y = (w[0].square().sum(&[0]) + w[1]).tanh();
        y.square().sum_all() + (w[0] * 0.3).exp().sum_all() + w[1].square().sum_all() * 2.0
    });
    let point = function.point(&[0.5, -0.3, 0.1, 0.8, -0.6, 0.2, 0.4, -0.7]).unwrap();
    (function, point)
}

/// Names, determinism, refusals.
struct Manners {
    executor: [Executor; 2],
    known: HashSet<&'static str>,
}

impl Check for Manners {
    fn instrument<I: Instrument>(&mut self) {
        let id = I::ID;
        assert!(self.known.insert(id), "{id} is there twice");
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(!id.is_empty() && id.chars().all(is_word), "{id}");
        assert!(I::SUMMARY.len() > 10 && !I::SUMMARY.ends_with('.'), "{id}: {}", I::SUMMARY);
        assert!(I::SOURCE.chars().any(|c| c.is_ascii_digit()), "{id}: a source has a year");
        let [scene, ..] = scenes::scenes(&self.executor[0]);
        let (objective, point) = (&scene.objective, &scene.point);
        let measure = |executor: usize, seed: u64, config: &I::Config| {
            let ctx = Context::new(&self.executor[executor], seed).with_precision(DType::F64);
            I::measure(&ctx.unwrap(), objective, point, config)
        };
        // NaN is not equal to itself, and no reading here is NaN.
        let reading = measure(0, 1, &I::trial()).unwrap();
        assert_eq!(reading, measure(1, 1, &I::trial()).unwrap(), "{id} is deterministic");
        assert!(!format!("{reading:?}").contains("NaN"), "{id}: {reading:?}");
        let quantities = I::quantities(&reading);
        assert!(!quantities.is_empty(), "{id} shows nothing");
        let names: HashSet<&str> = quantities.iter().map(|q| q.name.as_str()).collect();
        assert_eq!(names.len(), quantities.len(), "{id}: {names:?}");
        assert!(quantities.iter().all(|q| q.value.number().is_finite()), "{id}: {quantities:?}");
        // A configuration of choices alone has nothing to refuse.
        let choices = size_of::<I::Config>() <= 1;
        assert!(choices || !I::refused().is_empty(), "{id} refuses nothing");
        for config in I::refused() {
            match measure(0, 1, &config) {
                Err(MethodError::Config { what, expected, got }) => {
                    assert!(!what.is_empty() && !expected.is_empty() && !got.is_empty(), "{id}");
                }
                other => panic!("{id} with {config:?}: {other:?}"),
            }
        }
        let wrong = Function::new(DType::F64, &[("v", &[3])], |_, w| w[0].sum_all());
        let ctx = Context::new(&self.executor[0], 0);
        let elsewhere = wrong.point(&[0.0; 3]).unwrap();
        assert!(
            I::measure(&ctx, objective, &elsewhere, &I::Config::default()).is_err(),
            "{id} takes another model's weights"
        );
        // Where it is no loss of a model it is measured or refused, but never something else.
        let (function, point) = landscape();
        let ctx = Context::new(&self.executor[0], 1).with_precision(DType::F64).unwrap();
        match I::measure(&ctx, &function, &point, &I::trial()) {
            Ok(_) | Err(MethodError::Mismatch { .. }) => {}
            Err(error) => panic!("{id} of a function: {error}"),
        }
    }
}

#[test]
fn every_instrument_conforms() {
    let mut run = Manners { executor: [1, 2].map(Executor::new), known: HashSet::new() };
    conform(&mut run);
    assert_eq!(run.known.len(), INSTRUMENTS.len());
}

/// That a cost is what is computed, whatever the memory.
struct Costs(Executor);

impl Check for Costs {
    fn instrument<I: Instrument>(&mut self) {
        let config = I::trial();
        for scene in scenes::scenes(&self.0) {
            let declared = I::cost(&config, &Size::of(&scene.objective));
            for memory in [1 << 30, 1 << 16] {
                let meter = Meter::default();
                let ctx = Context::new(&self.0, 1).with_precision(DType::F64).unwrap();
                let ctx = ctx.with_meter(&meter).with_memory(memory);
                match I::measure(&ctx, &scene.objective, &scene.point, &config) {
                    Err(MethodError::Memory { .. }) if memory < 1 << 30 => continue,
                    found => drop(found.unwrap()),
                }
                let passes = meter.passes(scene.objective.examples());
                match declared {
                    Cost::Exactly(expected) => assert_eq!(passes, expected, "{}", I::ID),
                    Cost::AtMost(most) => {
                        let within = passes.losses <= most.losses
                            && passes.gradients <= most.gradients
                            && passes.products <= most.products
                            && passes.second_derivatives <= most.second_derivatives;
                        assert!(within, "{}: {passes}, at most {most}", I::ID);
                        assert!(passes.in_gradients() > 0.0, "{} takes nothing", I::ID);
                    }
                }
            }
        }
    }
}

#[test]
fn costs_are_what_is_counted() {
    conform(&mut Costs(Executor::new(1)));
}

/// That a number of all the data has an error on a sample of them, and costs no more than is said.
struct Samples(Executor);

impl Check for Samples {
    fn instrument<I: Instrument>(&mut self) {
        let (scene, meter) = (scenes::on_sample(&self.0), Meter::default());
        let ctx = Context::new(&self.0, 1).with_precision(DType::F64).unwrap().with_meter(&meter);
        let config = I::trial();
        let reading = I::measure(&ctx, &scene.objective, &scene.point, &config).unwrap();
        let most = I::cost(&config, &Size::of(&scene.objective)).passes();
        let passes = meter.passes(scene.objective.examples());
        assert!(passes.in_gradients() <= most.in_gradients() + 1e-9, "{}: {passes}, {most}", I::ID);
        // What is read off weights alone needs none.
        let of_data = |quantity: &&Quantity| quantity.of_data && most != crate::Passes::default();
        for quantity in I::quantities(&reading).iter().filter(of_data) {
            let error = quantity.value.standard_error();
            assert!(error.is_some_and(f64::is_finite), "{}: {quantity:?}", I::ID);
        }
    }
}

#[test]
fn numbers_of_all_the_data_have_an_error_on_a_sample() {
    conform(&mut Samples(Executor::new(1)));
}

/// That a reading is unchanged by what is declared, and changed by what is not.
struct Changes {
    executor: Executor,
    scenes: [Scene; 3],
    changes: Vec<Change>,
    faults: Vec<String>,
}

impl Check for Changes {
    fn instrument<I: Instrument>(&mut self) {
        let ctx = Context::new(&self.executor, 1).with_precision(DType::F64).unwrap();
        let measure = |objective: &dyn Objective, point: &Weights| {
            let found = I::measure(&ctx, objective, point, &I::trial());
            I::quantities(&found.unwrap())
        };
        let before = self.scenes.each_ref().map(|scene| measure(&scene.objective, &scene.point));
        let mut seen: HashSet<Invariance> = HashSet::new();
        for change in &self.changes {
            let (before, after) = (&before[change.of], measure(&*change.objective, &change.point));
            let worst = before.iter().zip(&after).map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
            if I::INVARIANCES.contains(&change.invariance) && worst > 1.0 {
                let (id, name) = (I::ID, change.name);
                self.faults.push(format!("{id} sees {name}, {worst}: {before:?} {after:?}"));
            }
            if worst > 1.5 {
                seen.insert(change.invariance);
            } else if !I::INVARIANCES.contains(&change.invariance) {
                let (id, name) = (I::ID, change.name);
                self.faults
                    .push(format!("{id} does not see {name}, {worst}: {before:?} {after:?}"));
            }
        }
        // One fixture that tells is enough.
        let unseen = |fault: &String| !fault.contains("does not see");
        if Invariance::ALL.iter().all(|i| seen.contains(i) || I::INVARIANCES.contains(i)) {
            self.faults.retain(unseen);
        }
    }
}

/// How far two values of one quantity are apart, in units of what does not count: four standard
/// errors, of the differences of terms where there are terms, and a relative error of 1e-5 for what
/// an iteration leaves.
fn distance(before: &Quantity, after: &Quantity) -> f64 {
    assert_eq!(before.name, after.name);
    let (a, b) = (before.value.number(), after.value.number());
    let errors = [before, after].map(|q| q.value.standard_error().unwrap_or(0.0));
    let error = match (&before.terms, &after.terms) {
        (Some(one), Some(other)) if one.values.len() == other.values.len() => {
            let differences: Vec<f64> =
                one.values.iter().zip(&other.values).map(|(a, b)| a - b).collect();
            thalweg_stats::Estimate::mean(&differences).unwrap().standard_error
        }
        _ => errors[0].hypot(errors[1]),
    };
    // Both sides' own errors are zero where nothing was sampled by us.
    let sampled = errors.iter().any(|error| *error > 0.0);
    let allowed = if sampled { 4.0 * error } else { 0.0 } + 1e-5 * a.abs().max(b.abs());
    if a == b { 0.0 } else { (a - b).abs() / allowed }
}

#[test]
fn invariances_are_those_declared() {
    let executor = Executor::new(1);
    let scenes = scenes::scenes(&executor);
    let changes = scenes::changes(&scenes);
    for change in &changes {
        // The function itself is the same.
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let of = |objective: &dyn Objective, point| {
            crate::evaluate(&ctx, objective, point).unwrap().loss
        };
        let factor = if change.invariance == Invariance::LossScale { scenes::LOUDER } else { 1.0 };
        let scene = &scenes[change.of];
        let before = of(&scene.objective, &scene.point) * factor;
        let after = of(&*change.objective, &change.point);
        assert!((before - after).abs() < 1e-11, "{}: {before} {after}", change.name);
    }
    let mut run = Changes { executor, scenes, changes, faults: Vec::new() };
    conform(&mut run);
    assert!(run.faults.is_empty(), "{}", run.faults.join("\n"));
}
