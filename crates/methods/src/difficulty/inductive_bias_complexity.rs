//! How many bits of inductive bias a task asks for beyond its training data.

use super::distances::radius;
use super::{DimensionConfig, SeparationConfig, class_separation, intrinsic_dimension};
use crate::{Context, MethodError};
use std::f64::consts::{LN_2, PI};

/// A task in the numbers that its difficulty depends on: classification, or regression with
/// `combinations = 1` and `outputs` targets; in few-shot and reinforcement learning `combinations`
/// counts what is discrete in an input (assignments of examples to places, actions), and `examples`
/// the training tasks or states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneralizationTask {
    /// The error that is aimed at, over the loss's Lipschitz constant: in the units of the outputs.
    pub error: f64,
    /// Training examples `n`.
    pub examples: f64,
    /// Dimension `m` of the manifold of inputs.
    pub dimension: f64,
    /// Radius `R` of the sphere that stands for it: the largest norm of an input.
    pub radius: f64,
    /// Discrete combinations; of classification the number of classes.
    pub combinations: f64,
    /// The smallest distance `delta` between inputs that have to be told apart.
    pub separation: f64,
    /// Outputs `D`; of classification one fewer than classes.
    pub outputs: f64,
    /// The largest output `B`.
    pub bound: f64,
}

/// The difficulty of a task, with what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Complexity {
    /// Bits; infinite beyond what a number holds. Below zero where the data say more than the task
    /// asks for: then the bound says nothing.
    pub bits: f64,
    /// Their binary logarithm, also where `bits` is infinite; none where they are not above zero.
    pub log2_bits: Option<f64>,
    /// Degree `K` of the harmonics that tell inputs `delta` apart.
    pub degree: f64,
    /// Binary logarithm of their number `E`.
    pub log2_functions: f64,
}

impl GeneralizationTask {
    /// The bound on `-log2 P(error on the task <= error | the training data are fitted)` over
    /// functions that are sums of a sphere's harmonics up to the frequency `M = 2 pi R / delta`:
    ///
    /// `(2 D C E - n D) (log2 B + 1/2 log2 D + 1/2 log2 C - log2 error + log2 L + log2 W)`
    ///
    /// with `K = (sqrt((m-1)^2 + 4 M^2) - (m-1)) / 2`, `E = binom(m+K, m) + binom(m+K-1, m)` (of
    /// real numbers, by the Gamma function), `L = K sqrt(D) / R` and `W = sqrt(m/6) (2 pi^((m+1)/2) C
    /// / Gamma((m+1)/2))^(1/m) R n^(-1/m)`.
    ///
    /// # Units    bits
    /// # Errors
    /// A number that is not positive and finite.
    /// # Deviations    the authors round the dimension to a whole number; here it is not
    /// # Source    Boopathy, Liu, Hwang, Ge, Mohammedsaleh, Fiete, Model-agnostic measure of
    /// generalization difficulty, 2023, arXiv 2305.01034, and its official code
    ///
    /// # Example
    /// ```
    /// use thalweg_methods::difficulty::GeneralizationTask;
    /// let mnist = GeneralizationTask {
    ///     error: 0.001,
    ///     examples: 60_000.0,
    ///     dimension: 14.0,
    ///     radius: 18.0,
    ///     combinations: 10.0,
    ///     separation: 2.4,
    ///     outputs: 9.0,
    ///     bound: 1.0,
    /// };
    /// let more = GeneralizationTask { dimension: 15.0, ..mnist };
    /// assert!(more.complexity()?.log2_bits > mnist.complexity()?.log2_bits);
    /// # Ok::<(), thalweg_methods::MethodError>(())
    /// ```
    pub fn complexity(&self) -> Result<Complexity, MethodError> {
        let numbers = [
            ("error", self.error),
            ("number of examples", self.examples),
            ("dimension", self.dimension),
            ("radius", self.radius),
            ("number of combinations", self.combinations),
            ("separation", self.separation),
            ("number of outputs", self.outputs),
            ("bound of the outputs", self.bound),
        ];
        if let Some((what, value)) = numbers.iter().find(|(_, x)| !(*x > 0.0 && x.is_finite())) {
            return Err(MethodError::config(what, "a positive number", value));
        }
        let (m, n, d, c) = (self.dimension, self.examples, self.outputs, self.combinations);
        let frequency = 2.0 * PI * self.radius / self.separation;
        // The positive root, without the difference of near numbers.
        let root = (m - 1.0).hypot(2.0 * frequency);
        let degree = 2.0 * frequency * frequency / (root + (m - 1.0));
        let ln_functions = ln_sum(ln_binomial(m + degree, m), ln_binomial(m + degree - 1.0, m));
        let ln_width = 0.5 * (m / 6.0).ln()
            + (LN_2 + (m + 1.0) / 2.0 * PI.ln() + c.ln() - libm::lgamma((m + 1.0) / 2.0)) / m
            + self.radius.ln()
            - n.ln() / m;
        let ln_slope = degree.ln() + 0.5 * d.ln() - self.radius.ln();
        let each =
            (self.bound.ln() + 0.5 * (d * c).ln() - self.error.ln() + ln_slope + ln_width) / LN_2;
        // `2 D C E - n D`, of which either part may be beyond all numbers.
        let ln_free = LN_2 + d.ln() + c.ln() + ln_functions;
        let taken = (n * d).ln() - ln_free;
        let free = ln_free.exp() * (1.0 - taken.exp());
        let bits = if free == 0.0 || each == 0.0 { 0.0 } else { free * each };
        let log2_bits = (taken < 0.0 && each > 0.0)
            .then(|| (ln_free + (-taken.exp()).ln_1p()) / LN_2 + each.log2());
        Ok(Complexity { bits, log2_bits, degree, log2_functions: ln_functions / LN_2 })
    }
}

/// `ln binom(a, b)` of real numbers.
fn ln_binomial(a: f64, b: f64) -> f64 {
    // Below `b` whole numbers have none; between, the Gamma function has no sign to lose here
    // because `a - b + 1` is at least zero.
    let rest = a - b + 1.0;
    if rest <= 0.0 {
        return f64::NEG_INFINITY;
    }
    libm::lgamma(a + 1.0) - libm::lgamma(b + 1.0) - libm::lgamma(rest)
}

fn ln_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// What [`inductive_bias_complexity`] is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComplexityConfig {
    /// The error that is aimed at, as a share of the outputs.
    pub error: f64,
    /// The dimension of the inputs' manifold; none: estimated.
    pub dimension: Option<f64>,
    /// How it is estimated.
    pub neighbours: DimensionConfig,
    /// How the distance between classes is found.
    pub separation: SeparationConfig,
}

impl Default for ComplexityConfig {
    fn default() -> ComplexityConfig {
        ComplexityConfig {
            error: 0.01,
            dimension: None,
            neighbours: DimensionConfig::default(),
            separation: SeparationConfig::default(),
        }
    }
}

/// The difficulty of learning to classify, from the examples alone, with the task's numbers.
///
/// The number is very large and very sensitive to dimension and separation: it orders tasks.
///
/// # Shapes    x `[example][feature]`, y `[example]` -> `[]`
/// # Units    bits
/// # Errors
/// Those of [`intrinsic_dimension`] and [`class_separation`]; inputs that are all zero.
/// # Source    as [`GeneralizationTask::complexity`]
pub fn inductive_bias_complexity(
    ctx: &Context<'_>,
    x: &[Vec<f64>],
    y: &[i32],
    config: &ComplexityConfig,
) -> Result<(GeneralizationTask, Complexity), MethodError> {
    let radius = radius(x)?;
    let separation = class_separation(ctx, x, y, &config.separation)?.distance;
    let dimension = match config.dimension {
        Some(dimension) => dimension,
        None => intrinsic_dimension(ctx, x, &config.neighbours)?,
    };
    let mut classes = y.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let classes = classes.len() as f64;
    let task = GeneralizationTask {
        error: config.error,
        examples: x.len() as f64,
        dimension,
        radius,
        combinations: classes,
        separation,
        outputs: classes - 1.0,
        bound: 1.0,
    };
    Ok((task, task.complexity()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> GeneralizationTask {
        GeneralizationTask {
            error: 0.01,
            examples: 100.0,
            dimension: 2.0,
            radius: 1.0,
            combinations: 3.0,
            separation: 0.5,
            outputs: 2.0,
            bound: 1.0,
        }
    }

    #[test]
    fn on_a_sphere_the_harmonics_are_counted() {
        for degree in [1.0, 4.0, 30.0] {
            // K (K + 1) = M^2 on a sphere of two dimensions.
            let frequency = f64::sqrt(degree * (degree + 1.0));
            let task = GeneralizationTask { separation: 2.0 * PI / frequency, ..task() };
            let found = task.complexity().unwrap();
            assert!((found.degree - degree).abs() < 1e-12 * degree);
            let expected = f64::log2((degree + 1.0) * (degree + 1.0));
            assert!((found.log2_functions - expected).abs() < 1e-11, "{degree}");
        }
    }

    #[test]
    fn twice_the_examples_change_their_two_terms_alone() {
        let one = task();
        let two = GeneralizationTask { examples: 2.0 * one.examples, ..one };
        let [a, b] = [one, two].map(|task| task.complexity().unwrap());
        assert_eq!((a.degree, a.log2_functions), (b.degree, b.log2_functions));
        let free = 2.0 * 2.0 * 3.0 * a.log2_functions.exp2();
        let each = a.bits / (free - 200.0);
        let expected = (free - 400.0) * (each - 0.5);
        assert!((b.bits - expected).abs() < 1e-9 * expected.abs(), "{} {expected}", b.bits);
        assert!(b.bits < a.bits);
    }

    #[test]
    fn a_circle_by_hand() {
        // M = K = 4, E = 9: 16 ( .. ) bits with n = 2.
        let task = GeneralizationTask {
            error: 0.5,
            examples: 2.0,
            dimension: 1.0,
            combinations: 1.0,
            separation: 2.0 * PI / 4.0,
            outputs: 1.0,
            ..task()
        };
        let found = task.complexity().unwrap();
        let each = (4.0 * 2.0 * PI / (6f64.sqrt() * 2.0 * 0.5)).log2();
        assert!((found.degree - 4.0).abs() < 1e-12);
        assert!((found.bits - 16.0 * each).abs() < 1e-10, "{} {}", found.bits, 16.0 * each);
        assert!((found.log2_bits.unwrap() - found.bits.log2()).abs() < 1e-12);
    }

    #[test]
    fn what_is_given_is_not_estimated() {
        let executor = thalweg_exec::Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let x: Vec<Vec<f64>> = (0..4).map(|i| vec![f64::from(i)]).collect();
        let config = ComplexityConfig {
            dimension: Some(1.0),
            separation: SeparationConfig::Given(0.5),
            ..ComplexityConfig::default()
        };
        let (task, found) = inductive_bias_complexity(&ctx, &x, &[0, 1, 2, 1], &config).unwrap();
        let expected =
            GeneralizationTask { examples: 4.0, dimension: 1.0, radius: 3.0, ..self::task() };
        assert_eq!(task, expected);
        assert_eq!(found, expected.complexity().unwrap());
    }

    #[test]
    fn huge_numbers_keep_their_logarithm_and_wrong_ones_are_refused() {
        let huge = GeneralizationTask { dimension: 700.0, separation: 1e-3, ..task() };
        let found = huge.complexity().unwrap();
        assert!(found.bits.is_infinite() && found.log2_bits.unwrap() > 1024.0);
        let full = GeneralizationTask { examples: 1e9, ..task() };
        assert_eq!(full.complexity().unwrap().log2_bits, None);
        for bad in [
            GeneralizationTask { error: 0.0, ..task() },
            GeneralizationTask { separation: f64::NAN, ..task() },
            GeneralizationTask { radius: -1.0, ..task() },
        ] {
            assert!(bad.complexity().is_err());
        }
    }
}
