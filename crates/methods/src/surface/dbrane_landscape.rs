//! A landscape with a known number of global minima: intersecting D-branes.

use super::term_descent::Terms;
use crate::common::{Function, GaussNewtonConfig, GaussNewtonEnd, gauss_newton};
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

    /// The 18 squared terms `|F_a|^2` at a point `[30]`, as values of a graph `[18]`.
    pub fn traced_terms<'b>(&self, builder: &'b Builder, point: Tensor<'b>) -> Tensor<'b> {
        let at: Vec<Tensor<'b>> = (0..COORDINATES).map(|i| point.index(0, i)).collect();
        let squares: Vec<_> =
            self.trace(builder, &at).into_iter().map(|square| square.reshape(&[1])).collect();
        builder.concatenate(&squares, 0)
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

    /// The derivative of all residuals by each coordinate, by columns; exact, because every residual
    /// is linear in one coordinate.
    pub fn jacobian(&self, point: &[f64]) -> Vec<Vec<f64>> {
        let column = |i: usize| {
            let shifted = |step: f64| {
                let mut moved = point.to_vec();
                moved[i] += step;
                self.residuals(&moved)
            };
            shifted(0.5).iter().zip(shifted(-0.5)).map(|(up, down)| up - down).collect()
        };
        (0..point.len()).map(column).collect()
    }

    /// The zero of the potential that a damped Gauss-Newton descent from a point reaches, if it does.
    pub fn polish(&self, point: &[f64], config: &GaussNewtonConfig) -> GaussNewtonEnd {
        gauss_newton(point, config, |w| self.residuals(w), |w| self.jacobian(w))
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
        self.terms_of(by, |i| [at[2 * i], at[2 * i + 1]], &links(by, at))
    }

    /// The terms of any `phi` and `Z`, whatever the gauge.
    fn terms_of<A: Arithmetic>(
        &self,
        by: &A,
        phi: impl Fn(usize) -> Pair<A::Number>,
        z: &[[Pair<A::Number>; 4]; 4],
    ) -> Vec<Pair<A::Number>> {
        let real = |value: f64| [by.constant(value), by.constant(0.0)];
        let mut terms = Vec::with_capacity(18);
        for ([k, l], p) in PAIRS.into_iter().zip(self.p) {
            let product = by.times(z[k][l], z[l][k]);
            terms.push(by.plus(product, p.map(|part| by.constant(-part))));
        }
        for (i, [a, b]) in PAIRS.into_iter().enumerate() {
            let phi = phi(i);
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

impl Terms for DbraneLandscape {
    fn coordinates(&self) -> usize {
        COORDINATES
    }

    fn trace<'b>(&self, builder: &'b Builder, point: &[Tensor<'b>]) -> Vec<Tensor<'b>> {
        let terms = self.terms(&Traced(builder), point);
        terms.iter().map(|[re, im]| re.square() + im.square()).collect()
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
    use crate::surface::distinct_minima;
    use crate::{Context, evaluate};
    use thalweg_exec::Executor;

    fn start(draw: u64) -> Vec<f64> {
        let stream = Stream::new(5, "starts").at(draw);
        (0..COORDINATES as u64).map(|i| stream.normal(i)).collect()
    }

    #[test]
    fn there_are_twelve_minima_whatever_the_signs() {
        let plain = DbraneLandscape::drawn(&Stream::new(1, "constants"));
        for landscape in [plain.clone(), plain.with_turned([0, 1, 2])] {
            let ends = (0..120).map(|draw| {
                let end = landscape.polish(&start(draw), &GaussNewtonConfig::default());
                end.converged.then(|| landscape.fingerprint(&end.point))
            });
            let found = distinct_minima(&ends.collect::<Vec<_>>(), &[], 1e-6).unwrap();
            let told = found.discovery;
            assert_eq!(told.distinct(), landscape.minima(), "{told:?}");
        }
    }

    #[test]
    fn a_change_of_gauge_turns_terms_and_leaves_their_sizes() {
        let landscape = DbraneLandscape::drawn(&Stream::new(3, "constants"));
        let stream = Stream::new(8, "gauge");
        let complex = |i: usize| [stream.normal(2 * i as u64), stream.normal(2 * i as u64 + 1)];
        let z: [[Pair<f64>; 4]; 4] =
            std::array::from_fn(|k| std::array::from_fn(|l| complex(10 + 4 * k + l)));
        let ratio = |a: Pair<f64>, b: Pair<f64>| {
            let size = b[0] * b[0] + b[1] * b[1];
            Numbers.times(a, [b[0] / size, -b[1] / size])
        };
        let before = landscape.terms_of(&Numbers, complex, &z);
        for unitary in [false, true] {
            let g: [Pair<f64>; 4] = std::array::from_fn(|k| {
                let g = complex(50 + k);
                let size = if unitary { g[0].hypot(g[1]) } else { 1.0 };
                g.map(|part| part / size)
            });
            let turned = std::array::from_fn(|k| {
                std::array::from_fn(|l| Numbers.times(ratio(g[k], g[l]), z[k][l]))
            });
            let after = landscape.terms_of(&Numbers, complex, &turned);
            let mut places = PAIRS.into_iter().flat_map(|[a, b]| [[a, b], [b, a]]);
            for (i, (before, after)) in before.iter().zip(&after).enumerate() {
                // The first six do not change, the others turn like Z^{lk}.
                let expected = match i < 6 {
                    true => *before,
                    false => {
                        let [k, l] = places.next().unwrap();
                        Numbers.times(ratio(g[l], g[k]), *before)
                    }
                };
                let off = (after[0] - expected[0]).hypot(after[1] - expected[1]);
                assert!(off < 1e-12 * (1.0 + before[0].hypot(before[1])) * 100.0, "{i}: {off}");
            }
            let potential = |terms: &[Pair<f64>]| -> f64 {
                terms.iter().map(|t| t[0] * t[0] + t[1] * t[1]).sum()
            };
            let (before, after) = (potential(&before), potential(&after));
            assert_eq!((after - before).abs() < 1e-12 * before, unitary);
        }
    }

    #[test]
    fn the_jacobian_is_that_of_small_steps() {
        let landscape = DbraneLandscape::drawn(&Stream::new(4, "constants"));
        let w = start(1);
        for (i, column) in landscape.jacobian(&w).iter().enumerate() {
            let at = |h: f64| {
                let mut moved = w.clone();
                moved[i] += h;
                landscape.residuals(&moved)
            };
            for ((up, down), exact) in at(1e-5).iter().zip(at(-1e-5)).zip(column) {
                assert!(((up - down) / 2e-5 - exact).abs() < 1e-8);
            }
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
