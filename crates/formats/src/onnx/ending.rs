//! What a model's output goes through last.

use super::graph::Graph;

/// The activation that an output ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A softmax: the output is probabilities.
    Softmax {
        /// The name of what it takes.
        scores: String,
    },
    /// A log-softmax: the output is logarithms of probabilities.
    LogSoftmax,
    /// A sigmoid: the output is probabilities, each for itself.
    Sigmoid {
        /// The name of what it takes.
        scores: String,
    },
}

/// The activation that an output ends in, looked for through what only names, converts or reshapes.
pub(super) fn of(graph: &Graph, output: &str) -> Option<Ending> {
    let writer = |name: &str| graph.nodes.iter().find(|n| n.outputs.iter().any(|own| own == name));
    let mut node = writer(output)?;
    // Each step goes to a node that stands earlier in a file without circles.
    while matches!(node.op.as_str(), "Identity" | "Cast" | "Reshape" | "Squeeze") {
        node = writer(node.inputs.first()?)?;
    }
    let scores = || node.inputs.first().cloned();
    match node.op.as_str() {
        "Softmax" => Some(Ending::Softmax { scores: scores()? }),
        "LogSoftmax" => Some(Ending::LogSoftmax),
        "Sigmoid" => Some(Ending::Sigmoid { scores: scores()? }),
        _ => None,
    }
}
