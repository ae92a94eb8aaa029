//! What a loss says of a model's outputs as a distribution of targets.
//!
//! A loss is the mean over `terms` of negative logarithms of densities, up to constants: of each
//! position's class (cross-entropy, nll), of each element's Gaussian (mse: variance 1/2), Laplace
//! (mae: scale 1) or Huber density (its exponent), of each position's Gaussian of variance 1
//! (half-squared-error), of each element's coin (bce). The Fisher information meant here is the
//! mean over these terms of theirs, so that it equals the generalised Gauss-Newton matrix wherever
//! outputs are natural parameters.

use crate::MethodError;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_graph::Tensor;
use thalweg_nn::Loss;
use thalweg_stats::{normal_cdf, normal_quantile};
use thalweg_transform::hvp;

/// Positions of an example and units of a position, from outputs `[n, positions.., k]`.
fn extents(shape: &[usize]) -> (usize, usize) {
    let units = shape.last().copied().unwrap_or(1);
    let positions = shape.get(1..shape.len().saturating_sub(1)).unwrap_or_default();
    (positions.iter().product(), units)
}

/// Of how many densities' logarithms the loss of an example is the mean.
pub(super) fn terms(loss: Loss, shape: &[usize]) -> usize {
    let (positions, units) = extents(shape);
    match loss {
        Loss::CrossEntropy { .. } | Loss::NegativeLogLikelihood | Loss::HalfSquaredError => {
            positions
        }
        Loss::MeanSquaredError
        | Loss::BinaryCrossEntropy
        | Loss::MeanAbsoluteError
        | Loss::Huber { .. } => positions * units,
    }
}

/// Refuses losses whose curvature at the outputs says nothing.
pub(super) fn check_gauss_newton(loss: Loss) -> Result<(), MethodError> {
    let got = match loss {
        Loss::MeanAbsoluteError => "mae, whose second derivative is zero wherever it has one",
        Loss::NegativeLogLikelihood => {
            "nll, which is linear in them (cross-entropy on a model without its last log-softmax \
             has one)"
        }
        _ => return Ok(()),
    };
    let expected = "a loss that is curved in the outputs";
    Err(MethodError::mismatch("the Gauss-Newton matrix", expected, got))
}

/// The second derivative of the losses' sum at the outputs, times a vector there.
pub(super) fn output_hessian<'b>(
    losses: Tensor<'b>,
    outputs: Tensor<'b>,
    vector: Tensor<'b>,
) -> Tensor<'b> {
    hvp(losses.sum_all(), &[outputs], &[vector])[0]
}

/// The Fisher information of the outputs, times a vector there: in closed form. That of an example
/// with a weight counts so often.
pub(super) fn output_fisher<'b>(
    loss: Loss,
    weights: Option<Tensor<'b>>,
    outputs: Tensor<'b>,
    vector: Tensor<'b>,
) -> Tensor<'b> {
    let shape = outputs.shape();
    let axis = shape.len().saturating_sub(1);
    let share = 1.0 / terms(loss, &shape).max(1) as f64;
    let of_term = match loss {
        Loss::CrossEntropy { .. } => {
            let p = outputs.softmax(axis);
            let weighted = p * vector;
            weighted - p * weighted.sum(&[axis]).expand(axis)
        }
        Loss::NegativeLogLikelihood => outputs.exp() * vector,
        Loss::BinaryCrossEntropy => {
            let p = outputs.logistic();
            p * (1.0 - p) * vector
        }
        Loss::MeanSquaredError => vector * 2.0,
        Loss::HalfSquaredError | Loss::MeanAbsoluteError => vector,
        Loss::Huber { delta } => vector * huber_centre(delta),
    };
    weighted(of_term * share, weights)
}

/// What there is of each example, `[n, ..]`, times a factor for each.
fn weighted<'b>(each: Tensor<'b>, factors: Option<Tensor<'b>>) -> Tensor<'b> {
    match factors {
        Some(factors) => each * factors.broadcast_in(&each.shape(), &[0]),
        None => each,
    }
}

/// A square root `S S^T` of the Fisher information of the outputs, `S` times a vector there.
pub(super) fn fisher_root<'b>(
    loss: Loss,
    weights: Option<Tensor<'b>>,
    outputs: Tensor<'b>,
    vector: Tensor<'b>,
) -> Tensor<'b> {
    let shape = outputs.shape();
    let axis = shape.len().saturating_sub(1);
    let share = 1.0 / terms(loss, &shape).max(1) as f64;
    let of_term = match loss {
        Loss::CrossEntropy { .. } => {
            // (diag r - p r^T)(diag r - r p^T) = diag p - p p^T with r r = p, whose sum is one.
            let p = outputs.softmax(axis);
            let root = p.sqrt();
            root * vector - p * (root * vector).sum(&[axis]).expand(axis)
        }
        Loss::NegativeLogLikelihood => (outputs * 0.5).exp() * vector,
        Loss::BinaryCrossEntropy => {
            let p = outputs.logistic();
            (p * (1.0 - p)).sqrt() * vector
        }
        Loss::MeanSquaredError => vector * 2f64.sqrt(),
        Loss::HalfSquaredError | Loss::MeanAbsoluteError => vector,
        Loss::Huber { delta } => vector * huber_centre(delta).sqrt(),
    };
    weighted(of_term * share.sqrt(), weights.map(Tensor::sqrt))
}

/// A square root of the second derivative of the losses at the outputs, times a vector there.
pub(super) fn hessian_root<'b>(
    loss: Loss,
    (losses, weights): (Tensor<'b>, Option<Tensor<'b>>),
    outputs: Tensor<'b>,
    vector: Tensor<'b>,
) -> Tensor<'b> {
    let Loss::CrossEntropy { .. } = loss else {
        // A diagonal matrix, which a vector of ones brings out.
        let ones = outputs.builder().full(&outputs.ty(), 1.0);
        return output_hessian(losses, outputs, ones).sqrt() * vector;
    };
    fisher_root(loss, weights, outputs, vector)
}

/// The share of the density `exp(-h)` that lies where `h` is a parabola: also the mean of `h'^2`.
fn huber_centre(delta: f64) -> f64 {
    let centre = std::f64::consts::TAU.sqrt() * (2.0 * normal_cdf(delta) - 1.0);
    let tails = 2.0 / delta * (-0.5 * delta * delta).exp();
    centre / (centre + tails)
}

/// The numbers that [`drawn_losses`] turns into targets, for one example: one for each output.
pub(super) fn noise(loss: Loss, stream: &Stream, outputs: usize) -> Vec<f64> {
    // In (0, 1), since a logarithm follows.
    let open = |index: u64| stream.uniform(index).max(f64::MIN_POSITIVE);
    let side = |u: f64| if u < 0.5 { -1.0 } else { 1.0 };
    let one = |j: u64| match loss {
        // The first largest of logits beside Gumbel noise is a draw of their softmax.
        Loss::CrossEntropy { .. } | Loss::NegativeLogLikelihood => -(-open(j).ln()).ln(),
        Loss::BinaryCrossEntropy => open(j),
        Loss::MeanSquaredError => stream.normal(j) * 0.5f64.sqrt(),
        Loss::HalfSquaredError => stream.normal(j),
        Loss::MeanAbsoluteError => side(open(2 * j)) * -open(2 * j + 1).ln(),
        Loss::Huber { delta } => {
            let (which, place) = (open(2 * j), open(2 * j + 1));
            let centre = huber_centre(delta);
            if which < centre {
                let low = normal_cdf(-delta);
                let at = low + place * (1.0 - 2.0 * low);
                return normal_quantile(at).unwrap_or(0.0);
            }
            let half = 0.5 * (1.0 - centre);
            side(if which < centre + half { 0.0 } else { 1.0 }) * (delta - place.ln() / delta)
        }
    };
    (0..outputs as u64).map(one).collect()
}

/// The noise of examples as one array of the outputs' type.
pub(super) fn noise_array(
    loss: Loss,
    examples: &[Stream],
    shape: &[usize],
    float: DType,
) -> Result<Array, MethodError> {
    let each: usize = shape.iter().skip(1).product();
    let values: Vec<f64> = examples.iter().flat_map(|stream| noise(loss, stream, each)).collect();
    Ok(Array::from_slice(shape, &values)?.convert(float))
}

/// The loss of each example against a target drawn from the model's own distribution, which does
/// not move with the outputs; times the root of the number of terms and of the example's weight, so
/// that the mean of the outer product of its gradient is the Fisher information.
///
/// Draws of terms are independent and their gradients have mean zero, so that products of two
/// terms' gradients fall out of the mean.
pub(super) fn drawn_losses<'b>(
    loss: Loss,
    weights: Option<Tensor<'b>>,
    outputs: Tensor<'b>,
    noise: Tensor<'b>,
) -> Tensor<'b> {
    let axis = outputs.rank().saturating_sub(1);
    let held = outputs.stop_gradient();
    let (loss, target) = match loss {
        Loss::CrossEntropy { .. } => (Loss::default(), (held + noise).arg_max(axis)),
        Loss::NegativeLogLikelihood => (loss, (held + noise).arg_max(axis)),
        Loss::BinaryCrossEntropy => (loss, noise.less(held.logistic()).convert(outputs.dtype())),
        Loss::MeanSquaredError
        | Loss::HalfSquaredError
        | Loss::MeanAbsoluteError
        | Loss::Huber { .. } => (loss, held + noise),
    };
    let root = (terms(loss, &outputs.shape()) as f64).sqrt();
    weighted(loss.per_example(outputs, target) * root, weights.map(Tensor::sqrt))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The score of each density, whose mean square is its information.
    #[test]
    fn draws_have_the_information_of_their_density() {
        let n = 40_000;
        for (loss, score, information) in [
            (Loss::MeanSquaredError, (|r: f64| 2.0 * r) as fn(f64) -> f64, 2.0),
            (Loss::HalfSquaredError, |r| r, 1.0),
            (Loss::MeanAbsoluteError, f64::signum, 1.0),
            (Loss::Huber { delta: 0.7 }, |r| r.clamp(-0.7, 0.7), huber_centre(0.7)),
        ] {
            let draws = noise(loss, &Stream::new(3, "noise"), n);
            let mean = draws.iter().sum::<f64>() / n as f64;
            assert!(mean.abs() < 0.04, "{loss}: {mean}");
            let found = draws.iter().map(|&r| score(r).powi(2)).sum::<f64>() / n as f64;
            assert!((found - information).abs() < 0.04, "{loss}: {found} {information}");
        }
        // The Laplace density's mean distance is 1; Huber's share within delta is its centre's.
        let laplace = noise(Loss::MeanAbsoluteError, &Stream::new(3, "noise"), n);
        let distance = laplace.iter().map(|r| r.abs()).sum::<f64>() / n as f64;
        assert!((distance - 1.0).abs() < 0.02, "{distance}");
        let huber = noise(Loss::Huber { delta: 0.7 }, &Stream::new(3, "noise"), n);
        let near = huber.iter().filter(|r| r.abs() < 0.7).count() as f64 / n as f64;
        assert!((near - huber_centre(0.7)).abs() < 0.01, "{near}");
        // A wide parabola leaves the Gaussian.
        assert!((huber_centre(40.0) - 1.0).abs() < 1e-12);
    }
}
