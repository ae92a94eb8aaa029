//! What is read from the networks.

use super::{Arm, BANDS, EDGES, KINDS, RATE, SPECTRUM, augmentation, config, sizes};
use crate::bench::Bench;
use crate::pictures::Pictures;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_methods::common::{BlockKind, ModelObjective, ObjectiveConfig};
use thalweg_methods::curvature::hessian_max_spectrum;
use thalweg_methods::dynamics::{
    FrequencyNoiseConfig, block_amplitudes, feature_variance_by_depth, frequency_noise_robustness,
    lesions,
};
use thalweg_methods::{Context, Silent};
use thalweg_nn::{Loss, Model, Weights};
use thalweg_train::Member;

/// A residual block of a network.
pub(super) struct Block {
    pub(super) kind: BlockKind,
    /// Whether its maps change their extents.
    pub(super) resizes: bool,
    /// How much its highest frequency's relative log amplitude rises.
    pub(super) rise: f64,
    /// How much the variance of its maps rises.
    pub(super) variance: f64,
    /// Accuracy that is lost without it.
    pub(super) lesion: f64,
}

/// What is read from a network.
pub(super) struct Network {
    pub(super) accuracy: f64,
    /// Of eigenvalues below zero.
    pub(super) share: f64,
    /// Their mean, if there are any.
    pub(super) negative: f64,
    /// The logarithm of the mean magnitude of all.
    pub(super) magnitude: f64,
    /// Accuracy that is lost with noise of each band.
    pub(super) noise: [f64; BANDS],
    pub(super) blocks: Vec<Block>,
}

impl Network {
    fn from_numbers(numbers: &[f64]) -> Result<Network> {
        let [accuracy, share, negative, magnitude, n0, n1, n2, n3, blocks @ ..] = numbers else {
            let text =
                format!("stored readings: expected at least 8 numbers, got {}", numbers.len());
            return Err(LabError::Input(text));
        };
        let block = |of: &[f64]| Block {
            kind: KINDS.get(of[0] as usize).copied().unwrap_or(BlockKind::Dense),
            resizes: of[1] != 0.0,
            rise: of[2],
            variance: of[3],
            lesion: of[4],
        };
        Ok(Network {
            accuracy: *accuracy,
            share: *share,
            negative: *negative,
            magnitude: *magnitude,
            noise: [*n0, *n1, *n2, *n3],
            blocks: blocks.chunks_exact(5).map(block).collect(),
        })
    }

    /// The mean over some of its blocks.
    pub(super) fn mean(
        &self,
        some: impl Fn(&Block) -> bool,
        number: impl Fn(&Block) -> f64,
    ) -> f64 {
        let found: Vec<f64> = self.blocks.iter().filter(|of| some(of)).map(number).collect();
        found.iter().sum::<f64>() / found.len() as f64
    }

    /// How much more the highest frequency rises across blocks of a kind than across attention.
    pub(super) fn difference(&self, kind: BlockKind, resizing: bool) -> f64 {
        let rise = |of: &Block| of.rise;
        let others = self.mean(|of| of.kind == kind && (resizing || !of.resizes), rise);
        others - self.mean(|of| of.kind == BlockKind::Attention, rise)
    }
}

fn objective(
    ctx: &Context<'_>,
    model: &Model,
    inputs: Array,
    labels: &[i32],
    batch: usize,
) -> Result<ModelObjective> {
    let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
    let (inputs, targets, loss) = (vec![inputs], Array::vector(labels), Loss::default());
    Ok(ModelObjective::from_arrays(ctx, model, loss, inputs, targets, true, &config)?)
}

fn input(pictures: &Pictures) -> Result<Array> {
    Ok(pictures.examples(false, DType::F32)?.input_rows(0..pictures.len())?.remove(0))
}

/// The numbers of a network, in the order in which [`Network::from_numbers`] takes them.
fn readings(
    bench: &Bench<'_>,
    model: &Model,
    weights: &Weights,
    [train, test]: [&Pictures; 2],
    seed: u64,
) -> Result<Vec<f64>> {
    const AT_ONCE: usize = 250;
    let sizes = sizes(bench.scale());
    let ctx = bench.context().clone().with_units(&Silent);
    let (examples, one) = (test.examples(false, DType::F32)?, std::slice::from_ref(weights));
    let evaluated = bench.evaluations(model, Loss::default(), &examples, one)?;
    let accuracy = evaluated.first().and_then(|of| of.accuracy).unwrap_or(f64::NAN);

    let order = Stream::new(seed, "papers/curvature batches").permutation(train.len());
    let rows = &order[..(sizes.batches * sizes.batch).min(order.len())];
    let chosen = train.at(rows);
    let places: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let draws = Stream::new(seed, "papers/curvature augmentation");
    let shifted = augmentation(&sizes).apply(&input(&chosen)?, &places, &draws, 0)?;
    let batches = objective(&ctx, model, shifted, &chosen.labels, sizes.batch)?;
    let spectrum = hessian_max_spectrum(&ctx, &batches, weights, &SPECTRUM)?;

    let some = test.at(&(0..sizes.looked).collect::<Vec<_>>());
    let (inputs, labels) = (input(&some)?, Array::vector(&some.labels));
    let noise = FrequencyNoiseConfig { batch: AT_ONCE, ..FrequencyNoiseConfig::default() };
    let noise =
        frequency_noise_robustness(&ctx, model, weights, [&inputs, &labels], &EDGES, &noise)?;
    let few = objective(&ctx, model, inputs, &some.labels, AT_ONCE)?;
    let variances = feature_variance_by_depth(&ctx, &few, weights)?;
    let without = lesions(&ctx, &few, weights)?;
    let exact = bench.exact()?.with_units(&Silent);
    let all = objective(&exact, model, input(test)?, &test.labels, AT_ONCE)?;
    let amplitudes = block_amplitudes(&exact, &all, weights)?;

    let mut numbers = vec![
        accuracy,
        spectrum.negative_share(),
        spectrum.negative_mean(),
        spectrum.mean_magnitude().ln(),
    ];
    numbers.extend(noise.bands.iter().map(|band| band.drop));
    for ((of, variance), lesion) in amplitudes.iter().zip(&variances).zip(&without.blocks) {
        let kind = KINDS.iter().position(|kind| *kind == of.kind).unwrap_or(KINDS.len());
        let resizes = f64::from(u8::from(of.before.len() != of.after.len()));
        let variance = variance.after - variance.before;
        numbers.extend([kind as f64, resizes, of.change(), variance, lesion.drop]);
    }
    Ok(numbers)
}

/// Trains the networks of an arm, one a seed, and reads them.
pub(super) fn networks(
    bench: &Bench<'_>,
    arm: Arm,
    [train, test]: [&Pictures; 2],
    seeds: &[u64],
) -> Result<Vec<Network>> {
    let sizes = sizes(bench.scale());
    let model = arm.model(&sizes)?;
    let trainer = bench.trainer(&model, &train.examples(false, DType::F32)?, config(&sizes))?;
    let members: Vec<Member> = seeds.iter().map(|&seed| Member::new(seed, RATE)).collect();
    let trained = bench.train(arm.name(), &trainer, &members)?;
    let each = trained.iter().zip(seeds).map(|(network, &seed)| {
        let numbers = bench.numbers(&format!("readings/{}/{seed}", arm.name()), || {
            readings(bench, &model, &network.weights, [train, test], seed)
        })?;
        Network::from_numbers(&numbers)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_come_back_as_they_were_stored() {
        let block = |kind: f64, resizes: f64, rise: f64| [kind, resizes, rise, 0.5, 0.125];
        let mut numbers = vec![0.75, 0.25, -2.0, 1.5, 0.1, 0.2, 0.3, 0.4];
        numbers
            .extend([block(1.0, 0.0, 0.5), block(1.0, 1.0, 1.5), block(0.0, 0.0, -1.0)].concat());
        let network = Network::from_numbers(&numbers).unwrap();
        assert_eq!((network.accuracy, network.share, network.noise[3]), (0.75, 0.25, 0.4));
        assert_eq!(network.blocks.len(), 3);
        assert_eq!(network.difference(BlockKind::Convolution, true), 1.0 + 1.0);
        assert_eq!(network.difference(BlockKind::Convolution, false), 0.5 + 1.0);
        assert_eq!(network.mean(|_| true, |block| block.lesion), 0.125);
        assert!(Network::from_numbers(&numbers[..7]).is_err());
    }
}
