//! What the tests share.

use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Normalization, Split, SplitConfig, digits};
use thalweg_exec::Executor;
use thalweg_nn::{Architecture, Model};
use thalweg_train::{Examples, Resources, TrainConfig, TrainState, Trainer};

/// An architecture for examples of a shape.
pub fn model(text: &str, input: &[usize], outputs: usize) -> Model {
    text.parse::<Architecture>().unwrap().build(input, outputs).unwrap()
}

/// Training and test examples of the embedded digits.
pub fn digit_examples(float: DType) -> (Examples, Examples) {
    let split = Split::new(digits(), &SplitConfig::default()).unwrap();
    let normalization = Normalization::fit(&split.train).unwrap();
    let of = |subset| Examples::new(subset, Some(&normalization), float).unwrap();
    (of(&split.train), of(&split.test))
}

/// The first examples of some.
pub fn first(examples: &Examples, n: usize) -> Examples {
    let rows = |array: &Array| array.rows(0..n).unwrap();
    let (inputs, targets) = (rows(&examples.inputs().unwrap()[0]), rows(examples.targets()));
    Examples::from_arrays(inputs, targets, examples.classes(), examples.float()).unwrap()
}

/// A trainer on a number of threads with at most so many members at once.
pub fn trainer(
    threads: usize,
    chunk: Option<usize>,
    model: &Model,
    examples: &Examples,
    config: &TrainConfig,
) -> Trainer {
    let executor = Arc::new(Executor::new(threads));
    let resources = Resources { chunk, memory: None };
    Trainer::new(executor, model.clone(), examples.clone(), config.clone(), resources).unwrap()
}

/// All arrays of one member.
pub fn member_bits(state: &TrainState, member: usize) -> Vec<(String, Array)> {
    let named = state.to_named_arrays().unwrap().into_iter();
    let of = |(name, array): (String, Array)| {
        let row = if array.rank() == 0 { array } else { array.row(member).unwrap() };
        (name, row)
    };
    named.map(of).collect()
}
