//! The graph of a file, checked and with functions in their places.

use super::attribute::Attribute;
use super::inline::{Functions, Library};
use super::names::{self, Found, Lies};
use super::proto::{self, GraphProto, ModelProto, NodeProto, StringStringEntryProto};
use super::stored::{External, Stored};
use super::{invalid, unsupported};
use crate::FormatError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The lowest version of the standard operations that is read.
pub(super) const OLDEST_OPSET: i64 = 7;

/// A file that was read.
pub(super) struct Source {
    /// The file itself, to be written again.
    pub proto: ModelProto,
    pub graph: Graph,
    pub opset: i64,
    pub producer: String,
    /// Names in the file, by those that were found again.
    pub renamed: BTreeMap<String, String>,
}

/// A graph, or the body of a branch or a loop.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    /// Inputs that no initialiser gives.
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
    pub initializers: Vec<Initializer>,
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(super) struct Input {
    pub name: String,
    /// ONNX's number of the element type; 0 where it is not said.
    pub code: i32,
    /// `None` where the rank is not said.
    pub extents: Option<Vec<Extent>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Fixed(usize),
    Free(String),
}

#[derive(Clone, Debug)]
pub(super) struct Initializer {
    pub name: String,
    pub stored: Stored,
    /// What PyTorch's exporter says it is.
    pub kind: Option<Declared>,
    /// How it lies in the file, if its name was found again.
    pub lies: Option<Lies>,
    /// The parameter that the exporter computed it from, and did not keep.
    pub folded_from: Option<String>,
}

/// What PyTorch's exporter says of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Parameter,
    Buffer,
    Constant,
}

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub op: String,
    pub domain: String,
    /// Its name, or that of its first output.
    pub name: String,
    pub overload: String,
    /// Version of its domain's operations.
    pub version: i64,
    /// Empty where an optional input is left out.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<(String, Attribute)>,
}

impl Node {
    /// The attribute of a name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether it is of the standard operations.
    pub fn is_standard(&self) -> bool {
        matches!(self.domain.as_str(), "" | "ai.onnx")
    }

    /// The graphs in its attributes.
    pub fn graphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.iter().filter_map(|(_, value)| match value {
            Attribute::Graph(graph) => Some(graph.as_ref()),
            _ => None,
        })
    }

    /// How messages call it.
    pub fn label(&self) -> String {
        let domain = if self.is_standard() { String::new() } else { format!("{}.", self.domain) };
        format!("{domain}{} node `{}` (opset {})", self.op, self.name, self.version)
    }

    /// Every name that it reads, those of its graphs' nodes included.
    pub fn reads<'a>(&'a self, found: &mut Vec<&'a str>) {
        found.extend(self.inputs.iter().map(String::as_str).filter(|name| !name.is_empty()));
        for graph in self.graphs() {
            for node in &graph.nodes {
                node.reads(found);
            }
            found.extend(graph.outputs.iter().map(String::as_str));
        }
    }
}

/// The value of a key among the properties of a message.
pub(super) fn property<'a>(entries: &'a [StringStringEntryProto], key: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.key() == key).map(|entry| entry.value())
}

const SPECIFICATION: &str = "pkg.torch.export.graph_signature.InputSpec.kind";

/// Names of what the newer exporter computed a constant from.
const FOLDED: &str = "pkg.onnxscript.optimizer.folded_from";

/// The name that is a parameter's by PyTorch's habit, in a list as Python prints it.
fn parameter_name(list: &str) -> Option<String> {
    let names = list.split(['[', ']', ',']).map(|name| name.trim().trim_matches('\''));
    let is_parameter = |name: &&str| {
        let last = name.rsplit(['.', '_']).next();
        matches!(last, Some("weight" | "bias")) && !name.starts_with("val_")
    };
    names.into_iter().find(is_parameter).map(str::to_owned)
}

fn declared(entries: &[StringStringEntryProto]) -> Option<Declared> {
    match property(entries, SPECIFICATION)? {
        "PARAMETER" => Some(Declared::Parameter),
        "BUFFER" => Some(Declared::Buffer),
        "CONSTANT_TENSOR" => Some(Declared::Constant),
        _ => None,
    }
}

/// Versions of the operations of each domain.
pub(super) type Opsets = BTreeMap<String, i64>;

pub(super) fn opsets(entries: &[proto::OperatorSetIdProto]) -> Opsets {
    let domain = |entry: &proto::OperatorSetIdProto| match entry.domain() {
        "ai.onnx" => String::new(),
        other => other.to_owned(),
    };
    entries.iter().map(|entry| (domain(entry), entry.version())).collect()
}

impl Source {
    pub fn read(proto: ModelProto, external: &mut External<'_>) -> Result<Source, FormatError> {
        let Some(graph) = &proto.graph else {
            return Err(invalid("it holds no graph"));
        };
        let opsets = opsets(&proto.opset_import);
        let Some(&opset) = opsets.get("") else {
            return Err(invalid("it does not say which version of ONNX's operations it uses"));
        };
        if opset < OLDEST_OPSET {
            return Err(unsupported(format!(
                "opset {opset} is not read; export with opset 13 or later"
            )));
        }
        let library = Library::read(&proto.functions, external)?;
        let found = names::recover(graph);
        let mut graph = Graph::read(graph, &opsets, external)?;
        Functions::new(&library).expand(&mut graph)?;
        graph.check(&mut Vec::new())?;
        graph.rename(&found);
        let renamed = found.into_iter().map(|(name, found)| (found.name, name)).collect();
        let producer = match (proto.producer_name(), proto.producer_version()) {
            ("", _) => String::new(),
            (name, "") => name.to_owned(),
            (name, version) => format!("{name} {version}"),
        };
        Ok(Source { graph, opset, producer, renamed, proto })
    }

    /// The name of a tensor in the file.
    pub fn name_in_file<'a>(&'a self, name: &'a str) -> &'a str {
        self.renamed.get(name).map_or(name, String::as_str)
    }
}

impl Graph {
    pub fn read(
        proto: &GraphProto,
        opsets: &Opsets,
        external: &mut External<'_>,
    ) -> Result<Graph, FormatError> {
        if let Some(sparse) = proto.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |values| values.name());
            return Err(unsupported(format!("the sparse initialiser `{name}` is not read")));
        }
        let mut kinds: BTreeMap<&str, Declared> = BTreeMap::new();
        let mut folded: BTreeMap<&str, String> = BTreeMap::new();
        for value in proto.value_info.iter().chain(&proto.input) {
            if let Some(kind) = declared(&value.metadata_props) {
                kinds.insert(value.name(), kind);
            }
            if let Some(from) = property(&value.metadata_props, FOLDED).and_then(parameter_name) {
                folded.insert(value.name(), from);
            }
        }
        let mut initializers = Vec::with_capacity(proto.initializer.len());
        for tensor in &proto.initializer {
            let name = tensor.name().to_owned();
            let stored = Stored::read(tensor, &name, external)?;
            let kind =
                declared(&tensor.metadata_props).or_else(|| kinds.get(name.as_str()).copied());
            let folded_from = folded.get(name.as_str()).cloned();
            initializers.push(Initializer { name, stored, kind, lies: None, folded_from });
        }
        let given: BTreeSet<&str> = initializers.iter().map(|i| i.name.as_str()).collect();
        let inputs = proto
            .input
            .iter()
            .filter(|input| !given.contains(input.name()))
            .map(Input::read)
            .collect();
        let outputs = proto.output.iter().map(|output| output.name().to_owned()).collect();
        let mut nodes = Vec::with_capacity(proto.node.len());
        for node in &proto.node {
            nodes.push(Node::read(node, opsets, external)?);
        }
        Ok(Graph { inputs, outputs, initializers, nodes })
    }

    /// Gives tensors the names that were found again, unless something else has them.
    fn rename(&mut self, found: &BTreeMap<String, Found>) {
        for initializer in &mut self.initializers {
            if let Some(found) = found.get(&initializer.name) {
                initializer.name = found.name.clone();
                initializer.lies = Some(found.lies);
            }
        }
        self.rename_reads(found);
    }

    fn rename_reads(&mut self, found: &BTreeMap<String, Found>) {
        let own = |name: &mut String| {
            if let Some(found) = found.get(name) {
                name.clone_from(&found.name);
            }
        };
        self.outputs.iter_mut().for_each(own);
        for node in &mut self.nodes {
            node.inputs.iter_mut().for_each(own);
            for (_, value) in &mut node.attributes {
                if let Attribute::Graph(graph) = value {
                    Arc::make_mut(graph).rename_reads(found);
                }
            }
        }
    }

    /// Refuses names that are read before they are written, or written twice.
    fn check<'a>(&'a self, outer: &mut Vec<BTreeSet<&'a str>>) -> Result<(), FormatError> {
        let mut known = BTreeSet::new();
        let own = self.inputs.iter().map(|input| input.name.as_str());
        for name in own.chain(self.initializers.iter().map(|i| i.name.as_str())) {
            if !known.insert(name) {
                return Err(invalid(format!("`{name}` is defined twice")));
            }
        }
        outer.push(known);
        let result = self.check_nodes(outer);
        outer.pop();
        result
    }

    fn check_nodes<'a>(&'a self, scopes: &mut Vec<BTreeSet<&'a str>>) -> Result<(), FormatError> {
        let known =
            |scopes: &[BTreeSet<&str>], name: &str| scopes.iter().any(|scope| scope.contains(name));
        for node in &self.nodes {
            for name in node.inputs.iter().filter(|name| !name.is_empty()) {
                if !known(scopes, name) {
                    let later = self.nodes.iter().any(|other| other.outputs.contains(name));
                    return Err(invalid(if later {
                        format!(
                            "{} reads `{name}`, which is written by a later node or by itself: \
                             the graph has a cycle or is not sorted",
                            node.label()
                        )
                    } else {
                        format!("{} reads `{name}`, which nothing defines", node.label())
                    }));
                }
            }
            for graph in node.graphs() {
                graph.check(scopes)?;
            }
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                let taken = scopes.last_mut().is_some_and(|own| !own.insert(name));
                if taken {
                    return Err(invalid(format!("`{name}` is defined twice")));
                }
            }
        }
        match self.outputs.iter().find(|name| !known(scopes, name)) {
            Some(name) => Err(invalid(format!("nothing defines the output `{name}`"))),
            None => Ok(()),
        }
    }
}

impl Input {
    pub fn read(value: &proto::ValueInfoProto) -> Input {
        use proto::tensor_shape_proto::dimension::Value as Dimension;
        use proto::type_proto::Value;
        let tensor = value.r#type.as_ref().and_then(|ty| match &ty.value {
            Some(Value::TensorType(tensor)) => Some(tensor),
            _ => None,
        });
        let extent = |dimension: &proto::tensor_shape_proto::Dimension| match &dimension.value {
            // Some exporters write zero or less where they do not know.
            Some(Dimension::DimValue(extent)) if *extent > 0 => Extent::Fixed(*extent as usize),
            Some(Dimension::DimParam(name)) => Extent::Free(name.clone()),
            _ => Extent::Free(String::new()),
        };
        let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
        Input {
            name: value.name().to_owned(),
            code: tensor.map_or(0, |tensor| tensor.elem_type()),
            extents: shape.map(|shape| shape.dim.iter().map(extent).collect()),
        }
    }
}

impl Node {
    pub fn read(
        proto: &NodeProto,
        opsets: &Opsets,
        external: &mut External<'_>,
    ) -> Result<Node, FormatError> {
        let name = match (proto.name(), proto.output.first()) {
            ("", Some(output)) => output.clone(),
            (name, _) => name.to_owned(),
        };
        if proto.op_type().is_empty() {
            return Err(invalid(format!("the node `{name}` has no operation")));
        }
        let domain = match proto.domain() {
            "ai.onnx" => "",
            other => other,
        };
        let mut attributes: Vec<(String, Attribute)> = Vec::with_capacity(proto.attribute.len());
        let mut read_graph =
            |graph: &GraphProto, external: &mut External<'_>| Graph::read(graph, opsets, external);
        for attribute in &proto.attribute {
            if attributes.iter().any(|(known, _)| known == attribute.name()) {
                return Err(invalid(format!(
                    "the node `{name}` has the attribute `{}` twice",
                    attribute.name()
                )));
            }
            let value = Attribute::read(attribute, &name, external, &mut read_graph)?;
            attributes.push((attribute.name().to_owned(), value));
        }
        Ok(Node {
            op: proto.op_type().to_owned(),
            domain: domain.to_owned(),
            name,
            overload: proto.overload().to_owned(),
            version: opsets.get(domain).copied().unwrap_or(1),
            inputs: proto.input.clone(),
            outputs: proto.output.clone(),
            attributes,
        })
    }
}
