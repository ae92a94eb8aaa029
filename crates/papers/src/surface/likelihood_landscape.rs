//! Training against attacks and penalties on the input gradient flatten the likelihood around inputs,
//! and a penalty that flattens it makes a classifier more robust than plain training.
//!
//! # Protocol
//! Digits of 8x8 between 0 and 1 (900 to train on, 300 to choose by, 597 to test on), boxes of 0.15;
//! Fashion-MNIST means of 2 x 2 pixels (2,000, 400, 1,000), boxes of 0.1. Two convolutions of 8 and 16
//! channels, each before a 2 x 2 mean, dense layers of 32 and 10; 15 epochs, batches of 64, Adam at
//! 2e-3, six seeds. Arms: plain cross-entropy; training against PGD of 7 steps; the squared gradient by
//! the input, times a factor, of the loss, of `log p(x, y)`, of `log p(x)`; weight decay. Factors (0.01,
//! 0.1, 1) and decays (1e-4, 1e-3, 1e-2) are chosen by the accuracy under PGD of 5 steps on the second
//! part, with a seed that is not used again.
//!
//! Flatness is the mean `|log p(x + a d, y) - log p(x, y)|` along the sign of the loss's gradient, seven
//! `a` from -eps to eps, over the standard deviation of `f(x)[y]`, on the test part. Robust accuracy is
//! that under PGD of 20 steps from two random starts.
//!
//! Deciding, each on both sets and paired by seed: flatness of plain training minus that of training
//! against attacks, and minus that of the penalty on the loss's gradient; robust accuracy with the
//! penalty on `log p(x, y)` minus that of plain training, and minus that with weight decay.
//!
//! # Departures
//! Fashion-MNIST in 16 grey levels, so that it is small enough to be part of the program. Means in
//! place of maxima between the convolutions, which makes the second derivative by the input cheap.
//! Weight decay is in the gradient that Adam sees. Intervals by Student's t.
//!
//! # Source    Lin, Kolouri et al., Likelihood landscapes: a unifying principle behind many adversarial
//! defenses, 2020, arXiv 2008.11300

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::data::split_digits;
use crate::fashion::fashion;
use crate::statistic::mean;
use crate::work;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::Tensor;
use thalweg_lab::{LabError, Result};
use thalweg_methods::adversarial::{Attack, adversarial_training, attack, gradient_penalty};
use thalweg_methods::common::output_as_loss;
use thalweg_methods::surface::{FlatnessConfig, likelihood_flatness};
use thalweg_methods::{Context, Likelihood, ModelObjective, ObjectiveConfig, evaluate};
use thalweg_nn::layer::{Activation, AveragePool, Convolution, Dense};
use thalweg_nn::{Architecture, Layer, Loss, Model, ModelPort, Scope, Weights};
use thalweg_stats::{Bound, spearman};
use thalweg_train::{
    Examples, Length, Member, Optimizer, Schedule, TrainConfig, Trainer, initialize,
};

/// The check.
pub(crate) struct LikelihoodLandscape;

const RATE: f64 = 2e-3;

struct Sizes {
    channels: [usize; 2],
    hidden: usize,
    epochs: u64,
    batch: usize,
    seeds: u64,
    /// Examples at most, of each part.
    most: [usize; 3],
    factors: &'static [f64],
    decays: &'static [f64],
    steps: [usize; 3],
    points: usize,
}

fn sizes(scale: Scale) -> Sizes {
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

#[derive(Clone, Copy, PartialEq)]
enum Set {
    Digits,
    Fashion,
}

const SETS: [Set; 2] = [Set::Digits, Set::Fashion];

impl Set {
    fn name(self) -> &'static str {
        match self {
            Set::Digits => "digits",
            Set::Fashion => "clothes",
        }
    }

    fn eps(self) -> f64 {
        match self {
            Set::Digits => 0.15,
            Set::Fashion => 0.1,
        }
    }

    fn side(self) -> usize {
        match self {
            Set::Digits => 8,
            Set::Fashion => 14,
        }
    }

    /// How many examples there are to train on, to choose by, to test on.
    fn counts(self, sizes: &Sizes) -> [usize; 3] {
        let all = match self {
            Set::Digits => [900, 300, 597],
            Set::Fashion => [2000, 400, 1000],
        };
        std::array::from_fn(|part| all[part].min(sizes.most[part]))
    }

    fn model(self, sizes: &Sizes) -> Result<Model> {
        let network = Arc::new(Network { channels: sizes.channels, hidden: sizes.hidden });
        let port = ModelPort::float("input", &[self.side(), self.side(), 1]);
        Ok(Model::new(network, vec![port], &["output"])?)
    }

    /// Inputs and labels to train on, to choose by, to test on.
    fn parts(self, sizes: &Sizes) -> Result<[[Array; 2]; 3]> {
        let whole = match self {
            Set::Fashion => fashion(DType::F32)?.each_ref().map(|part| rows(part, 0, usize::MAX)),
            Set::Digits => {
                let [known, test] = split_digits(1200, DType::F32)?;
                [rows(&known, 0, 900), rows(&known, 900, 300), rows(&test, 0, usize::MAX)]
            }
        };
        let mut found = Vec::new();
        for (part, n) in whole.into_iter().zip(self.counts(sizes)) {
            let [x, y] = part?;
            let x = x.rows(0..n)?;
            // Digits come between -1 and 1.
            let x = match self {
                Set::Fashion => x,
                Set::Digits => {
                    let scaled: Vec<f64> =
                        x.to_f64_vec().into_iter().map(|x| (x + 1.0) / 2.0).collect();
                    Array::from_slice(x.shape(), &scaled)?.convert(DType::F32)
                }
            };
            found.push([x, y.rows(0..n)?]);
        }
        let wrong = |_| LabError::Input(format!("{}: expected three parts", self.name()));
        <[[Array; 2]; 3]>::try_from(found).map_err(wrong)
    }

    fn attack(self, steps: usize) -> Attack {
        Attack::pgd(self.eps(), steps).within(0.0, 1.0)
    }
}

/// Inputs and labels of some examples.
fn rows(examples: &Examples, start: usize, most: usize) -> Result<[Array; 2]> {
    let end = start.saturating_add(most).min(examples.len());
    Ok([examples.input_rows(start..end)?.remove(0), examples.targets().rows(start..end)?])
}

#[derive(Clone, Copy, PartialEq)]
enum Arm {
    Plain,
    Attacked,
    Penalty(Likelihood),
    Decay,
}

const ARMS: [Arm; 6] = [
    Arm::Plain,
    Arm::Attacked,
    Arm::Penalty(Likelihood::Loss),
    Arm::Penalty(Likelihood::Joint),
    Arm::Penalty(Likelihood::Marginal),
    Arm::Decay,
];

impl Arm {
    fn name(self) -> &'static str {
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
    fn settings(self, sizes: &Sizes) -> &'static [f64] {
        match self {
            Arm::Plain | Arm::Attacked => &[0.0],
            Arm::Penalty(_) => sizes.factors,
            Arm::Decay => sizes.decays,
        }
    }
}

/// The networks of an arm with a setting, one a seed.
fn trained(
    bench: &Bench<'_>,
    set: Set,
    arm: Arm,
    setting: f64,
    seeds: &[u64],
) -> Result<Vec<Weights>> {
    let sizes = sizes(bench.scale());
    let plain = set.model(&sizes)?;
    let [[x, y], ..] = set.parts(&sizes)?;
    let n = y.len();
    let (cross_entropy, mut optimizer) = (Loss::default(), Optimizer::adam());
    let labelled = |y: &Array| {
        Examples::from_all_arrays(vec![x.clone(), y.clone()], y.clone(), true, DType::F32)
    };
    let (model, loss, data) = match arm {
        Arm::Plain | Arm::Decay => {
            let data = Examples::from_arrays(x.clone(), y.clone(), true, DType::F32)?;
            (plain, cross_entropy, data)
        }
        Arm::Attacked => {
            let model = adversarial_training(&plain, cross_entropy, &set.attack(sizes.steps[0]))?;
            (model, cross_entropy, labelled(&y)?)
        }
        Arm::Penalty(of) => {
            let (loss, targets) = output_as_loss(n, DType::F32);
            let inputs = vec![x.clone(), y.clone()];
            let data = Examples::from_all_arrays(inputs, targets, false, DType::F32)?;
            (gradient_penalty(&plain, cross_entropy, of, setting)?, loss, data)
        }
    };
    if arm == Arm::Decay {
        optimizer = optimizer.with_weight_decay(setting);
    }
    let config = TrainConfig {
        optimizer,
        schedule: Schedule::default(),
        loss,
        batch: sizes.batch,
        length: Length::Epochs(sizes.epochs),
        ..TrainConfig::default()
    };
    let trainer = Trainer::new(bench.executor(), model, data, config, bench.resources())?;
    let members: Vec<Member> = seeds.iter().map(|&seed| Member::new(seed, RATE)).collect();
    let key = format!("{}/{}/{setting}/{}", set.name(), arm.name(), seeds.len());
    let networks = bench.train(&key, &trainer, &members)?;
    Ok(networks.into_iter().map(|network| network.weights).collect())
}

fn objective(ctx: &Context<'_>, model: &Model, [x, y]: [Array; 2]) -> Result<ModelObjective> {
    let config = ObjectiveConfig { batch: 200, ..ObjectiveConfig::default() };
    let (loss, inputs) = (Loss::default(), vec![x]);
    Ok(ModelObjective::from_arrays(ctx, model, loss, inputs, y, true, &config)?)
}

/// What is read off one network.
#[derive(Clone, Copy)]
struct Seen {
    /// Along the loss's gradient, over the spread of the outputs; then as it is.
    flatness: [f64; 2],
    /// Along random directions, over the plane, of `log p(x)`, and the slope, over the spread.
    others: [f64; 4],
    /// Without an attack, under one step, under PGD, moved against the plain network.
    accuracy: [f64; 4],
}

/// One of its numbers.
type Number = fn(&Seen) -> f64;

impl Seen {
    const COUNT: usize = 10;

    fn numbers(self) -> Vec<f64> {
        [&self.flatness[..], &self.others, &self.accuracy].concat()
    }

    fn from_numbers(n: &[f64]) -> Seen {
        Seen {
            flatness: [n[0], n[1]],
            others: [n[2], n[3], n[4], n[5]],
            accuracy: [n[6], n[7], n[8], n[9]],
        }
    }
}

/// What is read off the networks of all arms of one seed, the plain one first.
fn seen(bench: &Bench<'_>, set: Set, networks: &[&Weights]) -> Result<Vec<f64>> {
    let sizes = sizes(bench.scale());
    let ctx = bench.context();
    let model = set.model(&sizes)?;
    let [_, _, [x, y]] = set.parts(&sizes)?;
    let on_test = objective(ctx, &model, [x, y.clone()])?;
    let pgd = set.attack(sizes.steps[2]).restarts(2);
    let mut moved: Option<ModelObjective> = None;
    let mut numbers = Vec::new();
    for weights in networks {
        let config = FlatnessConfig {
            likelihood: Likelihood::Joint,
            eps: set.eps(),
            points: sizes.points,
            directions: 1,
        };
        let joint = likelihood_flatness(ctx, &on_test, weights, &config)?;
        let marginal = FlatnessConfig { likelihood: Likelihood::Marginal, ..config };
        let marginal = likelihood_flatness(ctx, &on_test, weights, &marginal)?;
        let accuracy = |objective: &ModelObjective| -> Result<f64> {
            Ok(evaluate(ctx, objective, weights)?.accuracy.unwrap_or(f64::NAN))
        };
        let one = attack(ctx, &on_test, weights, &Attack::fgsm(set.eps()).within(0.0, 1.0))?;
        let many = attack(ctx, &on_test, weights, &pgd)?;
        if moved.is_none() {
            moved = Some(objective(ctx, &model, [many.inputs.clone(), y.clone()])?);
        }
        let transferred = match &moved {
            Some(moved) => accuracy(moved)?,
            None => f64::NAN,
        };
        let found = Seen {
            flatness: [joint.standardised(joint.along_gradient), joint.along_gradient.value],
            others: [
                joint.standardised(joint.along_random),
                joint.standardised(joint.over_plane),
                marginal.standardised(marginal.along_gradient),
                joint.standardised(joint.slope),
            ],
            accuracy: [
                accuracy(&on_test)?,
                one.robust_accuracy().unwrap_or(f64::NAN),
                many.robust_accuracy().unwrap_or(f64::NAN),
                transferred,
            ],
        };
        numbers.extend(found.numbers());
    }
    Ok(numbers)
}

/// The setting of an arm that is the most robust on the second part.
fn chosen(bench: &Bench<'_>, set: Set, arm: Arm) -> Result<f64> {
    let sizes = sizes(bench.scale());
    let settings = arm.settings(&sizes);
    let [only] = settings else {
        let tuning = bench.root() + 1_000_000;
        let key = format!("choice/{}/{}", set.name(), arm.name());
        let numbers = bench.numbers(&key, || {
            let model = set.model(&sizes)?;
            let [_, part, _] = set.parts(&sizes)?;
            let objective = objective(bench.context(), &model, part)?;
            let mut accuracies = Vec::new();
            for &setting in settings {
                let networks = trained(bench, set, arm, setting, &[tuning])?;
                let way = set.attack(sizes.steps[1]);
                let found = attack(bench.context(), &objective, &networks[0], &way)?;
                accuracies.push(found.robust_accuracy().unwrap_or(f64::NAN));
            }
            Ok(accuracies)
        })?;
        let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let place = numbers.iter().position(|accuracy| *accuracy == most).unwrap_or(0);
        return Ok(settings[place.min(settings.len() - 1)]);
    };
    Ok(*only)
}

impl Check for LikelihoodLandscape {
    fn slug(&self) -> &'static str {
        "likelihood_landscape"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let mut flops = 0;
        for set in SETS {
            let model = set.model(&sizes)?;
            let [train, validation, test] = set.counts(&sizes);
            let steps = sizes.epochs * (train / sizes.batch) as u64;
            let seeds = sizes.seeds as usize;
            for arm in ARMS {
                let settings = arm.settings(&sizes).len();
                let runs = if settings > 1 { settings + seeds } else { seeds };
                // A step of an attack is a gradient, a derivative of the input's gradient two.
                let each = match arm {
                    Arm::Attacked => 1 + sizes.steps[0],
                    Arm::Penalty(_) => 3,
                    _ => 1,
                };
                flops += work::training(&model, sizes.batch, steps, runs * each)?;
                let choices = if settings > 1 { settings } else { 0 };
                let chosen = 3 * choices * validation * (sizes.steps[1] + 1);
                let attacks = 3 * (2 * sizes.steps[2] + 4);
                let surfaces = 2 * (6 + sizes.points * sizes.points);
                flops += work::forward(&model, chosen + seeds * test * (attacks + surfaces))?;
            }
        }
        let part = |name, statistic| Part { name, statistic, bound: Bound::above(0.0) };
        let flatter =
            "flatness of plain training minus that of the other, over the outputs' spread";
        let robust = "accuracy under PGD with the penalty on log p(x, y) minus that of the other";
        Ok(Protocol {
            data: "1,797 digits of 8x8, and 3,400 Fashion-MNIST images of 14x14".into(),
            arms: ARMS.iter().map(|arm| arm.name().to_owned()).collect(),
            settings: sizes.factors.len(),
            seeds: (root..root + sizes.seeds).collect(),
            parts: vec![
                part("flatter against attacks, digits", flatter),
                part("flatter with a penalty on the loss, digits", flatter),
                part("more robust than plain, digits", robust),
                part("more robust than weight decay, digits", robust),
                part("flatter against attacks, clothes", flatter),
                part("flatter with a penalty on the loss, clothes", flatter),
                part("more robust than plain, clothes", robust),
                part("more robust than weight decay, clothes", robust),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        // A linear classifier: log p(x, y) is a plane, and the worst corner of a box takes
        // eps |w_0 - w_1|_1 off the margin.
        let ctx = bench.exact()?;
        let model = "linear".parse::<Architecture>()?.build(&[64], 2)?;
        let weights = initialize(&model, bench.root(), DType::F64)?;
        let [digits, _] = split_digits(100, DType::F64)?;
        let x = digits.input_rows(0..100)?.remove(0).reshape(&[100, 64])?;
        let labels: Vec<i32> = (0..100).map(|i| i % 2).collect();
        let on_lines = objective(&ctx, &model, [x.clone(), Array::vector(&labels)])?;
        let (eps, flat) = (0.05, weights.parameters.flatten());
        let slope: Vec<f64> = (0..64).map(|i| flat[2 * i] - flat[2 * i + 1]).collect();
        let length: f64 = slope.iter().map(|s| s.abs()).sum();
        let mut apart: f64 = 0.0;
        let found = attack(&ctx, &on_lines, &weights, &Attack::pgd(eps, 20).restarts(2))?;
        let mut flatness = 0.0;
        for (i, x) in x.to_f64_vec().chunks(64).enumerate() {
            let lead =
                x.iter().zip(&slope).map(|(x, s)| x * s).sum::<f64>() + flat[128] - flat[129];
            let margin = if i % 2 == 0 { lead } else { -lead } - eps * length;
            apart = apart.max((found.losses[i] - (-margin).exp().ln_1p()).abs());
            // The loss rises against the slope of the right class.
            let own = |j: usize| {
                let rising = if i % 2 == 0 { -slope[j] } else { slope[j] };
                flat[2 * j + i % 2] * rising.signum()
            };
            flatness += (0..64).map(own).sum::<f64>().abs() / 100.0;
        }
        let config = FlatnessConfig { eps, ..FlatnessConfig::default() };
        let seen = likelihood_flatness(&ctx, &on_lines, &weights, &config)?.along_gradient.value;
        // The mean of |a| over -1, -2/3, -1/3, 1/3, 2/3, 1.
        let expected = flatness * eps * 2.0 / 3.0;
        Ok(vec![
            Gate::new(
                "an attack finds the worst corner of a linear classifier",
                apart < 1e-9,
                format!("losses off by at most {apart:.1e}"),
            ),
            Gate::new(
                "the likelihood of a linear classifier is as flat as its weights say",
                (seen - expected).abs() < 1e-9,
                format!("{seen:.6}, expected {expected:.6}"),
            ),
        ])
    }

    fn remark(&self) -> Option<&'static str> {
        Some(
            "Robustness is not flatness alone: on clothes the penalty on log p(x, y) leaves the \
             likelihood as steep along the gradient as plain training does (0.64 against 0.62) and \
             takes accuracy under PGD from 0.12 to 0.29. It costs accuracy (digits 0.79 to 0.65). \
             Fifteen epochs of so few images train none of the networks to the end. Inputs moved \
             against the plain network are missed less often than those moved against the network \
             itself, so that no gradient is hidden.",
        )
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        let mut findings = Findings::default();
        for set in SETS {
            let mut arms: Vec<Vec<Weights>> = Vec::new();
            for arm in ARMS {
                let setting = chosen(bench, set, arm)?;
                if arm.settings(&sizes(bench.scale())).len() > 1 {
                    let name = format!("factor of {} on {}", arm.name(), set.name());
                    findings.read(name, setting);
                }
                arms.push(trained(bench, set, arm, setting, &seeds)?);
            }
            // Of each arm, each seed's.
            let mut all: Vec<Vec<Seen>> = ARMS.iter().map(|_| Vec::new()).collect();
            bench.context().progress().start("attacks and surfaces", seeds.len() as u64);
            for (i, seed) in seeds.iter().enumerate() {
                let networks: Vec<&Weights> = arms.iter().map(|arm| &arm[i]).collect();
                let key = format!("seen/{}/{seed}", set.name());
                let numbers = bench.numbers(&key, || seen(bench, set, &networks))?;
                for (of, numbers) in all.iter_mut().zip(numbers.chunks_exact(Seen::COUNT)) {
                    of.push(Seen::from_numbers(numbers));
                }
                bench.context().progress().advance(1);
            }
            report(&mut findings, set, &all)?;
            let [plain, attacked, loss, joint, _, decay] = &all[..] else { continue };
            let minus = |a: &[Seen], b: &[Seen], of: Number| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| of(a) - of(b)).collect()
            };
            let [flatness, robust]: [Number; 2] =
                [|seen| seen.flatness[0], |seen| seen.accuracy[2]];
            findings.parts.extend([
                mean(&minus(plain, attacked, flatness))?,
                mean(&minus(plain, loss, flatness))?,
                mean(&minus(joint, plain, robust))?,
                mean(&minus(joint, decay, robust))?,
            ]);
            let clean: Vec<f64> = plain.iter().map(|seen| seen.accuracy[0]).collect();
            let clean = mean(&clean)?.value;
            let least = bench.whole_or(0.7, 0.0);
            findings.gates.push(Gate::new(
                &format!("plain networks have learned the {}", set.name()),
                clean >= least,
                format!("mean accuracy {clean:.3}, at least {least}"),
            ));
        }
        Ok(findings)
    }
}

/// Everything that decides nothing.
fn report(findings: &mut Findings, set: Set, all: &[Vec<Seen>]) -> Result<()> {
    let readings: [(&str, Number); 10] = [
        ("flatness along the gradient", |seen| seen.flatness[0]),
        ("flatness along the gradient as it is", |seen| seen.flatness[1]),
        ("flatness along random directions", |seen| seen.others[0]),
        ("flatness over planes", |seen| seen.others[1]),
        ("flatness of log p(x)", |seen| seen.others[2]),
        ("slope of log p(x, y)", |seen| seen.others[3]),
        ("accuracy", |seen| seen.accuracy[0]),
        ("accuracy under one step", |seen| seen.accuracy[1]),
        ("accuracy under PGD", |seen| seen.accuracy[2]),
        ("accuracy on inputs moved against the plain network", |seen| seen.accuracy[3]),
    ];
    for (arm, seen) in ARMS.iter().zip(all) {
        for (what, of) in readings {
            let values: Vec<f64> = seen.iter().map(of).collect();
            let name = format!("{what}, {}, {}", arm.name(), set.name());
            findings.read_with(name, &mean(&values)?);
        }
    }
    let pairs: Vec<(f64, f64)> =
        all.iter().flatten().map(|seen| (seen.flatness[0], seen.accuracy[2])).collect();
    let (flatness, robust): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let name = format!("rank correlation of flatness and accuracy under PGD, {}", set.name());
    let correlation = spearman(&flatness, &robust)?;
    if correlation.is_finite() {
        findings.read(name, correlation);
    }
    Ok(())
}
