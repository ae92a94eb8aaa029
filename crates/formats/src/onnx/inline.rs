//! Local functions, put in place of the nodes that call them.

use super::attribute::Attribute;
use super::graph::{Graph, Node, opsets};
use super::proto::{FunctionProto, GraphProto};
use super::stored::External;
use super::{invalid, unsupported};
use crate::FormatError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Calls within calls.
const MOST_DEPTH: usize = 32;
/// Nodes after all calls are in place.
const MOST_NODES: usize = 1 << 18;

type Key = (String, String, String);

struct Function {
    inputs: Vec<String>,
    outputs: Vec<String>,
    defaults: Vec<(String, Attribute)>,
    nodes: Vec<Node>,
}

/// The functions of a file.
pub(super) struct Library {
    functions: BTreeMap<Key, Function>,
}

impl Library {
    pub fn read(
        functions: &[FunctionProto],
        external: &mut External<'_>,
    ) -> Result<Library, FormatError> {
        let mut found = BTreeMap::new();
        for function in functions {
            let opsets = opsets(&function.opset_import);
            let mut nodes = Vec::with_capacity(function.node.len());
            for node in &function.node {
                nodes.push(Node::read(node, &opsets, external)?);
            }
            let mut defaults = Vec::new();
            let mut graph = |graph: &GraphProto, external: &mut External<'_>| {
                Graph::read(graph, &opsets, external)
            };
            for attribute in &function.attribute_proto {
                let value = Attribute::read(attribute, function.name(), external, &mut graph)?;
                defaults.push((attribute.name().to_owned(), value));
            }
            let key = (
                function.domain().to_owned(),
                function.name().to_owned(),
                function.overload().to_owned(),
            );
            let (inputs, outputs) = (function.input.clone(), function.output.clone());
            found.insert(key, Function { inputs, outputs, defaults, nodes });
        }
        Ok(Library { functions: found })
    }

    fn get(&self, node: &Node) -> Option<&Function> {
        if self.functions.is_empty() {
            return None;
        }
        let key = (node.domain.clone(), node.op.clone(), node.overload.clone());
        self.functions.get(&key)
    }
}

/// Puts functions in their places, within bounds.
pub(super) struct Functions<'l> {
    library: &'l Library,
    n_nodes: usize,
    n_calls: usize,
}

/// How a function's body is changed on its way into a graph.
struct Call<'c> {
    /// Names in the graph of the function's names.
    names: BTreeMap<String, String>,
    prefix: String,
    caller: &'c Node,
    function: &'c Function,
}

impl<'l> Functions<'l> {
    pub fn new(library: &'l Library) -> Functions<'l> {
        Functions { library, n_nodes: 0, n_calls: 0 }
    }

    /// Replaces every call in a graph and in the graphs of its nodes.
    pub fn expand(&mut self, graph: &mut Graph) -> Result<(), FormatError> {
        if self.library.functions.is_empty() {
            return Ok(());
        }
        graph.nodes = self.expanded(std::mem::take(&mut graph.nodes), 0)?;
        Ok(())
    }

    fn expanded(&mut self, nodes: Vec<Node>, depth: usize) -> Result<Vec<Node>, FormatError> {
        let mut out = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            let Some(function) = self.library.get(&node) else {
                self.n_nodes += 1;
                if self.n_nodes > MOST_NODES {
                    return Err(unsupported(format!(
                        "its functions make more than {MOST_NODES} nodes"
                    )));
                }
                for (_, value) in &mut node.attributes {
                    if let Attribute::Graph(inner) = value {
                        let mut own = Graph::clone(inner);
                        own.nodes = self.expanded(std::mem::take(&mut own.nodes), depth)?;
                        *inner = Arc::new(own);
                    }
                }
                out.push(node);
                continue;
            };
            if depth >= MOST_DEPTH {
                return Err(invalid(format!(
                    "calls of functions are nested more than {MOST_DEPTH} deep at `{}`",
                    node.name
                )));
            }
            let body = self.body(&node, function)?;
            out.extend(self.expanded(body, depth + 1)?);
        }
        Ok(out)
    }

    fn body(&mut self, caller: &Node, function: &Function) -> Result<Vec<Node>, FormatError> {
        if caller.inputs.len() > function.inputs.len()
            || caller.outputs.len() > function.outputs.len()
        {
            return Err(invalid(format!(
                "{} has more inputs or outputs than its function",
                caller.label()
            )));
        }
        self.n_calls += 1;
        let mut names = BTreeMap::new();
        for (i, name) in function.inputs.iter().enumerate() {
            names.insert(name.clone(), caller.inputs.get(i).cloned().unwrap_or_default());
        }
        let prefix = format!("{}#{}/", caller.name, self.n_calls);
        let mut after = Vec::new();
        for (i, name) in function.outputs.iter().enumerate() {
            let Some(outer) = caller.outputs.get(i).filter(|outer| !outer.is_empty()) else {
                continue;
            };
            // An output that is an input, or is given out twice, needs a node of its own.
            let taken = names.contains_key(name);
            if taken {
                let inner = names.get(name).cloned().unwrap_or_default();
                after.push(identity(caller, inner, outer.clone()));
            } else {
                names.insert(name.clone(), outer.clone());
            }
        }
        let call = Call { names, prefix, caller, function };
        let mut nodes: Vec<Node> = function.nodes.iter().map(|node| call.node(node)).collect();
        nodes.extend(after);
        Ok(nodes)
    }
}

fn identity(caller: &Node, input: String, output: String) -> Node {
    Node {
        op: "Identity".into(),
        domain: String::new(),
        name: format!("{}/Identity", caller.name),
        overload: String::new(),
        version: 13,
        inputs: vec![input],
        outputs: vec![output],
        attributes: Vec::new(),
    }
}

impl Call<'_> {
    fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            _ if name.is_empty() => String::new(),
            Some(known) => known.clone(),
            None => format!("{}{name}", self.prefix),
        }
    }

    fn node(&self, node: &Node) -> Node {
        let names = |names: &[String]| names.iter().map(|name| self.name(name)).collect();
        let attributes = node
            .attributes
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), self.attribute(value)?)))
            .collect();
        Node {
            name: format!("{}{}", self.prefix, node.name),
            inputs: names(&node.inputs),
            outputs: names(&node.outputs),
            attributes,
            ..node.clone()
        }
    }

    fn attribute(&self, value: &Attribute) -> Option<Attribute> {
        match value {
            Attribute::Reference(name) => {
                let default = self.function.defaults.iter().find(|(known, _)| known == name);
                let default = || default.map(|(_, value)| value);
                self.caller.attribute(name).or_else(default).cloned()
            }
            Attribute::Graph(graph) => {
                let mut own = Graph::clone(graph);
                for input in &mut own.inputs {
                    input.name = self.name(&input.name);
                }
                for initializer in &mut own.initializers {
                    initializer.name = self.name(&initializer.name);
                }
                own.outputs = own.outputs.iter().map(|name| self.name(name)).collect();
                own.nodes = own.nodes.iter().map(|node| self.node(node)).collect();
                Some(Attribute::Graph(Arc::new(own)))
            }
            other => Some(other.clone()),
        }
    }
}
