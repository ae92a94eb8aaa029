//! Models as ONNX files.
//!
//! Opset 18 (IR version 8): the first with bit-wise operations and with the axes of every reduction
//! as inputs, and what PyTorch's exporter writes by default, so that every runtime reads it.
//!
//! A model is traced at two sizes of the batch; extents that differ are multiples of the batch and
//! are left free (`extent.rs`). Groups of the engine's operations that are one operation of ONNX are
//! written as that (`recognise.rs`), all others one by one (`print.rs`).

mod element;
mod extent;
mod file;
mod held;
mod index;
mod ports;
mod print;
mod product;
mod recognise;
mod reduction;
mod regroup;
mod structure;
mod window;

use super::proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::FormatError;
use extent::Traced;
use print::{Printed, Printer};
use prost::Message;
use recognise::{Meaning, recognise};
use std::collections::BTreeMap;
use thalweg_array::DType;
use thalweg_data::Normalization;
use thalweg_nn::{Model, Weights};

/// The operator set that files are written in.
pub const OPSET: i64 = 18;
const IR_VERSION: i64 = 8;
/// What a file of Protocol Buffers may have.
const MOST_BYTES: usize = i32::MAX as usize;

/// How a model is written, and what the file says of it.
#[derive(Clone, Debug)]
pub struct ExportInfo {
    /// Version of the program that writes.
    pub producer_version: String,
    /// What the model is called.
    pub name: String,
    /// Text by key, beside what the file says by itself.
    pub metadata: BTreeMap<String, String>,
    /// Where images have their channels.
    pub layout: ImageLayout,
    /// What the model was trained on inputs shifted and divided by. It becomes the first
    /// operations of the file, which then takes raw data.
    pub normalization: Option<Normalization>,
    /// Float type of the file.
    pub float: DType,
    /// Which operations the file has.
    pub operations: Operations,
}

impl Default for ExportInfo {
    fn default() -> ExportInfo {
        ExportInfo {
            producer_version: String::new(),
            name: "model".to_owned(),
            metadata: BTreeMap::new(),
            layout: ImageLayout::default(),
            normalization: None,
            float: DType::F32,
            operations: Operations::default(),
        }
    }
}

/// Where the inputs and outputs of a file that are images have their channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ImageLayout {
    /// `[batch, channels, height, width]`, as PyTorch has them.
    #[default]
    ChannelsFirst,
    /// `[batch, height, width, channels]`, as Thalweg has them.
    ChannelsLast,
}

impl ImageLayout {
    /// The name, as the metadata have it.
    pub fn name(self) -> &'static str {
        match self {
            ImageLayout::ChannelsFirst => "channels first",
            ImageLayout::ChannelsLast => "channels last",
        }
    }
}

/// Which operations a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Operations {
    /// Normalisations, poolings, activations and biases as one operation each.
    #[default]
    Recognised,
    /// Every operation of the engine by itself.
    Elementary,
}

/// The bytes of an ONNX file of a model with its weights; the batch axis is free.
///
/// Parameters and buffers are initialisers under PyTorch's names and in its layout. Indices are
/// `int64` inputs. The metadata say `architecture`, `image_layout` and `normalization`.
///
/// # Errors
/// Operations that ONNX has not, by name; a model that is another function for another number of
/// examples; weights that are not those of the model; more than 2 GiB.
///
/// # Example
/// ```
/// use thalweg_formats::onnx::export::{ExportInfo, write_onnx};
/// use thalweg_nn::{Architecture, Draw};
/// struct Half;
/// impl Draw for Half {
///     fn normal(&mut self, _: &str, n: usize) -> Vec<f64> { vec![0.5; n] }
///     fn uniform(&mut self, _: &str, n: usize) -> Vec<f64> { vec![0.5; n] }
/// }
/// let model = "mlp hidden=16".parse::<Architecture>()?.build(&[4], 3)?;
/// let weights = model.initialize(&mut Half, thalweg_array::DType::F32)?;
/// let bytes = write_onnx(&model, &weights, &ExportInfo::default())?;
/// assert!(bytes.len() > 4 * model.parameter_count());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_onnx(
    model: &Model,
    weights: &Weights,
    info: &ExportInfo,
) -> Result<Vec<u8>, FormatError> {
    let traced = Traced::new(model, info.float)?;
    let meanings = match info.operations {
        Operations::Recognised => recognise(&traced.graph),
        Operations::Elementary => vec![Meaning::Itself; traced.graph.nodes().len()],
    };
    let printed = Printer::new(model, weights, info, &traced)?.print(&meanings)?;
    let file = file_of(printed, model, info);
    let length = file.encoded_len();
    if length > MOST_BYTES {
        let what = format!("a model of {length} bytes, expected at most {MOST_BYTES} in one file");
        return Err(unsupported(what));
    }
    Ok(file.encode_to_vec())
}

fn file_of(printed: Printed, model: &Model, info: &ExportInfo) -> ModelProto {
    let mut metadata = info.metadata.clone();
    if let Some(architecture) = model.architecture() {
        metadata.entry("architecture".to_owned()).or_insert_with(|| architecture.to_string());
    }
    let mut says = Vec::new();
    if printed.images {
        metadata.insert("image_layout".to_owned(), info.layout.name().to_owned());
        says.push(format!("Images have their {}.", info.layout.name()));
    }
    let normalised = printed.normalised;
    metadata
        .insert("normalization".to_owned(), if normalised { "in the file" } else { "none" }.into());
    says.push(match normalised {
        true => "Inputs are raw data: the file begins with their normalisation.".to_owned(),
        false => "Inputs are what the network reads, no normalisation is in the file.".to_owned(),
    });
    let entry = |(key, value)| StringStringEntryProto { key: Some(key), value: Some(value) };
    ModelProto {
        ir_version: Some(IR_VERSION),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(OPSET),
        }],
        producer_name: Some("thalweg".to_owned()),
        producer_version: Some(info.producer_version.clone()),
        doc_string: Some(says.join(" ")),
        graph: Some(GraphProto {
            name: Some(info.name.clone()),
            node: printed.file.nodes,
            initializer: printed.file.initializers,
            value_info: printed.file.value_infos,
            input: printed.inputs,
            output: printed.outputs,
            ..GraphProto::default()
        }),
        metadata_props: metadata.into_iter().map(entry).collect(),
        ..ModelProto::default()
    }
}

/// A part of a model that ONNX has not.
fn unsupported(what: impl Into<String>) -> FormatError {
    FormatError::Unsupported { format: "ONNX", what: what.into() }
}
