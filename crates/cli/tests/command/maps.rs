//! `map`: of networks that it trains and of those that are given.

use crate::harness::{Bench, assert_same};
use serde_json::Value;
use thalweg_array::Array;
use thalweg_formats::npz;

/// Everything small.
const SMALL: &str = "--grid -1:1:3 --line -1:1:3 --samples 32 --top 1 --probes 2 \
                     --roughness-directions 2";

fn names(object: &Value) -> Vec<&str> {
    object["models"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect()
}

#[test]
fn networks_are_trained_and_mapped_with_page_and_figures() {
    let bench = Bench::new("map-trains");
    let line = r#"map --arch "mlp hidden=32" --steps 6 --subsample 64"#;
    let object = bench.json(&format!("{line} {SMALL} --out p"));
    assert_eq!(names(&object), ["mlp hidden=32"]);
    assert_eq!(object["report"], "p/report.html");
    let model = &object["models"][0];
    assert_eq!(model["parameters"], 64 * 32 + 32 + 32 * 10 + 10);
    assert!(model["test_accuracy"].is_number(), "{model}");
    // Of 32 examples of 64.
    for key in ["loss", "sharpness", "top_eigenvalue", "trace", "roughness"] {
        assert!(model[key]["standard_error"].is_number(), "{key}: {model}");
    }
    let held = &model["plane_shares"][0];
    assert_eq!(held["of"], "curvature");
    assert!(held["share"]["standard_error"].is_number(), "{held}");
    let page = String::from_utf8(bench.read("p/report.html")).unwrap();
    assert!(page.contains("mlp hidden=32") && page.contains("the plane holds"));
    let topology = ["persistence", "merge-tree"];
    for figure in ["landscape", "map", "lines", "training", "spectrum"].into_iter().chain(topology)
    {
        let svg = String::from_utf8(bench.read(&format!("p/figures/{figure}.svg"))).unwrap();
        assert!(svg.contains("</svg>"), "{figure}");
        assert!(bench.read(&format!("p/figures/{figure}.png")).starts_with(b"\x89PNG"), "{figure}");
    }
    // What it trained is what `train` trains, and can be given to other commands.
    bench.ok(r#"train --arch "mlp hidden=32" --steps 6 --subsample 64 --out t"#);
    let (mapped, trained) = ("p/weights/mlp-hidden-32.safetensors", "t/weights/seed-0.safetensors");
    assert!(bench.read(mapped) == bench.read(trained));
    bench.ok("surface p --x -1:1:3 --samples 32 --out s");
}

#[test]
fn given_networks_are_mapped_and_not_trained() {
    let bench = Bench::new("map-given");
    let train = r#"train --arch "mlp hidden=4" --steps 4 --subsample 64"#;
    bench.ok(&format!("{train} --seeds 0..2 --lr 0.1,0.03 --out many"));
    bench.ok(&format!("{train} --out one"));
    let object = bench.json(&format!("map many {SMALL} --out a"));
    let members =
        ["seed-0-lr-0.1", "seed-0-lr-0.03", "seed-1-lr-0.1", "seed-1-lr-0.03"].map(str::to_owned);
    let mut sorted = names(&object);
    sorted.sort_unstable();
    let mut expected: Vec<&str> = members.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    assert!(!bench.exists("a/weights") && !bench.exists("a/metrics.parquet"));
    bench.ok(&format!("{train} --seed 1 --out two"));
    let object = bench.json(&format!("map one two {SMALL} --out b"));
    assert_eq!(names(&object), ["seed-0", "seed-1"]);
    let again = bench.json(&format!("map one one {SMALL} --out c"));
    assert_eq!(names(&again), ["one seed-0", "one seed-0 2"]);
    // Alone or beside another network: the same numbers.
    let alone = bench.json(&format!("map one {SMALL} --out d"));
    assert_eq!(alone["models"][0], object["models"][0]);
    let mse = bench.json(&format!("map one --loss mse {SMALL} --out e"));
    assert_ne!(mse["models"][0]["loss"], alone["models"][0]["loss"]);
}

#[test]
fn a_bare_file_needs_its_architecture() {
    let bench = Bench::new("map-bare");
    let weights = bench.mlp("m");
    let mut read = thalweg_formats::safetensors::read(&bench.read(&weights)).unwrap();
    let named: Vec<(&str, &Array)> =
        read.tensors.iter().map(|(name, a)| (name.as_str(), a)).collect();
    read.metadata.remove("architecture");
    for (name, metadata) in [("bare", &Default::default()), ("data", &read.metadata)] {
        let mut bytes = Vec::new();
        thalweg_formats::safetensors::write(&mut bytes, &named, metadata).unwrap();
        bench.write(&format!("{name}.safetensors"), bytes);
    }
    let with = |name: &str| {
        bench.json(&format!(r#"map {name}.safetensors --arch "mlp hidden=8" {SMALL} --out {name}"#))
    };
    let (bare, data) = (with("bare"), with("data"));
    let own = bench.json(&format!("map {weights} {SMALL} --out own"));
    assert_eq!(names(&data), ["data"]);
    for key in ["loss", "test_accuracy", "parameters", "sharpness"] {
        assert_eq!(data["models"][0][key], own["models"][0][key], "{key}");
    }
    // How its inputs were scaled is not known: they are taken as they are.
    assert_ne!(bare["models"][0]["loss"], own["models"][0]["loss"]);
}

/// 60 examples of three features; labels of two classes, or values.
fn features(bench: &Bench) {
    let at = |i: usize| ((i * 37 % 61) as f32 - 30.0) / 15.0;
    let x: Vec<f32> = (0..180).map(at).collect();
    let labels: Vec<i64> = (0..60).map(|i| i64::from(x[3 * i] > x[3 * i + 1])).collect();
    let values: Vec<f32> = (0..60).map(|i| 0.5 * x[3 * i] - x[3 * i + 2]).collect();
    let x = Array::from_slice(&[60, 3], &x).unwrap();
    for (name, y) in [("classes", Array::vector(&labels)), ("values", Array::vector(&values))] {
        let mut bytes = Vec::new();
        npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Deflated).unwrap();
        bench.write(&format!("{name}.npz"), bytes);
    }
}

#[test]
fn features_and_values_are_mapped_too() {
    let bench = Bench::new("map-features");
    features(&bench);
    let line = |data: &str| format!("map --data {data}.npz --steps 20 --lr 0.01 {SMALL}");
    let classes = bench.json(&format!("{} --out a", line("classes")));
    assert_eq!(names(&classes), ["multi-layer perceptron"]);
    assert!(classes["models"][0]["test_accuracy"].is_number());
    let values = bench.json(&format!("{} --out b", line("values")));
    assert!(values["models"][0].get("test_accuracy").is_none());
    assert!(values["models"][0]["loss"]["value"].is_number());
    // Their test part is drawn by the seed of the training, and stays a test part.
    bench.ok(r#"train --data classes.npz --arch "mlp hidden=4" --steps 9 --seed 5 --out t"#);
    let train = bench.json(&format!("map t {SMALL} --seed 0 --out c"));
    let again = bench.json(&format!("map t {SMALL} --seed 5 --out d"));
    assert_eq!(train["models"][0]["test_accuracy"], again["models"][0]["test_accuracy"]);
}

#[test]
fn a_map_begun_with_other_threads_is_the_same() {
    let bench = Bench::new("map-threads");
    let line = format!(r#"map --arch "resnet depth=8 width=4" --steps 6 --subsample 64 {SMALL}"#);
    bench.ok(&format!("{line} --out free"));
    bench.ok(&format!("{line} --threads 1 --memory 64MiB --out one"));
    bench.ok(&format!("{line} --threads 3 --out three"));
    assert_same(&bench.results("one"), &bench.results("free"));
    assert_same(&bench.results("three"), &bench.results("free"));
}
