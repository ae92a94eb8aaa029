//! Fisher matrices of drawn targets, written out with the same draws.

use super::explicit::{Explicit, Matrix};
use super::setup::{Case, same};
use crate::common::exact;
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_methods::common::vector;
use thalweg_methods::curvature::{Curvature, CurvatureMatrix, ExampleGroup, Scope};
use thalweg_nn::Loss;

/// Slopes at the outputs of the loss against a target that the numbers of a stream draw, times the root of
/// the number of densities that the loss is a mean of.
fn slopes(loss: Loss, stream: &Stream, z: &[f64]) -> Vec<f64> {
    let k = z.len();
    let total: f64 = z.iter().map(|z| z.exp()).sum();
    let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
    let uniform = |j: usize| stream.uniform(j as u64);
    let root = (k as f64).sqrt();
    let each = |of: &dyn Fn(usize) -> f64| (0..k).map(of).collect();
    match loss {
        Loss::CrossEntropy { .. } => {
            let seen = |c: usize| z[c] - (-uniform(c).ln()).ln();
            let drawn = (0..k).max_by(|&a, &b| seen(a).total_cmp(&seen(b))).unwrap();
            each(&|c| z[c].exp() / total - f64::from(u8::from(c == drawn)))
        }
        Loss::BinaryCrossEntropy => each(&|c| {
            let p = logistic(z[c]);
            (p - f64::from(u8::from(uniform(c) < p))) / root
        }),
        Loss::MeanSquaredError => each(&|c| -2.0 * 0.5f64.sqrt() * stream.normal(c as u64) / root),
        Loss::HalfSquaredError => each(&|c| -stream.normal(c as u64)),
        Loss::MeanAbsoluteError => each(&|c| {
            let above = uniform(2 * c) >= 0.5;
            (if above { -1.0 } else { 1.0 }) / root
        }),
        other => unreachable!("{other}"),
    }
}

#[test]
fn products_with_drawn_targets_are_those_of_the_matrix_written_out() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let (n, draws) = (7, 3);
    let case = Case::small(n);
    let size = case.model.parameter_count();
    let matrix = CurvatureMatrix::MonteCarloFisher { draws };
    for loss in [
        Loss::default(),
        Loss::BinaryCrossEntropy,
        Loss::MeanSquaredError,
        Loss::HalfSquaredError,
        Loss::MeanAbsoluteError,
    ] {
        let explicit = Explicit::new(&case.objective(&ctx, loss, n), &case.point);
        let streamed = case.objective(&ctx, loss, 4);
        let stream = ctx.stream("curvature/targets");
        for places in [(0..n).collect::<Vec<_>>(), vec![5, 2], vec![6]] {
            let mut expected: Matrix = vec![vec![0.0; size]; size];
            for pass in 0..draws {
                for &place in &places {
                    let own = stream.at(pass as u64).at(place as u64);
                    let slope = explicit.back(place, |_, z| slopes(loss, &own, z));
                    let share = 1.0 / (draws * places.len()) as f64;
                    for (row, factor) in expected.iter_mut().zip(&slope) {
                        vector::add_scaled(row, share * factor, &slope);
                    }
                }
            }
            // Some of the examples have the targets that they have among all.
            let examples = match places.len() == n {
                true => ExampleGroup::All,
                false => ExampleGroup::At(places.clone()),
            };
            let scope = Scope { examples, ..Scope::default() };
            let found = Curvature::new(&ctx, &streamed, &case.point, matrix, &scope).unwrap();
            same(&found, &expected, &format!("{loss} of {places:?}"));
        }
    }
}
