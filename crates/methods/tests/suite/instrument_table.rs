//! The table of instruments in README.md, word for word.
//!
//! After a change of an instrument `THALWEG_WRITE_README=1 cargo test -p thalweg-methods` writes the
//! table anew; that run fails all the same, so that it can prove nothing.

use std::path::Path;
use std::{env, fs};
use thalweg_methods::registry::{INSTRUMENTS, instrument_table};

const MARKS: [&str; 2] = ["<!-- instruments -->\n", "<!-- /instruments -->"];

#[test]
fn the_readme_has_the_table_of_the_registry() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(MARKS[0]).expect("the mark before the table");
    let (written, after) = rest.split_once(MARKS[1]).expect("the mark after the table");
    let table = instrument_table();
    assert_eq!(table.lines().count(), INSTRUMENTS.len() + 2);
    let write = env::var_os("THALWEG_WRITE_README").is_some();
    if write {
        let text = format!("{before}{}{table}{}{after}", MARKS[0], MARKS[1]);
        fs::write(&file, text).unwrap();
    }
    assert!(!write, "the table is written; run the test again without THALWEG_WRITE_README");
    assert_eq!(written, table, "README.md and the registry differ");
}
