//! What distance alone does along a training run.

use crate::MethodError;
use crate::common::vector;
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_nn::Parameters;

/// A random walk from where a trajectory begins, with steps of the same lengths in directions that
/// are drawn: what distance alone does.
///
/// # Errors
/// Points of different models.
/// # Source    Lyle, Zheng, Nikishin, Avila Pires, Pascanu, Dabney, Understanding plasticity in neural
/// networks, 2023, arXiv 2303.01486, appendix A
pub fn brownian_control(
    trajectory: &[Parameters],
    stream: &Stream,
) -> Result<Vec<Parameters>, MethodError> {
    let mut walk: Vec<Parameters> =
        trajectory.first().map(|first| first.convert(DType::F64)).into_iter().collect();
    for (number, pair) in trajectory.windows(2).enumerate() {
        let [from, to] = [&pair[0], &pair[1]].map(|point| point.convert(DType::F64));
        let length = to.add_scaled(-1.0, &from)?.norm();
        let draws = stream.at(number as u64);
        let n = from.flatten().len();
        let mut step: Vec<f64> = (0..n as u64).map(|i| draws.normal(i)).collect();
        let drawn = vector::norm(&step);
        vector::scale(&mut step, if drawn > 0.0 { length / drawn } else { 0.0 });
        if let Some(here) = walk.last() {
            walk.push(here.add_scaled(1.0, &here.unflatten(&step)?)?);
        }
    }
    Ok(walk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_nn::Architecture;
    use thalweg_train::initialize;

    #[test]
    fn a_random_walk_has_the_same_step_norms() {
        let model = "mlp hidden=8-8".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        let points: Vec<Parameters> =
            (0..4).map(|seed| initialize(&model, seed, DType::F64).unwrap().parameters).collect();
        let walk = brownian_control(&points, &Stream::new(0, "walk")).unwrap();
        assert_eq!((walk.len(), walk[0].flatten()), (4, points[0].flatten()));
        let length = |pair: &[Parameters]| pair[1].add_scaled(-1.0, &pair[0]).unwrap().norm();
        for (walk, trajectory) in walk.windows(2).zip(points.windows(2)) {
            assert!((length(walk) / length(trajectory) - 1.0).abs() < 1e-14);
            assert_ne!(walk[1].flatten(), trajectory[1].flatten());
        }
        assert!(brownian_control(&[], &Stream::new(0, "walk")).unwrap().is_empty());
    }
}
