//! The share of the functions that fit the training data which also generalise, by drawing them.

use crate::common::vector;
use crate::{Context, MethodError};
use thalweg_data::Stream;

/// How [`interpolating_volume`] draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VolumeConfig {
    /// Coefficients lie between minus this and this.
    pub bound: f64,
    /// Functions that are drawn.
    pub draws: usize,
    /// Steps of the walk between two draws.
    pub between: usize,
    /// Seed of the walk.
    pub seed: u64,
}

impl Default for VolumeConfig {
    fn default() -> VolumeConfig {
        VolumeConfig { bound: 1.0, draws: 100_000, between: 8, seed: 0 }
    }
}

/// What was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeEstimate {
    /// The mean absolute error of each function that fits, in the order of the draws.
    pub errors: Vec<f64>,
    /// The dimension of the functions that fit.
    pub free: usize,
}

impl VolumeEstimate {
    /// `-log2` of the share of functions whose error is at most a level; infinite if there is none.
    ///
    /// # Units    bits
    pub fn bits(&self, error: f64) -> f64 {
        let good = self.errors.iter().filter(|found| **found <= error).count();
        -(good as f64 / self.errors.len().max(1) as f64).log2()
    }
}

/// Draws functions `f = sum over k of c_k phi_k` uniformly from those with coefficients in a box that
/// agree with a target on the training points, and gives their mean absolute distance from it on the
/// test points.
///
/// The target is one of the functions, so that what fits is not empty. The walk is hit-and-run from
/// the target in the null space of the training points: every step goes to a uniform point of the
/// chord in a random direction, and keeps the uniform distribution. Draws of the stream
/// `interpolating volume`; neighbouring ones are not independent.
///
/// # Shapes    train `[point][function]`, test `[point][function]`, target `[function]`
/// # Errors
/// Points of another number of functions; a target outside the box; no draws; no test points; training
/// points that leave nothing free.
/// # Source    Boopathy et al. 2023, arXiv 2305.01034, the definition; the walk: Smith, Efficient Monte
/// Carlo procedures for generating points uniformly distributed over bounded regions, 1984
pub fn interpolating_volume(
    ctx: &Context<'_>,
    train: &[Vec<f64>],
    test: &[Vec<f64>],
    target: &[f64],
    config: &VolumeConfig,
) -> Result<VolumeEstimate, MethodError> {
    let n = target.len();
    if let Some(row) = train.iter().chain(test).find(|row| row.len() != n) {
        let expected = format!("the values of {n} functions at each point");
        return Err(MethodError::mismatch("points", expected, row.len()));
    }
    if target.iter().any(|c| c.is_nan() || c.abs() > config.bound) {
        let expected = format!("coefficients between -{0} and {0}", config.bound);
        return Err(MethodError::mismatch("the target", expected, "others"));
    }
    if config.draws == 0 || config.between == 0 || test.is_empty() {
        let got = format!("{}, {} and {}", config.draws, config.between, test.len());
        let expected = "at least 1 of each";
        return Err(MethodError::config(
            "draws, steps between them and test points",
            expected,
            got,
        ));
    }
    let fixed = orthonormal(train, &[]);
    let axes: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let basis = orthonormal(&axes, &fixed);
    if basis.is_empty() {
        let expected = format!("fewer than {n} independent points");
        return Err(MethodError::mismatch("training points", expected, train.len()));
    }
    let stream = Stream::new(config.seed, "interpolating volume");
    let along = stream.child("along");
    let width = basis.len() as u64 + 1;
    let mut at = target.to_vec();
    let mut errors = Vec::with_capacity(config.draws);
    let mut step = 0u64;
    for draw in 0..config.draws {
        if draw % 1024 == 0 {
            ctx.check()?;
        }
        for _ in 0..config.between {
            let mut direction = vec![0.0; n];
            for (i, axis) in basis.iter().enumerate() {
                vector::add_scaled(&mut direction, stream.normal(step * width + i as u64), axis);
            }
            let (low, high) = chord(&at, &direction, config.bound);
            let share = along.uniform(step);
            vector::add_scaled(&mut at, low + share * (high - low), &direction);
            // Rounding may lead out of the box by a hair.
            at.iter_mut().for_each(|c| *c = c.clamp(-config.bound, config.bound));
            step += 1;
        }
        let apart: Vec<f64> = at.iter().zip(target).map(|(c, t)| c - t).collect();
        let sum: f64 = test.iter().map(|point| vector::dot(point, &apart).abs()).sum();
        errors.push(sum / test.len() as f64);
    }
    Ok(VolumeEstimate { errors, free: basis.len() })
}

/// Vectors of length one that span what `rows` add to `others`, which are orthonormal.
fn orthonormal(rows: &[Vec<f64>], others: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut all = others.to_vec();
    for row in rows {
        let mut rest = row.clone();
        let mut components = vec![0.0; all.len()];
        vector::orthogonalize(&mut rest, &all, &mut components);
        let length = vector::norm(&rest);
        if length > 1e-9 * vector::norm(row).max(f64::MIN_POSITIVE) {
            vector::scale(&mut rest, 1.0 / length);
            all.push(rest);
        }
    }
    all.split_off(others.len())
}

/// How far a line stays within the box, backward and forward.
fn chord(at: &[f64], direction: &[f64], bound: f64) -> (f64, f64) {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for (c, d) in at.iter().zip(direction) {
        if *d != 0.0 {
            let (one, other) = ((-bound - c) / d, (bound - c) / d);
            low = low.max(one.min(other));
            high = high.min(one.max(other));
        }
    }
    if low.is_finite() && high.is_finite() && low <= high { (low, high) } else { (0.0, 0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_exec::Executor;

    fn volume(
        train: &[Vec<f64>],
        test: &[Vec<f64>],
        target: &[f64],
    ) -> Result<VolumeEstimate, MethodError> {
        let executor = Executor::new(1);
        let config = VolumeConfig { draws: 20_000, ..VolumeConfig::default() };
        interpolating_volume(&Context::new(&executor, 0), train, test, target, &config)
    }

    #[test]
    fn two_coefficients_on_a_line_by_hand() {
        // c_0 + c_1 = 0 leaves c = (t, -t), uniform on [-1, 1]; the error is |t|.
        let found = volume(&[vec![1.0, 1.0]], &[vec![1.0, 0.0]], &[0.0, 0.0]).unwrap();
        assert_eq!(found.free, 1);
        for level in [0.1, 0.5, 0.9] {
            let share = (-found.bits(level)).exp2();
            assert!((share - level).abs() < 0.02, "{share} {level}");
        }
        assert!(found.bits(0.0).is_infinite() && found.bits(1.0) == 0.0);
    }

    #[test]
    fn nothing_fixed_is_the_whole_box() {
        // Of three uniform coefficients the share with |c_2| <= 1/4.
        let found = volume(&[], &[vec![0.0, 0.0, 1.0]], &[0.0; 3]).unwrap();
        assert_eq!(found.free, 3);
        assert!((found.bits(0.25) - 2.0).abs() < 0.1, "{}", found.bits(0.25));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let one = [vec![1.0]];
        assert!(volume(&[], &[], &[0.0]).is_err() && volume(&one, &one, &[0.0]).is_err());
        assert!(volume(&[], &one, &[2.0]).is_err() && volume(&[], &one, &[0.0, 0.0]).is_err());
    }
}
