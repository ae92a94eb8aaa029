//! The Hessian's two parts against matrices that are written out.

use super::explicit::{Explicit, oracle_hessian};
use super::setup::Case;
use crate::common::exact;
use thalweg_exec::Executor;
use thalweg_methods::common::symmetric_eigen;
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, ResidualCurvature, Scope, dense, gauss_newton_split,
};
use thalweg_nn::Loss;

/// Largest difference of entries, and the largest entry of the second.
fn apart(a: &[Vec<f64>], b: &[Vec<f64>]) -> [f64; 2] {
    assert_eq!(a.len(), b.len());
    let entries = a.iter().flatten().zip(b.iter().flatten());
    entries.fold([0.0, 0.0], |[off, size], (a, b)| [off.max((a - b).abs()), size.max(b.abs())])
}

/// `R` is defined as `H - G`; here it is the sum over outputs of their own second derivatives.
#[test]
fn the_residual_is_the_curvature_of_each_output_times_the_slope_of_the_loss() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 4;
    let cases = [
        (Case::labelled("mlp hidden=3 activation=tanh", &[3], 3, n), Loss::default()),
        (Case::labelled("mlp hidden=3-3 activation=tanh", &[3], 2, n), Loss::HalfSquaredError),
        (Case::tokens("gpt depth=1 width=2 heads=1", 2, 3, 2), Loss::default()),
    ];
    for (case, loss) in &cases {
        let whole = case.objective(&ctx, *loss, n);
        let streamed = case.objective(&ctx, *loss, 3);
        let explicit = Explicit::new(&whole, &case.point);
        let examples: Vec<usize> = (0..explicit.labels.len()).collect();
        let expected = explicit.residual(&whole, &case.point);
        let scope = Scope::default();
        let residual = ResidualCurvature::new(&ctx, &streamed, &case.point, &scope).unwrap();
        let found = dense(&ctx, &residual).unwrap();
        let [off, size] = apart(found.rows(), &expected);
        assert!(off < 1e-10 * size && size > 1e-3, "{loss}: {off:e} of {size}");
        // And so the two parts, none of them a difference, are the Hessian.
        let mut sum = explicit.matrix(CurvatureMatrix::GaussNewton, &examples);
        for (row, other) in sum.iter_mut().zip(&expected) {
            row.iter_mut().zip(other).for_each(|(a, b)| *a += b);
        }
        let [off, size] = apart(&oracle_hessian(&whole, &case.point), &sum);
        assert!(off < 1e-10 * size, "{loss}: {off:e} of {size}");
    }
}

#[test]
fn a_linear_softmax_regression_has_no_residual() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let case = Case::labelled("linear", &[4], 3, 6);
    let objective = case.objective(&ctx, Loss::default(), 6);
    let scope = Scope::default();
    let residual = ResidualCurvature::new(&ctx, &objective, &case.point, &scope).unwrap();
    let zeros = vec![vec![0.0; 15]; 15];
    assert!(apart(dense(&ctx, &residual).unwrap().rows(), &zeros)[0] < 1e-14);
    // Its outputs are linear in the weights one by one too.
    let explicit = Explicit::new(&objective, &case.point);
    assert_eq!(explicit.residual(&objective, &case.point), zeros);
}

#[test]
fn the_rank_of_gauss_newton_is_at_most_that_of_examples_and_free_outputs() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let (n, classes) = (20, 3);
    let case = Case::labelled("mlp hidden=8 activation=tanh", &[5], classes, n);
    let objective = case.objective(&ctx, Loss::default(), n);
    let found = gauss_newton_split(&ctx, &objective, &case.point, classes).unwrap();
    let above = |values: &[f64]| {
        let largest = values.iter().fold(0.0f64, |m, value| m.max(value.abs()));
        values.iter().filter(|value| value.abs() > 1e-12 * largest).count()
    };
    let [parameters, most] = [found.gauss_newton.len(), n * (classes - 1)];
    assert_eq!([parameters, most], [75, 40]);
    // All of the softmax's two free directions of each example are there, and no more of them.
    assert_eq!(above(&found.gauss_newton), most, "{:?}", found.gauss_newton);
    // Half the squared error has three.
    assert!((most + 1..=n * classes).contains(&above(&found.outputs)), "{:?}", found.outputs);
    // The residual is not bound by it.
    assert!(above(&found.hessian) > most);
}

#[test]
fn whole_spectra_are_those_of_the_matrices_written_out() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 7;
    let case = Case::labelled("mlp hidden=4 activation=tanh", &[3], 3, n);
    let streamed = case.objective(&ctx, Loss::default(), 3);
    let top = 4;
    let found = gauss_newton_split(&ctx, &streamed, &case.point, top).unwrap();
    let whole = case.objective(&ctx, Loss::default(), n);
    let all: Vec<usize> = (0..n).collect();
    let explicit = Explicit::new(&whole, &case.point);
    let plain = case.objective(&ctx, Loss::HalfSquaredError, n);
    let hessian = symmetric_eigen(&oracle_hessian(&whole, &case.point));
    let gauss_newton = explicit.matrix(CurvatureMatrix::GaussNewton, &all);
    let gauss_newton = symmetric_eigen(&gauss_newton);
    let residual = symmetric_eigen(&explicit.residual(&whole, &case.point));
    let outputs = Explicit::new(&plain, &case.point).matrix(CurvatureMatrix::GaussNewton, &all);
    for (what, found, expected) in [
        ("H", &found.hessian, &hessian.values),
        ("G", &found.gauss_newton, &gauss_newton.values),
        ("R", &found.residual, &residual.values),
        ("outputs", &found.outputs, &symmetric_eigen(&outputs).values),
    ] {
        assert_eq!(found.len(), expected.len());
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-10, "{what}: {off:e}");
    }
    let tail = hessian.vectors.len() - top..;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut overlap = 0.0;
    for a in &hessian.vectors[tail.clone()] {
        overlap +=
            gauss_newton.vectors[tail.clone()].iter().map(|b| dot(a, b).powi(2)).sum::<f64>();
    }
    overlap /= top as f64;
    assert!((found.overlap - overlap).abs() < 1e-9, "{} {overlap}", found.overlap);
    assert!((0.05..0.999).contains(&overlap), "{overlap}");
    // Where nothing but the Gauss-Newton part is left, the spaces are one.
    let linear = Case::labelled("linear", &[4], 3, n);
    let objective = linear.objective(&ctx, Loss::default(), n);
    let found = gauss_newton_split(&ctx, &objective, &linear.point, 2).unwrap();
    assert!((found.overlap - 1.0).abs() < 1e-9, "{}", found.overlap);
    let matrix = CurvatureMatrix::Hessian;
    let hessian =
        Curvature::new(&ctx, &objective, &linear.point, matrix, &Scope::default()).unwrap();
    let values = symmetric_eigen(dense(&ctx, &hessian).unwrap().rows()).values;
    assert_eq!(found.hessian, values);
}
