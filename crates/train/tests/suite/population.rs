//! A member's bits are its own: alone or among others, in any chunk, segment or number of threads,
//! in one go or resumed.

use crate::common::{self, digit_examples, first, member_bits, model, trainer};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_array::DType;
use thalweg_data::Augmentation;
use thalweg_exec::Executor;
use thalweg_nn::{Loss, Model};
use thalweg_train::{
    Ended, Evaluator, Examples, History, Length, Member, Recalibrator, Resources, Segment, Status,
    TrainConfig, TrainError, TrainState, Trainer, Unobserved,
};

fn setting() -> (Model, Examples, TrainConfig) {
    let (examples, _) = digit_examples(DType::F32);
    let config = TrainConfig {
        optimizer: "sgd:momentum=0.9,nesterov,weight_decay=5e-4".parse().unwrap(),
        batch: 16,
        length: Length::Steps(20),
        segment: 7,
        ..TrainConfig::default()
    };
    (model("resnet depth=8 width=4", &[8, 8, 1], 10), first(&examples, 150), config)
}

fn run(trainer: &Trainer, members: &[Member]) -> (TrainState, History) {
    let mut state = trainer.start(members).unwrap();
    let mut history = History::default();
    assert_eq!(trainer.run(&mut state, &mut history).unwrap(), Ended::Finished);
    (state, history)
}

#[test]
fn neighbours_chunks_segments_and_threads_change_no_bit() {
    let (model, examples, config) = setting();
    let members = Member::product(&[0, 1, 2], &[0.1, 0.02]);
    let (reference, history) = run(&trainer(1, None, &model, &examples, &config), &members);
    assert_eq!(reference.step(), 20);
    assert!(history.metrics.loss.iter().all(|losses| losses.len() == 20));
    assert_ne!(member_bits(&reference, 0)[4], member_bits(&reference, 1)[4]);
    for (threads, chunk, segment) in
        [(2, Some(2), 7), (1, Some(3), 1), (2, Some(1), 20), (1, Some(4), 7)]
    {
        let config = TrainConfig { segment, ..config.clone() };
        let (other, seen) = run(&trainer(threads, chunk, &model, &examples, &config), &members);
        let what = format!("{threads} threads, chunk {chunk:?}, segment {segment}");
        assert!(seen.metrics == history.metrics, "{what}");
        assert!(other == reference, "{what}");
    }
    let alone = trainer(1, None, &model, &examples, &config);
    for (i, member) in members.iter().enumerate().step_by(2) {
        let (state, seen) = run(&alone, std::slice::from_ref(member));
        assert!(member_bits(&state, 0) == member_bits(&reference, i), "member {i}");
        assert_eq!(seen.metrics.loss[0], history.metrics.loss[i]);
    }
}

#[test]
fn a_saved_state_goes_on_with_the_same_bits() {
    let (model, examples, config) = setting();
    let members = Member::product(&[5, 6], &[0.05]);
    let whole = trainer(1, None, &model, &examples, &config);
    let (reference, _) = run(&whole, &members);
    let mut state = whole.start(&members).unwrap();
    let mut stop = |segment: &Segment<'_>| match segment.end >= 7 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    assert_eq!(whole.run(&mut state, &mut stop).unwrap(), Ended::Stopped);
    assert_eq!(state.step(), 7);
    let saved = state.to_named_arrays().unwrap();
    // Resumed elsewhere, with other segments.
    let config = TrainConfig { segment: 5, ..config };
    let other = trainer(2, Some(1), &model, &examples, &config);
    let mut resumed = other.restore(&members, &saved).unwrap();
    other.run(&mut resumed, &mut Unobserved).unwrap();
    assert!(resumed == reference);
    let refused = other.restore(&Member::product(&[5, 7], &[0.05]), &saved).unwrap_err();
    assert_eq!(refused.to_string(), "saved state, seed of member 1: expected 7, got 6");
    let refused = other.restore(&Member::product(&[5, 6], &[0.5]), &saved).unwrap_err();
    assert_eq!(refused.to_string(), "saved state, lr of member 0: expected 0.5, got 0.05");
    let fewer: Vec<_> = saved.iter().filter(|(name, _)| name != "diverged_at").cloned().collect();
    let refused = other.restore(&members, &fewer).unwrap_err();
    assert_eq!(refused.to_string(), "saved state, diverged_at: expected i64[2], got nothing");
}

#[test]
fn a_fork_shares_the_past_and_has_its_own_future() {
    let (model, examples, config) = setting();
    let trainer = trainer(1, None, &model, &examples, &config);
    let mut state = trainer.start(&[Member::new(1, 0.1)]).unwrap();
    let mut stop = |_: &Segment<'_>| ControlFlow::Break(());
    trainer.run(&mut state, &mut stop).unwrap();
    let slower =
        Member { hyper: BTreeMap::from([("momentum".into(), 0.5)]), ..Member::new(1, 0.1) };
    let forks = [(0, Member::new(1, 0.1)), (0, Member::new(2, 0.1)), (0, slower)];
    let mut forked = trainer.fork(&state, &forks).unwrap();
    trainer.run(&mut forked, &mut Unobserved).unwrap();
    trainer.run(&mut state, &mut Unobserved).unwrap();
    assert_eq!(forked.weights(0).unwrap(), state.weights(0).unwrap());
    assert_ne!(forked.weights(1).unwrap(), state.weights(0).unwrap());
    assert_ne!(forked.weights(2).unwrap(), state.weights(0).unwrap());
    let unknown = Member { hyper: BTreeMap::from([("beta1".into(), 0.5)]), ..Member::new(1, 0.1) };
    assert_eq!(
        trainer.fork(&state, &[(0, unknown)]).unwrap_err().to_string(),
        "hyper-parameter: expected one of weight_decay, momentum, lr, got beta1"
    );
}

#[test]
fn divergence_is_a_status_and_leaves_the_others_alone() {
    let (model, examples, config) = setting();
    let trainer = trainer(1, None, &model, &examples, &config);
    let rates = |rates: &[f64]| rates.iter().map(|&lr| Member::new(1, lr)).collect::<Vec<_>>();
    // Batch normalisation forgives any rate; a rate near the largest number does not.
    let (mixed, history) = run(&trainer, &rates(&[0.1, 1e30, 0.02]));
    let (without, _) = run(&trainer, &rates(&[0.1, 0.02]));
    assert!(member_bits(&mixed, 0) == member_bits(&without, 0));
    assert!(member_bits(&mixed, 2) == member_bits(&without, 1));
    let Status::Diverged { step } = mixed.members()[1].status else { panic!("it must diverge") };
    let (loss, norm) = (&history.metrics.loss[1], &history.metrics.gradient_norm[1]);
    let at = step as usize;
    assert!(loss[..at].iter().chain(&norm[..at]).all(|x| x.is_finite()));
    assert!(!(loss[at].is_finite() && norm[at].is_finite()));
    assert!(loss[at + 1..].iter().all(|x| x.is_nan()));
    // Frozen where it was, whatever the segment.
    let config = TrainConfig { segment: 3, ..config };
    let shorter = common::trainer(1, None, &model, &examples, &config);
    let (again, _) = run(&shorter, &rates(&[1e30]));
    assert_eq!(again.members()[0].status, mixed.members()[1].status);
    assert!(member_bits(&again, 0) == member_bits(&mixed, 1));
}

#[test]
fn an_mlp_diverges_at_a_rate_of_ten_thousand() {
    let (examples, _) = digit_examples(DType::F32);
    let model = model("mlp hidden=16", &[8, 8, 1], 10);
    let config = TrainConfig {
        optimizer: "sgd".parse().unwrap(),
        schedule: "constant".parse().unwrap(),
        loss: Loss::MeanSquaredError,
        length: Length::Steps(40),
        ..TrainConfig::default()
    };
    let trainer = trainer(1, None, &model, &examples, &config);
    let (mixed, _) = run(&trainer, &[Member::new(0, 0.01), Member::new(0, 1e4)]);
    let (alone, _) = run(&trainer, &[Member::new(0, 0.01)]);
    assert!(matches!(mixed.members()[1].status, Status::Diverged { step } if step < 40));
    assert_eq!(mixed.members()[0].status, Status::Running);
    assert!(member_bits(&mixed, 0) == member_bits(&alone, 0));
}

#[test]
fn augmentation_and_dropout_are_keyed_by_member_and_step() {
    let (_, examples, config) = setting();
    let model = model("convnet dropout=0.2", &[8, 8, 1], 10);
    let config = TrainConfig {
        augmentation: Augmentation { shift: 1, flip: true, fill: vec![] },
        length: Length::Steps(10),
        segment: 4,
        ..config
    };
    let members = [Member::new(1, 0.02), Member::new(2, 0.02), Member::new(3, 0.02)];
    let (together, history) = run(&trainer(2, Some(2), &model, &examples, &config), &members);
    let config = TrainConfig { segment: 10, ..config };
    let (alone, seen) = run(&trainer(1, None, &model, &examples, &config), &members[2..]);
    assert_eq!(seen.metrics.loss[0], history.metrics.loss[2]);
    assert!(member_bits(&alone, 0) == member_bits(&together, 2));
    let plain = TrainConfig { augmentation: Augmentation::default(), ..config };
    let (other, _) = run(&trainer(1, None, &model, &examples, &plain), &members[2..]);
    assert_ne!(member_bits(&other, 0), member_bits(&alone, 0));
}

#[test]
fn evaluation_and_recalibration_do_not_depend_on_chunk_or_batch() {
    let (model, examples, config) = setting();
    let trainer = trainer(1, None, &model, &examples, &config);
    let (state, _) = run(&trainer, &Member::product(&[0, 1, 2], &[0.05]));
    let weights: Vec<_> = (0..3).map(|i| state.weights(i).unwrap()).collect();
    let executor = Arc::new(Executor::new(2));
    let evaluator = |batch| {
        let (model, examples) = (model.clone(), examples.clone());
        Evaluator::new(executor.clone(), model, Loss::default(), examples, batch).unwrap()
    };
    let all = Resources::default();
    let reference = evaluator(150).evaluate(&weights, &all).unwrap();
    let two = Resources { chunk: Some(2), memory: None };
    assert_eq!(evaluator(64).evaluate(&weights, &two).unwrap(), reference);
    assert_eq!(evaluator(64).evaluate(&weights[1..2], &all).unwrap()[0], reference[1]);
    assert_eq!(reference[0].losses.len(), 150);
    let calibrate = |resources: &Resources| {
        let (model, examples) = (model.clone(), examples.clone());
        let recalibrator = Recalibrator::new(executor.clone(), model, examples, 50).unwrap();
        recalibrator.recalibrate(&weights, resources).unwrap()
    };
    let together = calibrate(&all);
    assert_eq!(together, calibrate(&two));
    assert_eq!(together[1].parameters, weights[1].parameters);
    assert_ne!(together[1].buffers, weights[1].buffers);
    // The first layer's mean over equal batches is that of the whole.
    let first_mean = together[0].buffers.arrays()[0].to_f64_vec();
    let whole = Recalibrator::new(executor, model, examples, 150).unwrap();
    let whole = whole.recalibrate(&weights, &all).unwrap();
    for (a, b) in first_mean.iter().zip(whole[0].buffers.arrays()[0].to_f64_vec()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn a_memory_budget_sets_the_chunk_or_is_refused() {
    let (model, examples, config) = setting();
    let members = Member::product(&[0, 1, 2, 3, 4, 5, 6, 7], &[0.05]);
    let with = |memory| {
        let executor = Arc::new(Executor::new(1));
        let resources = Resources { memory, chunk: None };
        let (model, examples) = (model.clone(), examples.clone());
        Trainer::new(executor, model, examples, config.clone(), resources).unwrap()
    };
    let free = with(None).plan(8).unwrap();
    assert_eq!((free.size, free.count), (8, 1));
    let tight = with(Some(free.bytes - 1)).plan(8).unwrap();
    assert!(tight.size < 8 && tight.bytes < free.bytes, "{tight:?}");
    let refused = with(Some(1000)).plan(8).unwrap_err();
    assert!(matches!(refused, TrainError::Memory { budget: 1000, .. }), "{refused}");
    assert!(refused.to_string().starts_with("training needs "), "{refused}");
    let TrainError::Memory { needed, .. } = refused else { panic!("{refused}") };
    let single = Resources { memory: None, chunk: Some(1) };
    let alone = {
        let (model, examples) = (model.clone(), examples.clone());
        let executor = Arc::new(Executor::new(1));
        Trainer::new(executor, model, examples, config.clone(), single).unwrap()
    };
    let alone = alone.plan(8).unwrap().bytes;
    assert!(needed < alone, "{needed} with what is computed again, {alone} without");
    let least = with(Some(needed)).plan(8).unwrap();
    assert!(least.size == 1 && least.bytes <= needed, "{least:?}");
    let large: Vec<Member> = (0..1000).map(|seed| Member::new(seed, 0.05)).collect();
    let refused = with(Some(1 << 20)).start(&large).unwrap_err().to_string();
    assert!(refused.starts_with("training, of 1000 members, needs "), "{refused}");
    let (a, _) = run(&with(None), &members);
    for memory in [free.bytes - 1, needed] {
        let (b, _) = run(&with(Some(memory)), &members);
        assert!(a == b, "{memory}");
    }
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let (model, examples, config) = setting();
    let refuse = |config: TrainConfig, examples: &Examples| {
        let executor = Arc::new(Executor::new(1));
        let resources = Resources::default();
        match Trainer::new(executor, model.clone(), examples.clone(), config, resources) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(
        refuse(TrainConfig { batch: 151, ..config.clone() }, &examples),
        "the batch size is 151, expected 1 to the 150 examples there are"
    );
    assert_eq!(
        refuse(TrainConfig { segment: 0, ..config.clone() }, &examples),
        "segment: expected at least 1 step, got 0"
    );
    assert_eq!(
        refuse(TrainConfig { precision: DType::F64, ..config.clone() }, &examples),
        "examples: expected f64, got f32"
    );
    let labels = thalweg_array::Array::full(&[150], 10i32);
    let bad = Examples::from_arrays(
        examples.inputs().unwrap()[0].clone(),
        labels,
        true,
        examples.float(),
    )
    .unwrap();
    assert_eq!(
        refuse(config, &bad),
        "labels: row 0 is 10, expected a whole number from 0 to 9 (also rows 1, 2, 3, 4 and 145 others)"
    );
}
