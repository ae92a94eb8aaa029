//! What each layer makes of its input before its bias is added.

use crate::{Context, MethodError};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_exec::Program;
use thalweg_graph::{Binary, Builder, Op, Tensor, Value};
use thalweg_nn::{Mode, Model, Role, Weights};

/// A network's outputs, with the norm of each layer's product `W x` of weights and input, example by
/// example: what there is before the bias; and the norm of what is added to it that does not depend on
/// the input, the constant part.
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
    /// The norms of its constant part, likewise: of a bias at every place where it is added. Zero for
    /// a layer without one.
    pub constants: Vec<Vec<f64>>,
}

impl LayerReadings {
    /// The mean norm of each layer over the examples.
    pub fn mean_norms(&self) -> Vec<f64> {
        self.norms.iter().map(|norms| mean(norms)).collect()
    }

    /// The constant part's share of each layer, `|b| / (|W x| + |b|)`, its mean over the examples: 0
    /// where there is none, 1 where nothing is left of the input.
    pub fn constant_shares(&self) -> Vec<f64> {
        let share = |(product, constant): (&f64, &f64)| match product + constant {
            0.0 => 0.0,
            both => constant / both,
        };
        let of = |(products, constants): (&Vec<f64>, &Vec<f64>)| {
            mean(&products.iter().zip(constants).map(share).collect::<Vec<f64>>())
        };
        self.norms.iter().zip(&self.constants).map(of).collect()
    }
}

/// The norm of each example.
fn norms(of: Tensor<'_>) -> Tensor<'_> {
    let axes: Vec<usize> = (1..of.rank()).collect();
    of.square().sum(&axes).sqrt()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
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
        let (mut names, mut constants) = (Vec::new(), Vec::new());
        let n_nodes = builder.node_count();
        // Whether a node depends on the input.
        let mut depends: Vec<bool> = Vec::with_capacity(n_nodes as usize);
        for index in 0..n_nodes {
            let moved = |value: &Value| depends.get(value.node as usize) == Some(&true);
            let moved = builder.node(index).inputs.iter().any(moved);
            depends.push(moved || index == x.value().node);
        }
        // What is added to a value and does not depend on the input.
        let added = |to: Value| {
            (to.node + 1..n_nodes).find_map(|index| {
                let node = builder.node(index);
                let other = match (&node.op, &node.inputs[..]) {
                    (Op::Binary(Binary::Add), [a, b]) if *a == to => *b,
                    (Op::Binary(Binary::Add), [a, b]) if *b == to => *a,
                    _ => return None,
                };
                (!depends[other.node as usize]).then_some(other)
            })
        };
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
            let value = Value::first(product);
            let product: Tensor<'_> = builder.tensor(value);
            if product.shape().first() != Some(&batch) {
                continue;
            }
            let length = norms(product);
            let constant = match added(value) {
                Some(added) => norms(builder.tensor(added)),
                None => length.zeros_like(),
            };
            named.push((format!("norm.{}", description.name), length));
            constants.push((format!("constant.{}", description.name), constant));
            names.push(description.name.clone());
        }
        named.append(&mut constants);
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
        let layers = self.names.len();
        let mut norms = vec![Vec::with_capacity(n); 2 * layers];
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
        let constants = norms.split_off(layers);
        Ok(LayerReadings { outputs, norms, constants })
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
    use thalweg_nn::layer::{Convolution, Dense};
    use thalweg_nn::{Architecture, Layer, ModelPort, Scope};
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
        let bias = 500f64.sqrt();
        assert!(found.constants[0].iter().all(|b| (b - bias).abs() < 1e-12), "{found:?}");
        let share = (bias / (bias + 5.0) + bias / (bias + 6.0)) / 2.0;
        assert!((found.constant_shares()[0] - share).abs() < 1e-12);
        let name = products.names()[0].as_str();
        let none = without_products(&weights, &[name]).unwrap();
        let bare = products.at(&none, &inputs).unwrap();
        assert_eq!(bare.outputs, [[10.0, 20.0], [10.0, 20.0]]);
        assert_eq!(bare.constant_shares(), [1.0]);
        assert!(without_products(&weights, &["no.weight"]).is_err());
    }

    /// A convolution with a bias, and a sum over its places and a layer without one.
    struct OneBias;

    impl Layer for OneBias {
        fn forward<'b>(&self, scope: &Scope<'_, 'b>, x: Tensor<'b>) -> Tensor<'b> {
            let kernel = Convolution::new(2, 3).padding(1);
            let x = kernel.forward(&scope.enter("conv"), x).sum(&[1, 2]);
            let layer = Dense { bias: false, ..Dense::new(2) };
            // Twice the input is added, which is no constant.
            layer.forward(&scope.enter("fc"), x) + x * 2.0
        }
    }

    #[test]
    fn a_bias_counts_wherever_it_is_added_and_nothing_else_does() {
        let executor = Executor::new(1);
        let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
        let port = vec![ModelPort::float("input", &[3, 4, 1])];
        let model = Model::new(Arc::new(OneBias), port, &["output"]).unwrap();
        let weights = initialize(&model, 1, DType::F64).unwrap();
        let products = LayerProducts::new(&ctx, &model, 2).unwrap();
        assert_eq!(products.names(), ["conv.weight", "fc.weight"]);
        let values: Vec<f64> = (0..24).map(|i| (i * 7 % 5) as f64 - 2.0).collect();
        let inputs = Array::from_slice(&[2, 3, 4, 1], &values).unwrap();
        let found = products.at(&weights, &inputs).unwrap();
        // Twelve places.
        let bias = vector::norm(&weights.parameters.get("conv.bias").unwrap().to_f64_vec());
        let expected = 12f64.sqrt() * bias;
        assert!(bias > 0.0 && (found.constants[0][0] - expected).abs() < 1e-12, "{found:?}");
        assert_eq!(found.constants[1], [0.0, 0.0]);
        assert_eq!(found.constant_shares()[1], 0.0);
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
        assert!(apart(&whole.constants, &parts.constants) < 1e-12);
        assert!(whole.constants.iter().flatten().all(|norm| *norm > 0.0));
        assert!(apart(&whole.outputs, &parts.outputs) < 1e-12);
        assert!(whole.norms.iter().flatten().all(|norm| *norm > 0.0));
        let (_, names) = readings("vit depth=1 width=8 heads=2 patch=3", &[6, 6, 1], 2, 2);
        assert_eq!(names.len(), 6);
    }
}
