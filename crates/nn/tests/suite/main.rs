//! Architectures and losses against definitions and PyTorch.

mod behaviour;
mod derivatives;
mod losses;
mod normalized_transformers;
mod pytorch;
