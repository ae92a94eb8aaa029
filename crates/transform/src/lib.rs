//! Transformations of graphs.
