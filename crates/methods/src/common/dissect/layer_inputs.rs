//! What the layers of a network read.

use super::{Declared, Dissection};
use std::collections::BTreeSet;
use thalweg_graph::Tensor;

impl<'b> Dissection<'b> {
    /// What every layer with a weight reads of each example, `[examples, width]`, from the first layer on,
    /// and what the network gives in the end. What several layers read comes once; what is not kept
    /// example by example, as a table's rows, is left out.
    pub(crate) fn layer_inputs(&self, declared: &Declared<'b>) -> Vec<Tensor<'b>> {
        let examples = declared.losses.shape().first().copied().unwrap_or(0);
        let mut known = BTreeSet::new();
        let mut found = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if self.needed[index] && self.is_weighted(node) {
                let read = self.data_operands(node).into_iter();
                let new = read.filter(|value| known.insert((value.node, value.output)));
                found.extend(new.map(|value| self.builder.tensor(value)));
            }
        }
        found.push(self.outputs);
        let rows = found.into_iter().filter(|x| x.shape().first() == Some(&examples));
        rows.map(|x| {
            let width = x.shape().iter().skip(1).product();
            x.reshape(&[examples, width])
        })
        .collect()
    }
}
