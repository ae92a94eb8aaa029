//! Curvature against other libraries: products by curvlinops, eigenvalues by PyHessian. The fixture
//! is written by `fixtures/curvature.py`.

mod common;

use common::{exact, labelled, model};
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_methods::common::LinearOperator;
use thalweg_methods::curvature::{Curvature, CurvatureMatrix, LanczosConfig, Scope, lanczos};
use thalweg_methods::{ModelObjective, ObjectiveConfig};

const FIXTURE: &str = include_str!("fixtures/curvature.txt");
const SEED: u32 = 20261;

fn draw(name: &str, n: usize) -> Vec<f64> {
    common::drawn(SEED, name, n)
}

#[test]
fn curvlinops_and_pyhessian_agree() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("mlp hidden=5 activation=tanh", &[4], 3);
    let n = model.parameter_count();
    let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
    point.parameters = point.parameters.unflatten(&draw("weights", n)).unwrap();
    let inputs: Vec<f32> = draw("inputs", 40).into_iter().map(|x| x as f32).collect();
    let data = labelled(&Array::from_slice(&[10, 4], &inputs).unwrap(), 3);
    let direction = draw("direction", n);
    let mut seen = 0;
    for line in FIXTURE.lines() {
        let mut words = line.split(' ');
        let (loss, kind) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
        let expected: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
        let config = ObjectiveConfig { batch: 4, ..ObjectiveConfig::default() };
        let objective = ModelObjective::new(&ctx, &model, loss, &data, None, &config).unwrap();
        let of =
            |matrix| Curvature::new(&ctx, &objective, &point, matrix, &Scope::default()).unwrap();
        let (found, tolerance) = match kind {
            "eigenvalues" => {
                // PyHessian's are those of largest absolute value, of vectors divided by their
                // length plus 1e-6.
                let config =
                    LanczosConfig { top: 2, bottom: 1, tolerance: 1e-10, max_products: 300 };
                let pairs = lanczos(&ctx, &of(CurvatureMatrix::Hessian), &config).unwrap();
                assert!(pairs.bottom[0].value.abs() < pairs.top[1].value);
                (pairs.top.iter().map(|pair| pair.value).collect(), 1e-5)
            }
            kind => (of(kind.parse().unwrap()).product(&direction).unwrap(), 1e-12),
        };
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < tolerance, "{loss} {kind}: {found} {expected}");
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}
