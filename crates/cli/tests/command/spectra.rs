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
    assert_eq!(found, ["bottom", "density", "frobenius_squared", "outliers", "trace"]);
    // Of the found ones as many as lie beyond the ends, between which most of all 610 lie.
    let outliers = &object["outliers"];
    let end = |key: &str| outliers[key].as_f64().unwrap();
    let beyond = |found: &&Value| {
        let value = found["value"].as_f64().unwrap();
        value < end("below") || value > end("above")
    };
    let sides = ["top", "bottom"].iter().flat_map(|side| object[*side].as_array().unwrap());
    assert_eq!(outliers["found"], sides.filter(beyond).count());
    let count = outliers["count"]["value"].as_f64().unwrap();
    assert!(end("below") < end("above") && count > 0.5 && count < 122.0, "{outliers}");
    // 8 more for the error of a sample in the norm.
    assert_eq!(
        (&object["trace"]["samples"], &object["products"]["trace"]),
        (&4.into(), &12.into())
    );
    assert_eq!(object["products"]["density"], 8 * 48);
    assert!(object["bottom"][0]["value"].as_f64() <= object["bottom"][1]["value"].as_f64());
    // Exact on 32 of the examples.
    let (_, exact) = keys("--top 0 --trace exact", "c");
    let part = |object: &Value, key: &str| object["trace"][key].as_f64().unwrap();
    let (trace, of_sample) = (part(&exact, "value"), part(&exact, "standard_error"));
    assert!(of_sample > 0.0 && exact["trace"]["samples"] == 32, "{exact}");
    assert_eq!(exact["products"]["sampling_error"], 8);
    // The norm is that on all the data, with the error of the sample.
    let all = bench.json("spectrum m --top 0 --trace exact --out all");
    let norm = |key: &str| exact["frobenius_squared"][key].as_f64().unwrap();
    let off = norm("value") - all["frobenius_squared"].as_f64().unwrap();
    assert!(off.abs() < 4.0 * norm("standard_error"), "{exact} {all}");
    let (estimate, error) = (part(&object, "value"), part(&object, "standard_error"));
    // Of 4 probes; a fixed seed.
    assert!((estimate - trace).abs() < 5.0 * error, "{estimate} ± {error}, exact {trace}");
    // Of three eigenvalues and 8 probes.
    assert_eq!(object["products"]["sampling_error"], 3 + 8);
    for found in ["top", "bottom"].iter().flat_map(|side| object[*side].as_array().unwrap()) {
        assert!(found["sampling_error"].as_f64().unwrap() > 0.0, "{object}");
    }
    let (_, within) = keys("--top 0 --trace 10%", "d");
    let error = part(&within, "standard_error");
    // The vectors' own error is that share of the trace, beside that of the sample.
    let own = (error.powi(2) - of_sample.powi(2)).sqrt();
    assert!(own > 0.0 && own <= 0.1 * part(&within, "value"), "{error} {of_sample}");
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
    // All examples were taken: nothing was sampled.
    assert!(object["top"][0].get("sampling_error").is_none() && object["trace"].is_number());
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
        assert_eq!([&plane, &away, &point["loss"]], [&spectrum; 3], "{mode}");
        // The centre as a point of the grid, and that grid's only one.
        let at_zero = |object: &Value| object["minimum"]["loss"].clone();
        assert_eq!(at_zero(&point), spectrum["value"], "{mode}");
        assert_eq!(point["points"], 1);
        bench.ok(&format!("export {mode}-plane --csv"));
        let csv =
            String::from_utf8(bench.read(&format!("{mode}-plane/export/results.csv"))).unwrap();
        let heads: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
        let column = heads.iter().position(|head| *head == "loss").unwrap();
        let centre: Vec<&str> = csv.lines().nth(5).unwrap().split(',').collect();
        assert_eq!((centre[0], centre[1]), ("0", "0"));
        assert_eq!(centre[column].parse::<f64>().ok(), spectrum["value"].as_f64(), "{mode}");
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
    // Of the Hessian with the error of the sample.
    let trace =
        |object: &Value| object["trace"]["value"].as_f64().or(object["trace"].as_f64()).unwrap();
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

/// Where eps is all that Adam divides by, its effective curvature is the Hessian over that and the
/// share of a gradient that its running mean has seen.
#[test]
fn adams_effective_curvature_is_read_from_the_run() {
    let bench = Bench::new("preconditioned");
    line(&bench);
    let train = "train --data line.npz --arch linear --steps 3";
    bench.ok(&format!("{train} --optimizer adam:eps=1e6 --seeds 0..2 --out adam"));
    bench.ok(&format!("{train} --optimizer momentum --out momentum"));
    let with = "--trace exact --precision f64";
    let member = "adam/weights/seed-1.safetensors";
    let object = bench.json(&format!("spectrum {member} --preconditioned {with} --out s"));
    assert_eq!(object["preconditioner"], "adam");
    for value in object["top"].as_array().unwrap() {
        let value = value["value"].as_f64().unwrap();
        let divisor = 1e6 * (1.0 - 0.9f64.powi(3));
        assert!((value * divisor - 2.0).abs() < 1e-4, "{object}");
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

/// Of cross-entropy the Gauss-Newton and the Fisher matrix are one, so that the eigenvalues of one
/// relative to the other plus damping are those of a fraction.
#[test]
fn eigenvalues_are_relative_to_another_matrix() {
    let bench = Bench::new("relative");
    line(&bench);
    bench.mlp("m");
    bench.ok("train --data line.npz --arch linear --epochs 2 --out two");
    let values = |object: &Value, side: &str| -> Vec<f64> {
        let of = object[side].as_array().unwrap();
        of.iter().map(|pair| pair["value"].as_f64().unwrap()).collect()
    };
    // Both matrices are twice the identity, and all of its eigenvalues are wanted.
    let both =
        bench.json("spectrum two --relative-to fisher --damping 0.5 --precision f64 --out t");
    assert_eq!(values(&both, "top").len(), 2);
    assert!(values(&both, "top").iter().all(|value| (value - 0.8).abs() < 1e-6), "{both}");
    let with = "--samples 32 --precision f64 --tolerance 1e-8 --top 3";
    let plain = bench.json(&format!("spectrum m {with} --of gauss-newton --trace 0 --out plain"));
    let asked = "--of gauss-newton --relative-to fisher --damping 0.01";
    let found = bench.json(&format!("spectrum m {with} {asked} --out r"));
    for (l, relative) in values(&plain, "top").into_iter().zip(values(&found, "top")) {
        assert!((relative - l / (l + 0.01)).abs() < 1e-6, "{found} {plain}");
    }
    let to = &found["relative_to"];
    assert_eq!((&to["operator"], &to["damping"]), (&"fisher".into(), &0.01.into()));
    assert_eq!(to["preconditioner"], "fisher-kfac");
    assert_eq!(found["products"]["relative_to"], found["products"]["eigenvalues"]);
    assert!(found.get("trace").is_none() && found["products"]["trace"] == 0, "{found}");
    for pair in found["top"].as_array().unwrap() {
        assert!(pair["residual"].as_f64().unwrap() < 1e-7, "{found}");
    }
    let page = String::from_utf8(bench.read("r/report.html")).unwrap();
    assert!(page.contains("Gauss-Newton matrix relative to the Fisher matrix"));
    assert!(page.contains("By LOBPCG") && bench.exists("r/figures/spectrum.png"));
    // What preconditions follows from the matrix; both ends of one that has both signs.
    for (to, near) in [
        ("fisher-kfac", "fisher-kfac"),
        ("empirical-fisher-diagonal", "empirical-fisher-diagonal"),
        ("gradient-covariance", "gradient-covariance-diagonal"),
    ] {
        let line = format!("spectrum m --samples 32 --bottom 1 --relative-to {to} --out {to}");
        let found = bench.json(&line);
        assert_eq!(found["relative_to"]["preconditioner"], near);
        assert_eq!(found["relative_to"]["damping"], 0.1);
        let (top, bottom) = (values(&found, "top"), values(&found, "bottom"));
        assert!(top.is_sorted_by(|a, b| a >= b) && bottom[0] < top[4], "{found}");
    }
    let told = bench.ok("spectrum m --samples 32 --top 1 --relative-to fisher --out told").stdout;
    assert!(told.contains("hessian, relative to fisher + 0.1"), "{told}");
    assert!(told.contains("(the matrix that they are relative to)"), "{told}");
}

/// A matrix is made of its blocks, and a mean over examples of those over parts of them.
#[test]
fn blocks_and_groups_of_examples_add_up() {
    let bench = Bench::new("blocks");
    bench.mlp("m");
    let run = |line: &str, out: &str| {
        let with = "--samples 32 --precision f64 --tolerance 1e-8 --trace exact";
        bench.json(&format!("spectrum m {with} {line} --out {out}"))
    };
    let number =
        |object: &Value, key: &str| object[key]["value"].as_f64().or(object[key].as_f64()).unwrap();
    let whole = run("--top 0", "whole");
    // The norm of the Hessian itself would be that on all the data.
    let of = |line: &str, out: &str| run(&format!("{line} --of gauss-newton"), out);
    let parts = [
        of("--top 0", "all"),
        of("--top 0 --layer fc1", "a"),
        of("--top 0 --layer fc2", "b"),
        of("--top 1 --bottom 1 --between fc1,fc2", "between"),
    ];
    let [sum, blocks @ ..] = parts.each_ref().map(|part| number(part, "frobenius_squared"));
    assert!((sum - blocks.iter().sum::<f64>()).abs() < 1e-9 * sum, "{parts:?}");
    let [.., between] = parts;
    assert_eq!(between["scope"], "between layer fc1 and layer fc2");
    let end = |side: &str| between[side][0]["value"].as_f64().unwrap();
    assert!((end("top") + end("bottom")).abs() < 1e-6 * end("top"), "{between}");
    assert!(number(&between, "trace").abs() < 1e-12, "{between}");
    let usual = bench.json("spectrum m --samples 32 --top 1 --between fc1,fc2 --class 3 --out u");
    assert_eq!(usual["scope"], "between layer fc1 and layer fc2, class 3");
    assert!(usual.get("trace").is_none(), "{usual}");
    let halves = [("0..16", "first"), ("16..20,31,30,29,20..29", "second")]
        .map(|(places, out)| run(&format!("--top 0 --examples {places}"), out));
    let mean = halves.iter().map(|half| number(half, "trace") / 2.0).sum::<f64>();
    assert!((mean - number(&whole, "trace")).abs() < 1e-9 * mean.abs(), "{halves:?} {whole}");
    assert_eq!(halves[0]["scope"], "examples 0..16");
    assert_eq!(run("--top 0 --of empirical-fisher --examples 7", "one")["scope"], "example 7");
    for (line, words) in [
        ("--samples 32 --examples 32", "expected below 32, got 32"),
        ("--between fc1,fc9", "layer fc9"),
        ("--between fc1,fc1.weight", "fc1.weight in both"),
    ] {
        let done = bench.run(&format!("spectrum m {line} --out none"));
        assert_eq!((done.code, bench.exists("none")), (Some(1), false), "{line}: {done:?}");
        assert!(done.sentence().contains(words), "{line}: {}", done.sentence());
    }
}

/// What is done for classes of unequal frequency is part of the loss: of the training, and then of
/// what is measured.
#[test]
fn losses_for_classes_of_unequal_frequency_are_chosen_where_a_loss_is() {
    let bench = Bench::new("class-losses");
    // Classes of 60, 30 and 10 examples.
    let y: Vec<i32> = (0..100).map(|i| i32::from(i >= 60) + i32::from(i >= 90)).collect();
    let x: Vec<f32> = (0..200).map(|i| ((i * i) as f32 * 0.37).sin() + y[i / 2] as f32).collect();
    let (x, y) = (Array::from_slice(&[100, 2], &x).unwrap(), Array::vector(&y));
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x", &x), ("y", &y)], npz::Compression::Deflated).unwrap();
    bench.write("tail.npz", bytes);
    let train = |loss: &str, out: &str| {
        let line = r#"train --data tail.npz --arch "mlp hidden=8" --steps 12 --batch 32"#;
        bench.ok(&format!(r#"{line} --loss "{loss}" --out {out}"#));
        bench.read(&format!("{out}/weights/seed-0.safetensors"))
    };
    let weights = |bytes: &[u8]| -> Vec<u8> {
        // What a file says of itself is in front of its numbers.
        let head = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + head..].to_vec()
    };
    let plain = weights(&train("cross-entropy", "plain"));
    // Weights of one, and logits shifted by nothing.
    assert_eq!(weights(&train("cross-entropy balanced=0", "same")), plain);
    let balanced = weights(&train("cross-entropy balanced=0.999", "balanced"));
    let deferred = weights(&train("cross-entropy balanced=0.999 from=0.5", "deferred"));
    let adjusted = weights(&train("cross-entropy tau=1", "adjusted"));
    let margins = weights(&train("cross-entropy margin=0.5", "margins"));
    let all = [&plain, &balanced, &deferred, &adjusted, &margins];
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "{i}");
    }
    let page = String::from_utf8(bench.read("deferred/report.html")).unwrap();
    assert!(page.contains("50 % of the steps on"));
    let loss = |line: &str| {
        let object = bench.json(&format!("spectrum {line} --top 0 --trace 0"));
        object["loss"].as_f64().unwrap()
    };
    // A network is measured by the loss that it was trained with.
    assert_eq!(loss("adjusted"), loss(r#"adjusted --loss "cross-entropy tau=1""#));
    assert_ne!(loss("adjusted"), loss("adjusted --loss cross-entropy"));
    assert_eq!(loss("deferred"), loss(r#"deferred --loss "cross-entropy balanced=0.999""#));
    assert_eq!(loss("plain"), loss(r#"plain --loss "cross-entropy tau=0 balanced=0""#));
    assert!(loss("plain") < loss(r#"plain --loss "cross-entropy margin=1""#));
    let page = String::from_utf8(bench.read("runs/spectrum/report.html")).unwrap();
    assert!(page.contains("cross-entropy of logits adjusted by tau 1"), "{page}");
    for (line, words) in [
        ("--of fisher", "no distribution of classes"),
        ("--relative-to fisher-kfac", "no distribution of classes"),
    ] {
        let done = bench.run(&format!("spectrum margins {line} --out none"));
        assert_eq!((done.code, bench.exists("none")), (Some(1), false), "{line}");
        assert!(done.sentence().contains(words), "{line}: {}", done.sentence());
    }
    bench.ok("spectrum margins --of gauss-newton-kfac --samples 32 --top 1 --trace 2 --out k");
    line(&bench);
    let done = bench.run(r#"train --data line.npz --loss "mse balanced=0.9" --out none"#);
    assert_eq!((done.code, bench.exists("none")), (Some(1), false));
    assert!(done.sentence().contains("a class each"), "{}", done.sentence());
}

/// With as little memory as there may be, values are computed again: the same bits, and how much it
/// was is said.
#[test]
fn what_short_memory_computes_again_is_told() {
    let bench = Bench::new("recomputed");
    bench.ok(r#"train --arch "resnet depth=8 width=4" --steps 12 --batch 32 --out m"#);
    // So many examples at once that a product takes more than the vectors of the iteration.
    let line = "spectrum m --samples 512 --batch 512 --top 1 --trace 0 --precision f64";
    let whole = bench.json(&format!("{line} --out whole"));
    assert!(whole.get("recomputed_flops").is_none(), "{whole}");
    // Each part of the work says what it needs at least.
    let mut memory = 1u64;
    let least = loop {
        let done = bench.run(&format!("{line} --memory {memory} --json --out least-{memory}"));
        if done.code == Some(0) {
            break done.json();
        }
        let sentence = done.sentence();
        let words: Vec<&str> = sentence.split_whitespace().collect();
        let needs = words.iter().position(|word| *word == "needs").expect(&sentence);
        let needed: u64 = words[needs + 1].parse().expect(&sentence);
        assert!(needed > memory, "{sentence}");
        memory = needed;
    };
    assert!(least["recomputed_flops"].as_u64() > Some(0), "{least}");
    assert_eq!(least["top"], whole["top"]);
    let told = bench.ok(&format!("{line} --memory {memory} --out told")).stdout;
    assert!(told.contains("FLOP computed again for want of memory, report: told"), "{told}");
}
