//! What can be measured, as a table for people.

use super::{INSTRUMENTS, Invariance, Size};

/// What can be measured, what it costs, and what does not change it, in Markdown.
///
/// Costs are those of the default configurations on a network with more parameters than any of
/// them sees, and 65,536 examples.
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

/// Two digits of what is small.
fn rounded(gradients: f64) -> String {
    match gradients {
        n if n < 0.1 => format!("{n:.2}"),
        n if n < 10.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}
