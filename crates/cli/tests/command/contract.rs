//! `--json`: one object on stdout that keeps the schema, everything else on stderr.

use crate::harness::{Bench, number};
use serde_json::Value;

/// A command that works, once there is the run `m`.
const COMMANDS: [(&str, &str); 13] = [
    ("train", r#"train --arch "mlp hidden=4" --steps 4 --subsample 32 --out t"#),
    ("surface", "surface m --x -1:1:3 --samples 32 --out s"),
    ("spectrum", "spectrum m --top 1 --bottom 1 --trace 2 --density 2 --samples 32 --out e"),
    ("map", "map m --grid -1:1:3 --line -1:1:3 --samples 32 --top 1 --probes 2 --out p"),
    ("compare", "compare m m --instruments loss,sam_sharpness,hutchinson --samples 32 --out c"),
    ("inspect", "inspect m"),
    ("data", "data"),
    ("data", "data digits"),
    ("export", "export m --csv"),
    ("papers", "papers"),
    ("papers", "papers --family surface"),
    ("reproduce", "reproduce landscape_sample_convergence --sample --out r"),
    ("completions", "completions bash"),
];

#[test]
fn every_command_prints_one_object_and_talks_on_stderr() {
    let bench = Bench::new("contract");
    bench.mlp("m");
    for (name, line) in COMMANDS {
        let done = bench.ok(&format!("{line} --json"));
        let object = done.json();
        assert_eq!(object["command"], name);
        assert_eq!(object["version"], env!("CARGO_PKG_VERSION"));
        // Progress is told, and not on stdout, which the schema's check has read whole.
        let works = object["run"].is_string();
        assert_eq!(!done.stderr.is_empty(), works, "{line}: {}", done.stderr);
        if let Some(run) = object["run"].as_str() {
            assert!(bench.exists(&format!("{run}/report.html")), "{line}");
            assert!(bench.exists(&format!("{run}/study.toml")), "{line}");
        }
    }
}

#[test]
fn quiet_commands_say_nothing_on_stderr() {
    let bench = Bench::new("quiet");
    bench.mlp("m");
    for (_, line) in COMMANDS {
        let done = bench.ok(&format!("{line} --quiet"));
        assert_eq!(done.stderr, "", "{line}");
        assert!(!done.stdout.is_empty(), "{line}");
    }
    assert!(bench.run("surface nowhere --quiet").sentence().contains("nowhere"));
}

#[test]
fn every_command_fails_with_the_same_object() {
    let bench = Bench::new("failures");
    let read = [
        "train --data nowhere.npz",
        "surface nowhere",
        "spectrum nowhere",
        "map nowhere",
        "export nowhere --csv",
    ];
    let spoken = [
        "train --steps x",
        "surface",
        "spectrum a b",
        "map --no-such-option",
        "export a",
        "completions tcsh",
        "data digits extra",
        "train --epochs 1 --steps 1",
        "papers no_such_paper",
        "papers --family none",
        "reproduce",
        "reproduce no_such_paper",
        "reproduce sam --all",
    ];
    let each = read.iter().map(|line| (line, 1)).chain(spoken.iter().map(|line| (line, 2)));
    for (line, code) in each {
        let done = bench.run(&format!("{line} --out o --json"));
        assert_eq!(done.code, Some(code), "{line}: {done:?}");
        let object = done.json();
        let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["command", "error", "version"], "{line}");
        assert_eq!(object["command"], line.split(' ').next().unwrap());
        assert_eq!(object["error"], done.sentence(), "{line}");
        assert_eq!(done.stderr.lines().count(), 1, "{line}: {}", done.stderr);
        assert!(!bench.exists("o"), "{line}");
    }
    let none = bench.run("--json");
    assert_eq!((none.code, &none.json()["command"]), (Some(2), &Value::from("")));
}

#[test]
fn numbers_that_are_not_finite_are_null_with_a_status() {
    let bench = Bench::new("not-finite");
    bench.mlp("m");
    let object = bench.json("surface m --x 1e30:1e30:1 --y 0:0:1 --samples 32 --out s");
    assert_eq!((&object["minimum"], &object["not_finite"]), (&Value::Null, &Value::from(1)));
    assert!(number(&object["loss"]).is_finite(), "the centre is finite: {object}");
    let train = r#"train --arch "mlp hidden=4" --steps 6 --subsample 32 --lr 1e30 --out d"#;
    let member = &bench.json(train)["members"][0];
    assert_eq!(member["status"], "diverged");
    assert!(member["train_loss"].is_null(), "{member}");
    let spectrum = bench.run("spectrum d --samples 32 --out e --json");
    let sentence = spectrum.json()["error"].to_string();
    assert!(spectrum.code == Some(1) && sentence.contains("finite"), "{sentence}");
    assert!(!bench.exists("e"));
}

#[test]
fn words_that_are_no_text_are_no_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new("not-text");
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let output = bench.command("surface --json").arg(odd).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = bench.command("train --json --steps").arg(odd).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_stdout_that_cannot_be_written_is_told() {
    let bench = Bench::new("full-stdout");
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let output = bench.command("data --json").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("thalweg: stdout: "));
}

#[test]
fn completions_name_the_commands_for_every_shell() {
    let bench = Bench::new("completions");
    for (shell, start) in
        [("bash", "_thalweg()"), ("zsh", "#compdef thalweg"), ("fish", "# Print an optspec")]
    {
        let script = bench.ok(&format!("completions {shell}")).stdout;
        assert!(script.starts_with(start), "{shell}: {script:.200}");
        for word in ["surface", "spectrum", "batch-norm"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        let object = bench.json(&format!("completions {shell}"));
        assert_eq!(object["script"], script);
    }
    bench.write("thalweg.bash", bench.ok("completions bash").stdout);
    let check = bench.program("bash").args(["-n", "thalweg.bash"]).output().unwrap();
    assert!(check.status.success() && check.stderr.is_empty(), "{check:?}");
}
