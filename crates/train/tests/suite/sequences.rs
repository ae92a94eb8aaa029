//! Examples that are sequences of tokens.

use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Provenance, Split, SplitConfig};
use thalweg_exec::Executor;
use thalweg_nn::{Architecture, Loss, Model};
use thalweg_train::{Evaluation, Evaluator, Examples, Resources, initialize};

const CONTEXT: usize = 7;
const TOKENS: usize = 5;
const WINDOWS: usize = 1000;
/// Those that are not in the test part.
const TRAINED_ON: usize = 800;

fn examples(float: DType) -> Examples {
    let tokens: Vec<i32> =
        (0..WINDOWS * (CONTEXT + 1)).map(|i| (i * i % 1009 % TOKENS) as i32).collect();
    let windows = Array::from_slice(&[WINDOWS, CONTEXT + 1], &tokens).unwrap();
    let data = Dataset::sequences("squares", &windows, TOKENS, Provenance::default()).unwrap();
    let split = Split::new(Arc::new(data), &SplitConfig::default()).unwrap();
    Examples::new(&split.train, None, float).unwrap()
}

fn build(text: &str) -> Model {
    text.parse::<Architecture>().unwrap().build(&[CONTEXT], TOKENS).unwrap()
}

fn evaluate(model: &Model, batch: usize) -> Evaluation {
    let executor = Arc::new(Executor::new(2));
    let weights = initialize(model, 3, DType::F64).unwrap();
    let examples = examples(DType::F64);
    let evaluator = Evaluator::new(executor, model.clone(), Loss::default(), examples, batch);
    evaluator.unwrap().evaluate(&[weights], &Resources::default()).unwrap().remove(0)
}

/// Shares of sevenths round, so the order in which they are added up must not depend on the batch.
#[test]
fn accuracy_of_positions_has_the_same_bits_for_any_batch() {
    let model = build("gpt depth=1 width=8 heads=2");
    let whole = evaluate(&model, TRAINED_ON);
    let accuracy = whole.accuracy.unwrap();
    let positions = accuracy * (TRAINED_ON * CONTEXT) as f64;
    assert!((positions - positions.round()).abs() < 1e-9, "{accuracy}");
    assert!(accuracy > 0.0 && accuracy < 1.0, "{accuracy}");
    for batch in [1, 3, 16, 799] {
        assert_eq!(evaluate(&model, batch), whole, "batch {batch}");
    }
}

#[test]
fn models_of_numbers_and_labels_of_another_shape_are_refused() {
    let message = |model: Model, examples: Examples| {
        let executor = Arc::new(Executor::new(1));
        let made = Evaluator::new(executor, model, Loss::default(), examples, 4);
        made.err().unwrap().to_string()
    };
    let text = message(build("mlp"), examples(DType::F32));
    assert!(text.contains("f32[800, 7]") && text.contains("i32[800, 7]"), "{text}");
    let inputs = examples(DType::F32).inputs().unwrap()[0].clone();
    let labels = Array::zeros(DType::I32, &[TRAINED_ON]);
    let one_each = Examples::from_arrays(inputs, labels, true, DType::F32).unwrap();
    let text = message(build("gpt depth=1 width=8 heads=2"), one_each);
    assert!(text.contains("labels of an example") && text.contains("[7]"), "{text}");
}
