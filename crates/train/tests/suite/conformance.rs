//! What every optimizer and every schedule must do, run over their names: being named is being
//! tested.

use crate::common::{digit_examples, first, member_bits, model, trainer};
use std::collections::BTreeSet;
use thalweg_array::DType;
use thalweg_train::{
    History, Length, Member, Optimizer, Schedule, Status, TrainConfig, TrainState,
};

fn config(optimizer: &str, schedule: &str) -> TrainConfig {
    TrainConfig {
        optimizer: optimizer.parse().unwrap(),
        schedule: schedule.parse().unwrap(),
        batch: 32,
        length: Length::Steps(40),
        segment: 13,
        ..TrainConfig::default()
    }
}

fn run(config: &TrainConfig, threads: usize, members: &[Member]) -> (TrainState, History) {
    let (train, _) = digit_examples(config.precision);
    let model = model("linear", &[8, 8, 1], 10);
    let trainer = trainer(threads, None, &model, &first(&train, 96), config);
    let mut state = trainer.start(members).unwrap();
    let mut history = History::default();
    trainer.run(&mut state, &mut history).unwrap();
    (state, history)
}

#[test]
fn every_optimizer_descends_is_deterministic_and_is_its_own_in_a_population() {
    for name in Optimizer::NAMES {
        let config = config(name, "constant");
        let members = [Member::new(0, 0.01), Member::new(1, 0.02), Member::new(2, 0.01)];
        let (state, history) = run(&config, 1, &members);
        for losses in &history.metrics.loss {
            // The problem is convex, and these rates are small.
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            assert!(mean(&losses[30..]) < 0.9 * mean(&losses[..5]), "{name}: {losses:?}");
        }
        let (again, seen) = run(&config, 2, &members[2..]);
        assert!(member_bits(&again, 0) == member_bits(&state, 2), "{name}");
        assert_eq!(seen.metrics.loss[0], history.metrics.loss[2], "{name}");
        assert!(member_bits(&state, 0) != member_bits(&state, 2), "{name} sees no seed");
    }
}

#[test]
fn every_optimizer_records_divergence_instead_of_failing() {
    for name in Optimizer::NAMES {
        let (state, _) = run(&config(name, "constant"), 1, &[Member::new(0, f64::from(f32::MAX))]);
        let member = &state.members()[0];
        assert!(matches!(member.status, Status::Diverged { .. }), "{name}: {:?}", member.status);
        assert!(
            state.weights(0).unwrap().parameters.flatten().iter().all(|w| !w.is_nan()),
            "{name}"
        );
    }
}

#[test]
fn every_optimizer_reads_what_it_prints_and_names_each_part_once() {
    let mut printed = BTreeSet::new();
    for name in Optimizer::NAMES {
        let optimizer: Optimizer = name.parse().unwrap();
        assert_eq!(optimizer.to_string().parse(), Ok(optimizer.clone()), "{name}");
        assert!(printed.insert(optimizer.to_string()), "{name} is another's short form");
        let rule = optimizer.rule();
        let names: Vec<_> = rule.hyper_parameters().iter().map(|h| h.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{name}: {names:?}");
        assert!(names.contains(&"lr") && names.iter().all(|n| !n.is_empty()), "{name}: {names:?}");
        for bad in ["nonsense=1", "clip=0", "rho=-1", "weight_decay=nan", "decay_on=some"] {
            let error = format!("{name}:{bad}").parse::<Optimizer>().unwrap_err().to_string();
            assert!(error.contains(&format!("of {name}: expected ")), "{error}");
        }
    }
}

#[test]
fn every_schedule_stays_between_zero_and_one_and_scales_the_steps() {
    for name in Schedule::NAMES {
        for warm_up in ["", ":warm_up=0.25"] {
            let text = format!("{name}{warm_up}");
            let schedule: Schedule = text.parse().unwrap();
            for steps in [1, 2, 5, 100, 1 << 40] {
                for step in [0, 1, steps / 3, steps / 2, steps - 1] {
                    let factor = schedule.factor(step.min(steps - 1), steps);
                    assert!((0.0..=1.0).contains(&factor), "{text}: {factor} at {step} of {steps}");
                }
            }
            let largest = (0..100).map(|step| schedule.factor(step, 100)).fold(0.0, f64::max);
            assert_eq!(largest, 1.0, "{text} never takes the whole rate");
        }
        // One step of SGD without momentum moves by the rate times the factor.
        let mut config = config("sgd", name);
        config.precision = DType::F64;
        config.length = Length::Steps(8);
        config.segment = 1;
        let (scheduled, _) = run(&config, 1, &[Member::new(0, 0.05)]);
        config.schedule = Schedule::default();
        let (constant, _) = run(&config, 1, &[Member::new(0, 0.05)]);
        let same = member_bits(&scheduled, 0) == member_bits(&constant, 0);
        // A table of one factor is constant.
        assert_eq!(same, ["constant", "table"].contains(&name), "{name}");
    }
}
