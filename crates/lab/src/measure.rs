//! From what methods find to records.

use crate::error::Result;
use crate::relative::{Metric, relative_spectrum};
use crate::subject::ObjectiveChoice;
use thalweg_methods::common::{LinearOperator, Sampling, Scaled};
use thalweg_methods::curvature::{
    Coupling, CurvatureMatrix, DensityConfig, Eigenpair, ExampleGroup, HutchPlusPlusConfig,
    HutchinsonConfig, KernelPolynomialConfig, LanczosConfig, OperatorChoice, ParameterBlock, Scope,
    XTraceConfig, density, exact_moments, hutch_plus_plus, hutchinson, kernel_polynomial, lanczos,
    sampling_error, xtrace,
};
use thalweg_methods::gradients::{PathGradient, line_gradients, trajectory_gradients};
use thalweg_methods::sharpness::Rise;
use thalweg_methods::surface::{
    Neighbours, Osculating, Plane, Surface as Found, merge_tree, osculating, total_variation,
};
use thalweg_methods::{Context, Evaluation, MethodError, ModelObjective, Objective, Status};
use thalweg_nn::Weights;
use thalweg_record::{
    COMPUTED, Density, Derivatives, Eigenvalue, Estimate, Line, LineGradients, NOT_COMPUTED,
    NOT_FINITE, Outliers, Parabola, Products, Quantity, Spectrum, Surface, SurfaceAttributes,
    SurfaceMinimum, Topology, TrajectoryGradients,
};

/// An estimate as a record has it.
pub fn estimate(found: &thalweg_stats::Estimate) -> Estimate {
    Estimate {
        value: found.value,
        standard_error: found.standard_error,
        samples: found.samples as u64,
    }
}

/// A loss: with its standard error where it was taken on a sample.
pub fn loss(found: &Evaluation) -> Quantity {
    match found.standard_error {
        Some(standard_error) => {
            let samples = found.examples as u64;
            Estimate { value: found.loss, standard_error, samples }.into()
        }
        None => found.loss.into(),
    }
}

/// A rise of the loss, with its standard error where the examples are a sample.
pub fn rise(found: &Rise) -> Quantity {
    match found.standard_error {
        Some(standard_error) => {
            let samples = found.examples.len() as u64;
            Estimate { value: found.value, standard_error, samples }.into()
        }
        None => found.value.into(),
    }
}

/// What every surface of an objective says of itself.
pub fn attributes(
    objective: &ModelObjective,
    choice: &ObjectiveChoice,
    seed: u64,
) -> SurfaceAttributes {
    SurfaceAttributes {
        batch_norm: choice.batch_norm.clone(),
        split: choice.split.clone(),
        samples: objective.examples() as u64,
        available: objective.available() as u64,
        batch: objective.batch() as u64,
        loss_name: match choice.loss.as_str() {
            "" => crate::command::loss_name(&objective.loss().to_string()),
            text => crate::command::loss_name(text),
        },
        seed,
        ..SurfaceAttributes::default()
    }
}

/// A surface as a record has it: a leading dimension only for several pairs of directions.
///
/// # Errors
/// None for what a method gives.
pub fn surface(found: &Found, attributes: SurfaceAttributes) -> Result<Surface> {
    let pairs = (found.pairs > 1).then_some(found.pairs);
    let mut record = Surface::new(found.x.clone(), found.y.clone(), pairs, attributes)?;
    record.loss = found.loss.clone();
    record.status = found
        .status
        .iter()
        .map(|status| match status {
            Status::NotComputed => NOT_COMPUTED,
            Status::Computed => COMPUTED,
            Status::NotFinite => NOT_FINITE,
        })
        .collect();
    record.accuracy = found.accuracy.clone();
    record.loss_standard_error = found.loss_standard_error.clone();
    record.topology = topology(&record)?;
    record.check()?;
    Ok(record)
}

/// The depth of a minimum, as a share of the level at which its basin ends, from which on it is
/// shown and counted.
pub const PROMINENT: f64 = 0.01;

/// The minima of every pair of a surface; none where no loss is finite.
fn topology(surface: &Surface) -> Result<Option<Topology>> {
    let (columns, size) = (surface.x.len(), surface.x.len() * surface.y.len());
    let mut found = Topology { threshold: PROMINENT, ..Topology::default() };
    for (pair, values) in surface.loss.chunks(size).enumerate() {
        let before = found.minima.len();
        let tree = merge_tree(values, columns, Neighbours::default())?;
        let errors = surface.loss_standard_error.as_ref().map(|errors| &errors[pair * size..]);
        found.minima.extend(tree.minima.iter().map(|minimum| {
            let (at, end) = (surface.point(minimum.at), surface.point(minimum.end));
            SurfaceMinimum {
                pair: pair as u32,
                x: at.x,
                y: at.y,
                loss: minimum.birth,
                saddle_x: end.x,
                saddle_y: end.y,
                saddle: minimum.death,
                parent: minimum.parent.map(|parent| (before + parent) as u32),
                standard_error: errors.map(|errors| errors[minimum.at] + errors[minimum.end]),
            }
        }));
        found.total_variation.push(total_variation(values, &surface.x, &surface.y)?);
    }
    Ok((!found.minima.is_empty()).then_some(found))
}

/// What touches the loss at the centre of a plane along each of its directions.
///
/// # Errors
/// Those of the method.
pub fn parabolas(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    plane: &Plane,
) -> Result<Vec<Parabola>> {
    let mut found = Vec::new();
    for (name, direction) in [("x", Some(&plane.x)), ("y", plane.y.as_ref())] {
        let Some(direction) = direction else { continue };
        let ctx = ctx.within(&format!("centre-{name}"));
        let at = osculating(&ctx, objective, centre, direction, &[0.0])?;
        let part = |estimate: &thalweg_stats::Estimate| sampled(objective, estimate);
        found.extend(at.iter().map(|at| Parabola {
            loss: at.loss.value,
            slope: part(&at.slope),
            curvature: part(&at.curvature),
        }));
    }
    Ok(found)
}

/// Slope and curvature along a line, for each of its points.
///
/// # Errors
/// Those of the method.
pub fn derivatives(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    line: &Plane,
    at: &[f64],
) -> Result<Derivatives> {
    let found = osculating(ctx, objective, centre, &line.x, at)?;
    let column = |of: fn(&Osculating) -> f64| found.iter().map(of).collect::<Vec<_>>();
    let sampled = *objective.sampling() != Sampling::All;
    Ok(Derivatives {
        slope: column(|at| at.slope.value),
        curvature: column(|at| at.curvature.value),
        slope_standard_error: sampled.then(|| column(|at| at.slope.standard_error)),
        curvature_standard_error: sampled.then(|| column(|at| at.curvature.standard_error)),
        gradients: None,
    })
}

/// The gradient along a line, for each of its points.
///
/// # Errors
/// Those of the method.
pub fn gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    centre: &Weights,
    line: &Plane,
    at: &[f64],
) -> Result<LineGradients> {
    let found = line_gradients(ctx, objective, centre, &line.x, at)?;
    let column = |of: fn(&PathGradient) -> f64| found.iter().map(of).collect::<Vec<_>>();
    Ok(LineGradients {
        norm: column(|at| at.norm),
        cosine: column(|at| at.cosine),
        turn: column(|at| at.turn),
    })
}

/// The gradient at each checkpoint of a trajectory, which `load` reads.
///
/// # Errors
/// Those of the method and of `load`.
pub(crate) fn checkpoint_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    checkpoints: usize,
    load: &dyn Fn(usize) -> std::result::Result<Weights, MethodError>,
) -> Result<TrajectoryGradients> {
    let found = trajectory_gradients(ctx, objective, checkpoints, load)?;
    let column = |of: fn(&PathGradient) -> f64| found.iter().map(of).collect::<Vec<_>>();
    Ok(TrajectoryGradients {
        way: column(|at| at.at),
        loss: column(|at| at.loss),
        gradients: LineGradients {
            norm: column(|at| at.norm),
            cosine: column(|at| at.cosine),
            turn: column(|at| at.turn),
        },
    })
}

/// A plain number where all examples were taken.
fn sampled(objective: &dyn Objective, found: &thalweg_stats::Estimate) -> Quantity {
    match objective.sampling() {
        Sampling::All => found.value.into(),
        Sampling::Strata(_) => estimate(found).into(),
    }
}

/// A surface of one direction as a line.
pub fn line(name: &str, found: &Found, parabola: Option<Parabola>) -> Line {
    Line {
        parabola,
        name: name.to_owned(),
        at: found.x.clone(),
        loss: found.loss.clone(),
        loss_standard_error: found.loss_standard_error.clone(),
    }
}

/// What is said of eigenvalues that are not within the tolerance.
pub(crate) const NOT_CONVERGED: &str =
    "The eigenvalues have not converged to the tolerance; their residuals say how far.";

/// Which parts of a spectrum are wanted.
#[derive(Debug, Clone, Copy)]
pub struct SpectrumConfig {
    /// How many of the largest eigenvalues.
    pub top: usize,
    /// How many of the smallest.
    pub bottom: usize,
    /// Largest residual, as a share of the largest eigenvalue.
    pub tolerance: f64,
    /// Probes of the trace, at most; 0: none.
    pub trace: usize,
    /// The share of the trace at which its standard error is small enough; 0: take all probes.
    pub trace_tolerance: f64,
    /// The trace by one product for each parameter.
    pub exact: bool,
    /// Probes of the density; 0: none.
    pub density: usize,
}

/// Products after which eigenvalues are what they are.
pub fn most_products(eigenvalues: usize) -> usize {
    eigenvalues.saturating_mul(4).max(300)
}

/// How a density of eigenvalues is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DensityMethod {
    /// Stochastic Lanczos quadrature.
    #[default]
    Lanczos,
    /// The kernel polynomial method.
    KernelPolynomial,
}

impl DensityMethod {
    /// Every method with its name.
    pub const NAMES: [(&'static str, DensityMethod); 2] = [
        ("lanczos", DensityMethod::Lanczos),
        ("kernel-polynomial", DensityMethod::KernelPolynomial),
    ];
}

/// How the trace is estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TraceEstimator {
    /// From products with random vectors of signs; the Frobenius norm with it.
    #[default]
    Hutchinson,
    /// Exactly on a sketch of the range, by Hutchinson's estimate outside of it.
    HutchPlusPlus,
    /// From probes that are each outside the sketch of the others.
    XTrace,
}

impl TraceEstimator {
    /// Every estimator with its name and the fewest products that it takes.
    pub const NAMES: [(&'static str, TraceEstimator, usize); 3] = [
        ("hutchinson", TraceEstimator::Hutchinson, 2),
        ("hutch++", TraceEstimator::HutchPlusPlus, 6),
        ("xtrace", TraceEstimator::XTrace, 4),
    ];
}

/// Of which matrix a spectrum is, and how its trace and density are estimated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The matrix, or an approximation of one.
    pub operator: OperatorChoice,
    /// Of which parameters and examples.
    pub scope: Scope,
    /// The block between two groups of parameters, in place of that of the scope's.
    pub between: Option<[ParameterBlock; 2]>,
    /// What eigenvalues are relative to.
    pub relative_to: Option<Metric>,
    /// What it is preconditioned by, over all parameters, and whose that is.
    pub preconditioner: Option<(String, Vec<f64>)>,
    /// The trace.
    pub estimator: TraceEstimator,
    /// The density.
    pub density: DensityMethod,
}

impl Measured {
    /// What of the matrix it is.
    pub fn scope(&self) -> String {
        let Some([first, second]) = &self.between else { return self.scope.to_string() };
        let between = format!("between {first} and {second}");
        match &self.scope {
            scope if *scope == Scope::default() => between,
            scope => format!("{between}, {scope}"),
        }
    }

    /// Whether it is the Hessian of all the objective's examples, over all parameters or some: of a
    /// mean over examples each of them has its own.
    fn is_hessian(&self) -> bool {
        self.operator == CurvatureMatrix::Hessian.into()
            && self.scope.examples == ExampleGroup::All
            && self.between.is_none()
            && self.preconditioner.is_none()
    }

    /// The matrix.
    fn matrix<'a>(
        &self,
        ctx: &Context<'a>,
        objective: &'a dyn Objective,
        point: &Weights,
    ) -> Result<Box<dyn LinearOperator + 'a>> {
        Ok(match &self.between {
            None => self.operator.operator(ctx, objective, point, &self.scope)?,
            Some([first, second]) => {
                let (matrix, examples) = (self.operator.matrix, &self.scope.examples);
                let blocks = [first, second];
                Box::new(Coupling::new(ctx, objective, point, matrix, blocks, examples)?)
            }
        })
    }
}

/// Probes of the trace's error over the choice of examples: they leave a tenth or so of the error open,
/// for less than a tenth of what the eigenvalues take.
const SAMPLE_PROBES: usize = 8;

/// A number with the error of the sample, which is independent of its own.
fn with_sample(found: Quantity, of_sample: f64, examples: usize) -> Quantity {
    let value = found.value();
    match found {
        Quantity::Exact(_) => {
            Estimate { value, standard_error: of_sample, samples: examples as u64 }.into()
        }
        Quantity::Estimate(of) => {
            Estimate { standard_error: of.standard_error.hypot(of_sample), ..of }.into()
        }
    }
}

/// The spectrum of the Hessian at a point, as far as it is asked for.
///
/// # Errors
/// Those of the methods.
pub fn spectrum(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &SpectrumConfig,
) -> Result<Spectrum> {
    Ok(spectrum_with_vectors(ctx, objective, point, config)?.0)
}

/// [`spectrum`], and the eigenpairs of both ends with their vectors: the largest, then the smallest.
///
/// # Errors
/// Those of the methods.
pub fn spectrum_with_vectors(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    config: &SpectrumConfig,
) -> Result<(Spectrum, Vec<Eigenpair>)> {
    spectrum_of(ctx, objective, point, &Measured::default(), config)
}

/// [`spectrum_with_vectors`] of any curvature operator; vectors are of the scope's parameters, and
/// with a preconditioner `P` of `P^-1/2 A P^-1/2`.
///
/// Of the Hessian on a sample of examples, eigenvalues and trace have its error (see
/// [`sampling_error()`]); of all else errors are those of probes alone, for the examples taken.
///
/// # Errors
/// Those of the methods.
pub fn spectrum_of(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    measured: &Measured,
    config: &SpectrumConfig,
) -> Result<(Spectrum, Vec<Eigenpair>)> {
    if let Some(metric) = &measured.relative_to {
        return relative_spectrum(ctx, objective, point, (measured, metric), config);
    }
    let operator = measured.matrix(ctx, objective, point)?;
    let scaled = match &measured.preconditioner {
        Some((_, whole)) => {
            let block = &measured.scope.parameters;
            let part = block.restricted(objective.parameters(), whole)?;
            Some(Scaled::preconditioned(&*operator, &part)?)
        }
        None => None,
    };
    let matrix: &dyn LinearOperator = match &scaled {
        Some(scaled) => scaled,
        None => &*operator,
    };
    let dimension = matrix.dimension();
    let (mut products, mut known) = (Products::default(), Vec::new());
    let mut spectrum = Spectrum {
        operator: measured.operator.to_string(),
        scope: measured.scope(),
        preconditioner: measured.preconditioner.as_ref().map(|(name, _)| name.clone()),
        dimension: dimension as u64,
        ..Spectrum::default()
    };
    if config.top + config.bottom > 0 {
        let wanted = LanczosConfig {
            top: config.top,
            bottom: config.bottom,
            tolerance: config.tolerance,
            max_products: most_products(config.top + config.bottom),
        };
        let found = lanczos(ctx, matrix, &wanted)?;
        found.tell(ctx);
        let values = |pairs: &[Eigenpair]| {
            let of = |pair: &Eigenpair| Eigenvalue {
                value: pair.value,
                residual: pair.residual,
                sampling_error: None,
            };
            pairs.iter().map(of).collect()
        };
        spectrum.top = values(&found.top);
        spectrum.bottom = values(&found.bottom);
        products.eigenvalues = found.products as u64;
        known = [found.top, found.bottom].concat();
    }
    if config.exact {
        let found = exact_moments(ctx, matrix)?;
        products.trace = dimension as u64;
        spectrum.trace = Some(found.trace.into());
        spectrum.frobenius_squared = Some(found.frobenius_squared.into());
    } else if config.trace > 0 {
        let sketched = match measured.estimator {
            TraceEstimator::Hutchinson => None,
            TraceEstimator::HutchPlusPlus => {
                let wanted = HutchPlusPlusConfig { products: config.trace };
                Some(hutch_plus_plus(ctx, matrix, &known, &wanted)?)
            }
            TraceEstimator::XTrace => {
                let wanted = XTraceConfig { products: config.trace };
                Some(xtrace(ctx, matrix, &known, &wanted)?)
            }
        };
        if let Some(found) = sketched {
            products.trace = found.products as u64;
            spectrum.trace = Some(estimate(&found.trace).into());
        } else {
            let wanted =
                HutchinsonConfig { probes: config.trace, tolerance: config.trace_tolerance };
            let found = hutchinson(ctx, matrix, &known, &wanted)?;
            products.trace = found.trace.samples as u64;
            spectrum.trace = Some(estimate(&found.trace).into());
            spectrum.frobenius_squared = Some(estimate(&found.frobenius_squared).into());
        }
    }
    if measured.is_hessian() && (!known.is_empty() || spectrum.trace.is_some()) {
        let probes = if spectrum.trace.is_some() { SAMPLE_PROBES } else { 0 };
        let block = &measured.scope.parameters;
        if let Some(error) = sampling_error(ctx, objective, point, block, &known, probes)? {
            let found = spectrum.top.iter_mut().chain(&mut spectrum.bottom);
            for (eigenvalue, error) in found.zip(&error.eigenvalues) {
                eigenvalue.sampling_error = Some(*error);
            }
            if let Some(of_sample) = error.trace {
                let with = |trace| with_sample(trace, of_sample, error.examples);
                spectrum.trace = spectrum.trace.map(with);
            }
            products.sampling_error = error.passes as u64;
        }
    }
    if config.density > 0 {
        let probes = config.density;
        let found = match measured.density {
            DensityMethod::Lanczos => {
                density(ctx, matrix, &DensityConfig { probes, ..DensityConfig::default() })?
            }
            DensityMethod::KernelPolynomial => {
                let wanted = KernelPolynomialConfig { probes, ..Default::default() };
                kernel_polynomial(ctx, matrix, &wanted)?
            }
        };
        products.density = found.products as u64;
        let pairs = spectrum.top.iter().chain(&spectrum.bottom);
        spectrum.outliers = Some(Outliers {
            below: found.outliers.below,
            above: found.outliers.above,
            count: estimate(&found.outliers.count),
            found: pairs.filter(|pair| found.outliers.holds(pair.value)).count() as u64,
        });
        spectrum.density = Some(Density {
            centres: found.centres,
            values: found.values,
            standard_errors: found.standard_errors,
        });
    }
    Ok((Spectrum { products, ..spectrum }, known))
}
