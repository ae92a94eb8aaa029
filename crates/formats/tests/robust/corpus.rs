//! What the fuzzer left behind.

use crate::mutation::mutate;
use crate::targets::TARGETS;
use std::path::{Path, PathBuf};
use thalweg_data::Stream;

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

/// What fuzzing found or went through, again, and with more bytes changed.
#[test]
fn the_corpus_of_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut named = TARGETS.map(|(name, _)| folder.join(name));
    named.sort();
    assert_eq!(entries(&folder), named, "a folder for each target");
    for (name, read) in TARGETS {
        let paths = entries(&folder.join(name));
        assert!(!paths.is_empty(), "{name}");
        let stream = Stream::new(0, name);
        for (n, path) in paths.iter().enumerate() {
            // Shown where the test fails: the last one is at fault.
            println!("{}", path.display());
            let bytes = std::fs::read(path).expect("readable");
            read(&bytes);
            let draws = stream.at(n as u64);
            let rounds = if bytes.is_empty() { 0 } else { 8 };
            (0..rounds).for_each(|round| read(&mutate(&bytes, &draws.at(round))));
        }
    }
}
