//! What answers are worth, with the choice of giving none.

use crate::MethodError;
use thalweg_array::Array;

/// The rewards of `classes` answers and of none, for each label: 1 for the right class, `-cost` for a wrong
/// one, 0 for abstaining, which is the last. A model of `classes + 1` outputs that is trained on them by
/// squared errors predicts what each answer is worth, and abstains where that is the most.
///
/// Its optimal constant is `(1 + cost) frequency - cost` for each class, so that without seeing the input
/// it abstains wherever no class is more frequent than `cost / (1 + cost)`.
///
/// # Shapes    labels `[n]` -> `f64 [n, classes + 1]`
/// # Errors
/// Labels that are none of the classes; a cost that is negative or not finite.
/// # Source    Kang, Setlur, Tomlin, Levine, Deep neural networks tend to extrapolate predictably, 2024,
/// arXiv 2310.00873, section 6; its code takes a cost of 4
pub fn abstention_rewards(labels: &Array, classes: usize, cost: f64) -> Result<Array, MethodError> {
    if !(cost.is_finite() && cost >= 0.0) {
        return Err(MethodError::config("cost of a wrong answer", "a number of at least 0", cost));
    }
    thalweg_data::check_classes(labels, classes)?;
    let mut rewards = Vec::with_capacity(labels.len() * (classes + 1));
    for label in labels.to_f64_vec() {
        let of = |class: usize| if class == label as usize { 1.0 } else { -cost };
        rewards.extend((0..classes).map(of).chain([0.0]));
    }
    Ok(Array::from_slice(&[labels.len(), classes + 1], &rewards)?)
}

/// The mean reward of answering with the largest output: 1 if it is the label, 0 if it lies behind the
/// `classes`, else `-cost`.
///
/// # Errors
/// `Mismatch` for no outputs, or different numbers of them and of labels.
pub fn mean_reward(
    outputs: &[Vec<f64>],
    labels: &[i32],
    classes: usize,
    cost: f64,
) -> Result<f64, MethodError> {
    if outputs.is_empty() || outputs.len() != labels.len() {
        let expected = format!("{}, and at least one", labels.len());
        return Err(MethodError::mismatch("outputs", expected, outputs.len()));
    }
    let reward = |(z, &label): (&Vec<f64>, &i32)| {
        let best = (0..z.len()).rev().max_by(|&i, &j| z[i].total_cmp(&z[j])).unwrap_or(0);
        match best {
            best if best >= classes => 0.0,
            best if i32::try_from(best) == Ok(label) => 1.0,
            _ => -cost,
        }
    };
    Ok(outputs.iter().zip(labels).map(reward).sum::<f64>() / outputs.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::{Constant, optimal_constant};
    use thalweg_nn::Loss;

    #[test]
    fn at_a_cost_of_four_the_constant_abstains() {
        let labels: Vec<i32> = (0..100).map(|i| i % 10).collect();
        let rewards = abstention_rewards(&Array::vector(&labels), 10, 4.0).unwrap();
        let Constant::Values(c) = optimal_constant(Loss::MeanSquaredError, &rewards, 11).unwrap()
        else {
            panic!("probabilities")
        };
        assert!(c[..10].iter().all(|value| (value - (5.0 * 0.1 - 4.0)).abs() < 1e-12));
        assert_eq!(c[10], 0.0);
        let all = vec![c; 100];
        assert_eq!(mean_reward(&all, &labels, 10, 4.0).unwrap(), 0.0);
        // Without the last one it answers, and is right once in ten times.
        let answers: Vec<Vec<f64>> = all.iter().map(|c| c[..10].to_vec()).collect();
        let found = mean_reward(&answers, &labels, 10, 4.0).unwrap();
        assert!((found - (0.1 - 0.9 * 4.0)).abs() < 1e-12);
        assert!(abstention_rewards(&Array::vector(&[3i32]), 2, 4.0).is_err());
        assert!(abstention_rewards(&Array::vector(&[1i32]), 2, -1.0).is_err());
        assert!(mean_reward(&all, &labels[..3], 10, 4.0).is_err());
    }
}
