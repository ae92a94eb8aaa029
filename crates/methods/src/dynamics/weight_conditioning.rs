//! Weights that are rescaled row by row in every forward pass.

use crate::common::{
    Reparametrization, has_output_rows, output_rows, reparametrized, used_weights, vector,
};
use crate::{Context, MethodError};
use thalweg_array::Array;
use thalweg_graph::Tensor;
use thalweg_nn::{Axis, Initializer, Model, Parameter, Role, Weights};

/// How the length of a line of a weight is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineNorm {
    /// The sum of absolute values.
    L1,
    /// The Euclidean norm.
    L2,
    /// The largest absolute value, which has no derivative where two are the largest.
    Max,
}

/// Which lines of a weight are rescaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lines {
    /// An output unit with its fan-in.
    Rows,
    /// An input unit with its fan-out; of a kernel, one place of one channel.
    Columns,
}

/// The length that lines are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineLength {
    /// One.
    One,
    /// The root of their mean squared length, of L2 rows `|W|_F / sqrt(rows)`: only lengths among each
    /// other change.
    Mean,
}

/// How [`WeightScaling::Conditioned`] rescales.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConditioningConfig {
    /// How lengths are measured.
    pub norm: LineNorm,
    /// Which lines are rescaled.
    pub lines: Lines,
    /// To which length.
    pub length: LineLength,
    /// Whether gradients take the factors for constants.
    pub detach: bool,
    /// What is added to each length before it divides.
    pub eps: f64,
}

impl ConditioningConfig {
    /// L2 rows of length one, gradients through the factors: row equilibration.
    pub const EQUILIBRATION: ConditioningConfig = ConditioningConfig {
        norm: LineNorm::L2,
        lines: Lines::Rows,
        length: LineLength::One,
        detach: false,
        eps: 0.0,
    };
}

impl Default for ConditioningConfig {
    fn default() -> ConditioningConfig {
        ConditioningConfig::EQUILIBRATION
    }
}

/// What layers make of their weights before they use them; a row is an output unit with its fan-in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightScaling {
    /// The weight itself.
    Plain,
    /// `E W` with `E = diag(1 / (|W_i| + eps))`, or `W E` for columns: lines of one length. For L2 rows
    /// the condition number is within a factor `sqrt(rows)` of the best that scaling rows can reach. A
    /// line of zeros stays one.
    ///
    /// # Source    Saratchandran, Wang, Lucey, Weight conditioning for smooth optimization of neural
    /// networks, 2024, arXiv 2409.03424; the factor: van der Sluis 1969. Other norms than L2 and the
    /// mean length are not in it.
    Conditioned(ConditioningConfig),
    /// Rows of length one times a learned gain each: weight normalisation.
    ///
    /// # Source    Salimans, Kingma, Weight normalization, 2016, arXiv 1602.07868
    Gain,
    /// Rows of mean zero and variance one, `(w - mean) / sqrt(variance + eps)`: weight standardisation,
    /// which is meant for layers with a normalisation behind them.
    ///
    /// # Source    Qiao, Wang, Liu, Shen, Yuille, Micro-batch training with batch-channel normalization
    /// and weight standardization, 2019, arXiv 1903.10520, equation 7
    Standardized {
        /// What is added to each variance, above zero.
        eps: f64,
    },
}

impl ConditioningConfig {
    fn of<'b>(&self, w: Tensor<'b>) -> Tensor<'b> {
        // Output units are last.
        let last = w.rank().saturating_sub(1);
        let along: Vec<usize> = match self.lines {
            Lines::Rows => (0..last).collect(),
            Lines::Columns => vec![last],
        };
        // A line of zeros counts as one of length one, since the length has no derivative there.
        let safe = |x: Tensor<'b>| x.equal(0.0).select(1.0, x);
        let (square, inverse) = match self.norm {
            LineNorm::L2 => {
                let square = w.square().sum(&along);
                (square, safe(square).rsqrt())
            }
            LineNorm::L1 => {
                let length = w.abs().sum(&along);
                (length.square(), 1.0 / safe(length))
            }
            LineNorm::Max => {
                let length = w.abs().max(&along);
                (length.square(), 1.0 / safe(length))
            }
        };
        let constant = |x: Tensor<'b>| if self.detach { x.stop_gradient() } else { x };
        // 1 / (1 / inverse + eps).
        let factor = match self.eps {
            0.0 => inverse,
            eps => inverse / (inverse * eps + 1.0),
        };
        let even = w * constant(factor).keep(&along);
        match self.length {
            LineLength::One => even,
            LineLength::Mean => {
                let lines: Vec<usize> = (0..square.rank()).collect();
                even * constant(safe(square.mean(&lines)).sqrt())
            }
        }
    }
}

impl Reparametrization for WeightScaling {
    fn beside(&self, weight: &Parameter) -> Option<Parameter> {
        if *self != WeightScaling::Gain {
            return None;
        }
        let name = match weight.name.strip_suffix("weight") {
            Some(layer) => format!("{layer}gain"),
            None => format!("{}.gain", weight.name),
        };
        let outputs = weight.shape.last().copied().unwrap_or(1);
        let (axes, one) = ([Axis::Output], Initializer::Constant(1.0));
        Some(Parameter::new(&name, &[outputs], Role::NormScale, &axes, one))
    }

    fn of<'b>(&self, w: Tensor<'b>, beside: Option<Tensor<'b>>) -> Tensor<'b> {
        let fan_in: Vec<usize> = (0..w.rank().saturating_sub(1)).collect();
        match *self {
            WeightScaling::Plain => w,
            WeightScaling::Conditioned(config) => config.of(w),
            WeightScaling::Gain => {
                let unit = ConditioningConfig::EQUILIBRATION.of(w);
                beside.map_or(unit, |gain| unit * gain.keep(&fan_in))
            }
            WeightScaling::Standardized { eps } => {
                let centred = w - w.mean(&fan_in).keep(&fan_in);
                let variance = centred.square().mean(&fan_in);
                centred * (variance + eps).rsqrt().keep(&fan_in)
            }
        }
    }
}

/// A model whose named weights are rescaled in every forward pass: dense ones, kernels, projections of
/// attention, in any architecture.
///
/// What is trained are the weights as they are kept, under the names and from the initial values of the
/// model. A row's length then changes nothing but how far a step turns it: a loss has no gradient along
/// it, and steps get shorter as it grows, so that rates are to be tuned for each scaling.
///
/// # Gradient  any order, through the factors unless they are detached
///
/// # Example
/// ```
/// use thalweg_methods::dynamics::{ConditioningConfig, ScaledWeights, WeightScaling};
/// use thalweg_nn::Architecture;
/// let model = "mlp hidden=8-8".parse::<Architecture>()?.build(&[4], 3)?;
/// let scaling = WeightScaling::Conditioned(ConditioningConfig::default());
/// let scaled = ScaledWeights::new(&model, &["fc1.weight", "fc2.weight"], scaling)?;
/// assert_eq!(scaled.model().parameters(), model.parameters());
/// # Ok::<(), thalweg_methods::MethodError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ScaledWeights {
    original: Model,
    model: Model,
    names: Vec<String>,
    scaling: WeightScaling,
}

impl ScaledWeights {
    /// The model with these weights rescaled.
    ///
    /// # Errors
    /// A name that is no weight of several axes, the last one alone that of its outputs; a model with
    /// running statistics; `eps` that is negative, not finite, or zero where a variance is divided by;
    /// the first mistake of tracing.
    pub fn new(
        model: &Model,
        names: &[&str],
        scaling: WeightScaling,
    ) -> Result<ScaledWeights, MethodError> {
        let (eps, least) = match scaling {
            WeightScaling::Conditioned(config) => (config.eps, 0.0),
            WeightScaling::Standardized { eps } => (eps, f64::MIN_POSITIVE),
            WeightScaling::Plain | WeightScaling::Gain => (0.0, 0.0),
        };
        if !(eps.is_finite() && eps >= least) {
            let expected = if least > 0.0 { "a number above 0" } else { "a number of at least 0" };
            return Err(MethodError::config("eps of a weight's scaling", expected, eps));
        }
        for parameter in model.parameters() {
            if names.contains(&parameter.name.as_str()) && !has_output_rows(parameter) {
                let expected = "several axes, the last one alone that of its outputs";
                return Err(MethodError::config("weight to normalise", expected, &parameter.name));
            }
        }
        let rescaled = reparametrized(model, names, scaling)?;
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Ok(ScaledWeights { original: model.clone(), model: rescaled, names, scaling })
    }

    /// The model that is trained.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Weights of the original model as those of this one; gains are the lengths of their rows, so that
    /// with them the function is the same.
    ///
    /// # Errors
    /// Weights of another model.
    pub fn start_from(&self, weights: &Weights) -> Result<Weights, MethodError> {
        let mut arrays = Vec::new();
        for parameter in self.original.parameters() {
            let Some(array) = weights.parameters.get(&parameter.name) else {
                return Err(MethodError::mismatch("weights", parameter.name.clone(), "none"));
            };
            arrays.push(array.clone());
            if self.names.contains(&parameter.name) && self.scaling.beside(parameter).is_some() {
                let rows = output_rows(array);
                let lengths: Vec<f64> = rows.iter().map(|row| vector::norm(row)).collect();
                arrays.push(Array::vector(&lengths).convert(array.dtype()));
            }
        }
        let parameters = self.model.parameter_tree(arrays)?;
        Ok(Weights { parameters, buffers: weights.buffers.clone() })
    }

    /// The weights that layers use, in place of those that are kept, computed in the context's
    /// precision: at them the original model is the same function.
    ///
    /// # Errors
    /// Weights of another model; those of the engine.
    pub fn fold(&self, ctx: &Context<'_>, weights: &Weights) -> Result<Weights, MethodError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        used_weights(ctx, &self.original, &names, &self.scaling, weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::gradient;
    use crate::{ModelObjective, ObjectiveConfig, evaluate};
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_graph::{Builder, TensorType};
    use thalweg_nn::{Architecture, Loss};
    use thalweg_train::initialize;

    const UNIT: ConditioningConfig = ConditioningConfig::EQUILIBRATION;

    fn every() -> Vec<WeightScaling> {
        let mut all = vec![WeightScaling::Plain, WeightScaling::Gain];
        all.push(WeightScaling::Standardized { eps: 1e-5 });
        for norm in [LineNorm::L1, LineNorm::L2, LineNorm::Max] {
            for lines in [Lines::Rows, Lines::Columns] {
                for (length, eps) in [(LineLength::One, 0.0), (LineLength::Mean, 1e-3)] {
                    let config = ConditioningConfig { norm, lines, length, eps, ..UNIT };
                    all.push(WeightScaling::Conditioned(config));
                }
            }
        }
        all
    }

    fn model(text: &str, input: &[usize]) -> (Model, Vec<String>) {
        let model = text.parse::<Architecture>().unwrap().build(input, 2).unwrap();
        let weights = model.parameters().iter().filter(|p| has_output_rows(p));
        let names = weights.map(|p| p.name.clone()).collect();
        (model, names)
    }

    fn scaled(model: &Model, names: &[String], scaling: WeightScaling) -> ScaledWeights {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        ScaledWeights::new(model, &names, scaling).unwrap()
    }

    fn objective(ctx: &Context<'_>, model: &Model, input: &[usize]) -> ModelObjective {
        let stream = Stream::new(5, "inputs");
        let n = 12 * input.iter().product::<usize>() as u64;
        let values: Vec<f64> = (0..n).map(|i| stream.normal(i)).collect();
        let inputs = vec![Array::from_slice(&[&[12], input].concat(), &values).unwrap()];
        let labels = Array::vector(&(0..12).map(|i| i % 2).collect::<Vec<i32>>());
        let config = ObjectiveConfig::default();
        ModelObjective::from_arrays(ctx, model, Loss::default(), inputs, labels, true, &config)
            .unwrap()
    }

    /// The rescaled weight, and the gradient of the sum of `products` times it.
    fn at(config: ConditioningConfig, w: &Array, products: &Array) -> [Vec<f64>; 2] {
        let builder = Builder::new(DType::F64);
        let x = builder.input("w", TensorType::new(DType::F64, w.shape()));
        let factors = builder.input("factors", TensorType::new(DType::F64, w.shape()));
        let y = config.of(x);
        let slope = thalweg_transform::gradient((y * factors).sum_all(), &[x])[0];
        let graph = builder.finish(&[("y", y), ("slope", slope)]).unwrap();
        let program = Executor::new(1).compile(&graph).unwrap();
        let found = program.run(vec![w.clone(), products.clone()]).unwrap();
        [found[0].to_f64_vec(), found[1].to_f64_vec()]
    }

    #[test]
    fn lines_by_hand() {
        // The first row is (3, -4), the second one zero; input units are rows of the array.
        let w = Array::from_slice(&[2, 2], &[3.0, 0.0, -4.0, 0.0]).unwrap();
        let one = Array::from_slice(&[2, 2], &[1.0; 4]).unwrap();
        let with = |norm, lines, length, eps| {
            let [y, slope] = at(ConditioningConfig { norm, lines, length, eps, ..UNIT }, &w, &one);
            assert!(slope.iter().all(|x| x.is_finite()), "{norm:?} {lines:?}: {slope:?}");
            assert_eq!((y[1], y[3]), (0.0, 0.0));
            [y[0], y[2]]
        };
        let near = |found: [f64; 2], expected: [f64; 2]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?}");
        };
        use LineLength::{Mean, One};
        near(with(LineNorm::L2, Lines::Rows, One, 0.0), [0.6, -0.8]);
        near(with(LineNorm::L1, Lines::Rows, One, 0.0), [3.0 / 7.0, -4.0 / 7.0]);
        near(with(LineNorm::Max, Lines::Rows, One, 0.0), [0.75, -1.0]);
        near(with(LineNorm::L2, Lines::Rows, One, 1.0), [0.5, -4.0 / 6.0]);
        near(with(LineNorm::L1, Lines::Rows, One, 1.0), [3.0 / 8.0, -4.0 / 8.0]);
        for norm in [LineNorm::L1, LineNorm::L2, LineNorm::Max] {
            near(with(norm, Lines::Columns, One, 0.0), [1.0, -1.0]);
        }
        // Rows of lengths 5 and 0, columns of 3 and 4.
        let mean = 12.5f64.sqrt();
        near(with(LineNorm::L2, Lines::Rows, Mean, 0.0), [0.6 * mean, -0.8 * mean]);
        near(with(LineNorm::L2, Lines::Columns, Mean, 0.0), [mean, -mean]);
        // Of zeros alone nothing is made, whatever is asked for.
        let none = Array::zeros(DType::F64, &[2, 2]);
        let [y, slope] = at(ConditioningConfig { length: Mean, ..UNIT }, &none, &one);
        assert!(y == [0.0; 4] && slope.iter().all(|x| x.is_finite()), "{slope:?}");
    }

    #[test]
    fn detached_factors_are_constants() {
        let w = Array::from_slice(&[2, 1], &[3.0, 4.0]).unwrap();
        let products = Array::from_slice(&[2, 1], &[1.0, 2.0]).unwrap();
        // E (I - w w^T / |w|^2) p with w = (3, 4): p less its part (33, 44) / 25 along w, over 5.
        let [_, through] = at(UNIT, &w, &products);
        let expected = [(1.0 - 33.0 / 25.0) / 5.0, (2.0 - 44.0 / 25.0) / 5.0];
        assert!(through.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{through:?}");
        let [_, detached] = at(ConditioningConfig { detach: true, ..UNIT }, &w, &products);
        assert!(detached.iter().zip([0.2, 0.4]).all(|(a, b)| (a - b).abs() < 1e-15));
    }

    #[test]
    fn a_scaled_row_changes_nothing_and_has_no_gradient_along_itself() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let (plain, names) = model("mlp hidden=5 activation=tanh", &[4]);
        let unit = scaled(&plain, &names, WeightScaling::Conditioned(UNIT));
        let objective = objective(&ctx, unit.model(), &[4]);
        let weights = initialize(&plain, 3, DType::F64).unwrap();
        let at = gradient(&ctx, &objective, &weights).unwrap();
        let gradients = weights.parameters.unflatten(&at.gradient).unwrap();
        let mut arrays = weights.parameters.arrays().to_vec();
        for (i, array) in arrays.iter_mut().enumerate() {
            if array.rank() == 2 {
                let slopes = output_rows(&gradients.arrays()[i]);
                for (row, slope) in output_rows(array).iter().zip(&slopes) {
                    assert!(vector::dot(row, slope).abs() < 1e-12 && vector::norm(slope) > 1e-6);
                }
                let n = array.shape()[1];
                let values = array.to_f64_vec();
                let scaled: Vec<f64> =
                    values.iter().enumerate().map(|(j, x)| x * (1 + j % n) as f64).collect();
                *array = Array::from_slice(array.shape(), &scaled).unwrap();
            }
        }
        let parameters = weights.parameters.with_arrays(arrays).unwrap();
        let other = Weights { parameters, buffers: weights.buffers.clone() };
        let loss = evaluate(&ctx, &objective, &other).unwrap().loss;
        assert!((loss - at.at.loss).abs() < 1e-12);
    }

    #[test]
    fn folded_weights_are_the_original_model_of_the_same_function() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        for (text, input, n) in [
            ("mlp hidden=5-6 activation=tanh", &[4][..], 3),
            ("convnet channels=4-5 head=flatten", &[6, 6, 2], 3),
            ("vit depth=1 width=8 heads=2 patch=3", &[6, 6, 1], 6),
        ] {
            let (plain, names) = model(text, input);
            assert_eq!(names.len(), n, "{text}");
            // Drawn anew, because the head of a vision transformer begins at zero.
            let start = initialize(&plain, 4, DType::F64).unwrap();
            let stream = Stream::new(4, "weights");
            let drawn: Vec<f64> =
                (0..plain.parameter_count() as u64).map(|i| 0.3 * stream.normal(i)).collect();
            let parameters = start.parameters.unflatten(&drawn).unwrap();
            let start = Weights { parameters, buffers: start.buffers };
            let loss = |model: &Model, weights: &Weights| {
                evaluate(&ctx, &objective(&ctx, model, input), weights).unwrap().loss
            };
            let as_it_is = loss(&plain, &start);
            for scaling in every() {
                let scaled = scaled(&plain, &names, scaling);
                let weights = scaled.start_from(&start).unwrap();
                let found = loss(scaled.model(), &weights);
                let folded = scaled.fold(&ctx, &weights).unwrap();
                let same = loss(&plain, &folded);
                assert!((found - same).abs() < 1e-12, "{text} {scaling:?}: {found} {same}");
                // Gains begin at the function of the weights as they are, and all else is another.
                let begins = matches!(scaling, WeightScaling::Plain | WeightScaling::Gain);
                assert_eq!((found - as_it_is).abs() < 1e-12, begins, "{text} {scaling:?}");
                for name in &names {
                    let rows = output_rows(folded.parameters.get(name).unwrap());
                    for row in rows {
                        let mean = row.iter().sum::<f64>() / row.len() as f64;
                        let square = vector::dot(&row, &row);
                        match scaling {
                            WeightScaling::Conditioned(config) if config == UNIT => {
                                assert!((square - 1.0).abs() < 1e-12, "{text} {name}");
                            }
                            WeightScaling::Standardized { .. } => {
                                let variance = square / row.len() as f64;
                                assert!(mean.abs() < 1e-12, "{text} {name}: {mean}");
                                assert!(variance < 1.0 && variance > 0.9, "{text} {name}");
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_scaled_is_told() {
        let unit = WeightScaling::Conditioned(UNIT);
        let (plain, _) = model("mlp hidden=5", &[4]);
        for (name, expected) in [
            ("fc9.weight", "weight to normalise: expected a weight of more than one axis"),
            ("fc1.bias", "weight to normalise: expected several axes, the last one alone"),
        ] {
            let error = ScaledWeights::new(&plain, &[name], unit).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let text = "gpt width=8 depth=1 heads=2".parse::<Architecture>().unwrap();
        let gpt = text.build(&[4], 16).unwrap();
        let table = gpt.parameters().iter().find(|p| p.role == Role::Embedding).unwrap();
        let error = ScaledWeights::new(&gpt, &[&table.name], unit).unwrap_err().to_string();
        assert!(error.contains("the last one alone that of its outputs"), "{error}");
        let (batch, names) = model("convnet channels=4 norm=batch", &[4, 4, 1]);
        assert!(ScaledWeights::new(&batch, &[&names[0]], unit).is_err());
        for eps in [-1.0, f64::NAN, f64::INFINITY] {
            let bad = WeightScaling::Conditioned(ConditioningConfig { eps, ..UNIT });
            assert!(ScaledWeights::new(&plain, &["fc1.weight"], bad).is_err(), "{eps}");
        }
        let none = WeightScaling::Standardized { eps: 0.0 };
        assert!(ScaledWeights::new(&plain, &["fc1.weight"], none).is_err());
        // Weights of another model.
        let scaled = ScaledWeights::new(&plain, &["fc1.weight"], unit).unwrap();
        let other = initialize(&gpt, 1, DType::F64).unwrap();
        assert!(scaled.start_from(&other).is_err());
        let executor = Executor::new(1);
        assert!(scaled.fold(&Context::new(&executor, 0), &other).is_err());
    }
}
