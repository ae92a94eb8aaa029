//! The cases of `fixtures/generate.py`: the same inputs bit for bit, and PyTorch's results.

use super::networks::network;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_nn::{
    Architecture, BatchNormMode, Loss, Model, ModelPort, PortType, Weights, from_torch,
};

/// One result of PyTorch's.
pub struct Expected {
    /// `loss`, `losses`, `gradient NAME`, `product NAME` or `buffer NAME`.
    pub key: String,
    /// Norm of the difference between its float32 and its float64.
    pub error: f64,
    /// Its float64, in its layout.
    pub values: Vec<f64>,
}

/// One case.
pub struct Case {
    pub name: String,
    pub model: Model,
    pub loss: Loss,
    pub mode: BatchNormMode,
    /// Parameters and running statistics, as f64.
    pub weights: Weights,
    pub input: Array,
    /// Whether the input is differentiated, after the parameters.
    pub differentiate_input: bool,
    pub target: Array,
    pub example_weights: Array,
    /// The direction of the Hessian-vector product, one array for each differentiated one.
    pub directions: Vec<Array>,
    pub expected: Vec<Expected>,
}

const SEED: u64 = 20261;

/// Numbers in [-1, 1), multiples of 2^-23; see the generator.
fn draw(name: &str, n: usize) -> Vec<f64> {
    let mut state = 0x811c_9dc5u32;
    for byte in format!("{SEED}/{name}").bytes() {
        state = (state ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / 2f64.powi(23) - 1.0
    };
    (0..n).map(next).collect()
}

fn single(shape: &[usize], values: Vec<f64>) -> Array {
    let rounded = Array::vector(&values).convert(DType::F32).convert(DType::F64);
    rounded.reshape(shape).unwrap()
}

/// Arrays in PyTorch's layout, brought into the engine's.
pub fn from_layout(model: &Model, parameters: &[Array]) -> Vec<Array> {
    let named = model.parameters().iter().map(|p| p.name.clone()).zip(parameters.iter().cloned());
    let ones = |shape: &[usize]| Array::full(shape, 1.0f64);
    let buffers = model.buffers().iter().map(|b| (b.name.clone(), ones(&b.shape)));
    let entries: Vec<_> = named.chain(buffers).collect();
    from_torch(model, &entries, DType::F64).unwrap().parameters.into_arrays()
}

pub fn read() -> Vec<Case> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let bytes = std::fs::read(folder.join("cases.bin")).unwrap();
    let mut numbers =
        bytes.chunks_exact(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap()));
    let blocks = text.split("case ").skip(1);
    let cases: Vec<Case> = blocks.map(|block| parse(block, &mut numbers)).collect();
    assert!(numbers.next().is_none());
    assert!(cases.len() > 30);
    cases
}

fn parse(block: &str, numbers: &mut impl Iterator<Item = f64>) -> Case {
    let mut lines = block.lines();
    let name = lines.next().unwrap().to_owned();
    let mut field = |key: &str| lines.next().unwrap().strip_prefix(key).unwrap().to_owned();
    let data = field("data ");
    let words: Vec<&str> = data.split(' ').collect();
    let shape: Vec<usize> = words[0].split('x').map(|extent| extent.parse().unwrap()).collect();
    let [outputs, batch, n_indices] = [1, 2, 3].map(|i| words[i].parse::<usize>().unwrap());
    let mode = match field("mode ").as_str() {
        "frozen" => BatchNormMode::Frozen,
        "batch" => BatchNormMode::Batch,
        other => panic!("mode {other}"),
    };
    let loss: Loss = field("loss ").parse().unwrap();
    let target = field("target ");
    let expected = lines.map(|line| {
        let mut words = line.splitn(4, ' ').skip(1);
        let n: usize = words.next().unwrap().parse().unwrap();
        let error = words.next().unwrap().parse().unwrap();
        let key = words.next().unwrap().to_owned();
        Expected { key, error, values: numbers.take(n).collect() }
    });
    let expected: Vec<Expected> = expected.collect();

    let model = match name.strip_prefix("layer ") {
        None => name.parse::<Architecture>().unwrap().build(&shape, outputs).unwrap(),
        Some(layer) => {
            let mut port = ModelPort::float("input", &shape);
            if n_indices > 0 {
                port.ty = PortType::Index;
            }
            Model::new(Arc::new(network(layer)), vec![port], &["output"]).unwrap()
        }
    };
    assert_eq!(model.outputs()[0].shape.last(), Some(&outputs), "{name}");

    let differentiate_input = expected.iter().any(|e| e.key == "gradient input");
    let input_shape = [&[batch], shape.as_slice()].concat();
    let n_input = input_shape.iter().product();
    let raw = draw(&format!("{name}/input"), n_input);
    let whole = |values: Vec<f64>, below: usize| -> Vec<i32> {
        values.iter().map(|u| ((u + 1.0) * 0.5 * below as f64) as i32).collect()
    };
    let input = if n_indices > 0 {
        Array::from_slice(&input_shape, &whole(raw, n_indices)).unwrap()
    } else {
        single(&input_shape, raw.iter().map(|u| u * 1.75).collect())
    };
    let target_name = format!("{name}/target");
    let target = match target.as_str() {
        "labels" => Array::vector(&whole(draw(&target_name, batch), outputs.max(2))),
        "tokens" => {
            let values = draw(&target_name, batch * shape[0]);
            Array::from_slice(&[batch, shape[0]], &whole(values, outputs)).unwrap()
        }
        "values" => single(&[batch, outputs], draw(&target_name, batch * outputs)),
        "probabilities" => {
            let values = draw(&target_name, batch * outputs);
            single(&[batch, outputs], values.iter().map(|u| (u + 1.0) * 0.5).collect())
        }
        other => panic!("target {other}"),
    };
    let example_weights = draw(&format!("{name}/weights"), batch);
    let example_weights = single(&[batch], example_weights.iter().map(|u| 1.0 + 0.5 * u).collect());

    let mut directions = Vec::new();
    for parameter in model.parameters() {
        let values = draw(&format!("{name}/direction/{}", parameter.name), parameter.count());
        directions.push(single(&parameter.torch.shape, values));
    }
    let mut directions = from_layout(&model, &directions);
    if differentiate_input {
        directions.push(single(&input_shape, draw(&format!("{name}/direction/input"), n_input)));
    }
    Case {
        weights: weights(&name, &model),
        name,
        model,
        loss,
        mode,
        input,
        differentiate_input,
        target,
        example_weights,
        directions,
        expected,
    }
}

fn weights(case: &str, model: &Model) -> Weights {
    let mut entries = Vec::new();
    for parameter in model.parameters() {
        let name = &parameter.name;
        let shape = &parameter.torch.shape;
        let n = parameter.count();
        let values = draw(&format!("{case}/{name}"), n).into_iter();
        let values: Vec<f64> = if shape.len() > 1 {
            let scale = (6.0 / (n / shape[0]) as f64).sqrt();
            values.map(|u| u * scale).collect()
        } else if name.ends_with("bias") {
            values.map(|u| u * 0.25).collect()
        } else {
            values.map(|u| 1.0 + u * 0.25).collect()
        };
        entries.push((name.clone(), single(shape, values)));
    }
    for buffer in model.buffers() {
        let draws = draw(&format!("{case}/{}", buffer.name), buffer.shape[0]);
        let start = buffer.initial();
        let values = draws.into_iter().map(|u| start + u * 0.5).collect();
        entries.push((buffer.name.clone(), single(&buffer.shape, values)));
    }
    from_torch(model, &entries, DType::F64).unwrap()
}
