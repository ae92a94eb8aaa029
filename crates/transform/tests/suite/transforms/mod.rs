//! What the transformations build: text, counts, refusals, and values derived by hand.

mod counts;
mod functions;
mod kinks;
mod refusals;
mod simplified;
mod snapshots;
