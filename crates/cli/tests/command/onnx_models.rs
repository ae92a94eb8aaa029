//! ONNX files as models: measured, trained, written again.

use crate::harness::{Bench, number};
use std::path::Path;
use thalweg_array::{Array, DType};
use thalweg_formats::npz;

const N: usize = 40;

/// The bytes of one of the files that the importer is tested with.
fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/onnx");
    std::fs::read(folder.join(name)).expect("a file of the importer's tests")
}

/// Examples of a shape with labels of three classes.
fn data(bench: &Bench, name: &str, shape: &[usize]) {
    let shape = [&[N], shape].concat();
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
    let x = Array::from_slice(&shape, &values).unwrap();
    let y = Array::vector(&(0..N as i64).map(|i| i * i % 3).collect::<Vec<_>>());
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Stored).unwrap();
    bench.write(name, bytes);
}

fn bench(test: &str) -> Bench {
    let bench = Bench::new(test);
    for name in ["mlp.onnx", "cnn.onnx", "cnn_folded.onnx"] {
        bench.write(name, file(name));
    }
    data(&bench, "features.npz", &[6]);
    data(&bench, "first.npz", &[2, 7, 7]);
    bench
}

#[test]
fn a_file_is_inspected() {
    let bench = bench("onnx-inspect");
    let told = bench.json("inspect cnn.onnx");
    assert_eq!((&told["format"], &told["parameter_count"]), (&"onnx".into(), &389.into()));
    assert_eq!(told["inputs"][0]["shape"], serde_json::json!(["batch", 2, 7, 7]));
    let norm = told["parameters"].as_array().unwrap().iter().find(|p| p["name"] == "b1.weight");
    assert_eq!(norm.unwrap()["role"], "norm-scale");
    assert_eq!(told["buffers"][0]["role"], "mean");
    assert!(told["operations"].as_array().unwrap().iter().all(|op| op["supported"] == true));
    let notes = bench.json("inspect cnn_folded.onnx")["notes"].to_string();
    assert!(notes.contains("folded"), "{notes}");
    assert!(bench.ok("inspect mlp.onnx").stdout.contains("0.weight  [8, 6]  weight  output input"));
}

#[test]
fn channels_may_be_first_or_last_and_all_data_are_measured() {
    let bench = bench("onnx-channels");
    let read = npz::read(&bench.read("first.npz")).unwrap();
    let find = |name: &str| &read.iter().find(|(known, _)| known == name).unwrap().1;
    let (x, y) = (find("x").to_f64_vec(), find("y").clone());
    let at = |i: usize| {
        let (n, h, w, c) = (i / 98, i / 14 % 7, i / 2 % 7, i % 2);
        x[((n * 2 + c) * 7 + h) * 7 + w] as f32
    };
    let last: Vec<f32> = (0..N * 98).map(at).collect();
    let last = Array::from_slice(&[N, 7, 7, 2], &last).unwrap();
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &last), ("y", &y)], npz::Compression::Stored).unwrap();
    bench.write("last.npz", bytes);
    let surface = |data: &str| {
        bench.json(&format!("surface cnn.onnx --data {data}.npz --x -1:1:3 --seed 3 --out {data}"))
    };
    let (first, last) = (surface("first"), surface("last"));
    assert_eq!((&first["loss"], &first["maximum"]), (&last["loss"], &last["maximum"]));
    assert_eq!(first["samples"], N);
    let study = String::from_utf8(bench.read("first/study.toml")).unwrap();
    let page = String::from_utf8(bench.read("first/report.html")).unwrap();
    assert!(page.contains("whether training saw them is not known here"));
    assert!(study.contains("split = \"all\"") && study.contains("model = \"cnn.onnx\""), "{study}");
    let message = bench.run("surface cnn.onnx --data features.npz").sentence();
    assert!(message.contains("cnn.onnx") && message.contains("[2, 7, 7]"), "{message}");
}

#[test]
fn training_goes_on_from_a_file_and_back_into_one() {
    let bench = bench("onnx-train");
    let before = bench.json("spectrum cnn.onnx --data first.npz --top 0 --trace 0 --out a");
    let train = "train cnn.onnx --data first.npz --steps 60 --lr 0.05 --batch 8 --checkpoints 1";
    let trained = bench.json(&format!("{train} --out run"));
    let loss = |line: &str| number(&bench.json(line)["loss"]);
    assert!(number(&trained["members"][0]["train_loss"]) < number(&before["loss"]));
    // The run keeps the graph: nothing but the run is asked for.
    std::fs::remove_file(bench.path("cnn.onnx")).unwrap();
    let own = loss("surface run --line --x -1:1:3 --split all --out own");
    bench.ok("surface run --directions trajectory --x -1:1:3 --out trajectory");
    bench.ok("export run --onnx");
    let again = "surface run/export/seed-0.onnx --data first.npz --line --x -1:1:3 --out again";
    assert!((loss(again) - own).abs() < 1e-6 * own.abs(), "{own}");
    // The graph alone, with the weights of the run.
    bench.write("graph.onnx", file("cnn.onnx"));
    bench.ok("export run --safetensors --out weights");
    let apart =
        "surface weights/seed-0.safetensors --arch graph.onnx --line --x -1:1:3 --split all";
    assert_eq!(loss(&format!("{apart} --out apart")), own);
    let fresh =
        "train --arch graph.onnx --data first.npz --steps 4 --seeds 0..2 --batch 8 --out new";
    let fresh = bench.json(fresh);
    assert_ne!(fresh["members"][0]["train_loss"], fresh["members"][1]["train_loss"]);
    let message = bench.run("surface graph.onnx --arch mlp --data first.npz");
    assert_eq!(message.code, Some(2));
    assert!(message.sentence().contains("brings its own graph"), "{message:?}");
}

#[test]
fn indicators_find_the_features_and_units_of_a_graph() {
    let bench = bench("onnx-indicators");
    // Every class has examples, which it has not in the other tests' data.
    let read = npz::read(&bench.read("first.npz")).unwrap();
    let x = read.into_iter().find(|(name, _)| name == "x").unwrap().1;
    let y = Array::vector(&(0..N as i64).map(|i| i % 3).collect::<Vec<_>>());
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Stored).unwrap();
    bench.write("all.npz", bytes);
    let train = "train cnn.onnx --data all.npz --steps 40 --lr 0.05 --batch 8";
    bench.ok(&format!("{train} --watch neural_collapse:20,dead_units:20 --out run"));
    bench.ok("export run --onnx");
    let of = "--instruments dead_units,feature_rank,neural_collapse,weight_norm --split all";
    let same =
        bench.json(&format!("compare run run/export/seed-0.onnx {of} --data all.npz --out s"));
    let quantities = same["quantities"].as_array().unwrap();
    assert!(quantities.len() > 8, "{quantities:?}");
    for quantity in quantities {
        let read = |i: usize| {
            let value = &quantity["values"][i];
            number(if value.is_object() { &value["value"] } else { value })
        };
        assert!((read(0) - read(1)).abs() < 1e-4 * read(0).abs().max(1e-3), "{quantity}");
    }
    let lacks = "compare run run --data first.npz --split all --instruments neural_collapse";
    let done = bench.run(&format!("{lacks} --out lacks"));
    assert!(
        done.sentence().contains("features of class 2: expected those of at least"),
        "{done:?}"
    );
    // The tokens of a sequence have no class each.
    bench.write("gpt.onnx", file("gpt.onnx"));
    let tokens = Array::from_slice(&[N, 5], &(0..N as i64 * 5).map(|i| i % 7).collect::<Vec<_>>());
    let tokens = tokens.unwrap();
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &tokens), ("y", &tokens)], npz::Compression::Stored).unwrap();
    bench.write("tokens.npz", bytes);
    let compare = "compare gpt.onnx gpt.onnx --data tokens.npz";
    let found = bench.json(&format!("{compare} --instruments feature_rank,dead_units --out gpt"));
    assert!(found["quantities"].as_array().unwrap().len() >= 4);
    let done = bench.run(&format!("{compare} --instruments neural_collapse --out none"));
    assert_eq!(done.code, Some(1));
    assert!(done.sentence().contains("expected examples with a class each"), "{done:?}");
}

#[test]
fn precision_is_that_of_the_data_where_it_matters() {
    let bench = bench("onnx-precision");
    let double = Array::full(&[4, 6], 0.1).convert(DType::F64);
    let y = Array::vector(&[0i64, 1, 2, 0]);
    for (name, x) in [("double", &double), ("single", &double.convert(DType::F32))] {
        let mut bytes = Vec::new();
        npz::write(&mut bytes, &[("x", x), ("y", &y)], npz::Compression::Stored).unwrap();
        bench.write(&format!("{name}.npz"), bytes);
    }
    let loss = |data: &str| {
        let line = "surface mlp.onnx --line --x -1:1:3 --precision f64";
        number(&bench.json(&format!("{line} --data {data}.npz --out {data}"))["loss"])
    };
    let (double, single) = (loss("double"), loss("single"));
    let apart = (double - single).abs();
    assert!(apart > 1e-12 && apart < 1e-7, "{double} {single}");
}

#[test]
fn a_test_set_may_lack_a_class_that_the_graph_has() {
    let bench = bench("onnx-classes");
    let x = Array::full(&[4, 6], 0.25);
    let y = Array::vector(&[0i64, 2, 2, 0]);
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Stored).unwrap();
    bench.write("few.npz", bytes);
    bench.ok("export mlp.onnx --safetensors --out w.safetensors");
    let loss = |model: &str, out: &str| {
        let line = format!("surface {model} --data few.npz --line --x -1:1:3 --out {out}");
        let done = bench.ok(&format!("{line} --json"));
        assert!(done.stderr.contains("no example has label 1"), "{}", done.stderr);
        number(&done.json()["loss"])
    };
    let own = loss("mlp.onnx", "own");
    assert_eq!(own, loss("w.safetensors --arch mlp.onnx", "apart"));
}

#[test]
fn tensors_beside_a_file_are_part_of_what_it_is() {
    let bench = bench("onnx-external");
    bench.write("external.onnx", file("external.onnx"));
    let mut tensors = file("external.bin");
    let run = |tensors: &[u8], out: &str| {
        bench.write("external.bin", tensors);
        let told = bench.json("inspect external.onnx");
        let shape = &told["inputs"][0]["shape"];
        let width = shape[1].as_u64().unwrap() as usize;
        data(&bench, "wide.npz", &[width]);
        bench.ok(&format!("surface external.onnx --data wide.npz --line --x -1:1:3 --out {out}"));
        let study = String::from_utf8(bench.read(&format!("{out}/study.toml"))).unwrap();
        study.lines().find(|line| line.starts_with("weights_fingerprints")).unwrap().to_owned()
    };
    let before = run(&tensors, "a");
    assert_eq!(run(&tensors, "b"), before);
    tensors[2] ^= 1;
    assert_ne!(run(&tensors, "c"), before);
    std::fs::remove_file(bench.path("external.bin")).unwrap();
    let message = bench.run("inspect external.onnx").sentence();
    assert!(message.contains("external.bin"), "{message}");
}

#[test]
fn a_token_that_the_model_does_not_have_is_named_by_its_row() {
    let bench = Bench::new("onnx-tokens");
    bench.write("gpt.onnx", file("gpt.onnx"));
    let save = |name: &str, token: i64| {
        let mut tokens: Vec<i64> = (0..N as i64 * 5).map(|i| i * i % 7).collect();
        tokens[5 * 11 + 2] = token;
        let x = Array::from_slice(&[N, 5], &tokens).unwrap();
        let y = Array::from_slice(&[N, 5], &tokens.iter().map(|t| t % 7).collect::<Vec<_>>());
        let mut bytes = Vec::new();
        npz::write(&mut bytes, &[("x", &x), ("y", &y.unwrap())], npz::Compression::Stored).unwrap();
        bench.write(name, bytes);
    };
    save("six.npz", 6);
    save("seven.npz", 7);
    let told = bench.json("surface gpt.onnx --data six.npz --x -1:1:3 --out run");
    assert_eq!(told["samples"], N);
    for command in ["surface", "spectrum", "train"] {
        let line = format!("{command} gpt.onnx --data seven.npz --out {command}");
        let message = bench.run(&line).sentence();
        assert!(message.contains("row 11 holds 7"), "{message}");
        // Tokens counted from the end are an ONNX file's right.
        assert!(message.contains("-7 to 6") || message.contains("0 to 6"), "{message}");
    }
}
