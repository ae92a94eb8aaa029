//! Norms of initial weights under which a first gradient step changes the gradient little.

use crate::common::{normals, program_within};
use crate::error::stored;
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::{Loss, Mode, Model, PortType, Weights};
use thalweg_transform::gradient;

/// How [`meta_init`] moves the norms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetaInitConfig {
    /// Steps, each on inputs and labels of its own.
    pub steps: usize,
    /// By how much a norm changes in a step without momentum.
    pub rate: f64,
    /// Share of the last change that is kept.
    pub momentum: f64,
    /// Added to the size of each element of the gradient that is divided by.
    pub eps: f64,
    /// Inputs of a step.
    pub batch: usize,
    /// Which draws: as many as there are networks to begin.
    pub seed: u64,
}

impl Default for MetaInitConfig {
    fn default() -> MetaInitConfig {
        MetaInitConfig { steps: 500, rate: 0.1, momentum: 0.9, eps: 1e-5, batch: 128, seed: 0 }
    }
}

/// What [`meta_init`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaInit {
    /// The weights with their new norms.
    pub weights: Weights,
    /// The gradient quotient of each step, before it.
    pub quotients: Vec<f64>,
}

/// By how much a step of gradient descent at rate one would change the gradient, element by element:
/// `mean over k of |(g_k - (H g)_k) / (g_k + eps s_k) - 1|`, with `s_k` the sign of `g_k`, one for
/// zero. Of a parabola with curvatures `h` it is the mean of `|h_k|`, but for `eps`.
///
/// # Shapes    a scalar loss and any parameters -> `[]`
/// # Gradient  any order; `s` is held
/// # Source    Dauphin, Schoenholz, MetaInit: initializing learning by learning to initialize,
/// Advances in Neural Information Processing Systems 32, 2019, equation 1
#[track_caller]
pub fn gradient_quotient<'b>(loss: Tensor<'b>, parameters: &[Tensor<'b>], eps: f64) -> Tensor<'b> {
    let builder = loss.builder();
    let slopes = gradient(loss, parameters);
    let squares = slopes.iter().map(|g| g.square().sum_all()).reduce(|a, b| a + b);
    let half = squares.unwrap_or_else(|| builder.scalar(0.0)) * 0.5;
    let products = gradient(half, parameters);
    let (mut sum, mut count) = (builder.scalar(0.0), 0);
    for (&g, &product) in slopes.iter().zip(&products) {
        let eps = g.greater_equal(0.0).select(eps, g.zeros_like() - eps).stop_gradient();
        sum = sum + ((g - product) / (g + eps) - 1.0).abs().sum_all();
        count += g.shape().iter().product::<usize>();
    }
    sum * (1.0 / count.max(1) as f64)
}

/// Weights of other norms under which the [`gradient_quotient`] is smaller, found without data: by
/// steps along the signs of its slopes, each on normal inputs and labels drawn evenly.
///
/// For every parameter `W` of two axes or more `s = sign <W, dQ/dW>`, `v <- momentum v - rate s` and
/// `|W| <- |W| + v`; directions of weights, biases and statistics stay. Draws are those of the stream
/// `meta-init` at the seed. The whole is a unit of work.
///
/// # Deviations    a change that would leave nothing of a norm is not made, and ends its momentum;
/// weights that are all zero stay so
/// # Errors
/// Steps, rate, momentum, `eps` or a batch that cannot be used; a model of several inputs or of
/// indices, whose inputs are not normal numbers, or whose outputs are no scores of classes; a quotient
/// that is not finite; those of the engine; `Interrupted`.
/// # Source    Dauphin, Schoenholz, MetaInit: initializing learning by learning to initialize,
/// Advances in Neural Information Processing Systems 32, 2019, algorithm 1
pub fn meta_init(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    start: &Weights,
    config: &MetaInitConfig,
) -> Result<MetaInit, MethodError> {
    check(model, config)?;
    // The tree of another model is refused by its shapes.
    model.parameter_tree(start.parameters.arrays().to_vec())?;
    let moved: Vec<usize> =
        (0..model.parameters().len()).filter(|&i| model.parameters()[i].shape.len() > 1).collect();
    let norm = |array: &Array| array.to_f64_vec().iter().map(|x| x * x).sum::<f64>().sqrt();
    let first: Vec<f64> = moved.iter().map(|&i| norm(&start.parameters.arrays()[i])).collect();
    ctx.progress().start("meta-init", config.steps as u64);
    let arrays = ctx.unit("meta-init", || {
        let norms = (moved.as_slice(), first.as_slice());
        let (norms, quotients) = descend(ctx, model, loss, start, config, norms)?;
        Ok(vec![
            ("norms".into(), Array::vector(&norms)),
            ("quotients".into(), Array::vector(&quotients)),
        ])
    })?;
    let norms = stored("meta-init", &arrays, "norms", moved.len())?;
    let quotients = stored("meta-init", &arrays, "quotients", config.steps)?.to_vec();
    let mut scales = vec![1.0; model.parameters().len()];
    for ((&i, norm), first) in moved.iter().zip(norms).zip(&first) {
        scales[i] = if *first > 0.0 { norm / first } else { 1.0 };
    }
    let weights = Weights {
        parameters: model.parameter_tree(scaled(start, &scales)?)?,
        buffers: start.buffers.clone(),
    };
    Ok(MetaInit { weights, quotients })
}

fn check(model: &Model, config: &MetaInitConfig) -> Result<(), MethodError> {
    if !(config.rate > 0.0 && config.rate.is_finite()) {
        return Err(MethodError::config("rate of norms", "a positive number", config.rate));
    }
    if !(0.0..1.0).contains(&config.momentum) {
        let expected = "a number from 0 to below 1";
        return Err(MethodError::config("momentum of norms", expected, config.momentum));
    }
    if !(config.eps > 0.0 && config.eps.is_finite()) {
        return Err(MethodError::config("eps", "a positive number", config.eps));
    }
    if config.batch == 0 || config.batch > i32::MAX as usize {
        return Err(MethodError::config("inputs of a step", "1 to 2^31 - 1", config.batch));
    }
    match (model.inputs(), model.outputs().first()) {
        ([input], Some(output))
            if input.ty == PortType::Float
                && matches!(output.shape[..], [classes] if classes > 1) =>
        {
            Ok(())
        }
        _ => {
            let expected = "one input of numbers, and a score for each of two classes or more";
            Err(MethodError::mismatch("the model", expected, "another"))
        }
    }
}

/// The arrays of weights, each times its factor, in their own type.
fn scaled(start: &Weights, scales: &[f64]) -> Result<Vec<Array>, MethodError> {
    let each = start.parameters.arrays().iter().zip(scales);
    let scaled = each.map(|(array, scale)| {
        if *scale == 1.0 {
            return Ok(array.clone());
        }
        let values: Vec<f64> = array.to_f64_vec().into_iter().map(|x| x * scale).collect();
        Ok(Array::from_slice(array.shape(), &values)?.convert(array.dtype()))
    });
    scaled.collect()
}

/// The norms after all steps, and each step's quotient.
fn descend(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    start: &Weights,
    config: &MetaInitConfig,
    (moved, first): (&[usize], &[f64]),
) -> Result<(Vec<f64>, Vec<f64>), MethodError> {
    let graph = graph(ctx, model, loss, config, moved)?;
    let program = program_within(ctx, "the slopes of the gradient quotient", &graph)?;
    let float = ctx.precision();
    let shape = [&[config.batch], model.inputs()[0].shape.as_slice()].concat();
    let (elements, classes) = (shape.iter().product(), model.n_classes() as u64);
    let stream = ctx.stream("meta-init").at(config.seed);
    let (mut norms, mut velocity) = (first.to_vec(), vec![0.0; first.len()]);
    let mut scales = vec![1.0; model.parameters().len()];
    let mut quotients = Vec::with_capacity(config.steps);
    for step in 0..config.steps {
        ctx.check()?;
        let draws = stream.at(step as u64);
        let (inputs, labels) = (draws.child("inputs"), draws.child("labels"));
        let labels: Vec<i32> =
            (0..config.batch as u64).map(|i| labels.below(i, classes) as i32).collect();
        let parameters = scaled(start, &scales)?.into_iter();
        let mut arguments: Vec<Array> = parameters.map(|array| array.convert(float)).collect();
        arguments.extend(start.buffers.arrays().iter().map(|array| array.convert(float)));
        arguments.push(Array::from_slice(&shape, &normals(&inputs, elements))?.convert(float));
        arguments.push(Array::vector(&labels));
        let found = program.run(arguments)?;
        let number = |i: usize| found[i].item().unwrap_or(f64::NAN);
        let quotient = number(0);
        if !quotient.is_finite() {
            let what = format!("the gradient quotient of step {step}");
            return Err(MethodError::NotFinite { what, value: quotient.to_string() });
        }
        quotients.push(quotient);
        for (place, &i) in moved.iter().enumerate() {
            let slope = number(1 + place);
            let sign = f64::from(i8::from(slope > 0.0) - i8::from(slope < 0.0));
            velocity[place] = config.momentum * velocity[place] - config.rate * sign;
            let next = norms[place] + velocity[place];
            match next > 0.0 && first[place] > 0.0 {
                true => norms[place] = next,
                false => velocity[place] = 0.0,
            }
            scales[i] = if first[place] > 0.0 { norms[place] / first[place] } else { 1.0 };
        }
        ctx.progress().advance(1);
    }
    Ok((norms, quotients))
}

/// `(parameters.., buffers.., inputs, labels) -> quotient, <W, dQ/dW>..`
fn graph(
    ctx: &Context<'_>,
    model: &Model,
    loss: Loss,
    config: &MetaInitConfig,
    moved: &[usize],
) -> Result<Graph, MethodError> {
    let builder = Builder::new(ctx.precision());
    let (parameters, buffers) = model.declare(&builder);
    let port = model.inputs()[0].batch_type(ctx.precision(), config.batch);
    let x = builder.input("inputs", port);
    let y = builder.input("labels", TensorType::new(thalweg_array::DType::I32, [config.batch]));
    let applied = model.apply(&builder, &parameters, &buffers, x, &Mode::EVALUATE);
    let quotient = gradient_quotient(loss.of(applied.output, y, None), &parameters, config.eps);
    let weights: Vec<Tensor<'_>> = moved.iter().map(|&i| parameters[i]).collect();
    let slopes = gradient(quotient, &weights);
    let along = weights.iter().zip(slopes).map(|(&w, slope)| (w * slope).sum_all());
    let values: Vec<Tensor<'_>> = std::iter::once(quotient).chain(along).collect();
    let names: Vec<String> = (0..values.len()).map(|i| format!("value{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    Ok(builder.finish(&named)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::DType;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Multipliers, Role};
    use thalweg_train::initialize;

    #[test]
    fn of_a_parabola_it_is_the_mean_curvature() {
        let curvatures = [3.0, -0.5, 1.0, 0.25];
        let of = |eps: f64, at: &[f64; 4]| -> (f64, Vec<f64>) {
            let b = Builder::new(DType::F64);
            let w = b.input("w", TensorType::new(DType::F64, [4]));
            let loss = (w.square() * b.constant(Array::vector(&curvatures))).sum_all() * 0.5;
            let quotient = gradient_quotient(loss, &[w], eps);
            let slope = gradient(quotient, &[w])[0];
            let graph = b.finish(&[("quotient", quotient), ("slope", slope)]).unwrap();
            let found = Executor::new(1).compile(&graph).unwrap().run(vec![Array::vector(at)]);
            let found = found.unwrap();
            (found[0].item().unwrap(), found[1].to_f64_vec())
        };
        let at = [0.3, 2.0, -1.0, 0.7];
        let (found, _) = of(1e-12, &at);
        assert!((found - 4.75 / 4.0).abs() < 1e-10, "{found}");
        // With an eps that counts, by hand: g = h w, H g = h g.
        let eps = 0.2;
        let term = |h: f64, w: f64| {
            let g = h * w;
            let s = if g >= 0.0 { 1.0 } else { -1.0 };
            ((g - h * g) / (g + eps * s) - 1.0).abs() / 4.0
        };
        let by_hand: f64 = curvatures.iter().zip(at).map(|(&h, w)| term(h, w)).sum();
        let (found, slope) = of(eps, &at);
        assert!((found - by_hand).abs() < 1e-14, "{found} {by_hand}");
        for (i, (&h, slope)) in curvatures.iter().zip(&slope).enumerate() {
            let expected = (term(h, at[i] + 1e-6) - term(h, at[i] - 1e-6)) / 2e-6;
            assert!((slope - expected).abs() < 1e-8, "{i}: {slope} {expected}");
        }
        // Nothing is divided by zero where there is no gradient.
        let (found, slope) = of(eps, &[0.0; 4]);
        assert!(found == 1.0 && slope.iter().all(|x| x.is_finite()), "{found} {slope:?}");
    }

    /// A network whose weights are drawn too large, and its start.
    fn scene() -> (Model, Weights) {
        let text = "mlp hidden=16-16-16 init=kaiming";
        let model = text.parse::<Architecture>().unwrap().build(&[8], 4).unwrap();
        let model = model.with_multipliers(|parameter| Multipliers {
            init: if parameter.role == Role::Weight { 2.0 } else { 1.0 },
            ..Multipliers::default()
        });
        let weights = initialize(&model, 3, DType::F32).unwrap();
        (model, weights)
    }

    #[test]
    fn norms_alone_move_and_the_quotient_falls() {
        let (model, start) = scene();
        let config = MetaInitConfig { steps: 60, batch: 32, ..MetaInitConfig::default() };
        let run = |threads: usize, config: &MetaInitConfig| {
            let executor = Executor::new(threads);
            let ctx = Context::new(&executor, 5);
            meta_init(&ctx, &model, Loss::default(), &start, config).unwrap()
        };
        let found = run(1, &config);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (before, after) = (mean(&found.quotients[..5]), mean(&found.quotients[55..]));
        assert!(found.quotients.len() == 60 && after < 0.5 * before, "{before} {after}");
        let mut shrunk = 0;
        for ((name, from), (_, to)) in start.parameters.iter().zip(found.weights.parameters.iter())
        {
            let (from, to) = (from.to_f64_vec(), to.to_f64_vec());
            if !name.ends_with("weight") {
                assert_eq!(from, to, "{name}");
                continue;
            }
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let scale = norm(&to) / norm(&from);
            shrunk += usize::from(scale < 0.9);
            assert!(from.iter().zip(&to).all(|(a, b)| (a * scale - b).abs() < 1e-5), "{name}");
        }
        assert!(shrunk >= 3, "{shrunk} of four weights became smaller");
        assert_eq!(run(2, &config), found);
        let other = run(1, &MetaInitConfig { seed: 1, ..config });
        assert_ne!(other.quotients, found.quotients);
        // The first step without momentum moves each norm by the rate.
        let once = run(1, &MetaInitConfig { steps: 1, ..config });
        let norm = |weights: &Weights| weights.parameters.get("fc2.weight").unwrap().to_f64_vec();
        let [from, to] = [&start, &once.weights]
            .map(|weights| norm(weights).iter().map(|x| x * x).sum::<f64>().sqrt());
        assert!(((to - from).abs() - 0.1).abs() < 1e-5, "{from} {to}");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let (model, start) = scene();
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0);
        let usual = MetaInitConfig { steps: 1, batch: 4, ..MetaInitConfig::default() };
        for config in [
            MetaInitConfig { rate: 0.0, ..usual },
            MetaInitConfig { momentum: 1.0, ..usual },
            MetaInitConfig { eps: f64::NAN, ..usual },
            MetaInitConfig { batch: 0, ..usual },
        ] {
            let refused = meta_init(&ctx, &model, Loss::default(), &start, &config);
            assert!(matches!(refused, Err(MethodError::Config { .. })), "{config:?}");
        }
        let of = |text: &str, input: &[usize], outputs: usize| {
            let model = text.parse::<Architecture>().unwrap().build(input, outputs).unwrap();
            let start = initialize(&model, 0, DType::F32).unwrap();
            meta_init(&ctx, &model, Loss::default(), &start, &usual)
        };
        assert!(matches!(of("gpt depth=1", &[6], 9), Err(MethodError::Mismatch { .. })));
        assert!(matches!(of("linear", &[6], 1), Err(MethodError::Mismatch { .. })));
        let other = initialize(
            &"linear".parse::<Architecture>().unwrap().build(&[8], 4).unwrap(),
            0,
            DType::F32,
        );
        assert!(meta_init(&ctx, &model, Loss::default(), &other.unwrap(), &usual).is_err());
    }
}
