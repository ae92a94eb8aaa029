//! Helpers of the kernels' tests: seeded numbers and pools.

use super::pool::Pool;
use super::simd::{Float, Isa};

/// A small linear congruential generator; test data need no more.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub(crate) fn pick<S: Copy>(&mut self, from: &[S]) -> S {
        from[self.below(from.len())]
    }

    /// `count` numbers in [-1, 1).
    pub(crate) fn numbers<T: Float>(&mut self, count: usize) -> Vec<T> {
        (0..count).map(|_| T::from_f64(self.below(1 << 20) as f64 / 524_288.0 - 1.0)).collect()
    }
}

/// Pools that must all give the same bits, the plainest first.
pub(crate) fn pools() -> Vec<Pool> {
    let mut pools: Vec<Pool> = Isa::ALL
        .into_iter()
        .rev()
        .filter(|isa| isa.is_available())
        .map(|isa| Pool::with_isa(1, isa))
        .collect();
    pools.extend((2..=4).map(Pool::new));
    pools
}

/// The bits of numbers, so that zeros of different sign and NaN compare.
pub(crate) fn bits<T: Float>(numbers: &[T]) -> Vec<u64> {
    numbers.iter().map(|x| x.to_f64().to_bits()).collect()
}

/// Fails unless `got` is within rounding of `expected`, where `scale` bounds the sums of absolute
/// products.
pub(crate) fn assert_close<T: Float>(got: &[T], expected: &[f64], terms: usize, what: &str) {
    let unit = if size_of::<T>() == 4 { 6e-8 } else { 1.2e-16 };
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let bound = unit * (terms as f64 + 2.0) * 2.0 + unit * expected.abs();
        assert!(
            (got.to_f64() - expected).abs() <= bound,
            "{what}: [{i}] {got:?}, expected {expected}"
        );
    }
}
