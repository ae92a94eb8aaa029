//! Attributes of nodes.

use super::graph::Graph;
use super::proto::AttributeProto;
use super::proto::attribute_proto::AttributeType;
use super::stored::{External, Stored};
use crate::FormatError;
use std::sync::Arc;

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Float(f64),
    Int(i64),
    Text(String),
    Tensor(Stored),
    Graph(Arc<Graph>),
    Floats(Vec<f64>),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    /// The caller's attribute of this name, in the body of a function.
    Reference(String),
    /// Of a type that no supported operation has.
    Other,
}

/// The number that was meant: a file holds `binary32`, and `0.1` written as such is not the
/// `binary64` of the same bits. The shortest decimal that gives these bits is taken.
pub(super) fn meant(value: f32) -> f64 {
    if value.is_finite() {
        value.to_string().parse().unwrap_or(f64::from(value))
    } else {
        f64::from(value)
    }
}

impl Attribute {
    /// Reads the attribute of the node called `node`; graphs are read by `graph`.
    pub fn read(
        attribute: &AttributeProto,
        node: &str,
        external: &mut External<'_>,
        graph: &mut dyn FnMut(
            &super::proto::GraphProto,
            &mut External<'_>,
        ) -> Result<Graph, FormatError>,
    ) -> Result<Attribute, FormatError> {
        if !attribute.ref_attr_name().is_empty() {
            return Ok(Attribute::Reference(attribute.ref_attr_name().to_owned()));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Old files leave the type out.
        let kind = match attribute.r#type() {
            AttributeType::Undefined => guess(attribute),
            kind => kind,
        };
        Ok(match kind {
            AttributeType::Float => Attribute::Float(meant(attribute.f())),
            AttributeType::Int => Attribute::Int(attribute.i()),
            AttributeType::String => Attribute::Text(text(attribute.s())),
            AttributeType::Tensor => match &attribute.t {
                Some(tensor) => {
                    let name = format!("{} of {node}", attribute.name());
                    Attribute::Tensor(Stored::read(tensor, &name, external)?)
                }
                None => Attribute::Other,
            },
            AttributeType::Graph => match &attribute.g {
                Some(inner) => Attribute::Graph(Arc::new(graph(inner, external)?)),
                None => Attribute::Other,
            },
            AttributeType::Floats => {
                Attribute::Floats(attribute.floats.iter().map(|&value| meant(value)).collect())
            }
            AttributeType::Ints => Attribute::Ints(attribute.ints.clone()),
            AttributeType::Strings => {
                Attribute::Texts(attribute.strings.iter().map(|bytes| text(bytes)).collect())
            }
            _ => Attribute::Other,
        })
    }
}

fn guess(attribute: &AttributeProto) -> AttributeType {
    if attribute.f.is_some() {
        AttributeType::Float
    } else if attribute.i.is_some() {
        AttributeType::Int
    } else if attribute.s.is_some() {
        AttributeType::String
    } else if attribute.t.is_some() {
        AttributeType::Tensor
    } else if attribute.g.is_some() {
        AttributeType::Graph
    } else if !attribute.floats.is_empty() {
        AttributeType::Floats
    } else if !attribute.strings.is_empty() {
        AttributeType::Strings
    } else {
        AttributeType::Ints
    }
}
