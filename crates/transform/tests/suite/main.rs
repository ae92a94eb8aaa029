//! Transforms against the oracle, to order three.

mod batching;
mod derivatives;
mod simplify;
mod transforms;
mod vmap;
