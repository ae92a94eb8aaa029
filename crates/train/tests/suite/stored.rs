//! Training on inputs that are read by the step has the bits of training on inputs in memory.

use crate::common::{member_bits, model, trainer};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use thalweg_array::{Array, DType};
use thalweg_data::{
    Augmentation, DataError, Dataset, InputSource, Inputs, Normalization, Provenance, Split,
    SplitConfig, Subset, Targets, digits,
};
use thalweg_exec::Executor;
use thalweg_nn::{Loss, Model};
use thalweg_train::{
    Evaluator, Examples, Length, Member, Observer, Recalibrator, Resources, Segment, TrainConfig,
};

/// Gives rows of an array as a file would, and notes how many at most.
#[derive(Debug)]
struct Held {
    array: Array,
    most: AtomicUsize,
}

impl InputSource for Held {
    fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    fn dtype(&self) -> DType {
        self.array.dtype()
    }

    fn rows(&self, rows: &[usize]) -> Result<Array, DataError> {
        self.most.fetch_max(rows.len(), Ordering::Relaxed);
        Inputs::from(&self.array).gather(rows)
    }
}

/// A data set twice, in memory and stored.
fn both(inputs: &Array, labels: &Array) -> ([Arc<Dataset>; 2], Arc<Held>) {
    let held = Arc::new(Held { array: inputs.clone(), most: AtomicUsize::new(0) });
    let stored: Arc<dyn InputSource> = held.clone();
    let data = [Inputs::from(inputs), stored.into()].map(|inputs| {
        let terms = Provenance::default();
        Arc::new(Dataset::classification("held", inputs, labels, None, terms).unwrap())
    });
    held.most.store(0, Ordering::Relaxed);
    (data, held)
}

/// The ends of a run's segments.
#[derive(Default)]
struct Ends(Vec<u64>);

impl Observer for Ends {
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        self.0.push(segment.end);
        ControlFlow::Continue(())
    }
}

/// Each array of each of two members, and the ends of the segments.
fn trained(
    model: &Model,
    examples: &Examples,
    config: &TrainConfig,
) -> (Vec<Vec<(String, Array)>>, Vec<u64>) {
    let trainer = trainer(2, None, model, examples, config);
    let mut state = trainer.start(&[Member::new(0, 0.1), Member::new(1, 0.02)]).unwrap();
    let mut ends = Ends::default();
    trainer.run(&mut state, &mut ends).unwrap();
    ((0..2).map(|member| member_bits(&state, member)).collect(), ends.0)
}

#[test]
fn training_reads_no_more_than_a_batch_and_keeps_its_bits() {
    let digits = digits();
    let Targets::Classes { labels, .. } = digits.targets() else { panic!("classes") };
    let (data, held) = both(digits.inputs().in_memory().unwrap(), labels);
    let model = model("convnet channels=4-4 norm=batch", &[8, 8, 1], 10);
    let splits = data.map(|data| Split::new(data, &SplitConfig::default()).unwrap());
    let normalization = Normalization::fit(&splits[0].train).unwrap();
    let shifted = Augmentation { shift: 1, ..Augmentation::default() };
    for (augmentation, precision) in [
        (Augmentation::default(), DType::F32),
        (shifted, DType::F32),
        (Augmentation::default(), DType::F64),
    ] {
        let [memory, stored] = splits
            .each_ref()
            .map(|split| Examples::new(&split.train, Some(&normalization), precision).unwrap());
        assert!(stored.inputs().is_none() && memory.inputs().is_some());
        assert_eq!(stored.input_rows(3..5).unwrap(), memory.input_rows(3..5).unwrap());
        held.most.store(0, Ordering::Relaxed);
        let config = TrainConfig {
            batch: 64,
            length: Length::Steps(40),
            precision,
            augmentation,
            ..TrainConfig::default()
        };
        assert_eq!(trained(&model, &stored, &config), trained(&model, &memory, &config));
        assert_eq!(held.most.load(Ordering::Relaxed), 64);
        let executor = || Arc::new(Executor::new(2));
        let weights = thalweg_train::initialize(&model, 5, precision).unwrap();
        let evaluate = |examples: Examples| {
            let of = Evaluator::new(executor(), model.clone(), Loss::default(), examples, 64);
            of.unwrap().evaluate(std::slice::from_ref(&weights), &Resources::default()).unwrap()
        };
        assert_eq!(evaluate(stored.clone()), evaluate(memory.clone()));
        let recalibrate = |examples: Examples| {
            let of = Recalibrator::new(executor(), model.clone(), examples, 64).unwrap();
            of.recalibrate(std::slice::from_ref(&weights), &Resources::default()).unwrap()
        };
        assert_eq!(recalibrate(stored), recalibrate(memory));
        assert_eq!(held.most.load(Ordering::Relaxed), 64);
    }
}

#[test]
fn large_examples_shorten_segments() {
    const LENGTH: usize = 1 << 20;
    let values: Vec<f32> = (0..8 * LENGTH).map(|i| ((i * 7 + i / 13) % 11) as f32 / 1e4).collect();
    let inputs = Array::from_slice(&[8, LENGTH], &values).unwrap();
    let ([memory, stored], _) = both(&inputs, &Array::vector(&[0i32, 1, 1, 0, 1, 0, 0, 1]));
    let model = model("linear", &[LENGTH], 2);
    let config = TrainConfig { batch: 4, length: Length::Steps(6), ..TrainConfig::default() };
    let run = |data| {
        let examples = Examples::new(&Subset::all(data), None, DType::F32).unwrap();
        trained(&model, &examples, &config)
    };
    let ((memory, whole), (stored, short)) = (run(memory), run(stored));
    // 4 steps of 4 examples of 4 MiB are 64 MiB.
    assert_eq!((whole, short), (vec![6], vec![4, 6]));
    assert_eq!(memory, stored);
}
