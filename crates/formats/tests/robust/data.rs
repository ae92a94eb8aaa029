//! Texts, tables, pictures and what configures them.

use crate::memory::within;
use crate::mutation::{mutate, read_mutated};
use thalweg_data::{Provenance, Stream};
use thalweg_formats::dataset::{self, DataConfig, Tokens};

/// A text has no header that could lie: only its encoding and its length can be wrong.
#[test]
fn texts() {
    let text = "To be, or not to be: \u{2014} that is the question.\n".repeat(3);
    let stream = Stream::new(0, "text");
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let bytes = mutate(text.as_bytes(), &stream.at(round));
        let context = 1 + (round % 80) as usize;
        let data = within(64 * bytes.len() + (1 << 12), &bytes, |bytes| {
            dataset::read_text("text", bytes, Tokens::Characters, context, Provenance::default())
        });
        match data {
            Ok(data) => {
                assert!(data.len() >= 2 && data.len() * (context + 1) <= bytes.len());
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

#[test]
fn tables_in_csv() {
    let mut text = String::from("a,b,\"long, name\",kind\n");
    for row in 0..12 {
        text += &format!("{row}.5,-{row}e-1,\"{row}\",{}\r\n", ["cat", "dog"][row % 2]);
    }
    let plain = DataConfig::default();
    let named = DataConfig { target: vec!["kind".into()], header: Some(true), ..plain.clone() };
    for config in [plain, named] {
        read_mutated(
            "csv",
            text.as_bytes(),
            10_000,
            |n| 256 * n + (1 << 17),
            |bytes| dataset::read_csv("table", bytes, &config).is_ok(),
        );
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/data");
    std::fs::read(folder.join(name)).expect("a fixture")
}

#[test]
fn pictures() {
    // A byte may stand for as many pixels as deflate allows, in several copies of four bytes.
    let bound = |n: usize| 1032 * 32 * n + (1 << 20);
    for (name, rounds) in [
        ("colour.png", 4_000),
        ("sixteen.png", 2_000),
        ("palette.png", 2_000),
        ("smooth.jpg", 2_000),
    ] {
        let resize = "3x4".parse().ok();
        let config = DataConfig { resize, ..DataConfig::default() };
        let read = |bytes: &[u8]| {
            within(bound(bytes.len()), bytes, |bytes| {
                dataset::read_coordinates(name, bytes, &config, Provenance::default()).is_ok()
            })
        };
        let (valid, stream) = (fixture(name), Stream::new(0, name));
        assert!(read(&valid), "{name} is valid");
        for round in 0..rounds {
            read(&mutate(&valid, &stream.at(round)));
        }
        for length in 0..valid.len() {
            // The last bytes of a PNG are no pixels.
            assert!(!read(&valid[..length]) || length + 20 > valid.len(), "{name} cut to {length}");
        }
    }
}

/// The crate that reads them asks for what a page claims, up to 2 GiB, and panics on some damaged
/// files: that ends in an error, and memory is not bounded here.
#[test]
fn tables_in_parquet() {
    // The last one is read to its end, and then refused for its empty cells.
    for (name, whole) in [("table.parquet", true), ("gzip.parquet", true), ("holes.parquet", false)]
    {
        let config = DataConfig { target: vec!["kind".into()], ..DataConfig::default() };
        let read = |bytes: Vec<u8>| {
            dataset::read_parquet(name, bytes, &config, Provenance::default()).is_ok()
        };
        let (valid, stream) = (fixture(name), Stream::new(0, name));
        assert_eq!(read(valid.clone()), whole, "{name}");
        for round in 0..1_000 {
            read(mutate(&valid, &stream.at(round)));
        }
        for length in 0..valid.len() {
            assert!(!read(valid[..length].to_vec()), "{name} cut to {length}");
        }
    }
}

#[test]
fn configurations() {
    let text = "path = \"a\"\ntarget = [\"x\", \"y\"]\nresize = \"3x4\"\nscale = { mean = [0.5], std = [1] }\n";
    read_mutated(
        "toml",
        text.as_bytes(),
        10_000,
        |n| 512 * n + (1 << 17),
        |bytes| std::str::from_utf8(bytes).is_ok_and(|text| dataset::read_config(text).is_ok()),
    );
}

#[cfg(feature = "tokenizers")]
#[test]
fn tokenizers() {
    let (json, text) = (fixture("tokenizer.json"), fixture("cats.txt"));
    let read = |json: &[u8]| {
        let tokens = Tokens::Tokenizer(json);
        dataset::read_text("text", &text, tokens, 4, Provenance::default()).is_ok()
    };
    assert!(read(&json));
    let stream = Stream::new(0, "tokenizer");
    for round in 0..500 {
        read(&mutate(&json, &stream.at(round)));
    }
}
