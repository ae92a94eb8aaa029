//! The edge of stability: eigenvalues above which an optimizer's steps diverge on a quadratic.

use crate::instrument_choice::{PRECONDITIONED, SHARPNESS};
use thalweg_train::{Base, Optimizer};

/// What follows the name of a column in that of its threshold.
pub(crate) const THRESHOLD: &str = "_threshold";

/// Whether an instrument reads an eigenvalue above which steps diverge on a quadratic.
pub(super) fn has_threshold(name: &str) -> bool {
    name == SHARPNESS || name == PRECONDITIONED
}

pub(super) fn threshold_column(name: &str) -> Option<String> {
    has_threshold(name).then(|| format!("{name}{THRESHOLD}"))
}

/// The largest eigenvalue with which steps on a quadratic do not diverge, of the Hessian or, for Adam,
/// of the Hessian as its steps meet it.
///
/// Gradient descent: `2 / lr`, with momentum `(2 + 2 beta) / lr`, with Nesterov's
/// `(2 + 2 beta) / (lr (1 + 2 beta))`, less what weight decay adds to every eigenvalue. Adam with its
/// preconditioner held: `(2 + 2 beta1) / (lr (1 - beta1))`, where decoupled weight decay `d` makes
/// `2 / lr - d` of `2 / lr`. None for the other matrix, where steps are clipped or SAM's, for Adam with a
/// decay that is divided like the gradient, or at a rate of zero.
///
/// # Source    Cohen, Kaur, Li, Kolter, Talwalkar, Gradient descent on neural networks typically
/// occurs at the edge of stability, 2021, arXiv 2103.00065, equation 1 and appendix B; Cohen et al.,
/// Adaptive gradient methods at the edge of stability, 2022, arXiv 2207.14484, proposition 1
pub(super) fn threshold(optimizer: &Optimizer, name: &str, lr: f64) -> Option<f64> {
    let decay = optimizer.weight_decay.unwrap_or(0.0);
    let value = match optimizer.base {
        Base::Sgd { momentum, nesterov } if name == SHARPNESS => {
            let beta = momentum.unwrap_or(0.0);
            let slowed = if nesterov { 1.0 + 2.0 * beta } else { 1.0 };
            (2.0 + 2.0 * beta) / (lr * slowed) - decay
        }
        Base::Adam { beta1, decoupled, .. }
            if name == PRECONDITIONED && (decoupled || decay == 0.0) =>
        {
            (1.0 + beta1) / (1.0 - beta1) * (2.0 / lr - decay)
        }
        _ => return None,
    };
    (value.is_finite() && optimizer.rho.is_none() && optimizer.clip.is_none()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest eigenvalue with which an orbit stays bounded, by bisection.
    fn largest_stable(steps: impl Fn(f64, &mut [f64; 2])) -> f64 {
        let stable = |h: f64| {
            let mut at = [1.0, 0.0];
            (0..100_000).all(|_| {
                steps(h, &mut at);
                at[0].abs() <= 1e6
            })
        };
        let (mut low, mut high) = (0.1, 1000.0);
        while high - low > 1e-3 {
            let middle = (low + high) / 2.0;
            if stable(middle) { low = middle } else { high = middle }
        }
        low
    }

    #[test]
    fn thresholds_are_those_of_a_quadratic() {
        let lr = 0.1;
        for (text, beta, nesterov) in [
            ("sgd", 0.0, false),
            ("sgd:momentum=0.5", 0.5, false),
            ("sgd:momentum=0.9", 0.9, false),
            ("sgd:momentum=0.5,nesterov=true", 0.5, true),
            ("sgd:momentum=0.9,nesterov=true", 0.9, true),
        ] {
            // x' = x - lr v', v' = beta v + h x.
            let edge = largest_stable(|h, [x, v]| {
                let g = h * *x;
                *v = beta * *v + g;
                *x -= lr * if nesterov { g + beta * *v } else { *v };
            });
            let found = threshold(&text.parse().unwrap(), SHARPNESS, lr).unwrap();
            assert!((found - edge).abs() < 0.02, "{text}: {found}, {edge}");
        }
        for (text, beta, decay) in [
            ("adam", 0.9, 0.0),
            ("adam:beta1=0", 0.0, 0.0),
            ("adam:beta1=0.5", 0.5, 0.0),
            ("adamw:weight_decay=0.5", 0.9, 0.5),
            ("adamw:weight_decay=2,beta1=0.5", 0.5, 2.0),
        ] {
            // In coordinates in which the preconditioner is one: m' = beta m + (1 - beta) h x,
            // x' = x - lr (m' + decay x).
            let edge = largest_stable(|h, [x, m]| {
                *m = beta * *m + (1.0 - beta) * h * *x;
                *x -= lr * (*m + decay * *x);
            });
            let found = threshold(&text.parse().unwrap(), PRECONDITIONED, lr).unwrap();
            assert!((found - edge).abs() < 0.1, "{text}: {found}, {edge}");
        }
        let of = |text: &str, name: &str, lr: f64| threshold(&text.parse().unwrap(), name, lr);
        assert_eq!(of("sgd:weight_decay=0.5", SHARPNESS, 0.1), Some(19.5));
        let adams = of("adam", PRECONDITIONED, 0.1).unwrap();
        assert!((adams - 380.0).abs() < 1e-9, "38 / lr: {adams}");
        for (text, name) in [
            ("adam", SHARPNESS),
            ("sgd", PRECONDITIONED),
            ("sam", SHARPNESS),
            ("adam:rho=0.1", PRECONDITIONED),
            ("adamw:clip=1", PRECONDITIONED),
            ("adam:weight_decay=0.1", PRECONDITIONED),
        ] {
            assert_eq!(of(text, name, 0.1), None, "{text}");
        }
        assert_eq!(of("sgd", SHARPNESS, 0.0), None);
        assert_eq!(of("adam", PRECONDITIONED, 0.0), None);
    }
}
