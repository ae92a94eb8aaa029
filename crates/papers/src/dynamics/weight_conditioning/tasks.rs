//! The tasks, and the networks that learn them.

use crate::check::Scale;
use crate::data::split_digits;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Stream, digits};
use thalweg_graph::Tensor;
use thalweg_lab::Result;
use thalweg_methods::dynamics::{ConditioningConfig, LineLength, ScaledWeights, WeightScaling};
use thalweg_nn::layer::{Activation, Convolution, Dense, GlobalAveragePool, MaxPool};
use thalweg_nn::{Initializer, Layer, Loss, Model, ModelPort, Scope};
use thalweg_train::{Examples, Length, Schedule, TrainConfig};

const SIDE: usize = 32;
const FEATURES: usize = 64;
/// The layer that is not scaled.
const OUTPUT: &str = "output";

const EVEN: ConditioningConfig = ConditioningConfig::EQUILIBRATION;
pub(super) const UNIT: WeightScaling = WeightScaling::Conditioned(EVEN);
const MEAN_LENGTH: WeightScaling =
    WeightScaling::Conditioned(ConditioningConfig { length: LineLength::Mean, ..EVEN });

/// What is compared, under the names of readings.
pub(super) const ARMS: [(&str, WeightScaling); 4] = [
    ("Plain", WeightScaling::Plain),
    ("Gain", WeightScaling::Gain),
    ("Unit", UNIT),
    ("MeanLength", MEAN_LENGTH),
];

/// What is learnt, and by what network.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Task {
    Picture,
    Tanh,
    Convolutions,
}

pub(super) const TASKS: [Task; 3] = [Task::Picture, Task::Tanh, Task::Convolutions];

pub(super) struct Sizes {
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) steps: u64,
    pub(super) epochs: u64,
    pub(super) train: usize,
    pub(super) seeds: u64,
    /// Factors of the task's usual rate.
    pub(super) factors: &'static [f64],
}

pub(super) fn sizes(scale: Scale) -> Sizes {
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

/// A network of one of the tasks, as it is without any scaling.
struct Network {
    task: Task,
    width: usize,
}

impl Layer for Network {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let relu = Initializer::kaiming_relu(thalweg_nn::Fan::In);
        let even = Initializer::XavierUniform { gain: 1.0 };
        let zero = Some(Initializer::Constant(0.0));
        let dense = |x: Tensor<'b>, name: &str, outputs, initializer| {
            let layer = Dense { initializer, bias_initializer: zero, ..Dense::new(outputs) };
            layer.forward(&scope.enter(name), x)
        };
        let mut x = x;
        match self.task {
            Task::Picture => {
                for i in 1..=2 {
                    x = dense(x, &format!("fc{i}"), self.width, relu).relu();
                }
                dense(x, OUTPUT, 1, even)
            }
            Task::Tanh => {
                for i in 1..=5 {
                    x = dense(x, &format!("fc{i}"), self.width, even).tanh();
                }
                dense(x, OUTPUT, 10, even)
            }
            Task::Convolutions => {
                for i in 1..=3 {
                    let plain = Convolution::new(self.width, 3).padding(1).initializer(relu);
                    let layer = Convolution { bias_initializer: zero, ..plain };
                    x = Activation::Relu.of(layer.forward(&scope.enter(&format!("conv{i}")), x));
                    let pool = MaxPool { size: 2, stride: 2, padding: 0 };
                    x = pool.forward(scope, x);
                }
                x = GlobalAveragePool.forward(scope, x);
                dense(x, OUTPUT, 10, even)
            }
        }
    }
}

impl Task {
    pub(super) fn name(self) -> &'static str {
        match self {
            Task::Picture => "picture",
            Task::Tanh => "tanh network",
            Task::Convolutions => "convolutions",
        }
    }

    /// The layers whose weights are scaled.
    pub(super) fn scaled(self) -> &'static [&'static str] {
        match self {
            Task::Picture => &["fc1.weight", "fc2.weight"],
            Task::Tanh => &["fc1.weight", "fc2.weight", "fc3.weight", "fc4.weight", "fc5.weight"],
            Task::Convolutions => &["conv1.weight", "conv2.weight", "conv3.weight"],
        }
    }

    pub(super) fn plain(self, sizes: &Sizes) -> Result<Model> {
        let width = if self == Task::Convolutions { sizes.channels } else { sizes.width };
        let shape: &[usize] = match self {
            Task::Picture => &[FEATURES],
            Task::Tanh => &[64],
            Task::Convolutions => &[8, 8, 1],
        };
        let network = Arc::new(Network { task: self, width });
        Ok(Model::new(network, vec![ModelPort::float("input", shape)], &["output"])?)
    }

    pub(super) fn model(self, scaling: WeightScaling, sizes: &Sizes) -> Result<ScaledWeights> {
        Ok(ScaledWeights::new(&self.plain(sizes)?, self.scaled(), scaling)?)
    }

    pub(super) fn examples(self, sizes: &Sizes) -> Result<Examples> {
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

    pub(super) fn loss(self) -> Loss {
        match self {
            Task::Picture => Loss::MeanSquaredError,
            _ => Loss::default(),
        }
    }

    /// The rate that the factors are of.
    pub(super) fn rate(self) -> f64 {
        match self {
            Task::Picture => 3e-3,
            _ => 0.05,
        }
    }

    pub(super) fn config(self, sizes: &Sizes) -> Result<TrainConfig> {
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

    pub(super) fn steps(self, sizes: &Sizes) -> (usize, u64) {
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
