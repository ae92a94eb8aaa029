//! `vit` on images and `gpt` on a text, from training to curvature.

use crate::harness::{Bench, number};
use serde_json::Value;

const GPT: &str = r#"--arch "gpt depth=1 width=16 heads=2""#;

/// A text whose next character is nearly always determined by a few before it.
fn text(bench: &Bench) {
    bench.write("cat.txt", "the cat sat on the mat. ".repeat(70));
}

/// The only member.
fn member(object: &Value) -> &Value {
    assert_eq!(object["members"].as_array().map(Vec::len), Some(1), "{object}");
    &object["members"][0]
}

#[test]
fn a_transformer_learns_a_text_and_its_landscape_is_measured() {
    let bench = Bench::new("gpt");
    text(&bench);
    let train = format!("train --data cat.txt {GPT} --context 12 --optimizer adamw --lr 0.01");
    let short = bench.json(&format!("{train} --steps 1 --batch 16 --out short"));
    let long = bench.json(&format!("{train} --steps 80 --batch 16 --out long"));
    let trained = |object: &Value, key: &str| number(&member(object)[key]);
    // Eleven characters; before training none is told from another.
    let uniform = 11f64.ln();
    assert!((trained(&short, "train_loss") / uniform - 1.0).abs() < 0.1, "{short}");
    assert!(trained(&long, "train_loss") < 0.5 * uniform, "{long}");
    assert!(trained(&long, "test_loss") < 0.5 * uniform, "{long}");
    // Always the most frequent character, a blank, would be a quarter.
    assert!(trained(&long, "test_accuracy") > 0.5, "{long}");

    // The context comes with the weights.
    let spectrum = bench.json("spectrum long --top 1 --trace 0 --out spectrum");
    let surface = bench.json("surface long --x -1:1:3 --out surface");
    assert_eq!(spectrum["loss"], surface["loss"]);
    let loss = spectrum["loss"].as_f64().unwrap();
    assert!((loss - trained(&long, "train_loss")).abs() < 1e-6 * loss, "{spectrum}");
    assert!(spectrum["top"][0]["value"].as_f64() > Some(0.0), "{spectrum}");
    let sample = bench.json("surface long --x 0:0:1 --samples 20 --out sample");
    // Of a sample it comes with its error.
    let (off, error) = (number(&sample["loss"]) - loss, number(&sample["loss"]["standard_error"]));
    assert!(error > 0.0 && off != 0.0 && off.abs() < 5.0 * error, "{sample}");
    let small = "--grid -1:1:3 --line -1:1:3 --top 1 --probes 2 --roughness-directions 2";
    let map = bench.json(&format!("map long {small} --out map"));
    assert_eq!(map["models"].as_array().map(Vec::len), Some(1), "{map}");
}

#[test]
fn a_text_is_trained_on_in_the_same_way_for_any_number_of_threads() {
    let bench = Bench::new("gpt-threads");
    text(&bench);
    let train = format!("train --data cat.txt {GPT} --context 7 --steps 3 --batch 8");
    let of = |threads: usize| {
        let out = format!("with-{threads}");
        bench.ok(&format!("{train} --threads {threads} --out {out}"));
        bench.results(&out)
    };
    crate::harness::assert_same(&of(2), &of(1));
}

#[test]
fn a_vision_transformer_is_trained_and_measured() {
    let bench = Bench::new("vit");
    let vit = r#"--arch "vit patch=4 depth=1 width=32 heads=2""#;
    let train = format!("train {vit} --optimizer adamw --subsample 400 --batch 32 --steps 100");
    let object = bench.json(&format!("{train} --lr 0.01 --out vit"));
    assert!(member(&object)["test_accuracy"].as_f64() > Some(0.7), "{object}");
    let spectrum = bench.json("spectrum vit --samples 32 --top 1 --trace 0 --out spectrum");
    let surface = bench.json("surface vit --samples 32 --x -1:1:3 --out surface");
    assert!(
        spectrum["loss"]["value"].is_number() && spectrum["loss"] == surface["loss"],
        "{spectrum}"
    );
}

#[test]
fn what_is_no_text_or_not_for_one_is_told_in_one_sentence() {
    let bench = Bench::new("no-text");
    text(&bench);
    bench.write("latin.txt", b"caf\xe9 au lait".repeat(20));
    bench.write("short.txt", "abc");
    let sentence = |line: &str| {
        let done = bench.run(&format!("{line} --out none"));
        assert_eq!((done.code, bench.exists("none")), (Some(1), false), "{done:?}");
        done.sentence().to_owned()
    };
    for (line, words) in [
        ("train --data latin.txt", ["latin.txt", "byte 3, in line 1, is 0xe9", "UTF-8"]),
        ("train --data short.txt", ["short.txt", "3 characters make 0 windows of 64", "two"]),
        ("train --data cat.txt --context 2000", ["cat.txt", "0 windows of 2000", "two"]),
        ("train --context 8 --steps 1", ["--context 8", "digits", "no text"]),
        ("train --data cat.txt --arch mlp", ["mlp takes numbers", "cat", "gpt"]),
        ("train --data cat.txt --arch vit", ["vit takes images", "height x width", "64"]),
        ("train --arch gpt", ["gpt takes sequences of tokens", "got examples of 8x8x1", ""]),
        ("train --data cat.txt --label-noise 0.1", ["label noise", "one class label", "cat"]),
        ("train --data cat.txt --shift 1", ["--shift", "images", "cat"]),
    ] {
        let got = sentence(line);
        assert!(words.iter().all(|words| got.contains(words)), "{line}: {got}");
    }
}
