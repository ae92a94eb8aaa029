//! How much of a feature map is of high frequency.

use crate::common::{BlockKind, Objective, block_readings, square_maps};
use crate::{Context, MethodError};
use std::f64::consts::TAU;
use thalweg_array::Array;
use thalweg_graph::{Builder, Tensor, TensorType};
use thalweg_nn::Weights;

/// Added to every amplitude.
const FLOOR: f64 = 1e-6;

/// The relative log amplitudes before and after a residual block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockAmplitudes {
    /// What the block adds is made of.
    pub kind: BlockKind,
    /// Where the block begins and where it ends, as shares of all residual blocks: what the amplitudes are
    /// plotted over.
    pub depth: [f64; 2],
    /// Of what goes in, by frequency.
    pub before: Vec<f64>,
    /// Of what comes out.
    pub after: Vec<f64>,
}

impl BlockAmplitudes {
    /// How much larger the highest frequency's relative log amplitude is behind the block.
    pub fn change(&self) -> f64 {
        let last = |of: &[f64]| of.last().copied().unwrap_or(f64::NAN);
        last(&self.after) - last(&self.before)
    }
}

/// Log amplitudes of feature maps along the diagonal of their Fourier transform, less that of
/// frequency zero.
///
/// `A_k = mean over examples and channels of log(|F_kk| + 1e-6)`, `F_kk = sum over y, x of
/// X_yx exp(-2 pi i k (y + x) / side)`; given is `A_k - A_0` for `k` from 0 to below `side / 2`. The
/// diagonal is one product with a matrix `[side^2, frequencies]` for cosines and one for sines.
///
/// # Shapes    `[examples, side, side, channels]`, or tokens `[examples, tokens, channels]`, of which a
/// first one that is none of a square's is left out -> `ceil(side / 2)` numbers
/// # Errors    maps that are no squares, none at all, or an element that is not finite
/// # Source    Park, Kim, How do vision transformers work?, 2022, arXiv 2202.06709, figure 2, and the
/// code of its authors, in which the frequency `side / 2` of an even side is left out as here
pub fn relative_log_amplitude(ctx: &Context<'_>, maps: &Array) -> Result<Vec<f64>, MethodError> {
    let maps = maps.convert(ctx.precision());
    let n = maps.shape().first().copied().unwrap_or(0);
    if n == 0 || maps.is_empty() {
        return Err(MethodError::mismatch("maps", "at least one", "none"));
    }
    let builder = Builder::new(ctx.precision());
    let x = builder.input("maps", TensorType::new(ctx.precision(), maps.shape()));
    let sums = log_amplitudes(square_maps(x)?);
    let program = ctx.executor().compile(&builder.finish(&[("sums", sums)])?)?;
    let found = program.run(vec![maps])?;
    let sums = found.first().map(Array::to_f64_vec).unwrap_or_default();
    match sums.iter().find(|sum| !sum.is_finite()) {
        None => Ok(relative(sums.iter().map(|sum| sum / n as f64).collect())),
        Some(value) => {
            let what = "a log amplitude".to_owned();
            Err(MethodError::NotFinite { what, value: value.to_string() })
        }
    }
}

/// The [`relative_log_amplitude`] of what goes into each residual block of a network and of what comes
/// out of it, by depth: one forward pass over the data.
///
/// # Errors
/// A network without residual blocks, or with maps that are no squares; weights of another model; a
/// number that is not finite; those of the engine.
pub fn block_amplitudes(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Vec<BlockAmplitudes>, MethodError> {
    let readings = block_readings(ctx, objective, point, log_amplitudes)?;
    let share = 1.0 / readings.len().max(1) as f64;
    let each = readings.into_iter().enumerate().map(|(block, of)| BlockAmplitudes {
        kind: of.kind,
        depth: [block, block + 1].map(|place| place as f64 * share),
        before: relative(of.before),
        after: relative(of.after),
    });
    Ok(each.collect())
}

fn relative(mut amplitudes: Vec<f64>) -> Vec<f64> {
    let first = amplitudes.first().copied().unwrap_or(0.0);
    amplitudes.iter_mut().for_each(|a| *a -= first);
    amplitudes
}

/// `[examples, side, side, channels]` to the sum over the examples of the mean over the channels of
/// every frequency's log amplitude.
fn log_amplitudes(maps: Tensor<'_>) -> Tensor<'_> {
    let [examples, side, _, channels] = maps.shape()[..] else { return maps };
    let (places, frequencies) = (side * side, side.div_ceil(2));
    let wave = |part: fn(f64) -> f64| {
        let at = |i: usize| {
            let (place, frequency) = (i / frequencies, i % frequencies);
            // Whole turns left out before they cost digits.
            let turns = (place / side + place % side) * frequency % side;
            part(TAU * turns as f64 / side as f64)
        };
        let values: Vec<f64> = (0..places * frequencies).map(at).collect();
        let values = Array::vector(&values).convert(maps.dtype());
        maps.builder().constant(values).reshape(&[places, frequencies])
    };
    let rows = maps.reshape(&[examples, places, channels]).transpose(&[0, 2, 1]);
    let [even, odd] = [f64::cos as fn(f64) -> f64, f64::sin].map(|part| rows.matmul(wave(part)));
    let amplitudes = (even.square() + odd.square()).sqrt();
    (amplitudes + FLOOR).log().mean(&[1]).sum(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::{Architecture, Loss};

    fn noise(n: usize, side: usize) -> Vec<f64> {
        let stream = Stream::new(5, "white noise");
        (0..n * side * side).map(|i| stream.normal(i as u64)).collect()
    }

    fn amplitudes(side: usize, values: &[f64]) -> Vec<f64> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let n = values.len() / (side * side);
        let maps = Array::from_slice(&[n, side, side, 1], values).unwrap();
        relative_log_amplitude(&ctx, &maps).unwrap()
    }

    /// Circular convolution of each picture with a 3x3 kernel.
    fn filtered(values: &[f64], side: usize, kernel: [[f64; 3]; 3]) -> Vec<f64> {
        let of = |picture: &[f64]| -> Vec<f64> {
            let at = |y: usize, x: usize| picture[y % side * side + x % side];
            (0..side * side)
                .map(|place| {
                    let (y, x) = (place / side + side - 1, place % side + side - 1);
                    let taps = (0..9).map(|t| kernel[t / 3][t % 3] * at(y + t / 3, x + t % 3));
                    taps.sum()
                })
                .collect()
        };
        values.chunks(side * side).flat_map(of).collect()
    }

    #[test]
    fn it_is_the_diagonal_of_the_transform() {
        for side in [1, 2, 4, 7, 14] {
            let values = noise(3, side);
            let found = amplitudes(side, &values);
            assert_eq!(found.len(), side.div_ceil(2));
            // All frequencies by the sum, moved so that zero is in the middle, then the diagonal.
            let mut plane = vec![0.0; side * side];
            for picture in values.chunks(side * side) {
                for (v, u) in (0..side).flat_map(|v| (0..side).map(move |u| (v, u))) {
                    let (mut re, mut im) = (0.0, 0.0);
                    for (place, value) in picture.iter().enumerate() {
                        let turn = (v * (place / side) + u * (place % side)) as f64 / side as f64;
                        re += value * (TAU * turn).cos();
                        im -= value * (TAU * turn).sin();
                    }
                    let (row, column) = ((v + side / 2) % side, (u + side / 2) % side);
                    plane[row * side + column] += (re.hypot(im) + 1e-6).ln() / 3.0;
                }
            }
            let diagonal: Vec<f64> = (side / 2..side).map(|i| plane[i * side + i]).collect();
            assert_eq!(diagonal.len(), found.len());
            for (found, expected) in found.iter().zip(&diagonal) {
                assert!((found - (expected - diagonal[0])).abs() < 1e-9, "{side}");
            }
        }
    }

    #[test]
    fn a_constant_map_is_at_the_floor() {
        let (side, level) = (7, -2.5);
        let found = amplitudes(side, &vec![level; 2 * side * side]);
        let floor = FLOOR.ln() - (2.5 * 49.0 + FLOOR).ln();
        assert_eq!(found[0], 0.0);
        assert!(found[1..].iter().all(|a| (a - floor).abs() < 1e-6), "{found:?} {floor}");
    }

    #[test]
    fn a_blur_takes_high_frequencies_and_the_laplacian_leaves_them() {
        let side = 8;
        let values = noise(20, side);
        let plain = amplitudes(side, &values);
        let blur = amplitudes(side, &filtered(&values, side, [[1.0 / 9.0; 3]; 3]));
        // The Laplacian takes all of frequency zero; with the picture itself beside it, nothing.
        let laplacian = |middle| [[0.0, -1.0, 0.0], [-1.0, middle, -1.0], [0.0, -1.0, 0.0]];
        let edges = amplitudes(side, &filtered(&values, side, laplacian(4.0)));
        let sharp = amplitudes(side, &filtered(&values, side, laplacian(5.0)));
        let last = |of: &[f64]| of[of.len() - 1];
        assert!(last(&blur) - last(&plain) < -0.5, "{blur:?}");
        assert!(last(&edges) - last(&plain) > 10.0, "{edges:?}");
        assert!(last(&sharp) - last(&plain) > 0.5, "{sharp:?}");
        // Exactly by the filter's response at each frequency.
        for k in 1..side / 2 {
            let wave = (TAU * k as f64 / side as f64).cos();
            let response = ((1.0 + 2.0 * wave) / 3.0).powi(2);
            assert!((blur[k] - plain[k] - response.ln()).abs() < 1e-4, "{k}");
            assert!((sharp[k] - plain[k] - (5.0 - 4.0 * wave).ln()).abs() < 1e-4, "{k}");
        }
    }

    /// A model of one block of attention in which all logits are equal, the rest of it one or zero.
    #[test]
    fn attention_with_equal_logits_leaves_the_mean_alone() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let text = "alternet blocks=2 attention=1 heads=1 width=3 head_units=3 norm=none";
        let model = text.parse::<Architecture>().unwrap().build(&[4, 4, 1], 3).unwrap();
        let mut weights = thalweg_train::initialize(&model, 3, DType::F64).unwrap();
        let changed = weights.parameters.iter().map(|(name, array)| {
            let mut values = array.to_f64_vec();
            match name {
                // Queries and keys of nothing; values, of the inputs.
                "layer1.1.attn.qkv.weight" => {
                    for (i, value) in values.iter_mut().enumerate() {
                        *value *= f64::from(u8::from(i % 9 >= 6));
                    }
                }
                "layer1.1.attn.bias_table" => values.fill(0.3),
                _ => {}
            }
            Array::from_slice(array.shape(), &values).unwrap()
        });
        weights.parameters = weights.parameters.with_arrays(changed.collect()).unwrap();
        let inputs = vec![Array::from_slice(&[2, 4, 4, 1], &noise(2, 4)).unwrap()];
        let (targets, loss) = (Array::vector(&[0, 1]), Loss::default());
        let config = ObjectiveConfig { batch: 1, ..ObjectiveConfig::default() };
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets, true, &config);
        let objective = objective.unwrap();
        // What the block adds is the same at each place, so that only frequency zero is changed.
        let raw = block_readings(&ctx, &objective, &weights, log_amplitudes).unwrap();
        let [convolution, attention] = &raw[..] else { panic!("two blocks") };
        assert_eq!(
            (convolution.kind, attention.kind),
            (BlockKind::Convolution, BlockKind::Attention)
        );
        assert_eq!(convolution.after, attention.before);
        assert!((attention.after[0] - attention.before[0]).abs() > 1e-3);
        for (after, before) in attention.after[1..].iter().zip(&attention.before[1..]) {
            assert!((after - before).abs() < 1e-9, "{after} {before}");
        }
        let found = block_amplitudes(&ctx, &objective, &weights).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].depth, found[1].depth), ([0.0, 0.5], [0.5, 1.0]));
        let fall = attention.before[0] - attention.after[0];
        assert!((found[1].change() - fall).abs() < 1e-9);
    }

    #[test]
    fn tokens_of_a_square_are_maps_and_others_are_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let values = noise(2, 3);
        let grid = Array::from_slice(&[2, 3, 3, 1], &values).unwrap();
        let with_class: Vec<f64> =
            values.chunks(9).flat_map(|picture| [&[7.0], picture].concat()).collect();
        let tokens = Array::from_slice(&[2, 10, 1], &with_class).unwrap();
        let expected = relative_log_amplitude(&ctx, &grid).unwrap();
        assert_eq!(relative_log_amplitude(&ctx, &tokens).unwrap(), expected);
        let line = Array::from_slice(&[2, 3, 3], &values).unwrap();
        let error = relative_log_amplitude(&ctx, &line).unwrap_err().to_string();
        assert!(error.starts_with("maps: expected [examples, side, side, channels]"), "{error}");
    }
}
