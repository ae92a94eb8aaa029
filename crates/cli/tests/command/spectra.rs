//! `spectrum`: what is asked for is there, and agrees with what else is known of the point.

use crate::harness::Bench;
use serde_json::Value;
use thalweg_array::Array;
use thalweg_formats::npz;

#[test]
fn only_what_is_asked_for_is_there() {
    let bench = Bench::new("spectrum");
    bench.mlp("m");
    let keys = |line: &str, out: &str| {
        let object = bench.json(&format!("spectrum m {line} --samples 32 --out {out}"));
        let common =
            ["version", "run", "seconds", "operator", "scope", "loss", "gradient_norm", "products"];
        let keys = object.as_object().unwrap().keys().cloned();
        let own = |key: &String| {
            !common.contains(&key.as_str()) && !["command", "top"].contains(&key.as_str())
        };
        (keys.filter(own).collect::<Vec<_>>(), object)
    };
    let (found, object) = keys("--top 2 --trace 0", "a");
    assert_eq!((found.len(), object["top"].as_array().unwrap().len()), (0, 2));
    assert!(object["products"]["eigenvalues"].as_u64() >= Some(2), "{object}");
    assert_eq!(
        (&object["products"]["trace"], &object["products"]["density"]),
        (&0.into(), &0.into())
    );
    let (found, object) = keys("--top 1 --bottom 2 --trace 4 --density", "b");
    assert_eq!(found, ["bottom", "density", "frobenius_squared", "trace"]);
    assert_eq!((&object["trace"]["samples"], &object["products"]["trace"]), (&4.into(), &4.into()));
    assert_eq!(object["products"]["density"], 8 * 48);
    assert!(object["bottom"][0]["value"].as_f64() <= object["bottom"][1]["value"].as_f64());
    let (_, exact) = keys("--top 0 --trace exact", "c");
    let trace = exact["trace"].as_f64().expect("an exact trace is a plain number");
    let (estimate, error) = (
        object["trace"]["value"].as_f64().unwrap(),
        object["trace"]["standard_error"].as_f64().unwrap(),
    );
    // Of 4 probes; a fixed seed.
    assert!((estimate - trace).abs() < 5.0 * error, "{estimate} ± {error}, exact {trace}");
    let (_, within) = keys("--top 0 --trace 10%", "d");
    let error = within["trace"]["standard_error"].as_f64().unwrap();
    assert!(error <= 0.1 * within["trace"]["value"].as_f64().unwrap());
    let samples = within["trace"]["samples"].as_u64().unwrap();
    assert!(samples % 8 == 0 && samples < 1000, "{samples}");
    // Another way to the same density: both have the mean of all eigenvalues.
    let (_, series) = keys("--top 0 --trace 0 --density --density-by kernel-polynomial", "f");
    let mean = |object: &Value| {
        let numbers = |key: &str| -> Vec<f64> {
            let of = object["density"][key].as_array().unwrap();
            of.iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let (centres, values) = (numbers("centres"), numbers("values"));
        let sum = |of: &dyn Fn(usize) -> f64| (0..centres.len()).map(of).sum::<f64>();
        sum(&|i| centres[i] * values[i]) / sum(&|i| values[i])
    };
    let (one, other) = (mean(&object), mean(&series));
    assert!((one - other).abs() < 0.2 * one.abs(), "{one}, {other}");
    let done = bench.run("spectrum m --density --density-by guess --out e");
    assert_eq!((done.code, bench.exists("e")), (Some(2), false));
    let done = bench.run("spectrum m --trace 0% --out e");
    assert_eq!((done.code, bench.exists("e")), (Some(2), false));
}

/// 30 examples of one feature whose values are twice as large: least squares in two parameters.
fn line(bench: &Bench) {
    let x: Vec<f32> = (0..30).map(|i| (i as f32 - 14.5) / 10.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
    let (x, y) = (Array::from_slice(&[30, 1], &x).unwrap(), Array::vector(&y));
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Deflated).unwrap();
    bench.write("line.npz", bytes);
}

#[test]
fn two_parameters_have_two_eigenvalues() {
    let bench = Bench::new("two-parameters");
    line(&bench);
    bench.ok("train --data line.npz --arch linear --epochs 2 --out m");
    let object = bench.json("spectrum m --trace exact --precision f64 --out s");
    let top: Vec<f64> =
        object["top"].as_array().unwrap().iter().map(|e| e["value"].as_f64().unwrap()).collect();
    // Of the mean of (w x + b - y)^2 with x normalised: 2 [[1, 0], [0, 1]].
    assert_eq!(top.len(), 2);
    for value in top {
        assert!((value - 2.0).abs() < 1e-6, "{value}");
    }
    assert!((object["trace"].as_f64().unwrap() - 4.0).abs() < 1e-6, "{object}");
    let done = bench.run("spectrum m --top 2 --bottom 1 --out more");
    assert_eq!((done.code, bench.exists("more")), (Some(1), false));
    assert!(done.sentence().contains("2 parameters"), "{}", done.sentence());
}

#[test]
fn the_centre_has_one_loss_bit_for_bit() {
    let bench = Bench::new("one-loss");
    let weights = bench.resnet("m");
    for mode in ["frozen", "batch", "recalibrated"] {
        let with = format!("--batch-norm {mode} --batch 24 --samples 60");
        let loss = |line: &str| bench.json(line)["loss"].clone();
        let spectrum = loss(&format!("spectrum m --top 0 --trace 0 {with} --out {mode}-spectrum"));
        let plane = loss(&format!("surface m --x -1:1:3 {with} --out {mode}-plane"));
        let away = loss(&format!("surface {weights} --x 0.5:1:2 --line {with} --out {mode}-away"));
        let point = bench.json(&format!("surface m --x 0:0:1 {with} --out {mode}-point"));
        assert!(spectrum.is_number());
        assert_eq!([&plane, &away, &point["loss"]], [&spectrum; 3], "{mode}");
        // The centre as a point of the grid, and that grid's only one.
        let at_zero = |object: &Value| object["minimum"]["loss"].clone();
        assert_eq!(at_zero(&point), spectrum, "{mode}");
        assert_eq!(point["points"], 1);
        bench.ok(&format!("export {mode}-plane --csv"));
        let csv =
            String::from_utf8(bench.read(&format!("{mode}-plane/export/results.csv"))).unwrap();
        let heads: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        let column = heads.iter().position(|head| *head == "loss").unwrap();
        let centre: Vec<&str> = csv.lines().nth(5).unwrap().split(',').collect();
        assert_eq!((centre[0], centre[1]), ("0", "0"));
        assert_eq!(centre[column].parse::<f64>().ok(), spectrum.as_f64(), "{mode}");
    }
}

/// Of cross-entropy on logits Gauss-Newton and Fisher are one matrix; layers and classes are parts.
#[test]
fn kindred_matrices_layers_and_classes_are_measured() {
    let bench = Bench::new("matrices");
    bench.mlp("m");
    let run = |line: &str, out: &str| {
        let with = "--samples 32 --precision f64 --top 1 --trace exact";
        bench.json(&format!("spectrum m {with} {line} --out {out}"))
    };
    let trace = |object: &Value| object["trace"].as_f64().unwrap();
    let newton = run("--of gauss-newton", "newton");
    let fisher = run("--of fisher", "fisher");
    assert_eq!(
        (&newton["operator"], &fisher["operator"]),
        (&"gauss-newton".into(), &"fisher".into())
    );
    assert!((trace(&newton) - trace(&fisher)).abs() < 1e-10 * trace(&fisher), "{newton} {fisher}");
    // The mean squared norm of gradients, and without that of the mean gradient.
    let empirical = run("--of empirical-fisher", "empirical");
    let covariance = run("--of gradient-covariance", "covariance");
    let norm = empirical["gradient_norm"].as_f64().unwrap();
    let difference = trace(&empirical) - trace(&covariance);
    assert!((difference - norm * norm).abs() < 1e-9 * trace(&empirical), "{difference} {norm}");
    let info = bench.json("inspect m");
    let first =
        info["parameters"].as_array().map(|all| all[0]["name"].as_str().unwrap().to_owned());
    let layer = first.unwrap().rsplit_once('.').unwrap().0.to_owned();
    let part = run(&format!("--of fisher --layer {layer} --class 3"), "part");
    assert_eq!(part["scope"], format!("layer {layer}, class 3"));
    assert!(part["products"]["trace"].as_u64() < fisher["products"]["trace"].as_u64());
    let done = bench.run("spectrum m --layer nowhere --out none");
    assert_eq!((done.code, bench.exists("none")), (Some(1), false));
    assert!(done.sentence().contains("nowhere"), "{}", done.sentence());
    let done = bench.run("spectrum m --samples 32 --class 77 --top 1 --out none");
    assert!(done.code == Some(1) && done.sentence().contains("77"), "{}", done.sentence());
    // Sketches know the trace as well.
    let whole = run("", "whole");
    for estimator in ["hutch++", "xtrace"] {
        let with = "--samples 32 --precision f64 --top 2";
        let line =
            format!("spectrum m {with} --estimator {estimator} --trace 30 --out {estimator}");
        let found = bench.json(&line);
        let (value, error) = (&found["trace"]["value"], &found["trace"]["standard_error"]);
        let distance = (value.as_f64().unwrap() - trace(&whole)).abs();
        assert!(distance < 5.0 * error.as_f64().unwrap(), "{found} {whole}");
        assert_eq!(found["products"]["trace"], 30);
        assert!(found["frobenius_squared"].is_null(), "{found}");
    }
}

/// Approximations have the trace of their matrix, and a Kronecker product that of its factors.
#[test]
fn approximations_have_names_of_their_own() {
    let bench = Bench::new("approximations");
    bench.mlp("m");
    let run = |line: &str, out: &str| {
        let with = "--samples 32 --precision f64 --top 1 --trace exact";
        bench.json(&format!("spectrum m {with} {line} --out {out}"))
    };
    let trace = |object: &Value| object["trace"].as_f64().unwrap();
    for of in ["fisher", "empirical-fisher", "gradient-covariance"] {
        let whole = run(&format!("--of {of}"), of);
        let name = format!("{of}-diagonal");
        let diagonal = run(&format!("--of {name}"), &name);
        assert_eq!(diagonal["operator"], name);
        assert!((trace(&whole) - trace(&diagonal)).abs() < 1e-9 * trace(&whole), "{of}");
        let largest = |object: &Value| object["top"][0]["value"].as_f64().unwrap();
        assert!(largest(&diagonal) <= largest(&whole) * (1.0 + 1e-9), "{of}");
    }
    let kfac = run("--of fisher-kfac", "kfac");
    assert_eq!(kfac["operator"], "fisher-kfac");
    assert!(trace(&kfac) > 0.0);
    let some = run("--of fisher-kfac --parameters fc1.weight,fc2.bias", "some");
    assert_eq!(some["scope"], "parameters fc1.weight, fc2.bias");
    assert!(some["products"]["trace"].as_u64() < kfac["products"]["trace"].as_u64());
    run("--of monte-carlo-fisher-kfac --draws 2", "drawn");
    for (line, code, words) in [
        ("--of hessian-kfac", 2, "-kfac (not of hessian"),
        ("--of fisher --draws 2", 2, "--draws goes with --of monte-carlo-fisher"),
        ("--of monte-carlo-fisher --draws 0", 2, "at least 1"),
        ("--parameters fc1.weight --layer fc1", 2, "cannot be used with"),
        ("--parameters fc9.weight", 1, "fc9.weight"),
    ] {
        let done = bench.run(&format!("spectrum m {line} --out none"));
        assert_eq!((done.code, bench.exists("none")), (Some(code), false), "{line}");
        assert!(done.stderr.contains(words), "{line}: {}", done.stderr);
    }
}

/// One step of Adam from zero moments: what it divides by is the gradient's size, so that the trace
/// of the diagonal of the effective curvature is known.
#[test]
fn adams_effective_curvature_is_read_from_the_run() {
    let bench = Bench::new("preconditioned");
    line(&bench);
    let train = "train --data line.npz --arch linear --steps 3";
    // eps is all that it divides by where it is large.
    bench.ok(&format!("{train} --optimizer adam:eps=1e6 --seeds 0..2 --out adam"));
    bench.ok(&format!("{train} --optimizer momentum --out momentum"));
    let with = "--trace exact --precision f64";
    let member = "adam/weights/seed-1.safetensors";
    let object = bench.json(&format!("spectrum {member} --preconditioned {with} --out s"));
    assert_eq!(object["preconditioner"], "adam");
    for value in object["top"].as_array().unwrap() {
        let value = value["value"].as_f64().unwrap();
        assert!((value * 1e6 - 2.0).abs() < 1e-4, "{object}");
    }
    let plain = bench.json(&format!("spectrum {member} {with} --out plain"));
    assert!(plain.get("preconditioner").is_none());
    let done = bench.run("spectrum momentum --preconditioned --out none");
    assert_eq!((done.code, bench.exists("none")), (Some(1), false));
    assert!(done.sentence().contains("expects adam or adamw"), "{}", done.sentence());
    // Somewhere else nothing lies beside it.
    bench.write("alone.safetensors", bench.read(member));
    let done = bench.run("spectrum alone.safetensors --data line.npz --preconditioned --out none");
    assert_eq!((done.code, bench.exists("none")), (Some(1), false));
    assert!(done.sentence().contains("has no optimizer's state beside it"), "{}", done.sentence());
    bench.write(member, bench.read("adam/weights/seed-0.safetensors"));
    let done = bench.run(&format!("spectrum {member} --preconditioned --out none"));
    assert!(done.sentence().contains("that of other weights"), "{}", done.sentence());
}
