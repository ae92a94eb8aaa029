//! Attention.

use super::{Dense, Dropout, Normalization};
use crate::model::Layer;
use crate::scope::Scope;
use thalweg_array::DType;
use thalweg_graph::{DotAxes, Tensor};

/// `y = concat over heads of softmax(q k^T / sqrt(e)) v`, projected; queries, keys and values of
/// each head are a share of one projection of `x`.
///
/// # Shapes    x `[batch, positions, units]` -> the same; the parameters are those of its two
/// dense layers, the first with `3 units` outputs in the order queries, keys, values, each of
/// which has the units of one head after those of another; with a `norm` also those of `q_norm`,
/// `k_norm` and that behind the last layer
/// # Errors    units that do not divide into heads, and a tensor of another rank, are refused
/// # Gradient  any order
/// # Source    Vaswani et al., Attention is all you need, 2017, arXiv 1706.03762, section 3.2
#[derive(Clone, Debug, PartialEq)]
pub struct SelfAttention {
    /// Number of heads.
    pub heads: usize,
    /// Whether a position sees only itself and those before it.
    pub causal: bool,
    /// Probability of dropping a weight of the softmax.
    pub dropout: f64,
    /// The projection to queries, keys and values, and the one at the end, each under its name.
    pub projections: [(&'static str, Dense); 2],
    /// Of the queries and keys of each head, and of what comes out of the last layer, each position by
    /// itself: none, [`Normalization::Layer`] or [`Normalization::Rms`].
    pub norm: Normalization,
}

impl Layer for SelfAttention {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let shape = x.shape();
        let [(inward, to_all), (outward, from_heads)] = &self.projections;
        let fits = match shape[..] {
            [_, _, units] => {
                self.heads > 0
                    && units.is_multiple_of(self.heads)
                    && units.checked_mul(3) == Some(to_all.outputs)
            }
            _ => false,
        };
        if !fits {
            let expected = format!(
                "[batch, positions, units], units a third of {} and a multiple of {} heads",
                to_all.outputs, self.heads
            );
            scope.builder().reject("self_attention", expected, x.ty().to_string());
            return x;
        }
        let all = to_all.forward(&scope.enter(inward), x);
        let [batch, positions, units] = [shape[0], shape[1], shape[2]];
        let all = all.reshape(&[batch, positions, 3, self.heads, units / self.heads]);
        let [q, k, v] = [0, 1, 2].map(|i| all.index(2, i));
        let [q, k] = [("q", q), ("k", k)].map(|(name, x)| self.norm.of_positions(scope, name, x));
        let dropped = |weights| Dropout { rate: self.dropout }.forward(scope, weights);
        let y = scaled_dot_product_attention([q, k, v], self.causal, dropped);
        let y = from_heads.forward(&scope.enter(outward), y.reshape(&shape));
        self.norm.of_positions(scope, outward, y)
    }
}

/// `y = change(softmax(q k^T / sqrt(e) + mask)) v` for each example and head; `change` is where
/// dropout has its place.
///
/// With `causal`, query `i` sees keys `0..=i`.
///
/// # Shapes    as [`dot_product_attention`]
/// # Gradient  any order
#[track_caller]
pub fn scaled_dot_product_attention<'b>(
    qkv: [Tensor<'b>; 3],
    causal: bool,
    change: impl FnOnce(Tensor<'b>) -> Tensor<'b>,
) -> Tensor<'b> {
    let builder = qkv[0].builder();
    let masked = |scores: Tensor<'b>| {
        let shape = scores.shape();
        match shape[..] {
            [.., queries, keys] if causal => {
                let place = |axis| builder.iota(DType::I32, &[queries, keys], axis);
                let last = [shape.len() - 2, shape.len() - 1];
                let seen = place(1).less_equal(place(0)).broadcast_in(&shape, &last);
                let never = builder.full(&scores.ty(), f64::NEG_INFINITY);
                seen.select(scores, never)
            }
            _ => scores,
        }
    };
    // A query sees at least its own key, so the largest score is finite.
    dot_product_attention(qkv, masked, change)
}

/// `y = weights(softmax(scores(q k^T / sqrt(e)))) v` for each example and head: what is done to the
/// scores, as adding a bias or a mask, and to their softmax, is given.
///
/// # Shapes    q `[.., t, heads, e]`, k `[.., s, heads, e]`, v `[.., s, heads, f]` ->
/// `[.., t, heads, f]`; scores and weights are `[.., heads, t, s]`
/// # Gradient  any order
#[track_caller]
pub fn dot_product_attention<'b>(
    [q, k, v]: [Tensor<'b>; 3],
    scores: impl FnOnce(Tensor<'b>) -> Tensor<'b>,
    weights: impl FnOnce(Tensor<'b>) -> Tensor<'b>,
) -> Tensor<'b> {
    // Of fewer axes than that, the products are the shape rule's to refuse.
    let rank = q.rank().max(3);
    let units = q.shape().last().copied().unwrap_or(1).max(1);
    let batch: Vec<usize> = (0..rank - 3).chain([rank - 2]).collect();
    // The queries are scaled, since there are fewer of them than scores.
    let found = (q * (1.0 / (units as f64).sqrt())).dot(
        k,
        DotAxes {
            lhs_batch: batch.clone(),
            rhs_batch: batch.clone(),
            lhs_contract: vec![rank - 1],
            rhs_contract: vec![rank - 1],
        },
    );
    let found = scores(found);
    let found = weights(found.softmax(found.rank().saturating_sub(1)));
    let mixed = found.dot(
        v,
        DotAxes {
            lhs_batch: (0..rank - 2).collect(),
            rhs_batch: batch,
            lhs_contract: vec![rank - 1],
            rhs_contract: vec![rank - 3],
        },
    );
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 3, rank - 2);
    mixed.transpose(&order)
}
