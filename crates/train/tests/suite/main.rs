//! Training: optimizers against PyTorch, populations, metagradients, resumption.

mod common;
mod conformance;
mod inputs;
mod learning;
mod metagradient;
mod optimizers;
mod population;
mod sequences;
mod stored;
