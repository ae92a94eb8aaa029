//! After training examples are memorised, their ways through a mixture of experts become more alike, and do
//! so along with the accuracy on other examples, more closely than the training loss.
//!
//! # Protocol
//! Addition modulo 41: tokens `a`, `b`, `=`, half of the 1,681 pairs for training, the same ones for every
//! seed. A transformer of two blocks of width 32 with 4 heads, whose perceptrons are 4 experts of 64 hidden
//! units, 2 of them chosen; balance 0.01; AdamW at 1e-3 with weight decay 1.0, 4,000 steps on all training
//! pairs; six seeds; about 60 checkpoints, evenly spaced.
//!
//! Training is memorised at the first checkpoint with 99 % training accuracy. Followed from there on are the
//! training examples whose loss is from that checkpoint on within 0.5 nats of its last value. Their
//! pathways take experts up to a probability of 0.7; the distance is the mean number of edits, in
//! characters, over 2,000 pairs of examples. Deciding, over seeds: Spearman's correlation over the
//! checkpoints behind memorisation of that distance with test accuracy; its absolute value minus that of
//! training loss with test accuracy. At least five of the six seeds are to memorise more than 300 steps
//! before they reach 90 % test accuracy, else nothing is said. Two seeds with a frozen router are read
//! beside them.
//!
//! # Departures
//! 4,000 steps in place of 5,000 and two seeds for the frozen router, so that it takes minutes: every expert is
//! computed and those not chosen are masked. The task on text is left out: it decides nothing and takes as
//! long again. Intervals are Student's, as in every check here. Seeds that do not memorise count with
//! correlations of zero.
//!
//! # Source    Li, Fan, Zhou, Where to find grokking in LLM pretraining? Monitor memorization-to-generalization
//! without test, 2025, arXiv 2506.21551

use crate::bench::Bench;
use crate::check::{Check, Findings, Gate, Part, Protocol, Scale};
use crate::statistic::mean;
use crate::work;
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Program;
use thalweg_lab::{LabError, Result};
use thalweg_methods::dynamics::{
    MoeTransformer, PathwaySymbols, edit_distance, memorised_at, pathway, pathway_consistency,
    pathway_distance, router_rows,
};
use thalweg_nn::{Model, Multipliers, Weights};
use thalweg_stats::{Bound, spearman};
use thalweg_train::{
    Ended, Examples, Length, Member, Optimizer, Schedule, Segment, TrainConfig, Trainer,
};

/// The check.
pub(crate) struct MoePathwayGrokking;

const RATE: f64 = 1e-3;
const THRESHOLD: f64 = 0.7;
/// Nats within which a loss counts as its last.
const TOLERANCE: f64 = 0.5;

struct Sizes {
    modulus: usize,
    network: MoeTransformer,
    steps: u64,
    /// Steps from one checkpoint to the next.
    every: u64,
    seeds: u64,
    frozen: usize,
    pairs: usize,
    /// Steps by which memorisation is to come first, and how many seeds may fail to.
    delay: f64,
    may_fail: usize,
}

fn sizes(scale: Scale) -> Sizes {
    let network = |modulus: usize, width, hidden| MoeTransformer {
        context: 3,
        vocabulary: modulus + 1,
        outputs: modulus,
        depth: 2,
        width,
        heads: 4,
        experts: 4,
        chosen: 2,
        hidden,
        balance: 0.01,
        last: true,
    };
    match scale {
        Scale::Whole => Sizes {
            modulus: 41,
            network: network(41, 32, 64),
            steps: 4000,
            every: 67,
            seeds: 6,
            frozen: 2,
            pairs: 2000,
            delay: 300.0,
            may_fail: 1,
        },
        Scale::Sample => Sizes {
            modulus: 5,
            network: network(5, 8, 8),
            steps: 30,
            every: 5,
            seeds: 2,
            frozen: 1,
            pairs: 50,
            delay: 0.0,
            may_fail: 2,
        },
    }
}

/// Half of all pairs, and the other half.
fn data(modulus: usize) -> Result<[Examples; 2]> {
    let order = Stream::new(0, "papers/modular addition").permutation(modulus * modulus);
    let (train, test) = order.split_at(order.len() / 2);
    let part = |pairs: &[usize]| -> Result<Examples> {
        let tokens = |&pair: &usize| [pair / modulus, pair % modulus, modulus].map(|x| x as i32);
        let sum = |&pair: &usize| ((pair / modulus + pair % modulus) % modulus) as i32;
        let tokens: Vec<i32> = pairs.iter().flat_map(tokens).collect();
        let labels: Vec<i32> = pairs.iter().map(sum).collect();
        let inputs = Array::from_slice(&[pairs.len(), 3], &tokens)?;
        Ok(Examples::from_arrays(inputs, Array::vector(&labels), true, DType::F32)?)
    };
    Ok([part(train)?, part(test)?])
}

/// The network on some examples.
struct Look {
    program: Arc<Program>,
    examples: Examples,
    classes: usize,
}

/// Of each example the loss, whether it is right, and the routers' probabilities by layer.
struct Seen {
    losses: Vec<f64>,
    accuracy: f64,
    routing: Vec<Vec<Vec<f64>>>,
}

impl Look {
    fn new(bench: &Bench<'_>, model: &Model, examples: Examples) -> Result<Look> {
        let graph = model.evaluation_graph(DType::F32, examples.len())?;
        let program = bench.executor().compile(&graph)?;
        Ok(Look { program, examples, classes: model.n_classes() })
    }

    fn at(&self, weights: &Weights) -> Result<Seen> {
        let n = self.examples.len();
        let tokens = self.examples.input_rows(0..n)?;
        let arrays = weights.parameters.arrays().iter().cloned().chain(tokens);
        let found = self.program.run(arrays.collect())?;
        let [logits, _, routing] = &found[..] else {
            return Err(LabError::Input("a mixture of experts: expected three outputs".into()));
        };
        let labels = self.examples.targets().to_f64_vec();
        let (mut losses, mut right) = (Vec::with_capacity(n), 0usize);
        for (z, label) in logits.to_f64_vec().chunks(self.classes).zip(labels) {
            let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let normalizer = z.iter().map(|z| (z - most).exp()).sum::<f64>().ln() + most;
            let own = z.get(label as usize).copied().unwrap_or(f64::NAN);
            losses.push(normalizer - own);
            right += usize::from(own == most);
        }
        let [_, layers, experts] = *routing.shape() else {
            return Err(LabError::Input("routing: expected layers and experts".into()));
        };
        let routing = routing
            .to_f64_vec()
            .chunks(layers * experts)
            .map(|of| of.chunks(experts).map(<[f64]>::to_vec).collect())
            .collect();
        Ok(Seen { losses, accuracy: right as f64 / n as f64, routing })
    }
}

/// A checkpoint of one seed.
struct Checkpoint {
    step: f64,
    train: Seen,
    test_accuracy: f64,
    routers: Vec<Vec<Vec<f64>>>,
}

/// What a seed showed.
#[derive(Clone, Copy)]
struct Run {
    memorised: f64,
    generalised: f64,
    by_distance: f64,
    by_loss: f64,
    by_consistency: f64,
    followed: f64,
    first_distance: f64,
    last_distance: f64,
    accuracy: f64,
}

/// One number of a run.
type Number = fn(&Run) -> f64;

impl Run {
    fn numbers(self) -> [f64; 9] {
        [
            self.memorised,
            self.generalised,
            self.by_distance,
            self.by_loss,
            self.by_consistency,
            self.followed,
            self.first_distance,
            self.last_distance,
            self.accuracy,
        ]
    }

    fn from_numbers(numbers: &[f64]) -> Result<Run> {
        let [
            memorised,
            generalised,
            by_distance,
            by_loss,
            by_consistency,
            followed,
            first_distance,
            last_distance,
            accuracy,
        ] = *numbers
        else {
            let text = format!("a stored run: expected 9 numbers, got {}", numbers.len());
            return Err(LabError::Input(text));
        };
        Ok(Run {
            memorised,
            generalised,
            by_distance,
            by_loss,
            by_consistency,
            followed,
            first_distance,
            last_distance,
            accuracy,
        })
    }

    /// Of the checkpoints of a run; steps are infinite where a level is not reached.
    fn of(checkpoints: &[Checkpoint], pairs: usize, stream: &Stream) -> Result<Run> {
        let reached = |holds: &dyn Fn(&Checkpoint) -> bool| checkpoints.iter().position(holds);
        let step = |at: Option<usize>| at.map_or(f64::INFINITY, |at| checkpoints[at].step);
        let memorised = reached(&|c| c.train.accuracy >= 0.99);
        let generalised = reached(&|c| c.test_accuracy >= 0.9);
        let mut run = Run {
            memorised: step(memorised),
            generalised: step(generalised),
            by_distance: 0.0,
            by_loss: 0.0,
            by_consistency: 0.0,
            followed: 0.0,
            first_distance: f64::NAN,
            last_distance: f64::NAN,
            accuracy: checkpoints.last().map_or(f64::NAN, |c| c.test_accuracy),
        };
        let Some(start) = memorised else { return Ok(run) };
        let n = checkpoints[start].train.losses.len();
        let stays = |&i: &usize| {
            let losses: Vec<f64> = checkpoints.iter().map(|c| c.train.losses[i]).collect();
            memorised_at(&losses, TOLERANCE).is_some_and(|at| at <= start)
        };
        let followed: Vec<usize> = (0..n).filter(stays).collect();
        run.followed = followed.len() as f64;
        let after = &checkpoints[start + 1..];
        if followed.len() < 2 || after.len() < 3 {
            return Ok(run);
        }
        let mut columns: [Vec<f64>; 4] = Default::default();
        for checkpoint in after {
            let routing = || followed.iter().map(|&i| &checkpoint.train.routing[i]);
            let pathways: Vec<_> = routing().map(|of| pathway(of, THRESHOLD)).collect();
            let symbols = PathwaySymbols::Characters;
            columns[0].push(pathway_distance(&pathways, symbols, pairs, stream)?.mean);
            columns[1].push(checkpoint.train.losses.iter().sum::<f64>() / n as f64);
            let mut turned = 0.0;
            for of in routing() {
                turned += pathway_consistency(of, &checkpoint.routers)? / followed.len() as f64;
            }
            columns[2].push(turned);
            columns[3].push(checkpoint.test_accuracy);
        }
        let [distances, losses, turned, accuracies] = columns;
        // Zero where one side does not vary.
        let with = |values: &[f64]| -> Result<f64> {
            let rho = spearman(values, &accuracies)?;
            Ok(if rho.is_finite() { rho } else { 0.0 })
        };
        run.by_distance = with(&distances)?;
        run.by_loss = with(&losses)?;
        run.by_consistency = with(&turned)?;
        run.first_distance = distances.first().copied().unwrap_or(f64::NAN);
        run.last_distance = distances.last().copied().unwrap_or(f64::NAN);
        Ok(run)
    }
}

/// The runs of some seeds, nine numbers each.
fn runs(bench: &Bench<'_>, frozen: bool, seeds: &[u64]) -> Result<Vec<f64>> {
    let sizes = sizes(bench.scale());
    let routers = sizes.network.routers();
    let mut model = sizes.network.model()?;
    if frozen {
        model = model.with_multipliers(|p| match routers.contains(&p.name) {
            true => Multipliers { learning_rate: 0.0, decay: 0.0, ..p.multipliers },
            false => p.multipliers,
        });
    }
    let [train, test] = data(sizes.modulus)?;
    let on_train = Look::new(bench, &model, train.clone())?;
    let on_test = Look::new(bench, &model, test)?;
    let config = TrainConfig {
        optimizer: Optimizer::adamw().with_weight_decay(1.0),
        schedule: Schedule::default(),
        batch: train.len(),
        length: Length::Steps(sizes.steps),
        segment: sizes.every,
        ..TrainConfig::default()
    };
    let (executor, resources) = (bench.executor(), bench.resources());
    let trainer = Trainer::new(executor, model, train, config, resources)?;
    let members: Vec<Member> = seeds.iter().map(|&seed| Member::new(seed, RATE)).collect();
    let mut state = trainer.start(&members)?;
    let mut checkpoints: Vec<Vec<Checkpoint>> = seeds.iter().map(|_| Vec::new()).collect();
    let mut failure = None;
    let mut see = |segment: &Segment<'_>| -> Result<()> {
        for (member, of) in checkpoints.iter_mut().enumerate() {
            let weights = segment.state.weights(member)?;
            of.push(Checkpoint {
                step: segment.end as f64,
                train: on_train.at(&weights)?,
                test_accuracy: on_test.at(&weights)?.accuracy,
                routers: router_rows(&weights.parameters, &routers)?,
            });
        }
        bench.context().progress().advance(segment.end - segment.first);
        Ok(bench.context().check()?)
    };
    let mut look = |segment: &Segment<'_>| match see(segment) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    let ended = trainer.run(&mut state, &mut look)?;
    if let Some(error) = failure {
        return Err(error);
    }
    if ended == Ended::Stopped {
        return Err(LabError::Interrupted);
    }
    let stream = Stream::new(bench.root(), "papers/pairs of pathways");
    let mut numbers = Vec::new();
    for of in &checkpoints {
        numbers.extend(Run::of(of, sizes.pairs, &stream)?.numbers());
    }
    Ok(numbers)
}

impl Check for MoePathwayGrokking {
    fn slug(&self) -> &'static str {
        "moe_pathway_grokking"
    }

    fn protocol(&self, scale: Scale, root: u64) -> Result<Protocol> {
        let sizes = sizes(scale);
        let model = sizes.network.model()?;
        let pairs = sizes.modulus * sizes.modulus;
        let members = sizes.seeds as usize + sizes.frozen;
        let looks = sizes.steps.div_ceil(sizes.every) as usize;
        let flops = work::training(&model, pairs / 2, sizes.steps, members)?
            + work::forward(&model, pairs * looks * members)?;
        let part = |name, statistic, bound| Part { name, statistic, bound };
        Ok(Protocol {
            data: "addition modulo 41, half of the pairs for training".into(),
            arms: vec![
                "two blocks with four experts, two chosen".into(),
                "the same with a router that stays as it was drawn".into(),
            ],
            settings: 1,
            seeds: (root..root + sizes.seeds).collect(),
            parts: vec![
                part(
                    "distance and accuracy",
                    "rank correlation over checkpoints of pathway distance and test accuracy",
                    Bound::Below { claim: -0.3, opposite: 0.0 },
                ),
                part(
                    "over training loss",
                    "absolute correlation of distance minus that of training loss",
                    Bound::Above { claim: 0.0, opposite: f64::NEG_INFINITY },
                ),
            ],
            flops,
        })
    }

    fn gates(&self, bench: &Bench<'_>) -> Result<Vec<Gate>> {
        let edits = edit_distance(b"kitten", b"sitting");
        let known = Gate::new(
            "three edits lead from kitten to sitting",
            edits == 3,
            format!("{edits} edits"),
        );
        // Pathways that are alike are at no distance, and drawn ones at some.
        let stream = Stream::new(bench.root(), "papers/drawn pathways");
        let drawn = |alike: bool| -> Result<f64> {
            let one = |i: u64| {
                let draws = stream.at(if alike { 0 } else { i });
                let layer = |l: u64| (0..4).map(|k| draws.uniform(4 * l + k) / 2.0).collect();
                pathway(&[layer(0), layer(1)], THRESHOLD)
            };
            let pathways: Vec<_> = (0..40).map(one).collect();
            Ok(pathway_distance(&pathways, PathwaySymbols::Characters, 1000, &stream)?.mean)
        };
        let (alike, apart) = (drawn(true)?, drawn(false)?);
        let distance = Gate::new(
            "equal routings are at no distance and drawn ones are",
            alike == 0.0 && apart > 1.0,
            format!("{alike} and {apart:.2}"),
        );
        Ok(vec![known, distance])
    }

    fn measure(&self, bench: &Bench<'_>) -> Result<Findings> {
        let sizes = sizes(bench.scale());
        let seeds = self.protocol(bench.scale(), bench.root())?.seeds;
        bench.context().progress().start("steps", 2 * sizes.steps);
        let mut arms = Vec::new();
        for (key, frozen, seeds) in
            [("routed", false, &seeds[..]), ("frozen", true, &seeds[..sizes.frozen])]
        {
            let numbers = bench.numbers(key, || runs(bench, frozen, seeds))?;
            arms.push(numbers.chunks_exact(9).map(Run::from_numbers).collect::<Result<Vec<_>>>()?);
        }
        let [routed, frozen] = &arms[..] else { return Ok(Findings::default()) };
        let each = |of: &dyn Fn(&Run) -> f64| routed.iter().map(of).collect::<Vec<f64>>();
        let mut findings = Findings {
            parts: vec![
                mean(&each(&|run| run.by_distance))?,
                mean(&each(&|run| run.by_distance.abs() - run.by_loss.abs()))?,
            ],
            ..Findings::default()
        };
        let grokked = routed
            .iter()
            .filter(|run| {
                run.generalised.is_finite() && run.generalised - run.memorised > sizes.delay
            })
            .count();
        findings.gates.push(Gate::new(
            "seeds memorise long before they generalise",
            grokked + sizes.may_fail >= routed.len(),
            format!("{grokked} of {}", routed.len()),
        ));
        findings.read_with("correlation of distance", &findings.parts[0].clone());
        findings.read_with("correlation of training loss", &mean(&each(&|run| run.by_loss))?);
        let turned = mean(&each(&|run| run.by_consistency))?;
        findings.read_with("correlation of consistency, lower being smoother", &turned);
        let of_frozen = frozen.iter().map(|run| run.by_distance).sum::<f64>() / frozen.len() as f64;
        findings.read("correlation of distance with a frozen router", of_frozen);
        let others: [(&str, Number); 6] = [
            ("step of memorising", |run| run.memorised),
            ("step of generalising", |run| run.generalised),
            ("examples followed", |run| run.followed),
            ("distance at first", |run| run.first_distance),
            ("distance at last", |run| run.last_distance),
            ("last test accuracy", |run| run.accuracy),
        ];
        for (name, of) in others {
            let values: Vec<f64> = each(&of).into_iter().filter(|x| x.is_finite()).collect();
            if !values.is_empty() {
                findings.read(name, values.iter().sum::<f64>() / values.len() as f64);
            }
        }
        Ok(findings)
    }
}
