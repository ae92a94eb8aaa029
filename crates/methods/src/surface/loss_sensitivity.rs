//! How the derivatives of a loss by the weights of each input variable score that variable.

use crate::common::{Objective, declare, fit, frozen_at, padded};
use crate::{Context, MethodError, Pass};
use std::sync::Arc;
use thalweg_array::Array;
use thalweg_exec::Program;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::layer::{Activation, Dense};
use thalweg_nn::{Axis, Initializer, Layer, Model, ModelPort, Parameter, Scope, Weights};
use thalweg_transform::{Replacement, jvp, vmap};

/// Directions that go at once where memory allows it.
const MEMBERS: usize = 32;

/// Orders of derivatives.
pub const ORDERS: usize = 3;

/// Which derivatives of order `k` score a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// `d^k L / d w_i^k`.
    Diagonal,
    /// `d / d w_i` of the sum over all weights of the array of the scores one order below, as taking
    /// the gradient of a summed gradient gives.
    #[default]
    RowSum,
}

impl Reduction {
    /// Both.
    pub const ALL: [Reduction; 2] = [Reduction::Diagonal, Reduction::RowSum];

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Diagonal => "diagonal",
            Reduction::RowSum => "row sum",
        }
    }
}

/// Which weights are looked at, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SensitivityConfig {
    /// The array of weights on the input variables; the first one of the objective unless named.
    pub parameter: Option<String>,
    /// Which derivatives.
    pub reduction: Reduction,
}

/// Scores of the input variables at one point of weight space.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Of each order, each variable's score: the mean over the examples.
    pub scores: [Vec<f64>; ORDERS],
    /// What each example adds, `terms[order][variable][example]`.
    pub terms: [Vec<Vec<f64>>; ORDERS],
}

/// Derivatives of the loss to third order by the weights of each input variable, summed over the units
/// that these go to.
///
/// A variable is an index along the array's axis of inputs; without one every element of the array is
/// a variable, as the pixels of an [`crate::InputObjective`] are: its scores are a saliency map.
/// Examples come one by one from forward derivatives, a direction for each variable
/// ([`Reduction::RowSum`]) or each element ([`Reduction::Diagonal`]).
///
/// Of one neuron `y' = f(w . x + b)` with squared error and `e = y' - y`:
/// `2 e f' x_i`, `2 (f'^2 + e f'') x_i^2` and `2 (3 f' f'' + e f''') x_i^3` on the diagonal.
///
/// # Errors
/// A parameter that is none; weights of another model; those of the engine; `Interrupted`.
/// # Source    Sensitivity analysis on loss landscape, 2024, arXiv 2403.01128; which second derivative
/// it means is not said there
pub fn loss_sensitivity(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    points: &[Weights],
    config: &SensitivityConfig,
) -> Result<Vec<Sensitivity>, MethodError> {
    let which = array_of(objective, config)?;
    let parameter = &objective.parameters()[which];
    let (variables, directions) = directions(parameter, config.reduction);
    let directions: Vec<Array> = directions
        .into_iter()
        .map(|d| Ok(Array::from_slice(&parameter.shape, &d)?.convert(objective.float())))
        .collect::<Result<_, MethodError>>()?;
    let mut programs: Vec<(usize, usize, Arc<Program>)> = Vec::new();
    for (size, batch) in objective.sizes() {
        let graph = |members| graph(objective, batch, which, config.reduction, members);
        let wanted = MEMBERS.min(directions.len());
        let (members, program) = fit(ctx, "derivatives along one weight", wanted, graph)?;
        programs.push((size, members, program));
    }
    ctx.progress().start("sensitivity", points.len() as u64);
    let mut found = Vec::with_capacity(points.len());
    for point in points {
        let point = frozen_at(ctx, objective, point)?;
        let weights = [point.parameters.arrays(), point.buffers.arrays()].concat();
        let mut terms: [Vec<Vec<f64>>; ORDERS] =
            std::array::from_fn(|_| vec![Vec::with_capacity(objective.examples()); variables]);
        for (batch, &size) in objective.batches().iter().enumerate() {
            ctx.check()?;
            let program = programs.iter().find(|(known, ..)| *known == size);
            let Some((_, members, program)) = program else {
                return Err(MethodError::mismatch("batch sizes", "those at the start", size));
            };
            let data = objective.data(batch)?;
            let mut sums: [Vec<Vec<f64>>; ORDERS] =
                std::array::from_fn(|_| vec![vec![0.0; size]; variables]);
            // Each variable has as many directions, one after the other.
            let each = directions.len() / variables.max(1);
            for (chunk, ways) in padded(&directions, *members).enumerate() {
                let first = chunk * members;
                let count = ways.len().min(directions.len() - first);
                ctx.spend(Pass::Product, count * size);
                let ways = Array::stack(&ways)?;
                let inputs = [weights.as_slice(), &data, &[ways]].concat();
                for (sums, array) in sums.iter_mut().zip(program.run(inputs)?) {
                    let rows = array.to_f64_vec();
                    for (at, row) in rows.chunks_exact(size).take(count).enumerate() {
                        let sum = &mut sums[(first + at) / each.max(1)];
                        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                    }
                }
            }
            for (terms, sums) in terms.iter_mut().zip(sums) {
                terms.iter_mut().zip(sums).for_each(|(terms, sums)| terms.extend(sums));
            }
        }
        let mean = |x: &Vec<f64>| thalweg_stats::pairwise_sum(x) / x.len().max(1) as f64;
        let scores = std::array::from_fn(|k| terms[k].iter().map(mean).collect());
        found.push(Sensitivity { scores, terms });
        ctx.progress().advance(1);
    }
    Ok(found)
}

/// The place of the array that is looked at.
fn array_of(objective: &dyn Objective, config: &SensitivityConfig) -> Result<usize, MethodError> {
    let parameters = objective.parameters();
    let place = match &config.parameter {
        None => (!parameters.is_empty()).then_some(0),
        Some(name) => parameters.iter().position(|parameter| parameter.name == *name),
    };
    place.ok_or_else(|| {
        let known: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
        let got = config.parameter.as_deref().unwrap_or("nothing");
        MethodError::config("weights of the inputs", format!("one of {}", known.join(", ")), got)
    })
}

/// The number of variables, and the directions: equally many for each, in order.
fn directions(parameter: &Parameter, reduction: Reduction) -> (usize, Vec<Vec<f64>>) {
    let n = parameter.count();
    let axis = parameter.axes.iter().position(|axis| *axis == Axis::Input);
    let (variables, inner) = match axis {
        Some(axis) => {
            (parameter.shape[axis], parameter.shape[axis + 1..].iter().product::<usize>())
        }
        None => (n, 1),
    };
    let variable = |element: usize| element / usize::max(inner, 1) % variables.max(1);
    let of = |v: usize| (0..n).filter(move |&element| variable(element) == v);
    let along = |elements: &[usize]| {
        let mut direction = vec![0.0; n];
        elements.iter().for_each(|&element| direction[element] = 1.0);
        direction
    };
    let directions = match reduction {
        Reduction::RowSum => {
            (0..variables).map(|v| along(&of(v).collect::<Vec<usize>>())).collect()
        }
        Reduction::Diagonal => {
            (0..variables).flat_map(of).map(|element| along(&[element])).collect()
        }
    };
    (variables, directions)
}

/// Derivatives of each example's loss along each of `members` directions, orders one to three.
fn graph(
    objective: &dyn Objective,
    batch: usize,
    which: usize,
    reduction: Reduction,
    members: usize,
) -> Result<Graph, MethodError> {
    let builder = Builder::new(objective.float());
    let declared = declare(&builder, objective, batch)?;
    let weights = declared.parameters[which];
    let ty = weights.ty();
    let shape = [&[members], ty.shape.as_slice()].concat();
    let batched = builder.input("directions", TensorType::new(ty.dtype, shape));
    let member = builder.placeholder(ty.clone());
    // Along what the orders below are taken.
    let below = match reduction {
        Reduction::Diagonal => member,
        Reduction::RowSum => builder.full(&ty, 1.0),
    };
    let first = along(declared.losses, weights, below);
    let second = along(first, weights, below);
    let orders = [declared.losses, first, second].map(|y| along(y, weights, member));
    let outputs = vmap(&orders, &[Replacement { member, batched, axis: 0 }], members);
    let named: Vec<_> = ["first", "second", "third"].into_iter().zip(outputs).collect();
    Ok(builder.finish(&named)?)
}

/// The derivative of `y` by `x` along a direction.
fn along<'b>(y: Tensor<'b>, x: Tensor<'b>, direction: Tensor<'b>) -> Tensor<'b> {
    jvp(&[y], &[x], &[direction]).tangents[0].unwrap_or_else(|| y.zeros_like())
}

/// `f(w . x + b)`, or with a hidden layer `f(v . f(W x + b) + c)`: the network of the source, with
/// Glorot's uniform initial weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SensitivityNetwork {
    /// `f`, of both layers.
    pub activation: Activation,
    /// Hidden units, if there are any.
    pub hidden: Option<usize>,
}

impl Layer for SensitivityNetwork {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let dense = |name: &str, outputs: usize, x: Tensor<'b>| {
            let layer = Dense {
                initializer: Initializer::XavierUniform { gain: 1.0 },
                bias_initializer: Some(Initializer::Constant(0.0)),
                ..Dense::new(outputs)
            };
            self.activation.of(layer.forward(&scope.enter(name), x))
        };
        let hidden = self.hidden.map_or(x, |units| dense("fc1", units, x));
        dense("output", 1, hidden)
    }
}

impl SensitivityNetwork {
    /// The model for so many variables.
    ///
    /// # Errors
    /// No variables or no hidden units.
    pub fn model(&self, variables: usize) -> Result<Model, MethodError> {
        if variables == 0 || self.hidden == Some(0) {
            return Err(MethodError::config("variables and hidden units", "at least 1 each", 0));
        }
        let port = ModelPort::float("input", &[variables]);
        Ok(Model::new(Arc::new(*self), vec![port], &["output"])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InputObjective, Likelihood, ModelObjective, ObjectiveConfig};
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::Loss;
    use thalweg_stats::spearman;
    use thalweg_train::initialize;

    const N: usize = 40;

    /// Inputs `[N, 3]` and targets, the first column with an effect if `planted`.
    fn data(planted: bool) -> (Vec<f64>, Vec<f64>) {
        let stream = Stream::new(6, "data");
        let x: Vec<f64> = (0..3 * N as u64).map(|i| stream.normal(i)).collect();
        let y = |i: usize| match planted {
            true => 0.3 * x[3 * i],
            false => stream.child("targets").uniform(i as u64) * 1.6 - 0.8,
        };
        let y = (0..N).map(y).collect();
        (x, y)
    }

    fn objective(
        ctx: &Context<'_>,
        network: SensitivityNetwork,
        (x, y): &(Vec<f64>, Vec<f64>),
    ) -> ModelObjective {
        let model = network.model(3).unwrap();
        let inputs = vec![Array::from_slice(&[N, 3], x).unwrap()];
        let targets = Array::from_slice(&[N, 1], y).unwrap();
        // Two sizes of batches.
        let config = ObjectiveConfig { batch: 17, ..ObjectiveConfig::default() };
        let loss = Loss::MeanSquaredError;
        ModelObjective::from_arrays(ctx, &model, loss, inputs, targets, false, &config).unwrap()
    }

    const NEURON: SensitivityNetwork =
        SensitivityNetwork { activation: Activation::Tanh, hidden: None };

    #[test]
    fn one_neuron_has_its_closed_forms() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let data = data(false);
        let (x, y) = &data;
        for activation in [Activation::Tanh, Activation::Sigmoid] {
            let neuron = SensitivityNetwork { activation, hidden: None };
            let objective = objective(&ctx, neuron, &data);
            let mut point = initialize(&neuron.model(3).unwrap(), 2, DType::F64).unwrap();
            let w = [0.4, -0.9, 0.2, 0.3];
            point.parameters = point.parameters.unflatten(&w).unwrap();
            // The value and three derivatives of the activation.
            let f = |z: f64| match activation {
                Activation::Tanh => {
                    let t = z.tanh();
                    let s = 1.0 - t * t;
                    [t, s, -2.0 * t * s, s * (6.0 * t * t - 2.0)]
                }
                _ => {
                    let p = 1.0 / (1.0 + (-z).exp());
                    let s = p * (1.0 - p);
                    [p, s, s * (1.0 - 2.0 * p), s * (1.0 - 6.0 * s)]
                }
            };
            for reduction in Reduction::ALL {
                let config = SensitivityConfig { reduction, ..SensitivityConfig::default() };
                let found = loss_sensitivity(&ctx, &objective, &[point.clone()], &config);
                let found = found.unwrap().remove(0);
                for i in 0..3 {
                    let mut expected = [0.0; 3];
                    for (row, y) in x.chunks(3).zip(y) {
                        let z = row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + w[3];
                        let [v, d1, d2, d3] = f(z);
                        let e = v - y;
                        let by = match reduction {
                            Reduction::Diagonal => row[i],
                            Reduction::RowSum => row.iter().sum(),
                        };
                        let forms = [
                            2.0 * e * d1,
                            2.0 * (d1 * d1 + e * d2),
                            2.0 * (3.0 * d1 * d2 + e * d3),
                        ];
                        for k in 0..3 {
                            expected[k] += forms[k] * row[i] * by.powi(k as i32) / N as f64;
                        }
                    }
                    for k in 0..3 {
                        let off = (found.scores[k][i] - expected[k]).abs();
                        assert!(off < 1e-10, "{reduction:?} {k} {i}: {off}");
                        assert_eq!(found.terms[k][i].len(), N);
                    }
                }
            }
        }
    }

    #[test]
    fn at_zero_the_first_order_is_the_correlation() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        for planted in [false, true] {
            let data = data(planted);
            let (x, y) = &data;
            let objective = objective(&ctx, NEURON, &data);
            let mut point = initialize(&NEURON.model(3).unwrap(), 0, DType::F64).unwrap();
            point.parameters = point.parameters.unflatten(&[0.0; 4]).unwrap();
            let config = SensitivityConfig::default();
            let found = loss_sensitivity(&ctx, &objective, &[point], &config).unwrap().remove(0);
            let products: Vec<f64> = (0..3)
                .map(|i| x.chunks(3).zip(y).map(|(x, y)| x[i] * y).sum::<f64>() / N as f64)
                .collect();
            for i in 0..3 {
                assert!((found.scores[0][i] + 2.0 * products[i]).abs() < 1e-12);
            }
            if planted {
                let sizes: Vec<f64> = found.scores[0].iter().map(|s| s.abs()).collect();
                assert!(sizes[0] > 2.0 * sizes[1].max(sizes[2]), "{sizes:?}");
                let column: Vec<f64> = x.chunks(3).map(|row| row[0]).collect();
                assert_eq!(spearman(&column, y).unwrap(), 1.0);
            }
        }
    }

    #[test]
    fn scores_of_units_add_up_and_inputs_have_scores_of_their_own() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let network = SensitivityNetwork { hidden: Some(2), ..NEURON };
        let objective = objective(&ctx, network, &data(false));
        let point = initialize(&network.model(3).unwrap(), 1, DType::F64).unwrap();
        let config = SensitivityConfig {
            parameter: Some("fc1.weight".into()),
            reduction: Reduction::Diagonal,
        };
        let found = loss_sensitivity(&ctx, &objective, std::slice::from_ref(&point), &config);
        let found = found.unwrap().remove(0);
        let loss = |moved: &[f64]| {
            let parameters = point.parameters.unflatten(moved).unwrap();
            let at = Weights { parameters, buffers: point.buffers.clone() };
            crate::evaluate(&ctx, &objective, &at).unwrap().loss
        };
        let flat = point.parameters.flatten();
        let curvature = |element: usize| {
            let at = |h: f64| {
                let mut moved = flat.clone();
                moved[element] += h;
                loss(&moved)
            };
            (at(1e-4) - 2.0 * at(0.0) + at(-1e-4)) / 1e-8
        };
        // The array is [3, 2]: two units a variable.
        for i in 0..3 {
            let expected = curvature(2 * i) + curvature(2 * i + 1);
            assert!((found.scores[1][i] - expected).abs() < 1e-6, "{i}");
        }
        let inputs = InputObjective::new(&objective, &point, Likelihood::Loss, Some(0)).unwrap();
        let config = SensitivityConfig::default();
        let centre = [inputs.centre().unwrap()];
        let map = loss_sensitivity(&ctx, &inputs, &centre, &config).unwrap().remove(0);
        assert_eq!((map.scores[0].len(), map.terms[0][0].len()), (3, 1));
        let named = SensitivityConfig { parameter: Some("fc9".into()), ..config };
        assert!(loss_sensitivity(&ctx, &inputs, &centre, &named).is_err());
    }
}
