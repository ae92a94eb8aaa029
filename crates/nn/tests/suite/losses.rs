//! Losses and accuracy: values by hand, extremes, names, faults.

use thalweg_array::{Array, DType};
use thalweg_exec::reference;
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::Loss;

fn evaluate_loss(loss: Loss, output: &Array, target: &Array, weights: Option<&Array>) -> f64 {
    let b = Builder::new(DType::F64);
    let ty = |array: &Array| TensorType::new(array.dtype(), array.shape());
    let mut inputs = vec![output.clone(), target.clone()];
    let output = b.input("output", ty(output));
    let target = b.input("target", ty(target));
    let weights = weights.map(|array| {
        inputs.push(array.clone());
        b.input("weights", ty(array))
    });
    let value = loss.of(output, target, weights);
    reference::evaluate(&b.finish(&[("loss", value)]).unwrap(), &inputs).unwrap()[0].item().unwrap()
}

#[test]
fn losses_have_the_values_derived_by_hand() {
    let output = Array::from_slice(&[2, 2], &[0.0f64, 3f64.ln(), 1.0, 1.0]).unwrap();
    let labels = Array::vector(&[1i32, 0]);
    let near =
        |got: f64, expected: f64| assert!((got - expected).abs() < 1e-14, "{got} {expected}");
    let (first, second) = ((4.0f64 / 3.0).ln(), 2f64.ln());
    let cross = Loss::default();
    near(evaluate_loss(cross, &output, &labels, None), (first + second) / 2.0);
    let weights = Array::vector(&[3.0f64, 0.5]);
    let weighted = (3.0 * first + 0.5 * second) / 2.0;
    near(evaluate_loss(cross, &output, &labels, Some(&weights)), weighted);
    let smooth = Loss::CrossEntropy { smoothing: 0.5 };
    let smoothed = 0.75 * first + 0.25 * 4f64.ln();
    near(evaluate_loss(smooth, &output, &labels, None), (smoothed + second) / 2.0);
    let log_three = 3f64.ln();
    let squares = (log_three - 1.0).powi(2) + 1.0;
    near(evaluate_loss(Loss::MeanSquaredError, &output, &labels, None), squares / 4.0);
    near(evaluate_loss(Loss::HalfSquaredError, &output, &labels, None), squares / 4.0);
    let binary = second + first + (1.0 + (-1f64).exp()).ln() + (1.0 + 1f64.exp()).ln();
    near(evaluate_loss(Loss::BinaryCrossEntropy, &output, &labels, None), binary / 4.0);
    let likelihood = -(log_three + 1.0) / 2.0;
    near(evaluate_loss(Loss::NegativeLogLikelihood, &output, &labels, None), likelihood);
    let shares = Array::from_slice(&[2, 2], &[0.25f64, 0.75, 0.5, 0.5]).unwrap();
    let likelihood = -(0.75 * log_three + 1.0) / 2.0;
    near(evaluate_loss(Loss::NegativeLogLikelihood, &output, &shares, None), likelihood);
    let values = Array::from_slice(&[2, 2], &[3.0f64, log_three, 1.5, 1.0]).unwrap();
    near(evaluate_loss(Loss::MeanAbsoluteError, &output, &values, None), 3.5 / 4.0);
    let huber = (2.0 * (3.0 - 1.0) + 0.5 * 0.25) / 4.0;
    near(evaluate_loss(Loss::Huber { delta: 2.0 }, &output, &values, None), huber);
}

#[test]
fn positions_of_an_example_count_by_their_mean() {
    // Two examples of three positions each, two classes.
    let logits = [0.0f64, 3f64.ln(), 1.0, 1.0, 2f64.ln(), 0.0, 0.5, 0.5, 0.0, 0.0, 3.0, 3.0];
    let output = Array::from_slice(&[2, 3, 2], &logits).unwrap();
    let labels = Array::from_slice(&[2, 3], &[1i32, 0, 1, 1, 0, 0]).unwrap();
    let first = ((4.0f64 / 3.0).ln() + 2f64.ln() + 3f64.ln()) / 3.0;
    let second = 2f64.ln();
    let near =
        |got: f64, expected: f64| assert!((got - expected).abs() < 1e-14, "{got} {expected}");
    near(evaluate_loss(Loss::default(), &output, &labels, None), (first + second) / 2.0);
    let weights = Array::vector(&[3.0f64, 0.5]);
    let weighted = (3.0 * first + 0.5 * second) / 2.0;
    near(evaluate_loss(Loss::default(), &output, &labels, Some(&weights)), weighted);
    // Every loss is that of the positions one by one.
    let flat = (output.reshape(&[6, 2]).unwrap(), labels.reshape(&[6]).unwrap());
    for loss in Loss::ALL {
        let apart = evaluate_loss(loss, &flat.0, &flat.1, None);
        near(evaluate_loss(loss, &output, &labels, None), apart);
    }
    let values = Array::from_slice(&[2, 3, 2], &[0.25f64; 12]).unwrap();
    let apart =
        evaluate_loss(Loss::HalfSquaredError, &flat.0, &values.reshape(&[6, 2]).unwrap(), None);
    near(evaluate_loss(Loss::HalfSquaredError, &output, &values, None), apart);
    // The first two positions of the first example are right, of equal logits the first wins.
    let share = correct(&output, &labels);
    assert_eq!(share.len(), 2);
    share.iter().for_each(|&share| near(share, 2.0 / 3.0));
}

#[test]
fn losses_stay_finite_at_extreme_logits() {
    let output = Array::from_slice(&[2, 2], &[1e4f64, -1e4, -1e4, 1e4]).unwrap();
    let wrong = Array::vector(&[1i32, 0]);
    let right = Array::vector(&[0i32, 1]);
    assert_eq!(evaluate_loss(Loss::default(), &output, &wrong, None), 2e4);
    assert_eq!(evaluate_loss(Loss::default(), &output, &right, None), 0.0);
    assert_eq!(evaluate_loss(Loss::BinaryCrossEntropy, &output, &wrong, None), 1e4);
    assert_eq!(evaluate_loss(Loss::BinaryCrossEntropy, &output, &right, None), 0.0);
    // A class that is ruled out altogether costs nothing unless it is the right one.
    let masked = Array::from_slice(&[1, 2], &[0.0f64, f64::NEG_INFINITY]).unwrap();
    assert_eq!(evaluate_loss(Loss::default(), &masked, &Array::vector(&[0i32]), None), 0.0);
}

fn correct(output: &Array, target: &Array) -> Vec<f64> {
    let b = Builder::new(DType::F64);
    let ty = |array: &Array| TensorType::new(array.dtype(), array.shape());
    let (z, t) = (b.input("z", ty(output)), b.input("t", ty(target)));
    let graph = b.finish(&[("c", Loss::correct(z, t))]).unwrap();
    reference::evaluate(&graph, &[output.clone(), target.clone()]).unwrap()[0].to_f64_vec()
}

#[test]
fn accuracy_counts_the_first_largest() {
    let output = Array::from_slice(&[3, 2], &[0.0f64, 1.0, 2.0, 2.0, 2.0, 2.0]).unwrap();
    assert_eq!(correct(&output, &Array::vector(&[1i32, 0, 1])), [1.0, 1.0, 0.0]);
    let soft = Array::from_slice(&[3, 2], &[0.1f64, 0.9, 0.8, 0.2, 0.3, 0.7]).unwrap();
    assert_eq!(correct(&output, &soft), [1.0, 1.0, 0.0]);
    let single = Array::from_slice(&[3, 1], &[0.5f64, -0.5, 0.5]).unwrap();
    assert_eq!(correct(&single, &Array::vector(&[1i32, 0, 0])), [1.0, 1.0, 0.0]);
}

#[test]
fn targets_and_weights_of_wrong_shapes_are_refused() {
    let attempt = |target: TensorType, weights: usize| {
        let b = Builder::new(DType::F32);
        let z = b.input("z", TensorType::new(DType::F32, [4, 3]));
        let t = b.input("t", target);
        let w = b.input("w", TensorType::new(DType::F32, [weights]));
        let error = b.finish(&[("l", Loss::default().of(z, t, Some(w)))]).unwrap_err();
        (error.expected, error.got)
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        attempt(TensorType::new(DType::I32, [5]), 4),
        pair("target i32[4] or f32[4, 3]", "i32[5]")
    );
    assert_eq!(attempt(TensorType::new(DType::I32, [4]), 1), pair("weights f32[4]", "f32[1]"));
}

#[test]
fn loss_names_round_trip_and_wrong_ones_get_one_sentence() {
    for loss in Loss::ALL {
        assert_eq!(loss.to_string().parse::<Loss>().unwrap(), loss);
    }
    let message = |text: &str| text.parse::<Loss>().unwrap_err().to_string();
    assert_eq!(
        message("hinge"),
        "unknown loss \"hinge\"; expected one of cross-entropy, nll, mse, half-squared-error, bce, \
         mae, huber"
    );
    assert_eq!(
        message("cross-entropy smoothing=2"),
        "option smoothing of cross-entropy: expected a share from 0 to 1, got \"2\""
    );
    assert_eq!(
        message("huber delta=0"),
        "option delta of huber: expected a number above 0, got \"0\""
    );
    assert_eq!(message("mse x=1"), "mse has no option \"x\"; it has none");
}
