//! Runs test cases of the ONNX project's form and prints one line of JSON for each.
//!
//! `onnx_cases FOLDER [f32|f64|model]`: each folder in FOLDER holds `model.onnx` and folders
//! `test_data_set_N` with `input_I.pb` and `output_I.pb`. A case passes if every output is within
//! `1e-7 + 1e-3 |expected|`, as the ONNX project's own runner has it. With `model` the file is
//! imported as a trainable model for a batch, and its first output compared to `1e-6` in f64.

use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_exec::Executor;
use thalweg_formats::ElementKind;
use thalweg_formats::onnx::{self, OnnxModel};
use thalweg_graph::{Builder, TensorType};

type Failure = (&'static str, String);

struct Given {
    name: String,
    kind: ElementKind,
    array: Array,
}

fn tensors(folder: &Path, kind: &str) -> Result<Vec<Given>, Failure> {
    let mut found = Vec::new();
    for i in 0.. {
        let path = folder.join(format!("{kind}_{i}.pb"));
        let Ok(bytes) = std::fs::read(&path) else { break };
        let (name, kind, array) =
            onnx::read_tensor(&bytes).map_err(|error| ("data", error.to_string()))?;
        found.push(Given { name, kind, array });
    }
    Ok(found)
}

fn compare(got: &Array, expected: &Given) -> Result<(), Failure> {
    let Given { name, kind, array: expected } = expected;
    let wrong = |what: String| Err(("wrong", format!("output `{name}`: {what}")));
    if got.shape() != expected.shape() {
        return wrong(format!("shape {:?}, expected {:?}", got.shape(), expected.shape()));
    }
    // The engine does not round to halves on the way.
    let relative = match kind {
        ElementKind::BF16 => 2e-2,
        ElementKind::F16 => 3e-3,
        _ => 1e-3,
    };
    let absolute = match kind {
        ElementKind::BF16 => 2e-2,
        ElementKind::F16 => 1e-3,
        _ => 1e-7,
    };
    let pairs = got.to_f64_vec().into_iter().zip(expected.to_f64_vec());
    for (at, (got, expected)) in pairs.enumerate() {
        let near = (got - expected).abs() <= absolute + relative * expected.abs();
        if !(near || got == expected || got.is_nan() && expected.is_nan()) {
            return wrong(format!("{got} at {at}, expected {expected}"));
        }
    }
    if got.dtype().is_float() != expected.dtype().is_float() {
        return wrong(format!("type {}, expected {}", got.dtype(), expected.dtype()));
    }
    Ok(())
}

fn run(
    model: &OnnxModel,
    inputs: &[Given],
    float: DType,
    executor: &Executor,
    is_known: impl Fn(usize, &Given) -> bool,
) -> Result<Vec<(String, Array)>, Failure> {
    let builder = Builder::new(float);
    let (mut known, mut named, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
    for (i, given) in inputs.iter().enumerate() {
        if is_known(i, given) {
            known.push((given.name.clone(), given.array.clone()));
            continue;
        }
        let array = match given.array.dtype().is_float() {
            true => given.array.convert(float),
            false => given.array.clone(),
        };
        let ty = TensorType::new(array.dtype(), array.shape());
        named.push((given.name.clone(), builder.input(&given.name, ty)));
        arrays.push(array);
    }
    let outputs =
        model.trace_with(&builder, &named, &known).map_err(|error| ("trace", error.to_string()))?;
    let listed: Vec<_> = outputs.iter().map(|(name, x)| (name.as_str(), *x)).collect();
    let graph = builder.finish(&listed).map_err(|error| ("graph", error.to_string()))?;
    let program = executor.compile(&graph).map_err(|error| ("plan", error.to_string()))?;
    let results = program.run(arrays).map_err(|error| ("run", error.to_string()))?;
    Ok(outputs.into_iter().map(|(name, _)| name).zip(results).collect())
}

fn case(folder: &Path, float: DType, executor: &Executor) -> Result<(), Failure> {
    let model =
        OnnxModel::load(&folder.join("model.onnx")).map_err(|error| ("read", error.to_string()))?;
    for set in 0.. {
        let data = folder.join(format!("test_data_set_{set}"));
        if !data.exists() {
            return if set == 0 { Err(("data", "no data".into())) } else { Ok(()) };
        }
        let inputs = tensors(&data, "input")?;
        let expected = tensors(&data, "output")?;
        if expected.is_empty() {
            return Err(("data", "its outputs are no tensors".into()));
        }
        // What shapes a result has to be known: first integers, then all but the first input.
        let results = run(&model, &inputs, float, executor, |_, _| false)
            .or_else(|failure| match failure.1.contains("must be known") {
                true => run(&model, &inputs, float, executor, |_, given| !given.kind.is_float()),
                false => Err(failure),
            })
            .or_else(|failure| match failure.1.contains("must be known") {
                true => run(&model, &inputs, float, executor, |i, _| i > 0),
                false => Err(failure),
            })
            .or_else(|failure| match failure.1.contains("must be known") {
                true => run(&model, &inputs, float, executor, |_, _| true),
                false => Err(failure),
            })?;
        for (i, expected) in expected.iter().enumerate() {
            let at = results.iter().position(|(name, _)| *name == expected.name).unwrap_or(i);
            let missing = || ("wrong", format!("no output `{}`", expected.name));
            compare(&results.get(at).ok_or_else(missing)?.1, expected)?;
        }
    }
    Ok(())
}

/// The case as a model with parameters and buffers.
fn as_model(folder: &Path, executor: &Executor) -> Result<(), Failure> {
    let trace = |error: thalweg_formats::FormatError| ("trace", error.to_string());
    let file =
        OnnxModel::load(&folder.join("model.onnx")).map_err(|error| ("read", error.to_string()))?;
    let data = folder.join("test_data_set_0");
    let (inputs, expected) = (tensors(&data, "input")?, tensors(&data, "output")?);
    let examples: Vec<Vec<usize>> = inputs.iter().map(|g| g.array.shape()[1..].to_vec()).collect();
    let model = file.model(&examples, &[]).map_err(trace)?;
    let weights = file.weights(&model, DType::F64).map_err(trace)?;
    let batch = inputs[0].array.shape()[0];
    let graph =
        model.evaluation_graph(DType::F64, batch).map_err(|error| ("graph", error.to_string()))?;
    let program = executor.compile(&graph).map_err(|error| ("plan", error.to_string()))?;
    let mut arrays = weights.parameters.into_arrays();
    arrays.extend(weights.buffers.into_arrays());
    for (given, port) in inputs.iter().zip(model.inputs()) {
        arrays.push(given.array.convert(port.batch_type(DType::F64, batch).dtype));
    }
    let results = program.run(arrays).map_err(|error| ("run", error.to_string()))?;
    let (got, expected) = (&results[0], &expected[0].array);
    if got.shape() != expected.shape() {
        let (got, expected) = (got.shape(), expected.shape());
        return Err(("wrong", format!("shape {got:?}, expected {expected:?}")));
    }
    let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
    let size = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let error = got.iter().zip(&expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    match error <= 1e-6 * size {
        true => Ok(()),
        false => Err(("wrong", format!("off by {error:e} of {size:e}"))),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder of cases"));
    let mode = arguments.next();
    let whole = mode.as_deref() == Some("model");
    let float = if mode.as_deref() == Some("f64") { DType::F64 } else { DType::F32 };
    let executor = Executor::new(1);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("a folder")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    std::panic::set_hook(Box::new(|_| {}));
    for path in cases {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let attempt = std::panic::AssertUnwindSafe(|| match whole {
            true => as_model(&path, &executor),
            false => case(&path, float, &executor),
        });
        let result = std::panic::catch_unwind(attempt).unwrap_or(Err(("panic", String::new())));
        let (status, why) = match result {
            Ok(()) => ("pass", String::new()),
            Err(failure) => failure,
        };
        println!("{}", serde_json::json!({ "case": name, "status": status, "why": why }));
    }
}
