//! The eigenvalues of a curvature operator.

use crate::axis::{Kind, Scale};
use crate::canvas::{Canvas, Figure};
use crate::chart::{Chart, Series, axis_json, finite};
use crate::colour;
use crate::frame::{Entry, Frame, LABEL, TITLE, legend, legend_height};
use crate::markup::Rect;
use crate::theme::{Stroke, Style, TextStyle};
use serde_json::json;
use thalweg_record::Spectrum;

/// The eigenvalues found, as stems side by side: those at the top of the spectrum to the right,
/// those at the bottom to the left. The scale is logarithmic if all are positive.
pub fn spectrum_figure(spectra: &[(&str, &Spectrum)], style: &Style) -> Option<Figure> {
    let (width, height) = (620.0, 380.0);
    let values = |spectrum: &Spectrum| -> Vec<f64> {
        let bottom = spectrum.bottom.iter().map(|e| e.value);
        bottom.chain(spectrum.top.iter().rev().map(|e| e.value)).collect()
    };
    let all: Vec<f64> = spectra.iter().flat_map(|(_, s)| values(s)).collect();
    let finite_values = || all.iter().copied().filter(|v| v.is_finite());
    let positive = finite_values().all(|v| v > 0.0);
    let y = if positive {
        Scale::log(finite_values())?.padded(0.12)
    } else {
        Scale::linear(finite_values().chain([0.0]))?.padded(0.06)
    };
    let longest = spectra.iter().map(|(_, s)| values(s).len()).max().unwrap_or(0);
    if longest == 0 {
        return None;
    }
    let entries: Vec<Entry> = spectra
        .iter()
        .enumerate()
        .map(|(index, (name, _))| Entry {
            name: (*name).to_owned(),
            colour: colour::series(&style.theme.hues, index, spectra.len()),
            dashed: false,
        })
        .collect();
    let title = match spectra.first().map_or("", |(_, s)| s.operator.as_str()) {
        "hessian" => "Largest eigenvalues of the Hessian".to_owned(),
        "gauss-newton" => "Largest eigenvalues of the Gauss-Newton matrix".to_owned(),
        "fisher" => "Largest eigenvalues of the Fisher matrix".to_owned(),
        _ => "Largest eigenvalues".to_owned(),
    };
    let mut canvas = Canvas::new(width, height, &title, style);
    let theme = canvas.theme;
    let left = Frame::y_axis_width(&y, height - 110.0);
    let inner = width - left - 18.0;
    canvas.text([left, 24.0], &title, TextStyle::new(TITLE, theme.ink).bold());
    let mut top = 38.0;
    if entries.len() > 1 {
        legend(&mut canvas, [left, top + 10.0], inner, &entries);
        top += legend_height(inner, &entries) + 6.0;
    }
    let at = Rect { x: left, y: top, w: inner, h: height - top - 44.0 };
    let x = Scale { kind: Kind::Linear, low: 0.0, high: 1.0 };
    let frame = Frame { at, x, y };
    for tick in frame.y_ticks() {
        let [_, py] = frame.place(0.0, tick.value);
        canvas.line([at.x, py], [at.right(), py], Stroke::new(theme.grid, 1.0));
    }
    let floor = if positive { at.bottom() } else { frame.place(0.0, 0.0)[1] };
    if !positive {
        canvas.line([at.x, floor], [at.right(), floor], Stroke::new(theme.frame, 1.0));
    }
    // The largest of every model stands at the same place, on the right.
    let slot = at.w / longest as f64;
    let spread = (0.6 * slot / spectra.len() as f64).min(14.0);
    for (index, (_, spectrum)) in spectra.iter().enumerate() {
        let list = values(spectrum);
        let shift = (index as f64 - (spectra.len() - 1) as f64 / 2.0) * spread;
        for (rank, value) in list.iter().rev().enumerate() {
            if !value.is_finite() {
                continue;
            }
            let px = at.right() - (rank as f64 + 0.5) * slot + shift;
            let py = frame.place(0.0, *value)[1];
            let colour = &entries[index].colour;
            canvas.line([px, floor], [px, py], Stroke::new(colour, 1.8).opacity(0.75));
            canvas.circle([px, py], 3.2, colour, None);
        }
    }
    frame.border(&mut canvas);
    let name = if positive { "eigenvalue, log scale" } else { "eigenvalue" };
    frame.y_axis(&mut canvas, name);
    let step = (longest as f64 / 12.0).ceil().max(1.0) as usize;
    for rank in (0..longest).step_by(step) {
        let px = at.right() - (rank as f64 + 0.5) * slot;
        let style = TextStyle::new(10.5, theme.muted).middle();
        canvas.text([px, at.bottom() + 16.0], &(rank + 1).to_string(), style);
    }
    let style = TextStyle::new(LABEL, theme.ink).middle();
    canvas.text([at.x + at.w / 2.0, at.bottom() + 34.0], "rank, largest on the right", style);
    canvas.hover(|| {
        json!({
            "kind": "stems",
            "frame": [at.x, at.y, at.w, at.h],
            "slot": slot,
            "y": axis_json(&frame.y, "eigenvalue"),
            "series": spectra.iter().enumerate().map(|(index, (name, s))| {
                let mut list = values(s);
                list.reverse();
                json!({"name": name, "colour": entries[index].colour, "y": finite(&list)})
            }).collect::<Vec<_>>(),
        })
    });
    Some(canvas.finish())
}

/// The density of eigenvalues, on a log scale; None where none was estimated.
pub fn density_figure(spectra: &[(&str, &Spectrum)], style: &Style) -> Option<Figure> {
    let with: Vec<_> =
        spectra.iter().filter_map(|(name, s)| s.density.as_ref().map(|d| (*name, d))).collect();
    // Between its peaks a density falls to nothing, and would take the whole scale with it.
    const DEPTH: f64 = 1e-9;
    let peak = with.iter().flat_map(|(_, d)| d.values.iter().copied()).fold(0.0, f64::max);
    let shown = |value: f64| if value >= DEPTH * peak { value } else { f64::NAN };
    let series = with
        .iter()
        .enumerate()
        .map(|(index, (name, density))| Series {
            name: (*name).to_owned(),
            colour: colour::series(&style.theme.hues, index, with.len()),
            x: density.centres.clone(),
            y: density.values.iter().map(|&value| shown(value)).collect(),
            error: Some(density.standard_errors.clone()),
            dashed: false,
            listed: true,
            dots: false,
        })
        .collect();
    Chart {
        title: "Density of eigenvalues",
        x_label: "eigenvalue",
        y_label: "density, log scale",
        x_kind: Kind::Linear,
        y_kind: Kind::Log,
        note: "stochastic Lanczos quadrature; not shown below 10⁻⁹ of the peak; band: one standard \
               error over probes",
        series,
        width: 620.0,
        height: 380.0,
    }
    .draw(style)
}
