//! Which of a file's tensors are parameters, and what each of them is for.
//!
//! A file does not say so, unless PyTorch's newer exporter wrote it. Each float tensor is followed
//! forwards, through what only moves or rescales it, to the operations that use it: the place in
//! which it arrives there tells its role and what its axes run over.

mod finder;
mod place;

use super::graph::{Declared, Graph, Node};
use super::names::Lies;
use super::stored::Stored;
use finder::Finder;
use std::collections::{BTreeMap, BTreeSet};
use thalweg_nn::{Parameter, Statistic};

/// What a trace needs to know of a file's tensors.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// In the file's order.
    pub parameters: Vec<Parameter>,
    /// Names of running statistics, by the node's first output.
    pub buffers: BTreeMap<String, [String; 2]>,
    /// Tensors that are neither.
    pub constants: BTreeSet<String>,
    /// Which nodes the outputs need.
    pub needed: Vec<bool>,
}

impl Plan {
    pub fn is_parameter(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == name)
    }

    /// Each buffer with what it collects, in the order of the nodes.
    pub fn statistics(&self, graph: &Graph) -> Vec<(String, Statistic)> {
        let mut found = Vec::new();
        for node in &graph.nodes {
            let Some([mean, variance]) = node.outputs.first().and_then(|o| self.buffers.get(o))
            else {
                continue;
            };
            found.push((mean.clone(), Statistic::Mean));
            found.push((variance.clone(), Statistic::Variance));
        }
        found
    }
}

/// A tensor that may be a parameter.
struct Candidate<'g> {
    name: &'g str,
    stored: &'g Stored,
    declared: Option<Declared>,
    /// Computed by the exporter from a parameter.
    folded: bool,
    /// Given by a node, not by an initialiser.
    by_node: bool,
    /// How it lies in the file, if its name was found again.
    lies: Option<Lies>,
}

/// Decides over every tensor that the named outputs need.
pub(super) fn plan(graph: &Graph, outputs: &[String]) -> Plan {
    let needed = needed(graph, outputs);
    let mut nodes = Vec::new();
    for (node, _) in graph.nodes.iter().zip(&needed).filter(|(_, needed)| **needed) {
        flatten(node, &mut nodes);
    }
    let finder = Finder::new(graph, nodes);
    let mut plan = Plan { needed, ..Plan::default() };
    let mut statistics = BTreeSet::new();
    for node in &finder.nodes {
        if node.op != "BatchNormalization" || !node.is_standard() {
            continue;
        }
        if let ([_, _, _, mean, variance], Some(output)) = (&node.inputs[..], node.outputs.first())
            && finder.is_float(mean)
            && finder.is_float(variance)
            && mean != variance
            && !statistics.contains(mean.as_str())
            && !statistics.contains(variance.as_str())
            && graph.nodes.iter().any(|own| std::ptr::eq(own, *node))
        {
            statistics.insert(mean.as_str());
            statistics.insert(variance.as_str());
            plan.buffers.insert(output.clone(), [mean.clone(), variance.clone()]);
        }
    }
    for candidate in &finder.candidates {
        let used = finder.uses.contains_key(candidate.name)
            || outputs.iter().any(|output| output == candidate.name);
        if statistics.contains(candidate.name) || !used {
            continue;
        }
        match finder.parameter(candidate) {
            Some(parameter) => plan.parameters.push(parameter),
            None if !candidate.by_node => {
                plan.constants.insert(candidate.name.to_owned());
            }
            None => {}
        }
    }
    let other = |name: &str| !plan.is_parameter(name) && !statistics.contains(name);
    let rest: Vec<String> = graph
        .initializers
        .iter()
        .map(|initializer| initializer.name.clone())
        .filter(|name| {
            let output = outputs.contains(name);
            (finder.uses.contains_key(name.as_str()) || output) && other(name)
        })
        .collect();
    plan.constants.extend(rest);
    plan
}

/// Which nodes the outputs need.
fn needed(graph: &Graph, outputs: &[String]) -> Vec<bool> {
    let mut wanted: BTreeSet<&str> = outputs.iter().map(String::as_str).collect();
    let mut needed = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|output| wanted.contains(output.as_str())) {
            needed[i] = true;
            let mut reads = Vec::new();
            node.reads(&mut reads);
            wanted.extend(reads);
        }
    }
    needed
}

/// A node and those of its graphs.
fn flatten<'g>(node: &'g Node, nodes: &mut Vec<&'g Node>) {
    nodes.push(node);
    for graph in node.graphs() {
        for inner in &graph.nodes {
            flatten(inner, nodes);
        }
    }
}
