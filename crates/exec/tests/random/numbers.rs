//! Seeded choices.

use thalweg_array::{Array, DType};

/// A stream of choices (SplitMix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 where there is none.
    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n.max(1) as u64) as usize
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }

    /// An array of small integers, or of smooth numbers in -1..1.
    pub fn array(&mut self, dtype: DType, shape: &[usize], exact: bool) -> Array {
        let n = shape.iter().product();
        let elements: Vec<f64> = (0..n)
            .map(|_| match dtype {
                DType::Bool => self.below(2) as f64,
                DType::U32 => self.below(10) as f64,
                _ if exact || !dtype.is_float() => self.below(19) as f64 - 9.0,
                _ => self.below(1 << 20) as f64 / 524_288.0 - 1.0,
            })
            .collect();
        Array::from_slice(shape, &elements).unwrap().convert(dtype)
    }
}
