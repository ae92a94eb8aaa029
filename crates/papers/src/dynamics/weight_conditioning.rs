//! Weights whose rows have length one in every forward pass have a smaller condition number and
//! train to a lower loss in as many steps.
//!
//! # Protocol
//! Three tasks. A picture: grey values of a 32 x 32 picture (a digit, each pixel four by four) from 64
//! fixed sines of the place, two hidden ReLU layers of 64, all pixels at once, Adam, 1,500 steps, mean
//! squared error. Digits by five tanh layers of width 64, and by three convolutions of 16 channels with
//! 2 x 2 maxima: 1,000 digits, SGD with momentum 0.9 in batches of 100, 30 epochs, cross-entropy. Arms:
//! plain weights; rows with a learned gain, which starts at their length; rows of length one; rows of
//! their mean length. The output layer is plain everywhere. Each arm chooses among five rates by the
//! final training loss of a seed that is not among the ten that decide.
//!
//! Deciding, paired over seeds: the log condition number (median over the scaled layers, mean over
//! the tasks), plain minus rows of length one; the log training loss, plain minus rows of length one,
//! on the middle one of the three tasks by its mean (so that the bound holds on two of them); and learned
//! gains minus rows of length one on the best of the three, with an interval for the best of three,
//! which can only confirm.
//!
//! # Departures
//! Digits in place of Fashion-MNIST, because they are part of the program.
//!
//! # Source    Saratchandran, Wang, Lucey, Weight conditioning for smooth optimization of neural
//! networks, 2024, arXiv 2409.03424

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Measured, Part, Protocol, Scale};
use crate::data::split_digits;
use crate::statistic::{mean, mean_of_best, median};
use crate::work;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Stream, digits};
use thalweg_graph::Tensor;
use thalweg_lab::Result;
use thalweg_methods::common::{gradient, vector};
use thalweg_methods::dynamics::{
    RowScaling, ScaledConvolution, ScaledDense, condition_number, fold, with_gains,
};
use thalweg_methods::{ModelObjective, ObjectiveConfig};
use thalweg_nn::layer::{Activation, GlobalAveragePool, MaxPool};
use thalweg_nn::{Initializer, Layer, Loss, Model, ModelPort, Scope, Weights};
use thalweg_stats::Bound;
use thalweg_train::{Examples, Length, Member, Schedule, TrainConfig, initialize};

/// The check.
pub(crate) struct WeightConditioning;

const SIDE: usize = 32;
const FEATURES: usize = 64;
/// Layers that are not scaled.
const OUTPUT: &str = "output";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Task {
    Picture,
    Tanh,
    Convolutions,
}

const TASKS: [Task; 3] = [Task::Picture, Task::Tanh, Task::Convolutions];

struct Sizes {
    width: usize,
    channels: usize,
    steps: u64,
    epochs: u64,
    train: usize,
    seeds: u64,
    /// Factors of the task's usual rate.
    factors: &'static [f64],
}

fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            width: 64,
            channels: 16,
            steps: 1500,
            epochs: 30,
            train: 1000,
            seeds: 10,
            factors: &[0.1, 0.3, 1.0, 3.0, 10.0],
        },
        Scale::Sample => Sizes {
            width: 8,
            channels: 4,
            steps: 5,
            epochs: 1,
            train: 200,
            seeds: 2,
            factors: &[0.3, 1.0],
        },
    }
}

/// A network of one of the tasks.
struct Network {
    task: Task,
    scaling: RowScaling,
    width: usize,
}

impl Layer for Network {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let relu = Initializer::kaiming_relu(thalweg_nn::Fan::In);
        let even = Initializer::XavierUniform { gain: 1.0 };
        let dense = |x: Tensor<'b>, name: &str, outputs, scaling, initializer| {
            ScaledDense { outputs, scaling, initializer }.forward(&scope.enter(name), x)
        };
        let mut x = x;
        match self.task {
            Task::Picture => {
                for i in 1..=2 {
                    x = dense(x, &format!("fc{i}"), self.width, self.scaling, relu).relu();
                }
                dense(x, OUTPUT, 1, RowScaling::Plain, even)
            }
            Task::Tanh => {
                for i in 1..=5 {
                    x = dense(x, &format!("fc{i}"), self.width, self.scaling, even).tanh();
                }
                dense(x, OUTPUT, 10, RowScaling::Plain, even)
            }
            Task::Convolutions => {
                for i in 1..=3 {
                    let (outputs, scaling) = (self.width, self.scaling);
                    let layer = ScaledConvolution { outputs, scaling, initializer: relu };
                    x = Activation::Relu.of(layer.forward(&scope.enter(&format!("conv{i}")), x));
                    let pool = MaxPool { size: 2, stride: 2, padding: 0 };
                    x = pool.forward(scope, x);
                }
                x = GlobalAveragePool.forward(scope, x);
                dense(x, OUTPUT, 10, RowScaling::Plain, even)
            }
        }
    }
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Task::Picture => "picture",
            Task::Tanh => "tanh network",
            Task::Convolutions => "convolutions",
        }
    }

    fn model(self, scaling: RowScaling, sizes: &Sizes) -> Result<Model> {
        let width = if self == Task::Convolutions { sizes.channels } else { sizes.width };
        let shape: &[usize] = match self {
            Task::Picture => &[FEATURES],
            Task::Tanh => &[64],
            Task::Convolutions => &[8, 8, 1],
        };
        let network = Arc::new(Network { task: self, scaling, width });
        Ok(Model::new(network, vec![ModelPort::float("input", shape)], &["output"])?)
    }

    fn examples(self, sizes: &Sizes) -> Result<Examples> {
        let [train, _] = split_digits(sizes.train, DType::F32)?;
        match self {
            Task::Picture => picture(),
            Task::Convolutions => Ok(train),
            Task::Tanh => {
                let inputs =
                    train.input_rows(0..train.len())?.remove(0).reshape(&[train.len(), 64])?;
                Ok(Examples::from_arrays(inputs, train.targets().clone(), true, DType::F32)?)
            }
        }
    }

    fn loss(self) -> Loss {
        match self {
            Task::Picture => Loss::MeanSquaredError,
            _ => Loss::default(),
        }
    }

    /// The rate that the factors are of.
    fn rate(self) -> f64 {
        match self {
            Task::Picture => 3e-3,
            _ => 0.05,
        }
    }

    fn config(self, sizes: &Sizes) -> Result<TrainConfig> {
        let (optimizer, batch, length) = match self {
            Task::Picture => ("adam", SIDE * SIDE, Length::Steps(sizes.steps)),
            _ => ("sgd:momentum=0.9", 100, Length::Epochs(sizes.epochs)),
        };
        Ok(TrainConfig {
            optimizer: optimizer.parse()?,
            schedule: Schedule::default(),
            loss: self.loss(),
            batch,
            length,
            segment: 100,
            ..TrainConfig::default()
        })
    }

    fn steps(self, sizes: &Sizes) -> (usize, u64) {
        match self {
            Task::Picture => (SIDE * SIDE, sizes.steps),
            _ => (100, sizes.epochs * (sizes.train / 100) as u64),
        }
    }
}

/// The picture: 64 sines of each place, and the grey value there.
fn picture() -> Result<Examples> {
    let stream = Stream::new(0, "papers/sine features");
    let digits = digits();
    let pixels = digits.inputs().in_memory().map(Array::to_f64_vec).unwrap_or_default();
    let (mut inputs, mut values) = (Vec::new(), Vec::new());
    for i in 0..SIDE * SIDE {
        let (row, column) = (i / SIDE, i % SIDE);
        let place = [row, column].map(|x| 2.0 * x as f64 / (SIDE - 1) as f64 - 1.0);
        for j in 0..(FEATURES / 2) as u64 {
            let draws = stream.at(j);
            let phase = std::f64::consts::PI
                * 2.0
                * (draws.normal(0) * place[0] + draws.normal(1) * place[1]);
            inputs.extend([phase.sin(), phase.cos()]);
        }
        let pixel = pixels.get(row / 4 * 8 + column / 4).copied().unwrap_or(0.0);
        values.push(pixel / 16.0);
    }
    let n = SIDE * SIDE;
    let inputs = Array::from_slice(&[n, FEATURES], &inputs)?.convert(DType::F32);
    let values = Array::from_slice(&[n, 1], &values)?.convert(DType::F32);
    Ok(Examples::from_arrays(inputs, values, false, DType::F32)?)
}

/// Final training loss and log condition number of networks of one arm.
fn ends(
    bench: &Bench<'_>,
    task: Task,
    scaling: RowScaling,
    key: &str,
    members: &[Member],
) -> Result<Vec<[f64; 2]>> {
    let sizes = sizes(bench.scale());
    let model = task.model(scaling, &sizes)?;
    let data = task.examples(&sizes)?;
    let trainer = bench.trainer(&model, &data, task.config(&sizes)?)?;
    let mut starts = Vec::new();
    for member in members {
        starts.push(with_gains(&model, &initialize(&model, member.seed, DType::F32)?)?);
    }
    let key = format!("{}/{scaling:?}/{key}", task.name());
    let networks = bench.train_from(&key, &trainer, members, &starts)?;
    let weights: Vec<Weights> = networks.iter().map(|network| network.weights.clone()).collect();
    let losses = bench.evaluations(&model, task.loss(), &data, &weights)?;
    let mut found = Vec::new();
    for (network, loss) in networks.iter().zip(losses.iter().map(|found| found.loss)) {
        let usable = network.finished && loss.is_finite();
        let condition = log_condition(&model, &network.weights, scaling)?;
        found.push([if usable { loss } else { f64::INFINITY }, condition]);
    }
    Ok(found)
}

/// The median over the scaled layers of the log condition number of what the layer uses.
fn log_condition(model: &Model, weights: &Weights, scaling: RowScaling) -> Result<f64> {
    let scaled = |layer: &str| layer != OUTPUT;
    let folded = fold(model, weights, scaling, scaled)?;
    let layers = folded.iter().filter(|(name, array)| {
        array.rank() > 1 && name.strip_suffix(".weight").is_some_and(scaled)
    });
    let logs: Vec<f64> = layers.map(|(_, array)| condition_number(array).ln()).collect();
    Ok(median(&logs))
}

impl Check for WeightConditioning {
    fn slug(&self) -> &'static str {
        "weight_conditioning"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let runs = sizes.factors.len() + sizes.seeds as usize;
        let mut flops = 0;
        for task in TASKS {
            for scaling in RowScaling::ALL {
                let model = task.model(scaling, &sizes)?;
                let (batch, steps) = task.steps(&sizes);
                flops += work::training(&model, batch, steps, runs)?;
            }
        }
        let part = |name, statistic, bound| Part { name, statistic, bound };
        let confirms = Bound::Above { claim: 0.0, opposite: f64::NEG_INFINITY };
        Ok(Protocol {
            data: "a picture of 32 x 32 pixels, and 1,000 digits".into(),
            arms: vec![
                "plain weights".into(),
                "rows with a learned gain".into(),
                "rows of length one".into(),
                "rows of their mean length".into(),
            ],
            settings: sizes.factors.len(),
            seeds: (root..root + sizes.seeds).collect(),
            parts: vec![
                part(
                    "log condition number",
                    "plain weights minus rows of length one, mean over the tasks",
                    Bound::above(0.0),
                ),
                part(
                    "log loss against plain weights",
                    "plain weights minus rows of length one, on the middle of three tasks",
                    Bound::above(0.0),
                ),
                part(
                    "log loss against learned gains",
                    "learned gains minus rows of length one, on the best of three tasks",
                    confirms,
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        // A weight whose rows differ by orders of magnitude in length, and the same with rows of one.
        let stream = Stream::new(bench.root(), "papers/uneven rows");
        let (n, rows) = (24, 16);
        let values: Vec<f64> =
            (0..n * rows).map(|i| stream.normal(i as u64) * 2f64.powi((i % rows) as i32)).collect();
        let lengths: Vec<f64> = (0..rows)
            .map(|r| {
                let row: Vec<f64> = values.iter().skip(r).step_by(rows).copied().collect();
                vector::norm(&row)
            })
            .collect();
        let unit: Vec<f64> =
            values.iter().enumerate().map(|(i, x)| x / lengths[i % rows]).collect();
        let uneven = condition_number(&Array::from_slice(&[n, rows], &values)?);
        let even = condition_number(&Array::from_slice(&[n, rows], &unit)?);
        let better = Gate::new(
            "rows of one length condition a weight of uneven rows",
            even < 0.01 * uneven,
            format!("{uneven:.0} to {even:.1}"),
        );
        // The gradient has no part along rows whose length does not matter.
        let sizes = sizes(bench.scale());
        let ctx = bench.exact()?;
        let model = Task::Tanh.model(RowScaling::Unit, &sizes)?;
        let data = Task::Tanh.examples(&sizes)?;
        let config = ObjectiveConfig::default();
        let (inputs, labels) = (data.input_rows(0..data.len())?, data.targets().clone());
        let loss = Loss::default();
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, labels, true, &config)?;
        let weights = initialize(&model, bench.root(), DType::F64)?;
        let found = gradient(&ctx, &objective, &weights)?;
        let along = weights.parameters.unflatten(&found.gradient)?;
        let name = "fc3.weight";
        let products = match (weights.parameters.get(name), along.get(name)) {
            (Some(w), Some(g)) => {
                let pairs = w.to_f64_vec().into_iter().zip(g.to_f64_vec()).enumerate();
                let mut sums = vec![0.0; sizes.width];
                pairs.for_each(|(i, (w, g))| sums[i % sizes.width] += w * g);
                sums.iter().fold(0.0f64, |most, sum| most.max(sum.abs()))
            }
            _ => f64::NAN,
        };
        let free = Gate::new(
            "the gradient has no part along a row of free length",
            products < 1e-10,
            format!("at most {products:.1e}"),
        );
        Ok(vec![better, free])
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let sizes = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        // A seed of its own to choose the rate by.
        let tuning = bench.root() + 1_000_000;
        let mut findings = Findings::default();
        let mut conditions = vec![0.0; seeds.len()];
        let (mut over_plain, mut over_gains): (Vec<Vec<f64>>, Vec<Vec<f64>>) =
            (Vec::new(), Vec::new());
        for task in TASKS {
            let mut arms: Vec<Vec<[f64; 2]>> = Vec::new();
            for scaling in RowScaling::ALL {
                let rates: Vec<f64> = sizes.factors.iter().map(|f| f * task.rate()).collect();
                let tried = Member::product(&[tuning], &rates);
                let key = format!("{}/{scaling:?}", task.name());
                let tried = bench.numbers(&format!("tuning of {key}"), || {
                    let ends = ends(bench, task, scaling, "tuning", &tried)?;
                    Ok(ends.iter().map(|[loss, _]| *loss).collect())
                })?;
                let best = (0..rates.len()).min_by(|&i, &j| tried[i].total_cmp(&tried[j]));
                let rate = rates[best.unwrap_or(0)];
                let members = Member::product(&seeds, &[rate]);
                let numbers = bench.numbers(&format!("ends of {key}"), || {
                    Ok(ends(bench, task, scaling, "seeds", &members)?.concat())
                })?;
                let found: Vec<[f64; 2]> =
                    numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
                let logs: Vec<f64> = found.iter().map(|[loss, _]| loss.ln()).collect();
                findings.read(format!("rate of {key}"), rate);
                findings.read(format!("median log loss of {key}"), median(&logs));
                let log_conditions: Vec<f64> = found.iter().map(|[_, log]| *log).collect();
                findings.read(format!("median log condition of {key}"), median(&log_conditions));
                arms.push(found);
            }
            let [plain, gain, unit, _] = &arms[..] else { continue };
            let apart = |other: &[[f64; 2]]| -> Vec<f64> {
                other.iter().zip(unit).map(|(a, b)| difference(a[0], b[0])).collect()
            };
            over_plain.push(apart(plain));
            over_gains.push(apart(gain));
            for (sum, (a, b)) in conditions.iter_mut().zip(plain.iter().zip(unit)) {
                *sum += (a[1] - b[1]) / TASKS.len() as f64;
            }
        }
        for (task, samples) in TASKS.iter().zip(&over_plain) {
            let name = format!("log loss, plain minus rows of one, {}", task.name());
            findings.read_with(name, &mean(samples)?);
        }
        findings.parts = vec![
            mean(&conditions)?,
            ranked(&over_plain, 1, mean)?,
            ranked(&over_gains, 2, |samples| mean_of_best(samples, TASKS.len()))?,
        ];
        Ok(findings)
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "At the rate that suits each best, the tanh network with rows of one length ends at a \
             higher loss than with plain weights, and its weights are no better conditioned \
             (median log condition 6.1 against 5.3). A single weight of uneven rows is \
             conditioned by it, as the gate shows.",
        )
    }
}

/// How much lower the second loss is, in logarithms; a run that failed counts as ten.
fn difference(first: f64, second: f64) -> f64 {
    const FAILED: f64 = 10.0;
    let of = |loss: f64| if loss.is_finite() { loss } else { FAILED };
    (of(first) / of(second)).ln()
}

/// The task at a place in the order of means, from the lowest.
fn ranked(
    tasks: &[Vec<f64>],
    place: usize,
    measure: impl Fn(&[f64]) -> Result<Measured>,
) -> Result<Measured> {
    let mut found = tasks.iter().map(|samples| measure(samples)).collect::<Result<Vec<_>>>()?;
    found.sort_by(|a, b| a.value.total_cmp(&b.value));
    let place = place.min(found.len().saturating_sub(1));
    Ok(found.swap_remove(place))
}
