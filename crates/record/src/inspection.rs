//! What a model is, before anything runs.

use serde::Serialize;

/// The keys of `inspect`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// The file, or the run directory.
    pub path: String,
    /// The extension of its file.
    pub format: String,
    /// What wrote it, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<String>,
    /// The version of the operator set, of an ONNX file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opset: Option<i64>,
    /// The architecture with every option, if it is one of Thalweg's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// What the model takes.
    pub inputs: Vec<InspectedPort>,
    /// What it gives.
    pub outputs: Vec<InspectedPort>,
    /// Number of trainable elements.
    pub parameter_count: u64,
    /// Floating-point operations of the loss of one example; absent if the graph cannot be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<u64>,
    /// The trainable arrays.
    pub parameters: Vec<InspectedArray>,
    /// Arrays that a model updates but does not train.
    pub buffers: Vec<InspectedArray>,
    /// The operations of a file, by name.
    pub operations: Vec<InspectedOperation>,
    /// What is worth knowing before it is used.
    pub notes: Vec<String>,
}

/// An input or an output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedPort {
    /// Its name.
    pub name: String,
    /// Its extents, the batch first; a text is the name of one that is free.
    pub shape: Vec<Extent>,
    /// Its element type.
    pub element: String,
}

/// An extent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Extent {
    /// It is so.
    Fixed(u64),
    /// It is what the data say.
    Free(String),
}

/// An array of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedArray {
    /// Its name in the file.
    pub name: String,
    /// Its extents in the file.
    pub shape: Vec<u64>,
    /// What it is for: `weight`, `bias`, `norm-scale`, `norm-shift`, `embedding`, `mean`,
    /// `variance`, `counter` or `unknown`.
    pub role: String,
    /// What each axis runs over: `input`, `output`, `spatial` or `other`.
    pub axes: Vec<String>,
}

/// A kind of operation in a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedOperation {
    /// Its name.
    pub name: String,
    /// How often it occurs.
    pub count: u64,
    /// Whether Thalweg can compute it.
    pub supported: bool,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Extent::Fixed(extent) => write!(f, "{extent}"),
            Extent::Free(name) => f.write_str(name),
        }
    }
}
