//! `export`: every kind of run as CSV and as arrays, models as ONNX and safetensors.

use crate::harness::Bench;
use std::collections::BTreeMap;

/// Runs of each kind, in the order in which they need each other.
const RUNS: [(&str, &str); 5] = [
    ("train", r#"train --arch "mlp hidden=4" --epochs 4 --checkpoints 1 --subsample 64"#),
    ("surface", "surface train --x -1:1:3 --y 0:1:2 --pairs 2 --samples 32"),
    ("pca", "surface train --directions trajectory --x -1:1:3"),
    ("spectrum", "spectrum train --top 2 --bottom 1 --trace 2 --density 2 --samples 32"),
    (
        "map",
        r#"map --arch "mlp hidden=4" --steps 4 --subsample 64 --grid -1:1:3 --line -1:1:5
           --samples 32 --top 1 --probes 2 --roughness-directions 2"#,
    ),
];

/// Name, columns, rows.
type Expected = (&'static str, &'static str, usize);

/// Each run's tables.
const TABLES: [(&str, &[Expected]); 5] = [
    (
        "train",
        &[(
            "metrics",
            "step,epoch,member,seed,lr,train_loss,train_accuracy,gradient_norm,test_loss,\
             test_accuracy",
            4,
        )],
    ),
    ("surface", &[("results", "pair,y,x,accuracy,loss,loss_standard_error,status", 12)]),
    (
        "pca",
        &[
            ("results", "y,x,accuracy,loss,status", 9),
            ("results-checkpoint", "checkpoint,trajectory_residual,trajectory_x,trajectory_y", 5),
        ],
    ),
    (
        "spectrum",
        &[
            ("results-bottom", "bottom,bottom_eigenvalue,bottom_residual,bottom_sampling_error", 1),
            ("results-top", "top,top_eigenvalue,top_residual,top_sampling_error", 2),
        ],
    ),
    (
        "map",
        &[
            ("mlp-hidden-4", "y,x,accuracy,loss,loss_standard_error,status", 9),
            ("mlp-hidden-4-line_x", "y,x,accuracy,loss,loss_standard_error,status", 5),
            ("mlp-hidden-4-line_y", "y,x,accuracy,loss,loss_standard_error,status", 5),
            ("mlp-hidden-4-spectrum-top", "top,top_eigenvalue,top_residual,top_sampling_error", 1),
        ],
    ),
];

#[test]
fn every_kind_of_run_is_exported_both_ways() {
    let bench = Bench::new("exports");
    for (run, line) in RUNS {
        bench.ok(&format!("{line} --out {run}"));
    }
    for (run, tables) in TABLES {
        let object = bench.json(&format!("export {run} --csv"));
        let files: Vec<&str> =
            object["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
        let npz = bench.json(&format!("export {run} --npz --out {run}-arrays"));
        assert_eq!(npz["files"][0], format!("{run}-arrays/results.npz"));
        let bytes = bench.read(&format!("{run}-arrays/results.npz"));
        let arrays: BTreeMap<String, Vec<f64>> = thalweg_formats::npz::read(&bytes)
            .unwrap()
            .into_iter()
            .map(|(name, array)| (name, array.to_f64_vec()))
            .collect();
        for (table, heads, rows) in tables {
            let file = format!("{run}/export/{table}.csv");
            assert!(files.contains(&file.as_str()), "{file}: {files:?}");
            let csv = String::from_utf8(bench.read(&file)).unwrap();
            let mut lines = csv.lines();
            assert_eq!(lines.next(), Some(*heads), "{file}");
            assert_eq!(lines.clone().count(), *rows, "{file}");
            // The same numbers, to the last bit, in the arrays.
            for (column, head) in heads.split(',').enumerate() {
                let suffix = format!("/{head}");
                let values: Vec<f64> = lines
                    .clone()
                    .map(|line| line.split(',').nth(column).unwrap().parse().unwrap())
                    .collect();
                let same = |array: &Vec<f64>| {
                    array.len() == values.len()
                        && array
                            .iter()
                            .zip(&values)
                            .all(|(a, b)| a == b || a.is_nan() && b.is_nan())
                };
                let found = arrays.iter().any(|(name, a)| name.ends_with(&suffix) && same(a));
                assert!(found, "{file}: {head} among {:?}", arrays.keys());
            }
        }
    }
}

#[test]
fn models_are_exported_for_other_tools() {
    let bench = Bench::new("export-models");
    bench.ok(r#"train --arch "mlp hidden=4" --steps 4 --subsample 64 --seeds 0,1 --out run"#);
    let object = bench.json("export run --onnx");
    assert_eq!(
        object["files"],
        serde_json::json!(["run/export/seed-0.onnx", "run/export/seed-1.onnx"])
    );
    assert_eq!((&object["format"], &object["run"]), (&"onnx".into(), &serde_json::Value::Null));
    let model = &object["models"][1];
    assert_eq!((&model["name"], &model["parameters"]), (&"seed-1".into(), &310.into()));
    let file = bench.read("run/export/seed-1.onnx");
    let text = String::from_utf8_lossy(&file);
    for word in ["fc1.weight", "BatchNormalization", "Gemm", "normalization.mean", "thalweg"] {
        assert_eq!(text.contains(word), word != "BatchNormalization", "{word}");
    }
    // The same model without what the network does not do itself.
    let member = "run/weights/seed-1.safetensors";
    bench.ok(&format!("export {member} --onnx --no-normalization --channels-last --out a/b.onnx"));
    let plain = bench.read("a/b.onnx");
    assert!(!String::from_utf8_lossy(&plain).contains("normalization.mean"));
    let weights = bench.json(&format!("export {member} --safetensors --out c"));
    assert_eq!(weights["files"][0], "c/seed-1.safetensors");
    // Written again the weights are the same, to the last byte.
    assert_eq!(bench.read("c/seed-1.safetensors"), bench.read(member));
    let refused = |line: &str, code, words: &[&str]| {
        let done = bench.run(line);
        assert_eq!(done.code, Some(code), "{line}: {}", done.stderr);
        words.iter().for_each(|word| assert!(done.sentence().contains(word), "{done:?}"));
    };
    refused("export run --onnx", 1, &["seed-0.onnx exists already"]);
    refused("export run --onnx --out one.onnx", 1, &["holds 2 models"]);
    refused("export nowhere --onnx", 1, &["nowhere", "no such file"]);
    refused(
        &format!("export {member} --onnx --out d --arch linear"),
        1,
        &["not those of the model"],
    );
    refused("export run --csv --channels-last", 2, &["--channels-last", "--csv"]);
    assert!(!bench.exists("d") && !bench.exists("one.onnx"));
}
