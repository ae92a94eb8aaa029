//! Extreme eigenpairs by Lanczos iteration.

use crate::common::{LinearOperator, Objective, SymmetricEigen, symmetric_eigen, vector};
use crate::error::stored;
use crate::registry::{Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError, NamedArrays};
use thalweg_array::Array;
use thalweg_data::Stream;
use thalweg_nn::Weights;

/// What [`lanczos`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanczosConfig {
    /// How many of the largest eigenvalues.
    pub top: usize,
    /// How many of the smallest.
    pub bottom: usize,
    /// Largest residual, as a share of the largest absolute eigenvalue. The error of an isolated
    /// eigenvalue is of the order of its square.
    pub tolerance: f64,
    /// Products after which it stops, converged or not.
    pub max_products: usize,
}

impl Default for LanczosConfig {
    fn default() -> LanczosConfig {
        LanczosConfig { top: 5, bottom: 0, tolerance: 1e-3, max_products: 300 }
    }
}

/// An eigenvalue with its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigenpair {
    /// `v^T H v`.
    pub value: f64,
    /// `|H v - value v|`. An eigenvalue lies within this distance of `value`. Found from the
    /// iteration's products by linearity, so that a product with `v` itself differs by rounding in
    /// the operator's float type.
    pub residual: f64,
    /// The unit vector `v`; its element of largest absolute value is positive.
    pub vector: Vec<f64>,
}

/// What [`lanczos`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigenpairs {
    /// The largest eigenvalues, descending.
    pub top: Vec<Eigenpair>,
    /// The smallest, ascending.
    pub bottom: Vec<Eigenpair>,
    /// Products taken.
    pub products: usize,
    /// Whether every residual is within the tolerance.
    pub converged: bool,
}

/// The largest and smallest eigenpairs of a symmetric operator, by Lanczos iteration with full
/// reorthogonalisation in `f64` and thick restarts.
///
/// Each new vector is orthogonalised twice against all others, so that no eigenvalue comes twice
/// by rounding. One that is multiple is found as often as rounding and restarts bring it in. It
/// goes on from one vector, not from a block: of all methods that see the operator by its products
/// alone this one needs the fewest, and what products taken together save is less. The basis grows
/// as long as it stays within half a gibibyte, since each restart costs products; when it is full it
/// is replaced by its best Ritz vectors and the last residual. Each product is a unit of work.
///
/// # Errors
/// No eigenvalue asked for, or more than there are; a tolerance that is not positive; too few
/// products; a basis that the memory does not hold; a product that is not finite.
/// # Source    Lanczos 1950; restart: Wu and Simon, Thick-restart Lanczos method for large
/// symmetric eigenvalue problems, SIAM J. Matrix Anal. Appl. 22, 2000
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_methods::{Context, common::DenseOperator};
/// use thalweg_methods::curvature::{LanczosConfig, lanczos};
/// let matrix = DenseOperator::new(vec![vec![2.0, 1.0], vec![1.0, 2.0]])?;
/// let executor = Executor::new(1);
/// let config = LanczosConfig { top: 1, bottom: 1, ..LanczosConfig::default() };
/// let found = lanczos(&Context::new(&executor, 0), &matrix, &config)?;
/// assert!((found.top[0].value - 3.0).abs() < 1e-12 && (found.bottom[0].value - 1.0).abs() < 1e-12);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn lanczos(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &LanczosConfig,
) -> Result<Eigenpairs, MethodError> {
    lanczos_from(ctx, operator, config, None)
}

/// [`lanczos`], begun with the sum of a vector and of a random one of the same length: fewer products
/// where the vector lies near the eigenvectors, and none of them out of reach where it has nothing of
/// them.
///
/// # Errors
/// As [`lanczos`]; a vector of another length.
pub fn lanczos_from(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &LanczosConfig,
    start: Option<&[f64]>,
) -> Result<Eigenpairs, MethodError> {
    let n = operator.dimension();
    if let Some(start) = start.filter(|start| start.len() != n) {
        let expected = format!("{n} elements");
        return Err(MethodError::mismatch("a vector to begin with", expected, start.len()));
    }
    check(config)?;
    let wanted = config.top + config.bottom;
    if wanted > n {
        return Err(MethodError::config("number of eigenvalues", format!("at most {n}"), wanted));
    }
    // How many there are at once is not a matter of memory, which would change bits.
    let vectors = Subspace::capacity(n, wanted).min(config.max_products);
    let needed = vectors.saturating_mul(n).saturating_mul(size_of::<f64>());
    if needed > ctx.memory() {
        let what = format!("a basis of {vectors} vectors of {n} elements");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    ctx.progress().start("eigenvalues", config.max_products as u64);
    let mut space = Subspace::new(n, wanted, ctx.stream("lanczos"));
    if let Some(start) = start {
        space.lean(start);
    }
    let mut products = 0;
    let eigen = loop {
        let last = &space.basis[space.basis.len() - 1];
        let product = one_product(ctx, operator, products, last)?;
        products += 1;
        ctx.progress().advance(1);
        space.absorb(product);
        let size = space.basis.len();
        let full = size == space.capacity || size == n;
        let spent = products >= config.max_products;
        if size >= wanted {
            let eigen = symmetric_eigen(&space.projected());
            if spent || size == n || space.converged(&eigen, config) {
                break eigen;
            }
            if full {
                space.restart(&eigen, config);
                continue;
            }
        }
        space.extend();
    };
    let size = eigen.values.len();
    let pair = |i: usize| space.pair(&eigen.vectors[i]);
    let mut top: Vec<Eigenpair> = (size - config.top..size).rev().map(pair).collect();
    let mut bottom: Vec<Eigenpair> = (0..config.bottom).map(pair).collect();
    // Quotients of a multiple eigenvalue's vectors differ by rounding.
    top.sort_by(|a, b| b.value.total_cmp(&a.value));
    bottom.sort_by(|a, b| a.value.total_cmp(&b.value));
    let converged = space.converged(&eigen, config);
    Ok(Eigenpairs { top, bottom, products, converged })
}

fn check(config: &LanczosConfig) -> Result<(), MethodError> {
    let wanted = config.top.saturating_add(config.bottom);
    if wanted == 0 {
        return Err(MethodError::config("number of eigenvalues", "at least 1", 0));
    }
    if config.tolerance.is_nan() || config.tolerance <= 0.0 {
        return Err(MethodError::config("tolerance", "a positive number", config.tolerance));
    }
    if config.max_products < wanted {
        let expected = format!("at least {wanted}, one for each eigenvalue");
        return Err(MethodError::config(
            "largest number of products",
            expected,
            config.max_products,
        ));
    }
    Ok(())
}

fn one_product(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    index: usize,
    vector: &[f64],
) -> Result<Vec<f64>, MethodError> {
    let key = format!("lanczos/{index}");
    let work = || -> Result<NamedArrays, MethodError> {
        Ok(vec![("product".into(), Array::vector(&operator.product(vector)?))])
    };
    let product = stored(&key, &ctx.unit(&key, work)?, "product", vector.len())?.to_vec();
    match product.iter().find(|x| !x.is_finite()) {
        None => Ok(product),
        Some(value) => Err(MethodError::NotFinite {
            what: format!("an element of the product with the {}", operator.name()),
            value: value.to_string(),
        }),
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

/// Vectors of a basis, at most, but for many eigenvalues: the projected problem stays small beside
/// a product.
const LARGEST_BASIS: usize = 160;

/// A subspace with the operator's projection on it.
struct Subspace {
    /// Orthonormal vectors.
    basis: Vec<Vec<f64>>,
    /// Column `j`: components of the product with vector `j` along vectors up to `j`.
    columns: Vec<Vec<f64>>,
    /// What that product has outside of these vectors: so much of a later one, the first number.
    beyond: Vec<(usize, f64)>,
    /// What the last product leaves outside the subspace.
    residual: Vec<f64>,
    capacity: usize,
    draws: Stream,
    n_drawn: u64,
}

impl Subspace {
    /// Vectors that there may be.
    fn capacity(n: usize, wanted: usize) -> usize {
        const BYTES: usize = 1 << 29;
        let roomy = BYTES / size_of::<f64>() / n.max(1);
        roomy.min(LARGEST_BASIS).max(3 * wanted).max(24).min(n).max(1)
    }

    fn new(n: usize, wanted: usize, draws: Stream) -> Subspace {
        let capacity = Subspace::capacity(n, wanted);
        let mut space = Subspace {
            basis: Vec::new(),
            columns: Vec::new(),
            beyond: Vec::new(),
            residual: vec![0.0; n],
            capacity,
            draws,
            n_drawn: 0,
        };
        space.extend();
        space
    }

    /// Adds a vector to the first, with the same length.
    fn lean(&mut self, start: &[f64]) {
        let length = vector::norm(start);
        if let Some(first) = self.basis.first_mut().filter(|_| length > 0.0) {
            vector::add_scaled(first, 1.0 / length, start);
            let length = vector::norm(first);
            vector::scale(first, 1.0 / length);
        }
    }

    /// Takes in the product with the last vector.
    fn absorb(&mut self, mut product: Vec<f64>) {
        let mut components = vec![0.0; self.basis.len()];
        vector::orthogonalize(&mut product, &self.basis, &mut components);
        self.columns.push(components);
        self.residual = product;
    }

    fn projected(&self) -> Vec<Vec<f64>> {
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

    /// A new vector: the residual, or a random one where the subspace is invariant.
    fn extend(&mut self) {
        let scale = self.columns.iter().flatten().fold(0.0f64, |m, c| m.max(c.abs()));
        let length = vector::norm(&self.residual);
        let mut next = std::mem::take(&mut self.residual);
        let invariant = length <= 64.0 * f64::EPSILON * scale;
        if !self.columns.is_empty() {
            self.beyond.push((self.basis.len(), if invariant { 0.0 } else { length }));
        }
        if !invariant {
            vector::scale(&mut next, 1.0 / length);
        } else {
            next.resize(self.basis.first().map_or(next.len(), Vec::len), 0.0);
            let stream = self.draws.at(self.n_drawn);
            self.n_drawn += 1;
            for (i, element) in next.iter_mut().enumerate() {
                *element = stream.normal(i as u64);
            }
            let mut components = vec![0.0; self.basis.len()];
            vector::orthogonalize(&mut next, &self.basis, &mut components);
            let length = vector::norm(&next);
            vector::scale(&mut next, 1.0 / length);
        }
        self.basis.push(next);
    }

    /// What the operator makes of a combination of the basis: combinations of products are products
    /// of combinations. Components along the basis, and the length of the rest.
    fn image(&self, weights: &[f64]) -> (Vec<f64>, f64) {
        let mut image = vec![0.0; weights.len()];
        for (column, &weight) in self.columns.iter().zip(weights) {
            vector::add_scaled(&mut image, weight, column);
        }
        for (&(index, length), &weight) in self.beyond.iter().zip(weights) {
            if let Some(component) = image.get_mut(index) {
                *component += length * weight;
            }
        }
        let last = weights.last().copied().unwrap_or(0.0);
        (image, last.abs() * vector::norm(&self.residual))
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

    fn converged(&self, eigen: &SymmetricEigen, config: &LanczosConfig) -> bool {
        let scale = eigen.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let n = eigen.values.len();
        let mut wanted = (0..config.bottom).chain(n - config.top..n);
        wanted.all(|i| self.quotient(&eigen.vectors[i]).1 <= config.tolerance * scale)
    }

    /// Keeps the best Ritz vectors of each end asked for, and goes on from the residual.
    fn restart(&mut self, eigen: &SymmetricEigen, config: &LanczosConfig) {
        let n = eigen.values.len();
        let wanted = config.top + config.bottom;
        let spare = (n - wanted) / 3;
        let share = |part: usize| part + spare * part / wanted;
        let (low, high) = (share(config.bottom), share(config.top));
        let kept: Vec<usize> = (0..low).chain(n - high..n).collect();
        let basis: Vec<Vec<f64>> =
            kept.iter().map(|&i| combine(&self.basis, &eigen.vectors[i])).collect();
        // Of what a Ritz vector's product is beside its value times itself, all but rounding is
        // along the last residual, which becomes the next vector.
        let length = vector::norm(&self.residual);
        let along_next = |i: usize| length * eigen.vectors[i].last().copied().unwrap_or(0.0);
        let beyond = kept.iter().map(|&i| (kept.len(), along_next(i))).collect();
        self.columns = kept
            .iter()
            .enumerate()
            .map(|(j, &i)| {
                let mut column = vec![0.0; j + 1];
                column[j] = eigen.values[i];
                column
            })
            .collect();
        self.basis = basis;
        // Combinations are orthonormal to rounding, which the residual has to be as well.
        let mut ignored = vec![0.0; self.basis.len()];
        vector::orthogonalize(&mut self.residual, &self.basis, &mut ignored);
        self.extend();
        self.beyond = beyond;
    }
}

impl Instrument for Lanczos {
    const ID: &'static str = "lanczos";
    const SUMMARY: &'static str = "largest and smallest eigenpairs of the Hessian";
    const SOURCE: &'static str = "Lanczos 1950; Wu and Simon 2000";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = LanczosConfig;
    type Reading = Eigenpairs;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &LanczosConfig,
    ) -> Result<Eigenpairs, MethodError> {
        check(config)?;
        let found = lanczos(ctx, &super::Hessian::new(ctx, objective, point)?, config)?;
        found.tell(ctx);
        Ok(found)
    }

    fn cost(config: &LanczosConfig, _: &Size) -> Cost {
        Cost::at_most(0, 0, config.max_products)
    }

    fn watch() -> LanczosConfig {
        LanczosConfig { top: 1, tolerance: 1e-2, max_products: 60, ..LanczosConfig::default() }
    }

    fn quantities(reading: &Eigenpairs) -> Vec<Quantity> {
        let named = |pairs: &[Eigenpair], end: &str| -> Vec<Quantity> {
            let name = |place: usize| match place {
                0 => format!("{end} eigenvalue"),
                place => format!("{end} eigenvalue {}", place + 1),
            };
            let each = pairs.iter().enumerate();
            each.map(|(place, pair)| Quantity::exact(name(place), pair.value)).collect()
        };
        [named(&reading.top, "largest"), named(&reading.bottom, "smallest")].concat()
    }

    fn trial() -> LanczosConfig {
        LanczosConfig { tolerance: 1e-6, ..LanczosConfig::default() }
    }

    fn refused() -> Vec<LanczosConfig> {
        let usual = LanczosConfig::default();
        vec![
            LanczosConfig { top: 0, ..usual },
            LanczosConfig { top: usize::MAX, bottom: 1, ..usual },
            LanczosConfig { tolerance: f64::NAN, ..usual },
            LanczosConfig { max_products: 1, ..usual },
        ]
    }
}

/// [`lanczos`] on the Hessian of an objective, as an instrument.
#[derive(Clone, Copy, Debug)]
pub struct Lanczos;

impl Eigenpairs {
    /// Says where it is so that the products ended before the residuals were within the tolerance.
    pub(super) fn tell(&self, ctx: &Context<'_>) {
        if !self.converged {
            let pairs = self.top.iter().chain(&self.bottom);
            let worst = pairs.fold(0.0f64, |worst, pair| worst.max(pair.residual));
            ctx.progress().message(&format!(
                "The eigenvalues have not converged after {} products: the largest residual is \
                 {worst:.2e}.",
                self.products
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::DenseOperator;
    use thalweg_exec::Executor;

    /// A matrix with planted eigenvalues: a product of reflections around a diagonal.
    fn planted(values: &[f64]) -> DenseOperator {
        let n = values.len();
        let stream = Stream::new(1, "planted");
        let mut rows: Vec<Vec<f64>> = (0..n)
            .map(|i| (0..n).map(|j| if i == j { values[i] } else { 0.0 }).collect())
            .collect();
        for reflection in 0..3 {
            let mut u: Vec<f64> = (0..n).map(|i| stream.at(reflection).normal(i as u64)).collect();
            let length = vector::norm(&u);
            vector::scale(&mut u, 1.0 / length);
            for _ in 0..2 {
                for row in &mut rows {
                    let along = vector::dot(row, &u);
                    vector::add_scaled(row, -2.0 * along, &u);
                }
                rows = (0..n).map(|i| rows.iter().map(|row| row[i]).collect()).collect();
            }
        }
        DenseOperator::new(rows).unwrap()
    }

    #[test]
    fn planted_ends_are_found_through_restarts() {
        let mut values: Vec<f64> = (0..200).map(|i| (f64::from(i) / 200.0).powi(3)).collect();
        values[0] = -0.3;
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 3);
        let config = LanczosConfig { top: 4, bottom: 1, tolerance: 1e-7, max_products: 600 };
        let found = lanczos(&ctx, &planted(&values), &config).unwrap();
        assert!(found.converged && found.products > 40, "{}", found.products);
        for (i, pair) in found.top.iter().enumerate() {
            assert!((pair.value - values[199 - i]).abs() < 1e-10);
            assert!((vector::norm(&pair.vector) - 1.0).abs() < 1e-12);
        }
        assert!((found.bottom[0].value - values[0]).abs() < 1e-7);
    }

    #[test]
    fn a_whole_spectrum_with_multiple_eigenvalues_is_found() {
        let mut values = vec![0.0; 9];
        values.extend([1.0, 1.0, 5.0]);
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = LanczosConfig { top: 12, tolerance: 1e-12, ..LanczosConfig::default() };
        let found = lanczos(&ctx, &planted(&values), &config).unwrap();
        for (pair, value) in found.top.iter().zip(values.iter().rev()) {
            assert!((pair.value - value).abs() < 1e-12, "{} {value}", pair.value);
        }
    }

    #[test]
    fn a_basis_beyond_the_memory_is_told_before_it_is_made() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_memory(24 * 8 * 100 - 1);
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let config = LanczosConfig { top: 1, max_products: 24, ..LanczosConfig::default() };
        let message = lanczos(&ctx, &planted(&values), &config).unwrap_err().to_string();
        assert!(message.starts_with("a basis of 24 vectors of 100 elements needs"), "{message}");
        let fewer = LanczosConfig { max_products: 23, ..config };
        assert!(lanczos(&ctx, &planted(&values), &fewer).is_ok());
    }

    #[test]
    fn running_out_of_products_is_a_status() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let config = LanczosConfig { top: 2, bottom: 0, tolerance: 1e-12, max_products: 5 };
        let found = lanczos(&ctx, &planted(&values), &config).unwrap();
        assert!(!found.converged);
        assert_eq!(found.products, 5);
        assert!(found.top[0].residual > 1.0 && found.top[0].value < 99.0);
    }
}
