//! How well a network can still learn something new.

use crate::common::{MemberTargets, Streamed};
use crate::{Context, MethodError, ModelObjective, ObjectiveConfig};
use std::collections::BTreeMap;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_nn::{Loss, Weights};
use thalweg_stats::{Estimate, pairwise_sum};
use thalweg_train::StreamDraw;

/// The targets that a network is probed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlasticityConfig {
    /// Number of targets.
    pub targets: usize,
    /// Steps that each is learned for.
    pub steps: u64,
    /// What a fresh network's outputs are multiplied with under the sine.
    pub frequency: f64,
}

impl Default for PlasticityConfig {
    fn default() -> PlasticityConfig {
        PlasticityConfig { targets: 10, steps: 2000, frequency: 1e5 }
    }
}

/// What [`plasticity_probe`] found of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Plasticity {
    /// `b - mean of the final losses`, with its standard error over the targets.
    pub plasticity: Estimate,
    /// The variance of the targets, `b`: what a network reaches that says their mean.
    pub variance: f64,
    /// The loss on each target at the end, over all examples.
    pub losses: Vec<f64>,
    /// The losses of batches along each.
    pub curves: Vec<Vec<f64>>,
}

/// How far a fixed number of steps lowers the loss on random targets.
///
/// `P(w) = b - E_l[l(O(w, l))]` with an optimizer `O`, the losses `l(w) = E_x (f(x; w) - g(x))^2` and
/// `g(x) = a + sin(10^5 f(x; w_0))`: `w_0` is a fresh draw of the weights and `a` the network's own
/// mean output. `b` is the variance of `g`. All networks see the same fresh draws, from the stream
/// `plasticity`, and begin with a fresh optimizer. Errors and variances are means over the outputs.
///
/// `streamed` holds model, optimizer, examples and [`Loss::MeanSquaredError`] against values;
/// `hyper` are those of each network.
///
/// # Errors
/// No targets, or a frequency that is not finite; weights of another model; those of the engine;
/// `Interrupted`.
/// # Source    Lyle, Zheng, Nikishin, Avila Pires, Pascanu, Dabney, Understanding plasticity in neural
/// networks, 2023, arXiv 2303.01486, sections 2.2 and 3.1
/// # Deviations    the paper hands over the optimizer; here its state is fresh
pub fn plasticity_probe(
    ctx: &Context<'_>,
    streamed: &Streamed,
    weights: &[Weights],
    hyper: &[BTreeMap<&str, f64>],
    config: &PlasticityConfig,
) -> Result<Vec<Plasticity>, MethodError> {
    if config.targets == 0 {
        return Err(MethodError::config("targets of a probe", "at least 1", 0));
    }
    if !config.frequency.is_finite() {
        let got = config.frequency;
        return Err(MethodError::config("frequency of a probe", "a finite number", got));
    }
    let count = config.targets;
    let stream = ctx.stream("plasticity");
    let fresh = |j: usize| {
        let draws = stream.child("weights").at(j as u64);
        streamed.model().initialize(&mut StreamDraw(draws), DType::F64)
    };
    let fresh: Vec<Weights> = (0..count).map(fresh).collect::<Result<_, _>>()?;
    let waves = streamed.outputs(ctx, &streamed.start(&fresh)?)?;
    let waves: Vec<Vec<f64>> = waves
        .iter()
        .map(|array| array.to_f64_vec().iter().map(|f| (config.frequency * f).sin()).collect())
        .collect();
    let own = streamed.outputs(ctx, &streamed.start(weights)?)?;
    // Each network once for each target.
    let mut targets: Vec<Array> = Vec::with_capacity(weights.len() * count);
    for outputs in &own {
        let offset = column_means(outputs);
        for wave in &waves {
            let shifted: Vec<f64> =
                wave.iter().enumerate().map(|(i, g)| g + offset[i % offset.len()]).collect();
            targets.push(Array::from_slice(outputs.shape(), &shifted)?);
        }
    }
    let repeat = |i: usize| i / count;
    let n = targets.len();
    let starts: Vec<Weights> = (0..n).map(|i| weights[repeat(i)].clone()).collect();
    let Some(hyper) = (0..n).map(|i| hyper.get(repeat(i)).cloned()).collect::<Option<Vec<_>>>()
    else {
        let expected = format!("hyper-parameters of {} networks", weights.len());
        return Err(MethodError::mismatch("networks", expected, hyper.len()));
    };
    let orders: Vec<Stream> =
        (0..n).map(|i| stream.child("order").at((i % count) as u64)).collect();
    let mut nets = streamed.start(&starts)?;
    let values = MemberTargets::Values(&targets);
    let curves = streamed.steps(ctx, &mut nets, &hyper, values, &orders, config.steps)?;
    let reached = streamed.outputs(ctx, &nets)?;
    let losses: Vec<f64> = reached.iter().zip(&targets).map(|(f, g)| mean_square(f, g)).collect();
    let variance = |j: usize| {
        let target = &targets[j];
        let means = column_means(target);
        let values = target.to_f64_vec();
        let apart = values.iter().enumerate().map(|(i, g)| (g - means[i % means.len()]).powi(2));
        apart.sum::<f64>() / values.len().max(1) as f64
    };
    let of = |network: usize| {
        let own = network * count..(network + 1) * count;
        let losses = losses[own.clone()].to_vec();
        let variance = own.clone().map(variance).sum::<f64>() / count as f64;
        let spread = Estimate::mean(&losses).map_or(f64::NAN, |mean| mean.standard_error);
        let value = variance - pairwise_sum(&losses) / count as f64;
        let plasticity = Estimate { value, standard_error: spread, samples: count };
        let curves = curves[own].iter().map(|metrics| metrics.loss.clone()).collect();
        Plasticity { plasticity, variance, losses, curves }
    };
    Ok((0..weights.len()).map(of).collect())
}

/// The mean of each column of a matrix.
fn column_means(matrix: &Array) -> Vec<f64> {
    let width = matrix.shape().last().copied().unwrap_or(1).max(1);
    let values = matrix.to_f64_vec();
    let rows = (values.len() / width).max(1) as f64;
    (0..width).map(|k| values.iter().skip(k).step_by(width).sum::<f64>() / rows).collect()
}

fn mean_square(a: &Array, b: &Array) -> f64 {
    let (a, b) = (a.to_f64_vec(), b.to_f64_vec());
    let squares: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).collect();
    pairwise_sum(&squares) / squares.len().max(1) as f64
}

/// The objective of which the paper takes gradients' interference and curvature: squared distances
/// from the network's own outputs with noise added, `1/2 |f(x; w) - (f(x; w_now) + e)|^2`, `e ~
/// N(0, I)` from the stream `interference`. Every instrument reads it.
///
/// # Errors
/// Weights of another model; those of the engine.
/// # Source    Lyle et al. 2023, arXiv 2303.01486, section 4.1
pub fn interference_objective(
    ctx: &Context<'_>,
    streamed: &Streamed,
    weights: &Weights,
    inputs: &Array,
) -> Result<ModelObjective, MethodError> {
    let nets = streamed.start(std::slice::from_ref(weights))?;
    let outputs = streamed.outputs(ctx, &nets)?.swap_remove(0);
    let stream = ctx.stream("interference");
    let values = outputs.to_f64_vec().into_iter().enumerate();
    let noisy: Vec<f64> = values.map(|(i, f)| f + stream.normal(i as u64)).collect();
    let targets = Array::from_slice(outputs.shape(), &noisy)?;
    let (model, loss) = (streamed.model(), Loss::HalfSquaredError);
    let config = ObjectiveConfig::default();
    ModelObjective::from_arrays(ctx, model, loss, vec![inputs.clone()], targets, false, &config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::TargetKind;
    use std::sync::Arc;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Model};
    use thalweg_train::{Optimizer, initialize};

    fn setting() -> (Arc<Executor>, Model, Array) {
        let model = "mlp hidden=8-8".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        let values: Vec<f64> = (0..16 * 4).map(|i| (i as f64 * 0.9).cos()).collect();
        (Arc::new(Executor::new(1)), model, Array::from_slice(&[16, 4], &values).unwrap())
    }

    fn probed(weights: &[Weights], steps: u64) -> Vec<Plasticity> {
        let (executor, model, inputs) = setting();
        let ctx = Context::new(&executor, 3);
        let (loss, kind) = (Loss::MeanSquaredError, TargetKind::Values(3));
        let adam = Optimizer::adam();
        let streamed =
            Streamed::new(executor.clone(), &model, &adam, loss, &inputs, kind, 8).unwrap();
        let hyper = vec![BTreeMap::from([("lr", 1e-2)]); weights.len()];
        let config = PlasticityConfig { targets: 3, steps, frequency: 1e5 };
        plasticity_probe(&ctx, &streamed, weights, &hyper, &config).unwrap()
    }

    /// Weights whose hidden units are all dead.
    fn dead(model: &Model) -> Weights {
        let weights = initialize(model, 5, DType::F64).unwrap();
        let arrays = weights.parameters.iter().map(|(name, array)| match name {
            "fc1.bias" | "fc2.bias" => Array::full(array.shape(), -100.0),
            _ => array.clone(),
        });
        let parameters = weights.parameters.with_arrays(arrays.collect()).unwrap();
        Weights { parameters, ..weights }
    }

    #[test]
    fn plasticity_is_not_lost_before_the_first_step() {
        let (_, model, _) = setting();
        let start = initialize(&model, 0, DType::F64).unwrap();
        let found = probed(&[start.clone(), start], 60);
        assert_eq!(found[0], found[1]);
        assert_eq!((found[0].losses.len(), found[0].curves[2].len()), (3, 60));
    }

    #[test]
    fn a_dead_network_reaches_no_less_than_the_variance() {
        let (_, model, _) = setting();
        let alive = initialize(&model, 0, DType::F64).unwrap();
        let found = probed(&[dead(&model), alive], 600);
        // All that is left to it is its bias, and the mean is the best that a bias can say.
        let least = found[0].losses.iter().copied().fold(f64::INFINITY, f64::min);
        let one = &found[0];
        assert!(one.plasticity.value <= 1e-12, "{one:?}");
        assert!(least > 0.0 && (one.plasticity.value.abs()) < 0.05 * one.variance, "{one:?}");
        assert!(found[1].plasticity.value > 0.2 * found[1].variance, "{:?}", found[1].losses);
    }

    #[test]
    fn gradients_of_a_dead_network_have_only_a_bias_to_share() {
        let (executor, model, inputs) = setting();
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (loss, kind) = (Loss::MeanSquaredError, TargetKind::Values(3));
        let sgd = Optimizer::sgd();
        let streamed =
            Streamed::new(executor.clone(), &model, &sgd, loss, &inputs, kind, 8).unwrap();
        let weights = dead(&model);
        let objective = interference_objective(&ctx, &streamed, &weights, &inputs).unwrap();
        let found = crate::common::gradient(&ctx, &objective, &weights).unwrap();
        // Of the weights only the last bias moves, by the mean of the noise.
        let n = found.gradient.len();
        assert!(found.gradient[..n - 3].iter().all(|g| *g == 0.0));
        let stream = ctx.stream("interference");
        let noise = (0..16).map(|i| stream.normal(3 * i)).sum::<f64>() / 16.0;
        assert!((found.gradient[n - 3] + noise).abs() < 1e-12);
    }
}
