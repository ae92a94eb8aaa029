//! `vmap` against one run for each member, bit for bit, on the oracle and on the executor.

mod check;
mod contractions;
mod interface;
mod loops;
mod moving;
mod simple;
