//! Seeded operands: each case draws from a stream named after itself.

use thalweg_array::{Array, DType};

/// A stream of numbers (SplitMix64).
pub struct Draw(u64);

impl Draw {
    pub fn new(name: &str) -> Draw {
        // FNV-1a, so that the numbers of a case do not depend on the cases around it.
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Draw(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn floats(&mut self, shape: &[usize], mut draw: impl FnMut(&mut Draw) -> f64) -> Array {
        let n = shape.iter().product();
        let elements: Vec<f64> = (0..n).map(|_| draw(self)).collect();
        Array::from_slice(shape, &elements).unwrap()
    }

    /// Numbers in `low..high`.
    pub fn uniform(&mut self, shape: &[usize], low: f64, high: f64) -> Array {
        self.floats(shape, |draw| draw.between(low, high))
    }

    /// Numbers of either sign, of size 0.3 to 1.5: away from the kink at zero.
    pub fn signed(&mut self, shape: &[usize]) -> Array {
        self.floats(shape, |draw| {
            let size = draw.between(0.3, 1.5);
            if draw.word().is_multiple_of(2) { size } else { -size }
        })
    }

    /// Numbers in 0.5..2.
    pub fn positive(&mut self, shape: &[usize]) -> Array {
        self.uniform(shape, 0.5, 2.0)
    }

    /// Numbers at least 0.3 apart, in random order: away from the kinks of extrema and orders.
    pub fn distinct(&mut self, shape: &[usize]) -> Array {
        let n: usize = shape.iter().product();
        let mut elements: Vec<f64> = (0..n).map(|i| (i as f64 - n as f64 / 2.0) * 0.4).collect();
        for i in (1..n).rev() {
            elements.swap(i, (self.word() % (i as u64 + 1)) as usize);
        }
        for element in &mut elements {
            *element += self.between(-0.05, 0.05);
        }
        Array::from_slice(shape, &elements).unwrap()
    }

    /// Matrices `[.., n, n]` that are symmetric and positive definite, with eigenvalues apart.
    pub fn positive_definite(&mut self, shape: &[usize]) -> Array {
        let n = shape[shape.len() - 1];
        let count: usize = shape[..shape.len() - 2].iter().product();
        let mut elements = Vec::new();
        for _ in 0..count {
            let half = self.uniform(&[n, n], -0.3, 0.3).to_f64_vec();
            for i in 0..n {
                for j in 0..n {
                    let diagonal = if i == j { 2.0 + 2.0 * i as f64 } else { 0.0 };
                    elements.push(half[i * n + j] + half[j * n + i] + diagonal);
                }
            }
        }
        Array::from_slice(shape, &elements).unwrap()
    }

    /// Integers in `low..high`.
    pub fn integers(&mut self, dtype: DType, shape: &[usize], low: i64, high: i64) -> Array {
        let n: usize = shape.iter().product();
        let span = (high - low) as u64;
        let elements: Vec<i64> = (0..n).map(|_| low + (self.word() % span) as i64).collect();
        Array::from_slice(shape, &elements).unwrap().convert(dtype)
    }

    /// Words of any bits.
    pub fn words(&mut self, shape: &[usize]) -> Array {
        let n: usize = shape.iter().product();
        let elements: Vec<u32> = (0..n).map(|_| self.word() as u32).collect();
        Array::from_slice(shape, &elements).unwrap()
    }

    pub fn booleans(&mut self, shape: &[usize]) -> Array {
        self.integers(DType::I32, shape, 0, 2).convert(DType::Bool)
    }

    /// An array like another, elsewhere in its neighbourhood: floats move by less than 0.05,
    /// integers and booleans change places, a lone integer goes up.
    pub fn variant(&mut self, of: &Array, number: usize) -> Array {
        if of.dtype().is_float() {
            let moved: Vec<f64> =
                of.to_f64_vec().into_iter().map(|x| x + self.between(-0.05, 0.05)).collect();
            return Array::from_slice(of.shape(), &moved).unwrap().convert(of.dtype());
        }
        let mut elements: Vec<i64> = of.convert(DType::I64).as_slice::<i64>().unwrap().to_vec();
        if elements.len() == 1 && of.dtype() != DType::Bool {
            elements[0] = elements[0].wrapping_add(number as i64);
        } else if elements.len() == 1 {
            elements[0] = (elements[0] + number as i64) % 2;
        } else if !elements.is_empty() {
            let n = elements.len();
            elements.rotate_left(number % n);
        }
        Array::from_slice(of.shape(), &elements).unwrap().convert(of.dtype())
    }

    /// A direction: floats in -1..1 of an array's shape and type.
    pub fn direction(&mut self, of: &Array) -> Array {
        self.uniform(of.shape(), -1.0, 1.0).convert(of.dtype())
    }
}
