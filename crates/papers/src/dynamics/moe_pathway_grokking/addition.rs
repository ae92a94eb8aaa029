//! The task that decides: addition modulo a prime, on which a network is right about its training pairs
//! long before it is about others.

use super::runs::{Sizes, Start, Task};
use crate::check::Scale;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::dynamics::MoeTransformer;
use thalweg_train::{Base, Examples, Optimizer, Schedule};

/// The task at a scale.
pub(super) struct Addition {
    pub modulus: usize,
    pub sizes: Sizes,
    pub seeds: u64,
    /// Seeds with a frozen router.
    pub frozen: usize,
    /// Steps by which memorisation is to come first, and how many seeds may fail to.
    pub delay: f64,
    pub may_fail: usize,
}

impl Addition {
    pub fn at(scale: Scale) -> Addition {
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
        let sizes = |modulus: usize, network, steps, every, pairs, least| {
            let trained = modulus * modulus / 2;
            Sizes {
                network,
                batch: trained,
                steps,
                every,
                watched: [trained, modulus * modulus - trained, 0],
                pairs,
                start: Start::Accuracy(0.99),
                tolerances: [0.5, 0.0],
                least,
            }
        };
        match scale {
            Scale::Whole => Addition {
                modulus: 41,
                sizes: sizes(41, network(41, 32, 64), 5000, 84, 2000, 5),
                seeds: 6,
                frozen: 2,
                delay: 300.0,
                may_fail: 1,
            },
            Scale::Sample => Addition {
                modulus: 5,
                sizes: sizes(5, network(5, 8, 8), 200, 20, 50, 1),
                seeds: 2,
                frozen: 1,
                delay: 0.0,
                may_fail: 2,
            },
        }
    }

    /// With its data, which are the same for every seed.
    ///
    /// # Errors
    /// None that a user could cause.
    pub fn task(&self) -> Result<Task> {
        let [train, held_out] = data(self.modulus)?;
        let base = Base::Adam { beta1: 0.9, beta2: 0.98, eps: 1e-8, decoupled: true };
        Ok(Task {
            key: "addition",
            sizes: self.sizes.clone(),
            optimizer: Optimizer { base, ..Optimizer::adamw().with_weight_decay(1.0) },
            schedule: Schedule::default(),
            rate: 1e-3,
            watched: train.clone(),
            train,
            held_out,
            cloze: None,
        })
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
