//! `surface`: what is measured beside the loss, and surfaces in the space of inputs.

use crate::harness::{Bench, assert_same, number};
use serde_json::Value;
use std::collections::BTreeMap;
use thalweg_array::Array;
use thalweg_formats::{npz, safetensors};

/// The arrays of a surface, by name.
fn arrays(bench: &Bench, run: &str) -> BTreeMap<String, Vec<f64>> {
    bench.ok(&format!("export {run} --npz"));
    let read = npz::read(&bench.read(&format!("{run}/export/results.npz"))).unwrap();
    read.into_iter()
        .map(|(name, array)| (name.trim_start_matches("results/").to_owned(), array.to_f64_vec()))
        .collect()
}

fn smooth(bench: &Bench, out: &str, seeds: &str) {
    let train = r#"train --arch "mlp hidden=4 activation=tanh" --steps 40 --subsample 64"#;
    bench.ok(&format!("{train} --batch 32 --seeds {seeds} --out {out}"));
}

#[test]
fn minima_lie_at_the_networks_of_a_plane() {
    let bench = Bench::new("minima");
    smooth(&bench, "m", "0..3");
    let [a, b, c] = [0, 1, 2].map(|seed| format!("m/weights/seed-{seed}.safetensors"));
    let found = bench.json(&format!("surface {a} {b} {c} --directions plane --x -2:9:23 --out p"));
    assert_eq!((&found["directions"], &found["space"]), (&"plane".into(), &"weights".into()));
    let minima = found["minima"].as_array().unwrap();
    assert_eq!(found["minima_count"].as_u64(), Some(minima.len() as u64));
    let depth = |m: &Value| number(&m["persistence"]);
    assert!(minima.windows(2).all(|pair| depth(&pair[0]) >= depth(&pair[1])));
    // The deepest is the lowest point, as deep as the surface is high.
    assert_eq!(minima[0]["loss"], found["minimum"]["loss"]);
    let range = number(&found["maximum"]["loss"]) - number(&found["minimum"]["loss"]);
    assert!((depth(&minima[0]) - range).abs() < 1e-12);
    let all = arrays(&bench, "p");
    let losses = &all["minimum/minimum_loss"];
    assert!(losses.len() >= minima.len());
    for (loss, saddle) in losses.iter().zip(&all["minimum/minimum_saddle"]) {
        assert!(saddle >= loss);
    }
    assert_eq!(number(&minima[0]["saddle"]["loss"]), number(&found["maximum"]["loss"]));
    let loops = found["loops"].as_array().unwrap();
    assert_eq!(found["loops_count"].as_u64(), Some(loops.len() as u64));
    for around in loops {
        let height = number(&around["peak"]["loss"]) - number(&around["saddle"]["loss"]);
        assert!((number(&around["persistence"]) - height).abs() < 1e-12 && height > 0.0);
    }
    let fewer = bench
        .json(&format!("surface {a} {b} {c} --directions plane --x -2:9:23 --minima 0.9 --out q"));
    assert!(fewer["minima_count"].as_u64() <= found["minima_count"].as_u64());
    let auto = bench.json(&format!("surface {a} {b} {c} --directions plane --out auto"));
    assert_eq!(auto["points"], 961);
    assert!(bench.exists("auto/figures/map.png"));
}

#[test]
fn a_plane_of_more_than_three_networks_says_how_far_each_lies_from_it() {
    let bench = Bench::new("networks");
    smooth(&bench, "m", "0..5");
    let models: Vec<String> =
        (0..5).map(|seed| format!("m/weights/seed-{seed}.safetensors")).collect();
    let ask = format!("surface {} --x -1:1:2", models.join(" "));
    let found = bench.json(&format!("{ask} --out p"));
    assert_eq!(found["directions"], "plane");
    let places: Vec<[f64; 3]> = found["places"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| ["x", "y", "distance"].map(|name| number(&place[name])))
        .collect();
    assert_eq!(places[0], [0.0; 3]);
    assert!(places[1][0] > 0.0 && places[1][1] == 0.0 && places[2][1] > 0.0);
    // The squares in the plane and beside it are those of the weights.
    let weights = |model: &String| {
        let arrays = safetensors::read(&bench.read(model)).unwrap().tensors;
        arrays.values().flat_map(Array::to_f64_vec).collect::<Vec<_>>()
    };
    let first = weights(&models[0]);
    let (mut inside, mut all) = (0.0, 0.0);
    for (model, [x, y, distance]) in models.iter().zip(places) {
        let squares: Vec<f64> =
            weights(model).iter().zip(&first).map(|(a, b)| (a - b).powi(2)).collect();
        let square: f64 = squares.iter().sum();
        assert!((x * x + y * y + distance * distance - square).abs() <= 1e-12 * square);
        (inside, all) = (inside + x * x + y * y, all + square);
    }
    let held = &found["plane_shares"][0];
    assert_eq!(held["of"], "distances");
    assert!((number(&held["share"]) - inside / all).abs() < 1e-12 && inside < 0.9 * all);
    let done = bench.run(&format!("{ask} --directions checkpoints --out wrong"));
    assert_eq!(done.code, Some(2));
    assert!(done.sentence().contains("--directions plane takes more"), "{done:?}");
}

#[test]
fn the_gradient_along_a_line_is_that_of_its_slope() {
    let bench = Bench::new("gradients");
    smooth(&bench, "m", "0..2");
    let [a, b] = [0, 1].map(|seed| format!("m/weights/seed-{seed}.safetensors"));
    bench
        .ok(&format!("surface {a} {b} --x 0:1:5 --gradients --precision f64 --samples 48 --out l"));
    let all = arrays(&bench, "l");
    let [norm, cosine, turn] =
        ["gradient_norm", "gradient_cosine", "gradient_turn_cosine"].map(|name| &all[name]);
    assert!(turn[0].is_nan() && turn[1..].iter().all(|turn| turn.abs() <= 1.0 + 1e-12));
    // The slope is the gradient's length times its cosine times the length of the line.
    let length = |i: usize| all["slope"][i] / (norm[i] * cosine[i]);
    for i in 0..5 {
        assert!((length(i) / length(0) - 1.0).abs() < 1e-9, "{i}");
    }
    assert!(
        bench.exists("l/figures/gradient.png") && bench.exists("l/figures/gradient-cosines.png")
    );
    let done = bench.run(&format!("surface {a} --gradients --out wrong"));
    assert_eq!(done.code, Some(2));
    assert!(done.sentence().contains("--gradients: expected it with a line"), "{done:?}");
}

#[test]
fn the_gradient_along_a_trajectory_is_that_of_each_checkpoint() {
    let bench = Bench::new("trajectory-gradients");
    let train = r#"train --arch "mlp hidden=4" --epochs 4 --batch 32 --subsample 64"#;
    bench.ok(&format!("{train} --checkpoints 1 --out m"));
    let line = "surface m --directions trajectory --x -1:1:3 --y 0:1:2 --precision f64";
    let found = bench.json(&format!("{line} --gradients --out t"));
    let all = arrays(&bench, "t");
    let [way, loss, norm, cosine, turn] =
        ["way", "loss", "gradient_norm", "gradient_cosine", "gradient_turn_cosine"]
            .map(|name| &all[&format!("checkpoint/trajectory_{name}")]);
    assert_eq!((way.len(), way[0]), (5, 0.0));
    assert!(way.is_sorted() && way[1] > 0.0);
    assert!(turn[0].is_nan() && cosine.iter().all(|cosine| cosine.abs() <= 1.0));
    // The last one is the centre, whose gradient is known otherwise.
    let spectrum = bench.json("spectrum m --top 0 --trace 0 --precision f64 --out s");
    let known = |object: &Value, key: &str| object[key].as_f64().unwrap();
    assert!((loss[4] - known(&found, "loss")).abs() < 1e-12);
    assert!((norm[4] - known(&spectrum, "gradient_norm")).abs() < 1e-12);
    // Checkpoints are where they were: their distance is that of a line between two of them.
    let folder = "m/trajectory/seed-0";
    let files = std::fs::read_dir(bench.path(folder)).unwrap();
    let mut files: Vec<String> = files
        .map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    files.sort();
    let [a, b] = [&files[0], &files[1]];
    bench.ok(&format!("surface {a} {b} --x 0:1:2 --gradients --precision f64 --out l"));
    let line = arrays(&bench, "l");
    assert!((line["gradient_norm"][1] - norm[1]).abs() < 1e-12);
    assert!((line["gradient_turn_cosine"][1] - turn[1]).abs() < 1e-12);
    let length = line["slope"][0] / (line["gradient_norm"][0] * line["gradient_cosine"][0]);
    assert!((length - way[1]).abs() < 1e-9 * length, "{length} {way:?}");
    assert!(
        bench.exists("t/figures/gradient.png") && bench.exists("t/figures/gradient-cosines.png")
    );
}

#[test]
fn slopes_and_curvatures_are_those_of_the_line() {
    let bench = Bench::new("slopes");
    smooth(&bench, "m", "0");
    let h = 1e-3;
    let found = bench
        .json(&format!("surface m --line --x -{h}:{h}:3 --precision f64 --samples all --out l"));
    let all = arrays(&bench, "l");
    let loss = &all["loss"];
    let slope = (loss[2] - loss[0]) / (2.0 * h);
    let curvature = (loss[2] - 2.0 * loss[1] + loss[0]) / (h * h);
    for (name, expected) in [("slope", slope), ("curvature", curvature)] {
        let said = found[name][0].as_f64().unwrap();
        assert!(
            (said - expected).abs() < 1e-4 * expected.abs().max(1.0),
            "{name} {said} {expected}"
        );
        assert_eq!(all[name][1], said);
    }
    // Of a sample they are estimates; of a plane there are two.
    let some = bench.json("surface m --x -1:1:3 --samples 32 --out s");
    assert_eq!(some["slope"].as_array().unwrap().len(), 2);
    assert!(some["curvature"][1]["standard_error"].as_f64().unwrap() > 0.0);
    let page = String::from_utf8(bench.read("l/report.html")).unwrap();
    assert!(page.contains("parabola"));
}

#[test]
fn convexity_and_basin_are_measured_and_survive_a_kill() {
    let bench = Bench::new("beside");
    smooth(&bench, "m", "0");
    let line = "surface m --x -1:1:5 --convexity 3 --basin 4 --rise 0.2 --samples 32";
    let found = bench.json(&format!("{line} --out a"));
    let (map, basin) = (&found["convexity"], &found["basin"]);
    assert_eq!((&map["points"], &basin["rays"]), (&9.into(), &4.into()));
    let [low, middle, high] = [0, 1, 2].map(|i| basin["quartiles"][i].as_f64().unwrap());
    assert!(0.0 < low && low <= middle && middle <= high);
    assert!(number(&basin["log_volume_bound"]) <= number(&basin["log_volume"]));
    for figure in ["convexity", "basin", "map", "lines"] {
        assert!(bench.exists(&format!("a/figures/{figure}.png")), "{figure}");
    }
    let all = arrays(&bench, "a");
    let part = |name: &str| all.iter().find(|(known, _)| known.ends_with(name)).unwrap().1;
    let (largest, smallest) = (part("largest_eigenvalue"), part("smallest_eigenvalue"));
    for (ratio, (low, high)) in part("convexity_ratio").iter().zip(smallest.iter().zip(largest)) {
        assert_eq!(*ratio, (low / high).abs());
    }
    assert_eq!(part("basin_radius").len(), 4);
    bench.ok(&format!("{line} --threads 1 --memory 64MiB --out b"));
    assert_same(&bench.results("a"), &bench.results("b"));
    // What a kill leaves: units without results.
    std::fs::remove_dir_all(bench.path("b/results.zarr")).unwrap();
    let units = bench.path("b/units");
    if units.exists() {
        bench.ok(&format!("{line} --resume --out b"));
        assert_same(&bench.results("a"), &bench.results("b"));
    }
}

/// The shares that a plane holds, by what they are of.
fn shares(found: &Value) -> BTreeMap<String, (f64, Option<f64>)> {
    let shares = found["plane_shares"].as_array().unwrap().iter().map(|held| {
        let share = &held["share"];
        let of = held["of"].as_str().unwrap().to_owned();
        (of, (number(share), share["standard_error"].as_f64()))
    });
    shares.collect()
}

#[test]
fn a_plane_says_how_much_it_holds() {
    let bench = Bench::new("share");
    let train = r#"train --arch "mlp hidden=4" --epochs 5 --batch 32 --subsample 64"#;
    bench.ok(&format!("{train} --checkpoints 1 --out m"));
    let small = "--x -1:1:3 --y 0:1:2";
    let found =
        bench.json(&format!("surface m --directions trajectory {small} --plane-share --out t"));
    let held = shares(&found);
    let all = arrays(&bench, "t");
    let squares = |name: &str| all[name].iter().map(|v| v * v).sum::<f64>();
    let inside = squares("checkpoint/trajectory_x") + squares("checkpoint/trajectory_y");
    let whole = inside + squares("checkpoint/trajectory_residual");
    let share = held["trajectory"].0;
    assert!((share - inside / whole).abs() < 1e-12 && (0.5..=1.0).contains(&share), "{share}");
    // The exact norm, by one product for each parameter.
    let spectrum = bench.json("spectrum m --top 2 --trace exact --out s");
    let norm = spectrum["frobenius_squared"].as_f64().unwrap();
    let squares = |i: usize| spectrum["top"][i]["value"].as_f64().unwrap().powi(2);
    let found = bench.json("surface m --directions eigenvectors --x -1:1:3 --out e");
    let (value, error) = shares(&found)["curvature"];
    let exact = (squares(0) + squares(1)) / norm;
    assert!((value - exact).abs() < 4.0 * error.unwrap(), "{value} ± {error:?}: {exact}");
    assert!(value <= 1.0);
    // Of what training moves along there is curvature too, and of a line.
    let (value, error) = held["curvature"];
    assert!((0.0..=1.0).contains(&value) && error.unwrap() > 0.0);
    let found = bench.json("surface m --directions eigenvectors --line --x -1:1:3 --out l");
    let (value, error) = shares(&found)["curvature"];
    assert!((value - squares(0) / norm).abs() < 4.0 * error.unwrap(), "{value} ± {error:?}");
}

#[test]
fn the_share_of_the_curvature_is_measured_where_it_is_cheap_or_asked_for() {
    let bench = Bench::new("cheap-share");
    smooth(&bench, "m", "0");
    let plain = bench.json("surface m --out plain");
    let (value, error) = shares(&plain)["curvature"];
    assert!((0.0..=1.0).contains(&value) && error.is_some());
    for figure in ["map", "persistence", "merge-tree"] {
        assert!(bench.exists(&format!("plain/figures/{figure}.png")), "{figure}");
    }
    let text = |name: &str| String::from_utf8(bench.read(name)).unwrap();
    assert!(text("plain/figures/map.svg").contains("the plane holds"));
    for quiet in ["--x -1:1:3", "--plane-share 0", "--line", "--tolerance 0.3"] {
        let found = bench.json(&format!("surface m {quiet} --out none"));
        assert_eq!(found["plane_shares"], Value::Array(Vec::new()), "{quiet}");
        assert!(text("none/report.html").contains("--plane-share measures it"));
        std::fs::remove_dir_all(bench.path("none")).unwrap();
    }
    // Each of several planes has its own.
    let found = bench.json("surface m --x -1:1:3 --pairs 2 --plane-share 4 --out pairs");
    let of = |i: usize| found["plane_shares"][i]["pair"].as_u64();
    assert_eq!([of(0), of(1), of(2)], [Some(0), Some(1), None]);
    assert_eq!(found["plane_shares"][0]["share"]["samples"], 4);
    let inputs = bench.json("surface m --in-input-space --x -1:1:3 --plane-share --out inputs");
    assert!(shares(&inputs)["curvature"].0 <= 1.0);
    let done = bench.run("surface m --plane-share 1 --out wrong");
    assert_eq!(done.code, Some(2));
    assert!(done.sentence().contains("--plane-share 1: expected at least 2"), "{done:?}");
}

/// In memory for losses, but not for products with the Hessian: what nobody asked for is left out,
/// what was asked for refuses.
#[test]
fn what_memory_does_not_allow_is_left_out_unless_it_was_asked_for() {
    let bench = Bench::new("short-memory");
    let train = r#"train --arch "mlp hidden=256-256" --steps 1 --subsample 256"#;
    bench.ok(&format!("{train} --out m"));
    let short = "surface m --memory 2240KiB";
    let done = bench.run(&format!("{short} --x -1:1:3 --plane-share 4 --out asked"));
    assert_eq!(done.code, Some(1));
    assert!(done.sentence().contains("one Hessian product needs"), "{done:?}");
    for (size, left_out) in [
        ("--x -1:1:41", "the share of the curvature that the plane holds"),
        ("--x -1:1:3", "slope and curvature at the centre"),
        ("--x -1:1:3 --line", "slope and curvature along the line"),
    ] {
        let done = bench.ok(&format!("{short} {size} --out told"));
        let told = format!("Not measured: {left_out}; one ");
        assert!(done.stderr.contains(&told) && done.stdout.contains("total variation"), "{done:?}");
        std::fs::remove_dir_all(bench.path("told")).unwrap();
    }
    let found = bench.json(&format!("{short} --x -1:1:3 --line --out line"));
    assert_eq!((&found["line"], &found["slope"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    let gradients = format!("{short} --x -1:1:3 --line --gradients --out gradients");
    let done = bench.run(&gradients);
    assert_eq!(done.code, Some(1));
    assert!(done.sentence().contains("the budget is 2293760"), "{done:?}");
}

#[test]
fn classes_add_up_to_the_whole() {
    let bench = Bench::new("classes");
    smooth(&bench, "m", "0");
    let found = bench.json("surface m --x -1:1:3 --per-class --out c");
    let classes = found["classes"].as_array().unwrap();
    let all = arrays(&bench, "c");
    let part = |name: &str| {
        let find = |(known, _): &(&String, _)| format!("/{known}").ends_with(name);
        all.iter().find(find).unwrap_or_else(|| panic!("{name} in {:?}", all.keys())).1
    };
    let (losses, whole) = (part("class_loss"), part("/loss"));
    let examples: Vec<f64> =
        classes.iter().map(|class| class["examples"].as_f64().unwrap()).collect();
    assert_eq!(examples.iter().sum::<f64>(), 64.0);
    for point in 0..9 {
        let sum: f64 = examples.iter().enumerate().map(|(k, n)| n * losses[9 * k + point]).sum();
        assert!((sum / 64.0 - whole[point]).abs() < 1e-12 * whole[point], "{point}");
    }
    bench.ok("surface m --x -1:1:3 --out plain");
    assert_eq!(&arrays(&bench, "plain")["loss"], whole, "the whole is the same bits");
    assert!(bench.exists("c/figures/classes.png"));
    let done = bench.run("surface m --x -1:1:3 --per-class --tolerance 0.1 --out n");
    assert_eq!(done.code, Some(2), "{done:?}");
}

#[test]
fn inputs_are_moved_as_asked() {
    let bench = Bench::new("inputs");
    smooth(&bench, "m", "0");
    let whole = bench.json("surface m --x 0:0:1 --samples 32 --out w")["loss"].clone();
    let line = "surface m --in-input-space --samples 32";
    let random = bench.json(&format!("{line} --x -2:2:5 --out r"));
    assert_eq!((&random["loss"], &random["space"]), (&whole, &"inputs".into()));
    assert_eq!((&random["points"], &random["samples"]), (&25.into(), &32.into()));
    // Along the gradient the slope is its norm, and at right angles to it there is none.
    let steep = bench.json(&format!("{line} --directions gradient --example 3 --x -1:1:3 --out g"));
    assert_eq!(steep["samples"], 1);
    let [along, across] = [0, 1].map(|i| number(&steep["slope"][i]));
    assert!(along > 0.0 && across.abs() < 1e-4 * along, "{along} {across}");
    // A given direction is used as it is.
    let given = Array::from_slice(&[8, 8, 1], &[0.125; 64]).unwrap();
    let mut bytes = Vec::new();
    npz::write(&mut bytes, &[("x.input", &given)], npz::Compression::Deflated).unwrap();
    bench.write("d.npz", bytes);
    let shifted = bench.json(&format!("{line} --directions d.npz --line --x 0:1:2 --out d"));
    assert_eq!(shifted["points"], 2);
    for (likelihood, out) in [("joint", "j"), ("marginal", "k")] {
        let asked = format!("{line} --directions signs --likelihood {likelihood} --x 0:1:2");
        let found = bench.json(&format!("{asked} --out {out}"));
        assert_ne!(found["loss"], whole);
    }
    // The weights are data here, and not those of examples: of all the examples in another order too.
    let many = "surface m --in-input-space --samples 64 --batch 16 --x -1:1:5";
    let exact = bench.json(&format!("{many} --out e"));
    let near = bench.json(&format!("{many} --tolerance 0.05 --out t"));
    let off = number(&exact["maximum"]["loss"]) - number(&near["maximum"]["loss"]);
    assert!(off.abs() < 0.2 * number(&exact["maximum"]["loss"]), "{off}");
    for wrong in ["--directions eigenvectors", "--likelihood x", "--normalize filter"] {
        let done = bench.run(&format!("{line} {wrong} --out n"));
        assert!(done.code == Some(2) && !bench.exists("n"), "{wrong}: {done:?}");
    }
    let done = bench.run("surface m --directions gradient --out n");
    assert!(done.sentence().contains("--in-input-space"), "{done:?}");
    let done = bench.run(&format!("{line} --example 32 --out n"));
    assert!(done.code == Some(1) && done.sentence().contains("below 32"), "{done:?}");
}
