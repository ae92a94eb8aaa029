//! Extreme eigenpairs by Lanczos iteration.

mod subspace;
#[cfg(test)]
mod tests;

use super::ParameterBlock;
use super::curvature_terms::{OnSample, curvature_terms, with_sample};
use crate::common::{LinearOperator, Objective, Scaled, SymmetricEigen, symmetric_eigen};
use crate::error::stored;
use crate::registry::{Along, Cost, Instrument, Invariance, Quantity, Size};
use crate::{Context, MethodError, NamedArrays};
use subspace::Subspace;
use thalweg_array::Array;
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

impl LanczosConfig {
    /// The residual within which a pair is found.
    fn within(&self, eigen: &SymmetricEigen) -> f64 {
        self.tolerance * eigen.values.iter().fold(0.0f64, |m, v| m.max(v.abs()))
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
    /// Whether every residual is within the tolerance, no eigenvalue beyond those found would be missed,
    /// and copies of multiple ones were looked for to the end.
    pub converged: bool,
    /// The residual that is within the tolerance.
    pub within: f64,
}

/// The largest and smallest eigenpairs of a symmetric operator, by Lanczos iteration with full
/// reorthogonalisation in `f64` and thick restarts.
///
/// Each new vector is orthogonalised twice against all others, so that no eigenvalue comes twice
/// by rounding. It goes on from one vector, not from a block: of all methods that see the operator by
/// its products alone this one needs the fewest, and what products taken together save is less. The
/// basis grows as long as it stays within half a gibibyte, since each restart costs products; when it
/// is full it is replaced by its best Ritz vectors and the last residual. Each product is a unit of work.
///
/// A pair may converge while a vector of a larger eigenvalue, of which the random start happens to have
/// next to nothing, has not shown yet. So it goes on until one that is larger by the tolerance would
/// have shown with a probability of 0.999; after a restart that is not known, and not asked.
///
/// Of a multiple eigenvalue one vector's products show one eigenvector; the others are orthogonal to all
/// of them. So it begins anew from a random vector outside of what it has, until a copy that would be
/// among those asked for would have shown with a probability of 0.999 (some six to ten products more),
/// and once more after each that was found. Where at most one eigenvalue of each end is asked for, or
/// all that are asked for are the same to the tolerance, there is none to miss.
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
    iterate(ctx, operator, config, start, Subspace::capacity(n, wanted))
}

/// [`lanczos_from`] with a basis of so many vectors at most.
fn iterate(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    config: &LanczosConfig,
    start: Option<&[f64]>,
    capacity: usize,
) -> Result<Eigenpairs, MethodError> {
    let (n, wanted) = (operator.dimension(), config.top + config.bottom);
    ctx.progress().start("eigenvalues", config.max_products as u64);
    let mut space = Subspace::new(n, capacity, ctx.stream("lanczos"));
    if let Some(start) = start {
        space.lean(start);
    }
    let mut products = 0;
    let mut look: Option<Look> = None;
    // Whether a look did not end before the basis was full.
    let mut cramped = false;
    loop {
        let last = &space.basis[space.basis.len() - 1];
        let product = one_product(ctx, operator, products, last)?;
        products += 1;
        ctx.progress().advance(1);
        space.absorb(product);
        let size = space.basis.len();
        if size < wanted {
            space.extend();
            continue;
        }
        let eigen = symmetric_eigen(&space.projected());
        let (whole, ends) = (size == n, size == n || products >= config.max_products);
        let stays = look.as_ref().is_some_and(|look| look.stays(&eigen, config));
        let over = whole || look.as_ref().is_some_and(|look| look.is_over(&space, &eigen, config));
        if let Some(Look { found: [top, bottom], within, .. }) =
            look.take_if(|_| stays && (over || ends))
        {
            return Ok(Eigenpairs { top, bottom, products, converged: over, within });
        }
        let converged = !stays
            && space.converged(&eigen, config)
            && (whole || space.ends_would_show(&eigen, config));
        if converged || (ends && !stays) {
            let found = space.pairs(&eigen, config);
            let limits = limits(&eigen, config);
            let converged = converged && (whole || limits == [None, None]);
            let within = config.within(&eigen);
            if converged || ends {
                let [top, bottom] = found;
                return Ok(Eigenpairs { top, bottom, products, converged, within });
            }
            space.make_room(&eigen, config, cramped);
            space.start_anew();
            let first = Some(space.basis.len() - 1);
            look =
                Some(Look { first, limits, values: wanted_values(&eigen, config), found, within });
        } else if space.is_full() {
            // It begins again where there is more room, and goes on from there.
            match &mut look {
                Some(look) if cramped => look.first = None,
                _ => cramped |= look.take().is_some(),
            }
            space.restart(&eigen, config);
        } else {
            space.extend();
        }
    }
}

/// A look for copies of eigenvalues, which ends when none would be missed.
struct Look {
    /// The first vector that is not of those before; none after a restart, before which there were
    /// the pairs alone.
    first: Option<usize>,
    /// What a copy has to be at least, of the operator at the top and of its negative at the bottom; none
    /// where no copy counts.
    limits: [Option<f64>; 2],
    /// The values that it is to change.
    values: Vec<f64>,
    /// The pairs as they were before, which they stay if it finds nothing.
    found: [Vec<Eigenpair>; 2],
    within: f64,
}

impl Look {
    /// Whether it changes nothing so far.
    fn stays(&self, eigen: &SymmetricEigen, config: &LanczosConfig) -> bool {
        let now = wanted_values(eigen, config);
        self.values.iter().zip(now).all(|(before, now)| (before - now).abs() <= self.within)
    }

    /// Whether a copy would have shown; after a restart whether what is next to the pairs asked for has
    /// converged, and is none.
    fn is_over(&self, space: &Subspace, eigen: &SymmetricEigen, config: &LanczosConfig) -> bool {
        let next = [eigen.values.len().checked_sub(config.top + 1), Some(config.bottom)];
        let over = |((limit, sign), next): ((Option<f64>, f64), Option<usize>)| {
            limit.is_none_or(|limit| match self.first {
                Some(first) => space.would_show(first, limit, sign),
                None => next.is_some_and(|next| space.has_converged(next, eigen, config)),
            })
        };
        self.limits.into_iter().zip([1.0, -1.0]).zip(next).all(over)
    }
}

fn wanted_values(eigen: &SymmetricEigen, config: &LanczosConfig) -> Vec<f64> {
    let n = eigen.values.len();
    [&eigen.values[..config.bottom], &eigen.values[n - config.top..]].concat()
}

/// Which copies would be among those asked for: those of eigenvalues beyond the last of an end.
fn limits(eigen: &SymmetricEigen, config: &LanczosConfig) -> [Option<f64>; 2] {
    let (n, within) = (eigen.values.len(), config.within(eigen));
    let limit = |mut outwards: Vec<f64>| {
        let last = *outwards.first()?;
        outwards.retain(|value| *value > last + within);
        outwards.first().copied()
    };
    let top = eigen.values[n - config.top..].to_vec();
    let bottom = eigen.values[..config.bottom].iter().rev().map(|value| -value).collect();
    [limit(top), limit(bottom)]
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

impl Instrument for Lanczos {
    const ID: &'static str = "lanczos";
    const SUMMARY: &'static str = "largest and smallest eigenpairs of the Hessian";
    const SOURCE: &'static str = "Lanczos 1950; Wu and Simon 2000";
    const INVARIANCES: &'static [Invariance] = &[Invariance::Permutation, Invariance::Rotation];
    type Config = LanczosConfig;
    type Reading = OnSample<Eigenpairs>;

    fn measure(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &LanczosConfig,
    ) -> Result<OnSample<Eigenpairs>, MethodError> {
        Lanczos::measure_along(ctx, objective, point, config, &Along::default())
    }

    /// With a preconditioner `P` the eigenvalues are those of `P^-1/2 H P^-1/2`.
    fn measure_along(
        ctx: &Context<'_>,
        objective: &dyn Objective,
        point: &Weights,
        config: &LanczosConfig,
        along: &Along<'_>,
    ) -> Result<OnSample<Eigenpairs>, MethodError> {
        check(config)?;
        let hessian = super::Hessian::new(ctx, objective, point)?;
        let scaled = along.preconditioner.map(|by| Scaled::preconditioned(&hessian, by));
        let scaled = scaled.transpose()?;
        let operator: &dyn LinearOperator = match &scaled {
            Some(scaled) => scaled,
            None => &hessian,
        };
        let found = lanczos(ctx, operator, config)?;
        found.tell(ctx);
        // `y^T P^-1/2 H P^-1/2 y` is the form of the Hessian along `P^-1/2 y`.
        let in_weights = |pair: &Eigenpair| match &scaled {
            Some(scaled) => Eigenpair { vector: scaled.unscaled(&pair.vector), ..pair.clone() },
            None => pair.clone(),
        };
        let known: Vec<Eigenpair> = found.top.iter().chain(&found.bottom).map(in_weights).collect();
        let terms = curvature_terms(ctx, objective, point, &ParameterBlock::All, &known, 0)?;
        Ok(OnSample { found, terms: terms.map_or_else(Vec::new, |terms| terms.eigenvalues) })
    }

    fn cost(config: &LanczosConfig, size: &Size) -> Cost {
        let pairs = config.top + config.bottom;
        with_sample(Cost::at_most(0, 0, config.max_products), size, pairs)
    }

    fn watch() -> LanczosConfig {
        LanczosConfig { top: 1, tolerance: 1e-2, max_products: 60, ..LanczosConfig::default() }
    }

    fn quantities(reading: &OnSample<Eigenpairs>) -> Vec<Quantity> {
        let OnSample { found: reading, terms } = reading;
        let named = |pairs: &[Eigenpair], end: &str, first: usize| -> Vec<Quantity> {
            let name = |place: usize| match place {
                0 => format!("{end} eigenvalue"),
                place => format!("{end} eigenvalue {}", place + 1),
            };
            // Of what ended early an extreme eigenvalue may be known; which comes next is not.
            let known = |place: usize, pair: &Eigenpair| {
                reading.converged || (place == 0 && pair.residual <= reading.within)
            };
            let value = |place: usize, pair: &Eigenpair| match known(place, pair) {
                true => pair.value,
                false => f64::NAN,
            };
            let each = pairs.iter().enumerate().map(|(place, pair)| {
                Quantity::exact(name(place), value(place, pair))
                    .with_sample(terms.get(first + place))
            });
            each.collect()
        };
        // How far the largest stands out, whatever the scale of the loss.
        let ratio = match (reading.top.first(), reading.top.get(4)) {
            (Some(first), Some(fifth)) => {
                let ratio = first.value / fifth.value;
                let value = if reading.converged { ratio } else { f64::NAN };
                // To first order, as the eigenvalues themselves.
                let sample = terms.first().zip(terms.get(4)).and_then(|(of_first, of_fifth)| {
                    of_first.combined(1.0 / fifth.value, of_fifth, -ratio / fifth.value)
                });
                let quantity = Quantity::exact("largest eigenvalue over the fifth", value);
                vec![quantity.with_sample(sample.as_ref())]
            }
            _ => Vec::new(),
        };
        let bottom = named(&reading.bottom, "smallest", reading.top.len());
        [named(&reading.top, "largest", 0), ratio, bottom].concat()
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

/// [`lanczos`] on the Hessian of an objective, as an instrument: eigenvalues that have not converged
/// read NaN.
#[derive(Clone, Copy, Debug)]
pub struct Lanczos;

impl Eigenpairs {
    /// Says where it is so that the products ended before the residuals were within the tolerance, or
    /// before copies were looked for.
    pub fn tell(&self, ctx: &Context<'_>) {
        if self.converged {
            return;
        }
        let pairs = self.top.iter().chain(&self.bottom);
        let worst = pairs.fold(0.0f64, |worst, pair| worst.max(pair.residual));
        let why = match worst <= self.within {
            true => "larger ones or copies of multiple ones may be missing".to_owned(),
            false => format!("the largest residual is {worst:.2e}"),
        };
        let products = self.products;
        ctx.progress().message(&format!(
            "The eigenvalues have not converged after {products} products: {why}."
        ));
    }
}
