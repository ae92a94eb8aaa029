//! Graphs as they are built, and refusals where they cannot be.

mod building;
mod misuse;
mod shapes;
