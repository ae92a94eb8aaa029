//! Figures for notebooks.

use crate::failure::Failure;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use thalweg_plot::{Style, density_figure, map_figure};
use thalweg_record::{
    COMPUTED, Density, Eigenvalue, NOT_FINITE, PlaneShare, Spectrum, Surface, SurfaceAttributes,
    Trajectory,
};

/// Identifiers in a page must differ.
fn style() -> Style {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let number = DRAWN.fetch_add(1, Ordering::Relaxed);
    Style::page(format!("thalweg-{}-{number}", std::process::id()))
}

/// Contour maps of a surface, as SVG.
#[pyfunction]
pub fn surface_svg(
    x: Vec<f64>,
    y: Vec<f64>,
    loss: Vec<f64>,
    pairs: Option<usize>,
    loss_name: String,
    trajectory: Option<(Vec<f64>, Vec<f64>, Vec<f64>)>,
) -> PyResult<Option<String>> {
    let attributes = SurfaceAttributes { loss_name, ..SurfaceAttributes::default() };
    let mut surface = Surface::new(x, y, pairs, attributes).map_err(Failure::from)?;
    surface.status =
        loss.iter().map(|v| if v.is_finite() { COMPUTED } else { NOT_FINITE }).collect();
    surface.loss = loss;
    surface.trajectory =
        trajectory.map(|(x, y, residual)| Trajectory { x, y, residual, gradients: None });
    surface.attributes.plane_shares =
        surface.trajectory.as_ref().and_then(PlaneShare::of_trajectory).into_iter().collect();
    surface.check().map_err(Failure::from)?;
    Ok(map_figure("", &[("", &surface)], &style()).map(|figure| figure.svg().to_owned()))
}

/// A density of eigenvalues, as SVG.
#[pyfunction]
pub fn density_svg(
    top: Vec<f64>,
    bottom: Vec<f64>,
    centres: Vec<f64>,
    values: Vec<f64>,
    standard_errors: Vec<f64>,
    dimension: u64,
) -> Option<String> {
    let pairs = |values: Vec<f64>| {
        let eigenvalue = |value| Eigenvalue { value, residual: 0.0, sampling_error: None };
        values.into_iter().map(eigenvalue).collect()
    };
    let spectrum = Spectrum {
        operator: "hessian".into(),
        scope: "whole".into(),
        dimension,
        top: pairs(top),
        bottom: pairs(bottom),
        density: Some(Density { centres, values, standard_errors }),
        ..Spectrum::default()
    };
    density_figure(&[("", &spectrum)], &style()).map(|figure| figure.svg().to_owned())
}
