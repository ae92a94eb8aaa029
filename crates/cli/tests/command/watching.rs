//! Instruments that are read while networks train.

use crate::harness::Bench;

const TRAIN: &str = r#"train --arch "mlp hidden=8" --optimizer sgd --schedule constant --batch 32
                       --subsample 200 --steps 20"#;

/// The steps of a run's measurements, and the values of one column; none where nothing was read.
fn column(bench: &Bench, run: &str, name: &str) -> Vec<(u64, Option<f64>)> {
    let table = String::from_utf8(bench.read(&format!("{run}-csv/metrics.csv"))).unwrap();
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| names.iter().position(|&known| known == name).expect("a column");
    let (step, value) = (place("step"), place(name));
    let cells = lines.map(|line| line.split(',').collect::<Vec<_>>());
    let number = |cell: &str| cell.parse().ok().filter(|value: &f64| value.is_finite());
    cells.map(|row| (row[step].parse().unwrap(), number(row[value]))).collect()
}

fn read(bench: &Bench, run: &str, name: &str) -> Vec<(u64, f64)> {
    let rows = column(bench, run, name);
    rows.into_iter().filter_map(|(step, value)| Some((step, value?))).collect()
}

#[test]
fn what_is_watched_is_what_is_measured_afterwards() {
    let bench = Bench::new("watching");
    let watch = "sharpness:8,trace:6:probes=8,dead_units:10,weight_norm";
    bench.json(&format!("{TRAIN} --lr 0.1,0.05 --watch {watch} --out a"));
    for name in ["training", "sharpness", "trace", "dead_units", "weight_norm_norm"] {
        assert!(bench.exists(&format!("a/figures/{name}.png")), "{name}");
    }
    bench.ok("export a --csv --out a-csv");
    let sharpness = read(&bench, "a", "sharpness");
    let steps: Vec<u64> = sharpness.iter().map(|&(step, _)| step).collect();
    assert_eq!(steps, [0, 0, 8, 8, 16, 16, 20, 20]);
    let thresholds = read(&bench, "a", "sharpness_threshold");
    assert!(thresholds.iter().step_by(2).all(|&(_, value)| value == 20.0), "{thresholds:?}");
    assert!(thresholds.iter().skip(1).step_by(2).all(|&(_, value)| value == 40.0));
    assert_eq!(read(&bench, "a", "trace_standard_error").len(), 10);
    // Training is the same as without.
    bench.json(&format!("{TRAIN} --lr 0.1,0.05 --out b"));
    bench.ok("export b --csv --out b-csv");
    let losses = |run| -> Vec<(u64, f64)> { read(&bench, run, "train_loss") };
    assert_eq!(losses("a"), losses("b"));
    let page = String::from_utf8(bench.read("a/report.html")).unwrap();
    assert!(page.contains("its largest eigenvalue"), "stability is told");
    for (member, lr) in ["0.1", "0.05"].into_iter().enumerate() {
        let line = format!("spectrum a/weights/seed-0-lr-{lr}.safetensors --subsample 200 --top 1");
        let told = bench.json(&format!("{line} --trace 0 --out s{member}"));
        let expected = told["top"][0]["value"].as_f64().unwrap();
        let (_, found) = sharpness[6 + member];
        assert!((found / expected - 1.0).abs() < 1e-2, "{lr}: {found}, {expected}");
    }
}

/// The lines of the README that watch a sharpness; the first is full-batch gradient descent.
fn watched_in_the_readme() -> [String; 2] {
    let readme = include_str!("../../../../README.md").replace("\\\n", " ");
    let lines = readme.lines().filter(|line| line.contains("critical_sharpness:"));
    let commands = lines.filter_map(|line| line.trim().strip_prefix("thalweg "));
    commands.map(str::to_owned).collect::<Vec<_>>().try_into().expect("two commands")
}

/// Cohen et al. 2021: gradient descent drives the sharpness to two over its rate, and there it stays.
#[test]
fn full_batch_descent_is_watched_to_the_edge_of_stability() {
    let bench = Bench::new("watching-edge");
    let [line, _] = watched_in_the_readme();
    bench.json(&format!("{line} --out a"));
    bench.ok("export a --csv --out a-csv");
    let edge = read(&bench, "a", "sharpness_threshold")[0].1;
    let shares = |name: &str| -> Vec<(u64, f64)> {
        read(&bench, "a", name).into_iter().map(|(step, value)| (step, value / edge)).collect()
    };
    let sharpness = shares("sharpness");
    let falls_first = sharpness.iter().filter(|(step, _)| (20..60).contains(step));
    assert!(falls_first.into_iter().all(|&(_, share)| share < 0.97), "{sharpness:?}");
    let late: Vec<f64> =
        sharpness.iter().filter(|(step, _)| *step >= 200).map(|&(_, share)| share).collect();
    assert!(late.iter().all(|share| (0.9..1.2).contains(share)), "{late:?}");
    let critical = shares("critical_sharpness");
    let mean = |from: u64, to: u64| {
        let part = critical.iter().filter(|(step, _)| (from..to).contains(step));
        let values: Vec<f64> = part.map(|&(_, share)| share).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let (before, after) = (mean(20, 100), mean(400, 1001));
    assert!(before < 0.15 && (0.8..1.2).contains(&after), "{before}, {after}");
    assert!(bench.exists("a/figures/sharpness.svg"));
}

/// Kalra et al. 2026: the critical sharpness shows early sharpening without a product with the Hessian.
#[test]
fn the_critical_sharpness_is_watched_to_rise_early() {
    let bench = Bench::new("watching-early");
    let [_, line] = watched_in_the_readme();
    let (line, _) = line.split_once(" --steps").expect("a number of steps");
    bench.json(&format!("{line} --steps 40 --watch critical_sharpness:8 --out a"));
    bench.ok("export a --csv --out a-csv");
    let critical = read(&bench, "a", "critical_sharpness");
    let [first, .., last] = critical.as_slice() else { panic!("{critical:?}") };
    assert!((first.0, last.0) == (0, 40) && last.1 > 30.0 * first.1, "{critical:?}");
}

#[test]
fn sam_has_columns_of_its_ascent() {
    let bench = Bench::new("watching-sam");
    let line = TRAIN.replace("--optimizer sgd", "--optimizer sam");
    bench.json(&format!("{line} --watch weight_norm:10 --out a"));
    bench.ok("export a --csv --out a-csv");
    let of = |name: &str| read(&bench, "a", name);
    let (loss, perturbed, gap) =
        (of("train_loss"), of("train_perturbed_loss"), of("train_perturbed_gap"));
    assert_eq!((loss.len(), perturbed.len(), gap.len()), (20, 20, 20));
    for ((loss, perturbed), gap) in loss.iter().zip(&perturbed).zip(&gap) {
        assert!(gap.1 > 0.0 && (perturbed.1 - loss.1 - gap.1).abs() < 1e-12, "{gap:?}");
    }
    for name in ["training", "train_perturbed_gap"] {
        assert!(bench.exists(&format!("a/figures/{name}.png")), "{name}");
    }
    bench.json(&format!("{TRAIN} --out b"));
    bench.ok("export b --csv --out b-csv");
    let table = String::from_utf8(bench.read("b-csv/metrics.csv")).unwrap();
    assert!(!table.contains("perturbed"));
}

#[test]
fn a_diverged_member_is_read_no_more_and_wrong_names_are_told() {
    let bench = Bench::new("watching-wrong");
    bench.json(&format!("{TRAIN} --lr 0.1,1e30 --watch sharpness:4 --out a"));
    bench.ok("export a --csv --out a-csv");
    let at_the_end: Vec<_> = column(&bench, "a", "sharpness").into_iter().rev().take(2).collect();
    assert!(at_the_end[0].1.is_none() && at_the_end[1].1.is_some(), "{at_the_end:?}");
    // Where an eigenvalue falls below what a sum is held against, there is no reading of it, and the
    // training goes on.
    let line = TRAIN.replace("--steps 20", "--steps 40");
    bench.ok(&format!("{line} --lr 1 --watch effective_dimension:1:lambda=0.7 --out sum"));
    bench.ok("export sum --csv --out sum-csv");
    let sums = column(&bench, "sum", "effective_dimension");
    assert!(sums[0].1.is_some() && sums.iter().any(|(_, sum)| sum.is_none()), "{sums:?}");
    // Gone on with from weights that are no numbers.
    bench.ok(&format!("{TRAIN} --lr 1e30,0.1 --watch sharpness:4 --out first"));
    bench.ok(&format!("{TRAIN} --lr 1e30,0.1 --watch sharpness:4 --out first --resume"));
    for (watch, words) in [
        ("--watch sharp", "sharpness"),
        ("--watch trace:0", "number of steps"),
        ("--watch trace --watch-budget 0", "share above 0"),
        ("--watch-budget 5%", "--watch"),
    ] {
        let done = bench.run(&format!("{TRAIN} {watch} --out wrong"));
        assert_eq!(done.code, Some(2), "{watch}");
        assert!(done.stderr.contains(words), "{watch}: {}", done.stderr);
    }
}
