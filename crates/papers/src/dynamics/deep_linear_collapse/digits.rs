//! The same of a network that makes its features itself.

use super::{config, diagonal, product, product_of_all, transposed};
use crate::bench::{Bench, TrainedNetwork};
use crate::check::{Findings, Scale};
use crate::images::digits;
use crate::spectrum::objective;
use crate::statistic::mean;
use crate::work;
use std::sync::Arc;
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_graph::Tensor;
use thalweg_lab::Result;
use thalweg_methods::dynamics::{
    ClassCollapse, CollapseTarget, LayerCollapse, deep_linear_collapse, frame_distance,
    neural_collapse_by_layer,
};
use thalweg_nn::layer::Dense;
use thalweg_nn::{
    Fan, Initializer, Layer, Loss, Model, ModelPort, Multipliers, Network, Parameters, Scope,
};
use thalweg_train::{Examples, Length, Member, Schedule, TrainConfig};

/// Units of every layer.
const WIDTH: usize = 64;
/// Layers before the features, and linear ones behind them.
const DEPTH: usize = 3;
const RATE: f64 = 0.02;
/// How long features are at the start beside those that a draw for ReLU gives: near the length that they
/// come to. What they pay for longer ones switches units off before anything is learnt.
const SHORTER: f64 = 0.1;
/// Looks at a run after its start.
const LOOKS: u64 = 2;

/// Examples of each class: from many to few.
const COUNTS: [usize; 10] = [150, 137, 123, 110, 97, 83, 70, 57, 43, 30];

/// A tenth of them in a sample of the check, and its steps and seeds.
fn settings(scale: Scale) -> (Vec<usize>, u64, usize) {
    match scale {
        Scale::Whole => (COUNTS.to_vec(), 4_000, 3),
        Scale::Sample => (COUNTS.iter().map(|count| count / 10).collect(), 20, 2),
    }
}

/// Three layers with ReLU and three linear ones, without biases; features pay for their length as free ones do.
struct Collapsing {
    /// Half of the decay of features, times the number of examples.
    factor: f64,
}

impl Network for Collapsing {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let [mut x] = *inputs else {
            let got = inputs.len().to_string();
            scope.builder().reject("digits", "one input", got);
            return Vec::new();
        };
        let layer = |name: String, outputs: usize, gain: f64, x: Tensor<'b>| {
            let initializer = Initializer::KaimingNormal { fan: Fan::In, gain };
            Dense { bias: false, initializer, ..Dense::new(outputs) }
                .forward(&scope.enter(&name), x)
        };
        for i in 1..=DEPTH {
            let gain = if i == DEPTH { SHORTER } else { 1.0 };
            x = layer(format!("backbone{i}"), WIDTH, gain * 2f64.sqrt(), x).relu();
        }
        let penalty = x.square().sum(&[1]) * self.factor;
        for i in 1..=DEPTH {
            let outputs = if i == DEPTH { COUNTS.len() } else { WIDTH };
            x = layer(format!("w{i}"), outputs, 1.0, x);
        }
        vec![x, penalty]
    }
}

/// The network for so many examples; the linear layers alone decay.
fn model(examples: usize) -> Result<Model> {
    let factor = 0.5 * config(DEPTH).decay_features * examples as f64;
    let port = ModelPort::float("input", &[64]);
    let model = Model::new(Arc::new(Collapsing { factor }), vec![port], &["output", "penalty"])?;
    Ok(model.with_multipliers(|parameter| match parameter.name.starts_with("backbone") {
        true => Multipliers { decay: 0.0, ..parameter.multipliers },
        false => parameter.multipliers,
    }))
}

/// Operations of all runs.
pub(super) fn flops(scale: Scale) -> Result<u64> {
    let (counts, steps, seeds) = settings(scale);
    let n = counts.iter().sum();
    work::training(&model(n)?, n, steps, seeds)
}

fn data(counts: &[usize]) -> Result<Examples> {
    let [drawn, _] = digits()?.drawn(counts, &Stream::new(0, "papers/digits"));
    drawn.examples(true, DType::F32)
}

/// One run at its start and at every look.
fn run(bench: &Bench<'_>, data: &Examples, steps: u64, seed: u64) -> Result<Vec<TrainedNetwork>> {
    let decay = config(DEPTH).decay_weights;
    let train = TrainConfig {
        optimizer: format!("sgd:momentum=0.9,weight_decay={decay},decay_on=weights").parse()?,
        schedule: Schedule::default(),
        loss: Loss::HalfSquaredError,
        batch: data.len(),
        length: Length::Steps(steps),
        segment: steps.div_ceil(LOOKS).clamp(1, 500),
        ..TrainConfig::default()
    };
    let trainer = bench.trainer(&model(data.len())?, data, train)?;
    let (key, members) = (format!("digits/{seed}"), [Member::new(seed, RATE)]);
    let times = bench.checkpoints(&key, &trainer, &members, steps.div_ceil(LOOKS))?;
    Ok(times.into_iter().flatten().collect())
}

/// The distance of `W W^T` from equal lengths minus that from the prediction.
fn surplus(weights: &Parameters, classes: &[ClassCollapse]) -> Result<f64> {
    let map = product_of_all(weights, DEPTH);
    let gram = product(&transposed(&map), &map);
    let from = |lengths: &dyn Fn(&ClassCollapse) -> f64| {
        frame_distance(&gram, &diagonal(classes.iter().map(lengths)))
    };
    Ok(from(&|_| 1.0)? - from(&ClassCollapse::classifier_gram)?)
}

/// NC1, and NC2 against the prediction, of the features, behind each linear layer but the last, and of the outputs.
fn collapse(
    bench: &Bench<'_>,
    data: &Examples,
    end: &TrainedNetwork,
    classes: &[ClassCollapse],
) -> Result<Vec<[f64; 2]>> {
    let ctx = bench.context();
    let objective = objective(ctx, &model(data.len())?, Loss::HalfSquaredError, data)?;
    let mut found = Vec::new();
    for behind in 0..=DEPTH {
        // Each matrix multiplies the length along a class by its singular value.
        let square =
            |class: &ClassCollapse| class.feature_gram() * class.strength.powi(2 * behind as i32);
        let target = CollapseTarget::Lengths(classes.iter().map(square).collect());
        let layers = neural_collapse_by_layer(ctx, &objective, &end.weights, &target)?;
        let pair = |layer: &LayerCollapse| [layer.variability, layer.from_target];
        found.extend(layers.get(DEPTH + behind).map(pair));
    }
    Ok(found)
}

/// Runs all, and says what came out, layer by layer.
pub(super) fn read(bench: &Bench<'_>, seeds: &[u64], findings: &mut Findings) -> Result<()> {
    let (counts, steps, n_seeds) = settings(bench.scale());
    let seeds = &seeds[..n_seeds.min(seeds.len())];
    let (data, classes) = (data(&counts)?, deep_linear_collapse(&counts, &config(DEPTH))?);
    let runs = bench.each("digits", seeds, |&seed| run(bench, &data, steps, seed))?;
    let last = |run: &Vec<TrainedNetwork>| match run.last() {
        Some(end) => surplus(&end.weights.parameters, &classes),
        None => Ok(f64::NAN),
    };
    let found = runs.iter().map(last).collect::<Result<Vec<_>>>()?;
    let name = "digits: distance from equal lengths minus that from the prediction";
    findings.read_with(name, &mean(&found)?);
    for look in 0..=LOOKS as usize {
        let of = |run: &Vec<TrainedNetwork>| match run.get(look) {
            Some(end) => collapse(bench, &data, end, &classes),
            None => Ok(Vec::new()),
        };
        let seen = runs.iter().map(of).collect::<Result<Vec<_>>>()?;
        for (layer, what) in ["features", "first linear layer", "second linear layer", "outputs"]
            .into_iter()
            .enumerate()
        {
            let rows: Vec<[f64; 2]> =
                seen.iter().filter_map(|layers| layers.get(layer).copied()).collect();
            let when = look as u64 * steps.div_ceil(LOOKS);
            findings.read_columns(&["NC1", "NC2 against the prediction"], &rows, |measure| {
                format!("digits after {when} steps: {measure}, {what}")
            })?;
        }
    }
    Ok(())
}
