//! The spectrum of a curvature matrix: which parts are wanted, how they are found, and their record.

use super::{estimate, where_memory_allows};
use crate::error::Result;
use crate::relative::{Metric, relative_spectrum};
use thalweg_methods::common::{LinearOperator, Scaled};
use thalweg_methods::curvature::{
    Coupling, CurvatureMatrix, DensityConfig, Eigenpair, ExampleGroup, HutchPlusPlusConfig,
    HutchinsonConfig, KernelPolynomialConfig, LanczosConfig, OperatorChoice, ParameterBlock, Scope,
    XTraceConfig, curvature_terms, density, exact_moments, hutch_plus_plus, hutchinson,
    kernel_polynomial, lanczos, norm_of_sample, xtrace,
};
use thalweg_methods::{Context, Objective};
use thalweg_nn::Weights;
use thalweg_record::{Density, Eigenvalue, Estimate, Outliers, Products, Quantity, Spectrum};

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

/// Probes of the errors over the choice of examples of trace and norm: they leave a tenth or so of the error open,
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

/// Makes of the squared Frobenius norm of the Hessian on a sample of examples that on all the data, with the
/// error of the sample, by a few products more; nothing of what is not one. There is none left where its
/// products have no room, which is told.
///
/// # Errors
/// Those of the methods.
pub fn norm_on_all_data(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    measured: &Measured,
    spectrum: &mut Spectrum,
) -> Result<()> {
    let Some(on_sample) = spectrum.frobenius_squared.filter(|_| measured.is_hessian()) else {
        return Ok(());
    };
    let (hessian, block) = (CurvatureMatrix::Hessian, &measured.scope.parameters);
    let found = norm_of_sample(ctx, objective, point, hessian, block, SAMPLE_PROBES);
    let found = match where_memory_allows(ctx, "the Frobenius norm", found)? {
        Some(Some(found)) => found,
        Some(None) => return Ok(()),
        None => {
            spectrum.frobenius_squared = None;
            return Ok(());
        }
    };
    let examples = objective.examples();
    let corrected = found.corrected(thalweg_stats::Estimate {
        value: on_sample.value(),
        standard_error: on_sample.standard_error().unwrap_or(0.0),
        samples: examples,
    });
    let of_sample = found.terms.standard_error();
    spectrum.frobenius_squared =
        Some(with_sample(estimate(&corrected).into(), of_sample, examples));
    spectrum.products.trace += SAMPLE_PROBES as u64;
    Ok(())
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
/// [`curvature_terms()`]); of all else errors are those of probes alone, for the examples taken.
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
        if let Some(terms) = curvature_terms(ctx, objective, point, block, &known, probes)? {
            let found = spectrum.top.iter_mut().chain(&mut spectrum.bottom);
            for (eigenvalue, terms) in found.zip(&terms.eigenvalues) {
                eigenvalue.sampling_error = Some(terms.standard_error());
            }
            if let Some(of_trace) = terms.trace {
                let of_sample = of_trace.standard_error();
                let with = |trace| with_sample(trace, of_sample, terms.examples);
                spectrum.trace = spectrum.trace.map(with);
            }
            products.sampling_error = terms.passes as u64;
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
