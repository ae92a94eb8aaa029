//! Networks of several inputs.

use crate::common::{digit_examples, first, member_bits, trainer};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::Augmentation;
use thalweg_exec::Executor;
use thalweg_graph::Tensor;
use thalweg_nn::layer::{Dense, Embedding};
use thalweg_nn::{Layer, Loss, Model, ModelPort, Network, PortType, Scope};
use thalweg_train::{
    Evaluator, Examples, History, Length, Member, Recalibrator, Resources, TrainConfig,
};

/// Two dense layers on all pixels, which come in one part or in several, and a row of a table for
/// a token if there is one.
struct InParts;

impl Network for InParts {
    fn trace<'b>(&self, scope: &Scope<'_, 'b>, inputs: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let builder = scope.builder();
        let flat = |x: &Tensor<'b>| {
            let batch = x.shape()[0];
            x.reshape(&[batch, x.shape()[1..].iter().product()])
        };
        let (tokens, pixels): (Vec<_>, Vec<_>) =
            inputs.iter().partition(|x| x.dtype() == DType::I32);
        let pixels = builder.concatenate(&pixels.iter().map(flat).collect::<Vec<_>>(), 1);
        let mut hidden = Dense::new(12).forward(&scope.enter("fc1"), pixels).tanh();
        if let [tokens] = tokens[..] {
            hidden = hidden + Embedding::new(10, 12).forward(&scope.enter("table"), tokens);
        }
        vec![Dense::new(10).forward(&scope.enter("fc2"), hidden)]
    }
}

fn network(ports: Vec<ModelPort>) -> Model {
    Model::new(Arc::new(InParts), ports, &["scores"]).unwrap()
}

fn columns(x: &Array, from: usize, to: usize) -> Array {
    let rows = x.as_slice::<f32>().unwrap().chunks(64);
    let part: Vec<f32> = rows.flat_map(|row| row[from..to].to_vec()).collect();
    Array::from_slice(&[x.shape()[0], to - from], &part).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig {
        optimizer: "sgd:momentum=0.9".parse().unwrap(),
        batch: 16,
        length: Length::Steps(20),
        segment: 7,
        ..TrainConfig::default()
    }
}

#[test]
fn parts_of_an_input_train_as_the_whole_does() {
    let whole = first(&digit_examples(DType::F32).0, 150);
    let (x, y) = (&whole.inputs().unwrap()[0], whole.targets());
    let parts = vec![columns(x, 0, 20), columns(x, 20, 64)];
    let parts = Examples::from_all_arrays(parts, y.clone(), true, DType::F32).unwrap();
    let one = network(vec![ModelPort::float("x", &x.shape()[1..])]);
    let two = network(vec![ModelPort::float("a", &[20]), ModelPort::float("b", &[44])]);
    let members = Member::product(&[0, 1], &[0.1, 0.02]);
    let run = |model: &Model, examples: &Examples| {
        let trainer = trainer(2, Some(3), model, examples, &config());
        let (mut state, mut history) = (trainer.start(&members).unwrap(), History::default());
        trainer.run(&mut state, &mut history).unwrap();
        (state, history)
    };
    let (expected, history) = run(&one, &whole);
    let (found, seen) = run(&two, &parts);
    assert_eq!(seen.metrics, history.metrics);
    for i in 0..members.len() {
        assert_eq!(member_bits(&found, i), member_bits(&expected, i));
    }
    let evaluate = |model: &Model, examples: &Examples| {
        let executor = Arc::new(Executor::new(1));
        let loss = Loss::default();
        let evaluator = Evaluator::new(executor, model.clone(), loss, examples.clone(), 64);
        evaluator.unwrap().evaluate(&[expected.weights(3).unwrap()], &Resources::default()).unwrap()
    };
    assert_eq!(evaluate(&two, &parts), evaluate(&one, &whole));
    // Nothing to compute again, from inputs that all go in.
    let executor = Arc::new(Executor::new(1));
    let weights = [expected.weights(0).unwrap()];
    let recalibrator = Recalibrator::new(executor, two, parts, 50).unwrap();
    assert_eq!(recalibrator.recalibrate(&weights, &Resources::default()).unwrap(), weights);
}

#[test]
fn the_first_input_is_augmented_and_tokens_go_beside_it() {
    let examples = first(&digit_examples(DType::F32).0, 150);
    let (x, y) = (&examples.inputs().unwrap()[0], examples.targets());
    let port = |name: &str| ModelPort { name: name.into(), shape: Vec::new(), ty: PortType::Index };
    let model = network(vec![ModelPort::float("x", &x.shape()[1..]), port("token")]);
    let augmentation = Augmentation { shift: 1, ..Augmentation::default() };
    let with = |tokens: Array| {
        let inputs = vec![x.clone(), tokens];
        let examples = Examples::from_all_arrays(inputs, y.clone(), true, DType::F32).unwrap();
        let mut losses = Vec::new();
        for augmentation in [Augmentation::default(), augmentation.clone()] {
            let config = TrainConfig { augmentation, ..config() };
            let trainer = trainer(2, None, &model, &examples, &config);
            let mut state = trainer.start(&[Member::new(0, 0.2)]).unwrap();
            let mut history = History::default();
            trainer.run(&mut state, &mut history).unwrap();
            losses.push(history.metrics.loss[0].clone());
        }
        assert_ne!(losses[0], losses[1]);
        losses
    };
    // Tokens that tell the labels are learnt from; ones that are all alike say nothing.
    let (telling, silent) = (with(y.clone()), with(Array::full(&[150], 0i32)));
    for (telling, silent) in telling.iter().zip(silent) {
        assert!(telling[19] < 0.8 * silent[19], "{} {}", telling[19], silent[19]);
    }
}

#[test]
fn every_input_is_held_against_the_model() {
    let y = Array::full(&[6], 1i32);
    let a = Array::full(&[6, 20], 0.5f32);
    let losses_of = |inputs: Vec<Array>| {
        let examples = Examples::from_all_arrays(inputs, y.clone(), true, DType::F32)?;
        let two = network(vec![ModelPort::float("a", &[20]), ModelPort::float("b", &[44])]);
        let executor = Arc::new(Executor::new(1));
        let of = Evaluator::new(executor, two.clone(), Loss::default(), examples, 6)?;
        let weights = thalweg_train::initialize(&two, 0, DType::F32)?;
        Ok::<_, thalweg_train::TrainError>(
            of.evaluate(&[weights], &Resources::default())?.remove(0),
        )
    };
    assert_eq!(
        losses_of(vec![a.clone()]).unwrap_err().to_string(),
        "examples: expected f32[6, 20], f32[6, 44], got f32[6, 20]"
    );
    assert_eq!(
        losses_of(vec![a.clone(), Array::full(&[5, 44], 0.5f32)]).unwrap_err().to_string(),
        "examples: expected f32 or i32 inputs [n, ..] with labels i32 [n] or [n, positions] or \
         values f32 [n, k], got f32[6, 20], f32[5, 44] with i32[6]"
    );
    // Six examples that are alike have one loss.
    let losses = losses_of(vec![a, Array::full(&[6, 44], 0.5f32)]).unwrap().losses;
    assert!(losses.iter().all(|loss| *loss == losses[0] && *loss > 0.0), "{losses:?}");
}
