//! `surface`: every kind of direction, every way to say it.

use crate::harness::{Bench, assert_same};
use serde_json::Value;
use std::collections::BTreeMap;
use thalweg_array::{Array, DType};
use thalweg_formats::{npz, safetensors};

/// The arrays of a surface, by name.
fn arrays(bench: &Bench, run: &str) -> BTreeMap<String, Vec<f64>> {
    bench.ok(&format!("export {run} --npz"));
    let bytes = bench.read(&format!("{run}/export/results.npz"));
    let read = thalweg_formats::npz::read(&bytes).unwrap();
    read.into_iter()
        .map(|(name, array)| (name.trim_start_matches("results/").to_owned(), array.to_f64_vec()))
        .collect()
}

fn loss(bench: &Bench, line: &str, out: &str) -> Vec<f64> {
    bench.ok(&format!("surface {line} --samples 32 --quiet --out {out}"));
    arrays(bench, out).remove("loss").unwrap()
}

#[test]
fn both_ways_to_write_a_range_hit_zero_exactly() {
    let bench = Bench::new("ranges");
    bench.mlp("m");
    let spaced = loss(&bench, "m --x -1:1:5", "a");
    let joined = loss(&bench, "m --x=-1:1:5", "b");
    assert_eq!(spaced, joined);
    assert_eq!(arrays(&bench, "a")["x"][..5], [-1.0, -0.5, 0.0, 0.5, 1.0]);
    loss(&bench, "m --x -0.7:0.7:7 --y=-0.3:0.3:3", "c");
    let c = arrays(&bench, "c");
    assert_eq!((c["x"][3], c["x"][6], c["y"][7]), (0.0, 0.7, 0.0));
    assert_eq!(c["loss"].len(), 21);
    bench.ok("map m --grid -1:1:3 --line=-1:1:3 --samples 32 --top 1 --probes 2 --out p");
}

#[test]
fn random_directions_are_scaled_and_held_as_asked() {
    let bench = Bench::new("random");
    bench.resnet("m");
    let each = [
        "--normalize filter",
        "--normalize layer",
        "--normalize weight",
        "--normalize dfilter",
        "--normalize dlayer",
        "--normalize sphere",
        "--normalize none",
        "--ignore bias,norm",
        "--ignore norm",
    ];
    let losses: Vec<Vec<f64>> = each
        .iter()
        .enumerate()
        .map(|(n, how)| loss(&bench, &format!("m --x -1:1:3 {how}"), &n.to_string()))
        .collect();
    for (n, one) in losses.iter().enumerate() {
        assert_eq!(one[4], losses[0][4], "the centre is the network, whatever the directions");
        assert!(losses[..n].iter().all(|other| other != one), "{} changes nothing", each[n]);
    }
    let plain = loss(&bench, "m --x -1:1:3", "plain");
    assert_eq!(plain, losses[0], "filter normalisation is the default");
    let object = bench.json("surface m --x -1:1:3 --ignore bias,norm --samples 32 --out o");
    assert_eq!(object["ignore"], Value::from(vec!["bias", "norm"]));
    assert_eq!(object["directions"], "random");
}

#[test]
fn lines_and_pairs_and_samples_are_what_they_say() {
    let bench = Bench::new("pairs");
    bench.mlp("m");
    let line = bench.json("surface m --line --x -1:1:5 --out line");
    assert_eq!((&line["points"], &line["samples"]), (&Value::from(5), &Value::from(64)));
    let spread = bench.json("surface m --x -1:1:3 --pairs 3 --samples 32 --out spread");
    assert_eq!((&spread["points"], &spread["samples"]), (&Value::from(27), &Value::from(32)));
    let found = arrays(&bench, "spread");
    assert_eq!(found["pair"].iter().filter(|pair| **pair == 2.0).count(), 9);
    let (losses, errors) = (&found["loss"], &found["loss_standard_error"]);
    assert!(errors.iter().all(|error| *error > 0.0), "{errors:?}");
    // The centre is one point of all pairs; away from it each pair is another plane.
    assert_eq!([losses[4], losses[13]], [losses[22]; 2]);
    assert!(losses[0] != losses[9] && losses[9] != losses[18]);
    assert!(!arrays(&bench, "line").contains_key("loss_standard_error"), "all data: no sampling");
    // The first pair does not depend on how many there are.
    let one = loss(&bench, "m --x -1:1:3", "one");
    assert_eq!(one, losses[..9]);
}

#[test]
fn checkpoints_lie_at_coordinate_one() {
    let bench = Bench::new("checkpoints");
    let train = r#"train --arch "mlp hidden=8" --steps 9 --batch 32 --subsample 64 --seeds 0..3"#;
    bench.ok(&format!("{train} --out m"));
    let [a, b, c] = [0, 1, 2].map(|seed| format!("m/weights/seed-{seed}.safetensors"));
    let alone = [&a, &b, &c].map(|model| {
        bench.json(&format!("surface {model} --x 0:0:1 --out o{}", &model[10..16]))["loss"].clone()
    });
    let two = bench.json(&format!("surface {a} {b} --x 0:1:3 --out two"));
    assert_eq!((&two["directions"], &two["points"]), (&"checkpoints".into(), &3.into()));
    bench.json(&format!("surface {a} {b} {c} --x 0:1:2 --precision f64 --out three"));
    let found = arrays(&bench, "three")["loss"].clone();
    // At (0,0), (1,0) and (0,1) are the three networks; the sum W + (V - W) rounds.
    for (at, alone) in [(0, &alone[0]), (1, &alone[1]), (2, &alone[2])] {
        let alone = alone.as_f64().unwrap();
        assert!((found[at] - alone).abs() < 1e-5 * alone, "{at}: {} {alone}", found[at]);
    }
    let centre = &arrays(&bench, "two")["loss"];
    assert_eq!(Some(centre[0]), alone[0].as_f64());
}

#[test]
fn eigenvectors_curve_as_their_eigenvalues_say() {
    let bench = Bench::new("eigenvectors");
    // A smooth network: kinks between the points of a difference would add to it.
    let train = r#"train --arch "mlp hidden=8 activation=tanh" --steps 12 --subsample 64"#;
    bench.ok(&format!("{train} --out m"));
    let with = "--samples 64 --precision f64";
    let spectrum = bench.json(&format!("spectrum m --top 2 --trace 0 {with} --out s"));
    let h = 1e-3;
    let line = format!("surface m --directions eigenvectors --x -{h}:{h}:3 {with} --out e");
    bench.ok(&line);
    let loss = arrays(&bench, "e")["loss"].clone();
    // Second differences along the first and the second eigenvector.
    for (rank, [low, high]) in [[3, 5], [1, 7]].into_iter().enumerate() {
        let second = (loss[low] - 2.0 * loss[4] + loss[high]) / (h * h);
        let value = spectrum["top"][rank]["value"].as_f64().unwrap();
        assert!((second - value).abs() < 0.02 * value.abs(), "{rank}: {second} {value}");
    }
}

#[test]
fn a_trajectory_ends_at_the_centre_of_its_plane() {
    let bench = Bench::new("trajectory");
    let train = r#"train --arch "mlp hidden=8" --epochs 5 --batch 32 --subsample 64"#;
    bench.ok(&format!("{train} --checkpoints 1 --out m"));
    let object = bench.json("surface m --directions trajectory --out t");
    assert_eq!(object["points"], 31 * 31);
    let found = arrays(&bench, "t");
    let (x, y) = (&found["checkpoint/trajectory_x"], &found["checkpoint/trajectory_y"]);
    // The start and five epochs.
    assert_eq!((x.len(), y.len()), (6, 6));
    assert!(x[5].abs() < 1e-9 && y[5].abs() < 1e-9, "{x:?} {y:?}");
    assert!(found["checkpoint/trajectory_residual"].iter().all(|residual| *residual >= 0.0));
    let range = |name: &str| {
        let values = &found[name];
        values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)))
    };
    let ((left, right), (low, high)) = (range("x"), range("y"));
    assert!(x.iter().all(|x| (left..=right).contains(x)), "the grid holds the trajectory");
    assert!(y.iter().all(|y| (low..=high).contains(y)), "the grid holds the trajectory");
    let given = bench.json("surface m --directions trajectory --x -1:1:3 --y 0:1:2 --out g");
    assert_eq!(given["points"], 6);
}

#[test]
fn directions_from_a_file_are_used_as_they_are_or_scaled() {
    let bench = Bench::new("file-directions");
    let train = r#"train --arch "mlp hidden=8" --steps 9 --batch 32 --subsample 64 --seeds 0..2"#;
    bench.ok(&format!("{train} --out m"));
    let [a, b] = [0, 1].map(|seed| format!("m/weights/seed-{seed}.safetensors"));
    let read = |path: &str| safetensors::read(&bench.read(path)).unwrap().tensors;
    let (from, to) = (read(&a), read(&b));
    let difference = |name: &String| {
        let [from, to] = [&from[name], &to[name]].map(Array::to_f64_vec);
        let moved: Vec<f64> = from.iter().zip(&to).map(|(from, to)| to - from).collect();
        Array::from_slice(read(&a)[name].shape(), &moved).unwrap()
    };
    let mut tensors: Vec<(String, Array)> = Vec::new();
    for name in from.keys() {
        tensors.push((format!("x.{name}"), difference(name)));
        tensors.push((format!("y.{name}"), from[name].convert(DType::F64)));
    }
    let write = |file: &str, tensors: &[(String, Array)]| {
        let named: Vec<(&str, &Array)> = tensors.iter().map(|(n, a)| (n.as_str(), a)).collect();
        let mut bytes = Vec::new();
        safetensors::write(&mut bytes, &named, &BTreeMap::new()).unwrap();
        bench.write(file, bytes);
    };
    write("d.safetensors", &tensors);
    let given = format!("{a} --directions d.safetensors --x 0:1:2");
    let as_they_are = loss(&bench, &format!("{given} --normalize none"), "file");
    let scaled = loss(&bench, &given, "scaled");
    let between = loss(&bench, &format!("{a} {b} --x 0:1:2"), "between");
    let close = |a: f64, b: f64| (a - b).abs() < 1e-5 * b.abs();
    assert!(close(as_they_are[0], between[0]) && close(as_they_are[1], between[1]));
    assert!(!close(scaled[1], between[1]), "filter normalisation is the default for a file");
    tensors.retain(|(name, _)| name.starts_with("x."));
    write("x.safetensors", &tensors);
    let done = bench.run(&format!("surface {a} --directions x.safetensors --out n"));
    assert_eq!((done.code, bench.exists("n")), (Some(1), false));
    assert!(done.sentence().contains("--line"), "{}", done.sentence());
    loss(&bench, &format!("{a} --directions x.safetensors --line --x 0:1:2"), "line");
    let (left_out, _) = tensors.remove(0);
    write("short.safetensors", &tensors);
    let done = bench.ok(&format!("surface {a} --directions short.safetensors --line --out short"));
    let said =
        format!("1 of 4 parameters are not in it and stay at the centre: {}", &left_out[2..]);
    assert!(done.stderr.contains(&said), "{}", done.stderr);
    tensors[0].0 = "x.fc9.weigth".into();
    write("short.safetensors", &tensors);
    let done = bench.run(&format!("surface {a} --directions short.safetensors --line --out n"));
    let part = "direction x: expected names as PARAMETER";
    assert!(done.code == Some(1) && done.sentence().contains(part), "{done:?}");
    assert!(done.sentence().ends_with("fc9.weigth is not expected (there is fc1.weight)"));
    assert!(!bench.exists("n"));
}

/// Plain names in a file for each direction, in other formats, are the same directions.
#[test]
fn directions_may_be_two_files_of_any_format() {
    let bench = Bench::new("two-files");
    let train = r#"train --arch "mlp hidden=8" --steps 9 --batch 32 --subsample 64 --seeds 0..2"#;
    bench.ok(&format!("{train} --out m"));
    let [a, b] = [0, 1].map(|seed| format!("m/weights/seed-{seed}.safetensors"));
    let (mut tensors, mut plain) = (Vec::new(), Vec::new());
    for (prefix, path) in [("x.", &a), ("y.", &b)] {
        let read = safetensors::read(&bench.read(path)).unwrap().tensors;
        tensors.extend(read.iter().map(|(name, array)| (format!("{prefix}{name}"), array.clone())));
        plain.push(read);
    }
    let mut bytes = Vec::new();
    let named: Vec<(&str, &Array)> = tensors.iter().map(|(n, a)| (n.as_str(), a)).collect();
    safetensors::write(&mut bytes, &named, &BTreeMap::new()).unwrap();
    bench.write("d.safetensors", bytes);
    for (file, named) in ["x.npz", "y.npz"].iter().zip(&plain) {
        let mut bytes = Vec::new();
        let named: Vec<(&str, &Array)> = named.iter().map(|(n, a)| (n.as_str(), a)).collect();
        npz::write(&mut bytes, &named, npz::Compression::Deflated).unwrap();
        bench.write(file, bytes);
    }
    let grid = "--x 0:1:2 --y 0:2:3 --normalize none";
    let one = loss(&bench, &format!("{a} --directions d.safetensors {grid}"), "one");
    let two = loss(&bench, &format!("{a} --directions x.npz,y.npz {grid}"), "two");
    let mixed = loss(&bench, &format!("{a} --directions {a},y.npz {grid}"), "mixed");
    assert_eq!((&two, &mixed), (&one, &one));
    let turned = loss(&bench, &format!("{a} --directions y.npz,x.npz {grid}"), "turned");
    assert_ne!(turned, one);
}

#[test]
fn the_three_batch_norm_modes_are_three_objectives() {
    let bench = Bench::new("batch-norm");
    bench.resnet("m");
    let with = |mode: &str, batch: usize| {
        let line = format!("m --x -1:1:3 --batch-norm {mode} --batch {batch}");
        loss(&bench, &line, &format!("{mode}-{batch}"))
    };
    let [frozen, batch, recalibrated] = ["frozen", "batch", "recalibrated"].map(|m| with(m, 16));
    assert!(frozen != batch && batch != recalibrated && frozen != recalibrated);
    assert_eq!(with("frozen", 5), frozen, "batches are no part of a frozen objective");
    assert_ne!(with("batch", 8), batch, "they are one of batch statistics");
}

#[test]
fn a_model_is_measured_on_what_it_was_trained_on() {
    let bench = Bench::new("own-data");
    let train =
        r#"train --arch "mlp hidden=8" --steps 9 --subsample 96 --label-noise 0.25 --seed 3"#;
    let trained = bench.json(&format!("{train} --out m"));
    let trained = trained["members"][0]["train_loss"].as_f64().unwrap();
    let own = bench.json("surface m --x 0:0:1 --seed 8 --out own");
    assert_eq!(own["samples"], 96);
    let own = own["loss"].as_f64().unwrap();
    assert!((own - trained).abs() < 1e-6 * trained, "{own} {trained}");
    let clean = bench.json("surface m --x 0:0:1 --label-noise 0 --out clean");
    assert!((clean["loss"].as_f64().unwrap() - trained).abs() > 1e-3);
    let all = bench.json("surface m --x 0:0:1 --subsample 5000 --out all");
    assert_eq!(all["samples"], 1438);
    let test = bench.json("surface m --x 0:0:1 --split test --out test");
    assert_eq!(test["samples"], 359);
}

#[test]
fn a_tolerance_saves_work_and_says_what_it_costs() {
    let bench = Bench::new("tolerance");
    bench.ok(r#"train --arch "mlp hidden=8" --epochs 2 --out m"#);
    let line = "surface m --x -1:1:33";
    let exact = bench.json(&format!("{line} --exact --out exact"));
    let done = bench.ok(&format!("{line} --tolerance 0.05 --json --out near"));
    assert!(done.stderr.contains("1089 points to a tolerance of 0.05"), "{}", done.stderr);
    assert!(done.stderr.contains("MFLOP") || done.stderr.contains("GFLOP"), "{}", done.stderr);
    let near = done.json();
    assert!(exact.get("adaptive").is_none());
    let adaptive = &near["adaptive"];
    assert_eq!(adaptive["tolerance"], 0.05);
    assert_eq!((&near["loss"], &near["samples"]), (&exact["loss"], &1438.into()));
    let whole = 33 * 33 * 1438;
    assert!(adaptive["evaluations"].as_u64().unwrap() < whole / 4, "{adaptive}");
    let (truth, found) = (arrays(&bench, "exact"), arrays(&bench, "near"));
    let evaluated = found["samples"].iter().filter(|samples| **samples > 0.0).count();
    assert_eq!(adaptive["evaluated"].as_u64(), Some(evaluated as u64));
    let centre = exact["loss"].as_f64().unwrap();
    let allowed = |loss: f64| 0.05 * ((loss - centre).abs() + centre);
    let pairs = truth["loss"].iter().zip(&found["loss"]);
    let within = pairs.filter(|(t, f)| (*t - *f).abs() <= allowed(**t)).count();
    assert!(within * 20 >= 19 * 33 * 33, "{within}");
    for (point, &samples) in found["samples"].iter().enumerate() {
        let interpolated = found["interpolation_error"][point] > 0.0;
        assert_eq!(interpolated, samples == 0.0, "{point}");
    }
    let page = String::from_utf8(bench.read("near/report.html")).unwrap();
    assert!(page.contains("Errors of the surface") && page.contains("held out to judge it"));
    // Small surfaces are exact unless it is asked otherwise.
    let auto = bench.json(&format!("{line} --out auto"));
    assert!(auto.get("adaptive").is_none());
    assert_eq!(arrays(&bench, "auto")["loss"], truth["loss"]);
    bench.ok(&format!("{line} --tolerance 0.05 --threads 1 --memory 64MiB --out one"));
    let (one, free) = (bench.results("one"), bench.results("near"));
    assert_same(&one, &free);
}

#[test]
fn a_map_can_be_taken_to_a_tolerance() {
    let bench = Bench::new("map-tolerance");
    let small = "--samples 300 --grid -1:1:21 --line -1:1:21 --top 1 --probes 2 \
                 --roughness-directions 2";
    let train = r#"map --arch "mlp hidden=8" --epochs 1"#;
    let object = bench.json(&format!("{train} {small} --tolerance 0.05 --out m"));
    let adaptive = &object["models"][0]["adaptive"];
    assert!(adaptive["evaluated"].as_u64().unwrap() < 441, "{adaptive}");
    let page = String::from_utf8(bench.read("m/report.html")).unwrap();
    assert!(page.contains("Errors of the surface"));
}
