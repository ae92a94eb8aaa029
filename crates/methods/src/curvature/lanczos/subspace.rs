//! The subspace of a Lanczos iteration, with the operator's projection on it.

use super::{Eigenpair, LanczosConfig};
use crate::common::{SymmetricEigen, vector};
use thalweg_data::Stream;

/// Vectors of a basis, at most, but for many eigenvalues: the projected problem stays small beside
/// a product.
const LARGEST_BASIS: usize = 160;

/// Vectors that a start outside of the subspace has room for, where there are so many.
const ROOM: usize = 64;

/// The probability that [`Subspace::would_show`] is wrong of an eigenvector.
const MISSED: f64 = 1e-3;

/// A subspace with the operator's projection on it.
pub(super) struct Subspace {
    /// Orthonormal vectors.
    pub(super) basis: Vec<Vec<f64>>,
    /// Column `j`: components of the product with vector `j` along vectors up to `j`.
    columns: Vec<Vec<f64>>,
    /// What products have along later vectors: whose product, along which vector, how much.
    beyond: Vec<(usize, usize, f64)>,
    /// What products have outside of the subspace. The last is of the last product.
    rests: Vec<Rest>,
    capacity: usize,
    draws: Stream,
    n_drawn: u64,
    /// The random vector's share of the first one's square, while all others followed from it; none
    /// after a restart or another start.
    drawn_share: Option<f64>,
}

/// A vector outside of the subspace, of which each product has so much.
struct Rest {
    shares: Vec<f64>,
    vector: Vec<f64>,
}

impl Subspace {
    /// Vectors that there may be.
    pub(super) fn capacity(n: usize, wanted: usize) -> usize {
        const BYTES: usize = 1 << 29;
        let roomy = BYTES / size_of::<f64>() / n.max(1);
        roomy.min(LARGEST_BASIS).max(3 * wanted).max(24).min(n).max(1)
    }

    pub(super) fn new(n: usize, capacity: usize, draws: Stream) -> Subspace {
        let (columns, beyond, rests) = (Vec::new(), Vec::new(), Vec::new());
        let basis = Vec::new();
        let mut space = Subspace {
            basis,
            columns,
            beyond,
            rests,
            capacity,
            draws,
            n_drawn: 0,
            drawn_share: None,
        };
        space.draw(n);
        space.drawn_share = Some(1.0);
        space
    }

    /// Whether a restart has to make room for another vector.
    pub(super) fn is_full(&self) -> bool {
        self.basis.len() >= self.capacity
    }

    /// Adds a vector to the first, with the same length.
    pub(super) fn lean(&mut self, start: &[f64]) {
        let length = vector::norm(start);
        if let Some(first) = self.basis.first_mut().filter(|_| length > 0.0) {
            vector::add_scaled(first, 1.0 / length, start);
            let length = vector::norm(first);
            vector::scale(first, 1.0 / length);
            self.drawn_share = Some(0.5);
        }
    }

    /// Takes in the product with the last vector.
    pub(super) fn absorb(&mut self, mut product: Vec<f64>) {
        let mut components = vec![0.0; self.basis.len()];
        vector::orthogonalize(&mut product, &self.basis, &mut components);
        let mut shares = vec![0.0; self.columns.len()];
        shares.push(1.0);
        self.columns.push(components);
        self.rests.push(Rest { shares, vector: product });
    }

    pub(super) fn projected(&self) -> Vec<Vec<f64>> {
        // Row `i` of the lower triangle is column `i` of the upper one.
        let n = self.columns.len();
        self.columns
            .iter()
            .map(|column| {
                let mut row = column.clone();
                row.resize(n, 0.0);
                row
            })
            .collect()
    }

    /// The length below which a vector is rounding.
    fn rounding(&self) -> f64 {
        64.0 * f64::EPSILON * self.columns.iter().flatten().fold(0.0f64, |m, c| m.max(c.abs()))
    }

    /// A new vector: what is left of the last product, or a random one where nothing is.
    pub(super) fn extend(&mut self) {
        let n = self.basis.first().map_or(0, Vec::len);
        let Some(Rest { shares, mut vector }) = self.rests.pop() else { return self.draw(n) };
        let length = vector::norm(&vector);
        if length <= self.rounding() {
            return self.draw(n);
        }
        vector::scale(&mut vector, 1.0 / length);
        self.say_beyond(&shares, length);
        self.push(vector);
    }

    /// A new vector that has nothing to do with the others: a random one, orthogonal to all. What is left
    /// of the last product stays outside.
    pub(super) fn start_anew(&mut self) {
        let rounding = self.rounding();
        self.rests.retain(|rest| vector::norm(&rest.vector) > rounding);
        self.drawn_share = None;
        self.draw(self.basis.first().map_or(0, Vec::len));
    }

    fn draw(&mut self, n: usize) {
        let stream = self.draws.at(self.n_drawn);
        self.n_drawn += 1;
        let mut next: Vec<f64> = (0..n as u64).map(|i| stream.normal(i)).collect();
        vector::orthogonalize(&mut next, &self.basis, &mut vec![0.0; self.basis.len()]);
        let length = vector::norm(&next);
        vector::scale(&mut next, 1.0 / length);
        self.push(next);
    }

    /// Says of products that they have so much of a vector along the next one.
    fn say_beyond(&mut self, shares: &[f64], length: f64) {
        let next = self.basis.len();
        let parts = shares.iter().enumerate().filter(|(_, share)| **share != 0.0);
        self.beyond.extend(parts.map(|(of, share)| (of, next, length * share)));
    }

    fn push(&mut self, vector: Vec<f64>) {
        let mut rests = std::mem::take(&mut self.rests);
        for rest in &mut rests {
            let along = vector::dot(&rest.vector, &vector);
            vector::add_scaled(&mut rest.vector, -along, &vector);
            self.say_beyond(&rest.shares, along);
        }
        self.rests = rests;
        self.basis.push(vector);
    }

    /// What the operator makes of a combination of the basis: combinations of products are products
    /// of combinations. Components along the basis, and the length of the rest.
    fn image(&self, weights: &[f64]) -> (Vec<f64>, f64) {
        let mut image = vec![0.0; weights.len()];
        for (column, &weight) in self.columns.iter().zip(weights) {
            vector::add_scaled(&mut image, weight, column);
        }
        for &(of, along, length) in &self.beyond {
            if let (Some(component), Some(weight)) = (image.get_mut(along), weights.get(of)) {
                *component += length * weight;
            }
        }
        let share = |rest: &Rest| vector::dot(&rest.shares, weights);
        let outside = match self.rests.as_slice() {
            [rest] => share(rest).abs() * vector::norm(&rest.vector),
            rests => {
                let mut sum = vec![0.0; self.basis.first().map_or(0, Vec::len)];
                rests.iter().for_each(|rest| {
                    vector::add_scaled(&mut sum, share(rest), &rest.vector);
                });
                vector::norm(&sum)
            }
        };
        (image, outside)
    }

    /// Rayleigh quotient and residual of a combination of unit length.
    fn quotient(&self, weights: &[f64]) -> (f64, f64) {
        let (mut image, outside) = self.image(weights);
        let value = vector::dot(&image, weights);
        vector::add_scaled(&mut image, -value, weights);
        (value, vector::norm(&image).hypot(outside))
    }

    fn pair(&self, weights: &[f64]) -> Eigenpair {
        let (value, residual) = self.quotient(weights);
        let mut x = combine(&self.basis, weights);
        let largest = x.iter().copied().fold(0.0f64, |m, e| if e.abs() > m.abs() { e } else { m });
        if largest < 0.0 {
            vector::scale(&mut x, -1.0);
        }
        Eigenpair { value, residual, vector: x }
    }

    /// The pairs of both ends: the largest, then the smallest.
    pub(super) fn pairs(
        &self,
        eigen: &SymmetricEigen,
        config: &LanczosConfig,
    ) -> [Vec<Eigenpair>; 2] {
        let size = eigen.values.len();
        let pair = |i: usize| self.pair(&eigen.vectors[i]);
        let mut top: Vec<Eigenpair> = (size - config.top..size).rev().map(pair).collect();
        let mut bottom: Vec<Eigenpair> = (0..config.bottom).map(pair).collect();
        // Quotients of a multiple eigenvalue's vectors differ by rounding.
        top.sort_by(|a, b| b.value.total_cmp(&a.value));
        bottom.sort_by(|a, b| a.value.total_cmp(&b.value));
        [top, bottom]
    }

    pub(super) fn converged(&self, eigen: &SymmetricEigen, config: &LanczosConfig) -> bool {
        let n = eigen.values.len();
        let mut wanted = (0..config.bottom).chain(n - config.top..n);
        wanted.all(|i| self.has_converged(i, eigen, config))
    }

    /// Whether the residual of a Ritz vector is within the tolerance.
    pub(super) fn has_converged(
        &self,
        place: usize,
        eigen: &SymmetricEigen,
        config: &LanczosConfig,
    ) -> bool {
        let within = config.within(eigen);
        eigen.vectors.get(place).is_some_and(|vector| self.quotient(vector).1 <= within)
    }

    /// Keeps the best Ritz vectors of each end asked for, and goes on from the residual.
    pub(super) fn restart(&mut self, eigen: &SymmetricEigen, config: &LanczosConfig) {
        let wanted = config.top + config.bottom;
        self.compress(eigen, config, wanted + (eigen.values.len() - wanted) / 3);
        self.extend();
    }

    /// Keeps fewer Ritz vectors where vectors from another start would have no room; those asked for
    /// alone where they need all of it.
    pub(super) fn make_room(
        &mut self,
        eigen: &SymmetricEigen,
        config: &LanczosConfig,
        cramped: bool,
    ) {
        let n = self.basis.first().map_or(0, Vec::len);
        let room = if cramped { self.capacity } else { ROOM };
        let most = self.capacity.saturating_sub(room).max(config.top + config.bottom);
        if self.capacity < n && self.basis.len() > most {
            self.compress(eigen, config, most);
        }
    }

    /// Keeps so many Ritz vectors, at least those asked for: the best of each end.
    fn compress(&mut self, eigen: &SymmetricEigen, config: &LanczosConfig, n_kept: usize) {
        self.drawn_share = None;
        let n = eigen.values.len();
        let wanted = config.top + config.bottom;
        let spare = n_kept.saturating_sub(wanted);
        let share = |part: usize| part + spare * part / wanted;
        let (low, high) = (share(config.bottom), share(config.top));
        let kept: Vec<usize> = (0..low).chain(n - high..n).collect();
        let basis: Vec<Vec<f64>> =
            kept.iter().map(|&i| combine(&self.basis, &eigen.vectors[i])).collect();
        // Of what a Ritz vector's product is beside its value times itself, all but rounding is
        // outside.
        self.columns = kept
            .iter()
            .enumerate()
            .map(|(j, &i)| {
                let mut column = vec![0.0; j + 1];
                column[j] = eigen.values[i];
                column
            })
            .collect();
        self.beyond.clear();
        for rest in &mut self.rests {
            let share = |&i: &usize| vector::dot(&rest.shares, &eigen.vectors[i]);
            rest.shares = kept.iter().map(share).collect();
            // Combinations are orthonormal to rounding, which the rests have to be as well.
            vector::orthogonalize(&mut rest.vector, &basis, &mut vec![0.0; basis.len()]);
        }
        self.basis = basis;
    }

    /// Whether eigenvalues beyond the extreme Ritz values of the ends asked for would show by now, but
    /// with a probability of [`MISSED`]. What is not known after a restart is not asked.
    pub(super) fn ends_would_show(&self, eigen: &SymmetricEigen, config: &LanczosConfig) -> bool {
        let Some(share) = self.drawn_share else { return true };
        let within = config.within(eigen);
        let ends =
            [(config.top, eigen.values.last(), 1.0), (config.bottom, eigen.values.first(), -1.0)];
        ends.into_iter().all(|(asked, extreme, sign)| {
            let limit = extreme.map(|value| sign * value + within).filter(|_| asked > 0);
            limit.is_none_or(|limit| self.shows(0, limit, sign, share))
        })
    }

    /// Whether an eigenvector outside of the vectors before `first`, whose eigenvalue times `sign` is at
    /// least `limit`, would show by now, but with a probability of [`MISSED`].
    ///
    /// From `first` on the vectors are those of a Lanczos iteration from a random start, in the space
    /// outside of those before. Along vector `j` of it an eigenvector `x` has `p_j(l) x^T w_0`, with its
    /// eigenvalue `l` and the iteration's orthonormal polynomials `p_j`, and all components' squares
    /// are at most one. So its share of the start is at most `1 / sum of p_j(l)^2`, which grows with
    /// `l` beyond all Ritz values. The share of a uniform unit vector in `m` dimensions is below `d` with
    /// a probability of at most `sqrt(2 m d / pi)`.
    pub(super) fn would_show(&self, first: usize, limit: f64, sign: f64) -> bool {
        self.shows(first, limit, sign, 1.0)
    }

    /// [`Subspace::would_show`] where the start has a share of the random vector in its square.
    fn shows(&self, first: usize, limit: f64, sign: f64, share: f64) -> bool {
        let n = self.basis.first().map_or(0, Vec::len);
        let outside = (n - first.min(n)) as f64 / share;
        let enough = outside / (std::f64::consts::FRAC_PI_2 * MISSED * MISSED);
        let rounding = self.rounding();
        let (mut before, mut now, mut sum, mut last) = (0.0, 1.0, 1.0, 0.0);
        for (j, column) in self.columns.iter().enumerate().skip(first) {
            let along = sign * column[j];
            let next = (limit - along) * now - last * before;
            // A Ritz value is beyond the limit.
            if next <= 0.0 {
                return false;
            }
            last = match (self.columns.get(j + 1), self.rests.last()) {
                (Some(column), _) => column[j],
                (None, Some(rest)) => vector::norm(&rest.vector),
                (None, None) => 0.0,
            };
            // All that the start has anything of is in the subspace.
            if last <= rounding {
                return true;
            }
            (before, now) = (now, next / last);
            sum += now * now;
            if sum >= enough {
                return true;
            }
        }
        false
    }
}

fn combine(basis: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; basis.first().map_or(0, Vec::len)];
    for (vector, &weight) in basis.iter().zip(weights) {
        vector::add_scaled(&mut sum, weight, vector);
    }
    let length = vector::norm(&sum);
    if length > 0.0 {
        vector::scale(&mut sum, 1.0 / length);
    }
    sum
}
