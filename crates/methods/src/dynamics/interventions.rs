//! What may give a network back its plasticity, or keep it.
//!
//! Layer normalisation is an option of the architectures, weight decay one of the optimizers;
//! an optimizer begins anew by [`Streamed::reset_optimizer`](crate::common::Streamed::reset_optimizer),
//! outputs become categorical by [`TwoHot`](crate::common::TwoHot).

use crate::MethodError;
use thalweg_nn::{Model, Parameter, Role, Weights};
use thalweg_train::{Base, Optimizer};

/// Adam with a faster second moment and a larger epsilon than usual, `beta2 = 0.9` and `eps =
/// 1e-3`: when targets change, the first moment grows at once and the usual second moment, which
/// remembers small gradients, much later, so that steps become long; here both follow alike.
///
/// # Source    Lyle, Zheng, Nikishin, Avila Pires, Pascanu, Dabney, Understanding plasticity in neural
/// networks, 2023, arXiv 2303.01486, section 3.1
pub fn robust_adam() -> Optimizer {
    let base = Base::Adam { beta1: 0.9, beta2: 0.9, eps: 1e-3, decoupled: false };
    Optimizer { base, ..Optimizer::adam() }
}

/// Weights drawn towards fresh ones: `w <- keep w + perturb w_fresh`.
///
/// # Errors
/// Weights of different models.
/// # Source    Ash, Adams, On warm-starting neural network training, 2020, arXiv 1910.08475
pub fn shrink_and_perturb(
    weights: &Weights,
    fresh: &Weights,
    keep: f64,
    perturb: f64,
) -> Result<Weights, MethodError> {
    let shrunk = weights.parameters.add_scaled(keep - 1.0, &weights.parameters)?;
    let parameters = shrunk.add_scaled(perturb, &fresh.parameters)?;
    Ok(Weights { parameters, buffers: weights.buffers.clone() })
}

/// Weights with those of the last layer, its bias too, replaced by fresh ones: the last weight matrix
/// of the model, and all that comes after it.
///
/// # Errors
/// Weights of another model; a model without a weight matrix.
/// # Source    Nikishin et al., The primacy bias in deep reinforcement learning, 2022, arXiv
/// 2205.07802
pub fn reset_last_layer(
    model: &Model,
    weights: &Weights,
    fresh: &Weights,
) -> Result<Weights, MethodError> {
    let all = model.parameters();
    let matrix = |p: &Parameter| p.role == Role::Weight && p.shape.len() > 1;
    let Some(last) = all.iter().rposition(matrix) else {
        return Err(MethodError::mismatch("the last layer", "a weight matrix", "none"));
    };
    let (old, new) = (weights.parameters.arrays(), fresh.parameters.arrays());
    if old.len() != all.len() || new.len() != all.len() {
        let expected = format!("{} arrays", all.len());
        return Err(MethodError::mismatch("weights", expected, old.len().min(new.len())));
    }
    let arrays = [&old[..last], &new[last..]].concat();
    let parameters = weights.parameters.with_arrays(arrays)?;
    Ok(Weights { parameters, buffers: weights.buffers.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::{Array, DType};
    use thalweg_exec::Executor;
    use thalweg_graph::Builder;
    use thalweg_nn::{Architecture, Initializer};
    use thalweg_train::initialize;
    use thalweg_train::part::{HyperValues, StepContext};

    #[test]
    fn weights_are_drawn_towards_fresh_ones_or_replaced() {
        let model = "mlp hidden=8-8".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        let [old, new] = [0, 1].map(|seed| initialize(&model, seed, DType::F64).unwrap());
        let reset = reset_last_layer(&model, &old, &new).unwrap();
        let of = |weights: &Weights, name: &str| weights.parameters.get(name).unwrap().clone();
        assert_eq!(of(&reset, "fc2.weight"), of(&old, "fc2.weight"));
        assert_eq!(of(&reset, "fc3.weight"), of(&new, "fc3.weight"));
        assert_eq!(of(&reset, "fc3.bias"), of(&new, "fc3.bias"));
        let half = shrink_and_perturb(&old, &new, 0.5, 0.25).unwrap();
        let expected = 0.5 * of(&old, "fc1.bias").to_f64_vec()[2]
            + 0.25 * of(&new, "fc1.bias").to_f64_vec()[2];
        assert!((of(&half, "fc1.bias").to_f64_vec()[2] - expected).abs() < 1e-15);
    }

    /// The longest step in units of the rate, of gradients that are small for long and then of one.
    fn longest_step(optimizer: &Optimizer) -> f64 {
        let rule = optimizer.rule();
        let builder = Builder::new(DType::F64);
        let (quiet, all) = (300, 330);
        let gradients: Vec<f64> = (0..all).map(|i| if i < quiet { 1e-4 } else { 1.0 }).collect();
        let counts: Vec<f64> = (1..=all).map(|i| i as f64).collect();
        let xs = [gradients, counts].map(|x| builder.constant(Array::vector(&x)));
        let zero = builder.scalar(0.0);
        let descriptions =
            [Parameter::new("w", &[], Role::Weight, &[], Initializer::Constant(0.0))];
        let (_, moves) = builder.scan(all, &[zero, zero], &xs, &[], 0, |step| {
            let hyper = rule.hyper_parameters().into_iter().map(|h| {
                let value = if h.name == "lr" { 1.0 } else { h.default };
                (h.name.to_owned(), step.builder.scalar(value))
            });
            let context = StepContext {
                builder: step.builder,
                descriptions: &descriptions,
                parameters: &[step.builder.scalar(0.0)],
                hyper: &HyperValues::new(hyper.collect()),
                factor: step.builder.scalar(1.0),
                count: step.xs[1],
            };
            let (moved, state) = rule.apply(&context, vec![step.xs[0]], step.carry);
            (state, vec![moved[0].abs()])
        });
        let graph = builder.finish(&[("longest", moves[0].max(&[0]))]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        program.run(Vec::new()).unwrap()[0].item().unwrap()
    }

    #[test]
    fn robust_adam_takes_no_long_step_when_gradients_grow() {
        let (usual, robust) = (longest_step(&Optimizer::adam()), longest_step(&robust_adam()));
        assert!(usual > 3.0 && robust <= 1.0, "{usual} {robust}");
        assert_eq!("adam:beta2=0.9,eps=1e-3".parse(), Ok(robust_adam()));
    }
}
