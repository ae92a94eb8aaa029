//! The interpreter: runs through the nodes and applies each one's rule.

use super::batch::Batch;
use super::call::{Call, Outcome};
use super::graph::{Graph, Node};
use super::value::Value;
use super::{host, ops};
use std::collections::{BTreeMap, BTreeSet};
use thalweg_array::Array;
use thalweg_graph::{Builder, GraphError, Tensor};
use thalweg_nn::Scope;

/// Graphs within graphs.
const MOST_DEPTH: usize = 64;
/// Elements that folding may make in one trace.
const MOST_FOLDED: usize = 1 << 25;
/// Nodes that loops may run through in one trace.
const MOST_STEPS: usize = 1 << 16;
/// Nodes after which a careful trace no longer asks: each question takes as long as the graph.
const MOST_QUESTIONS: usize = 1 << 12;

/// Why a trace stopped.
#[derive(Clone, Debug)]
pub(super) struct Fault(pub String);

/// A graph being traced.
pub(super) struct Tracer<'t, 'b> {
    pub builder: &'b Builder,
    /// The model's own scope; none where the weights are constants.
    pub scope: Option<&'t Scope<'t, 'b>>,
    /// What a fixed batch size was, and where it is.
    pub batch: Batch,
    /// Whether the builder is asked after each node whether it is still content, so that its
    /// complaint names the node.
    pub careful: bool,
    /// First outputs of the nodes whose running statistics are buffers of the model.
    pub buffered: BTreeSet<String>,
    frames: Vec<BTreeMap<String, Value<'b>>>,
    folded: usize,
    steps: usize,
}

impl<'t, 'b> Tracer<'t, 'b> {
    pub fn new(
        builder: &'b Builder,
        scope: Option<&'t Scope<'t, 'b>>,
        batch: Batch,
        careful: bool,
    ) -> Tracer<'t, 'b> {
        let frames = vec![BTreeMap::new()];
        let buffered = BTreeSet::new();
        Tracer { builder, scope, batch, careful, buffered, frames, folded: 0, steps: 0 }
    }

    /// Whether a node's running statistics are buffers of the model.
    pub fn is_buffered(&self, node: &Node) -> bool {
        node.outputs.first().is_some_and(|output| self.buffered.contains(output))
    }

    /// Gives a name its value.
    pub fn set(&mut self, name: &str, value: Value<'b>) {
        if let Some(frame) = self.frames.last_mut() {
            frame.insert(name.to_owned(), value);
        }
    }

    /// The value of a name, in this graph or one around it.
    pub fn get(&self, name: &str) -> Option<&Value<'b>> {
        self.frames.iter().rev().find_map(|frame| frame.get(name))
    }

    /// Applies the nodes that `needed` says.
    pub fn run(&mut self, graph: &Graph, needed: impl Fn(usize) -> bool) -> Result<(), Fault> {
        for (i, node) in graph.nodes.iter().enumerate() {
            if needed(i) {
                self.node(node)?;
            }
        }
        Ok(())
    }

    /// The outputs of a graph in an attribute, for these inputs.
    pub fn inner(&mut self, graph: &Graph, inputs: &[Value<'b>]) -> Outcome<'b> {
        if self.frames.len() > MOST_DEPTH {
            return Err("graphs are nested too deeply".into());
        }
        if inputs.len() != graph.inputs.len() {
            let (expected, got) = (graph.inputs.len(), inputs.len());
            return Err(format!("its graph takes {expected} inputs, got {got}"));
        }
        self.frames.push(BTreeMap::new());
        for (input, value) in graph.inputs.iter().zip(inputs) {
            self.set(&input.name, value.clone());
        }
        let result = self.inner_run(graph);
        self.frames.pop();
        result
    }

    fn inner_run(&mut self, graph: &Graph) -> Outcome<'b> {
        for initializer in &graph.initializers {
            self.set(&initializer.name, initializer.stored.array()?.into());
        }
        self.run(graph, |_| true).map_err(|fault| fault.0)?;
        let output = |name: &String| {
            self.get(name).cloned().ok_or_else(|| format!("nothing defines the output `{name}`"))
        };
        graph.outputs.iter().map(output).collect()
    }

    fn node(&mut self, node: &Node) -> Result<(), Fault> {
        self.steps += 1;
        let outcome = if self.steps > MOST_STEPS {
            Err(format!("loops run through more than {MOST_STEPS} nodes"))
        } else {
            self.applied(node)
        };
        let place = |message: String| {
            // A graph within a node names its own node.
            match message.contains(" node `") && message.contains("(opset ") {
                true => Fault(message),
                false => Fault(format!("{}: {message}", node.label())),
            }
        };
        let values = outcome.map_err(place)?;
        let needed = node.outputs.iter().rposition(|name| !name.is_empty()).map_or(0, |i| i + 1);
        if values.len() < needed {
            return Err(place(format!("its output {} is not supported", values.len())));
        }
        if self.careful
            && self.steps <= MOST_QUESTIONS
            && let Err(error) = self.builder.finish(&[])
        {
            return Err(place(complaint(&error)));
        }
        for (i, (name, value)) in node.outputs.iter().zip(values).enumerate() {
            if name.is_empty() {
                continue;
            }
            let shape = value.shape().ok();
            self.batch.see(node, name, i, shape.as_deref());
            self.set(name, value);
        }
        Ok(())
    }

    fn applied(&mut self, node: &Node) -> Outcome<'b> {
        let Some(rule) = ops::rule(node) else {
            return Err("this operation is not supported".into());
        };
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            inputs.push(match name.as_str() {
                "" => None,
                name => match self.get(name) {
                    Some(value) => Some(value.clone()),
                    None => return Err(format!("`{name}` is not defined")),
                },
            });
        }
        let mut call = Call { node, inputs, tracer: self };
        if let Some(folded) = host::fold(&call)? {
            call.tracer.count(&folded)?;
            return Ok(folded.into_iter().map(Value::Host).collect());
        }
        rule(&mut call)
    }

    fn count(&mut self, arrays: &[Array]) -> Result<(), String> {
        self.folded = arrays.iter().fold(self.folded, |sum, array| sum.saturating_add(array.len()));
        if self.folded > MOST_FOLDED {
            return Err(format!("constants of more than {MOST_FOLDED} elements are made"));
        }
        Ok(())
    }
}

/// What the builder says, without the place in its own source.
pub(super) fn complaint(error: &GraphError) -> String {
    format!("{} takes {}, got {}", error.op, error.expected, error.got)
}

/// The named values as tensors in the file's order of axes.
pub(super) fn outputs<'b>(
    tracer: &Tracer<'_, 'b>,
    names: &[String],
) -> Result<Vec<(String, Tensor<'b>)>, Fault> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let value =
            tracer.get(name).ok_or_else(|| Fault(format!("the graph has no output `{name}`")))?;
        let laid = value
            .laid(tracer.builder)
            .map_err(|error| Fault(format!("output `{name}`: {error}")))?;
        found.push((name.clone(), laid.plain()));
    }
    Ok(found)
}
