//! Optimizers and schedules against PyTorch in f64.

use crate::common::{self, model, trainer};
use std::str::FromStr;
use thalweg_array::{Array, DType};
use thalweg_data::{Batches, LastBatch, Stream};
use thalweg_nn::{Model, Multipliers, Role, Weights};
use thalweg_train::{
    Examples, History, Length, Member, Optimizer, Schedule, Segment, Shape, TrainConfig,
};

const FIXTURE: &str = include_str!("../fixtures/optimizers.txt");
/// Ten to fifteen steps amplify rounding a little; a wrong rule is off by 1e-3 or more.
const TOLERANCE: f64 = 1e-12;

fn numbers<T: FromStr>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|word| word.parse().ok().expect("a number")).collect()
}

fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '))
}

fn close(what: &str, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!(
            (got - expected).abs() <= TOLERANCE * expected.abs().max(1.0),
            "{what}: {got} {expected}"
        );
    }
}

/// One optimizer's trajectory.
struct Case<'a> {
    lr: f64,
    text: &'a str,
    /// Loss and gradient norm of each step.
    metrics: Vec<Vec<f64>>,
    /// Weights after some numbers of steps.
    shown: Vec<(u64, Vec<f64>)>,
}

#[test]
fn optimizers_follow_pytorch() {
    let (mut inputs, mut labels, mut start) = (Vec::new(), Vec::new(), Vec::new());
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in FIXTURE.lines() {
        if let Some(rest) = after(line, "inputs") {
            inputs = numbers::<f64>(rest);
        } else if let Some(rest) = after(line, "labels") {
            labels = numbers::<i32>(rest);
        } else if let Some(rest) = after(line, "start") {
            start = numbers::<f64>(rest);
        } else if let Some(rest) = after(line, "optimizer") {
            let (lr, text) = rest.split_once(' ').unwrap();
            let (lr, metrics, shown) = (lr.parse().unwrap(), Vec::new(), Vec::new());
            cases.push(Case { lr, text, metrics, shown });
        } else if let Some(rest) = after(line, "metrics") {
            cases.last_mut().unwrap().metrics.push(numbers(rest));
        } else if let Some(rest) = after(line, "step") {
            let (step, weights) = rest.split_once(' ').unwrap();
            cases.last_mut().unwrap().shown.push((step.parse().unwrap(), numbers(weights)));
        }
    }
    assert_eq!(cases.len(), 13);
    let inputs = Array::from_slice(&[8, 3], &inputs).unwrap();
    let examples = Examples::from_arrays(inputs, Array::vector(&labels), true, DType::F64).unwrap();
    let model = model("mlp hidden=4 activation=tanh", &[3], 2);
    for Case { lr, text, metrics, shown } in cases {
        let config = TrainConfig {
            optimizer: text.parse::<Optimizer>().unwrap(),
            schedule: Schedule { shape: Shape::Constant, warm_up: 0.0 },
            batch: 8,
            last_batch: LastBatch::Drop,
            length: Length::Steps(metrics.len() as u64),
            precision: DType::F64,
            segment: 1,
            ..TrainConfig::default()
        };
        let trainer = trainer(1, None, &model, &examples, &config);
        let blank = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        let parameters = blank.parameters.unflatten(&start).unwrap();
        let weights = Weights { parameters, buffers: blank.buffers };
        let mut state = trainer.start_from(&[Member::new(3, lr)], &[weights]).unwrap();
        let mut history = History::default();
        let mut seen = 0;
        let mut look = |segment: &Segment<'_>| {
            if let Some((_, expected)) = shown.iter().find(|(step, _)| *step == segment.end) {
                let weights = segment.state.weights(0).unwrap().parameters.flatten();
                close(&format!("{text} after {} steps", segment.end), &weights, expected);
                seen += 1;
            }
            thalweg_train::Observer::segment(&mut history, segment)
        };
        trainer.run(&mut state, &mut look).unwrap();
        assert_eq!(seen, shown.len(), "{text}");
        for (step, expected) in metrics.iter().enumerate() {
            let metrics = &history.metrics;
            let got = [metrics.loss[0][step], metrics.gradient_norm[0][step]];
            close(&format!("{text}: loss and gradient norm of step {step}"), &got, expected);
        }
    }
}

#[test]
fn schedules_follow_pytorch() {
    let mut lines = FIXTURE.lines();
    let mut n = 0;
    while let Some(line) = lines.next() {
        let Some(rest) = after(line, "schedule") else { continue };
        let (steps, text) = rest.split_once(' ').unwrap();
        let steps: u64 = steps.parse().unwrap();
        let expected: Vec<f64> = numbers(after(lines.next().unwrap(), "factors").unwrap());
        let schedule: Schedule = text.parse().unwrap();
        let got: Vec<f64> = (0..steps).map(|step| schedule.factor(step, steps)).collect();
        close(text, &got, &expected);
        n += 1;
    }
    assert_eq!(n, 8);
}

#[test]
fn sam_without_a_radius_is_its_base() {
    let (train, _) = common::digit_examples(DType::F64);
    let train = common::first(&train, 64);
    let model = model("mlp hidden=8", &[8, 8, 1], 10);
    let run = |text: &str| {
        let config = TrainConfig {
            optimizer: text.parse().unwrap(),
            batch: 16,
            length: Length::Steps(6),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let trainer = trainer(1, None, &model, &train, &config);
        let mut state = trainer.start(&[Member::new(0, 0.1)]).unwrap();
        trainer.run(&mut state, &mut thalweg_train::Unobserved).unwrap();
        state.weights(0).unwrap()
    };
    let plain = run("sgd:momentum=0.9");
    let kinds = ["", ",scale=adaptive", ",norm=parameter", ",shard=16", ",p=3", ",p=inf"];
    for kind in kinds {
        assert!(run(&format!("sgd:momentum=0.9,rho=0{kind}")) == plain, "{kind}");
        assert!(run(&format!("sgd:momentum=0.9,rho=0.1{kind}")) != plain, "{kind}");
    }
    let whole = run("sgd:momentum=0.9,rho=0.1");
    assert!(run("sgd:momentum=0.9,rho=0.1,shard=16") == whole, "one shard is the batch");
    assert!(run("sgd:momentum=0.9,rho=0.1,shard=4") != whole);
}

#[test]
fn sam_tells_the_loss_at_the_end_of_its_ascent() {
    // Two weights and two examples: L = (2 w1^2 + w2^2 / 2) / 2, and of each example one of the terms.
    let parabola = model("linear bias=false", &[2], 1);
    let input = Array::from_slice(&[2, 2], &[2.0, 0.0, 0.0, 1.0]).unwrap();
    let target = Array::zeros(DType::F64, &[2, 1]);
    let examples = Examples::from_arrays(input, target, false, DType::F64).unwrap();
    let seen = |text: &str, members: &[Member]| {
        let config = TrainConfig {
            optimizer: text.parse().unwrap(),
            schedule: Schedule::default(),
            loss: thalweg_nn::Loss::HalfSquaredError,
            batch: 2,
            length: Length::Steps(2),
            precision: DType::F64,
            segment: 1,
            ..TrainConfig::default()
        };
        let trainer = trainer(1, None, &parabola, &examples, &config);
        let mut start = thalweg_train::initialize(&parabola, 0, DType::F64).unwrap();
        start.parameters = start.parameters.unflatten(&[0.4, -1.0]).unwrap();
        let mut state = trainer.start_from(members, &vec![start; members.len()]).unwrap();
        let mut history = History::default();
        trainer.run(&mut state, &mut history).unwrap();
        history.metrics
    };
    let (rho, lr) = (0.3, 0.1);
    let loss = |w: [f64; 2]| (2.0 * w[0] * w[0] + 0.5 * w[1] * w[1]) / 2.0;
    let slope = |w: [f64; 2]| [2.0 * w[0], 0.5 * w[1]];
    let ascended = |w: [f64; 2]| {
        let g = slope(w);
        let long = g[0].hypot(g[1]);
        [w[0] + rho * g[0] / long, w[1] + rho * g[1] / long]
    };
    let alone = [Member::new(0, lr)];
    let found = seen("sgd:rho=0.3", &alone);
    let mut w = [0.4, -1.0];
    for step in 0..2 {
        let expected = [loss(w), loss(ascended(w))];
        let got = [found.loss[0][step], found.perturbed_loss[0][step]];
        close(&format!("losses of step {step}"), &got, &expected);
        let g = slope(ascended(w));
        w = [w[0] - lr * g[0], w[1] - lr * g[1]];
    }
    assert!(found.accuracy.is_empty());
    // Shards ascend by themselves: of one example each, along its own weight.
    let shards = seen("sgd:rho=0.3,shard=1", &alone);
    let expected = (2.0 * 0.7f64.powi(2) + 0.5 * 1.3f64.powi(2)) / 2.0;
    close(
        "shards",
        &[shards.loss[0][0], shards.perturbed_loss[0][0]],
        &[loss([0.4, -1.0]), expected],
    );
    // Without an ascent there is nothing to tell, and who has diverged is read no more.
    assert!(seen("sgd", &alone).perturbed_loss.is_empty());
    let lost = seen("sgd:rho=0.3", &[Member::new(0, 1e200), Member::new(0, lr)]).perturbed_loss;
    assert!(lost[0][1].is_nan() || !lost[0][1].is_finite(), "{lost:?}");
    assert_eq!(lost[1], found.perturbed_loss[0]);
    // Beside accuracies each is in its own place.
    let (train, _) = common::digit_examples(DType::F64);
    let (train, network) = (common::first(&train, 32), model("mlp hidden=8", &[8, 8, 1], 10));
    for text in ["sam", "sam:shard=8", "sam:p=inf,rho=1e-3"] {
        let config = TrainConfig {
            optimizer: text.parse().unwrap(),
            batch: 32,
            length: Length::Steps(2),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let trainer = trainer(1, None, &network, &train, &config);
        let mut state = trainer.start(&alone).unwrap();
        let mut history = History::default();
        trainer.run(&mut state, &mut history).unwrap();
        let metrics = history.metrics;
        assert!(metrics.perturbed_loss[0][0] > metrics.loss[0][0], "{text}");
        let share = metrics.accuracy[0][0] * 32.0;
        assert!((share - share.round()).abs() < 1e-12 && share <= 32.0, "{text}: {share}");
    }
}

#[test]
fn a_step_of_shards_is_the_mean_of_steps_on_them() {
    let (train, _) = common::digit_examples(DType::F64);
    let train = common::first(&train, 12);
    let model = model("mlp hidden=8", &[8, 8, 1], 10);
    let start = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
    // Where one step leads on some examples.
    let step = |examples: &Examples, text: &str| -> Vec<f64> {
        let config = TrainConfig {
            optimizer: text.parse().unwrap(),
            schedule: Schedule::default(),
            batch: examples.len(),
            length: Length::Steps(1),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let trainer = trainer(1, None, &model, examples, &config);
        let member = [Member::new(0, 1.0)];
        let mut state = trainer.start_from(&member, std::slice::from_ref(&start)).unwrap();
        trainer.run(&mut state, &mut thalweg_train::Unobserved).unwrap();
        let moved = state.weights(0).unwrap().parameters.flatten().into_iter();
        moved.zip(start.parameters.flatten()).map(|(to, from)| to - from).collect()
    };
    let order = Batches::new(12, 12, LastBatch::Drop).unwrap();
    let order = order.epoch(&Stream::new(0, "train/order"), 0).unwrap().row(0).unwrap();
    let mut mean = vec![0.0; start.parameters.flatten().len()];
    for rows in order.as_slice::<i32>().unwrap().chunks(4) {
        let part = |array: &Array| {
            let rows: Vec<_> = rows.iter().map(|&row| array.row(row as usize).unwrap()).collect();
            Array::stack(&rows).unwrap()
        };
        let (inputs, targets) = (part(&train.inputs().unwrap()[0]), part(train.targets()));
        let part = Examples::from_arrays(inputs, targets, true, DType::F64).unwrap();
        for (sum, moved) in mean.iter_mut().zip(step(&part, "sgd:rho=0.5")) {
            *sum += moved / 3.0;
        }
    }
    for (got, expected) in step(&train, "sgd:rho=0.5,shard=4").iter().zip(&mean) {
        assert!((got - expected).abs() < 1e-13, "{got} {expected}");
    }
    let whole = step(&train, "sgd:rho=0.5");
    assert!(whole.iter().zip(&mean).any(|(a, b)| (a - b).abs() > 1e-3), "shards do not matter");
    // Shards that do not divide the batch are refused before anything runs.
    let config = TrainConfig {
        optimizer: "sam:shard=5".parse().unwrap(),
        batch: 12,
        precision: DType::F64,
        ..TrainConfig::default()
    };
    let executor = std::sync::Arc::new(thalweg_exec::Executor::new(1));
    let resources = thalweg_train::Resources::default();
    let refused = thalweg_train::Trainer::new(executor, model.clone(), train, config, resources);
    assert_eq!(
        refused.err().map(|error| error.to_string()).unwrap_or_default(),
        "shard of the optimizer: expected a divisor of the batch, 12, got 5"
    );
}

#[test]
fn a_parameters_own_multipliers_scale_its_rate_and_its_decay() {
    let (train, _) = common::digit_examples(DType::F64);
    let train = common::first(&train, 32);
    let plain = model("linear", &[8, 8, 1], 10);
    let of_weights = |learning_rate: f64, decay: f64| {
        plain.clone().with_multipliers(|parameter| match parameter.role {
            Role::Weight => Multipliers { learning_rate, decay, ..Multipliers::default() },
            _ => Multipliers::default(),
        })
    };
    let start = thalweg_train::initialize(&plain, 0, DType::F64).unwrap();
    // Where each parameter goes in one step at a rate of a tenth.
    let moved = |model: &Model, text: &str| {
        let config = TrainConfig {
            optimizer: text.parse().unwrap(),
            schedule: Schedule::default(),
            batch: 32,
            length: Length::Steps(1),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let trainer = trainer(1, None, model, &train, &config);
        let mut state = trainer.start(&[Member::new(0, 0.1)]).unwrap();
        trainer.run(&mut state, &mut thalweg_train::Unobserved).unwrap();
        let parameters = state.weights(0).unwrap().parameters;
        ["fc.weight", "fc.bias"].map(|name| {
            let (from, to) = (start.parameters.get(name).unwrap(), parameters.get(name).unwrap());
            let pairs = from.to_f64_vec().into_iter().zip(to.to_f64_vec());
            pairs.map(|(from, to)| to - from).collect::<Vec<f64>>()
        })
    };
    let near = |got: &[f64], expected: Vec<f64>| {
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-14, "{got} {expected}");
        }
    };
    let [weight, bias] = moved(&plain, "sgd");
    let [faster, same] = moved(&of_weights(3.0, 1.0), "sgd");
    near(&faster, weight.iter().map(|step| 3.0 * step).collect());
    near(&same, bias.clone());
    // -lr (g + 0.5 weight_decay w), and the bias with the whole decay.
    let [decayed, other] = moved(&of_weights(1.0, 0.5), "sgd:weight_decay=0.2");
    let pull = |name: &str, share: f64| -> Vec<f64> {
        let values = start.parameters.get(name).unwrap().to_f64_vec();
        values.into_iter().map(|w| -0.1 * share * 0.2 * w).collect()
    };
    let sum = |a: &[f64], b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
    near(&decayed, sum(&weight, pull("fc.weight", 0.5)));
    near(&other, sum(&bias, pull("fc.bias", 1.0)));
    let [all, none] = moved(&of_weights(1.0, 1.0), "sgd:weight_decay=0.2,decay_on=weights");
    near(&all, sum(&weight, pull("fc.weight", 1.0)));
    near(&none, bias);
}
