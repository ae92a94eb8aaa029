//! Where a loss curve bends.

use crate::MethodError;
use thalweg_stats::{LeastSquares, least_squares};

/// How [`fit_deceleration`] looks for the break.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecelerationConfig {
    /// The least and the largest step of the break.
    pub within: [f64; 2],
    /// How soft the break is, if it is not to be fitted: the paper begins at 0.3.
    pub softness: Option<f64>,
}

/// A power law that goes over into a slower one.
///
/// `ln L(t) = ln b - c0 ln t - c1 f1 ln(1 + (t / d1)^(1 / f1))`
#[derive(Clone, Debug, PartialEq)]
pub struct Deceleration {
    /// `b`: the first power law at step 1.
    pub b: f64,
    /// `c0`: the first rate.
    pub c0: f64,
    /// `c1`: what the late rate is more; negative where the loss decelerates.
    pub c1: f64,
    /// `d1 = t_d`: the step of the break.
    pub d1: f64,
    /// `f1`: how soft the break is, in logarithms of the step.
    pub f1: f64,
    /// `L_d = b d1^-c0`: the loss at which the two laws meet.
    pub loss: f64,
    /// Standard error of that loss: of `ln b - c0 ln d1` to first order, times the loss.
    pub loss_error: f64,
    /// `r_d = c0 + c1`: the late rate.
    pub late_rate: f64,
    /// Standard errors of `ln b`, `c0`, `c1`, `ln d1` and `ln f1`; zero for what was held.
    pub standard_errors: [f64; 5],
    /// Standard error of the late rate.
    pub late_rate_error: f64,
    /// Whether the break lies at a limit of where it was looked for: then there is none.
    pub at_limit: bool,
    /// The weighted sum of squared residuals of `ln L`.
    pub residual: f64,
    /// Parameters that were fitted.
    pub parameters: usize,
}

impl Deceleration {
    /// The loss at a step.
    pub fn at(&self, step: f64) -> f64 {
        let x = step.ln();
        let u = (x - self.d1.ln()) / self.f1;
        (self.b.ln() - self.c0 * x - self.c1 * self.f1 * softplus(u)).exp()
    }

    /// What the late law alone says of a step, `L_d (t / t_d)^-r_d`.
    pub fn extrapolated(&self, step: f64) -> f64 {
        self.loss * (step / self.d1).powf(-self.late_rate)
    }
}

/// Fits a power law with one smooth break to a loss curve, by least squares in the logarithm of the
/// loss; `weights` default to one.
///
/// For a given break the rest is linear: it is solved on a grid of breaks, and the best goes on by
/// Levenberg and Marquardt's method in all parameters. A break that leaves its limits is held at the
/// nearer one.
///
/// # Errors
/// `Mismatch` for curves of different lengths or fewer points than parameters; `Config` for limits
/// that are none, or a softness that is not positive; what is not positive and finite.
/// # Source    Mircea et al., Training dynamics underlying language model scaling laws: loss
/// deceleration and zero-sum learning, 2025, arXiv 2506.05447, equation 1; broken power laws: Caballero
/// et al. 2022, arXiv 2210.14891
pub fn fit_deceleration(
    steps: &[f64],
    losses: &[f64],
    weights: Option<&[f64]>,
    config: &DecelerationConfig,
) -> Result<Deceleration, MethodError> {
    let curve = Curve::new(steps, losses, weights)?;
    let [low, high] = config.within;
    if !(low > 0.0 && high > low && high.is_finite()) {
        let got = format!("{low} to {high}");
        return Err(MethodError::config("limits of the break", "0 < least < largest", got));
    }
    if config.softness.is_some_and(|f1| !(f1 > 0.0 && f1.is_finite())) {
        return Err(MethodError::config("softness of the break", "a number above 0", "none"));
    }
    let free_softness = config.softness.is_none();
    let parameters = 4 + usize::from(free_softness);
    if curve.x.len() <= parameters {
        let expected = format!("more than {parameters} points");
        return Err(MethodError::mismatch("a loss curve", expected, curve.x.len()));
    }
    let soft: Vec<f64> = match config.softness {
        Some(f1) => vec![f1],
        None => vec![0.05, 0.1, 0.2, 0.4, 0.8],
    };
    const GRID: usize = 60;
    let [from, to] = [low.ln(), high.ln()];
    let breaks = (0..=GRID).map(|k| from + (to - from) * k as f64 / GRID as f64);
    let mut best: Option<(f64, [f64; 5])> = None;
    for d in breaks {
        for &f1 in &soft {
            let Some((residual, linear)) = curve.linear(d, f1) else { continue };
            if best.is_none_or(|(least, _)| residual < least) {
                let [b, c0, c1] = linear;
                best = Some((residual, [b, c0, c1, d, f1.ln()]));
            }
        }
    }
    let Some((_, start)) = best else {
        return Err(MethodError::mismatch("a loss curve", "steps that differ", "one step"));
    };
    let mut found = curve.broken(&start, true, free_softness)?;
    let at = found.parameters[3];
    let at_limit = !(at > from && at < to);
    if at_limit {
        let d = if at >= to { to } else { from };
        let f1 = config.softness.unwrap_or(start[4].exp());
        let linear = curve.linear(d, f1).map_or([start[0], start[1], start[2]], |(_, l)| l);
        let start = [linear[0], linear[1], linear[2], d, f1.ln()];
        found = curve.broken(&start, false, false)?;
        found.parameters.push(d);
    }
    let f1 = match (free_softness && !at_limit, config.softness) {
        (true, _) => found.parameters[4].exp(),
        (false, f1) => f1.unwrap_or(start[4].exp()),
    };
    let [b, c0, c1, d] = [0, 1, 2, 3].map(|k| found.parameters[k]);
    let fitted = found.covariance.len();
    let error = |k: usize| if k < fitted { found.standard_error(k) } else { 0.0 };
    let variance = |i: usize, j: usize| found.covariance[i][j];
    // By how much ln L_d changes with ln b, c0 and, where it is fitted, ln d1.
    let mut slopes = vec![(0, 1.0), (1, -d), (3, -c0)];
    slopes.retain(|(k, _)| *k < fitted);
    let pairs = slopes.iter().flat_map(|&of| slopes.iter().map(move |&other| (of, other)));
    let spread: f64 = pairs.map(|((i, a), (j, b))| a * b * variance(i, j)).sum();
    let loss = (b - c0 * d).exp();
    Ok(Deceleration {
        b: b.exp(),
        c0,
        c1,
        d1: d.exp(),
        f1,
        loss,
        loss_error: loss * spread.sqrt(),
        late_rate: c0 + c1,
        standard_errors: [0, 1, 2, 3, 4].map(error),
        late_rate_error: (variance(1, 1) + variance(2, 2) + 2.0 * variance(1, 2)).sqrt(),
        at_limit,
        residual: found.residual,
        parameters,
    })
}

/// A power law down to a floor: `L = E + a t^-c`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffsetLaw {
    /// `E`.
    pub floor: f64,
    /// `a`.
    pub scale: f64,
    /// `c`.
    pub rate: f64,
    /// The weighted sum of squared residuals of `ln L`.
    pub residual: f64,
    /// Parameters that were fitted.
    pub parameters: usize,
}

/// Fits a power law with a floor, by least squares in the logarithm of the loss, as
/// [`fit_deceleration`] does: what a curve that levels off without a break follows.
///
/// # Errors
/// As [`fit_deceleration`].
pub fn fit_offset_law(
    steps: &[f64],
    losses: &[f64],
    weights: Option<&[f64]>,
) -> Result<OffsetLaw, MethodError> {
    let curve = Curve::new(steps, losses, weights)?;
    if curve.x.len() <= 3 {
        let got = curve.x.len();
        return Err(MethodError::mismatch("a loss curve", "more than 3 points", got));
    }
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let mut best: Option<LeastSquares> = None;
    for share in [1e-3, 0.3, 0.7, 0.95] {
        for rate in [0.05, 0.2, 0.6, 1.5] {
            let (floor, first) = (share * least, losses[0]);
            let scale = (first - floor).max(1e-3 * first).ln() + rate * curve.x[0];
            let found = least_squares(&[floor.ln(), scale, rate], |p| {
                let parts = |x: f64| (p[0].exp(), (p[1] - p[2] * x).exp());
                curve.residuals(|x| {
                    let (floor, power) = parts(x);
                    let sum = floor + power;
                    (sum.ln(), vec![floor / sum, power / sum, -power * x / sum])
                })
            })?;
            if best.as_ref().is_none_or(|best| found.residual < best.residual) {
                best = Some(found);
            }
        }
    }
    let Some(LeastSquares { parameters, residual, .. }) = best else {
        return Err(MethodError::mismatch("a loss curve", "points", "none"));
    };
    let [floor, scale, rate] = [parameters[0].exp(), parameters[1].exp(), parameters[2]];
    Ok(OffsetLaw { floor, scale, rate, residual, parameters: 3 })
}

/// The Bayesian information criterion of a fit to `points` points with errors of one unknown scale:
/// `n ln(residual / n) + k ln n`. Of two fits to the same points the smaller one is the better.
///
/// # Source    Schwarz, Estimating the dimension of a model, 1978
pub fn information_criterion(residual: f64, points: usize, parameters: usize) -> f64 {
    let n = points as f64;
    n * (residual / n).ln() + parameters as f64 * n.ln()
}

/// Logarithms of a loss curve.
struct Curve {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Square roots of the weights.
    roots: Vec<f64>,
}

impl Curve {
    fn new(steps: &[f64], losses: &[f64], weights: Option<&[f64]>) -> Result<Curve, MethodError> {
        let n = steps.len();
        for (what, values) in [("losses", Some(losses)), ("weights", weights)] {
            let Some(values) = values else { continue };
            if values.len() != n {
                let expected = format!("{n}, one for each step");
                return Err(MethodError::mismatch(what, expected, values.len()));
            }
        }
        let all = steps.iter().chain(losses).chain(weights.unwrap_or_default());
        if let Some(bad) = all.into_iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            let what = "a step, loss or weight of a curve";
            return Err(MethodError::mismatch(what, "a finite number above 0", bad));
        }
        let roots = weights.map_or(vec![1.0; n], |w| w.iter().map(|w| w.sqrt()).collect());
        let logs = |values: &[f64]| values.iter().map(|x| x.ln()).collect();
        Ok(Curve { x: logs(steps), y: logs(losses), roots })
    }

    /// Weighted residuals of a law, which gives a point's value and derivatives.
    fn residuals(&self, law: impl Fn(f64) -> (f64, Vec<f64>)) -> (Vec<f64>, Vec<Vec<f64>>) {
        let points = self.x.iter().zip(&self.y).zip(&self.roots);
        points
            .map(|((&x, y), root)| {
                let (value, slopes) = law(x);
                (root * (value - y), slopes.iter().map(|slope| root * slope).collect())
            })
            .unzip()
    }

    /// The best `ln b`, `c0`, `c1` for a break, and their sum of squares.
    fn linear(&self, d: f64, f1: f64) -> Option<(f64, [f64; 3])> {
        let found = least_squares(&[0.0, 0.0, 0.0], |p| {
            self.residuals(|x| {
                let bend = f1 * softplus((x - d) / f1);
                (p[0] - p[1] * x - p[2] * bend, vec![1.0, -x, -bend])
            })
        });
        let found = found.ok()?;
        found.residual.is_finite().then(|| {
            (found.residual, [found.parameters[0], found.parameters[1], found.parameters[2]])
        })
    }

    /// The broken law from a start; break and softness are held if they are not free.
    fn broken(
        &self,
        start: &[f64; 5],
        free_break: bool,
        free_softness: bool,
    ) -> Result<LeastSquares, MethodError> {
        let free = 3 + usize::from(free_break) + usize::from(free_break && free_softness);
        Ok(least_squares(&start[..free], |p| {
            let all: Vec<f64> = p.iter().chain(&start[free..]).copied().collect();
            let [b, c0, c1, d, f] = [0, 1, 2, 3, 4].map(|k| all[k]);
            let f1 = f.exp();
            self.residuals(|x| {
                let u = (x - d) / f1;
                let (bend, share) = (softplus(u), logistic(u));
                let slopes = [1.0, -x, -f1 * bend, c1 * share, -c1 * f1 * (bend - share * u)];
                (b - c0 * x - c1 * f1 * bend, slopes[..free].to_vec())
            })
        })?)
    }
}

fn softplus(u: f64) -> f64 {
    u.max(0.0) + (-u.abs()).exp().ln_1p()
}

fn logistic(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;

    fn steps() -> Vec<f64> {
        (0..80).map(|k| (2.0 + k as f64 * 0.07).exp()).collect()
    }

    fn planted(f1: f64) -> Deceleration {
        Deceleration {
            b: 12.0,
            c0: 0.45,
            c1: -0.38,
            d1: 150.0,
            f1,
            loss: 12.0 * 150f64.powf(-0.45),
            loss_error: 0.0,
            late_rate: 0.07,
            standard_errors: [0.0; 5],
            late_rate_error: 0.0,
            at_limit: false,
            residual: 0.0,
            parameters: 5,
        }
    }

    #[test]
    fn planted_parameters_come_back() {
        for f1 in [0.15, 0.3, 0.6] {
            let law = planted(f1);
            let losses: Vec<f64> = steps().iter().map(|&t| law.at(t)).collect();
            for softness in [None, Some(f1)] {
                let config = DecelerationConfig { within: [20.0, 1500.0], softness };
                let found = fit_deceleration(&steps(), &losses, None, &config).unwrap();
                let pairs = [
                    (found.b, law.b),
                    (found.c0, law.c0),
                    (found.c1, law.c1),
                    (found.d1, law.d1),
                    (found.f1, law.f1),
                    (found.loss, law.loss),
                    (found.late_rate, law.late_rate),
                ];
                for (found, planted) in pairs {
                    assert!((found / planted - 1.0).abs() < 1e-4, "{found} {planted}");
                }
                assert!(!found.at_limit);
                assert_eq!(found.parameters, 4 + usize::from(softness.is_none()));
            }
            // Far beyond the break only the late law is left.
            assert!((law.extrapolated(1e9) / law.at(1e9) - 1.0).abs() < 1e-6);
        }
    }

    /// Losses of a law with normal errors of their logarithms.
    fn noisy(law: &Deceleration, noise: &Stream) -> Vec<f64> {
        let points = steps().into_iter().enumerate();
        points.map(|(k, t)| law.at(t) * (0.01 * noise.normal(k as u64)).exp()).collect()
    }

    #[test]
    fn the_loss_at_the_break_scatters_by_its_error() {
        let (law, noise) = (planted(0.3), Stream::new(11, "losses"));
        let config = DecelerationConfig { within: [20.0, 1500.0], softness: Some(0.3) };
        const N: u64 = 200;
        let (mut losses, mut errors) = (0.0, 0.0);
        for i in 0..N {
            let curve = noisy(&law, &noise.at(i));
            let found = fit_deceleration(&steps(), &curve, None, &config).unwrap();
            assert!(!found.at_limit);
            losses += (found.loss - law.loss).powi(2) / N as f64;
            errors += found.loss_error.powi(2) / N as f64;
        }
        // The standard deviation of 200 draws is known to 5 %.
        let ratio = losses.sqrt() / errors.sqrt();
        assert!((ratio - 1.0).abs() < 0.2, "{ratio}");
    }

    #[test]
    fn the_error_of_the_loss_does_not_depend_on_the_unit_of_steps() {
        let curve = noisy(&planted(0.3), &Stream::new(12, "losses"));
        let at = |unit: f64, within: [f64; 2]| {
            let scaled: Vec<f64> = steps().iter().map(|t| t / unit).collect();
            let config =
                DecelerationConfig { within: within.map(|t| t / unit), softness: Some(0.3) };
            fit_deceleration(&scaled, &curve, None, &config).unwrap()
        };
        let (one, other) = (at(1.0, [20.0, 1500.0]), at(150.0, [20.0, 1500.0]));
        assert!((one.loss_error / other.loss_error - 1.0).abs() < 1e-5, "{one:?} {other:?}");
        // A break that is held at step one leaves the error of ln b alone.
        let held = at(400.0, [400.0, 1500.0]);
        assert!(held.at_limit);
        let alone = held.loss * held.standard_errors[0];
        assert!(alone > 0.0 && (held.loss_error / alone - 1.0).abs() < 1e-9);
        let elsewhere = at(1.0, [400.0, 1500.0]);
        assert!((held.loss_error / elsewhere.loss_error - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_better_law_is_found_by_its_criterion() {
        // A disturbance, because without one both residuals may be rounding.
        let noise = |k: usize| 1.0 + 0.003 * ((k * 7919 % 101) as f64 / 50.0 - 1.0);
        let disturbed = |law: &dyn Fn(f64) -> f64| -> Vec<f64> {
            steps().iter().enumerate().map(|(k, &t)| law(t) * noise(k)).collect()
        };
        let apart = |losses: &[f64]| {
            let config = DecelerationConfig { within: [20.0, 1500.0], softness: Some(0.3) };
            let broken = fit_deceleration(&steps(), losses, None, &config).unwrap();
            let offset = fit_offset_law(&steps(), losses, None).unwrap();
            let n = losses.len();
            information_criterion(offset.residual, n, offset.parameters)
                - information_criterion(broken.residual, n, broken.parameters)
        };
        let law = planted(0.3);
        assert!(apart(&disturbed(&|t| law.at(t))) > 6.0);
        assert!(apart(&disturbed(&|t| 1.2 + 9.0 * t.powf(-0.6))) < -6.0);
    }

    #[test]
    fn an_offset_law_comes_back() {
        let losses: Vec<f64> = steps().iter().map(|&t| 1.2 + 9.0 * t.powf(-0.6)).collect();
        let found = fit_offset_law(&steps(), &losses, None).unwrap();
        assert!((found.floor - 1.2).abs() < 1e-4, "{found:?}");
        assert!((found.scale - 9.0).abs() < 1e-3 && (found.rate - 0.6).abs() < 1e-4);
    }

    #[test]
    fn a_break_beyond_the_limits_is_none() {
        let law = planted(0.3);
        let losses: Vec<f64> = steps().iter().map(|&t| law.at(t)).collect();
        let config = DecelerationConfig { within: [400.0, 1500.0], softness: Some(0.3) };
        let found = fit_deceleration(&steps(), &losses, None, &config).unwrap();
        assert!(found.at_limit && (found.d1 - 400.0).abs() < 1e-9);
        assert_eq!(found.standard_errors[3], 0.0);
    }

    #[test]
    fn curves_are_checked() {
        let config = DecelerationConfig { within: [2.0, 5.0], softness: Some(0.3) };
        let fit = |steps: &[f64], losses: &[f64]| fit_deceleration(steps, losses, None, &config);
        assert!(fit(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0]).is_err());
        assert!(fit(&[0.0; 9], &[1.0; 9]).is_err());
        assert!(fit(&[1.0; 9], &[1.0; 8]).is_err());
        let none = DecelerationConfig { within: [5.0, 2.0], ..config };
        assert!(fit_deceleration(&[1.0; 9], &[1.0; 9], None, &none).is_err());
        let hard = DecelerationConfig { softness: Some(0.0), ..config };
        assert!(fit_deceleration(&[1.0; 9], &[1.0; 9], None, &hard).is_err());
    }
}
