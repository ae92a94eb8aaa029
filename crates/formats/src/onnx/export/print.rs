//! From the nodes of a traced graph to those of a file.

use super::extent::{Extent, Traced};
use super::file::{File, Typed, data_type, value_info};
use super::held::{Held, Shuffle};
use super::recognise::Meaning;
use super::{ExportInfo, ImageLayout, unsupported};
use crate::FormatError;
use crate::onnx::proto::ValueInfoProto;
use crate::onnx::proto::tensor_proto::DataType;
use std::collections::BTreeMap;
use thalweg_array::Array;
use thalweg_graph::{Node, Op, Value};
use thalweg_nn::{Model, ModelPort, Parameter, PortType, Weights, to_torch};

/// All that a printed model is.
pub(super) struct Printed {
    pub(super) file: File,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
    /// Whether an input is images.
    pub(super) images: bool,
    /// Whether the file begins with a normalisation.
    pub(super) normalised: bool,
}

/// A graph being printed.
pub(super) struct Printer<'m> {
    pub(super) file: File,
    pub(super) traced: &'m Traced,
    model: &'m Model,
    info: &'m ExportInfo,
    arrays: BTreeMap<String, Array>,
    held: Vec<Vec<Held>>,
    scopes: Vec<Scope>,
}

/// The part of the model that a node belongs to.
#[derive(Clone, Debug, Default)]
struct Scope {
    name: String,
    /// Whether the part has parameters of its own: what follows it belongs to its parent.
    leaf: bool,
}

impl<'m> Printer<'m> {
    pub(super) fn new(
        model: &'m Model,
        weights: &Weights,
        info: &'m ExportInfo,
        traced: &'m Traced,
    ) -> Result<Printer<'m>, FormatError> {
        let arrays = to_torch(model, &weights.convert(info.float))
            .map_err(|error| unsupported(error.to_string()))?;
        let mut file = File::default();
        for port in model.inputs().iter().chain(model.outputs()) {
            file.fresh(&port.name);
        }
        file.batch_of = model.inputs().first().map(|port| port.name.clone()).unwrap_or_default();
        let arrays = arrays.into_iter().collect();
        Ok(Printer { file, traced, model, info, arrays, held: Vec::new(), scopes: Vec::new() })
    }

    pub(super) fn print(mut self, meanings: &[Meaning]) -> Result<Printed, FormatError> {
        let traced = self.traced;
        let nodes = traced.graph.nodes();
        let mut live = vec![false; nodes.len()];
        traced.graph.output_values().for_each(|value| live[value.node as usize] = true);
        // Operands come before their readers, so one pass from the end finds all that is read.
        for (index, node) in nodes.iter().enumerate().rev() {
            if live[index] {
                let operands = meanings[index].operands(&node.inputs);
                operands.iter().for_each(|value| live[value.node as usize] = true);
            }
        }
        for (index, node) in nodes.iter().enumerate() {
            let (held, scope) = match live[index] {
                false => (Vec::new(), Scope::default()),
                true => {
                    let scope = self.scope(&meanings[index].operands(&node.inputs));
                    self.file.scope.clone_from(&scope.name);
                    (self.node(Value::first(index as u32), node, &meanings[index])?, scope)
                }
            };
            self.held.push(held);
            self.scopes.push(scope);
        }
        self.finish()
    }

    fn node(
        &mut self,
        value: Value,
        node: &Node,
        meaning: &Meaning,
    ) -> Result<Vec<Held>, FormatError> {
        let one = match meaning {
            Meaning::Itself => return self.operation(value, node),
            Meaning::Function { op, x, alpha } => self.function(op, *x, *alpha)?,
            Meaning::Reduce { op, x, axes, keep } => self.reduce(op, *x, axes, *keep)?,
            Meaning::MaxPool { x, window } => self.max_pool(*x, window)?,
            Meaning::AveragePool { x, window } => self.average_pool(*x, window)?,
            Meaning::Biased { product, bias, .. } => self.biased(*product, *bias)?,
            Meaning::BatchNorm { x, scale, shift, mean, variance, eps } => {
                self.batch_norm(*x, [*scale, *shift, *mean, *variance], *eps)?
            }
            Meaning::LayerNorm { x, scale, shift, eps } => {
                self.layer_norm(*x, [*scale, *shift], *eps)?
            }
            Meaning::GroupNorm { x, groups, eps } => self.group_norm(*x, *groups, *eps)?,
            Meaning::Softmax { x, axis } => self.softmax(*x, *axis)?,
            Meaning::Index { x, axis, index } => self.index(*x, *axis, *index)?,
        };
        Ok(vec![one])
    }

    /// The operation of a node by itself.
    fn operation(&mut self, value: Value, node: &Node) -> Result<Vec<Held>, FormatError> {
        let inputs = node.inputs.as_slice();
        let refused =
            || Err(unsupported(format!("{} is not an operation of ONNX", node.op.name())));
        let one = match &node.op {
            Op::Input { index } => self.input(*index as usize)?,
            Op::Constant(array) => Held::plain(self.file.constant(array)?),
            Op::Iota { dtype, axis, .. } => self.iota(*dtype, *axis, value)?,
            Op::Unary(unary) => self.unary(*unary, inputs[0])?,
            Op::Binary(binary) => self.binary(*binary, inputs[0], inputs[1])?,
            Op::Compare(comparison) => self.compare(*comparison, inputs[0], inputs[1])?,
            Op::Select => self.select(inputs)?,
            Op::Convert(dtype) => self.convert(inputs[0], *dtype)?,
            Op::StopGradient => self.raw(inputs[0]),
            Op::Broadcast { axes, .. } => self.raw(inputs[0]).relabelled(|axis| axes[axis]),
            Op::Reshape { .. } => self.reshape(inputs[0], value)?,
            Op::Transpose { permutation } => {
                let mut to = vec![0; permutation.len()];
                permutation.iter().enumerate().for_each(|(new, &old)| to[old] = new);
                self.raw(inputs[0]).relabelled(|axis| to[axis])
            }
            Op::Slice { start, limit, stride } => self.slice(inputs[0], start, limit, stride)?,
            Op::Pad { low, high, interior } => self.pad(inputs, low, high, interior)?,
            Op::Concatenate { axis } => self.concatenate(inputs, *axis)?,
            Op::Reverse { axes } => self.reverse(inputs[0], axes)?,
            Op::DynamicSlice { sizes } => self.dynamic_slice(inputs, sizes)?,
            Op::DynamicUpdateSlice => self.dynamic_update_slice(inputs)?,
            Op::Gather(axes) => self.gather(inputs[0], inputs[1], *axes)?,
            Op::ScatterAdd(axes) => self.scatter_add(inputs, *axes)?,
            Op::Reduce { kind, axes } => self.reduction(*kind, inputs[0], axes)?,
            Op::WindowSum(window) => self.window_sum(inputs[0], window, value)?,
            Op::WindowArgMax(window) => self.window_arg_max(inputs[0], window, value)?,
            Op::ArgMax { axis } => self.arg_max(inputs[0], *axis)?,
            Op::Sort { axis, descending } => return self.sort(inputs, *axis, *descending),
            Op::CumulativeSum { axis, reverse } => {
                self.cumulative_sum(inputs[0], *axis, *reverse)?
            }
            Op::Dot(axes) => self.dot(inputs[0], inputs[1], axes, None)?,
            Op::Convolution(window) => {
                self.convolution(inputs[0], inputs[1], window, None, value)?
            }
            Op::ConvolutionInputGradient { window, input } => {
                self.transposed_convolution(inputs[0], inputs[1], window, *input, value)?
            }
            Op::Bitcast(_)
            | Op::Threefry
            | Op::ConvolutionWeightGradient { .. }
            | Op::Cholesky
            | Op::TriangularSolve { .. }
            | Op::SymmetricEigen
            | Op::LinearSolve(_)
            | Op::FixedPoint(_)
            | Op::Scan(_)
            | Op::While(_) => return refused(),
        };
        Ok(vec![one])
    }

    /// Where a value is, of whatever integer type the file has it in.
    pub(super) fn raw(&self, value: Value) -> Held {
        self.held[value.node as usize][value.output as usize].clone()
    }

    /// Where a value is, in the engine's type.
    pub(super) fn get(&mut self, value: Value) -> Held {
        let held = self.raw(value);
        let dtype = data_type(self.traced.graph.type_of(value).dtype);
        Held { value: self.file.cast(&held.value, dtype), ..held }
    }

    /// A value with every axis in an order and in the engine's order of elements.
    pub(super) fn solid(&mut self, value: Value, order: &[usize]) -> Result<Held, FormatError> {
        let held = self.get(value);
        let held = self.file.unshuffled(&held)?;
        let extents = self.traced.extents(value).to_vec();
        self.file.solid(&held, order, &extents)
    }

    /// A value as the engine has it.
    pub(super) fn plain(&mut self, value: Value) -> Result<Held, FormatError> {
        let rank = self.traced.extents(value).len();
        self.solid(value, &(0..rank).collect::<Vec<_>>())
    }

    /// A value with every axis in the order in which it lies already.
    pub(super) fn as_it_lies(&mut self, value: Value) -> Result<Held, FormatError> {
        let order = self.raw(value).order(self.traced.extents(value).len());
        self.solid(value, &order)
    }

    /// The part of the model that reads operands: that of a parameter among them, or what is
    /// common to those that they come from.
    fn scope(&self, operands: &[Value]) -> Scope {
        let graph = &self.traced.graph;
        let mut common: Option<Scope> = None;
        for value in operands {
            let scope = match graph.nodes()[value.node as usize].op {
                Op::Input { index } => match self.parameter_name(index as usize) {
                    Some(name) => {
                        let name = name.rsplit_once('.').map_or("", |(scope, _)| scope).to_owned();
                        return Scope { name, leaf: true };
                    }
                    None => Scope::default(),
                },
                Op::Constant(_) | Op::Iota { .. } => continue,
                _ => self.scopes[value.node as usize].clone(),
            };
            let above = match scope.leaf {
                true => parent(&scope.name).to_owned(),
                false => scope.name,
            };
            common = Some(match common {
                None => Scope { name: above, leaf: false },
                Some(known) => Scope { name: shared(&known.name, &above), leaf: false },
            });
        }
        common.unwrap_or_default()
    }

    fn parameter_name(&self, index: usize) -> Option<&str> {
        let parameters = self.model.parameters();
        match index.checked_sub(parameters.len()) {
            None => Some(&parameters[index].name),
            Some(index) => self.model.buffers().get(index).map(|buffer| buffer.name.as_str()),
        }
    }

    /// A parameter, a buffer or an input of the model.
    fn input(&mut self, index: usize) -> Result<Held, FormatError> {
        let model = self.model;
        if let Some(name) = self.parameter_name(index).map(str::to_owned) {
            let array = self.arrays.remove(&name);
            let array = array.ok_or_else(|| unsupported(format!("no array for {name}")))?;
            let value = self.file.initializer(&name, &array)?;
            return match model.parameters().get(index) {
                Some(parameter) => self.parameter(parameter, value),
                None => Ok(Held::plain(value)),
            };
        }
        let port = &model.inputs()[index - model.parameters().len() - model.buffers().len()];
        let (value, axes) = self.port(port);
        let held = Held { value, axes, shuffle: None };
        self.normalised(port, held)
    }

    /// How PyTorch's array of a parameter lies, seen from the engine.
    fn parameter(&mut self, parameter: &Parameter, value: Typed) -> Result<Held, FormatError> {
        let layout = &parameter.torch;
        // The parts of each axis of the engine.
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut next = 0;
        for &extent in &parameter.shape {
            let mut own = Vec::new();
            let mut size = 1usize;
            while next < layout.split.len() && (own.is_empty() || size < extent) {
                size = size.saturating_mul(layout.split[next]);
                own.push(next);
                next += 1;
            }
            parts.push(own);
        }
        // PyTorch's axes, each of which must be one of the engine's, its parts in any order.
        let mut axes = Vec::new();
        let mut shuffle = None;
        let mut rest = layout.permutation.as_slice();
        while let Some(first) = rest.first() {
            let Some(axis) = parts.iter().position(|own| own.contains(first)) else { break };
            let own = &parts[axis];
            let (taken, after) = rest.split_at(own.len().min(rest.len()));
            if !taken.iter().all(|part| own.contains(part))
                || (shuffle.is_some() && !taken.is_sorted())
            {
                break;
            }
            if !taken.is_sorted() {
                shuffle = Some(Shuffle {
                    axis,
                    split: own.iter().map(|&part| layout.split[part]).collect(),
                    permutation: taken.iter().map(|&part| part - own[0]).collect(),
                });
            }
            axes.push(axis);
            rest = after;
        }
        if rest.is_empty() && next == layout.split.len() && axes.len() == value.extents.len() {
            return Ok(Held { value, axes, shuffle });
        }
        // Anything else is brought back step by step.
        let fixed =
            |extents: Vec<usize>| extents.into_iter().map(Extent::Fixed).collect::<Vec<_>>();
        let apart = fixed(layout.permutation.iter().map(|&axis| layout.split[axis]).collect());
        let apart = self.file.reshape(&value, &apart)?;
        let mut inverse = vec![0; layout.permutation.len()];
        layout.permutation.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        let turned = self.file.transpose(&apart, &inverse);
        Ok(Held::plain(self.file.reshape(&turned, &fixed(parameter.shape.clone()))?))
    }

    /// An input of the file and the engine's axis of each of its axes.
    fn port(&self, port: &ModelPort) -> (Typed, Vec<usize>) {
        let dtype = match port.ty {
            PortType::Float => data_type(self.info.float),
            PortType::Index => DataType::Int64,
        };
        let mut extents = vec![Extent::Batch(1)];
        extents.extend(port.shape.iter().map(|&extent| Extent::Fixed(extent)));
        let axes = self.order(port);
        let extents = axes.iter().map(|&axis| extents[axis]).collect();
        (Typed { name: port.name.clone(), dtype, extents }, axes)
    }

    /// The order of the axes of an input or output.
    fn order(&self, port: &ModelPort) -> Vec<usize> {
        match self.info.layout {
            ImageLayout::ChannelsFirst if is_image(port) => vec![0, 3, 1, 2],
            _ => (0..=port.shape.len()).collect(),
        }
    }

    /// The input as the network reads it.
    fn normalised(&mut self, port: &ModelPort, held: Held) -> Result<Held, FormatError> {
        let Some(normalization) = &self.info.normalization else { return Ok(held) };
        if port.ty == PortType::Index || normalization.mean.is_empty() {
            return Ok(held);
        }
        let width = port.shape.last().copied().unwrap_or(1);
        let parts = [&normalization.mean, &normalization.divisor];
        if parts.iter().any(|part| part.len() != width) {
            return Err(unsupported(format!(
                "a normalisation of {} channels or features before inputs of {width}",
                normalization.mean.len()
            )));
        }
        let rank = held.axes.len();
        let mut held = held;
        let names = ["normalization.mean", "normalization.divisor"];
        for ((name, part), op) in names.iter().zip(parts).zip(["Sub", "Div"]) {
            self.file.scope = "normalization".to_owned();
            let array = Array::vector(part.as_slice()).convert(self.info.float);
            let value = self.file.initializer(name, &array)?;
            let part = Held { value, axes: vec![rank - 1], shuffle: None };
            let dtype = held.dtype;
            held = self.elementwise(op, &[held, part], dtype, rank)?;
        }
        Ok(held)
    }

    fn finish(mut self) -> Result<Printed, FormatError> {
        let mut outputs = Vec::new();
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        let values: Vec<Value> = self.traced.graph.output_values().collect();
        self.file.scope.clear();
        for (port, value) in self.model.outputs().iter().zip(values) {
            let held = self.solid(value, &self.order(port))?;
            let made = self.file.nodes.iter().any(|node| node.output.contains(&held.name));
            let last = match made && !renamed.contains_key(&held.name) {
                true => held.value,
                false => {
                    let result = (held.dtype, held.extents.clone());
                    self.file.one("Identity", &[&held.name], Vec::new(), result)
                }
            };
            renamed.insert(last.name, port.name.clone());
            outputs.push(value_info(&port.name, last.dtype, &last.extents));
        }
        for node in &mut self.file.nodes {
            for name in node.input.iter_mut().chain(&mut node.output) {
                if let Some(new) = renamed.get(name) {
                    name.clone_from(new);
                }
            }
        }
        self.file
            .value_infos
            .retain(|info| info.name.as_ref().is_none_or(|name| !renamed.contains_key(name)));
        let ports = self.model.inputs();
        let inputs = ports.iter().map(|port| {
            let (value, _) = self.port(port);
            value_info(&value.name, value.dtype, &value.extents)
        });
        let inputs = inputs.collect();
        let floats = ports.iter().any(|port| port.ty == PortType::Float);
        let normalised =
            floats && self.info.normalization.as_ref().is_some_and(|given| !given.mean.is_empty());
        let images = ports.iter().any(is_image);
        Ok(Printed { file: self.file, inputs, outputs, images, normalised })
    }
}

fn is_image(port: &ModelPort) -> bool {
    port.ty == PortType::Float && port.shape.len() == 3
}

/// The part of the model around a part.
fn parent(scope: &str) -> &str {
    scope.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// The innermost part that holds both.
fn shared(a: &str, b: &str) -> String {
    let both = a.split('.').zip(b.split('.')).take_while(|(a, b)| a == b);
    both.map(|(part, _)| part).collect::<Vec<_>>().join(".")
}
