//! Dropout.

use crate::model::Layer;
use crate::scope::Scope;
use thalweg_array::DType;
use thalweg_graph::{Op, Tensor};

/// `y = x m / (1 - rate)`, each element of `m` zero with probability `rate`, else one.
///
/// Element `i` of draw layer `l` is dropped when `Threefry(key, [i, l]) < rate 2^32`. The counter
/// is the element's place in the unbatched tensor, so a member's mask does not depend on its
/// neighbours. Without a key in the mode it is the identity.
///
/// # Errors    rates outside [0, 1), and tensors of 2^32 elements or more, are refused
/// # Source    Srivastava et al., Dropout, 2014
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of being dropped.
    pub rate: f64,
}

impl Layer for Dropout {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        // Numbered with or without a key, so that both trace the same layers.
        let layer = scope.next_random();
        let builder = scope.builder();
        if !(0.0..1.0).contains(&self.rate) {
            builder.reject("dropout", "a rate in [0, 1)", self.rate.to_string());
            return x;
        }
        let Some(key) = scope.mode().dropout_key.filter(|_| self.rate > 0.0) else { return x };
        let shape = x.shape();
        let n: usize = shape.iter().product();
        if u32::try_from(n).is_err() {
            builder.reject("dropout", "fewer than 2^32 elements", x.ty().to_string());
            return x;
        }
        let word = |i| key.index(0, i).broadcast_in(&shape, &[]);
        let counter = builder.iota(DType::U32, &[n], 0).reshape(&shape);
        let layer = builder.scalar_of(DType::U32, f64::from(layer)).broadcast_in(&shape, &[]);
        let bits = builder.emit_one(Op::Threefry, &[word(0), word(1), counter, layer]);
        let threshold = (self.rate * 2f64.powi(32)).round();
        let kept = bits.greater_equal(threshold);
        kept.select(x * (1.0 / (1.0 - self.rate)), x.zeros_like())
    }
}
