//! Methods against exact answers, planted ones and peers.

mod adaptive_surface;
mod bars;
mod class_losses;
mod common;
mod curvature;
mod curvature_terms;
mod descent;
mod edge_of_stability;
mod estimators;
mod gradients;
mod instrument_table;
mod operators;
mod peers;
mod planted_spectra;
mod sharpness;
mod stored;
mod surface;
mod surface_geometry;
