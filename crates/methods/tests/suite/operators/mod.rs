//! Products of curvature matrices against matrices that are written out by another route.

mod approximations;
mod class_losses;
mod drawn;
mod explicit;
mod primal;
mod setup;
mod slopes;
mod split;

use crate::common::{exact, model, on_digits, planted, weights};
use explicit::{Explicit, Matrix, oracle_hessian};
use setup::{ANALYTIC, Case, block, directions, is_curved, losses, on_digits_within, same};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Provenance, Stream, Subset};
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, Scaled, symmetric_eigen, vector};
use thalweg_methods::curvature::{
    Coupling, Curvature, CurvatureMatrix, ExampleGroup, KroneckerFactored, LanczosConfig,
    ParameterBlock, Scope, dense, diagonal, lanczos,
};
use thalweg_methods::{BatchNorm, Context, Function, Objective, ObjectiveConfig};
use thalweg_nn::{Loss, Role};

#[test]
fn every_product_is_that_of_the_matrix_written_out() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 7;
    let cases = [
        Case::labelled("mlp hidden=6 activation=tanh", &[5], 3, n),
        Case::labelled("convnet channels=2-3 activation=tanh", &[4, 4, 1], 3, n),
        Case::labelled("vit patch=2 depth=1 width=4 heads=2", &[4, 4, 1], 3, n),
        Case::tokens("gpt depth=1 width=4 heads=2", 3, 4, n),
    ];
    let all: Vec<usize> = (0..n).collect();
    for case in &cases {
        let (model, point) = (&case.model, &case.point);
        let loss = Loss::CrossEntropy { smoothing: 0.1 };
        let whole = case.objective(&ctx, loss, n);
        // Two full batches and one of a single example.
        let streamed = case.objective(&ctx, loss, 3);
        let name = model.architecture().unwrap().to_string();
        assert!(model.parameter_count() <= 2000, "{name}");
        let hessian = oracle_hessian(&whole, point);
        let curvature =
            |matrix| Curvature::new(&ctx, &streamed, point, matrix, &Scope::default()).unwrap();
        same(&curvature(CurvatureMatrix::Hessian), &hessian, &name);
        let explicit = Explicit::new(&whole, point);
        for matrix in ANALYTIC {
            let expected = explicit.matrix(matrix, &all);
            same(&curvature(matrix), &expected, &format!("{matrix} of {name}"));
        }
    }
}

#[test]
fn every_loss_has_the_matrices_of_its_derivatives_at_the_outputs() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let all: Vec<usize> = (0..6).collect();
    let texts = ["mlp hidden=4 activation=tanh", "gpt depth=1 width=2 heads=1"];
    let cases = [Case::labelled(texts[0], &[4], 3, 6), Case::tokens(texts[1], 2, 3, 6)];
    for (text, case) in texts.iter().zip(&cases) {
        let point = &case.point;
        for loss in losses() {
            let whole = case.objective(&ctx, loss, 6);
            let streamed = case.objective(&ctx, loss, 4);
            let explicit = Explicit::new(&whole, point);
            for matrix in ANALYTIC {
                let what = format!("{matrix} of {loss} of {text}");
                let found = Curvature::new(&ctx, &streamed, point, matrix, &Scope::default());
                if matrix == CurvatureMatrix::GaussNewton && !is_curved(loss) {
                    let message = found.err().unwrap().to_string();
                    assert!(message.contains("curved in the outputs, got"), "{message}");
                    continue;
                }
                same(&found.unwrap(), &explicit.matrix(matrix, &all), &what);
            }
        }
    }
}

#[test]
fn blocks_classes_groups_and_examples_are_parts_of_the_matrix() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let n = 9;
    let case = Case::small(n);
    let (model, point) = (&case.model, &case.point);
    let whole = case.objective(&ctx, Loss::default(), n);
    let streamed = case.objective(&ctx, Loss::default(), 4);
    let explicit = Explicit::new(&whole, point);
    let labels: Vec<i32> = explicit.labels.iter().map(|l| l[0]).collect();
    let parameters = model.parameters();
    let names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    let part = names[0].rsplit_once('.').unwrap().0.to_owned();
    let elements = |keep: &dyn Fn(usize) -> bool| -> Vec<usize> {
        let mut offset = 0;
        let mut places = Vec::new();
        for (i, parameter) in parameters.iter().enumerate() {
            places.extend((offset..offset + parameter.count()).filter(|_| keep(i)));
            offset += parameter.count();
        }
        places
    };
    let last = names[names.len() - 1].to_owned();
    let blocks = [
        (ParameterBlock::All, elements(&|_| true)),
        (
            ParameterBlock::Layer(part.clone()),
            elements(&|i| names[i].starts_with(&format!("{part}."))),
        ),
        (ParameterBlock::Named(vec![last.clone()]), elements(&|i| names[i] == last)),
        (ParameterBlock::Role(Role::Bias), elements(&|i| parameters[i].role == Role::Bias)),
    ];
    let of_class: Vec<usize> = (0..n).filter(|&i| labels[i] == 1).collect();
    let groups = [
        (ExampleGroup::All, (0..n).collect()),
        (ExampleGroup::Class(1), of_class),
        (ExampleGroup::At(vec![7, 2, 3, 0, 8]), vec![7, 2, 3, 0, 8]),
        (ExampleGroup::At(vec![5]), vec![5]),
    ];
    for (examples, places) in &groups {
        let hessian = {
            // Of those examples alone.
            let (inputs, _) = planted(n, 3);
            let rows: Vec<Array> = places.iter().map(|&i| inputs.row(i).unwrap()).collect();
            let own: Vec<i32> = places.iter().map(|&i| labels[i]).collect();
            let (inputs, labels) = (Array::stack(&rows).unwrap(), Array::vector(&own));
            let provenance = Provenance::default();
            let data =
                Dataset::classification("some", &inputs, &labels, Some(3), provenance).unwrap();
            let some = Case { data: Subset::all(Arc::new(data)), ..Case::small(n) };
            oracle_hessian(&some.objective(&ctx, Loss::default(), places.len()), point)
        };
        for matrix in [&[CurvatureMatrix::Hessian][..], &ANALYTIC].concat() {
            let expected = match matrix {
                CurvatureMatrix::Hessian => hessian.clone(),
                matrix => explicit.matrix(matrix, places),
            };
            for (parameters, elements) in &blocks {
                let scope = Scope { parameters: parameters.clone(), examples: examples.clone() };
                let found = Curvature::new(&ctx, &streamed, point, matrix, &scope).unwrap();
                let what = format!("{matrix}, {scope}");
                assert_eq!(found.examples(), places.len(), "{what}");
                same(&found, &block(&expected, elements, elements), &what);
                let embedded = found.embedded(&directions(elements.len())[0]);
                assert_eq!(found.restricted(&embedded), directions(elements.len())[0]);
            }
            // Between the first layer and the last parameter.
            let ([_, (first, rows), (second, columns), _], on_both) =
                (&blocks, [&blocks[1].0, &blocks[2].0]);
            let coupling =
                Coupling::new(&ctx, &streamed, point, matrix, on_both, examples).unwrap();
            let between = block(&expected, rows, columns);
            let vectors = directions(columns.len());
            for (v, product) in vectors.iter().zip(coupling.block(&vectors).unwrap()) {
                for (row, element) in between.iter().zip(product) {
                    assert!((vector::dot(row, v) - element).abs() < 1e-9);
                }
            }
            let n = rows.len() + columns.len();
            let entry = |i: usize, j: usize| match (i < rows.len(), j < rows.len()) {
                (true, false) => between[i][j - rows.len()],
                (false, true) => between[j][i - rows.len()],
                _ => 0.0,
            };
            let symmetric: Matrix = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
            same(&coupling, &symmetric, &format!("{matrix} between {first} and {second}"));
            let twice = Coupling::new(&ctx, &streamed, point, matrix, [first; 2], examples);
            assert_eq!(
                twice.map(drop).unwrap_err().to_string(),
                format!(
                    "two groups of parameters: expected none in common, got {} in both",
                    names[0]
                )
            );
        }
    }
}

/// Statistics are those of all examples, so that classes add up to the whole.
#[test]
fn classes_add_up_under_recalibrated_batch_normalisation() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let model = model("convnet channels=2 norm=batch", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let config = ObjectiveConfig {
        batch: 25,
        batch_norm: BatchNorm::Recalibrated,
        ..ObjectiveConfig::default()
    };
    let objective = on_digits(&ctx, &model, Some(60), &config);
    let v = &directions(model.parameter_count())[0];
    let labels = objective.labels().unwrap();
    for matrix in [CurvatureMatrix::Hessian, CurvatureMatrix::Fisher] {
        let of = |examples: ExampleGroup| {
            let scope = Scope { examples, ..Scope::default() };
            let found = Curvature::new(&ctx, &objective, &point, matrix, &scope).unwrap();
            found.product(v).unwrap()
        };
        let whole = of(ExampleGroup::All);
        let mut sum = vec![0.0; whole.len()];
        for class in 0..10 {
            let share = labels.iter().filter(|&&l| l == class).count() as f64 / 60.0;
            vector::add_scaled(&mut sum, share, &of(ExampleGroup::Class(class)));
        }
        vector::add_scaled(&mut sum, -1.0, &whole);
        assert!(vector::norm(&sum) < 1e-9 * vector::norm(&whole), "{matrix}");
    }
    let config = ObjectiveConfig { batch_norm: BatchNorm::Batch, ..config };
    let objective = on_digits(&ctx, &model, Some(60), &config);
    let scope = Scope { examples: ExampleGroup::Class(1), ..Scope::default() };
    let refused = Curvature::new(&ctx, &objective, &point, CurvatureMatrix::Hessian, &scope);
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("frozen or recalibrated"), "{message}");
}

/// An example counts as often as its weight says: the Fisher information is the Gauss-Newton matrix
/// still, and one of weight zero is not there.
#[test]
fn weights_of_examples_are_factors_of_their_information() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let factors = [0.5, 2.0, 0.0, 1.0, 3.0, 0.25];
    let n = factors.len();
    let plain = Case::small(n);
    let (model, point) = (plain.model.clone(), plain.point.clone());
    let (inputs, _) = planted(n, 3);
    let labels: Vec<i32> = (0..n as i32).map(|i| i * i % 3).collect();
    let (labels, terms) = (Array::vector(&labels), Provenance::default());
    let data = Dataset::classification("weighted", &inputs, &labels, Some(3), terms).unwrap();
    let data = data.with_example_weights(&Array::vector(&factors)).unwrap();
    let data = Subset::all(Arc::new(data));
    let weighted = Case { model: model.clone(), data, point: point.clone() };
    let size = model.parameter_count();
    let v = &directions(size)[0];
    for loss in
        [Loss::default(), Loss::MeanSquaredError, Loss::HalfSquaredError, Loss::BinaryCrossEntropy]
    {
        let objective = weighted.objective(&ctx, loss, 4);
        let explicit = Explicit::new(&plain.objective(&ctx, loss, n), &point);
        let mut expected = vec![vec![0.0; size]; size];
        for (example, factor) in factors.iter().enumerate() {
            let one = explicit.matrix(CurvatureMatrix::Fisher, &[example]);
            for (row, other) in expected.iter_mut().zip(&one) {
                vector::add_scaled(row, factor / n as f64, other);
            }
        }
        let whole = Scope::default();
        let mut kfac = Vec::new();
        for matrix in [CurvatureMatrix::GaussNewton, CurvatureMatrix::Fisher] {
            let what = format!("{matrix} of {loss}");
            let found = Curvature::new(&ctx, &objective, &point, matrix, &whole).unwrap();
            same(&found, &expected, &what);
            let own = diagonal(&ctx, &objective, &point, matrix, &whole).unwrap();
            for (i, value) in own.values().iter().enumerate() {
                assert!((value - expected[i][i]).abs() < 1e-9, "diagonal of the {what}");
            }
            let factored = KroneckerFactored::new(&ctx, &objective, &point, matrix, &whole);
            kfac.push(factored.unwrap().product(v).unwrap());
        }
        for (one, other) in kfac[0].iter().zip(&kfac[1]) {
            assert!((one - other).abs() < 1e-9, "K-FAC of {loss}: {one} {other}");
        }
        let drawn = |seed: u64| {
            let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
            let matrix = CurvatureMatrix::MonteCarloFisher { draws: 4 };
            let found = Curvature::new(&ctx, &objective, &point, matrix, &whole).unwrap();
            vector::dot(&found.product(v).unwrap(), v)
        };
        let mean: Vec<f64> = (0..60).map(drawn).collect();
        let mean = thalweg_stats::Estimate::mean(&mean).unwrap();
        let row = |row: &Vec<f64>| vector::dot(row, v);
        let form: f64 = expected.iter().map(row).zip(v).map(|(row, v)| row * v).sum();
        let off = (mean.value - form).abs() / mean.standard_error;
        assert!(off < 4.0, "drawn, {loss}: {mean:?} {form}");
    }
}

/// `v^T F v` over seeds against the mean in closed form, of every loss and of several positions.
#[test]
fn drawn_targets_have_the_fisher_information_as_their_mean() {
    let executor = Executor::new(2);
    let losses = Loss::ALL.into_iter().filter(|loss| *loss != Loss::NegativeLogLikelihood);
    let mut cases: Vec<(Case, Loss)> =
        losses.map(|loss| (Case::labelled("linear bias=false", &[3], 3, 5), loss)).collect();
    cases.push((Case::tokens("gpt depth=1 width=2 heads=1", 3, 3, 5), Loss::default()));
    for (case, loss) in cases {
        let v = &directions(case.model.parameter_count())[0];
        let form = |seed: u64, matrix: CurvatureMatrix| {
            let ctx = Context::new(&executor, seed).with_precision(DType::F64).unwrap();
            let objective = case.objective(&ctx, loss, 3);
            let found = Curvature::new(&ctx, &objective, &case.point, matrix, &Scope::default());
            vector::dot(&found.unwrap().product(v).unwrap(), v)
        };
        let expected = form(0, CurvatureMatrix::Fisher);
        let drawn: Vec<f64> =
            (0..60).map(|s| form(s, CurvatureMatrix::MonteCarloFisher { draws: 4 })).collect();
        let mean = thalweg_stats::Estimate::mean(&drawn).unwrap();
        let distance = (mean.value - expected).abs() / mean.standard_error;
        assert!(distance < 4.0, "{loss}: {mean:?} {expected}");
        assert!(mean.standard_error < 0.15 * expected, "{loss}: {mean:?} {expected}");
    }
}

#[test]
fn adams_effective_curvature_is_a_generalised_problem() {
    let executor = Executor::new(2);
    let ctx = exact(&executor);
    let case = Case::small(20);
    let objective = case.objective(&ctx, Loss::default(), 20);
    let (matrix, scope) = (CurvatureMatrix::Hessian, Scope::default());
    let hessian = Curvature::new(&ctx, &objective, &case.point, matrix, &scope).unwrap();
    let stream = Stream::new(1, "moments");
    let n = hessian.dimension();
    let preconditioner: Vec<f64> = (0..n as u64).map(|i| 0.1 + stream.uniform(i)).collect();
    let effective = Scaled::preconditioned(&hessian, &preconditioner).unwrap();
    let config = LanczosConfig { top: 2, tolerance: 1e-10, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &effective, &config).unwrap();
    for pair in &found.top {
        // H x = l P x.
        let x = effective.unscaled(&pair.vector);
        let mut image = hessian.product(&x).unwrap();
        for (image, (x, p)) in image.iter_mut().zip(x.iter().zip(&preconditioner)) {
            *image -= pair.value * p * x;
        }
        assert!(vector::norm(&image) < 1e-7, "{}", vector::norm(&image));
    }
    let matrix = dense(&ctx, &effective).unwrap();
    let values = symmetric_eigen(matrix.rows()).values;
    assert!((values[n - 1] - found.top[0].value).abs() < 1e-8);
}

#[test]
fn budgets_and_threads_change_no_bit() {
    let products = |threads: usize, memory: usize, matrix: CurvatureMatrix| {
        on_digits_within(threads, memory, |ctx, objective, point| {
            let found = Curvature::new(ctx, objective, point, matrix, &Scope::default()).unwrap();
            (found.members(), found.apply(&directions(found.dimension())).unwrap())
        })
    };
    for matrix in CurvatureMatrix::ALL {
        let whole = products(1, 1 << 30, matrix);
        let other = products(3, 1 << 20, matrix);
        assert!(other.0 < whole.0, "{matrix}: {} directions at once", other.0);
        assert!(whole.1 == other.1, "{matrix}");
    }
}

#[test]
fn what_has_no_such_matrix_says_so() {
    let executor = Executor::new(1);
    let ctx = exact(&executor);
    let bowl = Function::new(DType::F64, &[("w", &[2])], |_, w| w[0].square().sum_all());
    let point = bowl.point(&[1.0, 2.0]).unwrap();
    let of = |matrix| Curvature::new(&ctx, &bowl, &point, matrix, &Scope::default());
    let message = of(CurvatureMatrix::GaussNewton).err().unwrap().to_string();
    assert_eq!(
        message,
        "the Gauss-Newton matrix: expected an objective that is the loss of a model's outputs, got \
         a plain function of weights"
    );
    let message = of(CurvatureMatrix::MonteCarloFisher { draws: 0 }).err().unwrap().to_string();
    assert_eq!(message, "draws of the Monte Carlo Fisher: expected at least 1, got 0");
    // Its one example's gradient is (2, 4).
    let empirical = of(CurvatureMatrix::EmpiricalFisher).unwrap();
    assert_eq!(empirical.product(&[1.0, 1.0]).unwrap(), [12.0, 24.0]);
    assert_eq!(
        of(CurvatureMatrix::GradientCovariance).unwrap().product(&[1.0, 1.0]).unwrap(),
        [0.0, 0.0]
    );
    for matrix in CurvatureMatrix::ALL {
        assert_eq!(matrix.name().parse::<CurvatureMatrix>().unwrap(), matrix);
    }
    let message = "hesian".parse::<CurvatureMatrix>().unwrap_err().to_string();
    assert!(message.starts_with("matrix: expected one of hessian, gauss-newton"), "{message}");
}
