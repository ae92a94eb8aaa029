//! What products share is kept from the second on, and no bit tells.

use super::setup::{Case, directions};
use crate::common::{model, on_digits, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::LinearOperator;
use thalweg_methods::curvature::{Curvature, CurvatureMatrix, Scope};
use thalweg_methods::{BatchNorm, Context, ObjectiveConfig};
use thalweg_nn::Loss;

#[test]
fn products_after_the_first_have_the_same_bits() {
    let cases = [
        Case::labelled("mlp hidden=5 activation=gelu", &[3], 3, 9),
        Case::labelled("resnet depth=8 width=4", &[8, 8, 1], 3, 9),
        Case::labelled("vit patch=4 depth=2 width=8 heads=2", &[8, 8, 1], 3, 9),
        Case::tokens("gpt depth=2 width=8 heads=2", 5, 4, 9),
    ];
    for case in cases {
        let (point, n) = (case.point.convert(DType::F32), case.model.parameter_count());
        for threads in [1, 3] {
            let executor = Executor::new(threads);
            let ctx = Context::new(&executor, 0);
            // Batches of 4, 4 and 1.
            let objective = case.objective(&ctx, Loss::default(), 4);
            for matrix in CurvatureMatrix::ALL {
                let new =
                    || Curvature::new(&ctx, &objective, &point, matrix, &Scope::default()).unwrap();
                let what = format!("{matrix} of {n} parameters, {threads} threads");
                let vectors = directions(n);
                let operator = new();
                let first = operator.apply(&vectors).unwrap();
                assert_eq!(operator.kept_bytes(), 0, "{what}");
                let second = operator.apply(&vectors).unwrap();
                let kept = operator.kept_bytes();
                assert!(kept > 0, "{what}");
                assert!(first == second, "{what}");
                assert!(first == operator.apply(&vectors).unwrap(), "{what}");
                // One vector alone, by another program, and vectors that were not seen yet.
                let single = operator.product(&vectors[1]).unwrap();
                assert!(single == new().product(&vectors[1]).unwrap(), "{what}");
                let others: Vec<Vec<f64>> =
                    vectors.iter().map(|v| v.iter().map(|x| x * x - 0.5).collect()).collect();
                let expected = new().apply(&others).unwrap();
                assert!(expected == operator.apply(&others).unwrap(), "{what}");
            }
        }
    }
}

#[test]
fn a_short_budget_keeps_less_and_changes_no_bit() {
    let executor = Executor::new(2);
    let model = model("convnet channels=4-4", &[8, 8, 1], 10);
    let vectors = &directions(model.parameter_count())[..1];
    // Nothing where not even one product has room.
    let kept = |memory: usize, batch_norm: BatchNorm| {
        let ctx = Context::new(&executor, 0).with_memory(memory);
        let config = ObjectiveConfig { batch: 20, batch_norm, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(200), &config);
        let point = weights(&model, DType::F32);
        let hessian = CurvatureMatrix::Hessian;
        let found = Curvature::new(&ctx, &objective, &point, hessian, &Scope::default()).ok()?;
        let products: Vec<_> = (0..3).map(|_| found.apply(vectors).unwrap()).collect();
        assert!(products[0] == products[1] && products[0] == products[2], "{batch_norm}");
        Some((found.kept_bytes(), products[0].clone()))
    };
    for batch_norm in BatchNorm::ALL {
        let (all, products) = kept(1 << 30, batch_norm).unwrap();
        let budgets = (1..200).filter_map(|eighth| kept(all / 8 * eighth, batch_norm));
        let mut kinds = [false; 3];
        for (bytes, same) in budgets {
            assert!(bytes <= all && products == same, "{batch_norm}");
            kinds[if bytes == 0 {
                0
            } else if bytes < all {
                1
            } else {
                2
            }] = true;
        }
        assert_eq!(kinds, [true; 3], "{batch_norm}: none, some and all of {all} bytes");
    }
}
