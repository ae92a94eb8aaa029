//! Learning rates in units of what they change.

use crate::MethodError;
use crate::common::vector;
use thalweg_train::part::ScaleByTable;
use thalweg_train::{Schedule, Shape};

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

/// The learning rate and the schedule of [`replayed_rate`], for a run of as many steps: the largest of
/// the rates, and a table of their shares of it.
///
/// # Errors
/// As [`replayed_rate`]; `Config` for rates of which none is positive, or one is negative or not
/// finite.
pub fn replay_elr_schedule(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<(f64, Schedule), MethodError> {
    let replayed = replayed_rate(kind, rates, norms)?;
    if let Some(rate) = replayed.iter().find(|rate| !(rate.is_finite() && **rate >= 0.0)) {
        return Err(MethodError::config("rate to replay", "a number of at least 0", rate));
    }
    let lr = replayed.iter().copied().fold(0.0, f64::max);
    if lr == 0.0 {
        return Err(MethodError::config("rates to replay", "one above 0", "none"));
    }
    let factors = replayed.iter().map(|rate| rate / lr).collect();
    Ok((lr, Schedule { shape: Shape::Table { factors }, warm_up: 0.0 }))
}

/// The factors of [`replayed_rates`] as a part of an optimizer, behind which the projection comes:
/// under the learning rate and the schedule of the run that was not projected, each named layer takes
/// its own rate.
///
/// # Errors
/// As [`replayed_rates`]; `Mismatch` for another number of names than of layers.
pub fn replay_layer_rates(
    kind: StepKind,
    names: &[String],
    norms: &[Vec<f64>],
) -> Result<ScaleByTable, MethodError> {
    let factors = replayed_rates(kind, &vec![1.0; norms.len()], norms)?;
    if let Some(of) = factors.first().filter(|of| of.len() != names.len()) {
        let expected = format!("{} names", of.len());
        return Err(MethodError::mismatch("layers to replay", expected, names.len()));
    }
    let layer = |i: usize| factors.iter().filter_map(|of| of.get(i).copied()).collect();
    let each = names.iter().enumerate().map(|(i, name)| (name.clone(), layer(i)));
    Ok(ScaleByTable { factors: each.collect() })
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

    #[test]
    fn schedules_by_hand() {
        let (norms, kind) = ([vec![3.0, 4.0], vec![6.0, 8.0]], StepKind::Normalized);
        let (lr, schedule) = replay_elr_schedule(kind, &[0.2, 0.8], &norms).unwrap();
        assert_eq!((lr, schedule.to_string().as_str()), (0.4, "table:factors=0.5/1"));
        let names = ["a".to_owned(), "b".to_owned()];
        let norms = [vec![1.0, 2.0], vec![2.0, 2.0]];
        let part = replay_layer_rates(kind, &names, &norms).unwrap();
        assert_eq!(part.factors[0], ("a".to_owned(), vec![1.0, 0.5]));
        assert_eq!(part.factors[1].1, [1.0, 1.0]);
        assert!(replay_layer_rates(kind, &names[..1], &norms).is_err());
        for rates in [[0.0, 0.0], [-1.0, 1.0], [f64::NAN, 1.0]] {
            assert!(replay_elr_schedule(kind, &rates, &norms).is_err(), "{rates:?}");
        }
    }
}
