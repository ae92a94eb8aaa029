//! Batching of the general product.

use crate::vmap::Rule;
use thalweg_graph::{DotAxes, Op, Tensor};

/// With both operands batched the members' axis is one more batch axis. An operand of one's own
/// beside a shared one makes the members' axis a free axis: one product for all members.
pub(super) fn dot<'b>(rule: &Rule<'_, 'b>, axes: &DotAxes) -> Tensor<'b> {
    let (lhs, rhs) = (rule.operands[0], rule.operands[1]);
    let moved = |axes: &[usize], batched: bool| -> Vec<usize> {
        axes.iter().map(|axis| axis + usize::from(batched)).collect()
    };
    let mut product = DotAxes {
        lhs_batch: moved(&axes.lhs_batch, lhs.batched),
        rhs_batch: moved(&axes.rhs_batch, rhs.batched),
        lhs_contract: moved(&axes.lhs_contract, lhs.batched),
        rhs_contract: moved(&axes.rhs_contract, rhs.batched),
    };
    if lhs.batched && rhs.batched {
        product.lhs_batch.insert(0, 0);
        product.rhs_batch.insert(0, 0);
        return rule.emit_one(Op::Dot(product), &[lhs.tensor, rhs.tensor]);
    }
    let n_batch = axes.lhs_batch.len();
    // The first free axis of its operand, so the first of that operand's axes in the result.
    let at = if lhs.batched { n_batch } else { lhs.tensor.rank() - axes.lhs_contract.len() };
    rule.emit_one(Op::Dot(product), &[lhs.tensor, rhs.tensor]).move_axis(at, 0)
}
