//! `compare`: the same instruments, examples and draws for every model.

use crate::harness::{Bench, assert_same, number};
use serde_json::Value;

/// The reading of a quantity, one number a model.
fn values(object: &Value, name: &str) -> Vec<f64> {
    let all = object["quantities"].as_array().unwrap();
    let found = all.iter().find(|q| q["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    found["values"].as_array().unwrap().iter().map(number).collect()
}

#[test]
fn a_model_does_not_differ_from_itself_and_does_from_another() {
    let bench = Bench::new("compare");
    let trained = bench.mlp("m");
    bench
        .ok(r#"train --arch "mlp hidden=8" --steps 1 --batch 32 --subsample 64 --seeds 5 --out n"#);
    let of = "--instruments loss,sam_sharpness,hutchinson,lanczos,feature_rank --samples 48";
    let same = bench.json(&format!("compare m {trained} {of} --out same"));
    let names: Vec<&Value> =
        same["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_ne!(names[0], names[1]);
    assert_eq!(same["samples"], 48);
    for difference in same["differences"].as_array().unwrap() {
        assert_eq!(number(&difference["difference"]), 0.0, "{difference}");
        assert_ne!(difference["real"], true, "{difference}");
    }
    let other = bench.json(&format!("compare m n {of} --out other"));
    let loss = values(&other, "loss");
    let differences = other["differences"].as_array().unwrap();
    let of_loss = differences.iter().find(|d| d["name"] == "loss").unwrap();
    assert!((number(&of_loss["difference"]) - (loss[1] - loss[0])).abs() < 1e-12, "{of_loss}");
    assert_eq!((&of_loss["over"], &of_loss["real"]), (&"examples".into(), &true.into()));
    assert!(of_loss["p_adjusted"].as_f64() >= of_loss["p"].as_f64());
    let trace = differences.iter().find(|d| d["name"] == "trace").unwrap();
    assert_eq!(trace["over"], "both", "48 of 64 examples, and probes");
    // Of a sample an eigenvalue has an error, and its difference one that is paired.
    let top = |of: &Value| {
        let all = of["differences"].as_array().unwrap();
        all.iter().find(|d| d["name"] == "largest eigenvalue").unwrap().clone()
    };
    let sampled = top(&other);
    assert_eq!((&sampled["over"], sampled["p"].is_number()), (&"examples".into(), true));
    assert!(sampled["difference"]["standard_error"].as_f64().unwrap() > 0.0, "{sampled}");
    // Of all of them it is exact: it differs, and nothing says by chance or not.
    let whole = bench.json("compare m n --instruments lanczos --out whole");
    let exact = top(&whole);
    assert!(exact["difference"].is_number() && exact["real"].is_null() && exact["p"].is_null());
    let spent = |of: &Value, instrument: usize, model: usize, what: &str| {
        of["instruments"][instrument]["spent"][model][what].as_f64().unwrap()
    };
    // Eight more say what the sample leaves open of the norm.
    assert_eq!(spent(&other, 2, 0, "products"), 40.0);
    assert_eq!(spent(&other, 2, 1, "second_derivatives"), 8.0);
    for model in 0..2 {
        let products = spent(&whole, 0, model, "products");
        assert!((10.0..300.0).contains(&products), "{products}");
        assert_eq!(spent(&whole, 0, model, "second_derivatives"), 0.0);
    }
    // A whole number has no error that could hold the choice of the sample.
    let quantities = other["quantities"].as_array().unwrap();
    let alone = quantities.iter().filter(|quantity| quantity["of_examples"] == true);
    let alone: Vec<&Value> = alone.map(|quantity| &quantity["name"]).collect();
    assert_eq!(alone, ["rank to a share"]);
    // The readings are those that other commands have of the same examples.
    let spectrum = bench.json("spectrum m --top 1 --trace 0 --samples 48 --out s");
    let one = spectrum["top"][0]["value"].as_f64().unwrap();
    assert!((values(&other, "largest eigenvalue")[0] - one).abs() < 1e-3 * one);
    assert!((loss[0] - number(&spectrum["loss"])).abs() < 1e-6);
    let page = String::from_utf8(bench.read("other/report.html")).unwrap();
    assert!(page.contains("Comparison") && page.contains("adjusted p"));
    assert!(bench.exists("other/figures/comparison.png"));
    let tables = bench.json("export other --csv");
    assert!(tables["files"][0].as_str().unwrap().ends_with("metrics.csv"), "{tables}");
}

#[test]
fn what_is_done_is_not_done_again() {
    let bench = Bench::new("compare-resume");
    bench.mlp("m");
    bench.resnet("n");
    let line = "compare m n --instruments sam_sharpness,average_sharpness,m_sharpness,lanczos \
                --samples 32";
    bench.ok(&format!("{line} --out whole"));
    // As a kill would leave it: the work that was done, and nothing written of it.
    bench.ok(&format!("{line} --out killed --threads 1"));
    std::fs::remove_file(bench.path("killed/metrics.parquet")).unwrap();
    let mut units = std::fs::read_dir(bench.path("killed/units")).unwrap();
    std::fs::remove_dir_all(units.next().unwrap().unwrap().path()).unwrap();
    bench.ok(&format!("{line} --out killed --resume --threads 2"));
    assert_same(&bench.results("killed"), &bench.results("whole"));
    let differs = bench.run("compare m n --instruments loss --samples 32 --out killed --resume");
    assert_eq!(differs.code, Some(1));
    assert!(differs.sentence().contains("compare.instruments"), "{}", differs.sentence());
}

#[test]
fn options_are_set_by_name_and_the_indicators_read_any_classifier() {
    let bench = Bench::new("compare-options");
    bench.mlp("m");
    bench.resnet("n");
    let of = "--instruments trace:probes=3,trace:probes=5,dead_units,feature_rank,neural_collapse,\
              weight_norm,weight_rank --samples 64";
    let found = bench.json(&format!("compare m n {of} --out o"));
    let cost = |i: usize| found["instruments"][i]["cost"].as_str().unwrap().to_owned();
    let cost = [cost(0), cost(1)];
    assert_eq!(cost, [3, 5].map(|n| format!("{n} products")));
    assert_eq!(found["instruments"][0]["id"], "hutchinson:probes=3");
    for name in ["dead units", "effective rank", "NC1 within-class scatter", "weight norm"] {
        let values = values(&found, name);
        assert!(values.iter().all(|value| value.is_finite()), "{name}: {values:?}");
    }
}

#[test]
fn what_cannot_be_compared_gets_one_sentence() {
    let bench = Bench::new("compare-faults");
    let trained = bench.mlp("m");
    for (line, code, sentence) in [
        (
            "compare m m --instruments lossy",
            2,
            "expected some of sharpness, preconditioned_sharpness,",
        ),
        ("compare m m --instruments lanczos:20", 2, "20 steps belong to --watch"),
        ("compare m m --instruments trace:probe=3", 2, "expected some of probes, tolerance"),
        ("compare m", 1, "alone: expected at least 2 models"),
        ("compare m nowhere", 1, "nowhere"),
        ("compare m m --split most", 2, "expected train, test or all"),
        ("compare", 2, "MODEL"),
    ] {
        let done = bench.run(&format!("{line} --out o"));
        assert_eq!(done.code, Some(code), "{line}: {done:?}");
        assert!(done.sentence().contains(sentence), "{line}: {}", done.sentence());
        assert!(!bench.exists("o"), "{line}");
    }
    bench.write("broken.safetensors", &bench.read(&trained)[..100]);
    let done = bench.run("compare m broken.safetensors --out o");
    assert!(done.code == Some(1) && done.sentence().contains("broken"), "{done:?}");
}
