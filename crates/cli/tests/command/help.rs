//! `--help` of the whole and of each command, word for word.
//!
//! After a change of the command line `THALWEG_WRITE_HELP=1 cargo test --release -p thalweg-cli`
//! writes `tests/command/help` anew; that run fails all the same, so that it can prove nothing.

use crate::harness::Bench;
use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

const COMMANDS: [&str; 12] = [
    "",
    "map",
    "train",
    "surface",
    "spectrum",
    "compare",
    "inspect",
    "data",
    "export",
    "papers",
    "reproduce",
    "completions",
];

#[test]
fn help_is_as_written() {
    let bench = Bench::new("help");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command/help");
    let write = env::var_os("THALWEG_WRITE_HELP").is_some();
    let mut differing = Vec::new();
    for command in COMMANDS {
        // A width of its own, whatever terminal the test runs in.
        let output = bench.command(&format!("{command} --help")).env("COLUMNS", "100").output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(text.contains("Usage: thalweg") && text.contains("--json"), "{command}: {text}");
        let file = folder.join(if command.is_empty() { "thalweg" } else { command });
        let file = file.with_extension("txt");
        if write {
            fs::write(&file, &text).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        if written != text {
            differing.push(format!("{}:\n{text}", file.display()));
        }
    }
    assert!(differing.is_empty(), "--help differs from\n{}", differing.join("\n"));
    assert!(!write, "the snapshots are written; run the test again without THALWEG_WRITE_HELP");
}

#[test]
fn every_command_has_a_snapshot_and_no_other() {
    let bench = Bench::new("help-all");
    let text = bench.ok("--help").stdout;
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // Lines that go on are indented deeper.
    let names = listed.filter(|line| !line.starts_with("    "));
    let names: BTreeSet<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    let known: BTreeSet<&str> = COMMANDS.into_iter().filter(|c| !c.is_empty()).collect();
    assert_eq!(names, known.into_iter().chain(["help"]).collect());
}

#[test]
fn the_short_form_and_the_version_are_there() {
    let bench = Bench::new("help-short");
    assert!(bench.ok("map -h").stdout.contains("--grid <A:B:N>"));
    assert_eq!(bench.ok("--version").stdout.trim(), concat!("thalweg ", env!("CARGO_PKG_VERSION")));
}
