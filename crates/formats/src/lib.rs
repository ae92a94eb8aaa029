//! Readers and writers of foreign files.
//!
//! Readers take bytes and writers take an [`std::io::Write`]; a file system is touched only to
//! read, by [`dataset`] and for tensors that lie beside a file of [`onnx`]. Nothing in a file is believed: a claimed size is compared with the bytes
//! that are there before memory is asked for, and compressed data are inflated no further than the
//! claim.

mod archive;
pub mod dataset;
mod element;
mod error;
pub mod idx;
mod inflate;
mod npy;
pub mod npz;
pub mod onnx;
mod quiet;
pub mod routers;
pub mod safetensors;
pub mod sharded;
pub mod torch;
mod weights;

pub use element::{ElementKind, RawArray};
pub use error::FormatError;
pub use weights::WeightsFormat;
