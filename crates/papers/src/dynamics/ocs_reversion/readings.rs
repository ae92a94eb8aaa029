//! What the networks of an arm show on every set.

use super::sets::Data;
use super::{Arm, CLASSES, COST, RATE, sizes};
use crate::bench::{Bench, TrainedNetwork};
use crate::pictures::Pictures;
use crate::spectrum::objective_in_batches;
use crate::statistic::first_best;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::adversarial::{Attack, attack};
use thalweg_methods::common::{LayerProducts, without_products};
use thalweg_methods::dynamics::{Constant, constant_distance, mean_reward, optimal_constant};
use thalweg_train::{Length, Member, Optimizer, Schedule, TrainConfig};

/// Numbers of one set and one network: distance from the constant, how much farther permuted ones are,
/// the norm of the last hidden product, the mean reward, how much farther even numbers are, the share of
/// the last hidden layer's constant part.
pub(super) type Reading = [f64; NUMBERS];

const NUMBERS: usize = 6;

/// What the networks of an arm show: for each seed the readings of every set, the pictures as they are
/// first and the attacked ones last, and the distance of the bare biases; then the accuracy.
pub(super) fn readings(
    bench: &Bench<'_>,
    arm: Arm,
    data: &Data,
    seeds: &[u64],
) -> Result<Vec<f64>> {
    let sizes = sizes(bench.scale());
    let model = arm.model(&sizes)?;
    let examples = arm.examples(&data.train)?;
    let config = TrainConfig {
        optimizer: Optimizer::adam(),
        schedule: Schedule::default(),
        loss: arm.loss(),
        batch: sizes.batch,
        length: Length::Epochs(sizes.epochs),
        segment: 50,
        ..TrainConfig::default()
    };
    let constant = optimal_constant(arm.loss(), examples.targets(), arm.outputs())?;
    let orders = Stream::new(0, "papers/permuted constants");
    let permuted: Vec<Constant> =
        (0..sizes.constants).map(|i| constant.permuted(&orders.at(i))).collect();
    let even = constant.even();
    let trainer = bench.trainer(&model, &examples, config)?;
    let networks = bench.train(arm.name(), &trainer, &Member::product(seeds, &[RATE]))?;
    let ctx = bench.context();
    let products = LayerProducts::new(ctx, &model, sizes.attacked)?;
    let last_hidden = products.names().len().saturating_sub(2);
    let output = products.names().last().cloned().unwrap_or_default();
    let input = |pictures: &Pictures| -> Result<Array> {
        Ok(pictures.examples(false, DType::F32)?.input_rows(0..pictures.len())?.remove(0))
    };
    let some = data.test.within(0..sizes.attacked);
    let attacked = objective_in_batches(ctx, &model, arm.loss(), &arm.examples(&some)?, 128)?;
    let way = Attack { step: 0.05, steps: 10, ..Attack::fgsm(0.2) }.within(-1.0, 1.0);
    let of_network = |network: &TrainedNetwork| -> Result<Vec<f64>> {
        let weights = &network.weights;
        let read = |inputs: &Array, labels: &[i32]| -> Result<(Reading, Vec<Vec<f64>>)> {
            let found = products.at(weights, inputs)?;
            let distance = constant_distance(&found.outputs, &constant)?;
            let mut others = 0.0;
            for other in &permuted {
                others += constant_distance(&found.outputs, other)? / permuted.len() as f64;
            }
            let even = constant_distance(&found.outputs, &even)? - distance;
            let of_layer = |all: Vec<f64>| all.get(last_hidden).copied().unwrap_or(f64::NAN);
            let (norm, share) = (of_layer(found.mean_norms()), of_layer(found.constant_shares()));
            let reward = mean_reward(&found.outputs, labels, CLASSES, COST)?;
            Ok(([distance, others - distance, norm, reward, even, share], found.outputs))
        };
        let (own, outputs) = read(&input(&data.test)?, &data.test.labels)?;
        let mut numbers = own.to_vec();
        for cell in &data.cells {
            numbers.extend(read(&input(&cell.pictures)?, &cell.pictures.labels)?.0);
            ctx.check()?;
        }
        let moved = attack(ctx, &attacked, weights, &way)?.inputs;
        numbers.extend(read(&moved, &some.labels)?.0);
        let bare = without_products(weights, &[output.as_str()])?;
        let bare = products.at(&bare, &input(&some)?)?.outputs;
        numbers.push(constant_distance(&bare[..1], &constant)?);
        let answers = outputs.iter().zip(&data.test.labels);
        let right = answers.filter(|(z, label)| first_best(z) as i32 == **label);
        numbers.push(right.count() as f64 / outputs.len() as f64);
        Ok(numbers)
    };
    let all = bench.each(&format!("readings: {}", arm.name()), &networks, of_network)?;
    Ok(all.concat())
}

/// The readings of one network.
pub(super) struct Network {
    pub(super) own: Reading,
    pub(super) cells: Vec<Reading>,
    pub(super) attacked: Reading,
    pub(super) bare: f64,
    pub(super) accuracy: f64,
}

impl Network {
    pub(super) fn from_numbers(numbers: &[f64], cells: usize) -> Vec<Network> {
        let one = |row: &[f64]| {
            let ([own, cells @ .., attacked], [bare, accuracy]) = row.as_chunks() else {
                return None;
            };
            let ([own, attacked], [bare, accuracy]) = ([*own, *attacked], [*bare, *accuracy]);
            Some(Network { own, cells: cells.to_vec(), attacked, bare, accuracy })
        };
        numbers.chunks_exact(NUMBERS * (cells + 2) + 2).filter_map(one).collect()
    }
}
