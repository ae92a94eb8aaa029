//! Eigenvalues of a curvature matrix relative to another.

use crate::error::Result;
use crate::measure::{Measured, SpectrumConfig};
use thalweg_methods::common::{Damped, Inverse, LinearOperator, Solvable};
use thalweg_methods::curvature::{
    Approximation, Eigenpair, End, GeneralizedPairs, LobpcgConfig, OperatorChoice, lobpcg,
};
use thalweg_methods::{Context, MethodError, Objective};
use thalweg_nn::Weights;
use thalweg_record::{Eigenvalue, Products, RelativeTo, Spectrum};

/// What eigenvalues are relative to: `l` of `A v = l (B + damping I) v`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// `B`.
    pub operator: OperatorChoice,
    /// What is added to its diagonal.
    pub damping: f64,
}

/// Products with each matrix that so many eigenvalues of an end may take.
pub(crate) fn most_products(pairs: usize) -> usize {
    (100 * pairs).max(600)
}

/// The eigenvalues of a pair of matrices at both ends, and their vectors, of length one in the
/// second's inner product.
///
/// What preconditions the iteration is the inverse of the second matrix where that is solved
/// directly, else of its K-FAC approximation, else of its diagonal, and nothing where there is
/// neither.
///
/// # Errors
/// Those of the operators and of [`lobpcg`].
pub(crate) fn relative_spectrum(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
    (measured, metric): (&Measured, &Metric),
    config: &SpectrumConfig,
) -> Result<(Spectrum, Vec<Eigenpair>)> {
    let scope = &measured.scope;
    let operator = measured.operator.operator(ctx, objective, point, scope)?;
    let solvable = |choice: OperatorChoice| choice.solvable(ctx, objective, point, scope);
    let second = match solvable(metric.operator)? {
        Some(solved) => Second::Solved(solved),
        None => Second::Whole {
            matrix: metric.operator.operator(ctx, objective, point, scope)?,
            near: approximation(metric, solvable)?,
        },
    };
    let damped = Damped::new(second.matrix(), metric.damping)?;
    let (choice, near) = second.near(metric.operator).unzip();
    let inverse = near.map(|near| Inverse::new(near, metric.damping)).transpose()?;
    let end = |pairs: usize, end: End, name: &str| -> Result<Option<GeneralizedPairs>> {
        if pairs == 0 {
            return Ok(None);
        }
        let wanted = LobpcgConfig {
            pairs,
            end,
            tolerance: config.tolerance,
            max_products: most_products(pairs),
            ..LobpcgConfig::default()
        };
        let inverse = inverse.as_ref().map(|inverse| inverse as &dyn LinearOperator);
        let ctx = ctx.within(name);
        Ok(Some(lobpcg(&ctx, &*operator, Some(&damped), inverse, &wanted)?))
    };
    let top = end(config.top, End::Largest, "largest")?;
    let bottom = end(config.bottom, End::Smallest, "smallest")?;
    let found = || [&top, &bottom].into_iter().flatten();
    if found().any(|found| !found.converged) {
        ctx.progress().message(crate::measure::NOT_CONVERGED);
    }
    let products: u64 = found().map(|found| found.products as u64).sum();
    let values = |found: &Option<GeneralizedPairs>| -> Vec<Eigenvalue> {
        let each = found.iter().flat_map(|found| found.pairs.iter().zip(&found.metric_norms));
        let eigenvalue = |(pair, norm): (&Eigenpair, &f64)| Eigenvalue {
            value: pair.value,
            residual: pair.residual / norm,
            sampling_error: None,
        };
        each.map(eigenvalue).collect()
    };
    let relative_to = RelativeTo {
        operator: metric.operator.to_string(),
        damping: metric.damping,
        preconditioner: choice.map(|choice| choice.to_string()),
    };
    let spectrum = Spectrum {
        operator: measured.operator.to_string(),
        scope: scope.to_string(),
        relative_to: Some(relative_to),
        dimension: operator.dimension() as u64,
        top: values(&top),
        bottom: values(&bottom),
        products: Products { eigenvalues: products, relative_to: products, ..Products::default() },
        ..Spectrum::default()
    };
    let vectors = [top, bottom].into_iter().flatten().flat_map(|found| found.pairs).collect();
    Ok((spectrum, vectors))
}

/// The second matrix.
enum Second<'a> {
    /// One whose equations are solved directly.
    Solved(Box<dyn Solvable + 'a>),
    /// Another, and an approximation of it that is such a one.
    Whole {
        matrix: Box<dyn LinearOperator + 'a>,
        near: Option<(OperatorChoice, Box<dyn Solvable + 'a>)>,
    },
}

impl Second<'_> {
    fn matrix(&self) -> &dyn LinearOperator {
        match self {
            Second::Solved(solved) => &**solved,
            Second::Whole { matrix, .. } => &**matrix,
        }
    }

    /// What it is near to, or is, and that is solved directly.
    fn near(&self, own: OperatorChoice) -> Option<(OperatorChoice, &dyn Solvable)> {
        match self {
            Second::Solved(solved) => Some((own, &**solved)),
            Second::Whole { near, .. } => near.as_ref().map(|(choice, near)| (*choice, &**near)),
        }
    }
}

/// An approximation of the metric whose equations are solved directly, if it has one.
///
/// # Errors
/// Those of the approximations, but that a matrix or these parameters have none of a kind.
fn approximation<'a>(
    metric: &Metric,
    made: impl Fn(OperatorChoice) -> std::result::Result<Option<Box<dyn Solvable + 'a>>, MethodError>,
) -> Result<Option<(OperatorChoice, Box<dyn Solvable + 'a>)>> {
    for approximation in [Approximation::Kfac, Approximation::Diagonal] {
        let choice = OperatorChoice { approximation, ..metric.operator };
        match made(choice) {
            Ok(found) => return Ok(found.map(|found| (choice, found))),
            // Which of both there is depends on the matrix and the model, and never on memory.
            Err(MethodError::Config { .. } | MethodError::Mismatch { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
