//! Agreement with SciPy; `fixtures/generate.py` made the values.

use serde_json::Value;
use thalweg_stats::{
    compare_paired, detectable_effect, fit_line, interval_of_replicates, kendall_tau, normal_cdf,
    normal_quantile, spearman, student_t_cdf, student_t_quantile,
};

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/scipy.json")).expect("a fixture")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("a list").iter().map(numbers).collect()
}

fn close(what: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance * expected.abs(), "{what}: {got}, {expected}");
}

#[test]
fn distributions() {
    let fixture = fixture();
    for row in rows(&fixture["normal_cdf"]) {
        close(&format!("normal cdf {row:?}"), normal_cdf(row[0]), row[1], 1e-13);
    }
    for row in rows(&fixture["normal_quantile"]) {
        let got = normal_quantile(row[0]).expect("valid");
        close(&format!("normal quantile {row:?}"), got, row[1], 1e-14);
    }
    for row in rows(&fixture["student_t_cdf"]) {
        let got = student_t_cdf(row[0], row[1]).expect("valid");
        close(&format!("t cdf {row:?}"), got, row[2], 1e-12);
    }
    for row in rows(&fixture["student_t_quantile"]) {
        let got = student_t_quantile(row[0], row[1]).expect("valid");
        close(&format!("t quantile {row:?}"), got, row[2], 1e-12);
    }
}

#[test]
fn a_paired_comparison() {
    let fixture = &fixture()["paired"];
    let number = |key: &str| fixture[key].as_f64().expect("a number");
    let (first, second) = (numbers(&fixture["first"]), numbers(&fixture["second"]));
    let got = compare_paired(&first, &second, number("confidence")).expect("valid");
    for (key, got) in [
        ("t", got.t),
        ("p_two_sided", got.p_two_sided),
        ("p_greater", got.p_greater),
        ("low", got.interval.low),
        ("high", got.interval.high),
        ("standard_error", got.difference.standard_error),
    ] {
        close(key, got, number(key), 1e-11);
    }
}

#[test]
fn bootstrap_intervals() {
    let fixture = &fixture()["bootstrap"];
    let (sample, replicates) = (numbers(&fixture["sample"]), numbers(&fixture["replicates"]));
    let n = sample.len() as f64;
    let sum: f64 = sample.iter().sum();
    let left_out: Vec<f64> = sample.iter().map(|out| (sum - out) / (n - 1.0)).collect();
    for (key, left_out) in [("percentile", &[][..]), ("bca", &left_out)] {
        let got = interval_of_replicates(&replicates, sum / n, left_out, 0.9).expect("valid");
        let expected = numbers(&fixture[key]);
        close(key, got.low, expected[0], 1e-12);
        close(key, got.high, expected[1], 1e-12);
    }
}

#[test]
fn associations_with_ties() {
    let fixture = &fixture()["association"];
    let (x, y) = (numbers(&fixture["x"]), numbers(&fixture["y"]));
    let line = fit_line(&x, &y).expect("valid");
    for (key, got) in [
        ("spearman", spearman(&x, &y).expect("valid")),
        ("kendall_tau", kendall_tau(&x, &y).expect("valid")),
        ("slope", line.slope),
        ("intercept", line.intercept),
        ("r_squared", line.r_squared),
    ] {
        close(key, got, fixture[key].as_f64().expect("a number"), 1e-12);
    }
}

#[test]
fn detectable_effects() {
    for row in rows(&fixture()["detectable_effect"]) {
        let got = detectable_effect(row[0] as usize, 0.95, 0.8).expect("valid");
        close(&format!("effect at {row:?}"), got, row[1], 1e-12);
    }
}
