//! Curvature against other libraries: products, K-FAC and diagonals by curvlinops, eigenvalues and
//! spectral moments by PyHessian, generalised eigenvalues by LAPACK through SciPy. The fixtures are
//! written by `fixtures/curvature.py` and `fixtures/approximations.py`.

use crate::common::{self, exact, labelled, model};
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_methods::common::{Damped, DenseOperator, LinearOperator, vector};
use thalweg_methods::curvature::{
    Approximation, Curvature, CurvatureMatrix, End, KroneckerFactored, LanczosConfig, LobpcgConfig,
    OperatorChoice, Scope, lanczos, lobpcg,
};
use thalweg_methods::{ModelObjective, ObjectiveConfig};

const FIXTURE: &str = include_str!("../fixtures/curvature.txt");
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

const APPROXIMATIONS: &str = include_str!("../fixtures/approximations.txt");
const OTHER_SEED: u32 = 20263;

fn numbers(words: std::str::Split<'_, char>) -> Vec<f64> {
    words.map(|word| word.parse().unwrap()).collect()
}

/// K-FAC (expand) and diagonals by curvlinops; what PyHessian's quadrature from given signs makes of
/// the first powers of the Hessian. The fixture is written by `fixtures/approximations.py`.
#[test]
fn curvlinops_and_pyhessian_agree_on_approximations_and_moments() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let draw = |name: &str, n: usize| common::drawn(OTHER_SEED, name, n);
    let mut seen = 0;
    for line in APPROXIMATIONS.lines().filter(|line| !line.starts_with("pair")) {
        let mut words = line.split(' ');
        let (kind, loss) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let what = words.next().unwrap();
        let expected = numbers(words);
        let (text, input) = match kind {
            "mlp" => ("mlp hidden=5 activation=tanh", &[4][..]),
            _ => ("convnet channels=2 activation=tanh pool=average", &[4, 4, 1][..]),
        };
        let model = model(text, input, 3);
        let n = model.parameter_count();
        let mut point = thalweg_train::initialize(&model, 0, DType::F64).unwrap();
        let drawn = draw(&format!("{kind} weights"), n);
        point.parameters = point.parameters.unflatten(&drawn).unwrap();
        let size = 10 * input.iter().product::<usize>();
        let inputs = draw(&format!("{kind} inputs"), size);
        let inputs: Vec<f32> = inputs.into_iter().map(|x| x as f32).collect();
        let data = labelled(&Array::from_slice(&[&[10], input].concat(), &inputs).unwrap(), 3);
        let config = ObjectiveConfig { batch: 4, ..ObjectiveConfig::default() };
        let objective = ModelObjective::new(&ctx, &model, loss, &data, None, &config).unwrap();
        let whole = Scope::default();
        let of = |matrix: CurvatureMatrix| {
            Curvature::new(&ctx, &objective, &point, matrix, &whole).unwrap()
        };
        let (found, tolerance) = match what.split_once('.') {
            Some((name, "trace")) => {
                let matrix = name.strip_suffix("-kfac").unwrap().parse().unwrap();
                let kfac = KroneckerFactored::new(&ctx, &objective, &point, matrix, &whole);
                (vec![kfac.unwrap().trace()], 1e-12)
            }
            _ if what == "trace" || what == "moments" => {
                // PyHessian divides vectors by their length plus 1e-6, and ends a trace at the first
                // mean below zero, which its criterion takes for converged.
                let hessian = of(CurvatureMatrix::Hessian);
                let mut found = Vec::new();
                for probe in 0..4 {
                    let signs = draw(&format!("probe {probe}"), n);
                    let z: Vec<f64> =
                        signs.iter().map(|x| if *x < 0.0 { -1.0 } else { 1.0 }).collect();
                    let once = hessian.product(&z).unwrap();
                    let twice = hessian.product(&once).unwrap();
                    let forms = [vector::dot(&z, &once), vector::dot(&once, &once)];
                    match what {
                        "trace" => found.push(forms[0]),
                        _ => found.extend(
                            [forms[0], forms[1], vector::dot(&once, &twice)].map(|f| f / n as f64),
                        ),
                    }
                }
                found.truncate(expected.len());
                (found, 1e-5)
            }
            _ => {
                let choice: OperatorChoice = what.parse().unwrap();
                let operator = choice.operator(&ctx, &objective, &point, &whole).unwrap();
                let along = match choice.approximation {
                    Approximation::Diagonal => vec![1.0; n],
                    _ => draw(&format!("{kind} direction"), n),
                };
                (operator.product(&along).unwrap(), 1e-12)
            }
        };
        assert_eq!(found.len(), expected.len(), "{kind} {loss} {what}");
        for (found, expected) in found.iter().zip(&expected) {
            let error = (found - expected).abs();
            assert!(error < tolerance, "{kind} {loss} {what}: {found} {expected}");
        }
        seen += 1;
    }
    assert_eq!(seen, 20);
}

#[test]
fn lapacks_generalised_eigenvalues_are_found() {
    let line = APPROXIMATIONS.lines().find(|line| line.starts_with("pair")).unwrap();
    let expected = numbers({
        let mut words = line.split(' ');
        words.nth(2);
        words
    });
    let n = expected.len();
    let drawn = |name: &str| -> Vec<Vec<f64>> {
        common::drawn(OTHER_SEED, name, n * n).chunks(n).map(<[f64]>::to_vec).collect()
    };
    let (half, root) = (drawn("a"), drawn("b"));
    let rows = |entry: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f64>> {
        (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
    };
    let operator = DenseOperator::new(rows(&|i, j| half[i][j] + half[j][i])).unwrap();
    let product = |i: usize, j: usize| vector::dot(&root[i], &root[j]);
    let metric = DenseOperator::new(rows(&product)).unwrap();
    let metric = Damped::new(&metric, 1.0).unwrap();
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    for end in [End::Largest, End::Smallest] {
        let config = LobpcgConfig { pairs: 3, guard: 2, end, tolerance: 1e-9, max_products: 400 };
        let found = lobpcg(&ctx, &operator, Some(&metric), None, &config).unwrap();
        assert!(found.converged, "{found:?}");
        for (i, pair) in found.pairs.iter().enumerate() {
            let expected = expected[if end == End::Largest { n - 1 - i } else { i }];
            assert!((pair.value - expected).abs() < 1e-8, "{} {expected}", pair.value);
        }
    }
}
