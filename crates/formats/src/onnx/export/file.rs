//! The file under construction: nodes, initialisers and names.

use super::extent::{Extent, product};
use crate::FormatError;
use crate::npy::write_little_endian;
use crate::onnx::proto::attribute_proto::AttributeType;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::proto::type_proto::{Tensor, Value};
use crate::onnx::proto::{
    AttributeProto, NodeProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use thalweg_array::{Array, DType};

/// What a file will hold.
///
/// The same operation on the same operands is written once, and so is the same constant.
#[derive(Default)]
pub(super) struct File {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) initializers: Vec<TensorProto>,
    pub(super) value_infos: Vec<ValueInfoProto>,
    names: BTreeSet<String>,
    constants: BTreeMap<Vec<u8>, String>,
    written: BTreeMap<Vec<u8>, Vec<String>>,
    /// Under which part of the model new nodes are named.
    pub(super) scope: String,
    /// The input whose first axis is the batch.
    pub(super) batch_of: String,
}

/// A value of the file: its name, element type and extents.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) dtype: DataType,
    pub(super) extents: Vec<Extent>,
}

/// Element type and extents of a result.
pub(super) type Result_ = (DataType, Vec<Extent>);

/// What an initialiser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is trained.
    Parameter,
    /// What a model updates but does not train.
    Buffer,
    /// A number of the program.
    Constant,
}

/// Where PyTorch's exporter says it, and readers look for it.
const KIND: &str = "pkg.torch.export.graph_signature.InputSpec.kind";

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Parameter => "PARAMETER",
            Kind::Buffer => "BUFFER",
            Kind::Constant => "CONSTANT_TENSOR",
        }
    }
}

/// The element type as ONNX has it.
pub(super) fn data_type(dtype: DType) -> DataType {
    match dtype {
        DType::F32 => DataType::Float,
        DType::F64 => DataType::Double,
        DType::I32 => DataType::Int32,
        DType::I64 => DataType::Int64,
        DType::U32 => DataType::Uint32,
        DType::Bool => DataType::Bool,
    }
}

impl File {
    /// A name that nothing has yet.
    pub(super) fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut n = 0usize;
        while !self.names.insert(name.clone()) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        name
    }

    /// Writes an operation.
    pub(super) fn emit(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        results: &[Result_],
    ) -> Vec<Typed> {
        let mut node = NodeProto {
            op_type: Some(op.to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            attribute: attributes,
            ..NodeProto::default()
        };
        let key = node.encode_to_vec();
        let names = match self.written.get(&key) {
            Some(names) => names.clone(),
            None => {
                let wanted = match self.scope.as_str() {
                    "" => op.to_owned(),
                    scope => format!("{scope}/{op}"),
                };
                let name = self.fresh(&wanted);
                let names: Vec<String> =
                    (0..results.len()).map(|i| self.fresh(&format!("{name}_output_{i}"))).collect();
                node.name = Some(name);
                node.output = names.clone();
                self.nodes.push(node);
                for (name, (dtype, extents)) in names.iter().zip(results) {
                    self.value_infos.push(value_info(name, *dtype, extents));
                }
                self.written.insert(key, names.clone());
                names
            }
        };
        let typed = names.into_iter().zip(results.iter().cloned());
        typed.map(|(name, (dtype, extents))| Typed { name, dtype, extents }).collect()
    }

    /// Writes an operation of one result.
    pub(super) fn one(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        result: Result_,
    ) -> Typed {
        let mut results = self.emit(op, inputs, attributes, &[result]);
        results.swap_remove(0)
    }

    /// An initialiser under a name of its own.
    pub(super) fn initializer(
        &mut self,
        name: &str,
        array: &Array,
        kind: Kind,
    ) -> Result<Typed, FormatError> {
        let name = self.fresh(name);
        let tensor = tensor(&name, array, kind)?;
        self.initializers.push(tensor);
        Ok(typed(name, array))
    }

    /// A literal.
    pub(super) fn constant(&mut self, array: &Array) -> Result<Typed, FormatError> {
        let key = tensor("", array, Kind::Constant)?.encode_to_vec();
        let name = match self.constants.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = self.fresh("constant");
                self.initializers.push(tensor(&name, array, Kind::Constant)?);
                self.constants.insert(key, name.clone());
                name
            }
        };
        Ok(typed(name, array))
    }

    /// A list of whole numbers.
    pub(super) fn integers(&mut self, numbers: &[i64]) -> Result<String, FormatError> {
        Ok(self.constant(&Array::vector(numbers))?.name)
    }

    /// The number of examples, `int64 [1]`.
    pub(super) fn batch(&mut self) -> String {
        let (input, scope) = (self.batch_of.clone(), std::mem::take(&mut self.scope));
        let attributes = vec![int("start", 0), int("end", 1)];
        let result = (DataType::Int64, vec![Extent::Fixed(1)]);
        let batch = self.one("Shape", &[&input], attributes, result);
        self.scope = scope;
        batch.name
    }

    /// Extents as a value, `int64 [n]`.
    pub(super) fn shape(&mut self, extents: &[Extent]) -> Result<String, FormatError> {
        let mut parts = Vec::new();
        let mut numbers: Vec<i64> = Vec::new();
        for &extent in extents {
            match extent {
                Extent::Fixed(extent) => numbers.push(whole(extent)?),
                Extent::Batch(factor) => {
                    if !numbers.is_empty() {
                        parts.push(self.integers(&std::mem::take(&mut numbers))?);
                    }
                    let mut batch = self.batch();
                    if factor != 1 {
                        let factor = self.integers(&[whole(factor)?])?;
                        let result = (DataType::Int64, vec![Extent::Fixed(1)]);
                        batch = self.one("Mul", &[&batch, &factor], Vec::new(), result).name;
                    }
                    parts.push(batch);
                }
            }
        }
        if parts.is_empty() || !numbers.is_empty() {
            parts.push(self.integers(&numbers)?);
        }
        if let [only] = parts.as_slice() {
            return Ok(only.clone());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let result = (DataType::Int64, vec![Extent::Fixed(extents.len())]);
        Ok(self.one("Concat", &parts, vec![int("axis", 0)], result).name)
    }

    /// The same elements under another shape.
    pub(super) fn reshape(
        &mut self,
        value: &Typed,
        extents: &[Extent],
    ) -> Result<Typed, FormatError> {
        if value.extents == extents {
            return Ok(value.clone());
        }
        if extents.contains(&Extent::Fixed(0)) {
            return Err(super::unsupported("an array without elements is given another shape"));
        }
        let result = (value.dtype, extents.to_vec());
        let flat = value.extents.len() > 2
            && extents.len() == 2
            && extents.first() == value.extents.first()
            && value.extents[1..].iter().all(|extent| extent.fixed().is_some());
        if flat {
            return Ok(self.one("Flatten", &[&value.name], vec![int("axis", 1)], result));
        }
        let free = extents.iter().filter(|extent| extent.fixed().is_none()).count();
        let shape = match free {
            0 | 1 => {
                let numbers = extents.iter().map(|extent| extent.fixed().map_or(Ok(-1), whole));
                let numbers: Vec<i64> = numbers.collect::<Result<_, _>>()?;
                self.integers(&numbers)?
            }
            _ => self.shape(extents)?,
        };
        Ok(self.one("Reshape", &[&value.name, &shape], Vec::new(), result))
    }

    /// The axes in another order.
    pub(super) fn transpose(&mut self, value: &Typed, permutation: &[usize]) -> Typed {
        if permutation.iter().copied().eq(0..permutation.len()) {
            return value.clone();
        }
        let extents = permutation.iter().map(|&axis| value.extents[axis]).collect();
        let order = permutation.iter().map(|&axis| axis as i64).collect();
        self.one("Transpose", &[&value.name], vec![ints("perm", order)], (value.dtype, extents))
    }

    /// Another element type.
    pub(super) fn cast(&mut self, value: &Typed, dtype: DataType) -> Typed {
        if value.dtype == dtype {
            return value.clone();
        }
        let to = vec![int("to", i64::from(dtype as i32))];
        self.one("Cast", &[&value.name], to, (dtype, value.extents.clone()))
    }

    /// Axes of extent one before the axes given, counted in the result.
    pub(super) fn unsqueeze(
        &mut self,
        value: &Typed,
        axes: &[usize],
    ) -> Result<Typed, FormatError> {
        if axes.is_empty() {
            return Ok(value.clone());
        }
        let mut extents = value.extents.clone();
        for &axis in axes {
            extents.insert(axis, Extent::Fixed(1));
        }
        let axes = self.integers(&axes.iter().map(|&axis| axis as i64).collect::<Vec<_>>())?;
        let result = (value.dtype, extents);
        Ok(self.one("Unsqueeze", &[&value.name, &axes], Vec::new(), result))
    }

    /// Without the axes given, which have extent one.
    pub(super) fn squeeze(&mut self, value: &Typed, axes: &[usize]) -> Result<Typed, FormatError> {
        if axes.is_empty() {
            return Ok(value.clone());
        }
        let kept = value.extents.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
        let extents = kept.map(|(_, &extent)| extent).collect();
        let axes = self.integers(&axes.iter().map(|&axis| axis as i64).collect::<Vec<_>>())?;
        Ok(self.one("Squeeze", &[&value.name, &axes], Vec::new(), (value.dtype, extents)))
    }

    /// The product of some extents, which is at most a multiple of the batch.
    pub(super) fn merged(&self, extents: &[Extent]) -> Result<Extent, FormatError> {
        product(extents).ok_or_else(|| {
            super::unsupported("an axis runs over the batch twice, which no shape of a file says")
        })
    }
}

fn typed(name: String, array: &Array) -> Typed {
    let extents = array.shape().iter().map(|&extent| Extent::Fixed(extent)).collect();
    Typed { name, dtype: data_type(array.dtype()), extents }
}

/// An extent as ONNX counts.
pub(super) fn whole(extent: usize) -> Result<i64, FormatError> {
    i64::try_from(extent).map_err(|_| super::unsupported(format!("an extent of {extent}")))
}

fn tensor(name: &str, array: &Array, kind: Kind) -> Result<TensorProto, FormatError> {
    let mut bytes = Vec::with_capacity(array.size_in_bytes());
    write_little_endian(&mut bytes, array)?;
    Ok(TensorProto {
        dims: array.shape().iter().map(|&extent| whole(extent)).collect::<Result<_, _>>()?,
        data_type: Some(data_type(array.dtype()) as i32),
        name: Some(name.to_owned()),
        raw_data: Some(bytes.into()),
        metadata_props: vec![StringStringEntryProto {
            key: Some(KIND.to_owned()),
            value: Some(kind.name().to_owned()),
        }],
        ..TensorProto::default()
    })
}

/// Name, element type and extents, the batch by its name.
pub(super) fn value_info(name: &str, dtype: DataType, extents: &[Extent]) -> ValueInfoProto {
    let dim = extents.iter().map(|&extent| Dimension {
        value: match extent {
            Extent::Fixed(extent) => Some(dimension::Value::DimValue(extent as i64)),
            Extent::Batch(1) => Some(dimension::Value::DimParam("batch".to_owned())),
            Extent::Batch(_) => None,
        },
        ..Dimension::default()
    });
    let shape = TensorShapeProto { dim: dim.collect() };
    let tensor = Tensor { elem_type: Some(dtype as i32), shape: Some(shape) };
    let ty = TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(ty), ..ValueInfoProto::default() }
}

/// A whole number as an attribute.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// Whole numbers as an attribute.
pub(super) fn ints(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto { ints: values, ..attribute(name, AttributeType::Ints) }
}

/// A number as an attribute.
pub(super) fn float(name: &str, value: f64) -> AttributeProto {
    AttributeProto { f: Some(value as f32), ..attribute(name, AttributeType::Float) }
}

/// Text as an attribute.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let value = value.as_bytes().to_vec();
    AttributeProto { s: Some(value.into()), ..attribute(name, AttributeType::String) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    let (name, kind) = (Some(name.to_owned()), Some(kind as i32));
    AttributeProto { name, r#type: kind, ..AttributeProto::default() }
}
