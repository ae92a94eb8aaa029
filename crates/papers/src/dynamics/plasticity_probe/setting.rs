//! The arms, their sizes, and the networks of some of them.

use crate::bench::Bench;
use crate::check::Scale;
use crate::data::split_digits;
use std::collections::BTreeMap;
use thalweg_array::{Array, DType};
use thalweg_data::{Relabel, Stream};
use thalweg_lab::{LabError, Result};
use thalweg_methods::common::{MemberTargets, Streamed, StreamedNets, TargetKind};
use thalweg_methods::dynamics::{
    DeadUnitsConfig, FeatureRankConfig, LayerUnits, dead_units, feature_rank, weight_norm,
};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Architecture, Loss, Model, Weights};
use thalweg_train::{Optimizer, initialize};

pub(super) const CLASSES: usize = 10;
const RATE: f64 = 1e-3;
const DECAY: f64 = 1e-5;

pub(super) struct Sizes {
    pub(super) examples: usize,
    pub(super) hidden: usize,
    pub(super) batch: usize,
    /// Tasks after which plasticity is probed; the last is the end.
    pub(super) probed: [u64; 4],
    pub(super) period: u64,
    pub(super) targets: usize,
    pub(super) probe_steps: u64,
    pub(super) seeds: u64,
    /// Steps on one labelling, and then on another.
    pub(super) switch: [u64; 2],
}

pub(super) fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            examples: 512,
            hidden: 64,
            batch: 64,
            probed: [0, 13, 26, 40],
            period: 400,
            targets: 5,
            probe_steps: 400,
            seeds: 10,
            switch: [3000, 600],
        },
        Scale::Sample => Sizes {
            examples: 64,
            hidden: 16,
            batch: 32,
            probed: [0, 1, 2, 3],
            period: 40,
            targets: 2,
            probe_steps: 40,
            seeds: 2,
            switch: [60, 20],
        },
    }
}

#[derive(Clone, Copy)]
pub(super) struct Arm {
    pub(super) name: &'static str,
    pub(super) normalized: bool,
    pub(super) adam: bool,
    /// Whether the last layer is drawn anew at each task.
    pub(super) resets: bool,
    pub(super) hyper: &'static [(&'static str, f64)],
}

pub(super) const PLAIN: Arm = Arm {
    name: "Adam with its defaults",
    normalized: false,
    adam: true,
    resets: false,
    hyper: &[("lr", RATE), ("weight_decay", 0.0)],
};
pub(super) const ROBUST: Arm = Arm {
    name: "Adam with beta2 0.9 and epsilon 1e-3",
    hyper: &[("lr", RATE), ("weight_decay", 0.0), ("beta2", 0.9), ("eps", 1e-3)],
    ..PLAIN
};
/// Layer normalisation, the arms that share a recipe, and SGD: the populations.
pub(super) const POPULATIONS: [&[Arm]; 3] = [
    &[
        PLAIN,
        ROBUST,
        Arm { name: "weight decay", hyper: &[("lr", RATE), ("weight_decay", DECAY)], ..PLAIN },
        Arm { name: "last layer drawn anew", resets: true, ..PLAIN },
    ],
    &[Arm { name: "layer normalisation", normalized: true, ..PLAIN }],
    &[Arm { name: "SGD", adam: false, hyper: &[("lr", 0.1)], ..PLAIN }],
];

impl Arm {
    pub(super) fn model(&self, sizes: &Sizes) -> Result<Model> {
        let norm = if self.normalized { "layer" } else { "none" };
        let text = format!("mlp hidden={0}-{0} norm={norm}", sizes.hidden);
        Ok(text.parse::<Architecture>()?.build(&[8, 8, 1], CLASSES)?)
    }

    pub(super) fn optimizer(&self) -> Optimizer {
        match self.adam {
            true => Optimizer::adam().with_weight_decay(0.0),
            false => Optimizer::sgd(),
        }
    }
}

/// Networks of some arms, one for each arm and seed, and what they train with.
pub(super) struct Setting {
    pub(super) sizes: Sizes,
    pub(super) inputs: Array,
    pub(super) labels: Vec<usize>,
    /// The arm and the seed of each network.
    pub(super) members: Vec<(Arm, u64)>,
    pub(super) hyper: Vec<BTreeMap<&'static str, f64>>,
    orders: Vec<Stream>,
    pub(super) classes: Streamed,
}

impl Setting {
    pub(super) fn new(bench: &Bench<'_>, arms: &[Arm], seeds: &[u64]) -> Result<Setting> {
        let sizes = sizes(bench.scale());
        let [examples, _] = split_digits(sizes.examples, DType::F32)?;
        let inputs = examples.inputs().and_then(|inputs| inputs.first()).cloned();
        let inputs = inputs.ok_or_else(|| LabError::Input("digits: expected images".into()))?;
        let labels = examples.targets().to_f64_vec().iter().map(|&label| label as usize).collect();
        let members: Vec<(Arm, u64)> =
            arms.iter().flat_map(|&arm| seeds.iter().map(move |&seed| (arm, seed))).collect();
        let hyper = members.iter().map(|(arm, _)| arm.hyper.iter().copied().collect()).collect();
        let orders = members.iter().map(|&(_, seed)| Stream::new(seed, "papers/order")).collect();
        let kind = TargetKind::Classes(CLASSES);
        let classes = streamed(bench, &arms[0], &sizes, &inputs, kind)?;
        Ok(Setting { sizes, inputs, labels, members, hyper, orders, classes })
    }

    pub(super) fn weights(&self) -> Result<Vec<Weights>> {
        let of = |&(_, seed): &(Arm, u64)| Ok(initialize(self.classes.model(), seed, DType::F32)?);
        self.members.iter().map(of).collect()
    }

    /// The labels that each network has in a task.
    pub(super) fn task(&self, task: u64) -> Vec<Vec<usize>> {
        let of = |&(_, seed): &(Arm, u64)| {
            let stream = Stream::new(seed, "papers/labels");
            Relabel::Random.labels(&self.labels, CLASSES, &stream, task)
        };
        self.members.iter().map(of).collect()
    }

    /// Trains on some labels; gives the mean online accuracy of each network.
    pub(super) fn train(
        &self,
        ctx: &Context<'_>,
        nets: &mut StreamedNets,
        labels: &[Vec<usize>],
        steps: u64,
    ) -> Result<Vec<f64>> {
        let targets = MemberTargets::Classes(labels);
        let seen = self.classes.steps(ctx, nets, &self.hyper, targets, &self.orders, steps)?;
        let average = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        Ok(seen.iter().map(|metrics| average(&metrics.accuracy)).collect())
    }

    /// The share of examples that each network gives the label of.
    pub(super) fn accuracy(
        &self,
        ctx: &Context<'_>,
        nets: &StreamedNets,
        labels: &[Vec<usize>],
    ) -> Result<Vec<f64>> {
        let outputs = self.classes.outputs(ctx, nets)?;
        let of = |(outputs, labels): (&Array, &Vec<usize>)| {
            let values = outputs.to_f64_vec();
            let rows = values.chunks(CLASSES).zip(labels);
            let right = rows.filter(|(row, label)| {
                let own = row[**label];
                row.iter().all(|value| *value <= own)
            });
            right.count() as f64 / labels.len().max(1) as f64
        };
        Ok(outputs.iter().zip(labels).map(of).collect())
    }

    /// Dead units, weight norm and feature rank.
    pub(super) fn indicators(&self, ctx: &Context<'_>, weights: &Weights) -> Result<[f64; 3]> {
        let labels: Vec<i32> = self.labels.iter().map(|&label| label as i32).collect();
        let (labels, config) = (Array::vector(&labels), ObjectiveConfig::default());
        let objective = ModelObjective::from_arrays(
            ctx,
            self.classes.model(),
            Loss::default(),
            vec![self.inputs.clone()],
            labels,
            true,
            &config,
        )?;
        let layers = dead_units(ctx, &objective, weights, &DeadUnitsConfig::default())?;
        let sum = |of: fn(&LayerUnits) -> usize| layers.iter().map(of).sum::<usize>() as f64;
        let rank = feature_rank(ctx, &objective, weights, &FeatureRankConfig::default())?;
        let norm = weight_norm(&objective, weights)?.total;
        Ok([sum(|l| l.dead) / sum(|l| l.units).max(1.0), norm, rank.ranks.effective])
    }
}

pub(super) fn streamed(
    bench: &Bench<'_>,
    arm: &Arm,
    sizes: &Sizes,
    inputs: &Array,
    kind: TargetKind,
) -> Result<Streamed> {
    let (model, optimizer) = (arm.model(sizes)?, arm.optimizer());
    let loss = match kind {
        TargetKind::Classes(_) => Loss::default(),
        TargetKind::Values(_) => Loss::MeanSquaredError,
    };
    let executor = bench.executor();
    Ok(Streamed::new(executor, &model, &optimizer, loss, inputs, kind, sizes.batch)?)
}
