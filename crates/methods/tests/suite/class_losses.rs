//! Losses for classes of unequal frequency, as objectives.

use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_exec::Executor;
use thalweg_methods::common::DenseOperator;
use thalweg_methods::curvature::{Curvature, CurvatureMatrix, Scope, dense};
use thalweg_methods::{Context, ModelObjective, ObjectiveConfig, evaluate};
use thalweg_nn::{Architecture, ClassLoss, Weights};

const LABELS: [i32; 8] = [0, 0, 0, 0, 0, 1, 1, 2];
const COUNTS: [usize; 3] = [5, 2, 1];

fn plain(ctx: &Context<'_>, loss: &ClassLoss) -> (ModelObjective, Weights) {
    let model = "linear".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
    let stream = Stream::new(7, "class losses");
    let inputs: Vec<f64> = (0..32).map(|i| stream.normal(i)).collect();
    let inputs = vec![Array::from_slice(&[8, 4], &inputs).unwrap()];
    let config = ObjectiveConfig { batch: 3, ..ObjectiveConfig::default() };
    let targets = Array::vector(&LABELS);
    let loss = loss.loss;
    let objective =
        ModelObjective::from_arrays(ctx, &model, loss, inputs, targets, true, &config).unwrap();
    (objective, thalweg_train::initialize(&model, 1, DType::F64).unwrap())
}

/// The objective that a text means, and a point.
fn objective(ctx: &Context<'_>, text: &str) -> (ModelObjective, Weights) {
    let loss: ClassLoss = text.parse().unwrap();
    let (mut objective, weights) = plain(ctx, &loss);
    if let Some(adjustment) = loss.adjustment(&COUNTS).unwrap() {
        objective = objective.with_adjustment(adjustment).unwrap();
    }
    if let Some(of) = loss.weights(&COUNTS).unwrap() {
        objective = objective.with_class_weights(&of).unwrap();
    }
    (objective, weights)
}

#[test]
fn losses_at_zero_outputs_are_those_by_hand() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
    let at_zero = |text: &str| {
        let (objective, mut weights) = objective(&ctx, text);
        let n = weights.parameters.flatten().len();
        weights.parameters = weights.parameters.unflatten(&vec![0.0; n]).unwrap();
        evaluate(&ctx, &objective, &weights).unwrap().loss
    };
    // Logits of the logarithms of the frequencies: the entropy of the classes.
    let entropy: f64 = COUNTS.iter().map(|&n| n as f64 / 8.0).map(|p| -p * p.ln()).sum();
    assert!((at_zero("cross-entropy tau=1") - entropy).abs() < 1e-12);
    // ln 3 times the mean weight.
    let loss: ClassLoss = "cross-entropy balanced=0.5".parse().unwrap();
    let of = loss.weights(&COUNTS).unwrap().unwrap();
    let mean: f64 = COUNTS.iter().zip(&of).map(|(&n, w)| n as f64 * w).sum::<f64>() / 8.0;
    assert!((at_zero("cross-entropy balanced=0.5") - mean * 3f64.ln()).abs() < 1e-12);
    // The true output is behind by its margin.
    let behind: f64 = (COUNTS.iter())
        .map(|&n| n as f64 / 8.0 * (2.0 + (-(1.0 / n as f64).powf(0.25)).exp()).ln())
        .sum();
    let margins: f64 = COUNTS.iter().map(|&n| n as f64 / 8.0 * (1.0 / n as f64).powf(0.25)).sum();
    assert!((at_zero("cross-entropy margin=1") - behind - margins).abs() < 1e-12);
}

/// Outputs of a linear model have no curvature, so that its Hessian is the Gauss-Newton matrix.
#[test]
fn gauss_newton_matrices_of_adjusted_outputs_are_hessians_of_linear_models() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
    let whole = Scope::default();
    let matrix = |text: &str, matrix: CurvatureMatrix| -> DenseOperator {
        let (objective, weights) = objective(&ctx, text);
        dense(&ctx, &Curvature::new(&ctx, &objective, &weights, matrix, &whole).unwrap()).unwrap()
    };
    let distance = |a: &DenseOperator, b: &DenseOperator| -> f64 {
        let rows = a.rows().iter().flatten().zip(b.rows().iter().flatten());
        rows.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let usual = matrix("cross-entropy", CurvatureMatrix::Hessian);
    for text in [
        "cross-entropy gamma=0.5 tau=1",
        "cross-entropy margin=0.5 scale=3",
        "cross-entropy margin=0.5 balanced=0.9",
    ] {
        let hessian = matrix(text, CurvatureMatrix::Hessian);
        let newton = matrix(text, CurvatureMatrix::GaussNewton);
        assert!(distance(&hessian, &newton) < 1e-12, "{text}");
        assert!(distance(&hessian, &usual) > 1e-3, "{text}");
    }
    let scaled = "cross-entropy gamma=0.5 tau=1";
    let fisher = matrix(scaled, CurvatureMatrix::Fisher);
    assert!(distance(&fisher, &matrix(scaled, CurvatureMatrix::Hessian)) < 1e-12);
}

#[test]
fn what_does_not_fit_is_told() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let (objective, _) = plain(&ctx, &ClassLoss::default());
    let fault = |of: &[f64]| objective.clone().with_class_weights(of).err().unwrap().to_string();
    assert_eq!(fault(&[1.0, 1.0]), "the weights of classes: expected one of class 2, got 2");
    assert!(fault(&[1.0, -1.0, 1.0]).contains("at least 0"));
    let two: ClassLoss = "cross-entropy tau=1".parse().unwrap();
    let adjustment = two.adjustment(&[1, 1]).unwrap().unwrap();
    assert!(objective.with_adjustment(adjustment).is_err());
}
