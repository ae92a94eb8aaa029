//! What a block, its changes and its residuals span, orthonormal in `B`'s inner product.

use super::{End, LobpcgConfig};
use crate::MethodError;
use crate::common::{symmetric_eigen, vector};

pub(super) fn positive(square: f64) -> Result<f64, MethodError> {
    match square > 0.0 && square.is_finite() {
        true => Ok(square),
        false => {
            let expected = "a positive definite operator";
            let got = format!("one with v^T B v = {square}");
            Err(MethodError::mismatch("the metric of eigenpairs", expected, got))
        }
    }
}

/// The share of a vector that is rounding once the basis is taken out of it.
const LOST: f64 = 1e-10;

/// Vectors that are orthonormal in `B`'s inner product, the block first, with their images.
#[derive(Default)]
pub(super) struct Basis {
    pub(super) vectors: Vec<Vec<f64>>,
    images: Vec<Vec<f64>>,
    metric: Vec<Vec<f64>>,
}

/// The best combinations of a basis.
pub(super) struct Ritz {
    pub(super) values: Vec<f64>,
    pub(super) weights: Vec<Vec<f64>>,
    /// The largest absolute value of all combinations.
    pub(super) scale: f64,
}

impl Basis {
    /// What of some vectors is outside of the basis and of each other: of unit length, orthogonal to
    /// the basis in `B`'s inner product and in the plain one to each other.
    pub(super) fn outside(&self, block: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let mut fresh: Vec<Vec<f64>> = Vec::new();
        for mut v in block {
            let before = vector::norm(&v);
            if !(before > 0.0 && before.is_finite()) {
                continue;
            }
            vector::scale(&mut v, 1.0 / before);
            for _ in 0..2 {
                for (q, b) in self.vectors.iter().zip(&self.metric) {
                    let along = vector::dot(b, &v);
                    vector::add_scaled(&mut v, -along, q);
                }
                vector::orthogonalize(&mut v, &fresh, &mut vec![0.0; fresh.len()]);
            }
            let length = vector::norm(&v);
            if length > LOST && self.vectors.len() + fresh.len() < v.len() {
                vector::scale(&mut v, 1.0 / length);
                fresh.push(v);
            }
        }
        fresh
    }

    /// Takes in a vector with its images, less what it has of the others.
    pub(super) fn push(&mut self, mut of: [Vec<f64>; 3]) -> Result<(), MethodError> {
        let before = positive(vector::dot(&of[0], &of[2]))?;
        for _ in 0..2 {
            for (i, b) in self.metric.iter().enumerate() {
                let along = vector::dot(b, &of[0]);
                vector::add_scaled(&mut of[0], -along, &self.vectors[i]);
                vector::add_scaled(&mut of[1], -along, &self.images[i]);
                vector::add_scaled(&mut of[2], -along, b);
            }
        }
        let left = vector::dot(&of[0], &of[2]);
        if left <= LOST * before {
            return Ok(());
        }
        of.iter_mut().for_each(|x| vector::scale(x, 1.0 / left.sqrt()));
        let [v, image, b] = of;
        self.vectors.push(v);
        self.images.push(image);
        self.metric.push(b);
        Ok(())
    }

    /// The combinations of largest or smallest quotient.
    pub(super) fn ritz(&self, size: usize, end: End) -> Ritz {
        let n = self.vectors.len();
        let entry = |i: usize, j: usize| {
            let (a, b) = (&self.vectors[i], &self.images[j]);
            0.5 * (vector::dot(a, b) + vector::dot(&self.vectors[j], &self.images[i]))
        };
        let rows: Vec<Vec<f64>> = (0..n)
            .map(|i| (0..n).map(|j| if j <= i { entry(i, j) } else { 0.0 }).collect())
            .collect();
        let eigen = symmetric_eigen(&rows);
        let places: Vec<usize> = match end {
            End::Largest => (0..n).rev().take(size).collect(),
            End::Smallest => (0..n).take(size).collect(),
        };
        let of = |place: &usize| (eigen.values[*place], eigen.vectors[*place].clone());
        let (values, weights) = places.iter().map(of).unzip();
        let scale = eigen.values.iter().fold(0.0f64, |m, value| m.max(value.abs()));
        Ritz { values, weights, scale }
    }

    /// `A x - l B x` of each combination.
    pub(super) fn residuals(&self, ritz: &Ritz) -> Vec<Vec<f64>> {
        let of = |(weights, &value): (&Vec<f64>, &f64)| {
            let mut residual = combined(&self.images, weights);
            vector::add_scaled(&mut residual, -value, &combined(&self.metric, weights));
            residual
        };
        ritz.weights.iter().zip(&ritz.values).map(of).collect()
    }

    /// Puts the combinations in place of the block, and after them how those that go on have
    /// changed: what of them was not in the block before.
    pub(super) fn restart(&mut self, ritz: &Ritz, active: &[usize]) {
        let size = ritz.weights.len();
        let mut kept = ritz.weights.clone();
        for &i in active {
            let mut change = ritz.weights[i].clone();
            let before = size.min(change.len());
            change[..before].fill(0.0);
            let length = vector::norm(&change);
            vector::orthogonalize(&mut change, &kept, &mut vec![0.0; kept.len()]);
            let left = vector::norm(&change);
            if left > LOST && left > LOST * length && kept.len() < change.len() {
                vector::scale(&mut change, 1.0 / left);
                kept.push(change);
            }
        }
        for vectors in [&mut self.vectors, &mut self.images, &mut self.metric] {
            *vectors = kept.iter().map(|weights| combined(vectors, weights)).collect();
        }
    }
}

impl Ritz {
    /// Which of the wanted are not within the tolerance.
    pub(super) fn open(
        &self,
        residuals: &[Vec<f64>],
        basis: &Basis,
        config: &LobpcgConfig,
        scale: f64,
    ) -> Vec<usize> {
        let within = |i: usize| {
            let size = vector::norm(&combined(&basis.metric, &self.weights[i]));
            vector::norm(&residuals[i]) <= config.tolerance * scale * size
        };
        (0..config.pairs.min(self.values.len())).filter(|&i| !within(i)).collect()
    }
}

/// `sum over j of weights_j vectors_j`.
pub(super) fn combined(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for (vector, &weight) in vectors.iter().zip(weights) {
        vector::add_scaled(&mut sum, weight, vector);
    }
    sum
}
