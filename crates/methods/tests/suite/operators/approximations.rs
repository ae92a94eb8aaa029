//! Diagonals and Kronecker factors against matrices that are written out by another route.

use super::explicit::{Explicit, Matrix};
use super::setup::{
    ANALYTIC, Case, block, close, diagonal_of, directions, is_curved, losses, on_digits_within,
    same,
};
use crate::common::{exact, model, on_digits, planted, valued, weights};
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::common::{Damped, Inverse, LinearOperator, Solvable, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, ExampleGroup, KroneckerFactored, LobpcgConfig, ParameterBlock,
    Scope, dense, diagonal, lobpcg,
};
use thalweg_methods::{BatchNorm, Function, MethodError, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Loss, Model};

#[test]
fn diagonals_are_those_of_the_matrices() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let all: Vec<usize> = (0..6).collect();
    let cases = [
        Case::labelled("mlp hidden=4 activation=tanh", &[4], 3, 6),
        Case::labelled("convnet channels=2-3 activation=tanh", &[4, 4, 1], 3, 6),
        Case::tokens("gpt depth=1 width=2 heads=1", 2, 3, 6),
    ];
    for (at, case) in cases.iter().enumerate() {
        let point = &case.point;
        for loss in losses() {
            // Every loss on one model is enough.
            if at > 0 && loss != Loss::default() {
                continue;
            }
            let whole = case.objective(&ctx, loss, 6);
            let streamed = case.objective(&ctx, loss, 4);
            let explicit = Explicit::new(&whole, point);
            for matrix in ANALYTIC {
                let what = format!("diagonal of the {matrix} of {loss} of model {at}");
                let found = diagonal(&ctx, &streamed, point, matrix, &Scope::default());
                if matrix == CurvatureMatrix::GaussNewton && !is_curved(loss) {
                    assert!(found.is_err(), "{what}");
                    continue;
                }
                let expected = diagonal_of(&explicit.matrix(matrix, &all));
                close(found.unwrap().values(), &expected, &what);
            }
            // The same draws as the products have.
            let drawn = CurvatureMatrix::MonteCarloFisher { draws: 2 };
            let operator = Curvature::new(&ctx, &streamed, point, drawn, &Scope::default());
            let matrix = dense(&ctx, &operator.unwrap()).unwrap();
            let found = diagonal(&ctx, &streamed, point, drawn, &Scope::default()).unwrap();
            close(found.values(), &diagonal_of(&matrix.rows().to_vec()), &format!("{drawn}"));
        }
    }
}

#[test]
fn diagonals_of_parts_are_parts() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let case = Case::small(9);
    let (objective, point) = (case.objective(&ctx, Loss::default(), 4), &case.point);
    let scope = Scope {
        parameters: ParameterBlock::Layer("fc1".into()),
        examples: ExampleGroup::At(vec![7, 2, 3, 0, 8]),
    };
    for matrix in [&ANALYTIC[..], &[CurvatureMatrix::MonteCarloFisher { draws: 1 }]].concat() {
        let operator = Curvature::new(&ctx, &objective, point, matrix, &scope).unwrap();
        let expected = diagonal_of(&dense(&ctx, &operator).unwrap().rows().to_vec());
        let found = diagonal(&ctx, &objective, point, matrix, &scope).unwrap();
        close(found.values(), &expected, &format!("{matrix}, {scope}"));
    }
}

/// The blocks on the diagonal of a matrix that each layer's parameters have, in their order.
fn layer_blocks(model: &Model, matrix: &Matrix) -> Matrix {
    let layer = |name: &str| name.rsplit_once('.').unwrap().0.to_owned();
    let mut layers = Vec::new();
    for p in model.parameters() {
        layers.extend(std::iter::repeat_n(layer(&p.name), p.count()));
    }
    let entry = |i: usize, j: usize| if layers[i] == layers[j] { matrix[i][j] } else { 0.0 };
    let n = matrix.len();
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

#[test]
fn kfac_of_one_example_is_the_block_of_each_layer() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    for text in ["mlp hidden=4-3 activation=tanh", "linear bias=false"] {
        let case = Case::labelled(text, &[3], 3, 7);
        let (objective, point) = (case.objective(&ctx, Loss::default(), 7), &case.point);
        let explicit = Explicit::new(&objective, point);
        for example in [0, 5] {
            let examples = ExampleGroup::At(vec![example]);
            let scope = Scope { examples, ..Scope::default() };
            // x x^T is all that the input has, whatever stands at the output.
            for matrix in [
                CurvatureMatrix::EmpiricalFisher,
                CurvatureMatrix::Fisher,
                CurvatureMatrix::GaussNewton,
            ] {
                let kfac = KroneckerFactored::new(&ctx, &objective, point, matrix, &scope);
                let expected = layer_blocks(&case.model, &explicit.matrix(matrix, &[example]));
                same(&kfac.unwrap(), &expected, &format!("{matrix} of {text}"));
            }
        }
    }
}

/// Where gradients by outputs do not depend on the example: Bernacchia, Lengyel, Hennequin, Exact
/// natural gradient in deep linear networks, 2018.
#[test]
fn kfac_of_a_deep_linear_network_is_exact() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 11;
    let linear = Case::labelled("mlp hidden=4-3 activation=identity", &[3], 2, n);
    let (model, point) = (&linear.model, &linear.point);
    let all: Vec<usize> = (0..n).collect();
    for loss in [Loss::MeanSquaredError, Loss::HalfSquaredError] {
        let whole = linear.objective(&ctx, loss, n);
        let streamed = linear.objective(&ctx, loss, 4);
        let explicit = Explicit::new(&whole, point);
        let matrix = CurvatureMatrix::GaussNewton;
        let kfac = KroneckerFactored::new(&ctx, &streamed, point, matrix, &Scope::default());
        let kfac = kfac.unwrap();
        let expected = layer_blocks(model, &explicit.matrix(matrix, &all));
        same(&kfac, &expected, "a deep linear network");
        // What else is known of it.
        let trace: f64 = diagonal_of(&expected).iter().sum();
        assert!((kfac.trace() - trace).abs() < 1e-9 * trace);
        let values = symmetric_eigen(&expected).values;
        close(&kfac.eigenvalues().unwrap(), &values, "eigenvalues");
        let damping = 0.05;
        let expected: f64 = values.iter().map(|v| (v.max(0.0) + damping).ln()).sum();
        let found = kfac.log_determinant(damping).unwrap();
        assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        for v in directions(kfac.dimension()) {
            let solved = kfac.solve(std::slice::from_ref(&v), damping).unwrap().remove(0);
            let mut back = kfac.product(&solved).unwrap();
            vector::add_scaled(&mut back, damping, &solved);
            close(&back, &v, "a solution");
        }
    }
    // A nonlinear one is none.
    let model = super::model("mlp hidden=4-3 activation=tanh", &[3], 2);
    let bent = Case { model, ..linear };
    let (objective, point) = (bent.objective(&ctx, Loss::MeanSquaredError, n), &bent.point);
    let matrix = CurvatureMatrix::GaussNewton;
    let kfac = KroneckerFactored::new(&ctx, &objective, point, matrix, &Scope::default()).unwrap();
    let explicit = Explicit::new(&objective, point);
    let expected = layer_blocks(&bent.model, &explicit.matrix(matrix, &all));
    let v = &directions(kfac.dimension())[0];
    let row: Vec<f64> = expected.iter().map(|row| vector::dot(row, v)).collect();
    let mut difference = kfac.product(v).unwrap();
    vector::add_scaled(&mut difference, -1.0, &row);
    assert!(vector::norm(&difference) > 1e-3 * vector::norm(&row));
}

/// Generalised pairs of a network's Gauss-Newton matrix against its own approximation, which is the
/// preconditioner too.
#[test]
fn a_matrix_against_its_kfac_is_near_the_identity() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let case = Case::small(20);
    let (objective, point) = (case.objective(&ctx, Loss::default(), 20), &case.point);
    let (matrix, whole) = (CurvatureMatrix::GaussNewton, Scope::default());
    let newton = Curvature::new(&ctx, &objective, point, matrix, &whole).unwrap();
    let kfac = KroneckerFactored::new(&ctx, &objective, point, matrix, &whole).unwrap();
    let metric = Damped::new(&kfac, 0.01).unwrap();
    let inverse = Inverse::new(&kfac, 0.01).unwrap();
    let config = LobpcgConfig { pairs: 3, tolerance: 1e-9, ..LobpcgConfig::default() };
    let found =
        lobpcg(&ctx, &newton, Some(&metric), Some(&inverse as &dyn LinearOperator), &config);
    let found = found.unwrap();
    assert!(found.converged, "{found:?}");
    // `B^-1/2 A B^-1/2` in the coordinates of `B`'s eigenvectors.
    let dense_metric = symmetric_eigen(dense(&ctx, &metric).unwrap().rows());
    let dense_newton = dense(&ctx, &newton).unwrap();
    let scaled = |i: usize| -> Vec<f64> {
        let image = dense_newton.product(&dense_metric.vectors[i]).unwrap();
        let root = |j: usize| (dense_metric.values[i] * dense_metric.values[j]).sqrt();
        let along = |j: usize| vector::dot(&dense_metric.vectors[j], &image) / root(j);
        (0..image.len()).map(along).collect()
    };
    let n = newton.dimension();
    let all = symmetric_eigen(&(0..n).map(scaled).collect::<Vec<_>>()).values;
    for (i, pair) in found.pairs.iter().enumerate() {
        assert!((pair.value - all[n - 1 - i]).abs() < 1e-8, "{} {}", pair.value, all[n - 1 - i]);
    }
    // Far nearer to one than the matrix's own eigenvalues are to each other.
    assert!(all[n - 1] < 10.0, "{}", all[n - 1]);
}

/// A least-squares convolution whose kernel slides over two by two places, by hand: every place is
/// an example of its own.
#[test]
fn kfac_of_a_convolution_counts_positions_as_examples() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let n = 5;
    let text = "convnet channels=2 activation=identity norm=none";
    let case = Case::labelled(text, &[4, 4, 1], 2, n);
    let (model, point) = (&case.model, &case.point);
    let objective = case.objective(&ctx, Loss::HalfSquaredError, n);
    let matrix = CurvatureMatrix::EmpiricalFisher;
    let kfac = KroneckerFactored::new(&ctx, &objective, point, matrix, &Scope::default()).unwrap();
    let first = kfac.factors().next().unwrap();
    let parameter = &model.parameters()[0];
    assert_eq!(first.weight, parameter.name);
    let [height, width, ..] = parameter.shape[..] else { panic!("{:?}", parameter.shape) };
    // The mean outer product of what the kernel sees, with zeros around the image.
    let (_, rows) = planted(n, 16);
    let pixel = |image: &[f64], i: isize, j: isize| match (0..4).contains(&i) && (0..4).contains(&j)
    {
        true => image[(4 * i + j) as usize],
        false => 0.0,
    };
    let bias = first.input.len() > height * width;
    let mut expected = vec![vec![0.0; first.input.len()]; first.input.len()];
    for image in &rows {
        for at in 0..16isize {
            let (i, j) = (at / 4, at % 4);
            let mut seen = Vec::new();
            for u in 0..height as isize {
                for v in 0..width as isize {
                    let (above, left) = (height as isize / 2, width as isize / 2);
                    seen.push(pixel(image, i + u - above, j + v - left));
                }
            }
            seen.extend(bias.then_some(1.0));
            for (row, x) in expected.iter_mut().zip(&seen) {
                vector::add_scaled(row, x / (16.0 * n as f64), &seen);
            }
        }
    }
    for (found, expected) in first.input.iter().zip(&expected) {
        close(found, expected, "inputs of a convolution");
    }
    // The trace of `G` is the mean squared gradient by the layer's outputs, of all places: of the
    // bias, which is added to each, the gradient is their sum.
    assert!(first.output.len() == 2 && first.output[0][0] > 0.0);
    assert!((first.output[0][1] - first.output[1][0]).abs() < 1e-12);
}

/// Norms and embeddings keep their diagonal, and layers everything of their own.
#[test]
fn what_is_no_layer_keeps_its_diagonal() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let case = Case::labelled("vit patch=2 depth=1 width=4 heads=2", &[4, 4, 1], 3, 5);
    let (model, point) = (&case.model, &case.point);
    let objective = case.objective(&ctx, Loss::default(), 3);
    let matrix = CurvatureMatrix::Fisher;
    let kfac = KroneckerFactored::new(&ctx, &objective, point, matrix, &Scope::default()).unwrap();
    let own = diagonal(&ctx, &objective, point, matrix, &Scope::default()).unwrap();
    let layers: Vec<&str> = kfac.factors().map(|factors| factors.weight).collect();
    let matrix = dense(&ctx, &kfac).unwrap();
    let (mut offset, mut others) = (0, 0);
    for parameter in model.parameters() {
        let places: Vec<usize> = (offset..offset + parameter.count()).collect();
        offset += parameter.count();
        let part = parameter.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        if layers.contains(&parameter.name.as_str()) || layers.contains(&&*format!("{part}.weight"))
        {
            continue;
        }
        others += 1;
        let whole =
            block(&matrix.rows().to_vec(), &places, &(0..own.dimension()).collect::<Vec<_>>());
        for (row, &place) in whole.iter().zip(&places) {
            let mut expected = vec![0.0; own.dimension()];
            expected[place] = own.values()[place];
            close(row, &expected, &parameter.name);
        }
    }
    assert!(layers.len() >= 4 && others >= 3, "{layers:?}, {others} others");
}

#[test]
fn budgets_and_threads_change_no_bit_of_approximations() {
    let found = |threads: usize, memory: usize, matrix: CurvatureMatrix| {
        on_digits_within(threads, memory, |ctx, objective, point| {
            let whole = Scope::default();
            let kfac = KroneckerFactored::new(ctx, objective, point, matrix, &whole).unwrap();
            let v = &directions(kfac.dimension())[0];
            let diagonal = diagonal(ctx, objective, point, matrix, &whole).unwrap();
            (kfac.product(v).unwrap(), diagonal.product(v).unwrap())
        })
    };
    for matrix in [CurvatureMatrix::Fisher, CurvatureMatrix::MonteCarloFisher { draws: 2 }] {
        assert!(found(1, 1 << 30, matrix) == found(3, 2 << 20, matrix), "{matrix}");
    }
}

/// How many columns go at once is a matter of memory; in which order they are added up is not.
#[test]
fn no_budget_changes_a_bit_of_kfac() {
    let executor = Executor::new(2);
    let model = model("convnet channels=4-4", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let v = &directions(model.parameter_count())[0];
    let product = |memory: usize| {
        // In single precision the sums of so few terms are exact in any order.
        let ctx = exact(&executor).with_memory(memory);
        let config = ObjectiveConfig { batch: 64, ..ObjectiveConfig::default() };
        let objective = on_digits(&ctx, &model, Some(100), &config);
        let (matrix, whole) = (CurvatureMatrix::Fisher, Scope::default());
        KroneckerFactored::new(&ctx, &objective, &point, matrix, &whole)?.product(v)
    };
    let whole = product(1 << 30).unwrap();
    let mut tried = 0;
    let mut memory = 1 << 24;
    loop {
        match product(memory) {
            Ok(found) => assert!(found == whole, "{memory} bytes"),
            Err(MethodError::Memory { .. }) => break,
            Err(error) => panic!("{memory} bytes: {error}"),
        }
        tried += 1;
        memory -= memory / 4;
    }
    assert!(tried > 5, "{tried} budgets");
}

#[test]
fn what_has_no_such_approximation_says_so() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let net = model("mlp hidden=3 norm=batch", &[3], 1);
    let point = weights(&net, DType::F64);
    let data = valued(&planted(6, 3).0);
    let of = |batch_norm: BatchNorm, matrix: CurvatureMatrix| {
        let config = ObjectiveConfig { batch_norm, ..ObjectiveConfig::default() };
        let loss = Loss::HalfSquaredError;
        let objective = ModelObjective::new(&ctx, &net, loss, &data, None, &config).unwrap();
        let kfac = KroneckerFactored::new(&ctx, &objective, &point, matrix, &Scope::default());
        let own = diagonal(&ctx, &objective, &point, matrix, &Scope::default());
        [kfac.err(), own.err()].map(|error| error.map(|error| error.to_string()))
    };
    assert_eq!(of(BatchNorm::Frozen, CurvatureMatrix::GaussNewton), [None, None]);
    let [kfac, own] = of(BatchNorm::Batch, CurvatureMatrix::GaussNewton);
    assert!(kfac.unwrap().contains("frozen or recalibrated") && own.is_some());
    let [kfac, own] = of(BatchNorm::Frozen, CurvatureMatrix::Hessian);
    assert!(kfac.unwrap().contains("got the Hessian") && own.unwrap().contains("outer products"));
    let [kfac, own] = of(BatchNorm::Frozen, CurvatureMatrix::GradientCovariance);
    assert!(kfac.is_some() && own.is_none());
    let line = Function::new(DType::F64, &[("w", &[2])], |_, w| w[0].sum_all());
    let nowhere = line.point(&[1.0, 2.0]).unwrap();
    let empirical = CurvatureMatrix::EmpiricalFisher;
    let none = KroneckerFactored::new(&ctx, &line, &nowhere, empirical, &Scope::default());
    let message = none.err().unwrap().to_string();
    assert_eq!(
        message,
        "the parameters of K-FAC: expected parameters of a dense or ungrouped convolutional layer \
         among them, got none"
    );
}
