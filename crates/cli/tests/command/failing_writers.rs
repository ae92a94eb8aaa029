//! Places that cannot be written: one sentence, nothing half-written, and what was there is left
//! as it was.

use crate::harness::{Bench, Done, assert_same};
use std::fs;

/// Runs a line where no file may become larger than so many KiB: writers fail half-way, as on a
/// full disk.
fn within_kib(bench: &Bench, kib: usize, line: &str) -> Done {
    // Without the trap the system would kill at the limit instead of refusing.
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" {line}");
    let mut bash = bench.program("bash");
    bash.args(["-c", &script, env!("CARGO_BIN_EXE_thalweg")]);
    Done::of(bash.output().unwrap())
}

fn assert_one_sentence(done: &Done, code: i32, parts: &[&str]) {
    assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{done:?}");
    assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
    for part in parts {
        assert!(done.sentence().contains(part), "{part}: {}", done.sentence());
    }
}

#[test]
fn what_exists_is_refused_and_untouched() {
    let bench = Bench::new("exists");
    bench.mlp("m");
    bench.write("notes.txt", b"mine");
    bench.write("thesis/chapter", b"mine");
    let before = bench.results("m");
    for command in ["train --steps 1", "surface m", "spectrum m", "map m"] {
        let run = |rest: &str| bench.run(&format!("{command} --quiet {rest}"));
        assert_one_sentence(&run("--out m"), 1, &["m exists already", "--resume"]);
        assert_one_sentence(&run("--out notes.txt"), 1, &["notes.txt exists already"]);
        let under = run("--out notes.txt/a/b");
        assert_one_sentence(&under, 1, &["notes.txt/a/b", "notes.txt is a file"]);
        assert_one_sentence(&run("--out thesis --resume"), 1, &["thesis", "no run to go on with"]);
        assert_one_sentence(&run("--out m --resume"), 1, &["m was begun with", "is asked for now"]);
    }
    for taken in ["m", "notes.txt", "thesis"] {
        let done = bench.run(&format!("export m --csv --out {taken}"));
        assert_one_sentence(&done, 1, &[taken, "exists already", "--out"]);
    }
    assert_same(&bench.results("m"), &before);
    assert_eq!(bench.read("notes.txt"), b"mine");
    assert_eq!(fs::read_dir(bench.path("thesis")).unwrap().count(), 1);
}

#[test]
fn a_resumed_run_is_asked_for_with_the_same_options() {
    let bench = Bench::new("differs");
    let train = r#"train --arch "mlp hidden=4" --subsample 32 --quiet --out r"#;
    bench.ok(&format!("{train} --steps 2"));
    let before = bench.results("r");
    let done = bench.run(&format!("{train} --steps 3 --resume"));
    assert_one_sentence(&done, 1, &["train.steps = 2", "3 is asked for"]);
    let done = bench.run(&format!("{train} --steps 2 --seed 1 --resume"));
    assert_one_sentence(&done, 1, &["= 0", "1 is asked for"]);
    bench.ok(&format!("{train} --steps 2 --resume --threads 1 --memory 1GiB"));
    assert_same(&bench.results("r"), &before);
}

#[test]
fn a_writer_that_fails_half_way_leaves_nothing_or_whole_files() {
    let bench = Bench::new("half-way");
    bench.mlp("m");
    let lines = [
        r#"train --arch "mlp hidden=16" --steps 6 --batch 32 --subsample 64 --quiet"#,
        "surface m --x -1:1:21 --samples 32 --quiet",
        "spectrum m --top 1 --trace 2 --samples 32 --quiet",
        "map m --grid -1:1:5 --line -1:1:3 --samples 32 --top 1 --probes 2 --quiet",
    ];
    for line in lines {
        bench.ok(&format!("{line} --out whole"));
        // From no byte at all to all but the page itself.
        let mut kept = 0;
        for kib in [0, 1, 2, 4, 8, 16, 32, 64] {
            let asked = format!("{line} --out deep/o").replace('"', "'");
            let done = within_kib(&bench, kib, &asked);
            assert_one_sentence(&done, 1, &["deep"]);
            if !bench.exists("deep/o") {
                assert!(!bench.exists("deep"), "{line}, {kib} KiB: a folder is left");
                continue;
            }
            kept += 1;
            assert!(bench.exists("deep/o/study.toml"), "{line}, {kib} KiB");
            assert!(!half_written(&bench.path("deep")), "{line}, {kib} KiB");
            bench.ok(&format!("{line} --out deep/o --resume"));
            assert_same(&bench.results("deep/o"), &bench.results("whole"));
            fs::remove_dir_all(bench.path("deep")).unwrap();
        }
        assert!((1..8).contains(&kept), "{line}: {kept} of 8 limits left something to go on from");
        fs::remove_dir_all(bench.path("whole")).unwrap();
    }
}

/// Whether a file is left that was to be renamed when it is whole.
fn half_written(folder: &std::path::Path) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        path.is_dir() && half_written(&path) || path.to_string_lossy().ends_with(".part")
    })
}

#[test]
fn an_export_is_whole_or_not_there() {
    let bench = Bench::new("half-export");
    let line = r#"train --arch "mlp hidden=4" --steps 200 --subsample 64 --quiet --out r"#;
    bench.ok(line);
    for format in ["csv", "npz"] {
        for out in ["--out e", ""] {
            let done = within_kib(&bench, 1, &format!("export r --{format} {out}"));
            assert_one_sentence(&done, 1, &["File too large"]);
            assert!(!bench.exists("e") && !bench.exists("r/export"), "{format} {out}");
        }
    }
}
