//! The normal and Student's distribution, to nearly the last digit.
//!
//! Written out because `statrs` 0.19 was found to be off by 1e-10 for the normal distribution and
//! by more for Student's t in the tails. Elementary functions are those of the `libm` crate, so the
//! bits do not depend on the platform.

use crate::StatsError;
use crate::error::check_open;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Degrees of freedom from which Student's t is transformed to a normal variable: beyond, the
/// rounding error of the continued fraction grows with them and that of the transformation falls.
const NEARLY_NORMAL: f64 = 1e4;

/// The probability that a standard normal variable is at most `x`; NaN of NaN.
///
/// # Example
/// ```
/// assert_eq!(thalweg_stats::normal_cdf(0.0), 0.5);
/// ```
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// The number that a standard normal variable stays below with a probability.
///
/// # Errors
/// A probability outside (0, 1).
/// # Source    start: Abramowitz and Stegun 26.2.23; then Halley's steps
pub fn normal_quantile(probability: f64) -> Result<f64, StatsError> {
    check_open("a probability", probability)?;
    if probability > 0.5 {
        return Ok(-normal_quantile(1.0 - probability)?);
    }
    let r = libm::sqrt(-2.0 * libm::log(probability));
    let numerator = 2.515517 + r * (0.802853 + r * 0.010328);
    let denominator = 1.0 + r * (1.432788 + r * (0.189269 + r * 0.001308));
    let mut x = numerator / denominator - r;
    for _ in 0..3 {
        // Near the middle the difference of the central parts keeps its digits.
        let error = if probability > 0.25 {
            0.5 * libm::erf(x * FRAC_1_SQRT_2) - (probability - 0.5)
        } else {
            normal_cdf(x) - probability
        };
        let step = error / normal_density(x);
        x -= step / (1.0 + 0.5 * x * step);
    }
    Ok(x)
}

fn normal_density(x: f64) -> f64 {
    libm::exp(-0.5 * x * x) / libm::sqrt(2.0 * PI)
}

/// The probability that Student's t with `freedom` degrees of freedom is at most `t`; NaN of NaN.
///
/// # Errors
/// Degrees of freedom that are not positive and finite.
pub fn student_t_cdf(t: f64, freedom: f64) -> Result<f64, StatsError> {
    let student = Student::new(freedom)?;
    Ok(match t {
        t if t < 0.0 => student.tail(-t),
        t => 0.5 + student.central(t),
    })
}

/// The number that Student's t with `freedom` degrees of freedom stays below with a probability.
///
/// # Errors
/// A probability outside (0, 1), or degrees of freedom that are not positive and finite.
pub fn student_t_quantile(probability: f64, freedom: f64) -> Result<f64, StatsError> {
    check_open("a probability", probability)?;
    let student = Student::new(freedom)?;
    // Both differences are exact in the range where they are used.
    Ok(match probability {
        p if p <= 0.25 => -student.solve(p, |t| student.tail(t), -1.0),
        p if p < 0.5 => -student.solve(0.5 - p, |t| student.central(t), 1.0),
        0.5 => 0.0,
        p if p < 0.75 => student.solve(p - 0.5, |t| student.central(t), 1.0),
        p => student.solve(1.0 - p, |t| student.tail(t), -1.0),
    })
}

/// Student's distribution right of 0.
struct Student {
    freedom: f64,
    /// `Gamma(a + 1/2) / Gamma(a)` with `a = freedom / 2`.
    gamma_ratio: f64,
}

impl Student {
    fn new(freedom: f64) -> Result<Student, StatsError> {
        if !(freedom.is_finite() && freedom > 0.0) {
            return Err(StatsError::Range {
                what: "the number of degrees of freedom",
                expected: "a positive finite number".into(),
                got: freedom.to_string(),
            });
        }
        Ok(Student { freedom, gamma_ratio: gamma_ratio(0.5 * freedom) })
    }

    fn density(&self, t: f64) -> f64 {
        let power = -0.5 * (self.freedom + 1.0) * libm::log1p(t * t / self.freedom);
        self.gamma_ratio / libm::sqrt(self.freedom * PI) * libm::exp(power)
    }

    /// The normal variable with nearly the same distribution function.
    ///
    /// # Source    Hill, Algorithm 395: Student's t-distribution, 1970
    fn normal(&self, t: f64) -> f64 {
        let a = self.freedom - 0.5;
        let b = 48.0 * a * a;
        // 40 standard deviations out nothing is left that a double can hold.
        let square = a * libm::log1p(t / self.freedom * t);
        let square = if square > 1600.0 { 1600.0 } else { square };
        let w = libm::sqrt(square);
        let third = 855.0 + square * (240.0 + square * (33.0 + square * 4.0));
        w * (1.0 + (square + 3.0) / b - third / (10.0 * b * (b + 0.8 * square * square + 100.0)))
    }

    /// The probability above `t >= 0`: half of `I_x(freedom / 2, 1/2)`.
    fn tail(&self, t: f64) -> f64 {
        if self.freedom >= NEARLY_NORMAL {
            return normal_cdf(-self.normal(t));
        }
        if self.tail_converges(t) { self.tail_fraction(t) } else { 0.5 - self.central_fraction(t) }
    }

    /// The probability between 0 and `t >= 0`: half of `I_y(1/2, freedom / 2)`.
    fn central(&self, t: f64) -> f64 {
        if self.freedom >= NEARLY_NORMAL {
            return 0.5 * libm::erf(self.normal(t) * FRAC_1_SQRT_2);
        }
        if self.tail_converges(t) { 0.5 - self.tail_fraction(t) } else { self.central_fraction(t) }
    }

    /// Which of the two continued fractions converges fast.
    fn tail_converges(&self, t: f64) -> bool {
        let a = 0.5 * self.freedom;
        self.freedom / (self.freedom + t * t) < (a + 1.0) / (a + 2.5)
    }

    fn tail_fraction(&self, t: f64) -> f64 {
        let a = 0.5 * self.freedom;
        let x = self.freedom / (self.freedom + t * t);
        if x == 0.0 {
            // Beyond this the square overflows: the leading term of the tail.
            let density = self.gamma_ratio / libm::sqrt(self.freedom * PI);
            let power = libm::pow(libm::sqrt(self.freedom) / t, self.freedom);
            return density * power * libm::sqrt(self.freedom) / self.freedom;
        }
        0.5 * self.front(t) / a * beta_fraction(x, a, 0.5)
    }

    fn central_fraction(&self, t: f64) -> f64 {
        let y = t * t / (self.freedom + t * t);
        0.5 * self.front(t) / 0.5 * beta_fraction(y, 0.5, 0.5 * self.freedom)
    }

    /// `x^a (1 - x)^(1/2) / B(a, 1/2)`
    fn front(&self, t: f64) -> f64 {
        let power = libm::exp(-0.5 * self.freedom * libm::log1p(t * t / self.freedom));
        power * (t / libm::sqrt(self.freedom + t * t)) * self.gamma_ratio / libm::sqrt(PI)
    }

    /// The `t > 0` at which a function of one direction is `target`: Newton's steps in the
    /// logarithms, where both ends of either function are straight, held to a bracket.
    fn solve(&self, target: f64, function: impl Fn(f64) -> f64, direction: f64) -> f64 {
        let (mut low, mut high) = (-745.0f64, 709.0f64);
        let mut log_t = 0.0f64;
        for _ in 0..200 {
            let t = libm::exp(log_t);
            let value = function(t);
            let error = libm::log(value / target);
            if error * direction < 0.0 {
                low = log_t
            } else {
                high = log_t
            }
            let slope = direction * self.density(t) * t / value;
            let newton = log_t - error / slope;
            let next = if (low..=high).contains(&newton) { newton } else { 0.5 * (low + high) };
            let done = (next - log_t).abs() <= 2e-16 * next.abs().max(1.0);
            log_t = next;
            if error == 0.0 || done {
                break;
            }
        }
        // The last digits: one step without the logarithm.
        let t = libm::exp(log_t);
        let step = direction * (function(t) - target) / self.density(t);
        if step.is_finite() && step.abs() < 1e-6 * t { t - step } else { t }
    }
}

/// `Gamma(a + 1/2) / Gamma(a)` without the cancellation of two logarithms.
///
/// # Source    its asymptotic series in 1/a, reached by the recurrence in whole steps
fn gamma_ratio(a: f64) -> f64 {
    let (mut a, mut factor) = (a, 1.0);
    while a < 50.0 {
        factor *= a / (a + 0.5);
        a += 1.0;
    }
    let coefficients = [
        1.0,
        -1.0 / 8.0,
        1.0 / 128.0,
        5.0 / 1024.0,
        -21.0 / 32768.0,
        -399.0 / 262144.0,
        869.0 / 4194304.0,
    ];
    let series = coefficients.iter().rev().fold(0.0, |sum, coefficient| sum / a + coefficient);
    factor * libm::sqrt(a) * series
}

/// The continued fraction of the incomplete beta function.
///
/// # Source    Abramowitz and Stegun 26.5.8, evaluated by the method of Lentz and Thompson
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // About sqrt(max(a, b)) steps are taken, which `NEARLY_NORMAL` keeps to hundreds.
    for m in 1..10_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / nonzero(1.0 + coefficient * d);
            c = nonzero(1.0 + coefficient / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 2e-14 * expected.abs(), "{got} {expected}");
    }

    #[test]
    fn closed_forms() {
        close(normal_quantile(0.975).unwrap(), 1.959963984540054);
        for p in [1e-9, 0.001, 0.1, 0.25, 0.3, 0.75, 0.9] {
            // With one degree of freedom Student's t is Cauchy's, with two it is algebraic.
            let cauchy = -1.0 / (PI * p).tan();
            close(student_t_quantile(p, 1.0).unwrap(), cauchy);
            close(student_t_cdf(cauchy, 1.0).unwrap(), p);
            let two = (2.0 * p - 1.0) / (2.0 * p * (1.0 - p)).sqrt();
            close(student_t_quantile(p, 2.0).unwrap(), two);
        }
        assert_eq!(student_t_quantile(0.5, 7.0).unwrap(), 0.0);
        // Gamma(1) / Gamma(1/2) and Gamma(3/2) / Gamma(1).
        close(gamma_ratio(0.5), 1.0 / PI.sqrt());
        close(gamma_ratio(1.0), PI.sqrt() / 2.0);
    }

    #[test]
    fn both_ways_round_over_the_whole_range() {
        for freedom in [0.3, 1.0, 3.0, 17.0, 400.0, 9e6, 1.1e7, 1e12] {
            for p in [1e-300, 1e-30, 1e-5, 0.2, 0.249, 0.251, 0.4999999, 0.6, 0.7501, 0.99999] {
                let t = student_t_quantile(p, freedom).unwrap();
                if t.is_finite() && t.abs() < 1e150 {
                    let back = student_t_cdf(t, freedom).unwrap();
                    assert!((back / p - 1.0).abs() < 1e-11, "{p} {freedom} {t} {back}");
                }
            }
        }
        for t in [f64::INFINITY, 1e200, f64::NEG_INFINITY, -1e200] {
            for freedom in [3.0, 1e3, 1e12] {
                let p = student_t_cdf(t, freedom).unwrap();
                assert_eq!(p, if t > 0.0 { 1.0 } else { 0.0 }, "{t} {freedom}");
            }
        }
        assert!(student_t_cdf(f64::NAN, 3.0).unwrap().is_nan());
        assert!(student_t_cdf(f64::NAN, 1e12).unwrap().is_nan());
    }

    #[test]
    fn where_the_normal_takes_over_nothing_jumps() {
        for t in [-8.0, -2.0, -0.3, 0.5, 3.0] {
            let below = student_t_cdf(t, NEARLY_NORMAL * (1.0 - 1e-12)).unwrap();
            let above = student_t_cdf(t, NEARLY_NORMAL).unwrap();
            assert!((above / below - 1.0).abs() < 1e-11, "{t} {below} {above}");
        }
    }

    #[test]
    fn wrong_requests_are_refused() {
        assert_eq!(
            normal_quantile(1.0).unwrap_err().to_string(),
            "a probability is 1, expected between 0 and 1"
        );
        assert!(normal_quantile(f64::NAN).is_err());
        assert!(normal_cdf(f64::NAN).is_nan());
        for freedom in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(student_t_cdf(0.0, freedom).is_err());
            assert!(student_t_quantile(0.3, freedom).is_err());
        }
    }
}
