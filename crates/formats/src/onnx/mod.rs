//! Models in ONNX files.
//!
//! [`OnnxModel::read`] decodes a file, checks that its graph can be evaluated in the order in
//! which it stands, and puts local functions in their places. [`OnnxModel::model`] makes a
//! [`Model`] of it: a network that interprets the graph node by node while it is traced, with the
//! shapes of the data at hand. What a node computes from constants and shapes alone is computed
//! at once (`host`), so that no shape ever reaches the engine's graph; float initialisers that
//! feed a computation are parameters (`roles`), under the file's names and in its layout.
//!
//! Images lie channels first in the file and channels last in the engine: a value carries its
//! order (`value`), and it is changed only where an operation needs the other one.

mod attribute;
mod batch;
mod call;
mod ending;
pub mod export;
mod external;
mod graph;
mod host;
mod inline;
mod inspect;
mod names;
mod network;
mod ops;
pub mod proto;
mod rewrite;
mod roles;
mod stored;
mod tracer;
mod value;
mod wire;

pub use ending::Ending;
pub use external::ExternalData;
pub use inspect::{InspectedOp, InspectedParameter, InspectedPort, Inspection};

use crate::error::at;
use crate::{ElementKind, FormatError};
use graph::Source;
use prost::Message;
use prost::bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Tensor};
use thalweg_nn::{Model, Weights};

const FORMAT: &str = "ONNX";

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

fn unsupported(what: impl Into<String>) -> FormatError {
    FormatError::Unsupported { format: FORMAT, what: what.into() }
}

/// The name, the stored type and the elements of a tensor in a file of its own, as ONNX's test
/// data are.
///
/// Halves are given as `f32` and integers below 32 bits as `i32`.
///
/// # Errors
/// Bytes that are no such file; an element type that the engine has no array for.
pub fn read_tensor(bytes: &[u8]) -> Result<(String, ElementKind, Array), FormatError> {
    let proto = proto::TensorProto::decode(bytes).map_err(|error| invalid(error.to_string()))?;
    let name = proto.name().to_owned();
    let stored = stored::Stored::read(&proto, &name, &mut |data| {
        Err(unsupported(format!("tensor `{name}` lies in `{}`", data.location)))
    })?;
    let array = stored.array().map_err(unsupported)?;
    let kind = stored.kind.ok_or_else(|| invalid("a tensor without a type"))?;
    Ok((name, kind, array))
}

/// A model read from an ONNX file.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct OnnxModel {
    source: Arc<Source>,
}

impl std::fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnnxModel")
            .field("producer", &self.source.producer)
            .field("nodes", &self.source.graph.nodes.len())
            .finish_non_exhaustive()
    }
}

impl OnnxModel {
    /// Reads a file's bytes; `external` gives the bytes of tensors that lie in other files.
    ///
    /// # Errors
    /// Bytes that are no such file; a graph with a cycle, an undefined or a twice defined name;
    /// tensors whose bytes do not fill their shape.
    pub fn read(
        bytes: &[u8],
        external: &mut dyn FnMut(&ExternalData) -> Result<Vec<u8>, FormatError>,
    ) -> Result<OnnxModel, FormatError> {
        wire::check(bytes)?;
        let proto = proto::ModelProto::decode(Bytes::copy_from_slice(bytes))
            .map_err(|error| invalid(error.to_string()))?;
        Ok(OnnxModel { source: Arc::new(Source::read(proto, external)?) })
    }

    /// Reads a file, and the files beside it that hold its tensors.
    ///
    /// # Errors
    /// As [`OnnxModel::read`]; tensors in a file outside the folder.
    pub fn load(path: &Path) -> Result<OnnxModel, FormatError> {
        let bytes = std::fs::read(path).map_err(|error| at(path)(error.into()))?;
        OnnxModel::read_beside(&bytes, path)
    }

    /// Reads the bytes of the file at a path, and the files beside it that hold its tensors.
    ///
    /// # Errors
    /// As [`OnnxModel::load`].
    pub fn read_beside(bytes: &[u8], path: &Path) -> Result<OnnxModel, FormatError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        OnnxModel::read(bytes, &mut |data| external::from_folder(folder, data)).map_err(at(path))
    }

    /// The bytes of the tensors that lie in other files, in the order of the file.
    pub fn external_tensors(&self) -> impl Iterator<Item = &[u8]> {
        let stored = self.source.graph.initializers.iter().map(|i| i.stored.bytes().as_ref());
        let graph = self.source.proto.graph.iter().flat_map(|graph| &graph.initializer);
        let is_external = |tensor: &&proto::TensorProto| {
            tensor.data_location() == proto::tensor_proto::DataLocation::External
        };
        graph.zip(stored).filter(move |(tensor, _)| is_external(tensor)).map(|(_, bytes)| bytes)
    }

    /// What is in the file, before anything is traced.
    pub fn inspect(&self) -> Inspection {
        inspect::inspect(&self.source)
    }

    /// The activation that an output ends in.
    pub fn ending(&self, output: &str) -> Option<Ending> {
        ending::of(&self.source.graph, output)
    }

    /// The model for examples of these shapes, one for each input and without the batch axis;
    /// free extents of the file become those of the data. `outputs` names those wanted, outputs of
    /// the file or of its nodes, the first one being what a loss sees; none means all of the file's.
    ///
    /// # Errors
    /// Shapes that are not the file's, an operation that is not supported, an output without a
    /// batch axis, a batch size that the file has fixed in a way that cannot be undone.
    pub fn model(&self, examples: &[Vec<usize>], outputs: &[String]) -> Result<Model, FormatError> {
        network::model(&self.source, examples, outputs)
    }

    /// The file's weights for a model of it.
    ///
    /// # Errors
    /// A parameter that is not in the file.
    pub fn weights(&self, model: &Model, float: DType) -> Result<Weights, FormatError> {
        network::weights(&self.source, model, float)
    }

    /// Traces the graph on named inputs, without any assumption about a batch axis and with the
    /// file's weights as constants.
    ///
    /// # Errors
    /// An input that is missing; an operation that is not supported.
    pub fn trace<'b>(
        &self,
        builder: &'b Builder,
        inputs: &[(String, Tensor<'b>)],
    ) -> Result<Vec<(String, Tensor<'b>)>, FormatError> {
        network::trace(&self.source, builder, inputs, &[])
    }

    /// [`OnnxModel::trace`] with some inputs known, as the axes of a reduction have to be.
    ///
    /// # Errors
    /// As [`OnnxModel::trace`].
    pub fn trace_with<'b>(
        &self,
        builder: &'b Builder,
        inputs: &[(String, Tensor<'b>)],
        known: &[(String, Array)],
    ) -> Result<Vec<(String, Tensor<'b>)>, FormatError> {
        network::trace(&self.source, builder, inputs, known)
    }

    /// The file's bytes with other weights in it and everything else as it was.
    ///
    /// Tensors from other files are written into this one.
    ///
    /// # Errors
    /// Weights that are not in the file or of another shape; a file past 2 GiB, which the format
    /// cannot hold.
    pub fn with_weights(&self, weights: &Weights) -> Result<Vec<u8>, FormatError> {
        rewrite::with_weights(&self.source, weights)
    }
}
