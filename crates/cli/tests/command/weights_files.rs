//! Weights that came from elsewhere: every form of file, and the files of a trajectory.
//! `fixtures/weights/generate.py` made the files.

use crate::harness::Bench;
use std::fs;
use std::path::Path;

fn fixture(bench: &Bench, name: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name);
    if from.is_dir() {
        for entry in fs::read_dir(&from).unwrap() {
            fixture(bench, &format!("{name}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    } else {
        bench.write(name, fs::read(from).unwrap());
    }
}

/// The loss at two points of a random line, bit for bit, and what was said meanwhile.
fn losses(bench: &Bench, model: &str, out: &str) -> (String, String) {
    let line = format!(
        r#"surface {model} --arch "resnet depth=8 width=2" --data digits --line --x 0:1:2 --samples 32 --out {out} --json"#
    );
    let done = bench.ok(&line);
    let object = done.json();
    (format!("{} {}", object["loss"], object["maximum"]), done.stderr)
}

#[test]
fn one_network_in_every_form_gives_the_same_bits() {
    let bench = Bench::new("forms");
    let forms = ["network.safetensors", "lightning.ckpt", "wrapped.pth", "network.npz", "sharded"];
    forms.iter().for_each(|form| fixture(&bench, form));
    let (expected, quiet) = losses(&bench, forms[0], "0");
    assert!(!quiet.contains("taken off"), "{quiet}");
    for (n, form) in forms.iter().enumerate().skip(1) {
        let (found, said) = losses(&bench, form, &n.to_string());
        assert_eq!(found, expected, "{form}");
        let prefix = match *form {
            "lightning.ckpt" => Some("`model.`"),
            "wrapped.pth" => Some("`module._orig_mod.`"),
            _ => None,
        };
        assert_eq!(prefix.is_some(), said.contains("was taken off every name"), "{said}");
        assert!(prefix.is_none_or(|prefix| said.contains(prefix)), "{said}");
    }
    let (index, _) = losses(&bench, "sharded/model.safetensors.index.json", "index");
    assert_eq!(index, expected);
    // The bytes say what a file is, not its name.
    bench.write("named.safetensors", bench.read("lightning.ckpt"));
    assert_eq!(losses(&bench, "named.safetensors", "named").0, expected);
    // Nothing guesses other names.
    let other = bench.run("surface network.npz --arch \"mlp hidden=8\" --data digits --out o");
    assert!(other.sentence().starts_with("network.npz: the weights are not"), "{other:?}");
}

#[test]
fn shards_stay_in_their_folder_and_are_all_there() {
    let bench = Bench::new("shards");
    fixture(&bench, "sharded");
    let index = "sharded/model.safetensors.index.json";
    let text = String::from_utf8(bench.read(index)).unwrap();
    let sentence = || {
        let line = r#"spectrum sharded --arch "resnet depth=8 width=2" --data digits --out o"#;
        let done = bench.run(line);
        assert_eq!((done.code, bench.exists("o")), (Some(1), false));
        done.sentence().to_owned()
    };
    bench.write(index, text.replacen("model-00001", "../model-00001", 1));
    assert!(sentence().contains("which is outside of the folder of the index"));
    bench.write(index, text.replace("model-00001", "model-00009"));
    assert!(sentence().contains("sharded/model-00009-of-00003.safetensors"));
    bench.write(index, text.replacen("model-00001", "model-00002", 1));
    assert!(sentence().contains("is said to be in `model-00002-of-00003.safetensors`, and is in"));
}

#[test]
fn a_file_that_would_run_something_is_refused_by_name() {
    let bench = Bench::new("pickles");
    bench.write("evil.pt", b"\x80\x02cposix\nsystem\nX\x0a\0\0\0touch gone\x85R.");
    let done = bench.run("surface evil.pt --arch linear --out o");
    assert_eq!(done.code, Some(1));
    assert_eq!(
        done.sentence(),
        "evil.pt: PyTorch: it asks for `posix.system`, which is refused: only tensors, numbers, \
         text and plain containers are read, and nothing in a file is ever run"
    );
    assert!(!bench.exists("gone") && !bench.exists("o"));
}

#[test]
fn checkpoints_that_are_named_span_the_plane_of_their_run() {
    let bench = Bench::new("named-checkpoints");
    let train = r#"train --arch "mlp hidden=4" --epochs 4 --batch 32 --subsample 64"#;
    bench.ok(&format!("{train} --checkpoints 1 --out m"));
    let surface = |line: &str, out: &str| {
        bench.ok(&format!("surface {line} --x -1:1:3 --samples 32 --quiet --out {out}"));
        bench.results(out)
    };
    let of_run = surface("m --directions trajectory", "run");
    let folder = "m/trajectory/seed-0";
    assert_eq!(surface(&format!("--checkpoints {folder}"), "folder"), of_run);
    let pattern = format!("--checkpoints {folder}/*.safetensors");
    assert_eq!(surface(&format!("--directions trajectory {pattern}"), "pattern"), of_run);
    // The model is where the last of them is, in a file of its own.
    let apart = surface(&format!("m --checkpoints {folder}"), "apart");
    let name = apart.keys().find(|name| name.contains("trajectory_x")).expect("a trajectory");
    assert_eq!(apart.len(), of_run.len());
    assert_eq!(apart[name].len(), of_run[name].len());
    for (line, part) in [
        ("--checkpoints m/weights", "found 1"),
        ("--checkpoints nowhere", "found 0"),
        ("m m/weights/seed-0.safetensors --checkpoints m", "in quotes"),
        ("m --directions random --checkpoints m", "--directions trajectory"),
    ] {
        let done = bench.run(&format!("surface {line} --out o"));
        assert!(done.code != Some(0) && done.sentence().contains(part), "{line}: {done:?}");
        assert!(!bench.exists("o"));
    }
}
