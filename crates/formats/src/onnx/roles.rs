//! Which of a file's tensors are parameters, and what each of them is for.
//!
//! A file does not say so, unless PyTorch's newer exporter wrote it. Each float tensor is followed
//! forwards, through what only moves or rescales it, to the operations that use it: the place in
//! which it arrives there tells its role and what its axes run over.

use super::attribute::Attribute;
use super::graph::{Declared, Graph, Node};
use super::names::Lies;
use super::stored::Stored;
use std::collections::{BTreeMap, BTreeSet};
use thalweg_array::Array;
use thalweg_nn::{Axis, Initializer, Parameter, Role, Statistic, TorchLayout};

/// What a trace needs to know of a file's tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// In the file's order.
    pub parameters: Vec<Parameter>,
    /// Names of running statistics, by the node's first output.
    pub buffers: BTreeMap<String, [String; 2]>,
    /// Tensors that are neither.
    pub constants: BTreeSet<String>,
    /// Which nodes the outputs need.
    pub needed: Vec<bool>,
}

impl Plan {
    pub fn is_parameter(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name)
    }

    /// Each buffer with what it collects, in the order of the nodes.
    pub fn statistics(&self, graph: &Graph) -> Vec<(String, Statistic)> {
        let mut found = Vec::new();
        for node in &graph.nodes {
            let Some([mean, variance]) = node.outputs.first().and_then(|o| self.buffers.get(o))
            else {
                continue;
            };
            found.push((mean.clone(), Statistic::Mean));
            found.push((variance.clone(), Statistic::Variance));
        }
        found
    }
}

/// A tensor that may be a parameter.
struct Candidate<'g> {
    name: &'g str,
    stored: &'g Stored,
    declared: Option<Declared>,
    /// Computed by the exporter from a parameter.
    folded: bool,
    /// Given by a node, not by an initialiser.
    by_node: bool,
    /// How it lies in the file, if its name was found again.
    lies: Option<Lies>,
}

/// How a tensor is used in one place.
#[derive(Clone, Debug)]
struct Use {
    role: Role,
    /// Of each axis of the tensor itself.
    axes: Vec<Axis>,
    /// Whether the place belongs to a parameter, whatever stands there.
    firm: bool,
    initializer: Initializer,
}

/// Decides over every tensor that the named outputs need.
pub(super) fn plan(graph: &Graph, outputs: &[String]) -> Plan {
    let needed = needed(graph, outputs);
    let mut nodes = Vec::new();
    for (node, _) in graph.nodes.iter().zip(&needed).filter(|(_, needed)| **needed) {
        flatten(node, &mut nodes);
    }
    let finder = Finder::new(graph, nodes);
    let mut plan = Plan { needed, ..Plan::default() };
    let mut statistics = BTreeSet::new();
    for node in &finder.nodes {
        if node.op != "BatchNormalization" || !node.is_standard() {
            continue;
        }
        if let ([_, _, _, mean, variance], Some(output)) = (&node.inputs[..], node.outputs.first())
            && finder.is_float(mean)
            && finder.is_float(variance)
            && mean != variance
            && !statistics.contains(mean.as_str())
            && !statistics.contains(variance.as_str())
            && graph.nodes.iter().any(|own| std::ptr::eq(own, *node))
        {
            statistics.insert(mean.as_str());
            statistics.insert(variance.as_str());
            plan.buffers.insert(output.clone(), [mean.clone(), variance.clone()]);
        }
    }
    for candidate in &finder.candidates {
        let used = finder.uses.contains_key(candidate.name)
            || outputs.iter().any(|output| output == candidate.name);
        if statistics.contains(candidate.name) || !used {
            continue;
        }
        match finder.parameter(candidate) {
            Some(parameter) => plan.parameters.push(parameter),
            None if !candidate.by_node => {
                plan.constants.insert(candidate.name.to_owned());
            }
            None => {}
        }
    }
    let other = |name: &str| !plan.is_parameter(name) && !statistics.contains(name);
    let rest: Vec<String> = graph
        .initializers
        .iter()
        .map(|initializer| initializer.name.clone())
        .filter(|name| {
            let output = outputs.contains(name);
            (finder.uses.contains_key(name.as_str()) || output) && other(name)
        })
        .collect();
    plan.constants.extend(rest);
    plan
}

/// Which nodes the outputs need.
fn needed(graph: &Graph, outputs: &[String]) -> Vec<bool> {
    let mut wanted: BTreeSet<&str> = outputs.iter().map(String::as_str).collect();
    let mut needed = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|output| wanted.contains(output.as_str())) {
            needed[i] = true;
            let mut reads = Vec::new();
            node.reads(&mut reads);
            wanted.extend(reads);
        }
    }
    needed
}

/// A node and those of its graphs.
fn flatten<'g>(node: &'g Node, nodes: &mut Vec<&'g Node>) {
    nodes.push(node);
    for graph in node.graphs() {
        for inner in &graph.nodes {
            flatten(inner, nodes);
        }
    }
}

struct Finder<'g> {
    nodes: Vec<&'g Node>,
    candidates: Vec<Candidate<'g>>,
    /// Places that read a name: the node, and which of its inputs.
    uses: BTreeMap<&'g str, Vec<(usize, usize)>>,
    /// The node that writes a name.
    writers: BTreeMap<&'g str, usize>,
    /// Names that depend on no input.
    fixed: BTreeSet<&'g str>,
    /// Small integer constants, as shapes and axes are.
    integers: BTreeMap<&'g str, Vec<i64>>,
    /// Whether the exporter says what is a parameter.
    declares: bool,
}

/// Names under which exporters put the numbers of a program.
fn is_lifted(name: &str) -> bool {
    let last = name.rsplit(['/', '.']).next().unwrap_or(name);
    [
        "val_",
        "onnx::",
        "Constant",
        "lifted",
        "scalar",
        "const_",
        "_val_",
        "_tensor_constant",
        "full",
        "ones",
        "zeros",
        "clone",
        "arange",
    ]
    .iter()
    .any(|prefix| last.starts_with(prefix) || name.starts_with(prefix))
}

/// How far a tensor is followed.
const MOST_STEPS: usize = 24;

impl<'g> Finder<'g> {
    fn new(graph: &'g Graph, nodes: Vec<&'g Node>) -> Finder<'g> {
        let mut finder = Finder {
            candidates: Vec::new(),
            uses: BTreeMap::new(),
            writers: BTreeMap::new(),
            fixed: BTreeSet::new(),
            integers: BTreeMap::new(),
            declares: graph.initializers.iter().any(|i| i.kind.is_some()),
            nodes,
        };
        for initializer in &graph.initializers {
            finder.constant(&initializer.name, &initializer.stored);
            if initializer.stored.is_float() {
                finder.candidates.push(Candidate {
                    name: &initializer.name,
                    stored: &initializer.stored,
                    declared: initializer.kind,
                    folded: initializer.folded_from.is_some(),
                    by_node: false,
                    lies: initializer.lies,
                });
            }
        }
        for at in 0..finder.nodes.len() {
            let node = finder.nodes[at];
            for (i, name) in node.inputs.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                finder.uses.entry(name).or_default().push((at, i));
            }
            let value = match node.attributes.first() {
                Some((_, value)) if node.op == "Constant" => Some(value),
                _ => None,
            };
            let fixed = node.op == "Constant"
                || (!node.inputs.is_empty()
                    && node.graphs().next().is_none()
                    && node
                        .inputs
                        .iter()
                        .all(|n| n.is_empty() || finder.fixed.contains(n.as_str())));
            for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                finder.writers.insert(output, at);
                if fixed {
                    finder.fixed.insert(output);
                }
                match value {
                    Some(Attribute::Tensor(stored)) => {
                        finder.constant(output, stored);
                        let own = graph.nodes.iter().any(|own| std::ptr::eq(own, node));
                        if stored.is_float() && own {
                            finder.candidates.push(Candidate {
                                name: output,
                                stored,
                                declared: None,
                                folded: false,
                                by_node: true,
                                lies: None,
                            });
                        }
                    }
                    Some(Attribute::Ints(values)) => {
                        finder.integers.insert(output, values.clone());
                    }
                    _ => {}
                }
            }
        }
        finder
    }

    fn constant(&mut self, name: &'g str, stored: &'g Stored) {
        self.fixed.insert(name);
        const FEW: usize = 64;
        if !stored.is_float()
            && stored.count() <= FEW
            && let Ok(array) = stored.array()
            && let Ok(values) = super::call::integers(&array)
        {
            self.integers.insert(name, values);
        }
    }

    fn is_float(&self, name: &str) -> bool {
        self.candidates.iter().any(|c| c.name == name && !c.by_node)
    }

    /// The parameter that a candidate is, if it is one.
    fn parameter(&self, candidate: &Candidate<'_>) -> Option<Parameter> {
        let shape = &candidate.stored.shape;
        if matches!(candidate.declared, Some(Declared::Buffer | Declared::Constant)) {
            return None;
        }
        let axes: Vec<Option<usize>> = (0..shape.len()).map(Some).collect();
        let mut uses = Vec::new();
        self.follow(candidate.name, &axes, shape, MOST_STEPS, &mut uses);
        let declared = candidate.declared == Some(Declared::Parameter) || candidate.lies.is_some();
        // A firm place counts before the others; of equals the first.
        let found = uses.iter().find(|found| found.firm).or(uses.first()).cloned();
        if !declared {
            let found = found.as_ref()?;
            let single = candidate.stored.count() <= 1;
            let lifted = is_lifted(candidate.name);
            let norm = matches!(found.role, Role::NormScale | Role::NormShift);
            // A normalisation that has no parameters is written with ones and zeros.
            if lifted && (single || (norm && candidate.stored.is_uniform())) {
                return None;
            }
            if shape.is_empty() && candidate.by_node {
                return None;
            }
            if candidate.by_node && (!found.firm || single) {
                return None;
            }
            let silent = self.declares && !candidate.folded;
            // A normalisation without parameters of its own is given ones and zeros.
            let neutral = matches!(found.role, Role::NormScale | Role::NormShift)
                && (candidate.by_node
                    || silent
                    || (is_lifted(candidate.name)
                        && !candidate.folded
                        && is_uniform(candidate.stored)));
            if neutral {
                return None;
            }
            if !found.firm && (silent || is_mask(candidate.stored)) {
                return None;
            }
        }
        let found = found.unwrap_or_else(|| unknown(shape));
        let parameter =
            Parameter::new(candidate.name, shape, found.role, &found.axes, found.initializer);
        Some(match candidate.lies {
            Some(Lies::Transposed) => parameter.torch(TorchLayout::permuted(shape, &[1, 0])),
            Some(Lies::Expanded) => {
                let own = shape.iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>();
                let own = if own.is_empty() { vec![1] } else { own };
                parameter.torch(TorchLayout { shape: own, ..TorchLayout::same(shape) })
            }
            Some(Lies::AsItWas) | None => parameter,
        })
    }

    /// Collects the uses of a name; `axes` says which axis of the tensor each of its own is.
    fn follow(
        &self,
        name: &str,
        axes: &[Option<usize>],
        shape: &[usize],
        steps: usize,
        uses: &mut Vec<Use>,
    ) {
        let Some(next) = steps.checked_sub(1) else { return };
        let Some(places) = self.uses.get(name) else { return };
        for &(at, i) in places {
            let node = self.nodes[at];
            if uses.len() > 8 {
                return;
            }
            if let Some(moved) = self.passed(node, i, axes, shape) {
                for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                    self.follow(output, &moved, shape, next, uses);
                }
            } else if let Some(found) = self.place(node, i, axes, shape) {
                uses.push(found);
            }
        }
    }

    /// The axes behind a node that only moves or rescales its input.
    fn passed(
        &self,
        node: &Node,
        i: usize,
        axes: &[Option<usize>],
        shape: &[usize],
    ) -> Option<Vec<Option<usize>>> {
        let extent = |axis: &Option<usize>| axis.map_or(1, |axis| shape[axis]);
        if !node.is_standard() {
            return None;
        }
        let ints = |name: &str, input: usize| -> Option<Vec<i64>> {
            match node.attribute(name) {
                Some(Attribute::Ints(values)) => Some(values.clone()),
                _ => self.integers.get(node.inputs.get(input)?.as_str()).cloned(),
            }
        };
        match node.op.as_str() {
            "Identity" | "Cast" | "CastLike" | "Dropout" | "Exp" | "Sigmoid" | "Tanh"
            | "Softplus" | "Neg" | "Sqrt" | "Abs" | "Reciprocal" | "Softmax" | "Slice"
            | "Split"
                if i == 0 =>
            {
                Some(axes.to_vec())
            }
            "Concat" if node.outputs.iter().all(|o| self.fixed.contains(o.as_str())) => {
                Some(axes.to_vec())
            }
            "Transpose" => Some(match ints("perm", usize::MAX) {
                Some(permutation) => permutation
                    .iter()
                    .map(|&axis| axes.get(usize::try_from(axis).ok()?).copied().flatten())
                    .collect(),
                None => axes.iter().rev().copied().collect(),
            }),
            "Unsqueeze" if i == 0 => {
                let new = ints("axes", 1)?;
                let rank = axes.len() + new.len();
                let new: Vec<i64> =
                    new.iter().map(|&a| if a < 0 { a + rank as i64 } else { a }).collect();
                let mut rest = axes.iter().copied();
                Some(
                    (0..rank)
                        .map(|axis| {
                            if new.contains(&(axis as i64)) { None } else { rest.next().flatten() }
                        })
                        .collect(),
                )
            }
            "Squeeze" | "Reshape" | "Flatten" | "Expand" if i == 0 => {
                // Axes of one come and go; the others stay in order, or all is lost.
                let kept: Vec<Option<usize>> =
                    axes.iter().filter(|axis| extent(axis) != 1).copied().collect();
                match (node.op.as_str(), ints("shape", 1)) {
                    ("Expand", _) => Some(axes.to_vec()),
                    ("Squeeze", _) => Some(kept),
                    ("Reshape", Some(target)) => {
                        let solid = target.iter().filter(|&&extent| extent != 1).count();
                        let mut kept = kept.into_iter();
                        if solid != kept.len() {
                            return Some(vec![None; target.len()]);
                        }
                        let axis = |&to: &i64| if to == 1 { None } else { kept.next().flatten() };
                        Some(target.iter().map(axis).collect())
                    }
                    _ => Some(kept),
                }
            }
            // Rescaled by what is itself fixed.
            "Mul" | "Div" | "Add" | "Sub" | "Pow"
                if node.outputs.iter().all(|o| self.fixed.contains(o.as_str())) =>
            {
                Some(axes.to_vec())
            }
            _ => None,
        }
    }

    /// What a node does with the input in this place.
    fn place(&self, node: &Node, i: usize, axes: &[Option<usize>], shape: &[usize]) -> Option<Use> {
        let rank = axes.len();
        let name = |kinds: &dyn Fn(usize) -> Axis| -> Vec<Axis> {
            let mut named = vec![Axis::Other; shape.len()];
            for (at, axis) in axes.iter().enumerate() {
                if let Some(axis) = axis
                    && let Some(place) = named.get_mut(*axis)
                {
                    *place = kinds(at);
                }
            }
            named
        };
        let flag = |name: &str| matches!(node.attribute(name), Some(Attribute::Int(1)));
        let solid = axes.iter().flatten().filter(|&&axis| shape[axis] != 1).count();
        let weight = |axes: Vec<Axis>| Use {
            role: Role::Weight,
            axes,
            firm: true,
            initializer: Initializer::TORCH_WEIGHT,
        };
        let last_output = || name(&|at| if at + 1 == rank { Axis::Output } else { Axis::Other });
        let widest = || {
            // The last axis longer than one.
            let at = (0..rank).rev().find(|&at| axes[at].is_some_and(|axis| shape[axis] != 1));
            name(&move |own| if Some(own) == at { Axis::Output } else { Axis::Other })
        };
        let norm = |role: Role, value: f64, firm: bool, axes: Vec<Axis>| Use {
            role,
            axes,
            firm,
            initializer: Initializer::Constant(value),
        };
        let bias = |firm: bool, fan_in: usize, axes: Vec<Axis>| Use {
            role: Role::Bias,
            axes,
            firm,
            initializer: Initializer::torch_bias(fan_in),
        };
        if !node.is_standard() && node.domain != "com.microsoft" {
            return None;
        }
        Some(match (node.op.as_str(), i) {
            ("Conv", 1) => weight(name(&|at| match at {
                0 => Axis::Output,
                1 => Axis::Input,
                _ => Axis::Spatial,
            })),
            ("ConvTranspose", 1) => weight(name(&|at| match at {
                0 => Axis::Input,
                1 => Axis::Output,
                _ => Axis::Spatial,
            })),
            ("Conv" | "ConvTranspose" | "Gemm", 2) => bias(true, self.fan_in(node), widest()),
            ("Gemm", 0 | 1) => {
                let transposed = flag(if i == 0 { "transA" } else { "transB" });
                // The summed axis: of A the last one, of B the first, unless turned.
                let summed = usize::from((i == 0) != transposed);
                weight(name(&move |at| if at == summed { Axis::Input } else { Axis::Output }))
            }
            ("MatMul" | "FusedMatMul", 0 | 1) => weight(name(&move |at| {
                let summed = match (i, rank) {
                    (_, 1) => 0,
                    (0, rank) => rank - 1,
                    (_, rank) => rank.saturating_sub(2),
                };
                let other = if i == 0 { rank.saturating_sub(2) } else { rank - 1 };
                if at == summed {
                    Axis::Input
                } else if at == other {
                    Axis::Output
                } else {
                    Axis::Other
                }
            })),
            ("Einsum", _) => {
                let Some(Attribute::Text(equation)) = node.attribute("equation") else {
                    return None;
                };
                let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
                let (terms, result) = equation.split_once("->").unwrap_or((&equation, ""));
                let own: Vec<char> = terms.split(',').nth(i)?.chars().collect();
                let others: String =
                    terms.split(',').enumerate().filter(|&(j, _)| j != i).map(|(_, t)| t).collect();
                weight(name(&|at| match own.get(at) {
                    Some(letter) if !result.contains(*letter) => Axis::Input,
                    Some(letter) if !others.contains(*letter) => Axis::Output,
                    _ => Axis::Other,
                }))
            }
            ("Gather", 0) if solid >= 1 => {
                let axis = match node.attribute("axis") {
                    Some(Attribute::Int(axis)) if *axis < 0 => (axis + rank as i64) as usize,
                    Some(Attribute::Int(axis)) => *axis as usize,
                    _ => 0,
                };
                Use {
                    role: Role::Embedding,
                    axes: name(&move |at| {
                        if at == axis {
                            Axis::Input
                        } else if at + 1 == rank {
                            Axis::Output
                        } else {
                            Axis::Other
                        }
                    }),
                    firm: rank > 1,
                    initializer: Initializer::Normal { standard_deviation: 1.0 },
                }
            }
            (
                "BatchNormalization"
                | "InstanceNormalization"
                | "GroupNormalization"
                | "LayerNormalization"
                | "RMSNormalization"
                | "SimplifiedLayerNormalization",
                1,
            ) => norm(Role::NormScale, 1.0, true, last_output()),
            (
                "BatchNormalization"
                | "InstanceNormalization"
                | "GroupNormalization"
                | "LayerNormalization",
                2,
            ) => norm(Role::NormShift, 0.0, true, last_output()),
            ("PRelu", 1) => norm(Role::NormScale, 0.25, true, widest()),
            ("LSTM" | "GRU" | "RNN", 1 | 2) => {
                let units = match node.attribute("hidden_size") {
                    Some(Attribute::Int(units)) => usize::try_from(*units).unwrap_or(1),
                    _ => 1,
                };
                Use {
                    initializer: Initializer::torch_bias(units),
                    ..weight(name(&|at| match at {
                        1 => Axis::Output,
                        2 => Axis::Input,
                        _ => Axis::Other,
                    }))
                }
            }
            ("LSTM" | "GRU" | "RNN", 3) => {
                let units = match node.attribute("hidden_size") {
                    Some(Attribute::Int(units)) => usize::try_from(*units).unwrap_or(1),
                    _ => 1,
                };
                bias(true, units, last_output())
            }
            ("LSTM", 7) => bias(true, 1, last_output()),
            ("Add" | "Sub" | "Sum", _) if shape.is_empty() => bias(false, 1, Vec::new()),
            ("Add" | "Sub" | "Sum", _) => {
                let other = node.inputs.iter().enumerate().find(|&(j, _)| j != i).map(|(_, n)| n);
                if solid > 1 {
                    Use {
                        role: Role::Embedding,
                        axes: widest(),
                        firm: false,
                        initializer: Initializer::Normal { standard_deviation: 0.02 },
                    }
                } else if other.is_some_and(|other| self.is_scaled(other)) {
                    norm(Role::NormShift, 0.0, false, widest())
                } else {
                    bias(false, other.map_or(1, |other| self.fan_in_of(other)), widest())
                }
            }
            ("Mul" | "Div" | "Pow" | "Max" | "Min", _) => {
                norm(Role::NormScale, 1.0, false, widest())
            }
            ("Where", 1 | 2) | ("Concat", _) | ("Expand", 0) | ("Tile", 0) => Use {
                role: Role::Embedding,
                axes: widest(),
                firm: false,
                initializer: Initializer::Normal { standard_deviation: 0.02 },
            },
            _ => return None,
        })
    }

    /// Inputs of one unit of the layer whose weight is a node's second input.
    fn fan_in(&self, node: &Node) -> usize {
        let Some(name) = node.inputs.get(1) else { return 1 };
        let Some(weight) = self.candidates.iter().find(|c| c.name == name.as_str()) else {
            return 1;
        };
        let shape = &weight.stored.shape;
        let product = |extents: &[usize]| {
            extents.iter().fold(1usize, |product, &extent| product.saturating_mul(extent))
        };
        match (node.op.as_str(), shape.as_slice()) {
            ("Gemm", &[rows, columns]) => match node.attribute("transB") {
                Some(Attribute::Int(1)) => columns,
                _ => rows,
            },
            ("MatMul", &[.., rows, _]) => rows,
            ("ConvTranspose", &[inputs, _, ref rest @ ..]) => inputs.saturating_mul(product(rest)),
            (_, [_, rest @ ..]) => product(rest),
            _ => 1,
        }
    }

    /// The same for the layer that gives a value.
    fn fan_in_of(&self, name: &str) -> usize {
        match self.writers.get(name).map(|&at| self.nodes[at]) {
            Some(node)
                if matches!(node.op.as_str(), "MatMul" | "Conv" | "ConvTranspose" | "Gemm") =>
            {
                self.fan_in(node)
            }
            _ => 1,
        }
    }

    /// Whether a value is a product with a tensor of the file, as before a normalisation's shift.
    fn is_scaled(&self, name: &str) -> bool {
        let Some(node) = self.writers.get(name).map(|&at| self.nodes[at]) else { return false };
        let by_tensor = |input: &String| {
            self.candidates.iter().any(|c| c.name == input.as_str() && !c.stored.shape.is_empty())
        };
        node.op == "Mul" && node.inputs.iter().any(by_tensor)
    }
}

/// A parameter by declaration alone.
fn unknown(shape: &[usize]) -> Use {
    let (role, initializer) = match shape.len() {
        0 | 1 => (Role::Bias, Initializer::Constant(0.0)),
        _ => (Role::Weight, Initializer::TORCH_WEIGHT),
    };
    let axis = |at: usize| match at {
        0 => Axis::Output,
        1 => Axis::Input,
        _ => Axis::Spatial,
    };
    Use { role, axes: (0..shape.len()).map(axis).collect(), firm: false, initializer }
}

/// Whether all elements are the same.
fn is_uniform(stored: &Stored) -> bool {
    let size = stored.kind.map_or(1, |kind| kind.size());
    let bytes = stored.bytes();
    bytes.chunks_exact(size).all(|element| element == &bytes[..size])
}

/// Whether a tensor only hides: zeros beside numbers so low that a softmax drops them, or a square
/// pattern of zeros and ones.
fn is_mask(stored: &Stored) -> bool {
    let rank = stored.shape.len();
    if rank < 2 {
        return false;
    }
    let Ok(array) = stored.array() else { return false };
    let values = |array: &Array| array.to_f64_vec();
    let values = values(&array);
    const LOW: f64 = -1e3;
    let hides = values.iter().all(|&v| v == 0.0 || v <= LOW) && values.iter().any(|&v| v <= LOW);
    let square = stored.shape[rank - 1] == stored.shape[rank - 2];
    let pattern = square
        && values.iter().all(|&v| v == 0.0 || v == 1.0)
        && values.contains(&0.0)
        && values.contains(&1.0);
    hides || pattern
}
