//! What each layer makes of its input before its bias is added.

use crate::{Context, MethodError};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_exec::Program;
use thalweg_graph::{Builder, Op, Tensor};
use thalweg_nn::{Mode, Model, Role, Weights};

/// A network's outputs, with the norm of each layer's product `W x` of weights and input, example by
/// example: what there is before the bias.
///
/// Layers are found in the traced network by what its weights go into, so that any model will do, an
/// imported one too. A weight that goes into several products, or into none as it is, has the first one
/// that is found or is left out.
pub struct LayerProducts {
    program: Arc<Program>,
    names: Vec<String>,
    float: DType,
    batch: usize,
}

/// What [`LayerProducts::at`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerReadings {
    /// The outputs of each example.
    pub outputs: Vec<Vec<f64>>,
    /// The norms of each layer's product, by layer and example.
    pub norms: Vec<Vec<f64>>,
}

impl LayerReadings {
    /// The mean norm of each layer over the examples.
    pub fn mean_norms(&self) -> Vec<f64> {
        let mean = |norms: &Vec<f64>| norms.iter().sum::<f64>() / norms.len().max(1) as f64;
        self.norms.iter().map(mean).collect()
    }
}

impl LayerProducts {
    /// The program for batches of `batch` examples, in the context's precision.
    ///
    /// # Errors
    /// A batch of zero; a model of several inputs; those of the engine.
    pub fn new(
        ctx: &Context<'_>,
        model: &Model,
        batch: usize,
    ) -> Result<LayerProducts, MethodError> {
        let [port] = model.inputs() else {
            let got = model.inputs().len();
            return Err(MethodError::mismatch("inputs of the model", "one", got));
        };
        if batch == 0 {
            return Err(MethodError::config("batch size", "at least 1", 0));
        }
        let float = ctx.precision();
        let builder = Builder::new(float);
        let (parameters, buffers) = model.declare(&builder);
        let x = builder.input(&port.name, port.batch_type(float, batch));
        let output = model.apply(&builder, &parameters, &buffers, x, &Mode::EVALUATE).output;
        let units: usize = output.shape().iter().skip(1).product();
        let mut named = vec![("output".to_owned(), output.reshape(&[batch, units]))];
        let mut names = Vec::new();
        let n_nodes = builder.node_count();
        for (description, parameter) in model.parameters().iter().zip(&parameters) {
            if description.role != Role::Weight {
                continue;
            }
            let product = (0..n_nodes).find(|&index| {
                let node = builder.node(index);
                matches!(node.op, Op::Dot(_) | Op::Convolution(_))
                    && node.inputs.contains(&parameter.value())
            });
            let Some(product) = product else { continue };
            let product: Tensor<'_> = builder.tensor(thalweg_graph::Value::first(product));
            if product.shape().first() != Some(&batch) {
                continue;
            }
            let axes: Vec<usize> = (1..product.rank()).collect();
            named.push((format!("norm.{}", description.name), product.square().sum(&axes).sqrt()));
            names.push(description.name.clone());
        }
        let outputs: Vec<_> = named.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
        let program = ctx.executor().compile(&builder.finish(&outputs)?)?;
        Ok(LayerProducts { program, names, float, batch })
    }

    /// The names of the weights of the layers, in the order of the readings.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The readings on inputs `[n, ..]`, which are gone through batch by batch.
    ///
    /// # Errors
    /// Inputs or weights that are not the model's; fewer inputs than a batch.
    pub fn at(&self, weights: &Weights, inputs: &Array) -> Result<LayerReadings, MethodError> {
        let n = inputs.shape().first().copied().unwrap_or(0);
        if n < self.batch {
            let expected = format!("at least a batch of {}", self.batch);
            return Err(MethodError::mismatch("inputs", expected, n));
        }
        let weights = weights.convert(self.float);
        let arrays = weights.parameters.arrays().iter().chain(weights.buffers.arrays());
        let shared: Vec<Array> = arrays.cloned().collect();
        let inputs = match inputs.dtype().is_float() {
            true => inputs.convert(self.float),
            false => inputs.clone(),
        };
        let mut outputs = Vec::with_capacity(n);
        let mut norms = vec![Vec::with_capacity(n); self.names.len()];
        for start in (0..n).step_by(self.batch) {
            // The last batch overlaps the one before.
            let from = start.min(n - self.batch);
            let batch = inputs.rows(from..from + self.batch)?;
            let found = self.program.run([shared.as_slice(), &[batch]].concat())?;
            let [output, of_layers @ ..] = &found[..] else { continue };
            let units = output.len() / self.batch;
            let values = output.to_f64_vec();
            outputs.extend(values.chunks(units.max(1)).skip(start - from).map(<[f64]>::to_vec));
            for (norms, found) in norms.iter_mut().zip(of_layers) {
                norms.extend(found.to_f64_vec().into_iter().skip(start - from));
            }
        }
        Ok(LayerReadings { outputs, norms })
    }
}

/// Weights in which the products of some layers are zero: from there on the network is what its biases
/// make of nothing.
///
/// # Errors
/// `Mismatch` for a name that is no parameter.
pub fn without_products(weights: &Weights, names: &[&str]) -> Result<Weights, MethodError> {
    if let Some(unknown) = names.iter().find(|name| weights.parameters.get(name).is_none()) {
        return Err(MethodError::mismatch("a layer's weight", "a parameter", unknown));
    }
    let arrays = weights.parameters.iter().map(|(name, array)| match names.contains(&name) {
        true => Array::zeros(array.dtype(), array.shape()),
        false => array.clone(),
    });
    let parameters = weights.parameters.with_arrays(arrays.collect())?;
    Ok(Weights { parameters, buffers: weights.buffers.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::vector;
    use thalweg_exec::Executor;
    use thalweg_nn::Architecture;
    use thalweg_train::initialize;

    fn readings(
        text: &str,
        input: &[usize],
        n: usize,
        batch: usize,
    ) -> (LayerReadings, Vec<String>) {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = text.parse::<Architecture>().unwrap().build(input, 3).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let products = LayerProducts::new(&ctx, &model, batch).unwrap();
        let size: usize = input.iter().product();
        let values: Vec<f64> = (0..n * size).map(|i| ((i * 37 % 19) as f64 - 9.0) / 7.0).collect();
        let inputs = Array::from_slice(&[&[n], input].concat(), &values).unwrap();
        (products.at(&weights, &inputs).unwrap(), products.names().to_vec())
    }

    #[test]
    fn a_linear_layer_by_hand() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let model = "linear".parse::<Architecture>().unwrap().build(&[2], 2).unwrap();
        let of = |w: &[f64], b: &[f64]| {
            let arrays = vec![Array::from_slice(&[2, 2], w).unwrap(), Array::vector(b)];
            let parameters = model.parameter_tree(arrays).unwrap();
            Weights { parameters, buffers: model.initial_buffers(DType::F64) }
        };
        let weights = of(&[3.0, 0.0, 0.0, 4.0], &[10.0, 20.0]);
        let products = LayerProducts::new(&ctx, &model, 1).unwrap();
        let inputs = Array::from_slice(&[2, 2], &[1.0, 1.0, 2.0, 0.0]).unwrap();
        let found = products.at(&weights, &inputs).unwrap();
        assert_eq!(found.norms, [[5.0, 6.0]]);
        assert_eq!(found.outputs, [[13.0, 24.0], [16.0, 20.0]]);
        assert_eq!(found.mean_norms(), [5.5]);
        let name = products.names()[0].as_str();
        let none = without_products(&weights, &[name]).unwrap();
        assert_eq!(products.at(&none, &inputs).unwrap().outputs, [[10.0, 20.0], [10.0, 20.0]]);
        assert!(without_products(&weights, &["no.weight"]).is_err());
    }

    #[test]
    fn every_layer_is_found_and_the_batch_does_not_matter() {
        let (whole, names) = readings("convnet channels=4-5 head=flatten", &[6, 6, 1], 7, 7);
        assert_eq!(names, ["conv1.weight", "conv2.weight", "fc.weight"]);
        let (parts, _) = readings("convnet channels=4-5 head=flatten", &[6, 6, 1], 7, 3);
        let apart = |a: &[Vec<f64>], b: &[Vec<f64>]| {
            let (a, b) = (a.concat(), b.concat());
            assert_eq!(a.len(), b.len());
            let apart: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            vector::norm(&apart)
        };
        assert!(apart(&whole.norms, &parts.norms) < 1e-12);
        assert!(apart(&whole.outputs, &parts.outputs) < 1e-12);
        assert!(whole.norms.iter().flatten().all(|norm| *norm > 0.0));
        let (_, names) = readings("vit depth=1 width=8 heads=2 patch=3", &[6, 6, 1], 2, 2);
        assert_eq!(names.len(), 6);
    }
}
