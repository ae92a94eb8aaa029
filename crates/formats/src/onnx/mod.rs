//! Models in ONNX files.

pub mod export;
pub mod proto;
