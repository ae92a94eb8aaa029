//! How large the check is, its sets of pictures, and what is done in training.

use crate::check::Scale;
use crate::images::{digits_instead, small_clothes};
use crate::pictures::Pictures;
use std::sync::Arc;
use thalweg_array::DType;
use thalweg_graph::Tensor;
use thalweg_lab::Result;
use thalweg_methods::Likelihood;
use thalweg_methods::adversarial::Attack;
use thalweg_nn::layer::{Activation, AveragePool, Convolution, Dense};
use thalweg_nn::{Layer, Model, ModelPort, Scope};
use thalweg_train::Examples;

pub(super) struct Sizes {
    pub(super) channels: [usize; 2],
    pub(super) hidden: usize,
    pub(super) epochs: u64,
    pub(super) batch: usize,
    pub(super) seeds: u64,
    /// Examples at most, of each part.
    pub(super) most: [usize; 3],
    pub(super) factors: &'static [f64],
    pub(super) decays: &'static [f64],
    pub(super) steps: [usize; 3],
    pub(super) points: usize,
}

pub(super) fn sizes(scale: Scale) -> Sizes {
    match scale {
        Scale::Whole => Sizes {
            channels: [8, 16],
            hidden: 32,
            epochs: 15,
            batch: 64,
            seeds: 6,
            most: [usize::MAX; 3],
            factors: &[0.01, 0.1, 1.0],
            decays: &[1e-4, 1e-3, 1e-2],
            steps: [7, 5, 20],
            points: 7,
        },
        Scale::Sample => Sizes {
            channels: [2, 2],
            hidden: 4,
            epochs: 1,
            batch: 32,
            seeds: 2,
            most: [64, 20, 24],
            factors: &[0.1],
            decays: &[1e-3],
            steps: [2, 1, 2],
            points: 3,
        },
    }
}

/// Two convolutions and two dense layers.
struct Network {
    channels: [usize; 2],
    hidden: usize,
}

impl Layer for Network {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let mut x = x;
        for (i, channels) in self.channels.into_iter().enumerate() {
            let layer = Convolution::new(channels, 3).padding(1);
            x = Activation::Relu.of(layer.forward(&scope.enter(&format!("conv{}", i + 1)), x));
            x = AveragePool { size: 2, stride: 2, padding: 0 }.forward(scope, x);
        }
        let shape = x.shape();
        let x = x.reshape(&[shape[0], shape[1..].iter().product()]);
        let x = Activation::Relu.of(Dense::new(self.hidden).forward(&scope.enter("fc1"), x));
        Dense::new(10).forward(&scope.enter("fc2"), x)
    }
}

/// A data set.
#[derive(Clone, Copy)]
pub(super) struct Set {
    pub(super) name: &'static str,
    /// How far an attack may move a pixel.
    pub(super) eps: f64,
    side: usize,
    /// How many pictures there are to train on, to choose by, to test on.
    counts: [usize; 3],
    pictures: fn() -> Result<[Pictures; 3]>,
}

pub(super) const SETS: [Set; 2] = [
    Set { name: "digits", eps: 0.15, side: 8, counts: [900, 300, 597], pictures: digits },
    Set {
        name: "clothes",
        eps: 0.1,
        side: 14,
        counts: [2000, 400, 1000],
        pictures: || Ok(small_clothes()),
    },
];

fn digits() -> Result<[Pictures; 3]> {
    let [known, test] = digits_instead(1200, 597)?;
    Ok([known.within(0..900), known.within(900..1200), test])
}

impl Set {
    pub(super) fn counts(self, sizes: &Sizes) -> [usize; 3] {
        std::array::from_fn(|part| self.counts[part].min(sizes.most[part]))
    }

    pub(super) fn model(self, sizes: &Sizes) -> Result<Model> {
        let network = Arc::new(Network { channels: sizes.channels, hidden: sizes.hidden });
        let port = ModelPort::float("input", &[self.side, self.side, 1]);
        Ok(Model::new(network, vec![port], &["output"])?)
    }

    /// Examples to train on, to choose by, to test on, with pixels from 0 to 1.
    pub(super) fn parts(self, sizes: &Sizes) -> Result<[Examples; 3]> {
        let whole = (self.pictures)()?;
        let counts = self.counts(sizes);
        let part = |i: usize| {
            whole[i].within(0..counts[i]).examples_between([0.0, 1.0], false, DType::F32)
        };
        Ok([part(0)?, part(1)?, part(2)?])
    }

    pub(super) fn attack(self, steps: usize) -> Attack {
        Attack::pgd(self.eps, steps).within(0.0, 1.0)
    }
}

/// What is done in training.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Arm {
    Plain,
    Attacked,
    Penalty(Likelihood),
    Decay,
}

pub(super) const ARMS: [Arm; 6] = [
    Arm::Plain,
    Arm::Attacked,
    Arm::Penalty(Likelihood::Loss),
    Arm::Penalty(Likelihood::Joint),
    Arm::Penalty(Likelihood::Marginal),
    Arm::Decay,
];

impl Arm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Arm::Plain => "plain",
            Arm::Attacked => "against attacks",
            Arm::Penalty(Likelihood::Loss) => "penalty on the loss",
            Arm::Penalty(Likelihood::Joint) => "penalty on log p(x, y)",
            Arm::Penalty(Likelihood::Marginal) => "penalty on log p(x)",
            Arm::Decay => "weight decay",
        }
    }

    /// What it is given to choose among.
    pub(super) fn settings(self, sizes: &Sizes) -> &'static [f64] {
        match self {
            Arm::Plain | Arm::Attacked => &[0.0],
            Arm::Penalty(_) => sizes.factors,
            Arm::Decay => sizes.decays,
        }
    }
}
