//! Derivatives of every operation to order three, against differences of the oracle.

mod check;
mod dense;
mod elementwise;
mod loops;
mod moving;
