//! The residual blocks of a network.

use super::{Dissection, is_product};
use std::collections::BTreeSet;
use std::fmt;
use thalweg_graph::{Binary, Node, Op, Tensor, Value};

/// What a residual block adds to its shortcut is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// Products of two values that come from the examples, as queries and keys are.
    Attention,
    /// Convolutions over more than one place.
    Convolution,
    /// Products with weights at each place by itself.
    Dense,
}

impl BlockKind {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            BlockKind::Attention => "attention",
            BlockKind::Convolution => "convolution",
            BlockKind::Dense => "dense",
        }
    }
}

impl fmt::Display for BlockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A sum through which all comes that the outputs know of the examples, of a shortcut and a branch with
/// weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResidualBlock<'b> {
    /// What its branch is made of.
    pub(crate) kind: BlockKind,
    /// What goes in: where shortcut and branch part, or, where the shortcut has weights of its own, the
    /// sum of the block before, if there is one.
    pub(crate) before: Tensor<'b>,
    /// What the branch is added to.
    pub(crate) shortcut: Tensor<'b>,
    /// The sum.
    pub(crate) after: Tensor<'b>,
}

/// What stands between a value and the place where two values part.
#[derive(Default)]
struct Branch {
    /// Elements of the weights in it.
    weights: usize,
    attends: bool,
    convolves: bool,
}

impl<'b> Dissection<'b> {
    /// The residual blocks, the first one first. Of two operands the shortcut is that which is the
    /// block's input, or which has fewer weights; sums of operands with equally many are no blocks, nor
    /// are those inside of other blocks.
    pub(crate) fn residual_blocks(&self) -> Vec<ResidualBlock<'b>> {
        let chain = self.chain();
        let mut blocks: Vec<ResidualBlock<'b>> = Vec::new();
        for pair in chain.windows(2) {
            let [parting, at] = [pair[0], pair[1]];
            let node = &self.nodes[at as usize];
            let [a, b] = self.data_operands(node)[..] else { continue };
            if node.op != Op::Binary(Binary::Add) || a == b {
                continue;
            }
            let [of_a, of_b] = [a, b].map(|value| self.branch(value, parting));
            let ((shortcut, branch), identity) = match [a, b].map(|value| value.node == parting) {
                [true, _] => ((a, of_b), true),
                [_, true] => ((b, of_a), true),
                _ if of_a.weights < of_b.weights => ((a, of_b), false),
                _ if of_b.weights < of_a.weights => ((b, of_a), false),
                _ => continue,
            };
            if branch.weights == 0 {
                continue;
            }
            let kind = match branch {
                Branch { attends: true, .. } => BlockKind::Attention,
                Branch { convolves: true, .. } => BlockKind::Convolution,
                _ => BlockKind::Dense,
            };
            let shortcut = self.builder.tensor(shortcut);
            let before = match blocks.last() {
                _ if identity => shortcut,
                Some(last) => last.after,
                None => self.builder.tensor(Value::first(parting)),
            };
            let after = self.builder.tensor(Value::first(at));
            blocks.push(ResidualBlock { kind, before, shortcut, after });
        }
        blocks
    }

    /// The nodes through which all comes that the outputs know of the examples, operands first.
    fn chain(&self) -> Vec<u32> {
        let mut open = BTreeSet::from([self.outputs.value().node]);
        let mut chain = Vec::new();
        while let Some(at) = open.pop_last() {
            if open.is_empty() {
                chain.push(at);
            }
            open.extend(self.data_operands(&self.nodes[at as usize]).iter().map(|v| v.node));
        }
        chain.reverse();
        chain
    }

    /// What stands between a value and the node where its way parts from another's.
    fn branch(&self, value: Value, parting: u32) -> Branch {
        let mut found = Branch::default();
        let mut open = BTreeSet::from([value.node]);
        while let Some(at) = open.pop_last() {
            if at <= parting {
                continue;
            }
            let node = &self.nodes[at as usize];
            found.weights = found.weights.saturating_add(self.weight_elements(node));
            found.attends |= is_product(&node.op) && self.data_operands(node).len() == 2;
            found.convolves |= self.is_weighted(node) && self.spans_places(node);
            open.extend(self.data_operands(node).iter().map(|v| v.node));
        }
        found
    }

    /// Elements of the weight of a product with one; none of anything else.
    fn weight_elements(&self, node: &Node) -> usize {
        let weight = node.inputs.iter().find(|value| !self.on_data[value.node as usize]);
        match weight {
            Some(weight) if self.is_weighted(node) => {
                self.builder.tensor(*weight).ty().element_count()
            }
            _ => 0,
        }
    }

    /// Whether a convolution is over more than one place.
    fn spans_places(&self, node: &Node) -> bool {
        let [_, kernel] = node.inputs[..] else { return false };
        let shape = self.builder.tensor(kernel).shape();
        // `[.., height, width, in, out]`.
        let places = shape.iter().rev().skip(2).take(2);
        matches!(node.op, Op::Convolution(_)) && places.product::<usize>() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::declare;
    use crate::{Context, ModelObjective, ObjectiveConfig};
    use BlockKind::{Attention, Convolution, Dense};
    use thalweg_array::Array;
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, DType};
    use thalweg_nn::{Architecture, Loss};

    /// Of each block its kind and the shapes before and after.
    fn blocks(text: &str, input: &[usize]) -> Vec<(BlockKind, Vec<usize>, Vec<usize>)> {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let model = text.parse::<Architecture>().unwrap().build(input, 3).unwrap();
        let shape = [&[2], input].concat();
        let (dtype, targets) = match text.starts_with("gpt") {
            true => (DType::I32, shape.clone()),
            false => (DType::F32, vec![2]),
        };
        let inputs = vec![Array::zeros(dtype, &shape)];
        let targets = Array::zeros(DType::I32, &targets);
        let (loss, config) = (Loss::default(), ObjectiveConfig::default());
        let objective =
            ModelObjective::from_arrays(&ctx, &model, loss, inputs, targets, true, &config);
        let objective = objective.unwrap();
        let builder = Builder::new(DType::F32);
        let declared = declare(&builder, &objective, 0).unwrap();
        let found = Dissection::new(&objective, &declared).unwrap().residual_blocks();
        found.iter().map(|of| (of.kind, of.before.shape(), of.after.shape())).collect()
    }

    fn kinds(text: &str, input: &[usize]) -> Vec<BlockKind> {
        blocks(text, input).into_iter().map(|(kind, ..)| kind).collect()
    }

    #[test]
    fn blocks_are_found_with_their_kinds() {
        let vit = kinds("vit patch=2 depth=2 width=4 heads=2", &[4, 4, 1]);
        assert_eq!(vit, [Attention, Dense, Attention, Dense]);
        let gpt = kinds("gpt depth=1 width=4 heads=2", &[5]);
        assert_eq!(gpt, [Attention, Dense]);
        let alternet = kinds("alternet width=2 heads=1-1-1 head_units=2", &[8, 8, 1]);
        let pair = [Convolution, Attention];
        assert_eq!(alternet, [[Convolution; 2], pair, pair].concat());
        // One convolution of 3x3 beside a shortcut of 1x1.
        let single = "alternet width=2 attention=0-0-0 convolutions=1 activation=gelu-tanh";
        assert_eq!(kinds(single, &[8, 8, 1]), [Convolution; 6]);
        assert_eq!(kinds("resnet depth=8 width=2 shortcut=a", &[8, 8, 1]), [Convolution; 3]);
        for plain in ["mlp hidden=5-4 activation=gelu-tanh", "convnet channels=2-3 norm=layer"] {
            assert!(kinds(plain, &[4, 4, 1]).is_empty(), "{plain}");
        }
        assert!(kinds("resnet depth=8 width=2 skip=false", &[8, 8, 1]).is_empty());
    }

    #[test]
    fn what_goes_in_is_what_the_block_before_gave() {
        let found = blocks("alternet width=2 stem=2 convolutions=1 attention=0-0-1", &[28, 28, 1]);
        let shapes: Vec<Vec<usize>> = found.iter().map(|(_, before, _)| before.clone()).collect();
        let image = |side: usize, channels: usize| vec![2, side, side, channels];
        let expected =
            [(14, 2), (14, 2), (14, 2), (7, 4), (7, 4), (4, 8)].map(|(s, c)| image(s, c));
        assert_eq!(shapes, expected);
        assert_eq!(found[5].2, image(4, 8));
        let (_, before, after) = &blocks("vit patch=2 depth=1 width=4 heads=2", &[4, 4, 1])[0];
        assert_eq!((before.as_slice(), after.as_slice()), (&[2, 5, 4][..], &[2, 5, 4][..]));
    }
}
