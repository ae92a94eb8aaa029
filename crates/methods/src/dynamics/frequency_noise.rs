//! How much noise of a band of frequencies costs.

use crate::common::{ModelObjective, ObjectiveConfig, evaluate};
use crate::{Context, MethodError};
use std::f64::consts::TAU;
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Loss, Model, Weights};

/// How strong the noise is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrequencyNoiseConfig {
    /// Root mean square of what is added to a picture, in units of its pixels, whatever the band.
    pub deviation: f64,
    /// Examples in a batch.
    pub batch: usize,
}

impl Default for FrequencyNoiseConfig {
    fn default() -> FrequencyNoiseConfig {
        FrequencyNoiseConfig { deviation: 0.5, batch: 128 }
    }
}

/// What noise of a band costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseBand {
    /// The lowest frequency in it, in shares of half the sampling frequency.
    pub low: f64,
    /// The lowest one above it.
    pub high: f64,
    /// The share of pictures with noise that are classified rightly.
    pub accuracy: f64,
    /// How much less that is than without noise.
    pub drop: f64,
}

/// What [`frequency_noise_robustness`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct FrequencyNoiseRobustness {
    /// The share of pictures without noise that are classified rightly.
    pub accuracy: f64,
    /// One for each pair of neighbouring edges.
    pub bands: Vec<NoiseBand>,
}

/// Accuracy on pictures with noise of one band of frequencies after the other.
///
/// Of white normal noise `d` the part `F^-1(F(d) M)` is taken, `M` one for frequencies whose distance
/// from zero lies in the band and else zero; it is brought to the same root mean square for every
/// picture and band. Distances are in shares of the highest frequency along an axis, `pi`, so that the
/// corners lie at `sqrt 2`. What is added in a band to an example is drawn from the stream
/// `frequency noise`, at the band and there at the example.
///
/// # Shapes    inputs `[n, side, side, channels]`, labels `i32 [n]`; `edges` ascend
/// # Errors    inputs that are no squares; fewer than two edges, or such as do not ascend; a band in which
/// there is no frequency; a deviation that is no positive number; weights of another model; pictures too
/// large for the memory; those of the engine
/// # Source    Park, Kim, How do vision transformers work?, 2022, arXiv 2202.06709, figure 2b and
/// appendix; that of equal root mean square is not stated there
pub fn frequency_noise_robustness(
    ctx: &Context<'_>,
    model: &Model,
    point: &Weights,
    [inputs, labels]: [&Array; 2],
    edges: &[f64],
    config: &FrequencyNoiseConfig,
) -> Result<FrequencyNoiseRobustness, MethodError> {
    if edges.len() < 2 || !edges.windows(2).all(|pair| pair[0] < pair[1]) {
        let expected = "at least two that ascend";
        return Err(MethodError::config("edges of bands", expected, format!("{edges:?}")));
    }
    let batch = ObjectiveConfig { batch: config.batch, ..ObjectiveConfig::default() };
    let accuracy = |inputs: Array| -> Result<f64, MethodError> {
        let (loss, labels) = (Loss::default(), labels.clone());
        let objective =
            ModelObjective::from_arrays(ctx, model, loss, vec![inputs], labels, true, &batch)?;
        Ok(evaluate(ctx, &objective, point)?.accuracy.unwrap_or(f64::NAN))
    };
    let plain = accuracy(inputs.clone())?;
    let clean = inputs.to_f64_vec();
    let stream = ctx.stream("frequency noise");
    let mut bands = Vec::with_capacity(edges.len() - 1);
    ctx.progress().start("noise of a band of frequencies", edges.len() as u64 - 1);
    for (place, pair) in edges.windows(2).enumerate() {
        ctx.check()?;
        let (low, high) = (pair[0], pair[1]);
        let draws = stream.at(place as u64);
        let noise = band_noise(ctx, inputs.shape(), [low, high], config.deviation, &draws)?;
        let noisy: Vec<f64> = clean.iter().zip(&noise).map(|(x, d)| x + d).collect();
        let noisy = Array::from_slice(inputs.shape(), &noisy)?.convert(ctx.precision());
        let with = accuracy(noisy)?;
        bands.push(NoiseBand { low, high, accuracy: with, drop: plain - with });
        ctx.progress().advance(1);
    }
    Ok(FrequencyNoiseRobustness { accuracy: plain, bands })
}

/// Noise of a band for pictures of a shape, in row-major order; see [`frequency_noise_robustness`].
///
/// The filter is one product with the matrix that it is, `[side^2, side^2]`.
///
/// # Errors
/// As [`frequency_noise_robustness`].
pub fn band_noise(
    ctx: &Context<'_>,
    shape: &[usize],
    band: [f64; 2],
    deviation: f64,
    draws: &Stream,
) -> Result<Vec<f64>, MethodError> {
    let [n, side, width, channels] = shape[..] else {
        let expected = "[examples, side, side, channels]";
        return Err(MethodError::mismatch("pictures", expected, format!("{shape:?}")));
    };
    if side != width || n * side * channels == 0 {
        let expected = "squares, at least one";
        return Err(MethodError::mismatch("pictures", expected, format!("{shape:?}")));
    }
    if !(deviation > 0.0 && deviation.is_finite()) {
        return Err(MethodError::config("deviation of noise", "a positive number", deviation));
    }
    let places = side.saturating_mul(side);
    let needed = places.saturating_mul(places).saturating_mul(2 * size_of::<f64>());
    if needed > ctx.memory() {
        let what = format!("a filter of pictures of {side} x {side}");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let response = impulse_response(side, band)?;
    let entry = |i: usize| {
        let (from, to) = (i / places, i % places);
        let apart = |a: usize, b: usize| (b + side - a) % side;
        response[apart(from / side, to / side) * side + apart(from % side, to % side)]
    };
    let filter: Vec<f64> = (0..places * places).map(entry).collect();
    let mut white = Vec::with_capacity(n * channels * places);
    for example in 0..n {
        let own = draws.at(example as u64);
        white.extend((0..channels * places).map(|i| own.normal(i as u64)));
    }
    let float = ctx.precision();
    let builder = Builder::new(float);
    let ty = |rows: usize| TensorType::new(float, [rows, places]);
    let noise = builder.input("noise", ty(n * channels));
    let matrix = builder.input("filter", ty(places));
    let program = ctx.executor().compile(&builder.finish(&[("out", noise.matmul(matrix))])?)?;
    let white = Array::from_slice(&[n * channels, places], &white)?.convert(float);
    let filter = Array::from_slice(&[places, places], &filter)?.convert(float);
    let found = program.run(vec![white, filter])?;
    let found = found.first().map(Array::to_f64_vec).unwrap_or_default();
    let mut noise = Vec::with_capacity(found.len());
    for picture in found.chunks(channels * places) {
        let square = picture.iter().map(|d| d * d).sum::<f64>() / picture.len() as f64;
        let factor = deviation / square.sqrt();
        // Channels last, as pictures have them.
        let order = (0..places).flat_map(|at| (0..channels).map(move |c| c * places + at));
        noise.extend(order.map(|i| factor * picture[i]));
    }
    match noise.iter().find(|d| !d.is_finite()) {
        None => Ok(noise),
        Some(value) => {
            let what = "noise of a band".to_owned();
            Err(MethodError::NotFinite { what, value: value.to_string() })
        }
    }
}

/// What a filter that keeps a band makes of a single bright pixel, by distance down and to the right.
fn impulse_response(side: usize, [low, high]: [f64; 2]) -> Result<Vec<f64>, MethodError> {
    let half = side as f64 / 2.0;
    let along = |k: usize| k.min(side - k) as f64 / half;
    let kept: Vec<(usize, usize)> = (0..side)
        .flat_map(|v| (0..side).map(move |u| (v, u)))
        .filter(|&(v, u)| (low..high).contains(&along(v).hypot(along(u))))
        .collect();
    if kept.is_empty() {
        let got = format!("none from {low} to {high}");
        return Err(MethodError::config("frequencies of a band", "at least one", got));
    }
    let waves: Vec<f64> = (0..side).map(|t| (TAU * t as f64 / side as f64).cos()).collect();
    let share = 1.0 / (side * side) as f64;
    let at = |place: usize| {
        let (down, right) = (place / side, place % side);
        kept.iter().map(|&(v, u)| waves[(v * down + u * right) % side]).sum::<f64>() * share
    };
    Ok((0..side * side).map(at).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_exec::Executor;
    use thalweg_graph::DType;
    use thalweg_nn::Architecture;

    /// Squared amplitudes of a picture at every frequency, by the sum.
    fn power(picture: &[f64], side: usize) -> Vec<f64> {
        let at = |f: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for (place, value) in picture.iter().enumerate() {
                let turn = (f / side * (place / side) + f % side * (place % side)) as f64;
                re += value * (TAU * turn / side as f64).cos();
                im += value * (TAU * turn / side as f64).sin();
            }
            re * re + im * im
        };
        (0..side * side).map(at).collect()
    }

    #[test]
    fn noise_is_of_its_band_and_of_its_strength() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let draws = Stream::new(2, "noise");
        for (side, band) in [(6, [0.0, 0.4]), (7, [0.4, 0.9]), (6, [0.9, 1.5])] {
            let shape = [3, side, side, 2];
            let noise = band_noise(&ctx, &shape, band, 0.25, &draws).unwrap();
            assert_eq!(noise.len(), 3 * side * side * 2);
            for picture in noise.chunks(side * side * 2) {
                let square: f64 = picture.iter().map(|d| d * d).sum();
                assert!((square / picture.len() as f64 - 0.0625).abs() < 1e-12);
                for channel in 0..2 {
                    let own: Vec<f64> = picture.iter().skip(channel).step_by(2).copied().collect();
                    let power = power(&own, side);
                    for (f, power) in power.into_iter().enumerate() {
                        let axis = |k: usize| k.min(side - k) as f64 / (side as f64 / 2.0);
                        let distance = axis(f / side).hypot(axis(f % side));
                        let inside = band[0] <= distance && distance < band[1];
                        assert_eq!(power > 1e-9, inside, "{side} {band:?} {f} {power}");
                    }
                }
            }
        }
        // The whole plane is white noise itself.
        let all = impulse_response(5, [0.0, 2.0]).unwrap();
        assert!((all[0] - 1.0).abs() < 1e-12 && all[1..].iter().all(|x| x.abs() < 1e-12));
    }

    #[test]
    fn a_mean_of_pixels_feels_frequency_zero_alone() {
        // The class is the sign of the sum of all pixels.
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[4, 4, 1], 2).unwrap();
        let weight: Vec<f64> = (0..32).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 }).collect();
        let arrays =
            vec![Array::from_slice(&[16, 2], &weight).unwrap(), Array::vector(&[0.0, 0.0])];
        let parameters = model.parameter_tree(arrays).unwrap();
        let weights = Weights { parameters, buffers: model.initial_buffers(DType::F64) };
        let n = 40;
        let values: Vec<f64> =
            (0..n * 16).map(|i| if i / 16 % 2 == 0 { -0.1 } else { 0.1 }).collect();
        let inputs = Array::from_slice(&[n, 4, 4, 1], &values).unwrap();
        let labels: Vec<i32> = (0..n as i32).map(|i| i % 2).collect();
        let labels = Array::vector(&labels);
        let edges = [0.0, 0.1, 0.8, 1.5];
        let config = FrequencyNoiseConfig { deviation: 1.0, ..FrequencyNoiseConfig::default() };
        let data = [&inputs, &labels];
        let found = frequency_noise_robustness(&ctx, &model, &weights, data, &edges, &config);
        let found = found.unwrap();
        assert_eq!(found.accuracy, 1.0);
        let drops: Vec<f64> = found.bands.iter().map(|band| band.drop).collect();
        assert!((0.2..0.8).contains(&drops[0]), "{drops:?}");
        assert_eq!(drops[1..], [0.0, 0.0]);
        let refused = |edges: &[f64]| {
            frequency_noise_robustness(&ctx, &model, &weights, data, edges, &config).is_err()
        };
        assert!(refused(&[0.5]) && refused(&[0.5, 0.2]) && refused(&[0.01, 0.02]));
    }
}
