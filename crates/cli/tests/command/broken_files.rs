//! Faults in what is read: exit code 1, one sentence with the file's name, nothing made.

use crate::harness::{Bench, Done};
use std::collections::BTreeMap;
use thalweg_array::Array;
use thalweg_formats::{npz, safetensors};

/// Runs a line that must fail over what it reads; gives its sentence.
fn fails(bench: &Bench, line: &str, parts: &[&str]) -> Done {
    let done = bench.run(&format!("{line} --out o/p --quiet"));
    assert_eq!(done.code, Some(1), "{line}: {done:?}");
    assert_eq!((done.stdout.as_str(), done.stderr.lines().count()), ("", 1), "{line}: {done:?}");
    for part in parts {
        assert!(done.sentence().contains(part), "{line}: {part}: {}", done.sentence());
    }
    assert!(!bench.exists("o") && !bench.exists("runs"), "{line} left something");
    done
}

#[test]
fn models_that_are_none() {
    let bench = Bench::new("bad-models");
    let weights = bench.read(&bench.mlp("m"));
    bench.write("short.safetensors", &weights[..weights.len() - 7]);
    bench.write("header.safetensors", &weights[..100]);
    bench.write("empty.safetensors", b"");
    bench.write("huge.safetensors", [&(1u64 << 62).to_le_bytes()[..], b"{}"].concat());
    bench.write("text.safetensors", b"not weights at all");
    bench.write("folder/readme", b"");
    let mut bare = Vec::new();
    let named = safetensors::read(&weights).unwrap().tensors;
    let tensors: Vec<(&str, &Array)> = named.iter().map(|(n, a)| (n.as_str(), a)).collect();
    safetensors::write(&mut bare, &tensors, &BTreeMap::new()).unwrap();
    bench.write("bare.safetensors", &bare);
    for command in ["surface", "spectrum", "map"] {
        let fails = |model: &str, parts: &[&str]| {
            fails(&bench, &format!("{command} {model}"), &[&[model], parts].concat());
        };
        fails("short.safetensors", &["not a valid safetensors file"]);
        fails("header.safetensors", &["header of", "in a file of 100"]);
        fails("empty.safetensors", &["0 bytes"]);
        fails("huge.safetensors", &["4611686018427387904 bytes"]);
        fails("text.safetensors", &["not a valid safetensors file"]);
        fails("absent.safetensors", &["no such file", "expected a run directory"]);
        fails("folder", &["no weights", "finished run"]);
        fails("bare.safetensors", &["--arch", "mlp"]);
    }
    let done = bench.run(r#"surface bare.safetensors --arch "mlp hidden=9" --out o --json"#);
    let expected = "bare.safetensors: the weights are not those of the model";
    assert_eq!(done.sentence(), format!("{expected}, in 3 places:"));
    assert_eq!(
        done.stderr.lines().skip(1).collect::<Vec<_>>(),
        [
            "  the model has       the file has",
            "  fc1.weight [9, 64]  fc1.weight [8, 64]  another shape",
            "  fc1.bias [9]        fc1.bias [8]        another shape",
            "  fc2.weight [10, 9]  fc2.weight [10, 8]  another shape",
        ]
    );
    let error = done.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with(&format!("{expected}: fc1.weight should be [9, 64], got [8, 64]")));
    let done = bench.run(r#"spectrum bare.safetensors --arch "resnet depth=8" --out o"#);
    assert!(done.sentence().starts_with(expected), "{done:?}");
    assert_eq!(done.stderr.lines().count(), 15, "{done:?}");
    assert!(done.stderr.contains(" missing") && done.stderr.contains("  and "), "{done:?}");
    assert!(!bench.exists("o"));
    bench.ok(r#"surface bare.safetensors --arch "mlp hidden=8" --line --x 0:1:2 --out fits"#);
}

#[test]
fn models_that_do_not_fit_the_request() {
    let bench = Bench::new("unfit-models");
    bench.mlp("m");
    bench.resnet("r");
    bench.ok(r#"train --arch "mlp hidden=4" --steps 2 --seeds 0..2 --subsample 32 --out many"#);
    fails(&bench, "surface many", &["2 models", "many/weights/seed-0.safetensors"]);
    let done = bench.run("surface m r --out o");
    assert!(done.sentence().starts_with("r/weights/seed-0.safetensors: the weights are not"));
    fails(&bench, "surface m --directions trajectory", &["no trajectory", "--checkpoints"]);
    bench.write("d.safetensors", bench.read("m/weights/seed-0.safetensors"));
    fails(&bench, "surface m --directions d.safetensors", &["d.safetensors", "x.PARAMETER"]);
    fails(&bench, "surface m --directions e.safetensors", &["e.safetensors"]);
    fails(&bench, "surface m m", &["direction x", "equal networks"]);
    fails(&bench, "surface m --memory 100kB --samples 32", &["bytes", "memory", "100000"]);
}

#[test]
fn runs_that_are_not_finished() {
    let bench = Bench::new("half-runs");
    bench.ok(r#"train --arch "mlp hidden=4" --steps 2 --seeds 0..2 --subsample 32 --out r"#);
    bench.ok("surface r/weights/seed-0.safetensors --x -1:1:2 --samples 32 --out s");
    std::fs::remove_file(bench.path("r/weights/seed-1.safetensors")).unwrap();
    std::fs::remove_file(bench.path("r/metrics.parquet")).unwrap();
    std::fs::remove_file(bench.path("s/results.zarr/zarr.json")).unwrap();
    for command in ["map r", "surface r", "spectrum r"] {
        fails(&bench, command, &["1 of its 2 models", "--resume"]);
    }
    fails(&bench, "export r --csv", &["metrics.parquet", "not finished", "--resume"]);
    fails(&bench, "export s --npz", &["results.zarr", "not finished"]);
    fails(&bench, "export nowhere --csv", &["nowhere", "study.toml"]);
}

fn archive(bench: &Bench, name: &str, arrays: &[(&str, Array)]) {
    let mut bytes = Vec::new();
    let arrays: Vec<(&str, &Array)> = arrays.iter().map(|(name, array)| (*name, array)).collect();
    npz::write(&mut bytes, &arrays, npz::Compression::Stored).unwrap();
    bench.write(name, bytes);
}

fn floats(shape: &[usize], at: impl Fn(usize) -> f32) -> Array {
    let values: Vec<f32> = (0..shape.iter().product()).map(at).collect();
    Array::from_slice(shape, &values).unwrap()
}

fn labels(n: usize, at: impl Fn(usize) -> i64) -> Array {
    Array::vector(&(0..n).map(at).collect::<Vec<_>>())
}

#[test]
fn archives_that_are_no_data() {
    let bench = Bench::new("bad-archives");
    let x = || floats(&[40, 3], |i| (i % 7) as f32);
    let y = |last: i64| labels(40, move |i| if i == 39 { last } else { i as i64 % 3 });
    archive(&bench, "good.npz", &[("x", x()), ("y", y(0))]);
    archive(&bench, "negative.npz", &[("x", x()), ("y", y(-1))]);
    archive(&bench, "beyond.npz", &[("x", x()), ("y", y(1 << 40))]);
    let nan = floats(&[40, 3], |i| if i == 100 { f32::NAN } else { 1.0 });
    archive(&bench, "nan.npz", &[("x", nan), ("y", y(0))]);
    let infinite = floats(&[40], |i| if i == 7 { f32::INFINITY } else { 1.0 });
    archive(&bench, "infinite.npz", &[("x", x()), ("y", infinite)]);
    archive(&bench, "count.npz", &[("x", x()), ("y", labels(39, |_| 0))]);
    archive(&bench, "rank.npz", &[("x", floats(&[40, 1, 1, 1, 1], |_| 1.0)), ("y", y(0))]);
    archive(&bench, "names.npz", &[("pictures", x())]);
    let good = bench.read("good.npz");
    bench.write("cut.npz", &good[..good.len() / 2]);
    // The type of `x` is written in its header as text.
    let place = good.windows(3).position(|bytes| bytes == b"<f4").unwrap();
    let mut complex = good.clone();
    complex[place..place + 3].copy_from_slice(b"<c8");
    bench.write("complex.npz", complex);
    for (name, parts) in [
        ("negative.npz", &["row 39", "-1", "from 0"][..]),
        ("beyond.npz", &["1099511627776"]),
        ("nan.npz", &["inputs", "row 33", "NaN", "finite"]),
        ("infinite.npz", &["targets", "row 7", "inf", "finite"]),
        ("count.npz", &["40 inputs", "39 targets"]),
        ("rank.npz", &["[40, 1, 1, 1, 1]"]),
        ("names.npz", &["no inputs", "pictures"]),
        ("cut.npz", &["not a valid npz file"]),
        ("complex.npz", &["x"]),
        ("absent.npz", &["no data", "digits"]),
    ] {
        fails(&bench, &format!("train --steps 2 --data {name}"), &[&[name], parts].concat());
    }
    bench.ok("train --arch linear --steps 2 --data good.npz --out good");
    archive(&bench, "values.npz", &[("x", x()), ("y", floats(&[40], |i| i as f32))]);
    let line = "train --data values.npz --loss cross-entropy";
    fails(&bench, line, &["values", "--loss mse"]);
    fails(&bench, "train --data good.npz --arch resnet", &["resnet", "images"]);
    fails(&bench, "train --data good.npz --subsample 1 --test-fraction 0.001", &["good.npz"]);
}

/// An IDX file of bytes whose header says a shape.
fn idx(shape: &[u32], bytes: usize) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|extent| file.extend(extent.to_be_bytes()));
    file.extend((0..bytes).map(|i| (i % 10) as u8));
    file
}

#[test]
fn idx_files_that_lie() {
    let bench = Bench::new("bad-idx");
    for (folder, images, content) in
        [("honest", [50, 4, 4], 800), ("long", [51, 4, 4], 800), ("vast", [u32::MAX; 3], 800)]
    {
        for part in ["train", "t10k"] {
            bench.write(&format!("{folder}/{part}-images-idx3-ubyte"), idx(&images, content));
            bench.write(&format!("{folder}/{part}-labels-idx1-ubyte"), idx(&[50], 50));
        }
    }
    let train = "train --arch linear --steps 2 --data";
    for folder in ["long", "vast"] {
        let file = format!("{folder}/train-images-idx3-ubyte");
        fails(&bench, &format!("{train} {folder}"), &[&file, "not a valid IDX file"]);
        fails(&bench, &format!("{train} {file}"), &[&file, "not a valid IDX file"]);
    }
    bench.ok(&format!("{train} honest --out a"));
    bench.ok(&format!("{train} honest/train-images-idx3-ubyte --out b"));
}
