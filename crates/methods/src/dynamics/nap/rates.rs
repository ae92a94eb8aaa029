//! Learning rates in units of what they change.

use crate::MethodError;
use crate::common::vector;

/// How the length of a step goes with the length of the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// In proportion, as that of gradient descent: a layer's gradient falls as its norm grows, so
    /// that its effective rate is `lr / |W|^2`.
    Gradient,
    /// Not at all, as (nearly) that of Adam or of signs: `lr / |W|`.
    Normalized,
}

impl StepKind {
    /// The effective rate of a layer of norm `norm` at rate `lr`: how far a step turns it, up to a
    /// factor that its scale does not change.
    pub fn effective_rate(self, lr: f64, norm: f64) -> f64 {
        lr / self.power(norm)
    }

    fn power(self, norm: f64) -> f64 {
        match self {
            StepKind::Gradient => norm * norm,
            StepKind::Normalized => norm,
        }
    }
}

/// The effective rate of each layer over a run: `rates[t]` and `norms[t][layer]` at the same steps.
///
/// # Errors
/// `Mismatch` for different numbers of steps.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 3
pub fn effective_rates(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    let paired = paired(rates, norms)?;
    let of = |(&lr, norms): (&f64, &Vec<f64>)| {
        norms.iter().map(|&norm| kind.effective_rate(lr, norm)).collect()
    };
    Ok(paired.map(of).collect())
}

/// The rate of each layer at which a projected network takes the steps of one that was not: of the
/// latter's rates and norms, those times `(rho / |W(t)|)^2` for gradient descent (then it is the same
/// function at every step) and `rho / |W(t)|` for normalised steps (then nearly), `rho` being the
/// norm at the first of these steps.
///
/// Layers that are not projected keep their rate.
///
/// # Errors
/// `Mismatch` for no steps, different numbers of them, or of layers.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 3; derived from
/// `grad L(c W) = grad L(W) / c`
pub fn replayed_rates(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    let Some(first) = norms.first() else {
        return Err(MethodError::mismatch("norms of a run", "at least one step", 0));
    };
    let mut replayed = effective_rates(kind, rates, norms)?;
    for rates in &mut replayed {
        if rates.len() != first.len() {
            let expected = format!("{} layers", first.len());
            return Err(MethodError::mismatch("norms of a step", expected, rates.len()));
        }
        rates.iter_mut().zip(first).for_each(|(rate, &rho)| *rate *= kind.power(rho));
    }
    Ok(replayed)
}

/// As [`replayed_rates`], but one rate for all layers, by their joint norm: close to it as long as
/// they grow alike.
///
/// # Errors
/// As [`replayed_rates`].
pub fn replayed_rate(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<Vec<f64>, MethodError> {
    let joint: Vec<Vec<f64>> = norms.iter().map(|of| vec![vector::norm(of)]).collect();
    Ok(replayed_rates(kind, rates, &joint)?.concat())
}

fn paired<'a>(
    rates: &'a [f64],
    norms: &'a [Vec<f64>],
) -> Result<impl Iterator<Item = (&'a f64, &'a Vec<f64>)>, MethodError> {
    if rates.len() != norms.len() {
        let expected = format!("{}, one for each rate", rates.len());
        return Err(MethodError::mismatch("norms of a run", expected, norms.len()));
    }
    Ok(rates.iter().zip(norms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_by_hand() {
        let norms = [vec![1.0, 2.0], vec![2.0, 4.0]];
        let rates = [0.4, 0.2];
        let found = effective_rates(StepKind::Gradient, &rates, &norms).unwrap();
        assert_eq!(found, [[0.4, 0.1], [0.05, 0.0125]]);
        let found = replayed_rates(StepKind::Normalized, &rates, &norms).unwrap();
        assert_eq!(found, [[0.4, 0.4], [0.1, 0.1]]);
        let found = replayed_rate(StepKind::Gradient, &rates, &norms).unwrap();
        assert!((found[0] - 0.4).abs() < 1e-15 && (found[1] - 0.05).abs() < 1e-15);
        assert!(replayed_rate(StepKind::Gradient, &rates[..1], &norms).is_err());
        assert!(replayed_rates(StepKind::Gradient, &[], &[]).is_err());
    }
}
