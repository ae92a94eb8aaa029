//! The replies of `thalweg export` and `thalweg completions`.

use serde::Serialize;

/// The keys of `export`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportBody {
    /// The paths of the files that were written.
    pub files: Vec<String>,
    /// `csv`, `npz`, `onnx` or `safetensors`.
    pub format: String,
    /// One entry a model; absent for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<ExportedModel>>,
}

/// A model in the reply of `export`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExportedModel {
    /// What it is called.
    pub name: String,
    /// The path of its file.
    pub file: String,
    /// The number of its trainable elements.
    pub parameters: u64,
    /// The architecture with every option; absent if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// The keys of `completions`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompletionsBody {
    /// The shell.
    pub shell: String,
    /// The script.
    pub script: String,
}
