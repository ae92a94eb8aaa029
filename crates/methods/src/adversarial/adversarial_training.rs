//! Training on inputs that an attack has moved.

use super::attack::Attack;
use crate::MethodError;
use crate::common::{derived_model, labelled_ports};
use thalweg_nn::{Loss, Model};

/// A model whose outputs are those of another at inputs that an attack has just moved, so that to
/// train it is to train the other against the attack.
///
/// `min over w of the mean of l(f_w(x'), y)`, with `x'` the end of the attack on `f_w` at `x`, which is
/// not differentiated. It reads the example's label as a second input. In a training step the attack
/// starts at random where it says so; in an evaluation, which draws nothing, at the input itself. The
/// attack's restarts are not used.
///
/// # Errors
/// An attack that is none; a model of several inputs, of tokens, or with running statistics.
/// # Source    Madry et al., Towards deep learning models resistant to adversarial attacks, 2017,
/// arXiv 1706.06083, equation 2.1
pub fn adversarial_training(
    model: &Model,
    loss: Loss,
    attack: &Attack,
) -> Result<Model, MethodError> {
    attack.check()?;
    let ports = labelled_ports(model)?;
    let attack = *attack;
    derived_model(model, ports, &["output"], move |f, inputs| {
        let (origin, label) = (inputs[0], inputs[1]);
        let mut x = attack.started(origin, f.key());
        for _ in 0..attack.steps {
            let losses = loss.per_example(f.output(&[x]), label);
            x = attack.advanced(losses, x, origin);
        }
        vec![f.output(&[x.stop_gradient()])]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversarial::attack;
    use crate::common::{ModelObjective, ObjectiveConfig};
    use crate::{Context, evaluate};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;
    use thalweg_train::{Examples, Length, Member, TrainConfig, Trainer, initialize};

    #[test]
    fn its_loss_is_that_after_the_attack() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let mlp = "mlp hidden=5 activation=tanh".parse::<Architecture>().unwrap();
        let model = mlp.build(&[4], 3).unwrap();
        let draws = Stream::new(2, "inputs");
        let inputs: Vec<f64> = (0..24).map(|i| draws.normal(i)).collect();
        let x = Array::from_slice(&[6, 4], &inputs).unwrap();
        let y = Array::vector(&[0i32, 1, 2, 2, 1, 0]);
        let way = Attack { random_start: false, ..Attack::pgd(0.3, 4) };
        let (loss, config) = (Loss::default(), ObjectiveConfig::default());
        let plain = ModelObjective::from_arrays(
            &ctx,
            &model,
            loss,
            vec![x.clone()],
            y.clone(),
            true,
            &config,
        );
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let found = attack(&ctx, &plain.unwrap(), &weights, &way).unwrap();
        let expected = found.losses.iter().sum::<f64>() / 6.0;
        let hardened = adversarial_training(&model, loss, &way).unwrap();
        let inputs = vec![x.clone(), y.clone()];
        let objective =
            ModelObjective::from_arrays(&ctx, &hardened, loss, inputs, y.clone(), true, &config);
        let got = evaluate(&ctx, &objective.unwrap(), &weights).unwrap().loss;
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }

    #[test]
    fn a_random_start_is_drawn_anew_for_each_step() {
        // With steps of no length the attack is its random start: losses differ from step to step.
        let model = "linear".parse::<Architecture>().unwrap().build(&[2], 2).unwrap();
        let way = Attack { step: 0.0, ..Attack::pgd(0.5, 1) };
        let hardened = adversarial_training(&model, Loss::default(), &way).unwrap();
        let x = Array::from_slice(&[2, 2], &[0.3f32, -0.2, 0.3, -0.2]).unwrap();
        let y = Array::vector(&[0i32, 0]);
        let data = Examples::from_all_arrays(vec![x, y.clone()], y, true, DType::F32).unwrap();
        let config = TrainConfig {
            optimizer: "sgd".parse().unwrap(),
            batch: 2,
            length: Length::Steps(3),
            ..TrainConfig::default()
        };
        let executor = std::sync::Arc::new(Executor::new(1));
        let trainer = Trainer::new(executor, hardened, data, config, Default::default()).unwrap();
        let mut state = trainer.start(&[Member::new(0, 0.0)]).unwrap();
        let mut history = thalweg_train::History::default();
        trainer.run(&mut state, &mut history).unwrap();
        let losses = &history.metrics.loss[0];
        assert!(losses[0] != losses[1] && losses[1] != losses[2], "{losses:?}");
    }
}
