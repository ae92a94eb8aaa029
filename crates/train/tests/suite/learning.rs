//! Small real runs.

use crate::common::{digit_examples, model, trainer};
use std::sync::Arc;
use thalweg_exec::Executor;
use thalweg_nn::Loss;
use thalweg_train::{Evaluation, Evaluator, Length, Member, Resources, TrainConfig, Unobserved};

fn train(architecture: &str, config: &TrainConfig, members: &[Member]) -> Vec<Evaluation> {
    let (train, test) = digit_examples(config.precision);
    let model = model(architecture, &[8, 8, 1], 10);
    let trainer = trainer(2, None, &model, &train, config);
    let mut state = trainer.start(members).unwrap();
    trainer.run(&mut state, &mut Unobserved).unwrap();
    let executor = Arc::new(Executor::new(2));
    let evaluator = Evaluator::new(executor, model, Loss::default(), test, 128).unwrap();
    let weights: Vec<_> = (0..members.len()).map(|i| state.weights(i).unwrap()).collect();
    evaluator.evaluate(&weights, &Resources::default()).unwrap()
}

// Bands are those of eight seeds of the same settings in PyTorch 2.15 (its own initial weights and
// orders, another test part of the same size), widened by one and a half per cent on both sides.

#[test]
fn a_small_residual_network_reads_digits() {
    let config = TrainConfig { length: Length::Epochs(6), ..TrainConfig::default() };
    let members = Member::product(&[0, 1, 2, 3], &[0.1]);
    for test in train("resnet depth=8 width=4", &config, &members) {
        let accuracy = test.accuracy.unwrap();
        assert!((0.946..=0.998).contains(&accuracy), "{accuracy}");
        assert!((0.02..0.2).contains(&test.loss), "{}", test.loss);
    }
}

#[test]
fn every_optimizer_learns_digits() {
    for (optimizer, lr, low, high) in [
        ("sgd", 0.3, 0.921, 0.971),
        ("nesterov", 0.05, 0.932, 0.979),
        ("adam", 3e-3, 0.893, 0.943),
        ("adamw", 3e-3, 0.893, 0.943),
        ("sam", 0.05, 0.932, 0.979),
    ] {
        let config = TrainConfig {
            optimizer: optimizer.parse().unwrap(),
            length: Length::Epochs(6),
            ..TrainConfig::default()
        };
        let members = Member::product(&[0, 1, 2, 3], &[lr]);
        for test in train("mlp hidden=32", &config, &members) {
            let accuracy = test.accuracy.unwrap();
            assert!((low..=high).contains(&accuracy), "{optimizer}: {accuracy}");
        }
    }
}
