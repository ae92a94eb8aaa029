//! What an operation does with a parameter in one of its places.

use super::finder::Finder;
use crate::onnx::attribute::Attribute;
use crate::onnx::graph::Node;
use thalweg_nn::{Axis, Initializer, Role};

/// How a tensor is used in one place.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub role: Role,
    /// Of each axis of the tensor itself.
    pub axes: Vec<Axis>,
    /// Whether the place belongs to a parameter, whatever stands there.
    pub firm: bool,
    pub initializer: Initializer,
}

impl Use {
    /// A parameter by declaration alone.
    pub fn unknown(shape: &[usize]) -> Use {
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
}

impl Finder<'_> {
    /// What a node does with the input in this place.
    pub fn place(
        &self,
        node: &Node,
        i: usize,
        axes: &[Option<usize>],
        shape: &[usize],
    ) -> Option<Use> {
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
