//! The workspace's crates depend on each other only as ARCHITECTURE.md allows, and on others so that
//! one build serves both of README's commands.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate with what it may depend on directly or through those named.
const MAY_DEPEND_ON: [(&str, &[&str]); 16] = [
    ("array", &[]),
    ("graph", &["array"]),
    ("transform", &["graph"]),
    ("exec", &["transform"]),
    ("nn", &["graph", "array"]),
    ("data", &["array"]),
    ("formats", &["nn", "data"]),
    ("stats", &["array"]),
    ("train", &["exec", "nn", "data", "stats"]),
    ("methods", &["train"]),
    ("record", &["array", "stats"]),
    ("lab", &["methods", "formats", "record"]),
    ("papers", &["lab"]),
    ("plot", &["record"]),
    ("cli", &["lab", "papers", "plot"]),
    ("python", &["lab", "plot"]),
];

/// Everything that a crate may reach.
fn reachable(name: &str) -> BTreeSet<&'static str> {
    let direct = MAY_DEPEND_ON.iter().find(|(own, _)| *own == name).map_or(&[][..], |row| row.1);
    direct.iter().flat_map(|&next| reachable(next).into_iter().chain([next])).collect()
}

/// Forbidden edges among `crate -> dependencies`.
fn forbidden(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (from, to) in edges {
        let allowed = reachable(from);
        for dependency in to.iter().filter(|to| !allowed.contains(to.as_str())) {
            found.push(format!("{from} -> {dependency}"));
        }
    }
    found
}

#[test]
fn only_allowed_edges_exist() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let own = |name: &str| name.strip_prefix("thalweg-").map(str::to_owned);
    let mut edges = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let Some(name) = package["name"].as_str().and_then(own).filter(|name| name != "bench")
        else {
            continue;
        };
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        let names = normal.filter_map(|d| d["name"].as_str().and_then(own)).collect();
        edges.insert(name, names);
    }
    assert_eq!(edges.len(), MAY_DEPEND_ON.len(), "every crate is in the table: {edges:?}");
    assert_eq!(forbidden(&edges), Vec::<String>::new());
}

/// Packages with their versions and features, as they are built with what is selected.
fn built(selected: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--no-dedupe", "--format", "{p}, {f}"])
        .args(selected)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn the_command_alone_is_made_of_what_all_tests_are_made_of() {
    let everything = built(&["--workspace", "--edges", "normal,build,dev"]);
    let command = built(&["--package", "thalweg-cli", "--edges", "normal,build"]);
    assert!(command.len() > 100, "{command:?}");
    let apart: Vec<_> = command.difference(&everything).collect();
    assert_eq!(apart, Vec::<&String>::new(), "give them these features in crates/cli too");
}

#[test]
fn a_forbidden_edge_is_found() {
    let edges = BTreeMap::from([("graph".to_owned(), BTreeSet::from(["exec".to_owned()]))]);
    assert_eq!(forbidden(&edges), ["graph -> exec"]);
}
