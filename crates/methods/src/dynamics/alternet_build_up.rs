//! Which blocks of a residual network are worth replacing by attention.

use crate::MethodError;
use thalweg_nn::architecture::AlterNet;

/// Where attention is tried, and what counts as better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuildUpConfig {
    /// Stages before this one, counted from zero, get none.
    pub earliest: usize,
    /// By how much the accuracy has to rise.
    pub margin: f64,
}

impl Default for BuildUpConfig {
    fn default() -> BuildUpConfig {
        BuildUpConfig { earliest: 1, margin: 0.0 }
    }
}

/// A network that was tried: the best before it with one block more of attention.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildUpTrial {
    /// The stage whose block was replaced, counted from zero.
    pub stage: usize,
    /// Blocks of attention of each stage.
    pub attention: Vec<usize>,
    /// The accuracy of the network.
    pub accuracy: f64,
    /// Whether it was better than the best before it, and so took its place.
    pub kept: bool,
}

/// What [`alternet_build_up`] chose.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildUp {
    /// The network.
    pub chosen: AlterNet,
    /// Its accuracy.
    pub accuracy: f64,
    /// The accuracy of the network without attention, which it began with.
    pub without: f64,
    /// Every network that was tried, in order.
    pub trials: Vec<BuildUpTrial>,
}

/// Replaces blocks of convolutions by attention as long as the accuracy rises: from the residual network
/// with normalisation first, the last stage first.
///
/// In a stage of `n` blocks the one at its end is replaced, then every second one before it, up to `n / 2`
/// (`[convolutions] * (n - 2 m) + [convolutions, attention] * m`). Where a block more does not raise the
/// accuracy, or a stage has no more to replace, the search goes on at the end of the stage before. Each
/// network is asked for once: one more than there are [`BuildUp::trials`].
///
/// `accuracy` trains a network and says how well it does on data that select it: those that judge the
/// chosen one are to be others. It may be of several trainings; one that rises by chance is kept like any
/// other, against which [`BuildUpConfig::margin`] is.
///
/// # Errors
/// `Config` for a margin that is negative or no number and for a network without stages; `NotFinite` for an
/// accuracy that is no number; those of `accuracy`.
/// # Source    Park, Kim, How do vision transformers work?, 2022, arXiv 2202.06709, section 4.1: the
/// build-up rule; the sequence of a stage: the code of its authors, whose networks have no attention in the
/// first stage
///
/// # Example
/// ```
/// use thalweg_methods::MethodError;
/// use thalweg_methods::dynamics::{BuildUpConfig, alternet_build_up};
/// use thalweg_nn::architecture::AlterNet;
/// // As if attention helped in the last stage alone.
/// let found = alternet_build_up(&AlterNet::default(), &BuildUpConfig::default(), |net| {
///     let [_, second, third] = net.attention[..] else { return Ok(0.0) };
///     Ok::<f64, MethodError>(0.5 + 0.1 * third as f64 - 0.1 * second as f64)
/// })?;
/// assert_eq!(found.chosen.attention, [0, 0, 1]);
/// # Ok::<(), MethodError>(())
/// ```
pub fn alternet_build_up<E: From<MethodError>>(
    base: &AlterNet,
    config: &BuildUpConfig,
    mut accuracy: impl FnMut(&AlterNet) -> Result<f64, E>,
) -> Result<BuildUp, E> {
    if !(config.margin >= 0.0 && config.margin.is_finite()) {
        let what = "margin of accuracy";
        return Err(MethodError::config(what, "a number of at least 0", config.margin).into());
    }
    if base.blocks.is_empty() {
        return Err(MethodError::config("stages of the network", "at least 1", 0).into());
    }
    let mut of = |network: &AlterNet| -> Result<f64, E> {
        match accuracy(network)? {
            value if value.is_finite() => Ok(value),
            value => {
                let what = "the accuracy of a network".to_owned();
                Err(MethodError::NotFinite { what, value: value.to_string() }.into())
            }
        }
    };
    let mut chosen = AlterNet { attention: vec![0; base.blocks.len()], ..base.clone() };
    let without = of(&chosen)?;
    let (mut best, mut trials) = (without, Vec::new());
    for (stage, &blocks) in base.blocks.iter().enumerate().skip(config.earliest).rev() {
        for replaced in 1..=blocks / 2 {
            let mut network = chosen.clone();
            network.attention[stage] = replaced;
            let accuracy = of(&network)?;
            let kept = accuracy > best + config.margin;
            let attention = network.attention.clone();
            trials.push(BuildUpTrial { stage, attention, accuracy, kept });
            if !kept {
                break;
            }
            (chosen, best) = (network, accuracy);
        }
    }
    Ok(BuildUp { chosen, accuracy: best, without, trials })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use std::sync::Arc;
    use thalweg_array::DType;
    use thalweg_data::{Normalization, Split, SplitConfig, digits};
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::{
        Examples, Length, Member, Optimizer, Resources, Schedule, TrainConfig, Trainer, Unobserved,
    };

    fn planted(
        net: &AlterNet,
        config: &BuildUpConfig,
        accuracy: impl Fn(&[usize]) -> f64,
    ) -> BuildUp {
        let of = |net: &AlterNet| Ok::<f64, MethodError>(accuracy(&net.attention));
        alternet_build_up(net, config, of).unwrap()
    }

    fn path(found: &BuildUp) -> Vec<(Vec<usize>, bool)> {
        found.trials.iter().map(|trial| (trial.attention.clone(), trial.kept)).collect()
    }

    #[test]
    fn the_search_goes_backwards_as_long_as_accuracy_rises() {
        // The published network of 34 layers, and one of it that begins with attention.
        let net = AlterNet {
            blocks: vec![3, 4, 6, 4],
            attention: vec![1, 1, 1, 1],
            heads: vec![3, 6, 12, 24],
            ..AlterNet::default()
        };
        let usual = BuildUpConfig::default();
        // Best with 0-1-2-2: nothing in the first stage, and not all that there is room for.
        let wanted = [0usize, 1, 2, 2];
        let near = |at: &[usize]| {
            let off: usize = at.iter().zip(wanted).map(|(a, b)| a.abs_diff(b)).sum();
            0.9 - 0.1 * off as f64
        };
        let found = planted(&net, &usual, near);
        assert_eq!((&found.chosen.attention[..], found.accuracy), (&wanted[..], 0.9));
        assert!((found.without - 0.4).abs() < 1e-12);
        let expected = [
            (vec![0, 0, 0, 1], true),
            (vec![0, 0, 0, 2], true),
            (vec![0, 0, 1, 2], true),
            (vec![0, 0, 2, 2], true),
            (vec![0, 0, 3, 2], false),
            (vec![0, 1, 2, 2], true),
            (vec![0, 2, 2, 2], false),
        ];
        assert_eq!(path(&found), expected);
        assert_eq!(
            found.trials.iter().map(|trial| trial.stage).collect::<Vec<_>>()[4..],
            [2, 1, 1]
        );
        // What is no better is not kept, nor what is better by less than is asked for.
        let level = planted(&net, &usual, |_| 0.5);
        assert_eq!(level.chosen.attention, [0; 4]);
        assert_eq!(level.trials.len(), 3);
        let margin = BuildUpConfig { margin: 0.15, ..usual };
        assert_eq!(planted(&net, &margin, near).chosen.attention, [0; 4]);
        // The first stage is tried where that is asked for, and has room for one of three.
        let all = planted(&net, &BuildUpConfig { earliest: 0, ..usual }, |at| at[0] as f64);
        assert_eq!(all.chosen.attention, [1, 0, 0, 0]);
    }

    #[test]
    fn what_cannot_be_searched_is_refused() {
        let net = AlterNet::default();
        let run = |net: &AlterNet, margin: f64, accuracy: f64| {
            let config = BuildUpConfig { margin, ..BuildUpConfig::default() };
            let of = |_: &AlterNet| Ok::<f64, MethodError>(accuracy);
            alternet_build_up(net, &config, of)
                .map(|found| found.accuracy)
                .map_err(|e| e.to_string())
        };
        assert_eq!(run(&net, 0.0, 0.5), Ok(0.5));
        let wrong = "margin of accuracy: expected a number of at least 0, got -1";
        assert_eq!(run(&net, -1.0, 0.5), Err(wrong.into()));
        let lost = "the accuracy of a network is NaN, expected a finite number";
        assert_eq!(run(&net, 0.0, f64::NAN), Err(lost.into()));
        let none = AlterNet { blocks: Vec::new(), ..net };
        assert_eq!(
            run(&none, 0.0, 0.5),
            Err("stages of the network: expected at least 1, got 0".into())
        );
    }

    /// Small networks on digits, trained and judged on other digits.
    #[test]
    fn trained_networks_are_built_up() {
        let split = Split::new(digits(), &SplitConfig::default()).unwrap();
        let normalization = Normalization::fit(&split.train).unwrap();
        let executor = Arc::new(Executor::new(1));
        let ctx = Context::new(&executor, 0);
        let text = "alternet width=4 blocks=2-2 attention=0-1 heads=1-2 head_units=4 convolutions=1 \
                    norm=group";
        let base: Architecture = text.parse().unwrap();
        let thalweg_nn::architecture::Kind::AlterNet(base) = base.kind else { panic!("{text}") };
        let examples = Examples::new(&split.train, Some(&normalization), DType::F32).unwrap();
        let accuracy = |net: &AlterNet| -> Result<f64, MethodError> {
            let model = Architecture::from(net.clone()).build(&[8, 8, 1], 10)?;
            let config = TrainConfig {
                optimizer: "adam".parse::<Optimizer>()?,
                schedule: Schedule::default(),
                batch: 32,
                length: Length::Steps(60),
                ..TrainConfig::default()
            };
            let (executor, examples) = (executor.clone(), examples.clone());
            let resources = Resources::default();
            let trainer = Trainer::new(executor, model.clone(), examples, config, resources)?;
            let mut state = trainer.start(&[Member::new(0, 0.01)])?;
            trainer.run(&mut state, &mut Unobserved)?;
            let (config, data) = (ObjectiveConfig::default(), Some(&normalization));
            let test = &split.test;
            let held = ModelObjective::new(&ctx, &model, Loss::default(), test, data, &config)?;
            let found = evaluate(&ctx, &held, &state.weights(0)?)?;
            Ok(found.accuracy.unwrap_or(f64::NAN))
        };
        let found = alternet_build_up(&base, &BuildUpConfig::default(), accuracy).unwrap();
        // One block of the last stage may be replaced.
        let [trial] = &found.trials[..] else { panic!("{found:?}") };
        assert_eq!((trial.stage, &trial.attention[..]), (1, &[0, 1][..]));
        assert_eq!(trial.kept, trial.accuracy > found.without);
        assert_eq!(found.accuracy, trial.accuracy.max(found.without));
        assert_eq!(accuracy(&found.chosen).unwrap(), found.accuracy);
        // Few steps of few channels: twice what chance gives.
        assert!(found.accuracy > 0.2, "{found:?}");
    }
}
