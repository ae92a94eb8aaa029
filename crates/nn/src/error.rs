//! What can be wrong with a model, its options or its weights.

use crate::faults::WeightsFaults;
use thalweg_array::{ArrayError, DType};
use thalweg_graph::GraphError;

/// Errors of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NnError {
    /// A name that is none of a closed list.
    #[error("unknown {kind} {got:?}; expected one of {}", .known.join(", "))]
    UnknownName {
        /// What is named: an architecture, a loss.
        kind: &'static str,
        /// The name that was given.
        got: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// An option that the architecture or loss does not have.
    #[error("{owner} has no option {got:?}; it has {}{}", list(.known), hint(.nearest))]
    UnknownOption {
        /// The architecture or loss.
        owner: String,
        /// The option that was given.
        got: String,
        /// The option that was probably meant.
        nearest: Option<String>,
        /// The options that exist.
        known: Vec<String>,
    },
    /// An option's value that cannot be used.
    #[error("option {option} of {owner}: expected {expected}, got {got:?}")]
    BadOption {
        /// The architecture or loss.
        owner: String,
        /// The option.
        option: String,
        /// What would have been right.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Data of a shape that the architecture cannot take.
    #[error("{architecture} takes {expected}, got {got}")]
    Input {
        /// The architecture.
        architecture: String,
        /// What it takes.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Examples that a model cannot take, whatever their layout.
    #[error("the model takes examples of {expected}, got {got}")]
    Examples {
        /// What it takes.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A model whose parameters no machine could hold.
    #[error("the model is too large to be addressed: {name} alone would be {shape:?}")]
    TooLarge {
        /// Its largest parameter.
        name: String,
        /// The extents of that.
        shape: Vec<usize>,
    },
    /// A traced function that does not fit together.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Named arrays that are not those of the model.
    #[error("the weights are not those of the model: {0}")]
    Weights(Box<WeightsFaults>),
    /// Two parameter sets that should be of one structure.
    #[error("parameters of one structure are needed: expected {expected}, got {got}")]
    Structure {
        /// The structure of the first.
        expected: String,
        /// What differs in the other.
        got: String,
    },
    /// Weights of a type that is no float.
    #[error("weights are f32 or f64, got {got} for {name}")]
    FloatType {
        /// The parameter.
        name: String,
        /// Its type.
        got: DType,
    },
    /// An array that is not what it should be.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

/// The candidate that needs the fewest edits to become `name`, if that is less than half of it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let (distance, candidate) = candidates
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .min_by_key(|&(distance, _)| distance)?;
    (2 * distance < name.chars().count().max(3)).then_some(candidate)
}

/// Insertions, deletions and substitutions that turn one text into the other (Levenshtein).
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(nearest("widht", ["depth", "width"]), Some("width"));
        assert_eq!(nearest("colour", ["depth", "width"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
