//! How the tensors of a graph are used.

use super::Candidate;
use super::place::Use;
use crate::onnx::attribute::Attribute;
use crate::onnx::call::integers;
use crate::onnx::graph::{Declared, Graph, Node};
use crate::onnx::names::Lies;
use crate::onnx::stored::Stored;
use std::collections::{BTreeMap, BTreeSet};
use thalweg_nn::{Parameter, Role, TorchLayout};

/// The tensors of a graph and the places that read them.
pub(super) struct Finder<'g> {
    pub nodes: Vec<&'g Node>,
    pub candidates: Vec<Candidate<'g>>,
    /// Places that read a name: the node, and which of its inputs.
    pub uses: BTreeMap<&'g str, Vec<(usize, usize)>>,
    /// The node that writes a name.
    pub writers: BTreeMap<&'g str, usize>,
    /// Names that depend on no input.
    fixed: BTreeSet<&'g str>,
    /// Small integer constants, as shapes and axes are.
    integers: BTreeMap<&'g str, Vec<i64>>,
    /// Whether the exporter says what is a parameter.
    declares: bool,
}

/// How far a tensor is followed.
const MOST_STEPS: usize = 24;

impl<'g> Finder<'g> {
    pub fn new(graph: &'g Graph, nodes: Vec<&'g Node>) -> Finder<'g> {
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
            && let Ok(values) = integers(&array)
        {
            self.integers.insert(name, values);
        }
    }

    /// Whether a name is that of a float initialiser.
    pub fn is_float(&self, name: &str) -> bool {
        self.candidates.iter().any(|c| c.name == name && !c.by_node)
    }

    /// The parameter that a candidate is, if it is one.
    pub fn parameter(&self, candidate: &Candidate<'_>) -> Option<Parameter> {
        let shape = &candidate.stored.shape;
        let axes: Vec<Option<usize>> = (0..shape.len()).map(Some).collect();
        let mut uses = Vec::new();
        self.follow(candidate.name, &axes, shape, MOST_STEPS, &mut uses);
        // A firm place counts before the others; of equals the first.
        let found = uses.iter().find(|found| found.firm).or(uses.first()).cloned();
        let is_parameter = match candidate.declared {
            Some(Declared::Buffer | Declared::Constant) => false,
            Some(Declared::Parameter) => true,
            None if candidate.lies.is_some() => true,
            None => self.is_used_as_parameter(candidate, found.as_ref()?),
        };
        if !is_parameter {
            return None;
        }
        let found = found.unwrap_or_else(|| Use::unknown(shape));
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

    /// Whether a tensor of which nothing is said is used as parameters are.
    fn is_used_as_parameter(&self, candidate: &Candidate<'_>, found: &Use) -> bool {
        let Candidate { name, stored, by_node, .. } = *candidate;
        let (single, lifted) = (stored.count() <= 1, is_lifted(name));
        // What the exporter would have declared if it were one.
        let silent = self.declares && !candidate.folded;
        let norm = matches!(found.role, Role::NormScale | Role::NormShift);
        if by_node {
            // A number of the program, unless only weights stand in its place. A normalisation
            // without parameters is given ones and zeros by nodes.
            return found.firm && !single && !norm;
        }
        if norm && (silent || (lifted && !candidate.folded && stored.is_uniform())) {
            return false;
        }
        let number = lifted && single;
        let hides = !found.firm && (silent || is_mask(stored));
        !number && !hides
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
            if let Some(inner) = kept_by_loop(node, i) {
                self.follow(inner, axes, shape, next, uses);
            } else if let Some(moved) = self.passed(node, i, axes, shape) {
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
}

/// What the body of a loop calls an input that every turn hands on as it is.
fn kept_by_loop(node: &Node, input: usize) -> Option<&str> {
    if node.op != "Loop" || !node.is_standard() {
        return None;
    }
    // Before what is carried, the node has the number of turns and a condition, the body's inputs
    // the turn and the condition, and its outputs the condition.
    let body = node.graphs().next()?;
    let name = &body.inputs.get(input)?.name;
    (input >= 2 && body.outputs.get(input - 1) == Some(name)).then_some(name)
}

/// Whether an exporter made up the name, for a number of its program. Names of modules' parts have
/// dots, and names of nodes have slashes; operands that TensorFlow's program states are its `x`
/// and `y`.
fn is_lifted(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    if name.contains('/') && matches!(last, "x:0" | "y:0") {
        return true;
    }
    let made_up = [
        "val_",
        "_val_",
        "onnx::",
        "Const",
        "const",
        "lifted",
        "c_lifted",
        "scalar",
        "_tensor_constant",
        "full",
        "ones",
        "zeros",
        "clone",
        "arange",
    ];
    !last.contains('.') && made_up.iter().any(|prefix| last.starts_with(prefix))
}

/// Whether a tensor only hides: zeros beside numbers so low that a softmax drops them, or a square
/// pattern of zeros and ones.
fn is_mask(stored: &Stored) -> bool {
    let rank = stored.shape.len();
    if rank < 2 {
        return false;
    }
    let Ok(array) = stored.array() else { return false };
    let values = array.to_f64_vec();
    const LOW: f64 = -1e3;
    let hides = values.iter().all(|&v| v == 0.0 || v <= LOW) && values.iter().any(|&v| v <= LOW);
    let square = stored.shape[rank - 1] == stored.shape[rank - 2];
    let pattern = square
        && values.iter().all(|&v| v == 0.0 || v == 1.0)
        && values.contains(&0.0)
        && values.contains(&1.0);
    hides || pattern
}
