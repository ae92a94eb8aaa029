//! Instruments that are read while networks train.

mod threshold;

use crate::class_loss;
use crate::data_source::PreparedData;
use crate::error::{LabError, Result};
use crate::instrument_choice::{InstrumentChoice, InstrumentOptions, PRECONDITIONED};
use crate::session::Session;
use crate::study::TrainSettings;
use serde::{Deserialize, Serialize};
use thalweg_methods::common::adam_preconditioner;
use thalweg_methods::registry::{Along, Configured, Quantity, Size};
use thalweg_methods::{Context, Meter, MethodError, ModelObjective, ObjectiveConfig};
use thalweg_nn::{ClassLoss, Model, Weights};
use thalweg_train::{Base, Member, Optimizer, Schedule, Status, TrainState};
pub(crate) use threshold::THRESHOLD;
use threshold::{has_threshold, threshold, threshold_column};

/// What follows the name of an instrument in that of the column of what its readings took.
pub(crate) const PRODUCTS: &str = "_products";

/// Steps between looks at a run at most.
const LONGEST_LOOK: u64 = 64;

/// What `--watch` and its options ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchOptions {
    /// The instruments; none: nothing is watched.
    pub instruments: Vec<InstrumentChoice>,
    /// The share of training's own work that goes into readings whose steps are not given.
    pub budget: f64,
    /// Training examples that are measured on, at most.
    pub examples: usize,
}

impl Default for WatchOptions {
    fn default() -> WatchOptions {
        WatchOptions { instruments: Vec::new(), budget: 0.1, examples: 1000 }
    }
}

/// What is watched, in `study.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchSection {
    /// Training examples that are measured on.
    pub examples: usize,
    /// The instruments.
    pub instruments: Vec<WatchedInstrument>,
}

/// An instrument in `study.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedInstrument {
    /// Its name.
    pub name: String,
    /// Steps between two readings.
    pub every: u64,
    /// What is set of its configuration.
    #[serde(default, skip_serializing_if = "InstrumentOptions::is_empty")]
    pub options: InstrumentOptions,
}

impl WatchedInstrument {
    fn choice(&self) -> InstrumentChoice {
        let WatchedInstrument { name, every, options } = self.clone();
        InstrumentChoice { name, every: Some(every), options }
    }
}

impl WatchSection {
    /// How often each instrument is read: where it is not given, so rarely that all readings
    /// together take no more than the budget's share of the work of the steps between them, counted
    /// in gradients of one example. `usual` are the steps between two looks at a run.
    ///
    /// None if nothing is watched.
    pub(crate) fn new(
        options: &WatchOptions,
        model: &Model,
        examples: usize,
        batch: usize,
        usual: u64,
    ) -> Option<WatchSection> {
        let (available, examples) = (examples, options.examples.min(examples).max(1));
        let sampled = examples < available;
        let size = Size { parameters: model.parameter_count(), examples, sampled };
        let given = options.instruments.iter().filter_map(|choice| choice.every);
        let look = look(given, usual);
        let sharing = options.instruments.iter().filter(|choice| choice.every.is_none());
        let share = options.budget / sharing.count().max(1) as f64;
        let each = options.instruments.iter().filter_map(|choice| {
            let gradients = choice.configured(true).ok()?.cost(&size).passes().in_gradients();
            let steps = gradients * examples as f64 / batch.max(1) as f64;
            let every = choice.every.unwrap_or_else(|| {
                // A share of next to nothing leaves the readings at the ends.
                let looks = (steps / share / look as f64).ceil().clamp(1.0, 1e12);
                looks as u64 * look
            });
            let (name, options) = (choice.name.clone(), choice.options.clone());
            Some(WatchedInstrument { name, every, options })
        });
        let instruments: Vec<_> = each.collect();
        (!instruments.is_empty()).then_some(WatchSection { examples, instruments })
    }

    /// What was measured along the way, in words.
    pub(crate) fn words(&self) -> String {
        let each = self.instruments.iter().map(|watched| {
            let choice = watched.choice();
            let (name, what) = (choice.to_string(), choice.entry().map_or("", |e| e.summary));
            match watched.every {
                1 => format!("{name} ({what}), at every step"),
                every => format!("{name} ({what}), every {every} steps and at the end"),
            }
        });
        let each: Vec<_> = each.collect();
        let mut words = format!(
            "Measured on {} training examples with running statistics, without augmentation or \
             dropout: {}. The band is one standard error: of the draws, and of eigenvalues and traces \
             also of the choice of the examples where they are not all.",
            self.examples,
            each.join("; "),
        );
        if self.instruments.iter().any(|one| has_threshold(&one.name)) {
            words += " The dashed line is the largest eigenvalue with which the optimizer would not \
                      diverge on a quadratic, at the rate of the next step.";
        }
        if self.instruments.iter().any(|one| one.name == PRECONDITIONED) {
            words += " Adam divides each weight's step by what it remembers of its gradients: the \
                      preconditioned sharpness is the largest eigenvalue of the Hessian divided \
                      likewise, which is what its steps meet (Cohen et al. 2022, arXiv 2207.14484).";
        }
        words
    }

    /// Steps between looks at a run, so that one falls on each reading.
    pub(crate) fn look(&self, usual: u64) -> u64 {
        look(self.instruments.iter().map(|instrument| instrument.every), usual)
    }
}

/// The usual steps between looks if they divide all numbers, else the longest that do.
fn look(steps: impl Iterator<Item = u64>, usual: u64) -> u64 {
    let divisor = steps.fold(0, greatest_common_divisor);
    let divides = |look: &u64| divisor.is_multiple_of(*look);
    [usual].into_iter().chain((1..=LONGEST_LOOK).rev()).find(divides).unwrap_or(1)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Columns of readings, each with a value for every member.
pub(crate) type Readings = Vec<(String, Vec<f64>)>;

/// Reads instruments at the weights of a run.
pub(crate) struct Watch<'a> {
    ctx: Context<'a>,
    objective: ModelObjective,
    optimizer: Optimizer,
    schedule: Schedule,
    instruments: Vec<Watched>,
}

struct Watched {
    name: String,
    instrument: Box<dyn Configured>,
    every: u64,
    /// Those of its numbers and their errors, and that of its products if it takes any.
    columns: Vec<String>,
    counts_products: bool,
}

impl<'a> Watch<'a> {
    /// Instruments at the training part in evaluation mode, whose columns are found by reading them
    /// at some weights; none if nothing is watched.
    pub(crate) fn new(
        session: &'a Session,
        data: &PreparedData,
        model: &Model,
        settings: &TrainSettings,
        weights: &Weights,
    ) -> Result<Option<Watch<'a>>> {
        let Some(section) = &settings.watch else { return Ok(None) };
        let ctx = Context::new(&session.executor, session.seed)
            .with_memory(session.memory())
            .with_precision(session.precision.dtype())?
            .with_cancellation(&session.interrupted);
        let config = ObjectiveConfig {
            samples: Some(section.examples).filter(|&n| n < data.train.len()),
            ..ObjectiveConfig::default()
        };
        let loss: ClassLoss = settings.loss.parse()?;
        let normalization = Some(&data.normalization);
        let plain =
            ModelObjective::new(&ctx, model, loss.loss, &data.train, normalization, &config)?;
        let objective = class_loss::adjusted(plain, &loss, data)?;
        let mut watch = Watch {
            ctx,
            objective,
            optimizer: settings.optimizer.parse()?,
            schedule: settings.schedule.parse()?,
            instruments: Vec::new(),
        };
        for one in &section.instruments {
            let (name, every) = (one.name.clone(), one.every);
            let twice = |watched: &Watched| watched.name == name;
            if watch.instruments.iter().any(twice) {
                return Err(LabError::Input(format!("--watch {name}: expected it once")));
            }
            let instrument = one.choice().configured(true)?;
            let size = Size::of(&watch.objective);
            let counts_products = instrument.cost(&size).passes().products > 0.0;
            let mut watched =
                Watched { name, instrument, every, columns: Vec::new(), counts_products };
            let (objective, start) = (&watch.objective, Along::default());
            let quantities = watched.instrument.measure(&watch.ctx, objective, weights, &start)?;
            watched.columns = columns(&watched.name, &quantities);
            watched.columns.extend(counts_products.then(|| format!("{}{PRODUCTS}", watched.name)));
            watch.instruments.push(watched);
        }
        Ok(Some(watch))
    }

    /// Every column that readings have.
    pub(crate) fn columns(&self) -> Vec<String> {
        let of = |watched: &Watched| {
            let threshold = threshold_column(&watched.name);
            watched.columns.iter().cloned().chain(threshold).collect::<Vec<_>>()
        };
        self.instruments.iter().flat_map(of).collect()
    }

    /// The readings that are due after so many steps of a whole run.
    pub(crate) fn read(&self, state: &TrainState, total: u64) -> Result<Readings> {
        let step = state.step();
        let mut readings = Readings::new();
        for watched in &self.instruments {
            if !(step.is_multiple_of(watched.every) || step == total) {
                continue;
            }
            let mut of: Vec<Vec<f64>> = vec![Vec::new(); watched.columns.len()];
            for index in 0..state.len() {
                let values = self.member(watched, state, index)?;
                of.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
            readings.extend(watched.columns.iter().cloned().zip(of));
            if let Some(column) = threshold_column(&watched.name) {
                let factor = self.schedule.factor(step.min(total.saturating_sub(1)), total);
                let at = |member: &Member| {
                    let name = watched.name.as_str();
                    threshold(&self.optimizer, name, member.lr * factor)
                };
                let each = state.members().iter().map(|member| at(&member.member));
                readings.push((column, each.map(|value| value.unwrap_or(f64::NAN)).collect()));
            }
        }
        Ok(readings)
    }

    fn member(&self, watched: &Watched, state: &TrainState, index: usize) -> Result<Vec<f64>> {
        let nothing = || vec![f64::NAN; watched.columns.len()];
        if state.members()[index].status != Status::Running {
            return Ok(nothing());
        }
        let weights = state.weights(index)?;
        let preconditioner = match watched.name == PRECONDITIONED {
            false => None,
            // Before its first step it remembers nothing.
            true => match self.preconditioner(state, index)? {
                None => return Ok(nothing()),
                some => some,
            },
        };
        let along = Along { preconditioner: preconditioner.as_deref() };
        let meter = Meter::default();
        let ctx = self.ctx.clone().with_meter(&meter);
        match watched.instrument.measure(&ctx, &self.objective, &weights, &along) {
            Ok(quantities) => {
                let products = meter.passes(self.objective.examples()).products;
                let products = Some(products).filter(|_| watched.counts_products);
                Ok(values(&quantities).into_iter().chain(products).collect())
            }
            // On its way out; or where its weights are no reading is to be had, as of a sum over
            // eigenvalues that one below its limit has no part in. It was to be had at the start.
            Err(
                MethodError::NotFinite { .. }
                | MethodError::Config { .. }
                | MethodError::Mismatch { .. },
            ) => Ok(nothing()),
            Err(error) => Err(error.into()),
        }
    }

    /// What Adam divides a member's steps by; none before the first one, and of other optimizers.
    fn preconditioner(&self, state: &TrainState, index: usize) -> Result<Option<Vec<f64>>> {
        let Base::Adam { beta1, beta2, eps, .. } = self.optimizer.base else { return Ok(None) };
        let Some(moments) = state.slot(index, "exp_avg_sq")?.filter(|_| state.step() > 0) else {
            return Ok(None);
        };
        let (moments, betas) = (moments.flatten(), (beta1, beta2));
        Ok(Some(adam_preconditioner(&moments, state.step(), betas, eps)?))
    }
}

/// A column for each number and its standard error, if it has one: under the instrument's name
/// where that says it all, and where it is what a threshold is for.
fn columns(name: &str, quantities: &[Quantity]) -> Vec<String> {
    let mut columns = Vec::new();
    for (place, quantity) in quantities.iter().enumerate() {
        let words = quantity.name.replace(' ', "_").to_lowercase();
        let own = match quantities.len() {
            1 => name.to_owned(),
            _ if words == name || (place == 0 && has_threshold(name)) => name.to_owned(),
            _ => format!("{name}_{words}"),
        };
        let error = quantity.value.standard_error().map(|_| format!("{own}{ERROR}"));
        columns.extend([Some(own), error].into_iter().flatten());
    }
    columns
}

/// The first member's readings in a few words, each with its error and what it is held against.
pub(crate) fn noted(readings: &Readings) -> String {
    let first = |name: &str| {
        let found = readings.iter().find(|(known, _)| known == name);
        found.and_then(|(_, values)| values.first().copied()).filter(|value| !value.is_nan())
    };
    let beside = |name: &str| [ERROR, THRESHOLD, PRODUCTS].iter().any(|end| name.ends_with(end));
    let shown = readings.iter().map(|(name, _)| name).filter(|name| !beside(name));
    let of = |name: &String| {
        let mut text = format!("{} {}", name.replace('_', " "), short(first(name)?));
        if let Some(error) = first(&format!("{name}{ERROR}")) {
            text += &format!(" ± {}", short(error));
        }
        if let Some(threshold) = first(&format!("{name}{THRESHOLD}")) {
            text += &format!(" of {}", short(threshold));
        }
        Some(text)
    };
    shown.filter_map(of).collect::<Vec<_>>().join(", ")
}

/// Three digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-3..1e6).contains(&size) => {
            let decimals = (2 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.decimals$}")
        }
        _ => format!("{value:.2e}"),
    }
}

/// What follows the name of a column in that of its standard error.
pub(crate) const ERROR: &str = "_standard_error";

fn values(quantities: &[Quantity]) -> Vec<f64> {
    let each = quantities.iter().map(|quantity| &quantity.value);
    each.flat_map(|value| [Some(value.number()), value.standard_error()]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instrument_choice::SHARPNESS;
    use thalweg_nn::Architecture;

    fn options(text: &str, budget: f64) -> WatchOptions {
        let instruments = text.split(',').map(|word| word.parse().unwrap()).collect();
        WatchOptions { instruments, budget, examples: 500 }
    }

    #[test]
    fn readings_keep_to_the_budget_and_fall_on_looks() {
        let model = "mlp hidden=4".parse::<Architecture>().unwrap().build(&[4], 2).unwrap();
        let of = |text, budget, available| {
            WatchSection::new(&options(text, budget), &model, available, 50, 32).unwrap()
        };
        let section = |text, budget| of(text, budget, 500);
        let every = |section: &WatchSection| -> Vec<u64> {
            section.instruments.iter().map(|instrument| instrument.every).collect()
        };
        // 10 products of 500 examples are worth 20 x 500 gradients: 200 steps of 50.
        let tenth = section("trace", 0.1);
        assert_eq!((every(&tenth), tenth.look(32)), (vec![2016], 32));
        let shared = section("trace,trace", 0.1);
        assert_eq!(every(&shared), [4000, 4000]);
        let given = section("trace:100,trace", 0.1);
        assert_eq!((every(&given), given.look(32)), (vec![100, 2000], 50));
        assert_eq!(section("trace:7,sharpness:21", 0.1).look(32), 7);
        assert_eq!(section("trace:64", 0.1).look(32), 32);
        // A fifth of the probes, five times as often.
        assert_eq!(every(&section("trace:probes=2", 0.1)), [416]);
        // Of a sample four second derivatives and four products come to it, worth 44/3 gradients.
        assert_eq!(every(&of("trace", 0.1, 10_000)), [3488]);
        let none = WatchOptions::default();
        assert_eq!(WatchSection::new(&none, &model, 10, 5, 32), None);
    }

    #[test]
    fn readings_are_noted_with_what_they_are_held_against() {
        let column = |name: &str, value: f64| (name.to_owned(), vec![value, 7.0]);
        let readings = vec![
            column("sharpness", 18.3456),
            column("sharpness_standard_error", 0.25),
            column("sharpness_products", 14.0),
            column("sharpness_threshold", 20.0),
            column("weight_norm_norm_of_a", 0.0),
            column("trace", f64::NAN),
            column("critical_sharpness", 1.5e-7),
        ];
        assert_eq!(
            noted(&readings),
            "sharpness 18.3 ± 0.250 of 20.0, weight norm norm of a 0, critical sharpness 1.50e-7"
        );
        assert_eq!(noted(&Readings::new()), "");
    }

    #[test]
    fn what_has_a_threshold_has_the_instruments_name() {
        let one = |name: &str| Quantity::exact(name, 1.0);
        let several = [one("largest eigenvalue"), one("largest eigenvalue 2")];
        let named = |name: &str| columns(name, &several);
        assert_eq!(named(SHARPNESS), ["sharpness", "sharpness_largest_eigenvalue_2"]);
        assert_eq!(named("lanczos")[0], "lanczos_largest_eigenvalue");
        assert_eq!(columns("lanczos", &several[..1]), ["lanczos"]);
    }
}
