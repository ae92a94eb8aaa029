//! Extreme eigenpairs of a pair of operators, a block at a time.

mod basis;

use super::Eigenpair;
use crate::common::{LinearOperator, normals, vector};
use crate::error::stored;
use crate::{Context, MethodError};
use basis::{Basis, Ritz, combined, positive};
use thalweg_array::Array;
use thalweg_data::Stream;

/// Which end of a spectrum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum End {
    /// The largest eigenvalues, descending.
    #[default]
    Largest,
    /// The smallest, ascending.
    Smallest,
}

/// What [`lobpcg`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LobpcgConfig {
    /// How many eigenpairs.
    pub pairs: usize,
    /// Of which end.
    pub end: End,
    /// Vectors more than that in the block: what converges depends on the gap after the block.
    pub guard: usize,
    /// Largest residual `|A v - l B v|`, as a share of the largest `|l|` that the basis ever held,
    /// times `|B v|`.
    pub tolerance: f64,
    /// Products with `A` after which it stops, converged or not, but for those of the last residuals.
    pub max_products: usize,
}

impl Default for LobpcgConfig {
    fn default() -> LobpcgConfig {
        LobpcgConfig { pairs: 5, end: End::Largest, guard: 3, tolerance: 1e-3, max_products: 600 }
    }
}

/// What [`lobpcg`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneralizedPairs {
    /// `A v = l B v` with `v^T B v = 1`, from the end asked for inwards. Residuals are `|A v - l B v|`
    /// of products taken for that.
    pub pairs: Vec<Eigenpair>,
    /// `|B v|` of each: a residual over it is in the units of an eigenvalue.
    pub metric_norms: Vec<f64>,
    /// Products with `A`, and as many with `B` if there is one.
    pub products: usize,
    /// Whether every residual is within the tolerance.
    pub converged: bool,
}

/// Extreme eigenpairs of `A v = l B v`, by locally optimal block preconditioned conjugate gradients.
///
/// Each iteration takes the best vectors (Rayleigh and Ritz) out of what the block, its last changes
/// and its preconditioned residuals span; the basis of that is kept orthonormal in `B`'s inner
/// product, vectors that depend on others are left out, and a pair within the tolerance takes no more
/// products. `B` is any positive definite operator (none: the identity), the preconditioner `T` any
/// symmetric positive one: near `B^-1` for the largest eigenvalues, near `A^-1` for the smallest.
/// Products are taken block by block, each a unit of work.
///
/// Without `B` and without a good preconditioner [`super::lanczos()`] needs fewer products. Its
/// basis grows; this one stays at three blocks.
///
/// # Errors
/// No eigenpair asked for, or more than there are; a tolerance that is not positive; operators of
/// other dimensions; a `B` that is not positive on some vector; more vectors than the memory holds; a
/// product that is not finite.
/// # Source    Knyazev, Toward the optimal preconditioned eigensolver: locally optimal block
/// preconditioned conjugate gradient method, SIAM J. Sci. Comput. 23, 2001; the orthonormal basis:
/// Duersch, Shao, Yang, Gu, A robust and efficient implementation of LOBPCG, SIAM J. Sci. Comput. 40,
/// 2018, arXiv 1704.07458
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_methods::Context;
/// use thalweg_methods::common::{DenseOperator, DiagonalOperator};
/// use thalweg_methods::curvature::{LobpcgConfig, lobpcg};
/// let matrix = DenseOperator::new(vec![vec![2.0, 1.0], vec![1.0, 2.0]])?;
/// let metric = DiagonalOperator::new("metric", vec![1.0, 4.0])?;
/// let executor = Executor::new(1);
/// let config = LobpcgConfig { pairs: 1, tolerance: 1e-10, ..LobpcgConfig::default() };
/// let found = lobpcg(&Context::new(&executor, 0), &matrix, Some(&metric), None, &config)?;
/// // (2 - l) (2 - 4 l) = 1.
/// assert!((found.pairs[0].value - (5.0 + 13f64.sqrt()) / 4.0).abs() < 1e-12);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn lobpcg(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    metric: Option<&dyn LinearOperator>,
    preconditioner: Option<&dyn LinearOperator>,
    config: &LobpcgConfig,
) -> Result<GeneralizedPairs, MethodError> {
    let n = operator.dimension();
    check(ctx, n, [metric, preconditioner], config)?;
    ctx.progress().start("eigenvalues", config.max_products as u64);
    let size = config.pairs.saturating_add(config.guard).min(n);
    let mut run = Run { ctx, operator, metric, products: 0, blocks: 0, scale: 0.0 };
    let mut draws = Draws { stream: ctx.stream("lobpcg"), drawn: 0, n };
    let mut basis = Basis::default();
    let mut block = draws.next(size);
    let mut ritz;
    loop {
        let kept = basis.vectors.len();
        let mut fresh = basis.outside(block);
        if fresh.is_empty() && kept < n.min(3 * size) {
            // What the block spans is invariant, and may miss some of the wanted.
            fresh = basis.outside(draws.next(size));
        }
        run.extend(&mut basis, fresh)?;
        ritz = basis.ritz(size, config.end);
        run.scale = run.scale.max(ritz.scale);
        let exhausted = basis.vectors.len() == kept;
        let residuals = basis.residuals(&ritz);
        let open = ritz.open(&residuals, &basis, config, run.scale);
        if open.is_empty() || exhausted || run.products >= config.max_products {
            break;
        }
        // Guards take part while there is something open.
        let guards = (config.pairs..ritz.values.len()).filter(|i| !open.contains(i));
        let active: Vec<usize> = open.iter().copied().chain(guards).collect();
        let along: Vec<Vec<f64>> = active.iter().map(|&i| residuals[i].clone()).collect();
        block = match preconditioner {
            Some(preconditioner) => preconditioner.apply(&along)?,
            None => along,
        };
        basis.restart(&ritz, &active);
    }
    run.finish(&basis, &ritz, config)
}

fn check(
    ctx: &Context<'_>,
    n: usize,
    others: [Option<&dyn LinearOperator>; 2],
    config: &LobpcgConfig,
) -> Result<(), MethodError> {
    if config.pairs == 0 || config.pairs > n {
        let expected = format!("from 1 to {n}");
        return Err(MethodError::config("number of eigenvalues", expected, config.pairs));
    }
    if config.tolerance.is_nan() || config.tolerance <= 0.0 {
        return Err(MethodError::config("tolerance", "a positive number", config.tolerance));
    }
    for other in others.into_iter().flatten() {
        if other.dimension() != n {
            let what = format!("the {}", other.name());
            let expected = format!("an operator on {n} elements");
            return Err(MethodError::mismatch(what, expected, other.dimension()));
        }
    }
    // Three blocks of vectors with their images, and those that take their place.
    let size = config.pairs.saturating_add(config.guard).min(n);
    let needed = size.saturating_mul(15).saturating_mul(n).saturating_mul(size_of::<f64>());
    match needed > ctx.memory() {
        true => {
            let what = format!("blocks of {size} vectors of {n} elements");
            Err(MethodError::Memory { what, needed, budget: ctx.memory() })
        }
        false => Ok(()),
    }
}

/// Random vectors to begin with, and where a block has nothing new.
struct Draws {
    stream: Stream,
    drawn: u64,
    n: usize,
}

impl Draws {
    fn next(&mut self, count: usize) -> Vec<Vec<f64>> {
        let first = self.drawn;
        self.drawn += count as u64;
        (first..self.drawn).map(|i| normals(&self.stream.at(i), self.n)).collect()
    }
}

/// The products.
struct Run<'a> {
    ctx: &'a Context<'a>,
    operator: &'a dyn LinearOperator,
    metric: Option<&'a dyn LinearOperator>,
    products: usize,
    blocks: usize,
    /// The largest absolute value that a basis held.
    scale: f64,
}

impl Run<'_> {
    /// `A` and `B` times some vectors, a unit of work.
    fn images(&mut self, vectors: &[Vec<f64>]) -> Result<[Vec<Vec<f64>>; 2], MethodError> {
        let n = self.operator.dimension();
        let key = format!("lobpcg/{}", self.blocks);
        self.blocks += 1;
        let arrays = self.ctx.unit(&key, || {
            let of = |operator: &dyn LinearOperator| -> Result<Array, MethodError> {
                let products = operator.apply(vectors)?.concat();
                match products.iter().find(|x| !x.is_finite()) {
                    None => Ok(Array::vector(&products)),
                    Some(value) => Err(MethodError::NotFinite {
                        what: format!("an element of the product with the {}", operator.name()),
                        value: value.to_string(),
                    }),
                }
            };
            let mut arrays = vec![("products".to_owned(), of(self.operator)?)];
            if let Some(metric) = self.metric {
                arrays.push(("metric".to_owned(), of(metric)?));
            }
            Ok(arrays)
        })?;
        self.products += vectors.len();
        self.ctx.progress().advance(vectors.len() as u64);
        let read = |name: &str| -> Result<Vec<Vec<f64>>, MethodError> {
            let found = stored(&key, &arrays, name, vectors.len() * n)?;
            Ok(found.chunks(n.max(1)).map(<[f64]>::to_vec).collect())
        };
        let metric = match self.metric {
            Some(_) => read("metric")?,
            None => vectors.to_vec(),
        };
        Ok([read("products")?, metric])
    }

    /// Adds vectors that are outside of the basis to it, in `B`'s inner product.
    fn extend(&mut self, basis: &mut Basis, fresh: Vec<Vec<f64>>) -> Result<(), MethodError> {
        if fresh.is_empty() {
            return Ok(());
        }
        let [images, metric] = self.images(&fresh)?;
        for ((v, image), b) in fresh.into_iter().zip(images).zip(metric) {
            basis.push([v, image, b])?;
        }
        Ok(())
    }

    /// The pairs with residuals of products taken anew: those of combinations carry their rounding.
    fn finish(
        mut self,
        basis: &Basis,
        ritz: &Ritz,
        config: &LobpcgConfig,
    ) -> Result<GeneralizedPairs, MethodError> {
        let vectors: Vec<Vec<f64>> = ritz.weights[..config.pairs.min(ritz.weights.len())]
            .iter()
            .map(|weights| combined(&basis.vectors, weights))
            .collect();
        let [images, metric] = self.images(&vectors)?;
        let mut found = Vec::with_capacity(vectors.len());
        for ((mut v, mut image), mut b) in vectors.into_iter().zip(images).zip(metric) {
            let length = positive(vector::dot(&v, &b))?.sqrt();
            let largest =
                v.iter().copied().fold(0.0f64, |m, e| if e.abs() > m.abs() { e } else { m });
            let factor = if largest < 0.0 { -1.0 / length } else { 1.0 / length };
            for x in [&mut v, &mut image, &mut b] {
                vector::scale(x, factor);
            }
            let value = vector::dot(&v, &image);
            let size = vector::norm(&b);
            vector::add_scaled(&mut image, -value, &b);
            found.push((Eigenpair { value, residual: vector::norm(&image), vector: v }, size));
        }
        let allowed = |size: f64| config.tolerance * self.scale * size;
        let converged = found.iter().all(|(pair, size)| pair.residual <= allowed(*size));
        match config.end {
            End::Largest => found.sort_by(|(a, _), (b, _)| b.value.total_cmp(&a.value)),
            End::Smallest => found.sort_by(|(a, _), (b, _)| a.value.total_cmp(&b.value)),
        }
        let (pairs, metric_norms) = found.into_iter().unzip();
        Ok(GeneralizedPairs { pairs, metric_norms, products: self.products, converged })
    }
}

#[cfg(test)]
mod tests;
