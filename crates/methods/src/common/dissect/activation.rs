//! The activations of a network.

use super::{Dissection, is_loop, is_product};
use std::collections::BTreeSet;
use thalweg_graph::{Binary, Node, Op, Tensor, Unary};
use thalweg_transform::jvp;

/// An element-wise function that bends, of one value that comes from a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activation<'b> {
    /// The derivative of each unit by what goes into it, `[.., units]`.
    pub(crate) derivative: Tensor<'b>,
}

/// How a value depends, element by element, on the last one before it that is no element-wise
/// function of another: its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Is a root itself.
    Root,
    /// Is its root times a number plus a number, which do not depend on the examples.
    Affine(u32),
    /// Is another function of its root.
    Bent(u32),
}

impl<'b> Dissection<'b> {
    /// The activations of hidden units, operands first: functions of a single value, element by
    /// element, with a comparison, a maximum, or a function that goes flat in them, from which a
    /// product with a weight is reached with no other product in between.
    ///
    /// ReLU and its kin, tanh, the logistic function, GELU, SiLU and softplus are ones; squares and
    /// exponentials, of which normalisation and attention are made, are none.
    pub(crate) fn activations(&self) -> Vec<Activation<'b>> {
        let forms = self.forms();
        let feeds = self.feeds();
        let mut cores: BTreeSet<u32> = BTreeSet::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|&(at, _)| self.needed[at]) {
            let value = at as u32;
            for operand in self.data_operands(node) {
                // A bent value that something else than a function of the same root reads.
                let Form::Bent(root) = forms[operand.node as usize] else { continue };
                let inside = root_of(forms[at], value) == root;
                if !inside && feeds[operand.node as usize] {
                    cores.insert(self.core(operand.node, &forms));
                }
            }
        }
        let activation = |core: u32| {
            let output = self.builder.tensor(thalweg_graph::Value::first(core));
            let usual = output.rank() >= 2 && output.dtype().is_float();
            let input = self.input(core, &forms).filter(|_| usual)?;
            let input = self.builder.tensor(thalweg_graph::Value::first(input));
            let one = self.builder.full(&input.ty(), 1.0);
            let tangent = jvp(&[output], &[input], &[one]).tangents.first().copied().flatten();
            Some(Activation { derivative: tangent.unwrap_or_else(|| output.zeros_like()) })
        };
        cores.into_iter().filter_map(activation).collect()
    }

    fn forms(&self) -> Vec<Form> {
        let mut forms = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            let operands = self.data_operands(node);
            let of = |value: &thalweg_graph::Value| {
                (forms[value.node as usize], root_of(forms[value.node as usize], value.node))
            };
            let known: Vec<(Form, u32)> = operands.iter().map(of).collect();
            let form = match known.first() {
                Some(&(_, root))
                    if self.needed[at]
                        && node.op.is_elementwise()
                        && known.iter().all(|&(_, other)| other == root) =>
                {
                    let bent = known.iter().any(|(form, _)| matches!(form, Form::Bent(_)));
                    match !bent && self.is_affine(node) {
                        true => Form::Affine(root),
                        false => Form::Bent(root),
                    }
                }
                _ => Form::Root,
            };
            forms.push(form);
        }
        forms
    }

    /// Whether an element-wise operation is affine in what comes from the examples.
    fn is_affine(&self, node: &Node) -> bool {
        let from_data = |place: usize| self.on_data[node.inputs[place].node as usize];
        match node.op {
            Op::Unary(Unary::Negate) | Op::Binary(Binary::Add | Binary::Subtract) => true,
            Op::Convert(dtype) => dtype.is_float(),
            Op::Binary(Binary::Multiply) => !(from_data(0) && from_data(1)),
            Op::Binary(Binary::Divide) | Op::Select => {
                !from_data(usize::from(node.op != Op::Select))
            }
            _ => false,
        }
    }

    /// From which nodes a product with a weight is reached with no other product in between.
    fn feeds(&self) -> Vec<bool> {
        let mut feeds = vec![false; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev().filter(|&(at, _)| self.needed[at]) {
            let through = feeds[at] && !is_product(&node.op) && !is_loop(&node.op);
            if through || self.is_weighted(node) {
                let operands = self.data_operands(node);
                operands.iter().for_each(|value| feeds[value.node as usize] = true);
            }
        }
        feeds
    }

    /// What is left of a bent value without what is multiplied with it and added to it in the end.
    fn core(&self, mut at: u32, forms: &[Form]) -> u32 {
        while self.is_affine(&self.nodes[at as usize])
            && let [operand] = self.data_operands(&self.nodes[at as usize])[..]
            && matches!(forms[operand.node as usize], Form::Bent(_))
        {
            at = operand.node;
        }
        at
    }

    /// What an activation is a function of: the last affine value that all of it comes through. None
    /// for a function that nowhere goes flat.
    fn input(&self, core: u32, forms: &[Form]) -> Option<u32> {
        let (mut open, mut flat) = (BTreeSet::from([core]), false);
        while let Some(at) = open.pop_last() {
            let node = &self.nodes[at as usize];
            if open.is_empty() && !matches!(forms[at as usize], Form::Bent(_)) {
                return flat.then_some(at);
            }
            flat |= matches!(
                node.op,
                Op::Compare(_)
                    | Op::Unary(Unary::Tanh | Unary::Logistic | Unary::Erf)
                    | Op::Binary(Binary::Maximum | Binary::Minimum)
            );
            open.extend(self.data_operands(node).iter().map(|value| value.node));
        }
        None
    }
}

fn root_of(form: Form, own: u32) -> u32 {
    match form {
        Form::Root => own,
        Form::Affine(root) | Form::Bent(root) => root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::declare;
    use crate::{Context, ModelObjective, ObjectiveConfig};
    use thalweg_array::Array;
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, DType};
    use thalweg_nn::{Architecture, Loss};

    /// Units of each activation of an architecture, in the order of the graph.
    fn units(text: &str, input: &[usize]) -> Vec<usize> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = text.parse::<Architecture>().unwrap().build(input, 3).unwrap();
        let tokens = text.starts_with("gpt");
        let (inputs, targets) = match tokens {
            true => {
                (Array::zeros(DType::I32, &[&[2], input].concat()), &[&[2], input].concat()[..])
            }
            false => (Array::zeros(DType::F32, &[&[2], input].concat()), &[2][..]),
        };
        let targets = Array::zeros(DType::I32, targets);
        let (loss, config) = (Loss::default(), ObjectiveConfig::default());
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, vec![inputs], targets, true, &config);
        let objective = objective.unwrap();
        let builder = Builder::new(DType::F32);
        let declared = declare(&builder, &objective, 0).unwrap();
        let found = Dissection::new(&objective, &declared).unwrap().activations();
        found.iter().filter_map(|a| a.derivative.shape().last().copied()).collect()
    }

    #[test]
    fn every_activation_of_an_architecture_is_found_once() {
        for activation in ["relu", "tanh", "gelu", "gelu-tanh", "silu", "sigmoid", "softplus"] {
            let text = format!("mlp hidden=5-4 activation={activation}");
            assert_eq!(units(&text, &[3]), [5, 4], "{activation}");
        }
        assert_eq!(units("mlp hidden=5-4 norm=batch", &[3]), [5, 4]);
        assert_eq!(units("mlp hidden=5-4 norm=layer", &[3]), [5, 4]);
        assert_eq!(units("linear", &[3]), [0; 0]);
        // A function that is nowhere flat.
        assert_eq!(units("mlp hidden=5-4 activation=sine", &[3]), [0; 0]);
    }

    #[test]
    fn residual_networks_and_attention() {
        // A first convolution, and two in each of three blocks.
        assert_eq!(units("resnet depth=8 width=2", &[8, 8, 1]), [2, 2, 2, 4, 4, 8, 8]);
        // One hidden layer in each block; softmax and normalisation are none.
        assert_eq!(units("gpt width=4 heads=1 depth=2", &[5]), [16, 16]);
    }
}
