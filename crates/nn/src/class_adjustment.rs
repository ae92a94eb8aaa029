//! Losses and weights for classes of unequal frequency.

use crate::error::NnError;
use thalweg_array::{Array, DType};
use thalweg_graph::Tensor;

/// What is done to outputs before a loss sees them, so that rare classes count for more:
/// `z'_k = s (a_k z_k + b_k - m_k [k = y])` for an example of class `y`.
///
/// For training alone: predictions are the outputs as they are.
///
/// # Example
/// ```
/// use thalweg_nn::ClassAdjustment;
/// let adjustment = ClassAdjustment::vector_scaling(&[100, 10], 0.0, 1.0)?;
/// assert!((adjustment.shifts[1] - (10.0f64 / 110.0).ln()).abs() < 1e-15);
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClassAdjustment {
    /// `a`, one for each class.
    pub factors: Vec<f64>,
    /// `b`, one for each class.
    pub shifts: Vec<f64>,
    /// `m`, one for each class: by how much the true output must lead.
    pub margins: Vec<f64>,
    /// `s`.
    pub scale: f64,
}

impl ClassAdjustment {
    /// The vector-scaling loss: `a_k = 1 / ((1/n_k)^gamma / min over j of (1/n_j)^gamma)` and
    /// `b_k = tau log(n_k / n)` with `n_k` examples of class `k`.
    ///
    /// # Errors
    /// A class without examples; a gamma or tau below zero.
    /// # Source    Kini, Paraskevas, Oymak, Thrampoulidis, Label-imbalanced and group-sensitive
    /// classification under overparameterization, 2021, arXiv 2103.01550, equation 2
    pub fn vector_scaling(
        counts: &[usize],
        gamma: f64,
        tau: f64,
    ) -> Result<ClassAdjustment, NnError> {
        let counts = checked("vector scaling", counts)?;
        not_negative("vector scaling", "gamma", gamma)?;
        not_negative("vector scaling", "tau", tau)?;
        let (most, all) = (counts.iter().copied().fold(0.0, f64::max), counts.iter().sum::<f64>());
        Ok(ClassAdjustment {
            // The most frequent class has the least inverse.
            factors: counts.iter().map(|n| (n / most).powf(gamma)).collect(),
            shifts: counts.iter().map(|n| tau * (n / all).ln()).collect(),
            margins: vec![0.0; counts.len()],
            scale: 1.0,
        })
    }

    /// The label-distribution-aware margin loss: margins in proportion to `n_k^(-1/4)`, the largest
    /// as said, and outputs multiplied by `scale`.
    ///
    /// The authors' model has outputs that are cosines, of features and rows of the last layer both of
    /// length one ([`Classifier::Cosine`](crate::layer::Classifier::Cosine)); the margins and the scale,
    /// 0.5 and 30, are meant for these.
    ///
    /// # Errors
    /// A class without examples; a margin below zero; a scale that is not positive.
    /// # Source    Cao, Wei, Gaidon, Arechiga, Ma, Learning imbalanced datasets with
    /// label-distribution-aware margin loss, 2019, arXiv 1906.07413, equations 12 and 13
    pub fn margins(counts: &[usize], largest: f64, scale: f64) -> Result<ClassAdjustment, NnError> {
        let counts = checked("margins", counts)?;
        not_negative("margins", "largest", largest)?;
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(bad("margins", "scale", "a positive number", scale));
        }
        let least = counts.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(ClassAdjustment {
            factors: vec![1.0; counts.len()],
            shifts: vec![0.0; counts.len()],
            margins: counts.iter().map(|n| largest * (least / n).powf(0.25)).collect(),
            scale,
        })
    }

    /// The adjusted outputs. Values as targets, or outputs of another number of classes, are the
    /// builder's error.
    ///
    /// # Shapes    output `[n, k]`, target `i32 [n]` -> `[n, k]`
    #[track_caller]
    pub fn apply<'b>(&self, output: Tensor<'b>, target: Tensor<'b>) -> Tensor<'b> {
        let builder = output.builder();
        let (shape, classes) = (output.shape(), self.factors.len());
        let fits = self.shifts.len() == classes && self.margins.len() == classes;
        let labels = target.dtype() == DType::I32
            && target.shape()[..] == *shape.get(..1).unwrap_or_default();
        if shape.len() != 2 || shape[1] != classes || !fits || !labels {
            let expected = format!("outputs [n, {classes}] and labels i32 [n]");
            let got = format!("{} and {}", output.ty(), target.ty());
            builder.reject("class adjustment", expected, got);
            return output;
        }
        let row = |values: &[f64]| {
            builder
                .constant(Array::vector(values).convert(output.dtype()))
                .broadcast_in(&shape, &[1])
        };
        let margins = target.one_hot(classes, output.dtype()) * row(&self.margins);
        (output * row(&self.factors) + row(&self.shifts) - margins) * self.scale
    }
}

/// Weights of classes by their effective number of examples, `(1 - beta) / (1 - beta^n_k)`, scaled so
/// that they add up to the number of classes.
///
/// # Errors
/// A class without examples; a beta outside [0, 1).
/// # Source    Cui, Jia, Lin, Song, Belongie, Class-balanced loss based on effective number of
/// samples, 2019, arXiv 1901.05555, equation 3
///
/// # Example
/// ```
/// let weights = thalweg_nn::class_balanced_weights(&[500, 50, 5], 0.9999)?;
/// assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-12 && weights[2] > weights[0]);
/// # Ok::<(), thalweg_nn::NnError>(())
/// ```
pub fn class_balanced_weights(counts: &[usize], beta: f64) -> Result<Vec<f64>, NnError> {
    let counts = checked("class-balanced weights", counts)?;
    if !(0.0..1.0).contains(&beta) {
        let expected = "a number from 0 to below 1";
        return Err(bad("class-balanced weights", "beta", expected, beta));
    }
    // 1 - beta^n without the difference of near numbers; with a beta of zero it is one.
    let mass = |n: &f64| -(n * beta.ln()).exp_m1();
    let weights: Vec<f64> = counts.iter().map(|n| (1.0 - beta) / mass(n)).collect();
    let factor = weights.len() as f64 / weights.iter().sum::<f64>();
    Ok(weights.into_iter().map(|weight| weight * factor).collect())
}

fn checked(owner: &str, counts: &[usize]) -> Result<Vec<f64>, NnError> {
    match counts.iter().position(|&n| n == 0) {
        None if !counts.is_empty() => Ok(counts.iter().map(|&n| n as f64).collect()),
        None => Err(bad(owner, "counts", "at least one class", 0.0)),
        Some(class) => {
            Err(bad(owner, "counts", "an example of every class, none is of", class as f64))
        }
    }
}

fn not_negative(owner: &str, option: &str, value: f64) -> Result<(), NnError> {
    match value >= 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(bad(owner, option, "a number of at least 0", value)),
    }
}

fn bad(owner: &str, option: &str, expected: &str, got: f64) -> NnError {
    NnError::BadOption {
        owner: owner.to_owned(),
        option: option.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_graph::{Builder, TensorType};

    #[test]
    fn weights_add_up_and_are_those_of_the_formula() {
        let weights = class_balanced_weights(&[100, 1], 0.9).unwrap();
        assert!((weights.iter().sum::<f64>() - 2.0).abs() < 1e-12);
        // 0.1 / (1 - 0.9^100) against 1.
        let ratio = 0.1 / (1.0 - 0.9f64.powi(100));
        assert!((weights[0] / weights[1] - ratio).abs() < 1e-12);
        assert_eq!(class_balanced_weights(&[7, 1], 0.0).unwrap(), [1.0, 1.0]);
        for beta in [1.0, -0.1, f64::NAN] {
            assert!(class_balanced_weights(&[1, 2], beta).is_err());
        }
        assert!(
            class_balanced_weights(&[1, 0], 0.9).is_err()
                && class_balanced_weights(&[], 0.9).is_err()
        );
    }

    #[test]
    fn margins_and_factors_by_hand() {
        let margins = ClassAdjustment::margins(&[160_000, 16, 1], 0.5, 30.0).unwrap();
        assert_eq!(margins.margins, [0.025, 0.25, 0.5]);
        let scaling = ClassAdjustment::vector_scaling(&[9, 1], 0.5, 2.0).unwrap();
        assert!((scaling.factors[1] - 1.0 / 3.0).abs() < 1e-15 && scaling.factors[0] == 1.0);
        assert!((scaling.shifts[1] - 2.0 * 0.1f64.ln()).abs() < 1e-15);
        assert!(ClassAdjustment::vector_scaling(&[1, 1], -1.0, 1.0).is_err());
        assert!(ClassAdjustment::margins(&[1, 1], 0.5, 0.0).is_err());
    }

    #[test]
    fn outputs_are_adjusted_at_their_labels() {
        let b = Builder::new(DType::F64);
        let z = b.input("z", TensorType::new(DType::F64, [2, 2]));
        let y = b.input("y", TensorType::new(DType::I32, [2]));
        let adjustment = ClassAdjustment {
            factors: vec![1.0, 2.0],
            shifts: vec![0.5, 0.0],
            margins: vec![0.25, 1.0],
            scale: 10.0,
        };
        let graph = b.finish(&[("z", adjustment.apply(z, y))]).unwrap();
        let inputs =
            [Array::from_slice(&[2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap(), Array::vector(&[0i32, 1])];
        let found = thalweg_exec::reference::evaluate(&graph, &inputs).unwrap();
        assert_eq!(found[0].to_f64_vec(), [12.5, 40.0, 35.0, 70.0]);
        // Of three classes there is no such adjustment.
        let b = Builder::new(DType::F64);
        let z = b.input("z", TensorType::new(DType::F64, [2, 3]));
        let y = b.input("y", TensorType::new(DType::I32, [2]));
        let adjusted = adjustment.apply(z, y);
        assert!(b.finish(&[("z", adjusted)]).is_err());
    }
}
