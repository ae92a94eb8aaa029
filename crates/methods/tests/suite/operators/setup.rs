//! What the tests of operators share: small networks on planted data, and comparisons.

use super::explicit::Matrix;
use crate::common::{labelled, model, on_digits, planted, weights};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_data::{Dataset, Provenance, Stream, Subset};
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, vector};
use thalweg_methods::curvature::CurvatureMatrix;
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
use thalweg_nn::{Loss, Model, Weights};

/// A network with its data, and a point that is none of a descent.
pub struct Case {
    pub model: Model,
    pub data: Subset,
    pub point: Weights,
}

impl Case {
    /// On `n` planted examples of the shape of the input, as many classes as outputs.
    pub fn labelled(text: &str, input: &[usize], outputs: usize, n: usize) -> Case {
        let (rows, _) = planted(n, input.iter().product());
        let data = labelled(&rows.reshape(&[&[n], input].concat()).unwrap(), outputs);
        Case::new(model(text, input, outputs), data)
    }

    /// On `n` planted windows of tokens.
    pub fn tokens(text: &str, context: usize, vocabulary: usize, n: usize) -> Case {
        let stream = Stream::new(6, "tokens");
        let draw = |i: usize| stream.below(i as u64, vocabulary as u64) as i32;
        let values: Vec<i32> = (0..n * (context + 1)).map(draw).collect();
        let windows = Array::from_slice(&[n, context + 1], &values).unwrap();
        let data = Dataset::sequences("planted", &windows, vocabulary, Provenance::default());
        Case::new(model(text, &[context], vocabulary), Subset::all(Arc::new(data.unwrap())))
    }

    /// One hidden layer of three features and three classes.
    pub fn small(n: usize) -> Case {
        Case::labelled("mlp hidden=4 activation=tanh", &[3], 3, n)
    }

    fn new(model: Model, data: Subset) -> Case {
        let point = weights(&model, DType::F64);
        Case { model, data, point }
    }

    /// The loss of the network on the data, in batches of so many.
    pub fn objective(&self, ctx: &Context<'_>, loss: Loss, batch: usize) -> ModelObjective {
        let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
        ModelObjective::new(ctx, &self.model, loss, &self.data, None, &config).unwrap()
    }
}

/// What is found of a convolutional network on some of the digits, with so many threads and so much
/// memory.
pub fn on_digits_within<T>(
    threads: usize,
    memory: usize,
    find: impl FnOnce(&Context<'_>, &ModelObjective, &Weights) -> T,
) -> T {
    let executor = Executor::new(threads);
    let ctx = Context::new(&executor, 0).with_memory(memory);
    let model = model("convnet channels=4-4", &[8, 8, 1], 10);
    let config = ObjectiveConfig { batch: 64, ..ObjectiveConfig::default() };
    let objective = on_digits(&ctx, &model, Some(100), &config);
    find(&ctx, &objective, &weights(&model, DType::F32))
}

/// Those that are written out by the derivatives of a loss at the outputs.
pub const ANALYTIC: [CurvatureMatrix; 4] = [
    CurvatureMatrix::GaussNewton,
    CurvatureMatrix::Fisher,
    CurvatureMatrix::EmpiricalFisher,
    CurvatureMatrix::GradientCovariance,
];

/// Every loss, Huber's with the width that is known to [`super::explicit`].
pub fn losses() -> [Loss; 7] {
    Loss::ALL.map(|loss| match loss {
        Loss::Huber { .. } => Loss::Huber { delta: 0.5 },
        loss => loss,
    })
}

/// Whether a loss is curved in the outputs, so that it has a Gauss-Newton matrix.
pub fn is_curved(loss: Loss) -> bool {
    !matches!(loss, Loss::MeanAbsoluteError | Loss::NegativeLogLikelihood)
}

pub fn directions(n: usize) -> Vec<Vec<f64>> {
    let stream = Stream::new(4, "directions");
    (0..3).map(|i| (0..n as u64).map(|j| stream.at(i).normal(j)).collect()).collect()
}

/// Numbers are equal up to rounding.
pub fn close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9 * size, "{what}: {found} {expected}");
    }
}

/// Products equal those of a matrix.
pub fn same(operator: &dyn LinearOperator, matrix: &Matrix, what: &str) {
    let vectors = directions(operator.dimension());
    let found = operator.apply(&vectors).unwrap();
    let size = matrix.iter().flatten().fold(1.0f64, |m, x| m.max(x.abs()));
    for (v, product) in vectors.iter().zip(found) {
        assert_eq!(product.len(), matrix.len(), "{what}");
        for (row, element) in matrix.iter().zip(product) {
            let error = (vector::dot(row, v) - element).abs();
            assert!(error < 1e-9 * size, "{what}: {error}");
        }
    }
}

/// Rows and columns at some places.
pub fn block(matrix: &Matrix, rows: &[usize], columns: &[usize]) -> Matrix {
    rows.iter().map(|&i| columns.iter().map(|&j| matrix[i][j]).collect()).collect()
}

pub fn diagonal_of(matrix: &Matrix) -> Vec<f64> {
    matrix.iter().enumerate().map(|(i, row)| row[i]).collect()
}
