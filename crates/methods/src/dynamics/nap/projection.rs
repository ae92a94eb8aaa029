//! Projection of weights to the norms that they began with.

use crate::MethodError;
use crate::common::vector;
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_nn::{Model, Multipliers, Parameter, Parameters, Role};
use thalweg_train::part::{ProjectNorm, PullAffine, UpdateRule};
use thalweg_train::{Observer, Segment};

/// What is projected together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NapScope {
    /// Each layer to its own first norm.
    #[default]
    PerLayer,
    /// All layers by one factor, to their first joint norm.
    Global,
}

/// What becomes of the scales and shifts that follow a normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum NapAffine {
    /// They stay where they begin, at the identity: as good as none.
    #[default]
    Drop,
    /// Scale and shift of each normalisation keep their joint norm.
    Project,
    /// They decay towards the identity.
    DecayToInitial {
        /// Share of the distance that a step takes off, over the learning rate.
        strength: f64,
    },
}

/// How to normalise and project.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NapConfig {
    /// Steps from one projection to the next.
    pub every: u64,
    /// What is projected together.
    pub scope: NapScope,
    /// What becomes of scales and shifts.
    pub affine: NapAffine,
    /// Whether the output layer is projected too. No normalisation follows it, so that its norm is
    /// a part of the function; the paper leaves it out. One that begins at zero, as `vit`'s, would
    /// stay there.
    pub output: bool,
}

impl Default for NapConfig {
    fn default() -> NapConfig {
        NapConfig {
            every: 1,
            scope: NapScope::default(),
            affine: NapAffine::default(),
            output: false,
        }
    }
}

/// A model and a rule that normalise and project: the rule is `base` with the projection behind it,
/// the model has its scales and shifts held where that is asked for.
///
/// The layers are those of [`projected_weights`]. That a normalisation follows each of them is for
/// the model to bring ([`insert_norm`](super::insert_norm)) and for
/// [`radial_gradients`](super::radial_gradients) to show.
///
/// # Errors
/// `Config` for no steps between projections, a negative strength, or a model with nothing to
/// project.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 4
pub fn nap(
    model: &Model,
    base: UpdateRule,
    config: &NapConfig,
) -> Result<(Model, UpdateRule), MethodError> {
    if config.every == 0 {
        return Err(MethodError::config("steps from one projection to the next", "at least 1", 0));
    }
    let layers = projected_weights(model, config.output);
    if layers.is_empty() {
        let expected = "a model with a weight before its output layer";
        return Err(MethodError::config("layers to project", expected, "none"));
    }
    let mut groups = match config.scope {
        NapScope::PerLayer => layers.into_iter().map(|name| vec![name]).collect(),
        NapScope::Global => vec![layers],
    };
    let is_affine = |p: &Parameter| matches!(p.role, Role::NormScale | Role::NormShift);
    let mut rule = base;
    let mut model = model.clone();
    match config.affine {
        NapAffine::Drop => {
            model = model.with_multipliers(|p| match is_affine(p) {
                true => Multipliers { learning_rate: 0.0, decay: 0.0, ..p.multipliers },
                false => p.multipliers,
            });
        }
        NapAffine::Project => {
            let layer = |p: &Parameter| p.name.rsplit_once('.').map_or("", |(l, _)| l).to_owned();
            let affine: Vec<&Parameter> =
                model.parameters().iter().filter(|p| is_affine(p)).collect();
            for scale in affine.iter().filter(|p| p.role == Role::NormScale) {
                let of_it = affine.iter().filter(|p| layer(p) == layer(scale));
                groups.push(of_it.map(|p| p.name.clone()).collect());
            }
        }
        NapAffine::DecayToInitial { strength } => {
            if !(strength.is_finite() && strength >= 0.0) {
                let what = "decay of scales and shifts";
                return Err(MethodError::config(what, "a number of at least 0", strength));
            }
            rule = rule.then(Arc::new(PullAffine { strength }));
        }
    }
    let rule = rule.then(Arc::new(ProjectNorm { groups, every: config.every }));
    Ok((model, rule))
}

/// The names of the weights that are projected: matrices and kernels, without the output layer unless
/// that is asked for. The output layer is the last one that the model declares, if no normalisation is
/// declared behind it; where there is one, as in a `gpt` whose logits are products with its table of
/// tokens, no weight is the output layer's.
pub fn projected_weights(model: &Model, output: bool) -> Vec<String> {
    let behind = model.parameters().iter().rev().take_while(|p| p.role != Role::Weight);
    let has_output_layer = behind.into_iter().all(|p| p.role != Role::NormScale);
    let weights = model.parameters().iter().filter(|p| p.role == Role::Weight);
    let mut names: Vec<String> = weights.map(|p| p.name.clone()).collect();
    if !output && has_output_layer {
        names.pop();
    }
    names
}

/// The norms of weights by name.
///
/// # Errors
/// `Mismatch` for a name that there is not.
pub fn weight_norms(parameters: &Parameters, names: &[String]) -> Result<Vec<f64>, MethodError> {
    let norm = |name: &String| match parameters.get(name) {
        Some(array) => Ok(vector::norm(&array.to_f64_vec())),
        None => Err(MethodError::mismatch("a weight", "a parameter of the model", name)),
    };
    names.iter().map(norm).collect()
}

/// Watches the norms of weights over a training run.
#[derive(Clone, Debug, Default)]
pub struct NormTrace {
    /// Which weights.
    pub names: Vec<String>,
    /// Steps taken when they were looked at: the end of each segment.
    pub steps: Vec<u64>,
    /// Their norms then, `[member][look][weight]`.
    pub norms: Vec<Vec<Vec<f64>>>,
}

impl NormTrace {
    /// A watch over weights of these names; a name that there is not has norm NaN.
    pub fn new(names: Vec<String>) -> NormTrace {
        NormTrace { names, ..NormTrace::default() }
    }
}

impl Observer for NormTrace {
    fn segment(&mut self, segment: &Segment<'_>) -> ControlFlow<()> {
        self.steps.push(segment.end);
        self.norms.resize(segment.state.len(), Vec::new());
        for (member, norms) in self.norms.iter_mut().enumerate() {
            let found = segment.state.weights(member).ok();
            let of = |name: &String| {
                let array = found.as_ref().and_then(|weights| weights.parameters.get(name));
                array.map_or(f64::NAN, |array| vector::norm(&array.to_f64_vec()))
            };
            norms.push(self.names.iter().map(of).collect());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{data, model};
    use super::*;
    use thalweg_array::DType;
    use thalweg_exec::Executor;
    use thalweg_nn::Weights;
    use thalweg_train::{
        Ended, Examples, Length, Member, Optimizer, Resources, Schedule, TrainConfig, Trainer,
    };

    fn trained(config: &NapConfig, steps: u64) -> (Weights, Weights, Model) {
        let base = "adam".parse::<Optimizer>().unwrap().rule();
        let (model, rule) = nap(&model(), base, config).unwrap();
        let (inputs, labels) = data();
        let examples = Examples::from_arrays(inputs, labels, true, DType::F64).unwrap();
        let config = TrainConfig {
            schedule: Schedule::default(),
            batch: 10,
            length: Length::Steps(steps),
            precision: DType::F64,
            ..TrainConfig::default()
        };
        let executor = Arc::new(Executor::new(1));
        let resources = Resources::default();
        let trainer =
            Trainer::with_rule(executor, model.clone(), rule, examples, config, resources).unwrap();
        let mut state = trainer.start(&[Member::new(3, 0.05)]).unwrap();
        let start = state.weights(0).unwrap();
        let mut trace = NormTrace::new(projected_weights(&model, true));
        assert_eq!(trainer.run(&mut state, &mut trace).unwrap(), Ended::Finished);
        let end = state.weights(0).unwrap();
        assert_eq!((trace.steps.last(), trace.norms.len()), (Some(&steps), 1));
        let expected = weight_norms(&end.parameters, &trace.names).unwrap();
        assert_eq!(trace.norms[0].last(), Some(&expected));
        (start, end, model)
    }

    fn norm(weights: &Weights, names: &[&str]) -> f64 {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        vector::norm(&weight_norms(&weights.parameters, &names).unwrap())
    }

    #[test]
    fn norms_are_kept_as_they_are_asked_to_be() {
        let kept = |(start, end): (&Weights, &Weights), names: &[&str]| {
            (norm(end, names) / norm(start, names) - 1.0).abs() < 1e-12
        };
        let (first, second, output) = (["first.weight"], ["second.weight"], ["output.weight"]);
        let base = NapConfig::default();
        let (start, end, _) = trained(&base, 7);
        let both = (&start, &end);
        assert!(kept(both, &first) && kept(both, &second) && !kept(both, &output));
        let scale = end.parameters.get("first.norm.weight").unwrap();
        assert!(scale.to_f64_vec().iter().all(|s| *s == 1.0));

        let (start, end, _) = trained(&NapConfig { output: true, ..base }, 7);
        assert!(kept((&start, &end), &output));

        let (start, end, _) = trained(&NapConfig { scope: NapScope::Global, ..base }, 7);
        let both = (&start, &end);
        assert!(kept(both, &["first.weight", "second.weight"]) && !kept(both, &first));

        // Every third step: not after the seventh, and after the ninth again.
        let third = NapConfig { every: 3, ..base };
        for (steps, there) in [(7, false), (9, true)] {
            let (start, end, _) = trained(&third, steps);
            assert_eq!(kept((&start, &end), &first), there, "{steps}");
        }

        let affine = NapConfig { affine: NapAffine::Project, ..base };
        let (start, end, _) = trained(&affine, 7);
        let (both, scale) = ((&start, &end), ["first.norm.weight"]);
        assert!(kept(both, &["first.norm.weight", "first.norm.bias"]) && !kept(both, &scale));

        let spread = |strength| {
            let affine = NapAffine::DecayToInitial { strength };
            let (start, end, _) = trained(&NapConfig { affine, ..base }, 60);
            let apart = end.parameters.add_scaled(-1.0, &start.parameters).unwrap();
            let names = ["first.norm.weight".to_owned(), "first.norm.bias".to_owned()];
            vector::norm(&weight_norms(&apart, &names).unwrap())
        };
        assert!(spread(5.0) < 0.8 * spread(0.0));
    }
}
