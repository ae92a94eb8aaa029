//! The work that Thalweg and its peers are timed on, by name.
//!
//! A [`Workload`] is one graph with its inputs. Its inputs and results can be written under
//! PyTorch's names and in its layout, so that a peer starts from the same numbers and what it
//! computes can be held against ours.

use crate::{
    Source, finish, gradient_graph, hvp_graph, inputs, loss_graph, population, population_inputs,
    trace_loss, training_graph,
};
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::{Architecture, Loss, Mode, Model, Weights, to_torch};
use thalweg_transform::{Replacement, gradient, value_and_grad, vmap};

/// Any failure of a benchmark ends it.
pub type Failure = Box<dyn std::error::Error>;

/// A graph with its inputs.
pub struct Workload {
    /// What is computed.
    pub graph: Graph,
    /// On what.
    pub arrays: Vec<Array>,
    /// The input that each output becomes in the next run.
    pub carried: Vec<Option<usize>>,
    model: Model,
    results: Vec<Part>,
}

/// What an output is to a peer.
#[derive(Clone)]
enum Part {
    /// Of the shape of the model's parameter of that number.
    Parameter(usize),
    /// A value of its own.
    Value(&'static str),
    /// Nothing that a peer has.
    Internal,
}

/// Every workload.
pub const WORKLOADS: [&str; 17] = [
    "mlp-step",
    "mlp-hvp",
    "resnet-loss",
    "resnet-gradient",
    "resnet-step",
    "resnet-hvp",
    "resnet-8-hvps",
    "resnet-16-losses",
    "resnet-16-steps",
    "mlp-64-steps",
    "maml-1",
    "maml-5",
    "data-weights",
    "data-weights-400",
    "data-weights-short",
    "gpt-step",
    "gpt-hvp",
];

const IMAGE: [usize; 3] = [32, 32, 3];
const BATCH: usize = 128;
const SEED: u64 = 7;
/// Sequences in a batch, and tokens in a sequence.
const SEQUENCES: usize = 16;
const CONTEXT: [usize; 1] = [128];

impl Workload {
    /// The workload of a name. Its numbers are those of `f32` in either float type.
    ///
    /// # Errors
    /// An unknown name.
    pub fn new(name: &str, float: DType) -> Result<Workload, Failure> {
        let mut workload = Workload::in_float(name, float)?;
        if float != DType::F32 {
            let narrow = Workload::in_float(name, DType::F32)?.arrays;
            let types = workload.graph.inputs().map(|port| port.ty.dtype);
            workload.arrays = narrow.iter().zip(types).map(|(a, ty)| a.convert(ty)).collect();
        }
        Ok(workload)
    }

    fn in_float(name: &str, f: DType) -> Result<Workload, Failure> {
        let build = |text: &str, shape: &[usize], outputs: usize| -> Result<Model, Failure> {
            Ok(text.parse::<Architecture>()?.build(shape, outputs)?)
        };
        let mlp = || build("mlp hidden=256", &[784], 10);
        let resnet = || build("resnet depth=20 width=16", &IMAGE, 10);
        let gpt = || build("gpt depth=4 width=128 heads=4", &CONTEXT, 65);
        Ok(match name {
            "mlp-step" => {
                let model = mlp()?;
                Workload::step(training_graph(&model, f, &[784], BATCH)?, model, None)?
            }
            "mlp-hvp" => {
                let model = mlp()?;
                Workload::parameters(hvp_graph(&model, f, &[784], BATCH)?, model)
            }
            "resnet-loss" => {
                let model = resnet()?;
                Workload::loss(loss_graph(&model, f, &IMAGE, BATCH)?, model, None)?
            }
            "resnet-gradient" => {
                let model = resnet()?;
                Workload::parameters(gradient_graph(&model, f, &IMAGE, BATCH)?, model)
            }
            "resnet-step" => {
                let model = resnet()?;
                Workload::step(training_graph(&model, f, &IMAGE, BATCH)?, model, None)?
            }
            "resnet-hvp" => {
                let model = resnet()?;
                Workload::parameters(hvp_graph(&model, f, &IMAGE, BATCH)?, model)
            }
            "resnet-8-hvps" => {
                let model = resnet()?;
                let graph = hvp_graph(&model, f, &IMAGE, BATCH)?;
                let shared: Vec<String> = graph
                    .inputs()
                    .map(|port| port.name.clone())
                    .filter(|name| !name.starts_with("direction"))
                    .collect();
                let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
                let (graph, arrays) = with_inputs(graph, &model, &shared, Some(8))?;
                Workload { arrays, ..Workload::parameters(graph, model) }
            }
            "resnet-16-losses" => {
                let model = resnet()?;
                Workload::loss(loss_graph(&model, f, &IMAGE, BATCH)?, model, Some(16))?
            }
            "resnet-16-steps" => {
                let model = resnet()?;
                Workload::step(training_graph(&model, f, &IMAGE, BATCH)?, model, Some(16))?
            }
            "mlp-64-steps" => {
                let model = mlp()?;
                Workload::step(training_graph(&model, f, &[784], BATCH)?, model, Some(64))?
            }
            "maml-1" => maml(f, build("mlp hidden=40-40", &[1], 1)?, 1)?,
            "maml-5" => maml(f, build("mlp hidden=40-40", &[1], 1)?, 5)?,
            // Branching by the square root: trees of two levels, as the peer has them.
            "data-weights" => data_weights(f, mlp()?, 2000, 45)?,
            "data-weights-400" => data_weights(f, mlp()?, 400, 20)?,
            "data-weights-short" => data_weights(f, mlp()?, 100, 10)?,
            "gpt-step" => {
                let model = gpt()?;
                Workload::step(training_graph(&model, f, &CONTEXT, SEQUENCES)?, model, None)?
            }
            "gpt-hvp" => {
                let model = gpt()?;
                Workload::parameters(hvp_graph(&model, f, &CONTEXT, SEQUENCES)?, model)
            }
            other => {
                let known = WORKLOADS.join(", ");
                return Err(format!("workload {other:?}: not one of {known}").into());
            }
        })
    }

    /// The inputs of a run; those that its results take the place of are given away.
    pub fn take(&mut self) -> Vec<Array> {
        let arrays = self.arrays.clone();
        for input in self.carried.iter().flatten() {
            self.arrays[*input] = Array::scalar(0i32);
        }
        arrays
    }

    /// Keeps what the next run starts from.
    pub fn advance(&mut self, outputs: Vec<Array>) {
        for (output, input) in outputs.into_iter().zip(&self.carried) {
            if let Some(input) = *input {
                self.arrays[input] = output;
            }
        }
    }

    /// Inputs by name, those of the model in PyTorch's layout.
    ///
    /// # Errors
    /// None for a workload of this module.
    pub fn named_inputs(&self) -> Result<Vec<(String, Array)>, Failure> {
        let mut parameters = Vec::new();
        let mut directions = Vec::new();
        let mut named = Vec::new();
        for (port, array) in self.graph.inputs().zip(&self.arrays) {
            let index = self.model.parameters().iter().position(|p| p.name == port.name);
            let direction = port.name.strip_prefix("direction").and_then(|n| n.parse().ok());
            match (index, direction) {
                (Some(index), _) => parameters.push((index, array.clone())),
                (None, Some(index)) => directions.push((index, array.clone())),
                _ if self.model.buffers().iter().any(|b| b.name == port.name) => {}
                _ if port.name.starts_with("velocity") => {}
                _ => named.push((port.name.clone(), array.clone())),
            }
        }
        named.extend(self.torch("parameter", &parameters)?);
        named.extend(self.torch("direction", &directions)?);
        Ok(named)
    }

    /// Results by name, those of the shape of parameters in PyTorch's layout.
    ///
    /// # Errors
    /// None for a workload of this module.
    pub fn named_results(&self, outputs: &[Array]) -> Result<Vec<(String, Array)>, Failure> {
        let mut parameters = Vec::new();
        let mut named = Vec::new();
        for (part, array) in self.results.iter().zip(outputs) {
            match part {
                Part::Parameter(index) => parameters.push((*index, array.clone())),
                Part::Value(name) => named.push(((*name).to_owned(), array.clone())),
                Part::Internal => {}
            }
        }
        named.extend(self.torch("result", &parameters)?);
        Ok(named)
    }

    /// Arrays of parameters, of one member or of many, under names with a prefix.
    fn torch(
        &self,
        prefix: &str,
        arrays: &[(usize, Array)],
    ) -> Result<Vec<(String, Array)>, Failure> {
        let Some((first, array)) = arrays.first() else { return Ok(Vec::new()) };
        let shape = &self.model.parameters()[*first].shape;
        let members = (array.shape().len() > shape.len()).then(|| array.shape()[0]);
        let dtype = array.dtype();
        let blank = self.model.initialize(&mut Source::new(0), dtype)?;
        let one = |member: Option<usize>| -> Result<Vec<(String, Array)>, Failure> {
            let mut tree = blank.parameters.arrays().to_vec();
            for (index, array) in arrays {
                tree[*index] = match member {
                    Some(member) => array.row(member)?,
                    None => array.clone(),
                };
            }
            let parameters = self.model.parameter_tree(tree)?;
            let weights = Weights { parameters, buffers: blank.buffers.clone() };
            let mut entries = to_torch(&self.model, &weights)?;
            entries.truncate(self.model.parameters().len());
            Ok(entries)
        };
        let entries = match members {
            None => one(None)?,
            Some(members) => {
                let each = (0..members).map(|m| one(Some(m))).collect::<Result<Vec<_>, _>>()?;
                let stack = |i: usize| -> Result<(String, Array), Failure> {
                    let rows: Vec<Array> = each.iter().map(|e| e[i].1.clone()).collect();
                    Ok((each[0][i].0.clone(), Array::stack(&rows)?))
                };
                (0..each[0].len()).map(stack).collect::<Result<_, _>>()?
            }
        };
        Ok(entries.into_iter().map(|(name, array)| (format!("{prefix}/{name}"), array)).collect())
    }

    /// A graph whose outputs have the shapes of the parameters.
    fn parameters(graph: Graph, model: Model) -> Workload {
        let arrays = inputs(&graph, &model, SEED);
        let results = (0..graph.n_outputs()).map(Part::Parameter).collect();
        let carried = vec![None; graph.n_outputs()];
        Workload { graph, arrays, carried, model, results }
    }

    fn loss(graph: Graph, model: Model, members: Option<usize>) -> Result<Workload, Failure> {
        let (graph, arrays) = with_inputs(graph, &model, &["x", "y"], members)?;
        let results = vec![Part::Value("loss")];
        Ok(Workload { graph, arrays, carried: vec![None], model, results })
    }

    /// A training step; of a population, each member on a batch of its own.
    fn step(graph: Graph, model: Model, members: Option<usize>) -> Result<Workload, Failure> {
        let (graph, arrays) = with_inputs(graph, &model, &["lr"], members)?;
        let (n, n_buffers) = (model.parameters().len(), model.buffers().len());
        let parameters = (0..n).map(Part::Parameter);
        let internal = std::iter::repeat_n(Part::Internal, n_buffers + n);
        let results = parameters.chain(internal).chain([Part::Value("loss")]).collect();
        // Inputs are parameters, buffers, x, y, velocities, rate; outputs leave out x and y.
        let of_state = (0..n + n_buffers).map(Some);
        let of_velocities = (n + n_buffers + 2..2 * n + n_buffers + 2).map(Some);
        let carried = of_state.chain(of_velocities).chain([None]).collect();
        Ok(Workload { graph, arrays, carried, model, results })
    }
}

/// A graph with its inputs: alone, or for members that have all but the shared ones to themselves.
fn with_inputs(
    graph: Graph,
    model: &Model,
    shared: &[&str],
    members: Option<usize>,
) -> Result<(Graph, Vec<Array>), Failure> {
    let Some(n) = members else {
        let arrays = inputs(&graph, model, SEED);
        return Ok((graph, arrays));
    };
    let arrays = population_inputs(&graph, model, shared, n, SEED);
    Ok((population(&graph, shared, n)?, arrays))
}

/// A meta-step of second-order MAML on sinusoids: 25 tasks of 10 examples each to adapt on and to
/// be judged on.
fn maml(float: DType, model: Model, steps: usize) -> Result<Workload, Failure> {
    const TASKS: usize = 25;
    const SHOTS: usize = 10;
    let b = Builder::new(float);
    let (parameters, _) = model.declare(&b);
    let rate = b.input("lr", TensorType::new(b.float(), []));
    let meta_rate = b.input("meta_lr", TensorType::new(b.float(), []));
    let example = TensorType::new(b.float(), [SHOTS, 1]);
    let member: Vec<Tensor<'_>> = (0..4).map(|_| b.placeholder(example.clone())).collect();
    let mut adapted = parameters.clone();
    for _ in 0..steps {
        let loss = mean_squared_error(&b, &model, &adapted, member[0], member[1]);
        let gradients = gradient(loss, &adapted);
        adapted = adapted.iter().zip(gradients).map(|(p, g)| *p - g * rate).collect();
    }
    let loss = mean_squared_error(&b, &model, &adapted, member[2], member[3]);
    let replacements: Vec<Replacement<'_>> = ["x", "y", "x_query", "y_query"]
        .iter()
        .zip(&member)
        .map(|(name, &member)| {
            let batched = b.input(name, TensorType::new(b.float(), [TASKS, SHOTS, 1]));
            Replacement { member, batched, axis: 0 }
        })
        .collect();
    let loss = vmap(&[loss], &replacements, TASKS)[0].mean(&[0]);
    let gradients = gradient(loss, &parameters);
    let mut outputs: Vec<_> =
        parameters.iter().zip(gradients).map(|(p, g)| *p - g * meta_rate).collect();
    outputs.push(loss);
    let graph = finish(&b, "out", &outputs)?;
    let mut source = Source::new(SEED);
    let mut arrays = model.initialize(&mut source, float)?.parameters.into_arrays();
    let n = arrays.len();
    arrays.extend([0.01, 0.001].map(|rate| Array::scalar(rate).convert(float)));
    let (mut x, mut y) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..TASKS {
        let (amplitude, phase) = (0.1 + 4.9 * source.unit(), std::f64::consts::PI * source.unit());
        for part in 0..2 {
            for _ in 0..SHOTS {
                let at = 10.0 * source.unit() - 5.0;
                x[part].push(at);
                y[part].push(amplitude * (at + phase).sin());
            }
        }
    }
    for values in [&x[0], &y[0], &x[1], &y[1]] {
        arrays.push(Array::from_slice(&[TASKS, SHOTS, 1], values)?.convert(float));
    }
    let results = (0..n).map(Part::Parameter).chain([Part::Value("loss")]).collect();
    let carried = (0..n).map(Some).chain([None]).collect();
    Ok(Workload { graph, arrays, carried, model, results })
}

fn mean_squared_error<'b>(
    b: &'b Builder,
    model: &Model,
    parameters: &[Tensor<'b>],
    x: Tensor<'b>,
    y: Tensor<'b>,
) -> Tensor<'b> {
    let output = model.apply(b, parameters, &[], x, &Mode::BATCH).output;
    Loss::MeanSquaredError.of(output, y, None)
}

/// The gradient of the loss on 512 held-out examples with respect to the weights of 4096 training
/// examples, through `length` steps of SGD.
fn data_weights(
    float: DType,
    model: Model,
    length: usize,
    branching: usize,
) -> Result<Workload, Failure> {
    const EXAMPLES: usize = 4096;
    const HELD_OUT: usize = 512;
    const FEATURES: usize = 784;
    let b = Builder::new(float);
    let (parameters, _) = model.declare(&b);
    let rows = |name: &str, n: usize| b.input(name, TensorType::new(b.float(), [n, FEATURES]));
    let labels = |name: &str, n: usize| b.input(name, TensorType::new(DType::I32, [n]));
    let (x, y) = (rows("x", EXAMPLES), labels("y", EXAMPLES));
    let (x_held, y_held) = (rows("x_query", HELD_OUT), labels("y_query", HELD_OUT));
    let indices = b.input("indices", TensorType::new(DType::I32, [length, BATCH]));
    let rate = b.input("lr", TensorType::new(b.float(), []));
    let weights = b.input("example_weights", TensorType::new(b.float(), [EXAMPLES]));
    let constants = [x, y, rate, weights];
    let (last, _) = b.scan(length, &parameters, &[indices], &constants, branching, |s| {
        let [x, y, rate, weights] = [0, 1, 2, 3].map(|i| s.constants[i]);
        let [x, y, weights] = [x, y, weights].map(|all| all.take(s.xs[0]));
        let loss = trace_loss(s.builder, &model, s.carry, x, y, Some(weights));
        let gradients = gradient(loss, s.carry);
        (s.carry.iter().zip(gradients).map(|(p, g)| *p - g * rate).collect(), Vec::new())
    });
    let loss = trace_loss(&b, &model, &last, x_held, y_held, None);
    // The value that comes with the gradient: the loss above would run a loop of its own.
    let (loss, gradient) = value_and_grad(loss, &[weights]);
    let graph = finish(&b, "out", &[gradient[0], loss])?;
    let mut source = Source::new(SEED);
    let mut arrays = model.initialize(&mut source, float)?.parameters.into_arrays();
    for n in [EXAMPLES, HELD_OUT] {
        arrays.push(source.normals(float, &[n, FEATURES]));
        arrays.push(source.labels(n, 10));
    }
    let indices: Vec<i32> =
        (0..length * BATCH).map(|_| (source.unit() * EXAMPLES as f64) as i32).collect();
    arrays.push(Array::from_slice(&[length, BATCH], &indices)?);
    arrays.push(Array::scalar(0.05).convert(float));
    arrays.push(Array::full(&[EXAMPLES], 1.0f64).convert(float));
    let results = vec![Part::Value("example_gradient"), Part::Value("loss")];
    Ok(Workload { graph, arrays, carried: vec![None; 2], model, results })
}
