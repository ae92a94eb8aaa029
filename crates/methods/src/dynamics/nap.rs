//! Normalise and project.

use crate::common::{gradient, vector};
use crate::{Context, MethodError, Objective};
use std::ops::ControlFlow;
use std::sync::Arc;
use thalweg_nn::architecture::{Kind, Scheme};
use thalweg_nn::layer::Normalization;
use thalweg_nn::{Architecture, Model, Multipliers, Parameter, Parameters, Role, Weights};
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
    /// a part of the function; the paper leaves it out.
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

/// The same architecture with a normalisation before every activation and no biases, which the
/// normalisation would take out again: `y = phi(norm(W x))`.
///
/// # Errors
/// `Config` for a model without an architecture, as an imported one, for one that is neither an
/// `mlp` nor a `convnet`, and for a normalisation by the batch or none: the network is to be free
/// of each layer's scale example by example.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 4
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::insert_norm;
/// use thalweg_nn::{Architecture, layer::Normalization};
/// let plain = "mlp hidden=16-16".parse::<Architecture>()?.build(&[4], 3)?;
/// let model = insert_norm(&plain, Normalization::Layer)?;
/// assert_eq!(model.parameter_count(), 4 * 16 + 16 * 16 + 16 * 3 + 4 * 16);
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
pub fn insert_norm(model: &Model, norm: Normalization) -> Result<Model, MethodError> {
    if !matches!(norm, Normalization::Layer | Normalization::Rms) {
        let got = format!("{norm:?}");
        return Err(MethodError::config("normalisation to insert", "layer or rms", got));
    }
    let expected = "one of an mlp or a convnet, whose layers are known";
    let Some(mut architecture) = model.architecture().cloned() else {
        return Err(MethodError::config("model to normalise", expected, "no architecture"));
    };
    let init = match &mut architecture.kind {
        Kind::Mlp(mlp) => {
            (mlp.norm, mlp.bias) = (norm, false);
            mlp.init
        }
        Kind::ConvNet(net) => {
            (net.norm, net.bias) = (norm, false);
            net.init
        }
        other => return Err(MethodError::config("model to normalise", expected, other.name())),
    };
    // Sines have a frequency, which a normalisation before them would set anew.
    if init == Scheme::Siren {
        return Err(MethodError::config("initialisation", "any but that of sines", "siren"));
    }
    Ok(Architecture::rebuild(&architecture)?)
}

/// A model and a rule that normalise and project: the rule is `base` with the projection behind it,
/// the model has its scales and shifts held where that is asked for.
///
/// The layers are those of [`projected_weights`]. That a normalisation follows each of them is for
/// the model to bring ([`insert_norm`]) and for [`radial_gradients`] to show.
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

/// The names of the weights that are projected: matrices and kernels, without the last one that the
/// model declares, its output layer, unless that is asked for.
pub fn projected_weights(model: &Model, output: bool) -> Vec<String> {
    let weights = model.parameters().iter().filter(|p| p.role == Role::Weight);
    let mut names: Vec<String> = weights.map(|p| p.name.clone()).collect();
    if !output {
        names.pop();
    }
    names
}

/// For each weight, the cosine of its gradient and itself: zero for a layer whose scale does not
/// matter, because a normalisation follows it.
///
/// The product of the two is the derivative of the loss by the logarithm of the layer's scale.
///
/// # Errors
/// Those of [`gradient`].
pub fn radial_gradients(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<Vec<(String, f64)>, MethodError> {
    let flat = gradient(ctx, objective, point)?.gradient;
    let gradients = point.parameters.unflatten(&flat)?;
    let pairs = point.parameters.iter().zip(gradients.arrays()).zip(objective.parameters());
    let weights = pairs.filter(|(_, p)| p.role == Role::Weight);
    let cosine = |((name, w), g): ((&str, &thalweg_array::Array), &thalweg_array::Array)| {
        let (w, g) = (w.to_f64_vec(), g.to_f64_vec());
        let lengths = vector::norm(&w) * vector::norm(&g);
        (name.to_owned(), if lengths > 0.0 { vector::dot(&w, &g) / lengths } else { 0.0 })
    };
    Ok(weights.map(|(pair, _)| cosine(pair)).collect())
}

/// How the length of a step goes with the length of the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// In proportion, as that of gradient descent: a layer's gradient falls as its norm grows, so
    /// that its effective rate is `lr / |W|^2`.
    Gradient,
    /// Not at all, as (nearly) that of Adam or of signs: `lr / |W|`.
    Normalized,
}

impl StepKind {
    /// The effective rate of a layer of norm `norm` at rate `lr`: how far a step turns it, up to a
    /// factor that its scale does not change.
    pub fn effective_rate(self, lr: f64, norm: f64) -> f64 {
        lr / self.power(norm)
    }

    fn power(self, norm: f64) -> f64 {
        match self {
            StepKind::Gradient => norm * norm,
            StepKind::Normalized => norm,
        }
    }
}

/// The effective rate of each layer over a run: `rates[t]` and `norms[t][layer]` at the same steps.
///
/// # Errors
/// `Mismatch` for different numbers of steps.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 3
pub fn effective_rates(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    let paired = paired(rates, norms)?;
    let of = |(&lr, norms): (&f64, &Vec<f64>)| {
        norms.iter().map(|&norm| kind.effective_rate(lr, norm)).collect()
    };
    Ok(paired.map(of).collect())
}

/// The rate of each layer at which a projected network takes the steps of one that was not: of the
/// latter's rates and norms, those times `(rho / |W(t)|)^2` for gradient descent (then it is the same
/// function at every step) and `rho / |W(t)|` for normalised steps (then nearly), `rho` being the
/// norm at the first of these steps.
///
/// Layers that are not projected keep their rate.
///
/// # Errors
/// `Mismatch` for no steps, different numbers of them, or of layers.
/// # Source    Lyle et al. 2024, arXiv 2407.01800, section 3; derived from
/// `grad L(c W) = grad L(W) / c`
pub fn replayed_rates(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<Vec<Vec<f64>>, MethodError> {
    let Some(first) = norms.first() else {
        return Err(MethodError::mismatch("norms of a run", "at least one step", 0));
    };
    let mut replayed = effective_rates(kind, rates, norms)?;
    for rates in &mut replayed {
        if rates.len() != first.len() {
            let expected = format!("{} layers", first.len());
            return Err(MethodError::mismatch("norms of a step", expected, rates.len()));
        }
        rates.iter_mut().zip(first).for_each(|(rate, &rho)| *rate *= kind.power(rho));
    }
    Ok(replayed)
}

/// As [`replayed_rates`], but one rate for all layers, by their joint norm: close to it as long as
/// they grow alike.
///
/// # Errors
/// As [`replayed_rates`].
pub fn replayed_rate(
    kind: StepKind,
    rates: &[f64],
    norms: &[Vec<f64>],
) -> Result<Vec<f64>, MethodError> {
    let joint: Vec<Vec<f64>> = norms.iter().map(|of| vec![vector::norm(of)]).collect();
    Ok(replayed_rates(kind, rates, &joint)?.concat())
}

fn paired<'a>(
    rates: &'a [f64],
    norms: &'a [Vec<f64>],
) -> Result<impl Iterator<Item = (&'a f64, &'a Vec<f64>)>, MethodError> {
    if rates.len() != norms.len() {
        let expected = format!("{}, one for each rate", rates.len());
        return Err(MethodError::mismatch("norms of a run", expected, norms.len()));
    }
    Ok(rates.iter().zip(norms))
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
    use super::*;
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::{Array, DType};
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::Tensor;
    use thalweg_nn::layer::{Dense, LayerNorm};
    use thalweg_nn::{Layer, Loss, ModelPort, Scope};
    use thalweg_train::{
        Ended, Examples, Length, Member, Optimizer, Resources, Schedule, TrainConfig, Trainer,
        initialize,
    };

    /// Two normalised layers whose epsilon is next to nothing, so that scales do not matter.
    struct Free;

    impl Layer for Free {
        fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
            let mut x = x;
            for name in ["first", "second"] {
                let scope = scope.enter(name);
                let dense = Dense { bias: false, ..Dense::new(6) };
                let norm = LayerNorm { eps: 1e-20 };
                x = norm.forward(&scope.enter("norm"), dense.forward(&scope, x)).tanh();
            }
            Dense::new(3).forward(&scope.enter("output"), x)
        }
    }

    fn model() -> Model {
        Model::new(Arc::new(Free), vec![ModelPort::float("input", &[4])], &["output"]).unwrap()
    }

    fn data() -> (Array, Array) {
        let stream = Stream::new(9, "inputs");
        let values: Vec<f64> = (0..20 * 4).map(|i| stream.normal(i)).collect();
        let labels: Vec<i32> = (0..20).map(|i| i % 3).collect();
        (Array::from_slice(&[20, 4], &values).unwrap(), Array::vector(&labels))
    }

    fn with_objective<T>(work: impl FnOnce(&Context<'_>, &ModelObjective) -> T) -> T {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let ((inputs, labels), config) = (data(), ObjectiveConfig::default());
        let loss = Loss::default();
        let objective =
            ModelObjective::from_arrays(&ctx, &model(), loss, vec![inputs], labels, true, &config);
        work(&ctx, &objective.unwrap())
    }

    fn outputs(ctx: &Context<'_>, weights: &Weights) -> Vec<f64> {
        let graph = model().evaluation_graph(DType::F64, 20).unwrap();
        let program = ctx.executor().compile(&graph).unwrap();
        let parameters = weights.parameters.arrays().iter().cloned();
        program.run(parameters.chain([data().0]).collect()).unwrap()[0].to_f64_vec()
    }

    fn times(weights: &Weights, factor: f64, name: &str) -> Weights {
        let scaled = weights.parameters.iter().map(|(known, array)| match known == name {
            true => {
                let values: Vec<f64> = array.to_f64_vec().iter().map(|w| w * factor).collect();
                Array::from_slice(array.shape(), &values).unwrap()
            }
            false => array.clone(),
        });
        let parameters = weights.parameters.with_arrays(scaled.collect()).unwrap();
        Weights { parameters, buffers: weights.buffers.clone() }
    }

    #[test]
    fn the_scale_of_a_normalised_layer_does_not_matter() {
        with_objective(|ctx, objective| {
            let weights = initialize(&model(), 1, DType::F64).unwrap();
            for (name, cosine) in radial_gradients(ctx, objective, &weights).unwrap() {
                assert_eq!(cosine.abs() < 1e-10, name != "output.weight", "{name}: {cosine}");
            }
            let before = outputs(ctx, &weights);
            for (name, same) in
                [("first.weight", true), ("second.weight", true), ("output.weight", false)]
            {
                let after = outputs(ctx, &times(&weights, 3.0, name));
                let apart = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
                assert_eq!(apart.fold(0.0, f64::max) < 1e-10, same, "{name}");
            }
        });
    }

    /// Gradient descent with a rate for each parameter.
    fn descend(
        ctx: &Context<'_>,
        objective: &ModelObjective,
        weights: &Weights,
        rate: &dyn Fn(&str) -> f64,
    ) -> Weights {
        let flat = gradient(ctx, objective, weights).unwrap().gradient;
        let gradients = weights.parameters.unflatten(&flat).unwrap();
        let pairs = weights.parameters.iter().zip(gradients.arrays());
        let moved = pairs.map(|((name, w), g)| {
            let (w, g) = (w.to_f64_vec(), g.to_f64_vec());
            let rate = rate(name);
            let values: Vec<f64> = w.iter().zip(g).map(|(w, g)| w - rate * g).collect();
            Array::from_slice(gradients.get(name).unwrap().shape(), &values).unwrap()
        });
        let parameters = weights.parameters.with_arrays(moved.collect()).unwrap();
        Weights { parameters, buffers: weights.buffers.clone() }
    }

    #[test]
    fn a_projected_network_at_replayed_rates_is_the_unprojected_one() {
        with_objective(|ctx, objective| {
            let names = projected_weights(&model(), false);
            assert_eq!(names, ["first.weight", "second.weight"]);
            let start = initialize(&model(), 2, DType::F64).unwrap();
            let rho = weight_norms(&start.parameters, &names).unwrap();
            // Larger rates make the two differ by what rounding grows to.
            let (rate, mut free) = (0.01, start.clone());
            let (mut norms, mut seen) = (Vec::new(), Vec::new());
            for _ in 0..200 {
                norms.push(weight_norms(&free.parameters, &names).unwrap());
                seen.push(outputs(ctx, &free));
                free = descend(ctx, objective, &free, &|_| rate);
            }
            // The norms have grown, so that the two do not take the same rates.
            assert!(
                norms[199].iter().zip(&norms[0]).all(|(last, first)| *last > (1.0 + 1e-5) * first)
            );
            let rates = vec![rate; 200];
            let replayed = replayed_rates(StepKind::Gradient, &rates, &norms).unwrap();
            assert!(replayed[0].iter().all(|first| (first - rate).abs() < 1e-12));
            let mut held = start;
            for (rates, seen) in replayed.iter().zip(&seen) {
                let found = outputs(ctx, &held);
                let apart = found.iter().zip(seen).map(|(a, b)| (a - b).abs());
                assert!(apart.fold(0.0, f64::max) < 1e-8);
                let of = |name: &str| {
                    names.iter().position(|known| known == name).map_or(rate, |i| rates[i])
                };
                held = descend(ctx, objective, &held, &of);
                for (name, rho) in names.iter().zip(&rho) {
                    let [norm] =
                        weight_norms(&held.parameters, std::slice::from_ref(name)).unwrap()[..]
                    else {
                        unreachable!()
                    };
                    held = times(&held, rho / norm, name);
                }
            }
        });
    }

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

    #[test]
    fn an_architecture_is_normalised() {
        let plain = "mlp hidden=8-8".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        let model = insert_norm(&plain, Normalization::Rms).unwrap();
        let names: Vec<&str> = model.parameters().iter().map(|p| p.name.as_str()).collect();
        let expected = ["fc1.weight", "norm1.weight", "fc2.weight", "norm2.weight", "fc3.weight"];
        assert_eq!(names, expected);
        assert_eq!(projected_weights(&model, false), ["fc1.weight", "fc2.weight"]);
        assert!(insert_norm(&plain, Normalization::Batch).is_err());
        assert!(insert_norm(&self::model(), Normalization::Layer).is_err());
        let base = || Optimizer::sgd().rule();
        assert!(nap(&plain, base(), &NapConfig { every: 0, ..NapConfig::default() }).is_err());
        let linear = "linear".parse::<Architecture>().unwrap().build(&[4], 3).unwrap();
        assert!(nap(&linear, base(), &NapConfig::default()).is_err());
    }

    #[test]
    fn rates_by_hand() {
        let norms = [vec![1.0, 2.0], vec![2.0, 4.0]];
        let rates = [0.4, 0.2];
        let found = effective_rates(StepKind::Gradient, &rates, &norms).unwrap();
        assert_eq!(found, [[0.4, 0.1], [0.05, 0.0125]]);
        let found = replayed_rates(StepKind::Normalized, &rates, &norms).unwrap();
        assert_eq!(found, [[0.4, 0.4], [0.1, 0.1]]);
        let found = replayed_rate(StepKind::Gradient, &rates, &norms).unwrap();
        assert!((found[0] - 0.4).abs() < 1e-15 && (found[1] - 0.05).abs() < 1e-15);
        assert!(replayed_rate(StepKind::Gradient, &rates[..1], &norms).is_err());
        assert!(replayed_rates(StepKind::Gradient, &[], &[]).is_err());
    }
}
