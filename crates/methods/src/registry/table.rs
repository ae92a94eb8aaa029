//! What can be measured, as a table for people.

use super::{INSTRUMENTS, Invariance, Size};

/// What can be measured, what it costs, and what does not change it, in Markdown.
///
/// Costs are those of the default configurations on a network with more parameters than any of
/// them sees.
pub fn instrument_table() -> String {
    let mut table = String::from(
        "| instrument | what it measures | passes over the data | in gradients | is invariant to | \
         source |\n|---|---|---|---|---|---|\n",
    );
    for entry in INSTRUMENTS {
        let cost = (entry.cost)(&Size::LARGE);
        let gradients = rounded(cost.passes().in_gradients());
        let words: Vec<&str> = entry.invariances.iter().map(|i| Invariance::words(*i)).collect();
        let words = if words.is_empty() { "nothing".to_owned() } else { words.join("; ") };
        table += &format!(
            "| `{}` | {} | {cost} | {gradients} | {words} | {} |\n",
            entry.id, entry.summary, entry.source
        );
    }
    table
}

/// One place after the point for what is small.
fn rounded(gradients: f64) -> String {
    match gradients < 10.0 {
        true => format!("{:.1}", gradients),
        false => format!("{:.0}", gradients),
    }
}
