//! What is in a file, before anything is traced.

use super::ending::{self, Ending};
use super::graph::{Declared, Source};
use super::network::extent_text;
use super::stored::type_name;
use super::{ops, roles};
use std::collections::BTreeMap;
use thalweg_nn::{Parameter, Statistic};

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What wrote it.
    pub producer: String,
    /// Version of ONNX's own operations.
    pub opset: i64,
    /// Inputs, in order.
    pub inputs: Vec<InspectedPort>,
    /// Outputs, in order.
    pub outputs: Vec<InspectedPort>,
    /// What would be trained.
    pub parameters: Vec<InspectedParameter>,
    /// Running statistics and their shapes.
    pub buffers: Vec<(String, Vec<usize>, Statistic)>,
    /// Operations by domain and name.
    pub ops: Vec<InspectedOp>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// An input or output of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedPort {
    /// Its name.
    pub name: String,
    /// Its element type, as ONNX calls it.
    pub ty: String,
    /// Its extents: numbers, or names of free ones; `None` where not even the rank is said.
    pub shape: Option<Vec<String>>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct InspectedParameter {
    /// Its name, role, shape and axes.
    pub parameter: Parameter,
    /// Its element type in the file.
    pub ty: String,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedOp {
    /// Its domain, empty for ONNX's own.
    pub domain: String,
    /// Its name.
    pub op: String,
    /// How many nodes have it.
    pub count: usize,
    /// Whether it can be traced, as far as its name tells.
    pub supported: bool,
}

impl Inspection {
    /// Number of trainable elements.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().fold(0, |sum, p| sum.saturating_add(p.parameter.count()))
    }

    /// Operations that cannot be traced.
    pub fn unsupported(&self) -> impl Iterator<Item = &InspectedOp> {
        self.ops.iter().filter(|op| !op.supported)
    }
}

pub(super) fn inspect(source: &Source) -> Inspection {
    let graph = &source.graph;
    let plan = roles::plan(graph, &graph.outputs);
    let stored = |name: &str| {
        let found = graph.initializers.iter().find(|i| i.name == name).map(|i| &i.stored);
        found.or_else(|| super::network::constant(source, name))
    };
    let parameters = plan.parameters.iter().map(|parameter| InspectedParameter {
        ty: stored(&parameter.name).map_or(String::new(), |stored| type_name(stored.code)),
        parameter: parameter.clone(),
    });
    let buffers = plan.statistics(graph).into_iter().map(|(name, statistic)| {
        let shape = stored(&name).map(|stored| stored.shape.clone()).unwrap_or_default();
        (name, shape, statistic)
    });
    let mut counts: BTreeMap<(String, String), (usize, bool)> = BTreeMap::new();
    let mut nodes: Vec<_> = graph.nodes.iter().collect();
    while let Some(node) = nodes.pop() {
        let entry = counts
            .entry((node.domain.clone(), node.op.clone()))
            .or_insert((0, ops::rule(node).is_some()));
        entry.0 += 1;
        nodes.extend(node.graphs().flat_map(|graph| &graph.nodes));
    }
    let ops = counts
        .into_iter()
        .map(|((domain, op), (count, supported))| InspectedOp { domain, op, count, supported })
        .collect();
    Inspection {
        producer: source.producer.clone(),
        opset: source.opset,
        inputs: graph
            .inputs
            .iter()
            .map(|input| InspectedPort {
                name: input.name.clone(),
                ty: type_name(input.code),
                shape: input
                    .extents
                    .as_ref()
                    .map(|extents| extents.iter().map(extent_text).collect()),
            })
            .collect(),
        outputs: outputs(source),
        parameters: parameters.collect(),
        buffers: buffers.collect(),
        ops,
        notes: notes(source, &plan),
    }
}

fn outputs(source: &Source) -> Vec<InspectedPort> {
    let values = source.proto.graph.iter().flat_map(|graph| &graph.output);
    values
        .map(|value| {
            let input = super::graph::Input::read(value);
            InspectedPort {
                name: input.name,
                ty: type_name(input.code),
                shape: input.extents.map(|extents| extents.iter().map(extent_text).collect()),
            }
        })
        .collect()
}

fn notes(source: &Source, plan: &roles::Plan) -> Vec<String> {
    let graph = &source.graph;
    let mut notes = Vec::new();
    for input in &graph.inputs {
        if let Some(super::graph::Extent::Fixed(batch)) =
            input.extents.as_ref().and_then(|extents| extents.first())
        {
            notes.push(format!(
                "input `{}` was exported with a batch size of {batch}; other sizes are tried",
                input.name
            ));
        }
    }
    for output in &graph.outputs {
        match ending::of(graph, output) {
            Some(Ending::Softmax { scores }) => notes.push(format!(
                "output `{output}` ends in a softmax: it gives probabilities, and `cross-entropy` \
                 takes the scores before it, `{scores}`"
            )),
            Some(Ending::LogSoftmax) => notes.push(format!(
                "output `{output}` ends in a log-softmax: `nll` fits it, and `cross-entropy` as well"
            )),
            Some(Ending::Sigmoid { scores }) => notes.push(format!(
                "output `{output}` ends in a sigmoid: it gives probabilities, and `bce` takes the \
                 scores before it, `{scores}`"
            )),
            None => {}
        }
    }
    let has = |op: &str| graph.nodes.iter().any(|node| node.op == op);
    let folded_rule = source.proto.graph.iter().flat_map(|graph| &graph.node).any(|node| {
        super::graph::property(&node.metadata_props, "pkg.onnxscript.rewriter.rule_name")
            .is_some_and(|rule| rule.contains("BatchNorm"))
    });
    // Both exporters leave names that no layer has.
    let anonymous = graph
        .initializers
        .iter()
        .any(|i| i.name.starts_with("onnx::Conv_") || i.name.ends_with(".weight_bias"));
    if has("Conv") && !has("BatchNormalization") && (folded_rule || anonymous) {
        notes.push(
            "batch normalisation seems to be folded into the convolutions before it, so its modes \
             have no effect; to keep it, export in training mode without constant folding, or with \
             `optimize=False`"
                .into(),
        );
    }
    let mut other: Vec<&str> = Vec::new();
    for parameter in &plan.parameters {
        let code = graph.initializers.iter().find(|i| i.name == parameter.name);
        match code.map(|i| type_name(i.stored.code)).as_deref() {
            Some("float16") => other.push("float16"),
            Some("bfloat16") => other.push("bfloat16"),
            Some("double") => other.push("double"),
            _ => {}
        }
    }
    other.sort_unstable();
    other.dedup();
    if !other.is_empty() {
        notes.push(format!(
            "weights of type {} are computed with in the precision that is asked for",
            other.join(" and ")
        ));
    }
    let buffers = graph.initializers.iter().filter(|i| i.kind == Some(Declared::Buffer));
    let fixed = buffers
        .filter(|i| plan.constants.contains(&i.name) && i.stored.is_float())
        .map(|i| format!("`{}`", i.name))
        .collect::<Vec<_>>();
    if !fixed.is_empty() {
        notes.push(format!(
            "{} stay as they are: the exporter says they are not trained",
            fixed.join(", ")
        ));
    }
    let lost = graph.initializers.iter().filter(|i| i.lies.is_none());
    let folded = lost.filter(|i| plan.is_parameter(&i.name));
    let folded: Vec<String> = folded
        .filter_map(|i| Some(format!("`{}` from `{}`", i.name, i.folded_from.as_ref()?)))
        .collect();
    if !folded.is_empty() {
        notes.push(format!(
            "the exporter computed {}; what shared a tensor there no longer does, and to keep names \
             and tensors, export with `optimize=False`",
            folded.join(", ")
        ));
    }
    if source.opset < 13 {
        notes.push(format!("opset {} is older than 13, the oldest that is tested", source.opset));
    }
    notes
}
