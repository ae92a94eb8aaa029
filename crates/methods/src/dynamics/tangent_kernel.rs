//! The tangent kernel of any model.

use crate::common::{BatchNorm, Objective, fit, frozen_at, gram, padded, symmetric_eigen, vector};
use crate::{Context, MethodError, Pass};
use thalweg_array::Array;
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_nn::Weights;
use thalweg_transform::{Replacement, vjp, vmap};

/// The derivatives of a model's outputs by its weights, an example after the other: what the model is
/// linear in near these weights.
#[derive(Clone, Debug, PartialEq)]
pub struct TangentFeatures {
    outputs: usize,
    rows: Vec<Vec<f64>>,
}

impl TangentFeatures {
    /// Outputs of an example.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The Jacobian: a row for each example and output, in the order of
    /// [`thalweg_nn::Parameters::flatten`].
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// The tangent kernel `J(x) J(x')^T` between these examples and others, by rows of these.
    ///
    /// # Errors
    /// Features of another model.
    /// # Source    Jacot, Gabriel, Hongler, Neural tangent kernel, 2018, arXiv 1806.07572
    pub fn kernel(&self, other: &TangentFeatures) -> Result<Vec<Vec<f64>>, MethodError> {
        let size = |of: &TangentFeatures| (of.outputs, of.rows.first().map_or(0, Vec::len));
        let ((outputs, weights), (others, got)) = (size(self), size(other));
        if (outputs, weights) != (others, got) {
            let expected = format!("{outputs} outputs and {weights} weights");
            return Err(MethodError::mismatch(
                "tangent features",
                expected,
                format!("{others} and {got}"),
            ));
        }
        let row = |a: &Vec<f64>| other.rows.iter().map(|b| vector::dot(a, b)).collect();
        Ok(self.rows.iter().map(row).collect())
    }

    /// The spectrum of the tangent kernel: eigenvalues of `J J^T / n` of `n` examples, descending, without
    /// those that are zero because the weights are fewer than the rows.
    ///
    /// Of half the squared error they are those of the Hessian's Gauss-Newton part.
    pub fn spectrum(&self) -> Vec<f64> {
        let examples = self.rows.len() as f64 / self.outputs.max(1) as f64;
        let values = symmetric_eigen(&gram(&self.rows)).values.into_iter().rev();
        values.map(|value| value / examples).collect()
    }
}

/// The derivatives of the outputs of every example by all weights: a backward pass for each output, batched
/// over examples.
///
/// Nothing is saved on: `J` has a row for each example and output and a column for each weight.
///
/// # Errors
/// An objective that is not the loss of a network's outputs, or in which an example's outputs depend on its
/// batch; more derivatives than the memory holds; one that is not finite; weights of another model; those of
/// the engine; `Interrupted` between batches.
///
/// # Example
/// ```
/// use thalweg_array::Array;
/// use thalweg_exec::Executor;
/// use thalweg_methods::dynamics::tangent_features;
/// use thalweg_methods::{Context, ModelObjective, ObjectiveConfig};
/// use thalweg_nn::{Architecture, Loss};
/// let executor = Executor::new(1);
/// let ctx = Context::new(&executor, 0);
/// let model = "linear".parse::<Architecture>()?.build(&[2], 1)?;
/// let (x, y) = (Array::from_slice(&[1, 2], &[3.0f32, 4.0])?, Array::from_slice(&[1, 1], &[0.0f32])?);
/// let (loss, config) = (Loss::HalfSquaredError, ObjectiveConfig::default());
/// let objective = ModelObjective::from_arrays(&ctx, &model, loss, vec![x], y, false, &config)?;
/// let weights = thalweg_train::initialize(&model, 0, ctx.precision())?;
/// let features = tangent_features(&ctx, &objective, &weights)?;
/// // The input, and one for the bias.
/// assert_eq!(features.rows(), [[3.0, 4.0, 1.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tangent_features(
    ctx: &Context<'_>,
    objective: &dyn Objective,
    point: &Weights,
) -> Result<TangentFeatures, MethodError> {
    if objective.batch_norm() == BatchNorm::Batch && !objective.buffers().is_empty() {
        let expected = "frozen or recalibrated batch normalisation";
        return Err(MethodError::mismatch("outputs of an example", expected, "batch"));
    }
    let point = frozen_at(ctx, objective, point)?;
    let (n, width) = (objective.examples(), objective.dimension());
    let builder = Builder::new(objective.float());
    let outputs = Traced::new(&builder, objective)?.count;
    let rows = n.saturating_mul(outputs);
    // A row of derivatives each, and the unit vectors at the outputs.
    let numbers = rows.saturating_mul(width).max(outputs.saturating_mul(outputs));
    let needed = numbers.saturating_mul(size_of::<f64>());
    if needed > ctx.memory() {
        let what = format!("the derivatives of {outputs} outputs of {n} examples");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let most = objective.batches().iter().copied().max().unwrap_or(1);
    let what = "the derivatives of one example's outputs";
    let (most, program) = fit(ctx, what, most, |members| graph(objective, members))?;
    let shared = [point.parameters.arrays(), point.buffers.arrays()].concat();
    ctx.progress().start("tangent features", n as u64);
    let mut rows = Vec::with_capacity(rows);
    let places: Vec<usize> = (0..n).collect();
    for chunk in padded(&places, most) {
        ctx.check()?;
        let kept = (n * outputs - rows.len()).min(most * outputs);
        ctx.spend(Pass::Gradient, kept);
        let mut inputs = shared.clone();
        for array in objective.data_at(&chunk)? {
            let shape = [&[most, 1], &array.shape()[1..]].concat();
            inputs.push(array.reshape(&shape)?);
        }
        let mut found = vec![Vec::with_capacity(width); kept];
        for array in program.run(inputs)? {
            let values = array.to_f64_vec();
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                let what = "a derivative of an output".to_owned();
                return Err(MethodError::NotFinite { what, value: value.to_string() });
            }
            let each = values.len() / (most * outputs).max(1);
            let parts = values.chunks(each.max(1));
            found.iter_mut().zip(parts).for_each(|(row, part)| row.extend_from_slice(part));
        }
        rows.extend(found);
        ctx.progress().advance((kept / outputs.max(1)) as u64);
    }
    Ok(TangentFeatures { outputs, rows })
}

/// One example, traced.
struct Traced<'b> {
    parameters: Vec<Tensor<'b>>,
    /// Placeholders for its data, each `[1, ..]`.
    data: Vec<Tensor<'b>>,
    /// `[outputs]`.
    outputs: Tensor<'b>,
    count: usize,
}

impl<'b> Traced<'b> {
    fn new(builder: &'b Builder, objective: &dyn Objective) -> Result<Traced<'b>, MethodError> {
        let float = objective.float();
        let input = |prefix: &str, name: &str, shape: &[usize]| {
            builder.input(&format!("{prefix}.{name}"), TensorType::new(float, shape))
        };
        let parameters: Vec<_> =
            objective.parameters().iter().map(|p| input("weights", &p.name, &p.shape)).collect();
        let buffers: Vec<_> =
            objective.buffers().iter().map(|b| input("buffer", &b.name, &b.shape)).collect();
        let mut data = Vec::new();
        for ty in objective.data_types(0)? {
            let Some((_, own)) = ty.shape.split_first() else {
                let expected = "rows of examples";
                let what = "the data of the tangent features";
                return Err(MethodError::mismatch(what, expected, "a number"));
            };
            data.push(builder.placeholder(TensorType::new(ty.dtype, [&[1], own].concat())));
        }
        let found = objective.trace(builder, &parameters, &buffers, &data, false);
        let Some(outputs) = found.outputs else {
            let expected = "the loss of a network's outputs";
            return Err(MethodError::mismatch("the objective", expected, "another function"));
        };
        let count = outputs.shape().iter().product();
        Ok(Traced { parameters, data, outputs: outputs.reshape(&[count]), count })
    }
}

/// Weights, buffers and the data of so many examples, to `[examples, outputs, ..]` of each parameter.
fn graph(objective: &dyn Objective, examples: usize) -> Result<Graph, MethodError> {
    let float = objective.float();
    let builder = Builder::new(float);
    let Traced { parameters, data, outputs, count } = Traced::new(&builder, objective)?;
    let stacked = |(i, member): (usize, &Tensor<'_>)| {
        let ty = member.ty();
        let shape = [&[examples], ty.shape.as_slice()].concat();
        builder.input(&format!("data.{i}"), TensorType::new(ty.dtype, shape))
    };
    let batched: Vec<_> = data.iter().enumerate().map(stacked).collect();
    let of_examples = data.iter().zip(batched);
    let of_examples: Vec<_> =
        of_examples.map(|(&member, batched)| Replacement { member, batched, axis: 0 }).collect();
    let member = builder.placeholder(TensorType::new(float, [count]));
    let back = vjp(&[outputs], &parameters, &[member]).cotangents;
    let or_zero =
        back.into_iter().zip(&parameters).map(|(found, w)| found.unwrap_or_else(|| w.zeros_like()));
    let units: Vec<f64> =
        (0..count * count).map(|i| f64::from(u8::from(i / count == i % count))).collect();
    let batched = builder.constant(Array::from_slice(&[count, count], &units)?.convert(float));
    let of_outputs = [Replacement { member, batched, axis: 0 }];
    let each = vmap(&or_zero.collect::<Vec<_>>(), &of_outputs, count);
    let all = vmap(&each, &of_examples, examples);
    let names: Vec<String> = (0..all.len()).map(|i| format!("derivatives.{i}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(all).collect();
    Ok(builder.finish(&named)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curvature::curvature_split;
    use crate::dynamics::{LazyNetwork, QuadraticSingleIndex};
    use crate::{ModelObjective, ObjectiveConfig};
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Architecture, Loss, Model};
    use thalweg_train::initialize;

    const N: usize = 5;

    fn objective(ctx: &Context<'_>, model: &Model, values: &[f64], k: usize) -> ModelObjective {
        objective_in(ctx, model, values, k, 2)
    }

    fn objective_in(
        ctx: &Context<'_>,
        model: &Model,
        values: &[f64],
        k: usize,
        batch: usize,
    ) -> ModelObjective {
        let inputs = vec![Array::from_slice(&[N, values.len() / N], values).unwrap()];
        let targets = Array::zeros(DType::F64, &[N, k]);
        // Batches of two, two and one where it is two.
        let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
        let loss = Loss::HalfSquaredError;
        ModelObjective::from_arrays(ctx, model, loss, inputs, targets, false, &config).unwrap()
    }

    #[test]
    fn the_kernel_is_that_of_the_formula() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let network = LazyNetwork { units: 7, epsilon: 0.25, alpha: 2.0 };
        let model = network.model(3).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let data = QuadraticSingleIndex::new(3, N, &Stream::new(2, "task"));
        let objective = objective(&ctx, &model, &data.inputs.concat(), 1);
        let features = tangent_features(&ctx, &objective, &weights).unwrap();
        let kernel = features.kernel(&features).unwrap().concat();
        let flat = weights.parameters.flatten();
        let known = network.tangent_kernel(&flat, &data.inputs, &data.inputs).concat();
        assert!(kernel.iter().zip(&known).all(|(a, b)| (a - b).abs() < 1e-13 * b.abs().max(1.0)));
        assert_eq!(features.spectrum().len(), N);
    }

    #[test]
    fn rows_are_differences_of_outputs_and_the_top_is_that_of_gauss_newton() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "mlp hidden=4 activation=tanh".parse::<Architecture>().unwrap();
        let model = model.build(&[2], 3).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let stream = Stream::new(0, "x");
        let values: Vec<f64> = (0..2 * N as u64).map(|i| stream.normal(i)).collect();
        let all = objective(&ctx, &model, &values, 3);
        let features = tangent_features(&ctx, &all, &weights).unwrap();
        assert_eq!((features.outputs(), features.rows().len()), (3, 3 * N));
        // Along all weights at once, against outputs from the engine.
        let outputs = |step: f64| -> Vec<f64> {
            let flat: Vec<f64> = weights.parameters.flatten();
            let moved = flat.iter().enumerate().map(|(i, w)| w + step * (i as f64).sin());
            let moved = weights.parameters.unflatten(&moved.collect::<Vec<_>>()).unwrap();
            let graph = model.evaluation_graph(DType::F64, N).unwrap();
            let input = Array::from_slice(&[N, 2], &values).unwrap();
            let inputs = [moved.arrays(), &[input]].concat();
            executor.compile(&graph).unwrap().run(inputs).unwrap()[0].to_f64_vec()
        };
        let (ahead, behind) = (outputs(1e-5), outputs(-1e-5));
        for (i, row) in features.rows().iter().enumerate() {
            let along: f64 = row.iter().enumerate().map(|(j, x)| x * (j as f64).sin()).sum();
            assert!((along - (ahead[i] - behind[i]) / 2e-5).abs() < 1e-8, "{i}");
        }
        let split = curvature_split(&ctx, &all, &weights, 60).unwrap();
        let top = features.spectrum()[0];
        assert!((split.gauss_newton - top).abs() < 1e-6 * top, "{split:?} {top}");
        // However many go at once, to the same bits.
        for batch in [1, N] {
            let other = objective_in(&ctx, &model, &values, 3, batch);
            assert_eq!(tangent_features(&ctx, &other, &weights).unwrap(), features);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let of = |text: &str, k: usize| {
            let model = text.parse::<Architecture>().unwrap().build(&[2], k).unwrap();
            let weights = initialize(&model, 0, DType::F64).unwrap();
            (objective(&ctx, &model, &[0.5; 2 * N], k), weights)
        };
        let (all, weights) = of("linear", 2);
        let error = tangent_features(&ctx.clone().with_memory(100), &all, &weights).unwrap_err();
        assert!(error.to_string().contains("derivatives of 2 outputs of 5 examples"), "{error}");
        let (other, own) = of("mlp hidden=3", 2);
        assert!(tangent_features(&ctx, &other, &weights).is_err());
        let features = tangent_features(&ctx, &all, &weights).unwrap();
        let others = tangent_features(&ctx, &other, &own).unwrap();
        assert!(features.kernel(&others).is_err());
        let line = crate::Function::new(DType::F64, &[("x", &[])], |_, w| w[0]);
        let point = line.point(&[1.0]).unwrap();
        assert!(tangent_features(&ctx, &line, &point).is_err());
    }
}
