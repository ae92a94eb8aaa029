//! Readers and writers on files as others write them.

mod data_files;
mod foreign;
mod load;
mod onnx;
mod onnx_export;
mod onnx_frameworks;
mod torch;
