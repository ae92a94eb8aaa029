//! Models that PyTorch's two exporters, skl2onnx and ONNX's own helper wrote, against PyTorch's and
//! scikit-learn's numbers in f64; `onnx/generate.py` made them.

use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_exec::{Executor, reference};
use thalweg_formats::onnx::OnnxModel;
use thalweg_formats::{FormatError, npz};
use thalweg_graph::{Builder, TensorType};
use thalweg_nn::{Axis, Loss, Mode, Model, PortType, Role, Statistic, Weights};
use thalweg_transform::gradient_and_hvp;

/// Numbers of the files are rounded to f32 at most where the graph holds constants.
const NEAR: f64 = 1e-6;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx").join(name)
}

struct Fixture {
    file: OnnxModel,
    model: Model,
    weights: Weights,
    arrays: Vec<(String, Array)>,
}

impl Fixture {
    fn read(name: &str) -> Fixture {
        let file = OnnxModel::load(&path(&format!("{name}.onnx"))).expect("a model");
        let bytes = std::fs::read(path(&format!("{name}.npz"))).expect("numbers");
        let arrays: Vec<(String, Array)> = npz::read(&bytes).expect("arrays").into_iter().collect();
        let x = &arrays.iter().find(|(name, _)| name == "x").expect("an input").1;
        let outputs: &[String] = match name {
            "scikit_learn" => &["probabilities".into()],
            _ => &[],
        };
        let model = file.model(&[x.shape()[1..].to_vec()], outputs).expect("a traced model");
        let weights = file.weights(&model, DType::F64).expect("weights");
        Fixture { file, model, weights, arrays }
    }

    fn get(&self, name: &str) -> &Array {
        let found = self.arrays.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    fn input(&self) -> Array {
        match self.model.inputs()[0].ty {
            PortType::Float => self.get("x").convert(DType::F64),
            PortType::Index => self.get("x").convert(DType::I32),
        }
    }

    /// The first output of rows of the input.
    fn output(&self, weights: &Weights, rows: std::ops::Range<usize>) -> Array {
        let x = self.input().rows(rows).expect("rows");
        let graph = self.model.evaluation_graph(DType::F64, x.shape()[0]).expect("a graph");
        let mut inputs = weights.parameters.clone().into_arrays();
        inputs.extend(weights.buffers.clone().into_arrays());
        inputs.push(x);
        Executor::new(1).compile(&graph).expect("a plan").run(inputs).expect("a run").remove(0)
    }

    /// Every weight's name has its role.
    fn role(&self, name: &str) -> (Role, Vec<Axis>) {
        let parameter = self.model.parameters().iter().find(|p| p.name == name);
        let parameter = parameter.unwrap_or_else(|| panic!("no {name}"));
        (parameter.role, parameter.axes.clone())
    }
}

#[track_caller]
fn assert_near(what: &str, got: &Array, expected: &Array) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let (got, expected) = (got.to_f64_vec(), expected.to_f64_vec());
    let size = expected.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
    let error = got.iter().zip(&expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(error <= NEAR * size, "{what}: off by {error:e} of {size:e}");
}

const NAMES: [&str; 12] = [
    "mlp",
    "cnn",
    "cnn_folded",
    "squeeze_excite",
    "unet",
    "vit",
    "gpt",
    "gpt_folded",
    "encoder",
    "lstm",
    "gru",
    "scikit_learn",
];

/// Of the batch sizes, three are none that the exporter saw.
#[test]
fn outputs_are_those_of_the_exporting_framework() {
    for name in NAMES {
        let fixture = Fixture::read(name);
        let expected = fixture.get("y");
        for rows in [0..4, 0..3, 1..2, 2..4] {
            let what = format!("{name} {rows:?}");
            let y = expected.rows(rows.clone()).expect("rows");
            assert_near(&what, &fixture.output(&fixture.weights, rows), &y);
        }
    }
}

#[test]
fn inspecting_names_everything_without_tracing() {
    for name in NAMES {
        let fixture = Fixture::read(name);
        let inspection = fixture.file.inspect();
        assert_eq!(inspection.unsupported().count(), 0, "{name}: {:?}", inspection.ops);
        if name != "scikit_learn" {
            assert_eq!(inspection.parameter_count(), fixture.model.parameter_count(), "{name}");
        }
    }
}

/// The value, the gradient and a Hessian product of the loss, by this mode's statistics.
fn check_derivatives(fixture: &Fixture, mode: &Mode<'static>, prefix: &str) {
    let builder = Builder::new(DType::F64);
    let (parameters, buffers) = fixture.model.declare(&builder);
    let n = fixture.get("x").shape()[0];
    let x = builder.input("x*", fixture.model.inputs()[0].batch_type(DType::F64, n));
    let labels = fixture.get("labels");
    let target = builder.input("labels*", TensorType::new(DType::I32, labels.shape()));
    let vector: Vec<_> = fixture
        .model
        .parameters()
        .iter()
        .map(|p| {
            builder.input(&format!("v {}", p.name), TensorType::new(DType::F64, p.shape.clone()))
        })
        .collect();
    let applied = fixture.model.apply(&builder, &parameters, &buffers, x, mode);
    let loss = Loss::CrossEntropy { smoothing: 0.0 }.of(applied.output, target, None);
    let (gradient, product) = gradient_and_hvp(loss, &parameters, &vector);
    let names: Vec<String> = (0..2 * gradient.len() + 1).map(|i| i.to_string()).collect();
    let values = [loss].into_iter().chain(gradient).chain(product);
    let listed: Vec<_> = names.iter().map(String::as_str).zip(values).collect();
    let graph = builder.finish(&listed).expect("a graph");
    let mut inputs = fixture.weights.parameters.clone().into_arrays();
    inputs.extend(fixture.weights.buffers.clone().into_arrays());
    inputs.extend([fixture.input(), labels.clone()]);
    for parameter in fixture.model.parameters() {
        inputs.push(fixture.get(&format!("{prefix}vec:{}", parameter.name)).clone());
    }
    let results = reference::evaluate(&graph, &inputs).expect("numbers");
    assert_near("loss", &results[0], fixture.get(&format!("{prefix}loss")));
    let count = fixture.model.parameters().len();
    for (i, parameter) in fixture.model.parameters().iter().enumerate() {
        let name = &parameter.name;
        let gradient = fixture.get(&format!("{prefix}grad:{name}"));
        assert_near(&format!("{prefix}gradient {name}"), &results[1 + i], gradient);
        let product = fixture.get(&format!("{prefix}hvp:{name}"));
        assert_near(&format!("{prefix}product {name}"), &results[1 + count + i], product);
    }
}

#[test]
fn derivatives_are_pytorchs() {
    for name in ["mlp", "cnn", "gpt"] {
        let fixture = Fixture::read(name);
        // Every parameter of PyTorch's is one here, under its name.
        let trained = fixture.arrays.iter().filter(|(name, _)| name.starts_with("grad:")).count();
        assert_eq!(fixture.model.parameters().len(), trained, "{name}");
        check_derivatives(&fixture, &Mode::EVALUATE, "");
    }
}

#[test]
fn batch_normalisation_has_its_modes() {
    let fixture = Fixture::read("cnn");
    check_derivatives(&fixture, &Mode::BATCH, "batch:");
    let names: Vec<&str> = fixture.model.buffers().iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["b1.running_mean", "b1.running_var", "b2.running_mean", "b2.running_var"]);
    assert_eq!(fixture.model.buffers()[1].statistic, Statistic::Variance);
    let builder = Builder::new(DType::F64);
    let (parameters, buffers) = fixture.model.declare(&builder);
    let x = builder.input("x*", fixture.model.inputs()[0].batch_type(DType::F64, 4));
    let applied = fixture.model.apply(&builder, &parameters, &buffers, x, &Mode::BATCH);
    let statistics = applied.statistics.iter().map(|s| ("statistic", *s));
    let mut listed = vec![("y".to_owned(), applied.output)];
    listed.extend(names.iter().map(|n| format!("moved:{n}")).zip(applied.new_buffers.clone()));
    listed.extend(statistics.enumerate().map(|(i, (name, s))| (format!("{name}{i}"), s)));
    let named: Vec<_> = listed.iter().map(|(name, x)| (name.as_str(), *x)).collect();
    let graph = builder.finish(&named).expect("a graph");
    let mut inputs = fixture.weights.parameters.clone().into_arrays();
    inputs.extend(fixture.weights.buffers.clone().into_arrays());
    inputs.push(fixture.input());
    let results = reference::evaluate(&graph, &inputs).expect("numbers");
    assert_near("output", &results[0], fixture.get("batch:y"));
    for (i, name) in names.iter().enumerate() {
        assert_near(name, &results[1 + i], fixture.get(&format!("moved:{name}")));
    }
    // The running ones move towards those of the batch by each layer's momentum.
    let momentum = [0.1, 0.1, 0.3, 0.3];
    for (i, momentum) in momentum.into_iter().enumerate() {
        let [moved, now] = [&results[1 + i], &results[5 + i]].map(Array::to_f64_vec);
        let before = fixture.weights.buffers.arrays()[i].to_f64_vec();
        for ((moved, now), before) in moved.iter().zip(now).zip(before) {
            let expected = (1.0 - momentum) * before + momentum * now;
            assert!((moved - expected).abs() < 1e-12, "{moved} {expected}");
        }
    }
}

#[test]
fn roles_and_axes_follow_from_use() {
    use Axis::{Input, Other, Output, Spatial};
    let cnn = Fixture::read("cnn");
    assert_eq!(cnn.role("c2.weight"), (Role::Weight, vec![Output, Input, Spatial, Spatial]));
    assert_eq!(cnn.role("c2.bias"), (Role::Bias, vec![Output]));
    assert_eq!(cnn.role("b1.weight"), (Role::NormScale, vec![Output]));
    assert_eq!(cnn.role("b1.bias"), (Role::NormShift, vec![Output]));
    assert_eq!(cnn.role("f.weight"), (Role::Weight, vec![Output, Input]));
    let unet = Fixture::read("unet");
    assert_eq!(unet.role("up.weight"), (Role::Weight, vec![Input, Output, Spatial, Spatial]));
    // The exporter has reshaped two of these and given them names of its own.
    let scales = unet.model.parameters().iter().filter(|p| p.role == Role::NormScale);
    let scales: Vec<&str> = scales.map(|p| p.name.as_str()).collect();
    assert_eq!(scales, ["instance.weight", "group.weight", "slope.weight"]);
    let gpt = Fixture::read("gpt");
    assert_eq!(gpt.role("w.weight"), (Role::Embedding, vec![Input, Output]));
    assert_eq!(gpt.role("qkv.weight").0, Role::Weight);
    assert_eq!(gpt.role("lf.bias").0, Role::NormShift);
    assert!(gpt.model.parameters().iter().all(|p| p.name != "mask"), "a mask is no parameter");
    let vit = Fixture::read("vit");
    assert_eq!(vit.role("places"), (Role::Embedding, vec![Other, Other, Output]));
    assert_eq!(vit.role("cls").0, Role::Embedding);
    let lstm = Fixture::read("lstm");
    let recurrent = lstm.model.parameters().iter().filter(|p| p.shape.len() == 3);
    for parameter in recurrent {
        assert_eq!(parameter.axes, [Other, Output, Input], "{}", parameter.name);
    }
    let mlp = Fixture::read("mlp");
    assert_eq!(mlp.model.parameters()[0].name, "0.weight");
    assert_eq!(mlp.model.parameter_count(), 6 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3);
    let sklearn = Fixture::read("scikit_learn");
    let roles: Vec<Role> = sklearn.model.parameters().iter().map(|p| p.role).collect();
    let weights = roles.iter().filter(|&&role| role == Role::Weight).count();
    assert_eq!((roles.len(), weights), (4, 2), "{:?}", sklearn.model.parameters());
}

#[test]
fn notes_say_what_a_reader_should_know() {
    let notes = |name: &str| Fixture::read(name).file.inspect().notes.join("\n");
    assert!(
        notes("cnn_folded").contains("folded into the convolutions"),
        "{}",
        notes("cnn_folded")
    );
    assert!(notes("cnn_folded").contains("batch size of 1"));
    assert!(notes("scikit_learn").contains("softmax"), "{}", notes("scikit_learn"));
    assert_eq!(notes("cnn"), "");
    assert!(notes("gpt").contains("`mask`"), "{}", notes("gpt"));
    assert!(notes("gpt_folded").contains("`permute` from `w.weight`"), "{}", notes("gpt_folded"));
}

#[test]
fn other_weights_go_into_the_file_and_come_back() {
    for name in ["cnn", "gpt", "lstm", "scikit_learn"] {
        let fixture = Fixture::read(name);
        // Whole eighths survive f32.
        let changed = |weights: &thalweg_nn::Parameters| {
            let arrays = weights.arrays().iter().map(|array| {
                let values: Vec<f64> =
                    array.to_f64_vec().iter().map(|v| (v * 8.0).round() / 8.0 + 1.0).collect();
                Array::from_slice(array.shape(), &values).expect("as many")
            });
            weights.with_arrays(arrays.collect()).expect("the same structure")
        };
        let weights = Weights {
            parameters: changed(&fixture.weights.parameters),
            buffers: changed(&fixture.weights.buffers),
        };
        let bytes = fixture.file.with_weights(&weights).expect("a file");
        let again = OnnxModel::read(&bytes, &mut |_| panic!("no other file")).expect("a model");
        assert_eq!(again.weights(&fixture.model, DType::F64).expect("weights"), weights, "{name}");
        assert_eq!(again.inspect(), fixture.file.inspect(), "{name}");
        // The old weights give the old file.
        let old = again.with_weights(&fixture.weights).expect("a file");
        let untouched = fixture.file.with_weights(&fixture.weights).expect("a file");
        assert_eq!(old, untouched, "{name}");
    }
}

#[test]
fn tensors_in_another_file_are_read_and_written_into_one() {
    let file = OnnxModel::load(&path("external.onnx")).expect("a model");
    let model = file.model(&[vec![3]], &[]).expect("a traced model");
    let weights = file.weights(&model, DType::F32).expect("weights");
    let weight = weights.parameters.get("weight").expect("a weight").to_f64_vec();
    assert_eq!(weight, (0..9).map(|i| f64::from(i) / 8.0).collect::<Vec<_>>());
    let bytes = file.with_weights(&weights).expect("a file");
    let alone = OnnxModel::read(&bytes, &mut |_| panic!("no other file")).expect("a model");
    assert_eq!(alone.weights(&model, DType::F32).expect("weights"), weights);
}

/// `leaky(x) = x, or slope x below zero`; twice it, squared, with slopes one half and one quarter.
#[test]
fn functions_and_branches_are_put_in_their_places() {
    let file = OnnxModel::load(&path("functions.onnx")).expect("a model");
    let model = file.model(&[vec![3]], &[]).expect("a traced model");
    let weights = file.weights(&model, DType::F64).expect("weights");
    let graph = model.evaluation_graph(DType::F64, 1).expect("a graph");
    let x = Array::from_slice(&[1, 3], &[1.0, -2.0, 0.5]).expect("three");
    let bias = weights.parameters.arrays()[0].clone();
    let y = reference::evaluate(&graph, &[bias, x]).expect("numbers");
    // (2 * 1)^2 = 4, (2 * 4)^2 = 64; (2 * -1)^2 = 4 again; (2 * 0.5)^2 = 1, (2 * 1)^2 = 4.
    assert_eq!(y[0].to_f64_vec(), [64.0 + 1.0, 64.0 - 1.0, 4.0 + 0.5]);
}

fn fault<T>(result: Result<T, FormatError>) -> String {
    match result {
        Ok(_) => panic!("it is refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_does_not_fit_is_said_in_one_sentence() {
    let file = OnnxModel::load(&path("cnn.onnx")).expect("a model");
    assert_eq!(
        fault(file.model(&[vec![7, 7, 2]], &[])),
        "ONNX: input `x` takes examples of shape [2, 7, 7], the data have [7, 7, 2]"
    );
    assert_eq!(
        fault(file.model(&[vec![2, 7, 7], vec![1]], &[])),
        "ONNX: the model has 1 inputs (`x`), the data have 2"
    );
    let message = fault(file.model(&[vec![2, 7, 7]], &["z".into()]));
    assert!(message.starts_with("ONNX: the model has no output `z`; it has `"), "{message}");
}
