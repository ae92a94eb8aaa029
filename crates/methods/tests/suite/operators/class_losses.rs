//! Matrices of losses for classes of unequal frequency, of a network whose outputs are curved.

use super::explicit::{Explicit, oracle_hessian};
use super::setup::{Case, same};
use crate::common::exact;
use thalweg_exec::Executor;
use thalweg_methods::common::vector;
use thalweg_methods::curvature::{Curvature, CurvatureMatrix, KroneckerFactored, Scope, diagonal};
use thalweg_methods::{Context, ModelObjective};
use thalweg_nn::ClassLoss;

/// Not those of the examples, as of a part of them.
const COUNTS: [usize; 3] = [5, 2, 1];

/// The objective that a text means, in batches of so many.
fn objective(ctx: &Context<'_>, case: &Case, text: &str, batch: usize) -> ModelObjective {
    let loss: ClassLoss = text.parse().unwrap();
    let mut objective = case.objective(ctx, loss.loss, batch);
    if let Some(adjustment) = loss.adjustment(&COUNTS).unwrap() {
        objective = objective.with_adjustment(adjustment).unwrap();
    }
    if let Some(of) = loss.weights(&COUNTS).unwrap() {
        objective = objective.with_class_weights(&of).unwrap();
    }
    objective
}

#[test]
fn matrices_of_class_losses_are_those_written_out() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 9;
    let case = Case::small(n);
    let size = case.model.parameter_count();
    let whole = Scope::default();
    for (text, bare) in [
        ("cross-entropy gamma=0.5 tau=1", "cross-entropy gamma=0.5 tau=1"),
        ("cross-entropy margin=0.5 scale=3", "cross-entropy margin=0.5 scale=3"),
        ("cross-entropy balanced=0.9", "cross-entropy"),
        ("cross-entropy margin=0.5 balanced=0.9", "cross-entropy margin=0.5"),
    ] {
        let streamed = objective(&ctx, &case, text, 4);
        let curvature =
            |matrix| Curvature::new(&ctx, &streamed, &case.point, matrix, &whole).unwrap();
        let hessian = oracle_hessian(&objective(&ctx, &case, text, n), &case.point);
        same(&curvature(CurvatureMatrix::Hessian), &hessian, &format!("Hessian of {text}"));
        // Outputs as the loss sees them, and each example as often as its class counts.
        let explicit = Explicit::new(&objective(&ctx, &case, bare, n), &case.point);
        let weights = text.parse::<ClassLoss>().unwrap().weights(&COUNTS).unwrap();
        let of_class = |label: i32| weights.as_ref().map_or(1.0, |of| of[label as usize]);
        for matrix in [CurvatureMatrix::GaussNewton, CurvatureMatrix::Fisher] {
            let what = format!("{matrix} of {text}");
            if matrix == CurvatureMatrix::Fisher && text.contains("margin") {
                for matrix in [matrix, CurvatureMatrix::MonteCarloFisher { draws: 1 }] {
                    let of = [
                        Curvature::new(&ctx, &streamed, &case.point, matrix, &whole).err(),
                        diagonal(&ctx, &streamed, &case.point, matrix, &whole).err(),
                        KroneckerFactored::new(&ctx, &streamed, &case.point, matrix, &whole).err(),
                    ];
                    for error in of {
                        let message = error.expect(&what).to_string();
                        let expected = "expected outputs that are a distribution of targets, got \
                                        outputs less a margin of the true class";
                        assert!(message.ends_with(expected), "{message}");
                    }
                }
                continue;
            }
            let mut expected = vec![vec![0.0; size]; size];
            for example in 0..n {
                let factor = of_class(explicit.labels[example][0]) / n as f64;
                let one = explicit.matrix(matrix, &[example]);
                for (row, other) in expected.iter_mut().zip(&one) {
                    vector::add_scaled(row, factor, other);
                }
            }
            same(&curvature(matrix), &expected, &what);
        }
    }
}
