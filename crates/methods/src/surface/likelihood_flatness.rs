//! How flat the likelihood of a classifier is around its inputs.

use crate::common::{
    Likelihood, ModelObjective, Objective, check_point, fit, movable_input, padded,
};
use crate::{Context, MethodError, Pass};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::Weights;
use thalweg_stats::{Estimate, Moments};
use thalweg_transform::{Replacement, gradient, vmap};

/// Offsets that go at once where memory allows it.
const MEMBERS: usize = 16;

/// Where the likelihood is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlatnessConfig {
    /// Of input and class, or of the input alone.
    pub likelihood: Likelihood,
    /// How far along each element of the input.
    pub eps: f64,
    /// Offsets from `-eps` to `eps` along each direction; odd, so that the input itself is one.
    pub points: usize,
    /// Random directions.
    pub directions: usize,
}

impl Default for FlatnessConfig {
    fn default() -> FlatnessConfig {
        FlatnessConfig { likelihood: Likelihood::Joint, eps: 0.1, points: 7, directions: 2 }
    }
}

/// What [`likelihood_flatness`] found; low numbers are flat. In units of the outputs, whose scale no
/// cross-entropy fixes: compare networks by [`LikelihoodFlatness::standardised`].
#[derive(Clone, Debug, PartialEq)]
pub struct LikelihoodFlatness {
    /// Mean `|D|` along the direction in which the loss rises.
    pub along_gradient: Estimate,
    /// Mean `|D|` along random directions.
    pub along_random: Estimate,
    /// Mean `|D|` over the planes of both.
    pub over_plane: Estimate,
    /// Mean length of the gradient of the log-likelihood.
    pub slope: Estimate,
    /// The standard deviation of the outputs of the examples' classes.
    pub spread: f64,
    /// Of each class, the mean `|D|` over the planes with its standard error over the class's examples;
    /// NaN for one without examples, and the error of a single one.
    pub per_class: Vec<Estimate>,
    /// `D` at every offset of the plane, mean over examples and directions: row by row, `a` along the
    /// gradient varying fastest.
    pub surface: Vec<f64>,
    /// The offsets along both directions.
    pub offsets: Vec<f64>,
}

impl LikelihoodFlatness {
    /// A number over the spread of the outputs, which no factor on them changes.
    pub fn standardised(&self, of: Estimate) -> f64 {
        of.value / self.spread
    }
}

/// The mean change of the log-likelihood around the inputs of a classifier.
///
/// `D(a, b) = log p(x + a d_1 + b d_2, y) - log p(x, y)` with the outputs as energies:
/// `log p(x, y) = f(x)[y] - log Z`, `log p(x) = logsumexp f(x) - log Z`; `Z` cancels. `d_1` is the sign of
/// the gradient of the objective's loss by the input, `d_2` random signs, both for each example. The
/// flatness is the mean of `|D|` over examples and offsets but zero, with its standard error over
/// examples.
///
/// # Errors
/// A likelihood that is the loss, no directions, offsets that are not odd in number or fewer than
/// three, a width that is not positive; what an [`crate::InputObjective`] refuses; those of the engine;
/// `Interrupted`.
/// # Source    Lin, Kolouri et al., Likelihood landscapes: a unifying principle behind many adversarial
/// defenses, 2020, arXiv 2008.11300; its abstract leaves the form of the measure open
pub fn likelihood_flatness(
    ctx: &Context<'_>,
    objective: &ModelObjective,
    weights: &Weights,
    config: &FlatnessConfig,
) -> Result<LikelihoodFlatness, MethodError> {
    check(config)?;
    movable_input(objective, true)?;
    let known: &dyn Objective = objective;
    let point = check_point(known, "the weights", weights)?;
    let shared = [point.parameters.into_arrays(), point.buffers.into_arrays()].concat();
    let offsets = offsets(config);
    let plane: Vec<[f64; 2]> =
        offsets.iter().flat_map(|&b| offsets.iter().map(move |&a| [a, b])).collect();
    let mut programs = Vec::new();
    for (size, batch) in known.sizes() {
        let (_, slopes) = fit(ctx, "one gradient", 1, |_| slopes(objective, batch, config))?;
        let graph = |members| values(objective, batch, config, members);
        let (members, values) = fit(ctx, "likelihoods at one offset", MEMBERS, graph)?;
        programs.push(Programs { size, slopes, members, values });
    }
    let mut found = Found::default();
    let mut surface = vec![0.0; plane.len()];
    let stream = ctx.stream("likelihood flatness");
    for (batch, &size) in known.batches().iter().enumerate() {
        let Some(programs) = programs.iter().find(|programs| programs.size == size) else {
            return Err(MethodError::mismatch("batch sizes", "those at the start", size));
        };
        let data = known.data(batch)?;
        ctx.spend(Pass::Gradient, 2 * size);
        let results = programs.slopes.run([&shared[..], &data].concat())?;
        let [rising, lengths, chosen, here] = &results[..] else { break };
        found.slopes.extend(lengths.to_f64_vec());
        found.chosen.extend(chosen.to_f64_vec());
        let here = here.to_f64_vec();
        let first = found.absolute.len();
        found.absolute.resize(first + size, [0.0; 3]);
        for direction in 0..config.directions as u64 {
            let draws = stream.at(direction).at(batch as u64);
            let sign = |i: usize| if draws.u32(i as u64).is_multiple_of(2) { 1.0 } else { -1.0 };
            let signs: Vec<f64> = (0..rising.len()).map(sign).collect();
            let signs = Array::from_slice(rising.shape(), &signs)?.convert(known.float());
            let mut at = 0;
            for chunk in padded(&plane, programs.members) {
                ctx.check()?;
                let count = chunk.len().min(plane.len() - at);
                ctx.spend(Pass::Loss, count * size);
                let pick = |axis: usize| {
                    let each: Vec<f64> = chunk.iter().map(|offset| offset[axis]).collect();
                    Array::vector(&each).convert(known.float())
                };
                let own = [rising.clone(), signs.clone(), pick(0), pick(1)];
                let results = programs.values.run([&shared[..], &data, &own].concat())?;
                let Some(array) = results.first() else { break };
                for (row, likelihoods) in array.to_f64_vec().chunks(size).take(count).enumerate() {
                    let [a, b] = plane[at + row];
                    for (i, (there, here)) in likelihoods.iter().zip(&here).enumerate() {
                        let change = there - here;
                        surface[at + row] += change;
                        let sums = &mut found.absolute[first + i];
                        sums[0] += if b == 0.0 { change.abs() } else { 0.0 };
                        sums[1] += if a == 0.0 { change.abs() } else { 0.0 };
                        sums[2] += change.abs();
                    }
                }
                at += count;
            }
        }
    }
    let all = (found.absolute.len() * config.directions) as f64;
    surface.iter_mut().for_each(|sum| *sum /= all);
    found.summarize(config, known.labels().unwrap_or_default(), surface, offsets)
}

struct Programs {
    size: usize,
    slopes: Arc<Program>,
    members: usize,
    values: Arc<Program>,
}

/// What is gathered of each example.
#[derive(Default)]
struct Found {
    /// Sums of `|D|` along the gradient, along random directions, over the planes.
    absolute: Vec<[f64; 3]>,
    slopes: Vec<f64>,
    chosen: Vec<f64>,
}

impl Found {
    fn summarize(
        self,
        config: &FlatnessConfig,
        labels: Vec<i32>,
        surface: Vec<f64>,
        offsets: Vec<f64>,
    ) -> Result<LikelihoodFlatness, MethodError> {
        let (n, ways) = (config.points, config.directions as f64);
        // Offsets but zero.
        let [line, plane] = [(n - 1) as f64 * ways, (n * n - 1) as f64 * ways];
        let of = |which: usize, count: f64| -> Vec<f64> {
            self.absolute.iter().map(|sums| sums[which] / count).collect()
        };
        let planes = of(2, plane);
        let classes = labels.iter().copied().max().map_or(0, |most| most as usize + 1);
        let mean = |class: usize| -> Result<Estimate, MethodError> {
            let own = labels.iter().zip(&planes).filter(|(label, _)| **label as usize == class);
            let own: Vec<f64> = own.map(|(_, value)| *value).collect();
            let alone = |value| Estimate { value, standard_error: f64::NAN, samples: own.len() };
            match own[..] {
                [] => Ok(alone(f64::NAN)),
                [value] => Ok(alone(value)),
                _ => Ok(Estimate::mean(&own)?),
            }
        };
        let spread: Moments = self.chosen.iter().copied().collect();
        Ok(LikelihoodFlatness {
            along_gradient: Estimate::mean(&of(0, line))?,
            along_random: Estimate::mean(&of(1, line))?,
            over_plane: Estimate::mean(&planes)?,
            slope: Estimate::mean(&self.slopes)?,
            spread: spread.standard_deviation().unwrap_or(f64::NAN),
            per_class: (0..classes).map(mean).collect::<Result<_, _>>()?,
            surface,
            offsets,
        })
    }
}

fn check(config: &FlatnessConfig) -> Result<(), MethodError> {
    if config.likelihood == Likelihood::Loss {
        return Err(MethodError::config("a likelihood", "joint or marginal", "the loss"));
    }
    if config.directions == 0 {
        return Err(MethodError::config("random directions", "at least 1", 0));
    }
    if config.points < 3 || config.points.is_multiple_of(2) {
        return Err(MethodError::config("offsets", "an odd number from 3 on", config.points));
    }
    match config.eps > 0.0 && config.eps.is_finite() {
        true => Ok(()),
        false => Err(MethodError::config("width of a surface", "a positive number", config.eps)),
    }
}

fn offsets(config: &FlatnessConfig) -> Vec<f64> {
    let last = config.points - 1;
    let at = |i: usize| (i as f64 - (last - i) as f64) * config.eps / last as f64;
    (0..=last).map(at).collect()
}

/// Inputs of a graph: weights, buffers, data.
struct Declared<'b> {
    parameters: Vec<Tensor<'b>>,
    buffers: Vec<Tensor<'b>>,
    data: Vec<Tensor<'b>>,
}

fn declare<'b>(
    builder: &'b Builder,
    objective: &dyn Objective,
    batch: usize,
) -> Result<Declared<'b>, MethodError> {
    let float = objective.float();
    let input = |prefix: &str, name: &str, shape: &[usize]| {
        builder.input(&format!("{prefix}.{name}"), TensorType::new(float, shape))
    };
    let parameters = objective.parameters().iter();
    let buffers = objective.buffers().iter();
    let types = objective.data_types(batch)?.into_iter().enumerate();
    Ok(Declared {
        parameters: parameters.map(|p| input("weights", &p.name, &p.shape)).collect(),
        buffers: buffers.map(|b| input("buffer", &b.name, &b.shape)).collect(),
        data: types.map(|(i, ty)| builder.input(&format!("data.{i}"), ty)).collect(),
    })
}

/// Losses, log-likelihoods and outputs of the classes at an input.
fn traced<'b>(
    builder: &'b Builder,
    objective: &ModelObjective,
    declared: &Declared<'b>,
    x: Tensor<'b>,
    likelihood: Likelihood,
) -> [Tensor<'b>; 3] {
    let mut data = declared.data.clone();
    data[0] = x;
    let objective: &dyn Objective = objective;
    let (parameters, buffers) = (&declared.parameters, &declared.buffers);
    let traced = objective.trace(builder, parameters, buffers, &data, false);
    let outputs = traced.outputs.unwrap_or(traced.losses);
    let of = |likelihood: Likelihood| -likelihood.negative_log(traced.losses, outputs, data[1]);
    [traced.losses, of(likelihood), of(Likelihood::Joint)]
}

/// The direction in which each loss rises, the length of each log-likelihood's gradient, the output of
/// each class, each log-likelihood.
fn slopes(
    objective: &ModelObjective,
    batch: usize,
    config: &FlatnessConfig,
) -> Result<Graph, MethodError> {
    let known: &dyn Objective = objective;
    let builder = Builder::new(known.float());
    let declared = declare(&builder, known, batch)?;
    let x = declared.data[0];
    let [losses, likelihoods, chosen] =
        traced(&builder, objective, &declared, x, config.likelihood);
    let rising = gradient(losses.sum_all(), &[x])[0].sign();
    let slope = gradient(likelihoods.sum_all(), &[x])[0];
    let axes: Vec<usize> = (1..slope.rank()).collect();
    let lengths = slope.square().sum(&axes).sqrt();
    let outputs =
        [("rising", rising), ("lengths", lengths), ("chosen", chosen), ("here", likelihoods)];
    Ok(builder.finish(&outputs)?)
}

/// Log-likelihoods at so many offsets, `[members, n]`.
fn values(
    objective: &ModelObjective,
    batch: usize,
    config: &FlatnessConfig,
    members: usize,
) -> Result<Graph, MethodError> {
    let known: &dyn Objective = objective;
    let float = known.float();
    let builder = Builder::new(float);
    let declared = declare(&builder, known, batch)?;
    let x = declared.data[0];
    let [rising, signs] = ["rising", "signs"].map(|name| builder.input(name, x.ty()));
    let offset = |name: &str| {
        let batched = builder.input(name, TensorType::new(float, [members]));
        let member = builder.placeholder(TensorType::new(float, []));
        Replacement { member, batched, axis: 0 }
    };
    let [a, b] = ["a", "b"].map(offset);
    let moved = x + rising * a.member + signs * b.member;
    let [_, likelihoods, _] = traced(&builder, objective, &declared, moved, config.likelihood);
    let batched = vmap(&[likelihoods], &[a, b], members);
    Ok(builder.finish(&[("likelihoods", batched[0])])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ObjectiveConfig, derived_model};
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss, Model};
    use thalweg_train::initialize;

    const N: usize = 9;

    /// `[N, 3]`.
    fn inputs() -> Vec<f64> {
        let draws = Stream::new(1, "inputs");
        (0..3 * N as u64).map(|i| draws.normal(i)).collect()
    }

    /// The signs of the gradient by an input of the cross-entropy of linear outputs: weights `[3, 4]`,
    /// then biases.
    fn rising(flat: &[f64], x: &[f64], label: usize) -> [f64; 3] {
        let f = |k: usize| flat[12 + k] + (0..3).map(|j| x[j] * flat[4 * j + k]).sum::<f64>();
        let total: f64 = (0..4).map(|k| f(k).exp()).sum();
        std::array::from_fn(|j| {
            let mean = (0..4).map(|k| f(k).exp() / total * flat[4 * j + k]).sum::<f64>();
            (mean - flat[4 * j + label]).signum()
        })
    }

    fn objective(ctx: &Context<'_>, model: &Model) -> ModelObjective {
        let labels: Vec<i32> = (0..N as i32).map(|i| i % 4).collect();
        let array = Array::from_slice(&[N, 3], &inputs()).unwrap();
        let config = ObjectiveConfig { batch: 4, ..ObjectiveConfig::default() };
        let (loss, labels) = (Loss::default(), Array::vector(&labels));
        ModelObjective::from_arrays(ctx, model, loss, vec![array], labels, true, &config).unwrap()
    }

    fn linear() -> Model {
        "linear".parse::<Architecture>().unwrap().build(&[3], 4).unwrap()
    }

    fn context(executor: &Executor) -> Context<'_> {
        Context::new(executor, 0).with_precision(DType::F64).unwrap()
    }

    /// With `added(x)` on every output.
    fn shifted(added: impl for<'b> Fn(Tensor<'b>) -> Tensor<'b> + Send + Sync + 'static) -> Model {
        let model = linear();
        let ports = model.inputs().to_vec();
        derived_model(&model, ports, &["output"], move |f, x| {
            let output = f.output(x);
            vec![output + added(x[0]).expand(1).broadcast_to(&output.shape())]
        })
        .unwrap()
    }

    #[test]
    fn linear_outputs_change_by_their_slope() {
        let executor = Executor::new(1);
        let ctx = context(&executor);
        let (model, config) = (linear(), FlatnessConfig { eps: 0.3, ..FlatnessConfig::default() });
        let weights = initialize(&model, 4, DType::F64).unwrap();
        let objective = objective(&ctx, &model);
        let found = likelihood_flatness(&ctx, &objective, &weights, &config).unwrap();
        // D(a, b) = a w_y . d_1 + b w_y . d_2: linear along each line, so odd in a and b together.
        let n = config.points;
        assert_eq!(found.offsets[n / 2], 0.0);
        assert!((found.offsets[0] + 0.3).abs() < 1e-15);
        let at = |row: usize, column: usize| found.surface[n * row + column];
        for (row, b) in found.offsets.iter().enumerate() {
            for (column, a) in found.offsets.iter().enumerate() {
                let along = at(n / 2, n - 1) * a / 0.3 + at(n - 1, n / 2) * b / 0.3;
                assert!((at(row, column) - along).abs() < 1e-12);
            }
        }
        // Along the gradient |D| = |a| |w_y . d_1|, and the mean of |a| over six offsets is 2/3 eps.
        let flat = weights.parameters.flatten();
        let expected: f64 = (inputs().chunks(3).enumerate())
            .map(|(i, x)| {
                let rising = rising(&flat, x, i % 4);
                let slope: f64 = (0..3).map(|j| flat[4 * j + i % 4] * rising[j]).sum();
                slope.abs() * 0.3 * 2.0 / 3.0 / N as f64
            })
            .sum();
        assert!((found.along_gradient.value - expected).abs() < 1e-12);
        assert_eq!((found.per_class.len(), found.along_random.samples), (4, N));
        // Classes are the places modulo four, and all examples count once.
        let counts = found.per_class.iter().map(|class| class.samples).collect::<Vec<usize>>();
        assert_eq!(counts, [3, 2, 2, 2]);
        let sum: f64 = found.per_class.iter().map(|c| c.value * c.samples as f64).sum();
        assert!((sum / N as f64 - found.over_plane.value).abs() < 1e-12);
    }

    #[test]
    fn classes_have_the_error_of_their_own_examples() {
        let found = |labels: Vec<i32>| {
            // Means over a plane of eight offsets: 1, 3, 8 and 2.
            let absolute = [8.0, 24.0, 64.0, 16.0].map(|plane| [0.0, 0.0, plane]).to_vec();
            let found = Found { absolute, slopes: vec![1.0; 4], chosen: vec![0.0; 4] };
            let config = FlatnessConfig { points: 3, directions: 1, ..FlatnessConfig::default() };
            found.summarize(&config, labels, Vec::new(), Vec::new()).unwrap().per_class
        };
        let [two, none, one, last] = found(vec![0, 0, 2, 3])[..] else { panic!("four classes") };
        assert_eq!((two.value, two.standard_error, two.samples), (2.0, 1.0, 2));
        assert!(none.value.is_nan() && none.standard_error.is_nan() && none.samples == 0);
        assert_eq!((one.value, last.value, last.samples), (8.0, 2.0, 1));
        assert!(one.standard_error.is_nan());
    }

    #[test]
    fn what_is_added_to_all_outputs_is_all_that_changes() {
        let executor = Executor::new(1);
        let ctx = context(&executor);
        let config = FlatnessConfig { eps: 0.3, ..FlatnessConfig::default() };
        let weights = initialize(&linear(), 4, DType::F64).unwrap();
        let of = |model: &Model| {
            likelihood_flatness(&ctx, &objective(&ctx, model), &weights, &config).unwrap()
        };
        let plain = of(&linear());
        let constant = of(&shifted(|x| x.sum(&[1]) * 0.0 + 5.0));
        assert!((plain.over_plane.value - constant.over_plane.value).abs() < 1e-12);
        assert!((plain.spread - constant.spread).abs() < 1e-12);
        // The loss does not see what all outputs share, so the directions are the same; a function adds
        // its own difference, here |x + a d_1 + b d_2|^2 - |x|^2, at each point of the plane.
        let bent = of(&shifted(|x| x.square().sum(&[1])));
        let stream = ctx.stream("likelihood flatness");
        let x = inputs();
        for (row, b) in plain.offsets.iter().enumerate() {
            for (column, a) in plain.offsets.iter().enumerate() {
                let mut added = 0.0;
                for (i, x) in x.chunks(3).enumerate() {
                    let rising = rising(&weights.parameters.flatten(), x, i % 4);
                    for direction in 0..config.directions as u64 {
                        // Batches have four examples.
                        let draws = stream.at(direction).at(i as u64 / 4);
                        let sign = |j: usize| match draws.u32((3 * (i % 4) + j) as u64) % 2 {
                            0 => 1.0,
                            _ => -1.0,
                        };
                        let moved = |j: usize| x[j] + a * rising[j] + b * sign(j);
                        added += (0..3).map(|j| moved(j).powi(2) - x[j].powi(2)).sum::<f64>();
                    }
                }
                let place = config.points * row + column;
                let found = bent.surface[place] - plain.surface[place];
                let expected = added / (N * config.directions) as f64;
                assert!((found - expected).abs() < 1e-12, "{a} {b}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_scale_of_outputs_cancels_where_it_should() {
        let executor = Executor::new(1);
        let ctx = context(&executor);
        let model = linear();
        let objective = objective(&ctx, &model);
        let weights = initialize(&model, 4, DType::F64).unwrap();
        let mut scaled = weights.clone();
        let tenfold: Vec<f64> = weights.parameters.flatten().iter().map(|w| 10.0 * w).collect();
        scaled.parameters = weights.parameters.unflatten(&tenfold).unwrap();
        let config = FlatnessConfig::default();
        let of = |weights: &Weights, config: &FlatnessConfig| {
            likelihood_flatness(&ctx, &objective, weights, config).unwrap()
        };
        let [one, ten] = [&weights, &scaled].map(|w| of(w, &config));
        let random = ten.along_random.value / one.along_random.value;
        assert!((random - 10.0).abs() < 1e-9);
        let [a, b] = [&one, &ten].map(|found| found.standardised(found.along_random));
        assert!((a - b).abs() < 1e-9);
        assert!((ten.slope.value / one.slope.value - 10.0).abs() < 1e-9);
        let marginal = FlatnessConfig { likelihood: Likelihood::Marginal, ..config };
        assert!(of(&weights, &marginal).slope.value < one.slope.value);
        for bad in [
            FlatnessConfig { likelihood: Likelihood::Loss, ..config },
            FlatnessConfig { points: 4, ..config },
            FlatnessConfig { points: 1, ..config },
            FlatnessConfig { directions: 0, ..config },
            FlatnessConfig { eps: 0.0, ..config },
        ] {
            assert!(likelihood_flatness(&ctx, &objective, &weights, &bad).is_err(), "{bad:?}");
        }
    }
}
