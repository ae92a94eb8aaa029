//! The dimension of the manifold that points lie on, by nearest neighbours.

use super::distances::{radius, some, squared};
use crate::{Context, MethodError};

/// How [`intrinsic_dimension`] looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DimensionConfig {
    /// Neighbours of each point; at least 2.
    pub neighbours: usize,
    /// Points whose neighbours are sought, at most: the work is theirs times all points.
    pub points: usize,
    /// Neighbours nearer than this share of the largest norm count as the point itself.
    pub duplicate: f64,
}

impl Default for DimensionConfig {
    fn default() -> DimensionConfig {
        DimensionConfig { neighbours: 5, points: 2000, duplicate: 1e-3 }
    }
}

/// `m = 1 / mean over points and j = 1 .. k-1 of ln(r_k / r_j)`, with `r_j` the distance to the `j`-th
/// neighbour: the maximum-likelihood dimension, its inverse averaged over the points. Low for a
/// manifold that bends within the distance of the neighbours; points from the stream
/// `intrinsic dimension`.
///
/// # Shapes    x `[point][feature]` -> `[]`
/// # Errors
/// Fewer than two points or neighbours; not so many neighbours apart from duplicates; a number that is
/// not finite; neighbours all at one distance.
/// # Source    Levina, Bickel, Maximum likelihood estimation of intrinsic dimension, 2004; the mean of
/// inverses: MacKay, Ghahramani, comments on it, 2005
///
/// # Example
/// ```
/// use thalweg_exec::Executor;
/// use thalweg_methods::Context;
/// use thalweg_methods::difficulty::{DimensionConfig, intrinsic_dimension};
/// let line: Vec<Vec<f64>> = (0..200).map(|i| vec![f64::from(i), 2.0 * f64::from(i)]).collect();
/// let executor = Executor::new(1);
/// let found = intrinsic_dimension(&Context::new(&executor, 0), &line, &DimensionConfig::default())?;
/// assert!(found < 1.5);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn intrinsic_dimension(
    ctx: &Context<'_>,
    x: &[Vec<f64>],
    config: &DimensionConfig,
) -> Result<f64, MethodError> {
    let k = config.neighbours;
    if k < 2 || config.points == 0 {
        let (what, got) =
            ("neighbours and points of the dimension", format!("{k} and {}", config.points));
        return Err(MethodError::config(what, "at least 2 neighbours and 1 point", got));
    }
    let least = (config.duplicate * radius(x)?).powi(2);
    let (mut sum, mut count) = (0.0, 0usize);
    for i in some(x.len(), config.points, &ctx.stream("intrinsic dimension")) {
        ctx.check()?;
        let others = x.iter().enumerate().filter(|(j, _)| *j != i);
        let mut apart: Vec<f64> = others
            .map(|(_, other)| squared(&x[i], other))
            .filter(|distance| *distance > 0.0 && *distance >= least)
            .collect();
        if apart.len() < k {
            let expected = format!("at least {k} that are no duplicates of a point");
            return Err(MethodError::mismatch("neighbours", expected, apart.len()));
        }
        apart.select_nth_unstable_by(k - 1, f64::total_cmp);
        let last = apart[k - 1];
        // Of squares: half the logarithm of the ratio.
        sum += apart[..k - 1].iter().map(|near| 0.5 * (last / near).ln()).sum::<f64>();
        count += k - 1;
    }
    match sum > 0.0 {
        true => Ok(count as f64 / sum),
        false => Err(MethodError::mismatch("neighbours", "distances that differ", "equal ones")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;

    fn dimension(x: &[Vec<f64>]) -> Result<f64, MethodError> {
        let executor = Executor::new(1);
        intrinsic_dimension(&Context::new(&executor, 0), x, &DimensionConfig::default())
    }

    #[test]
    fn a_cube_of_three_dimensions_in_twenty_has_three() {
        let stream = Stream::new(0, "cube");
        // A rotation would change no distance: the cube fills the first three axes.
        let cube: Vec<Vec<f64>> = (0..2000u64)
            .map(|i| (0..20).map(|j| if j < 3 { stream.uniform(3 * i + j) } else { 0.5 }).collect())
            .collect();
        let found = dimension(&cube).unwrap();
        assert!((found - 3.0).abs() < 0.3, "{found}");
    }

    #[test]
    fn three_neighbours_by_hand() {
        // From 0: neighbours at 1 and 4; from 1: 1 and 3; from 4: 3 and 4.
        let x: Vec<Vec<f64>> = [0.0, 1.0, 4.0].iter().map(|&x| vec![x]).collect();
        let executor = Executor::new(1);
        let config = DimensionConfig { neighbours: 2, ..DimensionConfig::default() };
        let found = intrinsic_dimension(&Context::new(&executor, 0), &x, &config).unwrap();
        let expected = 3.0 / (4f64.ln() + 3f64.ln() + (4.0f64 / 3.0).ln());
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }

    #[test]
    fn duplicates_are_no_neighbours_and_too_few_are_refused() {
        let once: Vec<Vec<f64>> = (1..40).map(|i| vec![f64::from(i * i), 1.0]).collect();
        let twice: Vec<Vec<f64>> = once.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
        assert!(dimension(&twice).unwrap().is_finite());
        let same: Vec<Vec<f64>> = std::iter::repeat_n(vec![1.0], 9).collect();
        assert!(dimension(&same).unwrap_err().to_string().contains("at least 5"));
        assert!(dimension(&[]).is_err() && dimension(&[vec![1.0], vec![f64::NAN]]).is_err());
        assert!(dimension(&[vec![1.0], vec![1.0, 2.0]]).is_err());
    }
}
