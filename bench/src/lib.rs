//! Graphs and inputs that the benchmarks share.

pub mod curvature;
pub mod peak;
pub mod surface;
pub mod workload;

use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, GraphError, Tensor, TensorType};
use thalweg_nn::{Draw, Loss, Mode, Model, ModelPort, Parameters};
use thalweg_transform::{Replacement, gradient};

/// A deterministic source of initial weights and data: SplitMix64.
pub struct Source(u64);

impl Source {
    /// A source from a seed.
    pub fn new(seed: u64) -> Source {
        Source(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A float in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal.
    pub fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A tensor of normals.
    pub fn normals(&mut self, dtype: DType, shape: &[usize]) -> Array {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| self.gaussian()).collect();
        Array::from_slice(shape, &values).expect("as many as the shape holds").convert(dtype)
    }

    /// Labels below `n_classes`.
    pub fn labels(&mut self, n: usize, n_classes: usize) -> Array {
        let labels: Vec<i32> = (0..n).map(|_| (self.unit() * n_classes as f64) as i32).collect();
        Array::vector(&labels)
    }
}

impl Draw for Source {
    fn uniform(&mut self, _: &str, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.unit()).collect()
    }

    fn normal(&mut self, _: &str, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.gaussian()).collect()
    }
}

/// The inputs of one training step in a builder.
pub struct Step<'b> {
    /// Parameters.
    pub parameters: Vec<Tensor<'b>>,
    /// Running statistics.
    pub buffers: Vec<Tensor<'b>>,
    /// Examples and labels.
    pub batch: [Tensor<'b>; 2],
    /// Mean loss over the batch.
    pub loss: Tensor<'b>,
    /// Buffers after the batch.
    pub new_buffers: Vec<Tensor<'b>>,
}

/// Traces the loss of a model in training mode; example weights default to one.
pub fn trace_loss<'b>(
    b: &'b Builder,
    model: &Model,
    parameters: &[Tensor<'b>],
    x: Tensor<'b>,
    y: Tensor<'b>,
    weights: Option<Tensor<'b>>,
) -> Tensor<'b> {
    Loss::default().of(model.apply(b, parameters, &[], x, &Mode::BATCH).output, y, weights)
}

/// Traces the loss of a model in training mode on a batch of labels, one for each position where
/// its outputs have several.
pub fn trace<'b>(b: &'b Builder, model: &Model, example: &[usize], batch: usize) -> Step<'b> {
    let (parameters, buffers) = model.declare(b);
    let port = ModelPort { shape: example.to_vec(), ..model.inputs()[0].clone() };
    let x = b.input("x", port.batch_type(b.float(), batch));
    let positions =
        model.outputs()[0].shape.split_last().map_or(&[][..], |(_, positions)| positions);
    let y = b.input("y", TensorType::new(DType::I32, [&[batch], positions].concat()));
    let applied = model.apply(b, &parameters, &buffers, x, &Mode::BATCH);
    let loss = Loss::default().of(applied.output, y, None);
    Step { parameters, buffers, batch: [x, y], loss, new_buffers: applied.new_buffers }
}

/// Only the loss.
pub fn loss_graph(
    model: &Model,
    float: DType,
    image: &[usize],
    batch: usize,
) -> Result<Graph, GraphError> {
    let b = Builder::new(float);
    let step = trace(&b, model, image, batch);
    b.finish(&[("loss", step.loss)])
}

/// The gradient, one output a parameter.
pub fn gradient_graph(
    model: &Model,
    float: DType,
    image: &[usize],
    batch: usize,
) -> Result<Graph, GraphError> {
    let b = Builder::new(float);
    let step = trace(&b, model, image, batch);
    let gradients = gradient(step.loss, &step.parameters);
    finish(&b, "gradient", &gradients)
}

/// A step of SGD with momentum: `(parameters, buffers, x, y, velocities, lr) ->` the same after it,
/// and the loss.
pub fn training_graph(
    model: &Model,
    float: DType,
    image: &[usize],
    batch: usize,
) -> Result<Graph, GraphError> {
    let b = Builder::new(float);
    let step = trace(&b, model, image, batch);
    let velocities: Vec<_> = step
        .parameters
        .iter()
        .enumerate()
        .map(|(i, parameter)| b.input(&format!("velocity{i}"), parameter.ty()))
        .collect();
    let lr = b.input("lr", TensorType::new(float, []));
    let gradients = gradient(step.loss, &step.parameters);
    let mut parameters = Vec::new();
    let mut next_velocities = Vec::new();
    for ((parameter, velocity), gradient) in step.parameters.iter().zip(&velocities).zip(gradients)
    {
        let velocity = *velocity * 0.9 + gradient;
        parameters.push(*parameter - velocity * lr);
        next_velocities.push(velocity);
    }
    let outputs = [parameters, step.new_buffers, next_velocities, vec![step.loss]].concat();
    finish(&b, "out", &outputs)
}

/// A Hessian-vector product: `(parameters, buffers, x, y, directions) -> products`.
pub fn hvp_graph(
    model: &Model,
    float: DType,
    image: &[usize],
    batch: usize,
) -> Result<Graph, GraphError> {
    let b = Builder::new(float);
    let step = trace(&b, model, image, batch);
    let directions: Vec<_> = step
        .parameters
        .iter()
        .enumerate()
        .map(|(i, parameter)| b.input(&format!("direction{i}"), parameter.ty()))
        .collect();
    let products = thalweg_transform::hvp(step.loss, &step.parameters, &directions);
    finish(&b, "product", &products)
}

/// A graph with outputs of one name and a number.
pub fn finish(b: &Builder, name: &str, outputs: &[Tensor<'_>]) -> Result<Graph, GraphError> {
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("{name}{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs.iter().copied()).collect();
    b.finish(&named)
}

/// Arrays for the inputs of a graph by name: weights from the model, data and directions drawn.
pub fn inputs(graph: &Graph, model: &Model, seed: u64) -> Vec<Array> {
    let mut source = Source::new(seed);
    let first = graph.inputs().next().map_or(DType::F32, |port| port.ty.dtype);
    let weights = model.initialize(&mut source, first).expect("a model that initialises");
    let find = |tree: &Parameters, name: &str| tree.get(name).cloned();
    let classes = model.outputs()[0].shape.last().copied().unwrap_or(1);
    graph
        .inputs()
        .map(|port| {
            let shape = &port.ty.shape;
            find(&weights.parameters, &port.name)
                .or_else(|| find(&weights.buffers, &port.name))
                .unwrap_or_else(|| match port.name.as_str() {
                    "x" | "y" if port.ty.dtype == DType::I32 => {
                        let labels = source.labels(port.ty.element_count(), classes);
                        labels.reshape(shape).expect("as many as the shape holds")
                    }
                    "example_weights" => Array::full(shape, 1.0f64).convert(port.ty.dtype),
                    "lr" => Array::scalar(0.05).convert(port.ty.dtype),
                    name if name.starts_with("velocity") => Array::zeros(port.ty.dtype, shape),
                    _ => source.normals(port.ty.dtype, shape),
                })
        })
        .collect()
}

/// A graph for `size` members: every input but `shared` gets a leading axis of members.
pub fn population(graph: &Graph, shared: &[&str], size: usize) -> Result<Graph, GraphError> {
    let b = Builder::new(graph.inputs().next().map_or(DType::F32, |port| port.ty.dtype));
    let mut members = Vec::new();
    let mut replaced = Vec::new();
    for port in graph.inputs() {
        if shared.contains(&port.name.as_str()) {
            members.push(b.input(&port.name, port.ty.clone()));
            continue;
        }
        let member = b.placeholder(port.ty.clone());
        let shape = [&[size], port.ty.shape.as_slice()].concat();
        let batched = b.input(&port.name, TensorType::new(port.ty.dtype, shape));
        replaced.push(Replacement { member, batched, axis: 0 });
        members.push(member);
    }
    let outputs = b.inline(graph, &members);
    let batched = thalweg_transform::vmap(&outputs, &replaced, size);
    let names: Vec<&str> = graph.output_names().collect();
    let named: Vec<_> = names.into_iter().zip(batched).collect();
    b.finish(&named)
}

/// Arrays for a population's inputs: member `i` has those of `inputs(.., seed + i)`.
pub fn population_inputs(
    graph: &Graph,
    model: &Model,
    shared: &[&str],
    size: usize,
    seed: u64,
) -> Vec<Array> {
    let each: Vec<Vec<Array>> = (0..size).map(|i| inputs(graph, model, seed + i as u64)).collect();
    graph
        .inputs()
        .enumerate()
        .map(|(i, port)| {
            if shared.contains(&port.name.as_str()) {
                return each[0][i].clone();
            }
            let members: Vec<Array> = each.iter().map(|arrays| arrays[i].clone()).collect();
            Array::stack(&members).expect("members of one type")
        })
        .collect()
}

/// Fifty (or `length`) momentum steps in one loop, differentiated: the gradient of the final loss
/// with respect to the initial weights, the learning rate and every example's weight.
///
/// Inputs: `(parameters, buffers, x, y, lr, example_weights)`, each step on the whole of `x`.
pub fn metagradient_graph(
    model: &Model,
    float: DType,
    image: &[usize],
    batch: usize,
    length: usize,
    checkpoint_branching: usize,
) -> Result<Graph, GraphError> {
    let b = Builder::new(float);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", TensorType::new(float, [&[batch], image].concat()));
    let y = b.input("y", TensorType::new(DType::I32, [batch]));
    let lr = b.input("lr", TensorType::new(float, []));
    let weights = b.input("example_weights", TensorType::new(float, [batch]));
    let n = parameters.len();
    let zeros: Vec<_> = parameters.iter().map(|p| p.zeros_like()).collect();
    let carry = [parameters.as_slice(), buffers.as_slice(), zeros.as_slice()].concat();
    let n_buffers = buffers.len();
    let (last, _) = b.scan(length, &carry, &[], &[x, y, lr, weights], checkpoint_branching, |s| {
        let [x, y, lr, weights] = [s.constants[0], s.constants[1], s.constants[2], s.constants[3]];
        let (parameters, rest) = s.carry.split_at(n);
        let (buffers, velocities) = rest.split_at(n_buffers);
        let applied = model.apply(s.builder, parameters, buffers, x, &Mode::BATCH);
        let loss = Loss::default().of(applied.output, y, Some(weights));
        let gradients = gradient(loss, parameters);
        let velocities: Vec<_> =
            velocities.iter().zip(gradients).map(|(v, g)| *v * 0.9 + g).collect();
        let next: Vec<_> = parameters.iter().zip(&velocities).map(|(p, v)| *p - *v * lr).collect();
        ([next, applied.new_buffers, velocities].concat(), Vec::new())
    });
    let applied = model.apply(&b, &last[..n], &last[n..n + n_buffers], x, &Mode::BATCH);
    let loss = Loss::default().of(applied.output, y, None);
    let wrt = [parameters.as_slice(), &[lr, weights]].concat();
    let mut outputs = gradient(loss, &wrt);
    outputs.push(loss);
    finish(&b, "out", &outputs)
}
