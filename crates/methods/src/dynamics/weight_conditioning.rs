//! Weights that are rescaled row by row in every forward pass.

use crate::MethodError;
use crate::common::{symmetric_eigen, vector};
use thalweg_array::Array;
use thalweg_graph::{ConvolutionWindow, Tensor};
use thalweg_nn::{Axis, Initializer, Layer, Model, Parameter, Role, Scope, Weights};

/// What a layer makes of its weight before it uses it; a row is an output unit with its fan-in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RowScaling {
    /// The weight itself.
    #[default]
    Plain,
    /// Rows of length one times a learned gain each.
    ///
    /// # Source    Salimans, Kingma, Weight normalization, 2016, arXiv 1602.07868
    Gain,
    /// Rows of length one: row equilibration, within a factor `sqrt(rows)` of the best condition
    /// number that scaling rows can reach.
    ///
    /// # Source    Saratchandran, Wang, Lucey, Weight conditioning for smooth optimization of neural
    /// networks, 2024, arXiv 2409.03424; the factor: van der Sluis 1969
    Unit,
    /// Rows of their mean length, `|W|_F / sqrt(rows)`: only lengths among each other change.
    MeanLength,
}

impl RowScaling {
    /// Every way.
    pub const ALL: [RowScaling; 4] =
        [RowScaling::Plain, RowScaling::Gain, RowScaling::Unit, RowScaling::MeanLength];

    /// The scaled weight, traced; gradients go through the scale.
    fn of<'b>(self, scope: &Scope<'_, 'b>, w: Tensor<'b>) -> Tensor<'b> {
        // Output units are last.
        let shape = w.shape();
        let Some(last) = shape.len().checked_sub(1) else { return w };
        let others: Vec<usize> = (0..last).collect();
        let squares = w.square().sum(&others);
        let unit = || w * squares.rsqrt().keep(&others);
        match self {
            RowScaling::Plain => w,
            RowScaling::Unit => unit(),
            RowScaling::Gain => {
                let one = Initializer::Constant(1.0);
                let axes = [Axis::Output];
                let gain = Parameter::new("gain", &shape[last..], Role::NormScale, &axes, one);
                unit() * scope.parameter(gain).keep(&others)
            }
            RowScaling::MeanLength => unit() * squares.mean(&[0]).sqrt(),
        }
    }
}

/// A dense layer `y = x s(W) + b` with a row scaling `s`.
///
/// # Shapes    x `[.., in]`, W `[in, out]`, gain and b `[out]` -> y `[.., out]`
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledDense {
    /// Units produced.
    pub outputs: usize,
    /// What becomes of the weight.
    pub scaling: RowScaling,
    /// How the weight is drawn.
    pub initializer: Initializer,
}

impl Layer for ScaledDense {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let shape = [fan_in(x), self.outputs];
        let axes = [Axis::Input, Axis::Output];
        let weight = Parameter::new("weight", &shape, Role::Weight, &axes, self.initializer);
        let weight = self.scaling.of(scope, scope.parameter(weight));
        x.matmul(weight) + bias(scope, self.outputs)
    }
}

/// A 3x3 convolution with padding 1 and a row scaling; a row is an output channel.
///
/// # Shapes    x `[n, h, w, in]`, W `[3, 3, in, out]`, gain and b `[out]` -> y `[n, h, w, out]`
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledConvolution {
    /// Channels produced.
    pub outputs: usize,
    /// What becomes of the weight.
    pub scaling: RowScaling,
    /// How the weight is drawn.
    pub initializer: Initializer,
}

impl Layer for ScaledConvolution {
    fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
        let shape = [3, 3, fan_in(x), self.outputs];
        let axes = [Axis::Spatial, Axis::Spatial, Axis::Input, Axis::Output];
        let weight = Parameter::new("weight", &shape, Role::Weight, &axes, self.initializer);
        let weight = self.scaling.of(scope, scope.parameter(weight));
        let window = ConvolutionWindow { padding: [(1, 1); 2], ..ConvolutionWindow::PLAIN };
        x.convolution(weight, window) + bias(scope, self.outputs)
    }
}

/// Channels of what a layer takes; after a mistake that the builder keeps, one.
fn fan_in(x: Tensor<'_>) -> usize {
    x.shape().last().copied().unwrap_or(1)
}

fn bias<'b>(scope: &Scope<'_, 'b>, outputs: usize) -> Tensor<'b> {
    let zero = Initializer::Constant(0.0);
    scope.parameter(Parameter::new("bias", &[outputs], Role::Bias, &[Axis::Output], zero))
}

/// The same weights with every gain set to the length of its row, so that the function is that of
/// the plain weights.
///
/// # Errors
/// Weights of another model.
pub fn with_gains(model: &Model, weights: &Weights) -> Result<Weights, MethodError> {
    let mut arrays = weights.parameters.arrays().to_vec();
    for (parameter, array) in model.parameters().iter().zip(arrays.iter_mut()) {
        let Some(layer) = parameter.name.strip_suffix("gain") else { continue };
        if let Some(weight) = weights.parameters.get(&format!("{layer}weight")) {
            let lengths: Vec<f64> = rows(weight).iter().map(|row| vector::norm(row)).collect();
            *array = Array::vector(&lengths).convert(array.dtype());
        }
    }
    let parameters = weights.parameters.with_arrays(arrays)?;
    Ok(Weights { parameters, buffers: weights.buffers.clone() })
}

/// The weights that layers use, in place of those that they keep: the plain network of the same
/// function. Layers are those whose weight has more than one axis; `scaled` says of each by its name
/// whether it is scaled.
///
/// # Errors
/// Weights of another model.
pub fn fold(
    model: &Model,
    weights: &Weights,
    scaling: RowScaling,
    scaled: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Array)>, MethodError> {
    let mut folded = Vec::new();
    for parameter in model.parameters() {
        let Some(array) = weights.parameters.get(&parameter.name) else {
            return Err(MethodError::mismatch("weights", parameter.name.clone(), "none"));
        };
        let layer = parameter.name.strip_suffix("weight").filter(|_| parameter.shape.len() > 1);
        let Some(layer) = layer.filter(|layer| scaled(layer.trim_end_matches('.'))) else {
            folded.push((parameter.name.clone(), array.clone()));
            continue;
        };
        let rows = rows(array);
        let lengths: Vec<f64> = rows.iter().map(|row| vector::norm(row)).collect();
        let mean = (lengths.iter().map(|l| l * l).sum::<f64>() / lengths.len() as f64).sqrt();
        let gains = weights.parameters.get(&format!("{layer}gain")).map(Array::to_f64_vec);
        let factor = |i: usize| match scaling {
            RowScaling::Plain => 1.0,
            RowScaling::Unit => 1.0 / lengths[i],
            RowScaling::MeanLength => mean / lengths[i],
            RowScaling::Gain => gains.as_ref().map_or(1.0, |gains| gains[i]) / lengths[i],
        };
        let n = rows.len();
        let values = array.to_f64_vec();
        let values: Vec<f64> =
            values.iter().enumerate().map(|(i, value)| value * factor(i % n)).collect();
        folded.push((
            parameter.name.clone(),
            Array::from_slice(array.shape(), &values)?.convert(array.dtype()),
        ));
    }
    Ok(folded)
}

/// The condition number of a weight whose last axis is that of output units: its largest singular
/// value over its smallest.
pub fn condition_number(weight: &Array) -> f64 {
    let rows = rows(weight);
    let tall = rows.len() > rows.first().map_or(0, Vec::len);
    let short = if tall { transposed(&rows) } else { rows };
    let gram: Vec<Vec<f64>> =
        short.iter().map(|a| short.iter().map(|b| vector::dot(a, b)).collect()).collect();
    let values = symmetric_eigen(&gram).values;
    let (least, most) = (values.first().copied(), values.last().copied());
    match (least, most) {
        // Squares of singular values are known to rounding of the largest alone.
        (Some(least), Some(most)) => (most / least.max(f64::EPSILON * most)).sqrt(),
        _ => f64::NAN,
    }
}

/// Output units with their fan-in.
fn rows(weight: &Array) -> Vec<Vec<f64>> {
    let n = weight.shape().last().copied().unwrap_or(1).max(1);
    let values = weight.to_f64_vec();
    (0..n).map(|i| values.iter().skip(i).step_by(n).copied().collect()).collect()
}

fn transposed(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..rows.first().map_or(0, Vec::len)).map(|j| rows.iter().map(|row| row[j]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::gradient;
    use crate::{Context, ModelObjective, ObjectiveConfig, evaluate};
    use std::sync::Arc;
    use thalweg_array::DType;
    use thalweg_data::Stream;
    use thalweg_exec::Executor;
    use thalweg_nn::{Loss, ModelPort};

    struct Two(RowScaling);

    impl Layer for Two {
        fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
            let initializer = Initializer::Normal { standard_deviation: 0.7 };
            let layer = |outputs| ScaledDense { outputs, scaling: self.0, initializer };
            let x = layer(5).forward(&scope.enter("first"), x).tanh();
            layer(2).forward(&scope.enter("second"), x)
        }
    }

    fn model(scaling: RowScaling) -> Model {
        Model::new(Arc::new(Two(scaling)), vec![ModelPort::float("input", &[4])], &["output"])
            .unwrap()
    }

    fn objective(ctx: &Context<'_>, model: &Model) -> ModelObjective {
        let stream = Stream::new(5, "inputs");
        let values: Vec<f64> = (0..12 * 4).map(|i| stream.normal(i)).collect();
        let inputs = vec![Array::from_slice(&[12, 4], &values).unwrap()];
        let labels = Array::vector(&(0..12).map(|i| i % 2).collect::<Vec<i32>>());
        let config = ObjectiveConfig::default();
        ModelObjective::from_arrays(ctx, model, Loss::default(), inputs, labels, true, &config)
            .unwrap()
    }

    #[test]
    fn a_scaled_row_changes_nothing_and_has_no_gradient_along_itself() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = model(RowScaling::Unit);
        let objective = objective(&ctx, &model);
        let weights = thalweg_train::initialize(&model, 3, DType::F64).unwrap();
        let at = gradient(&ctx, &objective, &weights).unwrap();
        let gradients = weights.parameters.unflatten(&at.gradient).unwrap();
        let mut arrays = weights.parameters.arrays().to_vec();
        for (i, array) in arrays.iter_mut().enumerate() {
            if array.rank() == 2 {
                let pairs = rows(array).into_iter().zip(rows(&gradients.arrays()[i]));
                for (row, gradient) in pairs {
                    assert!(vector::dot(&row, &gradient).abs() < 1e-12);
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
    fn folded_weights_are_a_plain_network_of_the_same_function() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let plain = model(RowScaling::Plain);
        for scaling in RowScaling::ALL {
            let model = model(scaling);
            let weights = thalweg_train::initialize(&model, 4, DType::F64).unwrap();
            let weights = with_gains(&model, &weights).unwrap();
            let loss = evaluate(&ctx, &objective(&ctx, &model), &weights).unwrap().loss;
            let folded = fold(&model, &weights, scaling, |_| true).unwrap();
            let kept = folded.into_iter().filter(|(name, _)| !name.ends_with("gain"));
            let arrays: Vec<Array> = kept.map(|(_, array)| array).collect();
            let parameters = plain.parameter_tree(arrays).unwrap();
            let folded = Weights { parameters, buffers: weights.buffers.clone() };
            let same = evaluate(&ctx, &objective(&ctx, &plain), &folded).unwrap().loss;
            assert!((loss - same).abs() < 1e-12, "{scaling:?}: {loss} {same}");
        }
    }

    #[test]
    fn gains_begin_at_the_plain_function() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let loss = |scaling| {
            let model = model(scaling);
            let weights = thalweg_train::initialize(&model, 4, DType::F64).unwrap();
            let weights = with_gains(&model, &weights).unwrap();
            evaluate(&ctx, &objective(&ctx, &model), &weights).unwrap().loss
        };
        assert!((loss(RowScaling::Gain) - loss(RowScaling::Plain)).abs() < 1e-12);
        assert!((loss(RowScaling::Unit) - loss(RowScaling::Plain)).abs() > 1e-6);
    }

    #[test]
    fn equilibrated_rows_are_within_the_factor_of_the_best() {
        let stream = Stream::new(6, "matrix");
        let (inputs, outputs) = (7, 5);
        let entry = |i: usize| stream.normal(i as u64) * 3f64.powi((i % outputs) as i32);
        let values: Vec<f64> = (0..inputs * outputs).map(entry).collect();
        let scaled = |factor: &dyn Fn(usize, f64) -> f64| {
            let w = Array::from_slice(&[inputs, outputs], &values).unwrap();
            let lengths: Vec<f64> = rows(&w).iter().map(|row| vector::norm(row)).collect();
            let new: Vec<f64> = values
                .iter()
                .enumerate()
                .map(|(i, x)| x * factor(i % outputs, lengths[i % outputs]))
                .collect();
            condition_number(&Array::from_slice(&[inputs, outputs], &new).unwrap())
        };
        let equilibrated = scaled(&|_, length| 1.0 / length);
        for trial in 0..1000 {
            let draws = stream.child("diagonals").at(trial);
            let other = scaled(&|i, _| (2.0 * draws.normal(i as u64)).exp());
            assert!(equilibrated <= (outputs as f64).sqrt() * other * (1.0 + 1e-9));
        }
        assert!(equilibrated < scaled(&|_, _| 1.0));
    }

    #[test]
    fn condition_numbers_by_hand() {
        let w = Array::from_slice(&[2, 2], &[3.0, 0.0, 0.0, 0.5]).unwrap();
        assert!((condition_number(&w) - 6.0).abs() < 1e-12);
        let tall = Array::from_slice(&[3, 1], &[1.0, 2.0, 2.0]).unwrap();
        assert!((condition_number(&tall) - 1.0).abs() < 1e-12);
    }
}
