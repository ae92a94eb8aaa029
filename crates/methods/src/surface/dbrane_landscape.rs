//! A landscape with a known number of global minima: intersecting D-branes.

use crate::common::Function;
use thalweg_data::Stream;
use thalweg_graph::{Builder, DType, Tensor};

/// Four stacks of one brane each: the potential of a black hole of charges (1, 1, 1, 1), whose
/// zeros number exactly 12, up to gauge.
///
/// With complex `phi_kl` (`k < l`) and `Z^{kl}` (`k` not `l`), `Z^{12} = Z^{13} = Z^{14} = 1` fixing the
/// gauge, the potential is `V = sum |F_a|^2` of the 18 terms
///
/// `Z^{kl} Z^{lk} - p_kl` for `k < l`, and
/// `phi_kl Z^{lk} + sum over m of s_klm Z^{lm} Z^{mk}` for `k` not `l`.
///
/// The constants `p_kl` are generic complex numbers; the signs `s` of the eight oriented triangles
/// do not change the count. A point is 30 real numbers: real and imaginary parts in turn of
/// `phi_12, phi_13, phi_14, phi_23, phi_24, phi_34`, then of `Z^{kl}` but the three fixed ones, by `k` and
/// then by `l`.
///
/// # Source    the superpotential: Chowdhury, Garavuso, Mondal, Sen, BPS state counting in N = 8
/// supersymmetric string theory for pure D-brane configurations, 2014, arXiv 1405.0412; as a loss
/// landscape: Black holes and the loss landscape in machine learning, 2023, arXiv 2306.14817
#[derive(Clone, Debug, PartialEq)]
pub struct DbraneLandscape {
    /// `p_12, p_13, p_14, p_23, p_24, p_34`: real and imaginary part.
    pub p: [[f64; 2]; 6],
    /// The sign of the triangle `k -> l -> m -> k`, at `[k][l][m]` from any of its corners.
    signs: [[[f64; 4]; 4]; 4],
}

/// A complex number of anything that multiplies.
type Pair<T> = [T; 2];

/// The order of unordered pairs.
const PAIRS: [[usize; 2]; 6] = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]];

/// Number of minima.
const MINIMA: usize = 12;
/// Number of real coordinates.
const COORDINATES: usize = 30;

/// What the terms are computed with: numbers, or values of a graph.
trait Arithmetic {
    type Number: Copy;
    fn constant(&self, value: f64) -> Self::Number;
    fn add(&self, a: Self::Number, b: Self::Number) -> Self::Number;
    fn multiply(&self, a: Self::Number, b: Self::Number) -> Self::Number;

    fn plus(&self, a: Pair<Self::Number>, b: Pair<Self::Number>) -> Pair<Self::Number> {
        [self.add(a[0], b[0]), self.add(a[1], b[1])]
    }

    fn times(&self, a: Pair<Self::Number>, b: Pair<Self::Number>) -> Pair<Self::Number> {
        let minus = self.multiply(self.constant(-1.0), self.multiply(a[1], b[1]));
        [
            self.add(self.multiply(a[0], b[0]), minus),
            self.add(self.multiply(a[0], b[1]), self.multiply(a[1], b[0])),
        ]
    }
}

struct Numbers;

impl Arithmetic for Numbers {
    type Number = f64;

    fn constant(&self, value: f64) -> f64 {
        value
    }

    fn add(&self, a: f64, b: f64) -> f64 {
        a + b
    }

    fn multiply(&self, a: f64, b: f64) -> f64 {
        a * b
    }
}

struct Traced<'b>(&'b Builder);

impl<'b> Arithmetic for Traced<'b> {
    type Number = Tensor<'b>;

    fn constant(&self, value: f64) -> Tensor<'b> {
        self.0.scalar(value)
    }

    fn add(&self, a: Tensor<'b>, b: Tensor<'b>) -> Tensor<'b> {
        a + b
    }

    fn multiply(&self, a: Tensor<'b>, b: Tensor<'b>) -> Tensor<'b> {
        a * b
    }
}

impl DbraneLandscape {
    /// Generic constants from a stream: standard complex normal.
    pub fn drawn(stream: &Stream) -> DbraneLandscape {
        let part = |i: usize| stream.normal(i as u64) * 0.5f64.sqrt();
        let p = std::array::from_fn(|i| [part(2 * i), part(2 * i + 1)]);
        DbraneLandscape { p, signs: [[[1.0; 4]; 4]; 4] }
    }

    /// With the sign of one oriented triangle `k -> l -> m -> k` turned; nothing for what is none.
    pub fn with_turned(mut self, [k, l, m]: [usize; 3]) -> DbraneLandscape {
        if k.max(l).max(m) < 4 && k != l && l != m && m != k {
            for [a, b, c] in [[k, l, m], [l, m, k], [m, k, l]] {
                self.signs[a][b][c] *= -1.0;
            }
        }
        self
    }

    /// How many minima there are, up to gauge.
    pub fn minima(&self) -> usize {
        MINIMA
    }

    /// Real coordinates of a point.
    pub fn coordinates(&self) -> usize {
        COORDINATES
    }

    /// The 18 squared terms `|F_a|^2` at a point `[30]`, as values of a graph `[18]`.
    pub fn traced_terms<'b>(&self, builder: &'b Builder, point: Tensor<'b>) -> Tensor<'b> {
        let at: Vec<Tensor<'b>> = (0..COORDINATES).map(|i| point.index(0, i)).collect();
        let terms = self.terms(&Traced(builder), &at);
        let squares = terms.iter().map(|[re, im]| (re.square() + im.square()).reshape(&[1]));
        builder.concatenate(&squares.collect::<Vec<_>>(), 0)
    }

    /// The potential as an objective of one parameter `w [30]`.
    pub fn objective(&self, float: DType) -> Function {
        let own = self.clone();
        Function::new(float, &[("w", &[COORDINATES])], move |builder, w| {
            own.traced_terms(builder, w[0]).sum_all()
        })
    }

    /// The 36 real and imaginary parts of the terms; NaN for a point of another length.
    pub fn residuals(&self, point: &[f64]) -> Vec<f64> {
        match point.len() == COORDINATES {
            true => self.terms(&Numbers, point).concat(),
            false => vec![f64::NAN; 36],
        }
    }

    /// What tells one minimum from another and no gauge changes: the `phi_kl` and the product of `Z`
    /// around each oriented triangle, real and imaginary parts.
    pub fn fingerprint(&self, point: &[f64]) -> Vec<f64> {
        if point.len() != COORDINATES {
            return vec![f64::NAN; 28];
        }
        let z = links(&Numbers, point);
        let mut all = point[..12].to_vec();
        for [k, l, m] in
            [[0, 1, 2], [0, 2, 1], [0, 1, 3], [0, 3, 1], [0, 2, 3], [0, 3, 2], [1, 2, 3], [1, 3, 2]]
        {
            let around = Numbers.times(Numbers.times(z[k][l], z[l][m]), z[m][k]);
            all.extend(around);
        }
        all
    }

    fn terms<A: Arithmetic>(&self, by: &A, at: &[A::Number]) -> Vec<Pair<A::Number>> {
        let z = links(by, at);
        let real = |value: f64| [by.constant(value), by.constant(0.0)];
        let mut terms = Vec::with_capacity(18);
        for ([k, l], p) in PAIRS.into_iter().zip(self.p) {
            let product = by.times(z[k][l], z[l][k]);
            terms.push(by.plus(product, p.map(|part| by.constant(-part))));
        }
        for (i, [a, b]) in PAIRS.into_iter().enumerate() {
            let phi = [at[2 * i], at[2 * i + 1]];
            for [k, l] in [[a, b], [b, a]] {
                let mut sum = by.times(phi, z[l][k]);
                for m in (0..4).filter(|m| ![k, l].contains(m)) {
                    let path = by.times(z[l][m], z[m][k]);
                    sum = by.plus(sum, by.times(real(self.signs[k][l][m]), path));
                }
                terms.push(sum);
            }
        }
        terms
    }
}

/// `Z^{kl}`, three of them one; those of `k = l` are zero and not used.
fn links<A: Arithmetic>(by: &A, at: &[A::Number]) -> [[Pair<A::Number>; 4]; 4] {
    let mut next = 12;
    std::array::from_fn(|k| {
        std::array::from_fn(|l| match (k, l) {
            (0, l) => [by.constant(f64::from(u8::from(l > 0))), by.constant(0.0)],
            (k, l) if k == l => [by.constant(0.0); 2],
            _ => {
                next += 2;
                [at[next - 2], at[next - 1]]
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::symmetric_eigen;
    use crate::{Context, evaluate};
    use thalweg_exec::Executor;

    /// Damped Gauss-Newton.
    fn solve(landscape: &DbraneLandscape, mut w: Vec<f64>) -> Option<Vec<f64>> {
        let value = |w: &[f64]| landscape.residuals(w).iter().map(|r| r * r).sum::<f64>();
        let (mut now, mut damping) = (value(&w), 1e-2);
        for _ in 0..120 {
            if now < 1e-22 {
                return Some(w);
            }
            let base = landscape.residuals(&w);
            let columns: Vec<Vec<f64>> = (0..COORDINATES)
                .map(|i| {
                    let shifted = |h: f64| {
                        let mut moved = w.clone();
                        moved[i] += h;
                        landscape.residuals(&moved)
                    };
                    // Terms are linear in one coordinate: differences are exact.
                    let (up, down) = (shifted(0.5), shifted(-0.5));
                    up.iter().zip(&down).map(|(a, b)| a - b).collect()
                })
                .collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let gram: Vec<Vec<f64>> =
                columns.iter().map(|a| columns.iter().map(|b| dot(a, b)).collect()).collect();
            let slope: Vec<f64> = columns.iter().map(|a| dot(a, &base)).collect();
            let eigen = symmetric_eigen(&gram);
            let mut better = false;
            for _ in 0..12 {
                let mut moved = w.clone();
                for (value, vector) in eigen.values.iter().zip(&eigen.vectors) {
                    let along = dot(vector, &slope) / (value.max(0.0) + damping);
                    moved.iter_mut().zip(vector).for_each(|(w, v)| *w -= along * v);
                }
                let there = value(&moved);
                if there < now {
                    (w, now, damping) = (moved, there, (damping * 0.2).max(1e-14));
                    better = true;
                    break;
                }
                damping *= 5.0;
            }
            if !better {
                return None;
            }
        }
        None
    }

    fn start(draw: u64) -> Vec<f64> {
        let stream = Stream::new(5, "starts").at(draw);
        (0..COORDINATES as u64).map(|i| stream.normal(i)).collect()
    }

    #[test]
    fn there_are_twelve_minima_whatever_the_signs() {
        let plain = DbraneLandscape::drawn(&Stream::new(1, "constants"));
        for landscape in [plain.clone(), plain.with_turned([0, 1, 2])] {
            let mut known: Vec<Vec<f64>> = Vec::new();
            let mut found = Vec::new();
            for draw in 0..120 {
                let Some(w) = solve(&landscape, start(draw)) else { continue };
                let print = landscape.fingerprint(&w);
                let near = |other: &Vec<f64>| {
                    let off = print.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                    off.sqrt() < 1e-6 * print.iter().map(|a| a * a).sum::<f64>().sqrt()
                };
                let place = known.iter().position(near).unwrap_or_else(|| {
                    known.push(print.clone());
                    known.len() - 1
                });
                found.push(place);
            }
            let told = crate::surface::discovery(&found);
            assert_eq!(told.distinct(), landscape.minima(), "of {} runs: {:?}", found.len(), told);
        }
    }

    #[test]
    fn the_graph_has_the_potential_of_the_formula() {
        let landscape = DbraneLandscape::drawn(&Stream::new(2, "constants"));
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let objective = landscape.objective(DType::F64);
        for draw in 0..3 {
            let w = start(draw);
            let expected: f64 = landscape.residuals(&w).iter().map(|r| r * r).sum();
            let found = evaluate(&ctx, &objective, &objective.point(&w).unwrap()).unwrap().loss;
            assert!((found - expected).abs() < 1e-12 * expected, "{found} {expected}");
        }
        assert!(landscape.residuals(&[0.0; 3]).iter().all(|r| r.is_nan()));
    }
}
