//! The task beside it: bytes of English in one pass, as in pretraining.

use super::runs::{Sizes, Start, Task};
use crate::check::Scale;
use crate::cloze::{CHOICES, Cloze};
use crate::texts::{made_up, shakespeare, windows};
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::dynamics::MoeTransformer;
use thalweg_train::{Examples, Optimizer, Schedule, Shape};

/// The task at a scale.
pub(super) struct Text {
    scale: Scale,
    pub sizes: Sizes,
    pub seeds: usize,
    warm_up: u64,
}

impl Text {
    pub fn at(scale: Scale) -> Text {
        let network = |context, depth, width, experts, hidden| MoeTransformer {
            context,
            vocabulary: 256,
            outputs: 256,
            depth,
            width,
            heads: 4,
            experts,
            chosen: 2,
            hidden,
            balance: 0.01,
            last: false,
        };
        let sizes = |network, batch, steps, every, watched, pairs, tolerance, least| Sizes {
            network,
            batch,
            steps,
            every,
            watched,
            pairs,
            start: Start::Memorised(0.5),
            tolerances: [tolerance, 0.1],
            least,
        };
        match scale {
            Scale::Whole => Text {
                scale,
                sizes: sizes(
                    network(64, 4, 48, 8, 96),
                    16,
                    960,
                    32,
                    [192, 128, 48 * CHOICES],
                    2000,
                    0.2,
                    5,
                ),
                seeds: 3,
                warm_up: 50,
            },
            Scale::Sample => Text {
                scale,
                sizes: sizes(network(12, 2, 8, 4, 8), 4, 60, 6, [12, 8, 4 * CHOICES], 50, 0.5, 1),
                seeds: 2,
                warm_up: 4,
            },
        }
    }

    /// With its data.
    ///
    /// # Errors
    /// A text that is not there.
    pub fn task(&self) -> Result<Task> {
        let text = match self.scale {
            Scale::Whole => shakespeare()?,
            Scale::Sample => made_up(4000),
        };
        let (sizes, context) = (&self.sizes, self.sizes.network.context);
        let (train, held_out) = text.split_at(text.len() / 10 * 9);
        let [n_train, n_held_out, n_cloze] = sizes.watched;
        let stream = Stream::new(0, "papers/cloze");
        let cloze = Cloze::new(held_out, context, n_cloze / CHOICES, &stream)?;
        let train = windows(train, context, DType::F32)?;
        Ok(Task {
            key: "text",
            sizes: sizes.clone(),
            optimizer: Optimizer::adamw(),
            schedule: Schedule {
                shape: Shape::Constant,
                warm_up: self.warm_up as f64 / sizes.steps as f64,
            },
            rate: 3e-3,
            watched: from_all_over(&train, n_train)?,
            held_out: from_all_over(&windows(held_out, context, DType::F32)?, n_held_out)?,
            train,
            cloze: Some(cloze),
        })
    }
}

/// As many examples, evenly spaced.
fn from_all_over(examples: &Examples, count: usize) -> Result<Examples> {
    let n = examples.len();
    let inputs = examples.input_rows(0..n)?;
    let take = |array: &Array| -> Result<Array> {
        let rows: Vec<Array> =
            (0..count).map(|i| array.row(i * n / count)).collect::<std::result::Result<_, _>>()?;
        Ok(Array::stack(&rows)?)
    };
    let inputs: Vec<Array> = inputs.iter().map(take).collect::<Result<_>>()?;
    let targets = take(examples.targets())?;
    Ok(Examples::from_all_arrays(inputs, targets, true, DType::F32)?)
}
