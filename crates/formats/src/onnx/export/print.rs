//! From the nodes of a traced graph to those of a file.

use super::extent::Traced;
use super::file::{File, data_type, value_info};
use super::held::Held;
use super::ports::is_image;
use super::recognise::Meaning;
use super::{ExportInfo, unsupported};
use crate::FormatError;
use crate::onnx::proto::ValueInfoProto;
use std::collections::BTreeMap;
use thalweg_array::Array;
use thalweg_graph::{Node, Op, Value};
use thalweg_nn::{Model, PortType, Weights, to_torch};

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
    pub(super) model: &'m Model,
    pub(super) info: &'m ExportInfo,
    pub(super) arrays: BTreeMap<String, Array>,
    held: Vec<Vec<Held>>,
    scopes: Vec<Option<Scope>>,
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
                false => (Vec::new(), None),
                true => {
                    let scope = self.scope(&meanings[index].operands(&node.inputs));
                    self.file.scope = scope.as_ref().map_or_else(String::new, |s| s.name.clone());
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

    /// The part of the model that reads operands: that of a parameter among them, or that of the
    /// one computed last; constants and what is made of them belong nowhere.
    fn scope(&self, operands: &[Value]) -> Option<Scope> {
        let graph = &self.traced.graph;
        let mut above: Vec<(u32, String)> = Vec::new();
        for value in operands {
            let scope = match graph.nodes()[value.node as usize].op {
                Op::Input { index } => match self.parameter_name(index as usize) {
                    Some(name) => {
                        let name = parent(name).to_owned();
                        return Some(Scope { name, leaf: true });
                    }
                    None => Some(Scope::default()),
                },
                _ => self.scopes[value.node as usize].clone(),
            };
            if let Some(Scope { name, leaf }) = scope {
                let name = if leaf { parent(&name).to_owned() } else { name };
                above.push((value.node, name));
            }
        }
        above.sort();
        let (_, last) = above.pop()?;
        // What joins a part with a part of its own belongs to the outer one.
        let outer = parent(&last);
        let joins = !outer.is_empty() && above.iter().any(|(_, name)| name == outer);
        let name = if joins { outer.to_owned() } else { last };
        Some(Scope { name, leaf: false })
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

/// The part of the model around a part.
fn parent(scope: &str) -> &str {
    scope.rsplit_once('.').map_or("", |(parent, _)| parent)
}
