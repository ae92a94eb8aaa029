//! Data sets, splits, batches, augmentation and named random streams.
//!
//! A [`Dataset`] is a validated value: once it exists, its inputs are finite, its labels lie in
//! range and its counts agree. A [`Split`] cuts it into [`Train`], [`Validation`] and [`Test`],
//! three types, so that what selects or tunes ([`Selectable`]) cannot be handed test examples.
//! Every draw comes from a [`Stream`]: a pure function of seed, name and index.
//!
//! Reading files belongs to `thalweg-formats`; nothing here opens one.

mod augment;
mod batch;
mod block_mdp;
mod catalogue;
mod checks;
mod corrupt;
mod dataset;
mod digits;
mod error;
mod fingerprint;
mod gaussian_clusters;
mod inputs;
mod label_noise;
mod normalization;
mod random;
mod relabel;
mod resample;
mod rows;
mod sequences;
mod split;
mod subset;

pub use augment::Augmentation;
pub use batch::{Batches, LastBatch};
pub use block_mdp::{BlockMdp, BlockReward};
pub use catalogue::{CatalogueEntry, CatalogueFile, catalogue, find};
pub use checks::{check_classes, check_indices};
pub use corrupt::Corruption;
pub use dataset::{Dataset, Provenance, Targets};
pub use digits::digits;
pub use error::DataError;
pub use fingerprint::Sha256;
pub use gaussian_clusters::GaussianClusters;
pub use inputs::{InputSource, Inputs, StoredInputs};
pub use normalization::Normalization;
pub use random::{Stream, threefry2x32};
pub use relabel::Relabel;
pub use resample::{Imbalance, stratified_counts};
pub use rows::Rows;
pub use split::{Selectable, Split, SplitConfig, Test, Train, Validation};
pub use subset::Subset;
