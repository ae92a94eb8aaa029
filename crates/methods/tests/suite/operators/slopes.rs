//! Third derivatives against differences of products.

use super::setup::{Case, directions};
use crate::common::exact;
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, CurvatureSlope, Eigenpair, LanczosConfig, ParameterBlock, Scope,
    dense, eigenvalue_slopes, lanczos,
};
use thalweg_methods::{Function, Objective};
use thalweg_nn::{Loss, Weights};

fn moved(point: &Weights, by: f64, direction: &[f64]) -> Weights {
    let direction = point.parameters.unflatten(direction).unwrap();
    let parameters = point.parameters.add_scaled(by, &direction).unwrap();
    Weights { parameters, buffers: point.buffers.clone() }
}

#[test]
fn slopes_are_differences_of_products() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let cases = [
        Case::labelled("mlp hidden=5 activation=tanh", &[4], 3, 7),
        Case::tokens("gpt depth=1 width=2 heads=1", 3, 3, 5),
    ];
    for case in &cases {
        let (loss, point) = (Loss::CrossEntropy { smoothing: 0.1 }, &case.point);
        let objective = case.objective(&ctx, loss, 4);
        let n = case.model.parameter_count();
        let [direction, v, ..] = &directions(n)[..] else { panic!() };
        for matrix in [
            CurvatureMatrix::Hessian,
            CurvatureMatrix::GaussNewton,
            CurvatureMatrix::Fisher,
            CurvatureMatrix::EmpiricalFisher,
        ] {
            for parameters in [ParameterBlock::All, ParameterBlock::Role(thalweg_nn::Role::Weight)]
            {
                let scope = Scope { parameters, ..Scope::default() };
                let slope = CurvatureSlope::new(&ctx, &objective, point, matrix, &scope, direction);
                let slope = slope.unwrap();
                let v = &v[..slope.dimension()];
                let at = |by: f64| {
                    let point = moved(point, by, direction);
                    let found = Curvature::new(&ctx, &objective, &point, matrix, &scope).unwrap();
                    found.product(v).unwrap()
                };
                let e = 1e-5;
                let mut difference = at(e);
                vector::add_scaled(&mut difference, -1.0, &at(-e));
                vector::scale(&mut difference, 0.5 / e);
                let size = vector::norm(&difference);
                assert!(size > 1e-3);
                vector::add_scaled(&mut difference, -1.0, &slope.product(v).unwrap());
                let error = vector::norm(&difference) / size;
                assert!(error < 1e-5, "{matrix}, {scope}: {error}");
            }
        }
        // It does not matter which of two vectors is called the direction.
        let of = |direction: &[f64], v: &[f64]| {
            let whole = Scope::default();
            let matrix = CurvatureMatrix::Hessian;
            let slope = CurvatureSlope::new(&ctx, &objective, point, matrix, &whole, direction);
            slope.unwrap().product(v).unwrap()
        };
        let (mut one, other) = (of(direction, v), of(v, direction));
        let size = vector::norm(&one);
        vector::add_scaled(&mut one, -1.0, &other);
        assert!(vector::norm(&one) < 1e-12 * size);
    }
}

#[test]
fn an_analytic_cubic_has_its_coefficients() {
    // x^3 / 6 + 2 x y z - y^2 z.
    let cubic = Function::new(DType::F64, &[("w", &[3])], |_, w| {
        let [x, y, z] = [0, 1, 2].map(|i| w[0].index(0, i));
        x * x.square() / 6.0 + x * y * z * 2.0 - y.square() * z
    });
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let point = cubic.point(&[0.3, -2.0, 0.7]).unwrap();
    let (u, v) = ([1.0, 2.0, -1.0], [0.5, -1.0, 3.0]);
    let (matrix, whole) = (CurvatureMatrix::Hessian, Scope::default());
    let slope = CurvatureSlope::new(&ctx, &cubic, &point, matrix, &whole, &u).unwrap();
    let [[a, b, c], [d, e, f]] = [u, v];
    let expected = [
        a * d + 2.0 * (b * f + c * e),
        2.0 * (a * f + c * d) - 2.0 * (b * f + c * e),
        2.0 * (a * e + b * d) - 2.0 * b * e,
    ];
    for (found, expected) in slope.product(&v).unwrap().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-13, "{found} {expected}");
    }
}

#[test]
fn eigenvalues_move_as_their_slopes_say() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let case = Case::small(20);
    let (objective, point) = (case.objective(&ctx, Loss::default(), 20), &case.point);
    let (matrix, whole) = (CurvatureMatrix::Hessian, Scope::default());
    let direction = &directions(case.model.parameter_count())[0];
    let hessian = Curvature::new(&ctx, &objective, point, matrix, &whole).unwrap();
    let config = LanczosConfig { top: 3, bottom: 1, tolerance: 1e-10, max_products: 300 };
    let found = lanczos(&ctx, &hessian, &config).unwrap();
    let pairs: Vec<Eigenpair> = [found.top, found.bottom].concat();
    let slope = CurvatureSlope::new(&ctx, &objective, point, matrix, &whole, direction).unwrap();
    let slopes = eigenvalue_slopes(&pairs, &slope, 0.0).unwrap();
    let e = 1e-4;
    let at = |by: f64| {
        let point = moved(point, by, direction);
        let hessian = Curvature::new(&ctx, &objective, &point, matrix, &whole).unwrap();
        symmetric_eigen(dense(&ctx, &hessian).unwrap().rows()).values
    };
    let (up, down) = (at(e), at(-e));
    let n = up.len();
    for (place, found) in [n - 1, n - 2, n - 3, 0].into_iter().zip(&slopes) {
        let expected = (up[place] - down[place]) / (2.0 * e);
        assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{found} {expected}");
    }
    // A double eigenvalue splits into those of the slope on its vectors: of x^2 + y^2 + x y z along z.
    let split = Function::new(DType::F64, &[("w", &[3])], |_, w| {
        let [x, y, z] = [0, 1, 2].map(|i| w[0].index(0, i));
        x.square() + y.square() + x * y * z
    });
    let origin = split.point(&[0.0; 3]).unwrap();
    let slope =
        CurvatureSlope::new(&ctx, &split, &origin, matrix, &whole, &[0.0, 0.0, 1.0]).unwrap();
    let pair = |vector: [f64; 3]| Eigenpair { value: 2.0, residual: 0.0, vector: vector.to_vec() };
    let pairs = [pair([1.0, 0.0, 0.0]), pair([0.0, 1.0, 0.0])];
    let slopes = eigenvalue_slopes(&pairs, &slope, 1e-9).unwrap();
    assert!((slopes[0] - 1.0).abs() < 1e-14 && (slopes[1] + 1.0).abs() < 1e-14, "{slopes:?}");
}

#[test]
fn what_has_no_slope_says_so() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let bowl = Function::new(DType::F64, &[("w", &[2])], |_, w| w[0].square().sum_all());
    let point = bowl.point(&[1.0, 2.0]).unwrap();
    let of = |matrix, direction: &[f64]| {
        let objective: &dyn Objective = &bowl;
        let whole = Scope::default();
        let found = CurvatureSlope::new(&ctx, objective, &point, matrix, &whole, direction);
        found.map(drop).unwrap_err().to_string()
    };
    assert_eq!(of(CurvatureMatrix::Hessian, &[1.0]), "a direction: expected 2 elements, got 1");
    let covariance = of(CurvatureMatrix::GradientCovariance, &[1.0, 1.0]);
    assert!(covariance.ends_with("got gradient covariance"), "{covariance}");
}
