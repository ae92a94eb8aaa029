//! A data set in words.

use crate::table::{number, pair, table};
use thalweg_record::{DataDescription, ValueRange};

/// The most channels, classes or values that are listed.
const LISTED: usize = 20;

/// A data set in words.
pub fn text(data: &DataDescription) -> String {
    let shape: Vec<String> = data.shape.iter().map(u64::to_string).collect();
    let parts = match (data.validation, data.test) {
        (0, 0) => String::new(),
        (v, t) => format!(
            " ({} for training, {v} for validation, {t} for testing)",
            data.examples - v - t
        ),
    };
    let mut rows = vec![
        pair("data", format!("{}, {}", data.name, data.kind)),
        pair("source", data.source.clone()),
        pair("examples", format!("{}{parts}", data.examples)),
        pair("shape", format!("{} {}", shape.join("x"), data.element)),
        pair("scale", data.scale.clone()),
        pair("task", data.task.clone()),
    ];
    let range = |r: &ValueRange| {
        let (low, high) = (number(r.minimum), number(r.maximum));
        format!(
            "{low} to {high}, mean {}, deviation {}",
            number(r.mean),
            number(r.standard_deviation)
        )
    };
    let more = |name: &str, n: usize| {
        let rest = n.saturating_sub(LISTED);
        (rest > 0).then(|| pair(&format!("and {rest} more"), format!("{name}, see --json")))
    };
    let kind = if data.shape.len() == 1 { "feature" } else { "channel" };
    for (c, r) in data.channels.iter().take(LISTED).enumerate() {
        rows.push(pair(&format!("{kind} {c}"), range(r)));
    }
    rows.extend(more(kind, data.channels.len()));
    for (t, r) in data.targets.iter().take(LISTED).enumerate() {
        rows.push(pair(&format!("target {t}"), range(r)));
    }
    rows.extend(more("targets", data.targets.len()));
    for class in data.classes.iter().take(LISTED) {
        let total = class.train + class.validation + class.test;
        let parts = match (class.validation, class.test) {
            (0, 0) => String::new(),
            (v, t) => format!(" ({}, {v}, {t})", class.train),
        };
        rows.push(pair(&format!("class {}", class.name), format!("{total}{parts}")));
    }
    rows.extend(more("classes", data.classes.len()));
    if data.classes.is_empty() {
        rows.extend(data.n_classes.map(|n| pair("tokens", n.to_string())));
    }
    rows.extend(data.notes.iter().map(|note| pair("note", note.clone())));
    rows.push(pair("fingerprint", data.fingerprint.clone()));
    table(&["", ""], &rows)
}
