//! What the rule of an operation sees of its node.

use super::attribute::Attribute;
use super::graph::{Graph, Node};
use super::stored::Stored;
use super::tracer::Tracer;
use super::value::{Laid, Value, literal};
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor};

/// The outputs of a node, or what is wrong with it; the tracer adds which node it is.
pub(super) type Outcome<'b> = Result<Vec<Value<'b>>, String>;

/// How an operation is traced.
pub(super) type Rule = for<'c, 't, 'b> fn(&mut Call<'c, 't, 'b>) -> Outcome<'b>;

/// A node with the values of its inputs.
pub(super) struct Call<'c, 't, 'b> {
    pub node: &'c Node,
    pub inputs: Vec<Option<Value<'b>>>,
    pub tracer: &'c mut Tracer<'t, 'b>,
}

/// One tensor as the only output.
pub(super) fn one<'b>(value: impl Into<Value<'b>>) -> Outcome<'b> {
    Ok(vec![value.into()])
}

/// An axis of a tensor of this rank, counted from the end if it is negative.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let wrapped = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(wrapped)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("axis {axis} of a tensor of {rank} axes"))
}

/// The integers of an array.
pub(super) fn integers(array: &Array) -> Result<Vec<i64>, String> {
    if array.dtype().is_float() {
        return Err(format!("integers are needed, got {}", array.dtype()));
    }
    let wide = array.convert(DType::I64);
    wide.as_slice::<i64>().map(<[i64]>::to_vec).map_err(|error| error.to_string())
}

impl<'b> Call<'_, '_, 'b> {
    pub fn builder(&self) -> &'b Builder {
        self.tracer.builder
    }

    /// Version of the node's domain.
    pub fn version(&self) -> i64 {
        self.node.version
    }

    /// Whether an input is there.
    pub fn has(&self, i: usize) -> bool {
        matches!(self.inputs.get(i), Some(Some(_)))
    }

    pub fn value(&self, i: usize) -> Result<&Value<'b>, String> {
        match self.inputs.get(i) {
            Some(Some(value)) => Ok(value),
            _ => Err(format!("input {i} is missing")),
        }
    }

    /// An input in the file's order of axes.
    pub fn tensor(&self, i: usize) -> Result<Tensor<'b>, String> {
        Ok(self.laid(i)?.plain())
    }

    /// An input, if it is there.
    pub fn optional(&self, i: usize) -> Result<Option<Tensor<'b>>, String> {
        if self.has(i) { self.tensor(i).map(Some) } else { Ok(None) }
    }

    /// An input in the order in which it lies.
    pub fn laid(&self, i: usize) -> Result<Laid<'b>, String> {
        self.value(i)?.laid(self.builder()).map_err(|error| format!("input {i}: {error}"))
    }

    /// Extents of an input in the file's order.
    pub fn shape(&self, i: usize) -> Result<Vec<usize>, String> {
        self.value(i)?.shape()
    }

    /// Every input that is there.
    pub fn all_laid(&self) -> Result<Vec<Laid<'b>>, String> {
        (0..self.inputs.len()).filter(|&i| self.has(i)).map(|i| self.laid(i)).collect()
    }

    /// An input that is known while tracing.
    pub fn host(&self, i: usize) -> Result<&Array, String> {
        match self.value(i)? {
            Value::Host(array) => Ok(array),
            _ => Err(format!(
                "input {i} (`{}`) must be known before the data are",
                self.node.inputs.get(i).map_or("", String::as_str)
            )),
        }
    }

    /// The integers of an input that is known while tracing.
    pub fn host_integers(&self, i: usize) -> Result<Vec<i64>, String> {
        integers(self.host(i)?).map_err(|error| format!("input {i}: {error}"))
    }

    /// The single number of an input that is known while tracing.
    pub fn host_number(&self, i: usize) -> Result<f64, String> {
        self.host(i)?.item().ok_or_else(|| format!("input {i} should be a single number"))
    }

    /// Axes from an input or, as older versions have it, from an attribute.
    pub fn axes(&self, i: usize, name: &str) -> Result<Option<Vec<i64>>, String> {
        if self.has(i) { self.host_integers(i).map(Some) } else { self.integers_of(name) }
    }

    /// A constant in the graph.
    pub fn literal(&self, array: &Array) -> Tensor<'b> {
        literal(self.builder(), array)
    }

    fn fault(&self, name: &str, expected: &str) -> String {
        format!("attribute `{name}` should be {expected}")
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Int(value)) => Ok(Some(*value)),
            Some(_) => Err(self.fault(name, "an integer")),
        }
    }

    pub fn integer_or(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.integer(name)?.unwrap_or(default))
    }

    /// A whole number that is not negative.
    pub fn count_or(&self, name: &str, default: usize) -> Result<usize, String> {
        match self.integer(name)? {
            None => Ok(default),
            Some(value) => usize::try_from(value).map_err(|_| self.fault(name, "not negative")),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(self.integer_or(name, 0)? != 0)
    }

    pub fn float(&self, name: &str) -> Result<Option<f64>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Float(value)) => Ok(Some(*value)),
            Some(Attribute::Int(value)) => Ok(Some(*value as f64)),
            Some(_) => Err(self.fault(name, "a number")),
        }
    }

    pub fn float_or(&self, name: &str, default: f64) -> Result<f64, String> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Text(value)) => Ok(Some(value)),
            Some(_) => Err(self.fault(name, "a text")),
        }
    }

    pub fn text_or(&self, name: &str, default: &'static str) -> Result<&str, String> {
        Ok(self.text(name)?.unwrap_or(default))
    }

    pub fn texts(&self, name: &str) -> Result<Option<&[String]>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Texts(values)) => Ok(Some(values)),
            Some(Attribute::Ints(values)) if values.is_empty() => Ok(None),
            Some(_) => Err(self.fault(name, "texts")),
        }
    }

    pub fn integers_of(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values.clone())),
            Some(_) => Err(self.fault(name, "integers")),
        }
    }

    /// Whole numbers that are not negative.
    pub fn counts_of(&self, name: &str) -> Result<Option<Vec<usize>>, String> {
        let Some(values) = self.integers_of(name)? else { return Ok(None) };
        let counts: Result<Vec<usize>, _> = values.into_iter().map(usize::try_from).collect();
        counts.map(Some).map_err(|_| self.fault(name, "not negative"))
    }

    pub fn floats_of(&self, name: &str) -> Result<Option<Vec<f64>>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(values)) => Ok(Some(values.clone())),
            Some(Attribute::Ints(values)) if values.is_empty() => Ok(None),
            Some(_) => Err(self.fault(name, "numbers")),
        }
    }

    pub fn stored(&self, name: &str) -> Result<Option<&Stored>, String> {
        match self.node.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(value)) => Ok(Some(value)),
            Some(_) => Err(self.fault(name, "a tensor")),
        }
    }

    pub fn graph(&self, name: &str) -> Result<Arc<Graph>, String> {
        match self.node.attribute(name) {
            Some(Attribute::Graph(graph)) => Ok(graph.clone()),
            _ => Err(self.fault(name, "a graph")),
        }
    }
}
