//! Whatever the bytes, the readers neither panic nor ask for much more memory than the file could
//! hold: valid files, cut at every length and with bytes changed by a seeded mutator.

mod arrays;
mod corpus;
mod data;
mod memory;
mod mutation;
mod onnx;
mod onnx_messages;
mod targets;
mod torch;
