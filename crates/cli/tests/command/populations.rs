//! Many members at once are each alone.

use crate::harness::Bench;
use serde_json::Value;

const TRAIN: &str = r#"train --arch "resnet depth=8 width=4" --steps 8 --batch 32 --subsample 64"#;

fn tensors(bench: &Bench, path: &str) -> Vec<u8> {
    // The header says nothing of the rate or the seed, so that whole files can be compared.
    bench.read(path)
}

#[test]
fn members_are_bit_equal_to_training_each_alone() {
    let bench = Bench::new("population");
    let object = bench.json(&format!("{TRAIN} --seeds 0..4 --lr 0.1,0.03 --out all"));
    let members = object["members"].as_array().unwrap();
    assert_eq!(members.len(), 8);
    let mut seen = Vec::new();
    for member in members {
        let (seed, lr) = (&member["seed"], &member["lr"]);
        let out = format!("alone-{seed}-{lr}");
        let alone = bench.json(&format!("{TRAIN} --seeds {seed} --lr {lr} --out {out}"));
        let alone = &alone["members"][0];
        for key in ["status", "steps", "train_loss", "test_loss", "test_accuracy"] {
            assert_eq!(member[key], alone[key], "{out}: {key}");
        }
        let together = tensors(&bench, member["weights"].as_str().unwrap());
        assert!(together == tensors(&bench, alone["weights"].as_str().unwrap()), "{out}");
        assert!(!seen.contains(&together), "{out}: every member is another network");
        seen.push(together);
    }
}

#[test]
fn the_seed_of_everything_is_that_of_a_single_member() {
    let bench = Bench::new("seed");
    // The subsample is drawn from --seed; without one the data are the same.
    let train = r#"train --arch "mlp hidden=4" --steps 3"#;
    let a = bench.json(&format!("{train} --seed 5 --out a"));
    let b = bench.json(&format!("{train} --seeds 5 --out b"));
    assert_eq!(a["members"][0]["seed"], 5);
    assert_eq!(a["members"][0]["train_loss"], b["members"][0]["train_loss"]);
}

#[test]
fn a_member_that_diverges_leaves_the_others_alone() {
    let bench = Bench::new("diverging");
    let done = bench.ok(&format!("{TRAIN} --lr 0.1,1e25,0.03 --json --out all"));
    let object = done.json();
    let alone = bench.json(&format!("{TRAIN} --lr 0.1,0.03 --out two"));
    let (members, two) = (&object["members"], &alone["members"]);
    assert_eq!(members[1]["status"], "diverged");
    assert!(members[1]["steps"].as_u64() < Some(8), "{members}");
    assert!(done.stderr.contains("seed-0-lr-1e25 diverged"), "{}", done.stderr);
    for (of_three, of_two) in [(0, 0), (2, 1)] {
        assert_eq!(members[of_three]["status"], "finished");
        assert_eq!(members[of_three]["train_loss"], two[of_two]["train_loss"]);
        let weights =
            |members: &Value, i: usize| tensors(&bench, members[i]["weights"].as_str().unwrap());
        assert!(weights(members, of_three) == weights(two, of_two));
    }
}

#[test]
fn training_goes_on_from_given_weights() {
    let bench = Bench::new("from-weights");
    bench.mlp("m");
    // A rate of zero leaves them where they are, whatever the seed.
    let still = bench.json("train m --lr 0 --weight-decay 0 --steps 2 --seeds 3..5 --out still");
    let [first, second] = [0, 1].map(|i| still["members"][i]["train_loss"].clone());
    assert_eq!(first, second);
    let own = bench.json("spectrum m --top 0 --trace 0 --out own");
    let near = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6;
    assert!(near(&own["loss"], &first), "{} {first}", own["loss"]);
    let on = bench.json("train m --lr 0.01 --steps 200 --out on");
    assert!(on["members"][0]["train_loss"].as_f64() < first.as_f64());
    let inspected = bench.json("inspect on");
    assert_eq!(inspected["architecture"], bench.json("inspect m")["architecture"]);
    assert_eq!(inspected["parameters"][0]["axes"], Value::from(vec!["output", "input"]));
}
