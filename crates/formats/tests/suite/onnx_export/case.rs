//! A model with weights and inputs.

use thalweg_array::{Array, DType};
use thalweg_data::Normalization;
use thalweg_exec::reference;
use thalweg_formats::onnx::export::{ExportInfo, ImageLayout, write_onnx};
use thalweg_nn::{Draw, Model, PortType, Weights};

/// Numbers of examples that files are run with.
pub const BATCHES: [usize; 3] = [1, 2, 5];

pub struct Case {
    pub name: String,
    pub model: Model,
    pub weights: Weights,
    pub normalization: Option<Normalization>,
    /// Entries of the table that indices look into.
    pub entries: usize,
}

impl Case {
    /// A model with weights that have no pattern, variances among them positive.
    pub fn new(name: &str, model: Model) -> Case {
        let mut weights = model.initialize(&mut Numbers::new(1), DType::F32).unwrap();
        let redrawn = |arrays: &[Array], names: &[String]| -> Vec<Array> {
            let mut numbers = Numbers::new(2);
            let draw = |(array, name): (&Array, &String)| {
                let own = array.to_f64_vec();
                let shift: Vec<f64> = own
                    .iter()
                    .map(|value| match name.ends_with("running_var") {
                        true => 0.5 + numbers.next().abs(),
                        false => value + 0.1 * numbers.next(),
                    })
                    .collect();
                Array::from_slice(array.shape(), &shift).unwrap().convert(DType::F32)
            };
            arrays.iter().zip(names).map(draw).collect()
        };
        let (parameters, buffers) = (&weights.parameters, &weights.buffers);
        weights = Weights {
            parameters: parameters
                .with_arrays(redrawn(parameters.arrays(), parameters.names()))
                .unwrap(),
            buffers: buffers.with_arrays(redrawn(buffers.arrays(), buffers.names())).unwrap(),
        };
        Case { name: name.to_owned(), model, weights, normalization: None, entries: 0 }
    }

    pub fn is_image(&self) -> bool {
        self.model.inputs().iter().any(|port| port.shape.len() == 3)
    }

    pub fn bytes(&self, info: &ExportInfo) -> Vec<u8> {
        write_onnx(&self.model, &self.weights, info)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Inputs in the order of axes of the engine.
    pub fn inputs(&self, batch: usize) -> Vec<Array> {
        let mut numbers = Numbers::new(3);
        let ports = self.model.inputs().iter();
        let draw = |port: &thalweg_nn::ModelPort| {
            let shape = [&[batch], port.shape.as_slice()].concat();
            let count = shape.iter().product();
            match port.ty {
                PortType::Float => {
                    let values: Vec<f32> = (0..count).map(|_| numbers.next() as f32).collect();
                    Array::from_slice(&shape, &values).unwrap()
                }
                PortType::Index => {
                    let entries = self.entries.max(1) as f64;
                    let index = |x: f64| ((x + 2.0) / 4.0 * entries) as i32;
                    let values: Vec<i32> = (0..count).map(|_| index(numbers.next())).collect();
                    Array::from_slice(&shape, &values).unwrap()
                }
            }
        };
        ports.map(draw).collect()
    }

    /// An input as the network reads it.
    pub fn normalised(&self, input: &Array, float: DType) -> Array {
        if input.dtype() == DType::I32 {
            return input.clone();
        }
        let mut values = input.to_f64_vec();
        if let Some(Normalization { mean, divisor, .. }) = &self.normalization {
            for (i, value) in values.iter_mut().enumerate() {
                let channel = i % mean.len();
                *value = (*value - mean[channel]) / divisor[channel];
            }
        }
        Array::from_slice(input.shape(), &values).unwrap().convert(float)
    }

    /// What the model gives for inputs of the engine, by the reference.
    pub fn expected(&self, inputs: &[Array], batch: usize, float: DType) -> Vec<Array> {
        let graph = self.model.evaluation_graph(float, batch).unwrap();
        let weights = self.weights.convert(float);
        let mut all = weights.parameters.into_arrays();
        all.extend(weights.buffers.into_arrays());
        all.extend(inputs.iter().map(|input| self.normalised(input, float)));
        reference::evaluate(&graph, &all).unwrap()
    }

    /// Inputs and outputs as the file has them.
    pub fn arrays(&self, info: &ExportInfo, batch: usize) -> Vec<(String, Array)> {
        let inputs = self.inputs(batch);
        let outputs = self.expected(&inputs, batch, info.float);
        let lie = |array: &Array| match info.layout {
            ImageLayout::ChannelsFirst if array.rank() == 4 && array.dtype().is_float() => {
                channels_first(array)
            }
            _ => array.clone(),
        };
        let file = |array: Array| match array.dtype() {
            DType::I32 => array.convert(DType::I64),
            _ => lie(&array),
        };
        let ports = self.model.inputs().iter().zip(inputs);
        let inputs = ports.map(|(port, array)| (format!("in/{}", port.name), file(array)));
        let ports = self.model.outputs().iter().zip(outputs);
        inputs
            .chain(ports.map(|(port, array)| (format!("out/{}", port.name), lie(&array))))
            .collect()
    }
}

fn channels_first(array: &Array) -> Array {
    let values = array.to_f64_vec();
    let [n, h, w, c] = *array.shape() else { panic!("an image") };
    let mut turned = Vec::with_capacity(values.len());
    for example in 0..n {
        for channel in 0..c {
            for pixel in 0..h * w {
                turned.push(values[(example * h * w + pixel) * c + channel]);
            }
        }
    }
    Array::from_slice(&[n, c, h, w], &turned).unwrap().convert(array.dtype())
}

/// Numbers between -2 and 2 from a counter.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 51) as f64 - 2.0
    }
}

impl Draw for Numbers {
    fn normal(&mut self, _: &str, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }

    fn uniform(&mut self, _: &str, n: usize) -> Vec<f64> {
        (0..n).map(|_| (self.next() + 2.0) / 4.0).collect()
    }
}
