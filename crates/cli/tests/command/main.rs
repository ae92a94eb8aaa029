//! The `thalweg` command as a user has it: what it prints, what it leaves behind, and that no bit
//! of a result depends on how the run went.

mod broken_command_lines;
mod broken_files;
mod contract;
mod data_files;
mod exports;
mod failing_writers;
mod harness;
mod help;
mod maps;
mod onnx_models;
mod populations;
mod resume;
mod spectra;
mod surface_measures;
mod surfaces;
mod transformers;
mod watching;
mod weights_files;
