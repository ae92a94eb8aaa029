//! A report's page and figures, written into the run directory.

use std::fs;
use std::path::PathBuf;
use thalweg_lab::{LabError, Result, RunDirectory, STUDY};
use thalweg_plot::{
    Figure, Style, basin_figure, class_figure, comparison_figure, convexity_figure, density_figure,
    gradient_figures, landscape_figure, line_figure, map_figure, merge_tree_figure,
    persistence_figure, relief_figure, report_html, residual_figure, spectrum_figure,
    training_figures,
};
use thalweg_record::Report;

/// Writes `report.html` and, in `figures/`, each figure as SVG and PNG; gives the page's path.
///
/// # Errors
/// A directory that cannot be read or written.
pub fn write(run: &RunDirectory, report: &Report) -> Result<PathBuf> {
    for (name, figure) in figures(report) {
        run.write(&format!("figures/{name}.svg"), figure.svg().as_bytes())?;
        let png = figure.png(2.0).map_err(|error| LabError::Input(format!("{name}: {error}")))?;
        run.write(&format!("figures/{name}.png"), &png)?;
    }
    let path = run.join(STUDY);
    let study = fs::read_to_string(&path).map_err(|source| LabError::File { path, source })?;
    run.write("report.html", report_html(report, &study).as_bytes())?;
    Ok(run.join("report.html"))
}

fn figures(report: &Report) -> Vec<(String, Figure)> {
    let style = Style::paper();
    let models = &report.models;
    let surfaces: Vec<_> =
        models.iter().filter_map(|m| Some((m.name.as_str(), m.surface.as_ref()?))).collect();
    let spectra: Vec<_> =
        models.iter().filter_map(|m| Some((m.name.as_str(), m.spectrum.as_ref()?))).collect();
    let [gradient, cosines] =
        gradient_figures(&surfaces, &style).map_or([None, None], |both| both.map(Some));
    let drawn = [
        ("landscape", landscape_figure(&report.title, &surfaces, &style)),
        ("map", map_figure("From above", &surfaces, &style)),
        ("relief", relief_figure(&report.title, &surfaces, &style)),
        ("persistence", persistence_figure(&surfaces, &style)),
        ("merge-tree", merge_tree_figure(&surfaces, &style)),
        ("convexity", convexity_figure(&surfaces, &style)),
        ("classes", class_figure(&surfaces, &style)),
        ("basin", basin_figure(&surfaces, &style)),
        ("residuals", residual_figure(&surfaces, &style)),
        ("lines", line_figure(report, &style)),
        ("comparison", comparison_figure(report, &style)),
        ("gradient", gradient),
        ("gradient-cosines", cosines),
        ("spectrum", spectrum_figure(&spectra, &style)),
        ("density", density_figure(&spectra, &style)),
    ];
    let drawn = drawn.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?)));
    drawn.chain(training_figures(report, |_| Style::paper())).collect()
}
