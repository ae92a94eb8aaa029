//! Batching of every operation, once and twice, against the members one by one.

mod check;
mod dense;
mod loops;
mod moving;
