//! A subspace that holds most of an operator: its range as random vectors see it.

use super::curvature_terms::{OnSample, sample_probes, with_sample};
use crate::common::{LinearOperator, vector};
use crate::error::stored;
use crate::registry::{Cost, Quantity, Size};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_stats::Estimate;

/// Products in a unit of work.
const BLOCK: usize = 8;

/// A trace with what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SketchedTrace {
    /// The trace.
    pub trace: Estimate,
    /// Products that it took.
    pub products: usize,
}

impl OnSample<SketchedTrace> {
    /// The cost of a trace that takes so many products.
    pub(super) fn cost_of(products: usize, size: &Size) -> Cost {
        with_sample(Cost::at_most(0, 0, products), size, sample_probes(products))
    }

    /// The trace, with what the sample leaves open.
    pub(super) fn quantities(&self) -> Vec<Quantity> {
        let trace = Quantity::estimated("trace", self.found.trace);
        vec![trace.with_sample(self.terms.first())]
    }
}

/// An orthonormal basis `Q` of the products `Y = Q R` with some probes, and the products with it.
pub(super) struct Sketch {
    /// Columns of `Q`.
    pub(super) basis: Vec<Vec<f64>>,
    /// Columns of `R`, each up to its diagonal element.
    pub(super) triangle: Vec<Vec<f64>>,
    /// Columns of `A Q`.
    pub(super) images: Vec<Vec<f64>>,
    /// Whether some product lay in the span of the others: then, but for a set of probes of measure
    /// zero, the operator's range is that span, and what the basis says of the operator is exact.
    pub(super) exhausted: bool,
    /// Products that it took.
    pub(super) products: usize,
}

impl Sketch {
    /// The sketch that probes `0..n_probes` give. Units of work are `KEY/range/..` and
    /// `KEY/images/..`.
    ///
    /// # Errors
    /// A product that is not finite; more vectors than half the memory holds; those of the operator
    /// and of the store.
    pub(super) fn new(
        ctx: &Context<'_>,
        operator: &dyn LinearOperator,
        key: &str,
        n_probes: usize,
        probe: impl Fn(usize) -> Vec<f64>,
    ) -> Result<Sketch, MethodError> {
        let n = operator.dimension();
        let needed = n.saturating_mul(n_probes).saturating_mul(4 * size_of::<f64>());
        if needed > ctx.memory() {
            let what = format!("a sketch of {n_probes} vectors of {n} elements");
            return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
        }
        let (mut basis, mut triangle) = (Vec::new(), Vec::new());
        let (mut exhausted, mut products, mut largest) = (false, 0, 0.0f64);
        for first in (0..n_probes).step_by(BLOCK) {
            let last = (first + BLOCK).min(n_probes);
            let key = format!("{key}/range/{first}-{last}");
            let probes = || (first..last).map(&probe).collect::<Vec<_>>();
            for mut product in applied(ctx, operator, &key, last - first, probes)? {
                products += 1;
                largest = largest.max(vector::norm(&product));
                let mut column = vec![0.0; basis.len()];
                vector::orthogonalize(&mut product, &basis, &mut column);
                let length = vector::norm(&product);
                if length <= 64.0 * f64::EPSILON * largest {
                    exhausted = true;
                    continue;
                }
                vector::scale(&mut product, 1.0 / length);
                column.push(length);
                triangle.push(column);
                basis.push(product);
            }
        }
        let mut images = Vec::with_capacity(basis.len());
        for first in (0..basis.len()).step_by(BLOCK) {
            let last = (first + BLOCK).min(basis.len());
            let key = format!("{key}/images/{first}-{last}");
            let vectors = || basis[first..last].to_vec();
            images.extend(applied(ctx, operator, &key, last - first, vectors)?);
        }
        products += images.len();
        Ok(Sketch { basis, triangle, images, exhausted, products })
    }

    /// `Q^T A Q`, column by column.
    pub(super) fn projected(&self) -> Vec<Vec<f64>> {
        let components =
            |image: &Vec<f64>| self.basis.iter().map(|q| vector::dot(q, image)).collect();
        self.images.iter().map(components).collect()
    }

    /// For each probe `i` the unit vector `s_i` along column `i` of `R^-T`, and that column's
    /// length: `Q (I - s_i s_i^T) Q^T` projects on what the products without that of probe `i` span.
    /// Only where the sketch is not exhausted.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        let k = self.triangle.len();
        let column = |i: usize| {
            let mut unit = vec![0.0; k];
            for j in i..k {
                let above: f64 = (i..j).map(|l| self.triangle[j][l] * unit[l]).sum();
                unit[j] = (f64::from(u8::from(i == j)) - above) / self.triangle[j][j];
            }
            let length = vector::norm(&unit);
            vector::scale(&mut unit, 1.0 / length);
            LeftOut { unit, length }
        };
        (0..k).map(column).collect()
    }
}

/// What the products lose with one of them, in the coordinates of the basis.
pub(super) struct LeftOut {
    pub(super) unit: Vec<f64>,
    pub(super) length: f64,
}

/// The variance of the mean of exchangeable terms `t_i`, each of mean zero (but for the truth) over
/// its own probe given all others.
///
/// `s^2 / k + c` with the terms' sample variance `s^2` and `c = mean over i != j of d_ij d_ji`, `d_ij`
/// what `t_i` changes by when probe `j` joins: given all other probes, each factor without its
/// interaction has mean zero over one of the two probes, so that the mean of the product is the
/// covariance of `t_i` and `t_j`, and the whole is the variance without bias. A negative `c` counts
/// as zero.
pub(super) fn exchangeable_variance(terms: &[f64], covariance: f64) -> f64 {
    let k = terms.len().max(2) as f64;
    let mean = terms.iter().sum::<f64>() / k;
    let squares: f64 = terms.iter().map(|t| (t - mean).powi(2)).sum();
    squares / (k * (k - 1.0)) + covariance.max(0.0)
}

/// `sum over j of weights_j vectors_j`.
pub(super) fn combined(vectors: &[Vec<f64>], weights: &[f64], n: usize) -> Vec<f64> {
    let mut sum = vec![0.0; n];
    for (vector, &weight) in vectors.iter().zip(weights) {
        vector::add_scaled(&mut sum, weight, vector);
    }
    sum
}

/// Products as one unit of work.
fn applied(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    key: &str,
    count: usize,
    vectors: impl FnOnce() -> Vec<Vec<f64>>,
) -> Result<Vec<Vec<f64>>, MethodError> {
    let n = operator.dimension();
    let arrays = ctx.unit(key, || {
        let products = operator.apply(&vectors())?.concat();
        if let Some(value) = products.iter().find(|x| !x.is_finite()) {
            let what = format!("an element of the product with the {}", operator.name());
            return Err(MethodError::NotFinite { what, value: value.to_string() });
        }
        Ok(vec![("products".into(), Array::vector(&products))])
    })?;
    let found = stored(key, &arrays, "products", count * n)?;
    ctx.progress().advance(count as u64);
    Ok(found.chunks(n.max(1)).map(<[f64]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{DenseOperator, normals};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;

    #[test]
    fn the_variance_of_a_mean_is_that_of_its_terms_and_what_they_share() {
        // (1 + 0 + 1) / (3 2), and no less where what they share seems negative.
        assert!((exchangeable_variance(&[1.0, 2.0, 3.0], 0.25) - 1.0 / 3.0 - 0.25).abs() < 1e-15);
        assert!((exchangeable_variance(&[1.0, 2.0, 3.0], -0.25) - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn leaving_one_out_is_a_projection_on_the_others() {
        let (n, k) = (9, 4);
        let stream = Stream::new(2, "matrix");
        let entry = |i: usize, j: usize| stream.normal((i.max(j) * n + i.min(j)) as u64);
        let rows = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
        let matrix = DenseOperator::new(rows).unwrap();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let probe = |i: usize| normals(&stream.at(i as u64 + 1), n);
        let sketch = Sketch::new(&ctx, &matrix, "test", k, probe).unwrap();
        assert!(!sketch.exhausted && sketch.products == 2 * k);
        for (i, LeftOut { unit, length }) in sketch.left_out().iter().enumerate() {
            let missing = combined(&sketch.basis, unit, n);
            for other in 0..k {
                let along = vector::dot(&missing, &matrix.product(&probe(other)).unwrap());
                match other == i {
                    true => assert!((along - 1.0 / length).abs() < 1e-12),
                    false => assert!(along.abs() < 1e-12, "{along}"),
                }
            }
        }
        // A range of two dimensions is found out.
        let low = |i: usize, j: usize| (i * j) as f64 + 1.0;
        let rows = (0..n).map(|i| (0..n).map(|j| low(i, j)).collect()).collect();
        let low = DenseOperator::new(rows).unwrap();
        let sketch = Sketch::new(&ctx, &low, "low", k, probe).unwrap();
        assert!(sketch.exhausted && sketch.basis.len() == 2);
        assert!(Sketch::new(&ctx.with_memory(8), &low, "low", k, probe).is_err());
    }
}
