//! How each number of a spectrum was obtained, in sentences.

use super::settings::SpectrumSettings;
use crate::command::{
    explain, explain_eigenvalues, explain_loss, explain_sample, explain_trace, sides,
};
use crate::measure::{DensityMethod, Measured, TraceEstimator};
use crate::relative::most_products;
use crate::subject::ObjectiveChoice;
use thalweg_methods::curvature::{Approximation, Scope};
use thalweg_record::{Explanation, Outliers, Products, RelativeTo, Spectrum};

/// A matrix and its scope, as the middle of a sentence.
pub(super) fn words(measured: &Measured) -> String {
    let mut words = measured.operator.words();
    let scope = measured.scope();
    if scope != Scope::default().to_string() {
        words.push_str(&format!(" ({scope})"));
    }
    if let Some(metric) = &measured.relative_to {
        words.push_str(&format!(" relative to the {}", metric.operator.words()));
    }
    if measured.preconditioner.is_some() {
        words.push_str(", preconditioned by Adam");
    }
    words
}

/// How each number of a spectrum was obtained.
pub(super) fn explanations(
    measured: &Measured,
    found: &Spectrum,
    settings: &SpectrumSettings,
    objective: &ObjectiveChoice,
    samples: (usize, usize),
) -> Vec<Explanation> {
    let mut list = vec![explain_loss(objective, samples)];
    let kept = match measured.operator.approximation {
        Approximation::None => None,
        Approximation::Diagonal => Some(
            "The exact diagonal, from the squares of the gradients of each example; nothing beside \
             it.",
        ),
        Approximation::Kfac => Some(
            "K-FAC (expand): for each dense and convolutional layer the Kronecker product of the \
             mean outer products of its inputs and of the gradients by its outputs, positions \
             counting as examples; the exact diagonal for all other parameters; nothing between \
             layers.",
        ),
    };
    list.extend(kept.map(|how| explain("Approximation", how)));
    if measured.preconditioner.is_some() {
        let how = "Adam's step is that along its running mean of gradients divided, weight by weight, \
                   by P = (1 - β₁ᵗ) (√(v / (1 - β₂ᵗ)) + ε), with the second moments v that the training \
                   kept. All numbers are those of P⁻¹ᐟ² A P⁻¹ᐟ², whose eigenvalues are those of P⁻¹ A: \
                   the curvature that Adam's steps meet.";
        list.push(explain("Preconditioned by Adam", how));
    }
    if measured.between.is_some() {
        let how = "The matrix [0, B; Bᵀ, 0] of the block B between both parts: its eigenvalues are the \
                   singular values of B with both signs and zeros, its trace is zero, and its squared \
                   Frobenius norm twice that of B.";
        list.push(explain("Between two parts", how));
    }
    if let Some(relative_to) = &found.relative_to {
        list.push(explain("Eigenvalues", relative(measured, relative_to, settings)));
    } else if settings.top + settings.bottom > 0 {
        list.push(explain_eigenvalues(
            &words(measured),
            settings.top,
            settings.bottom,
            settings.tolerance,
        ));
    }
    if settings.trace_exact {
        list.push(explain(
            "Trace",
            "The sum of the matrix's diagonal, from one product with each unit vector.",
        ));
    } else if settings.trace_probes > 0 && measured.estimator != TraceEstimator::Hutchinson {
        list.push(explain("Trace", sketched(measured.estimator, settings)));
    } else if settings.trace_probes > 0 {
        list.push(explain_trace(
            settings.top + settings.bottom,
            settings.trace_probes,
            settings.trace_tolerance,
        ));
    }
    let with_norm = measured.estimator == TraceEstimator::Hutchinson && settings.trace_probes > 0;
    if settings.trace_exact || with_norm {
        let how = match settings.trace_exact {
            true => "The sum of the squares of all elements, from the same products.",
            false if settings.top + settings.bottom > 0 => {
                "The sum of |Hv|² over the eigenvectors found, and the mean of |Hw|² over the same \
                 random sign vectors."
            }
            false => "The mean of |Hz|² over the same random sign vectors.",
        };
        let of_sample = "From it is taken what it is too large on average on a sample, and in its error \
                         is the choice of the sample: both by leaving out one block of the examples \
                         at a time in products with a few more random sign vectors.";
        let how = match found.products.sampling_error {
            0 => how.to_owned(),
            _ => format!("{how} {of_sample}"),
        };
        if found.frobenius_squared.is_some() {
            list.push(explain("Frobenius norm, squared", how));
        }
    }
    if settings.density_probes > 0 {
        let probes = settings.density_probes;
        let how = match settings.density_method == DensityMethod::NAMES[0].0 {
            true => format!(
                "Stochastic Lanczos quadrature: 48 steps from each of {probes} random sign vectors; \
                 each Ritz value counts by its weight, smoothed by a Gaussian whose width is 1 % of \
                 their range. Standard errors over the vectors."
            ),
            false => format!(
                "The kernel polynomial method: 96 Chebyshev moments of each of {probes} random sign \
                 vectors with Jackson's damping, which makes of an eigenvalue a bell whose width is \
                 1.6 % of the range, less towards its ends. Standard errors over the vectors."
            ),
        };
        list.push(explain("Density of eigenvalues", how));
        list.push(explain("Outliers", outliers(found)));
    }
    list.extend(explain_sample(found, samples));
    list.push(explain("Cost", cost(&found.products)));
    list
}

/// What stands out, and by which rule.
fn outliers(found: &Spectrum) -> String {
    let counted = found.outliers.map(|outliers| {
        let Outliers { below, above, count, found: of_those } = outliers;
        format!(
            "{:.3} ± {:.3} of all {} eigenvalues are below {below:.4} or above {above:.4} by the density, \
             and {of_those} of the {} found: all of them at an end where one is found between. ",
            count.value,
            count.standard_error,
            found.dimension,
            found.top.len() + found.bottom.len(),
        )
    });
    let rule = "The bulk reaches on each side from the median to twice the distance at which 5 % of the \
                density are left, and at least as far as there is more than half an eigenvalue under a \
                bell of the density's width. The error is over the vectors, with these ends.";
    counted.unwrap_or_default() + rule
}

/// What each part cost.
fn cost(products: &Products) -> String {
    let parts = [
        (products.eigenvalues, "for the eigenvalues"),
        (products.trace, "for the trace"),
        (products.density, "for the density"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let each: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    if each.is_empty() {
        return "No product with the matrix was taken.".to_owned();
    }
    let beside = match products.relative_to {
        0 => String::new(),
        count => format!("; {count} with the matrix that they are relative to"),
    };
    let second = match products.sampling_error {
        0 => String::new(),
        count => format!("; beside them second derivatives of each loss along {count} vectors"),
    };
    format!("Products of the matrix with a vector: {}{beside}{second}.", each.join(", "))
}

/// How eigenvalues relative to another matrix are obtained.
fn relative(measured: &Measured, to: &RelativeTo, settings: &SpectrumSettings) -> String {
    let sides = sides(settings.top, settings.bottom);
    let metric = measured.relative_to.map(|metric| metric.operator.words()).unwrap_or_default();
    let helped = match to.preconditioner.as_deref() {
        None => String::new(),
        Some(own) if own == to.operator => ", preconditioned by the inverse of B + δI".to_owned(),
        Some(near) => format!(", preconditioned by the inverse of the {near} matrix plus δI"),
    };
    format!(
        "The {sides} λ with A v = λ (B + δI) v, of the {} of this loss as A and the {metric} as B, δ = \
         {}: how much more or less A curves than B says. By LOBPCG (locally optimal block \
         preconditioned conjugate gradients){helped}, until every residual |Av - λ(B + δI)v| / \
         |(B + δI)v| is below {} of the largest |λ|, or for {} products at an end.",
        measured.operator.words(),
        to.damping,
        settings.tolerance,
        most_products(settings.top.max(settings.bottom)),
    )
}

/// How a trace by a sketch is obtained.
fn sketched(estimator: TraceEstimator, settings: &SpectrumSettings) -> String {
    let n = settings.trace_probes;
    let known = match settings.top + settings.bottom {
        0 => "",
        _ => "The sum of the eigenvalues found; of what is outside their vectors: ",
    };
    let how = match estimator {
        TraceEstimator::XTrace => format!(
            "XTrace from {n} products, the mean over {} normal vectors of the trace on what all the \
             others' products span and of one form outside of it. The standard error is over the \
             vectors, and knows that they share their products.",
            n / 2
        ),
        _ => format!(
            "Hutch++ from {n} products, exact on what {} of them span, and Hutchinson's estimate \
             outside of it, whose standard error it is.",
            n / 3
        ),
    };
    format!("{known}{how}")
}
