//! How far a basin reaches, and what becomes of each class.

use crate::axis::Kind;
use crate::canvas::Figure;
use crate::chart::{Chart, Series};
use crate::colour;
use crate::theme::Style;
use thalweg_record::Surface;

/// The share of random rays that have left the basin, over the distance. None without any.
pub fn basin_figure(surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    let known: Vec<_> =
        surfaces.iter().filter_map(|(name, s)| Some((*name, s.basin.as_ref()?))).collect();
    let (_, first) = known.first()?;
    let unit = match first.summary.unit.as_str() {
        "filter" => "in root mean squares of each filter's weights",
        "layer" => "in root mean squares of each array's weights",
        "weight" => "in shares of each weight",
        "dfilter" => "in weights times the root of their filter's size",
        "dlayer" => "in weights times the root of their array's size",
        "sphere" => "in weights times the root of their number",
        _ => "in weight space",
    };
    let mut notes = vec![format!("it ends where the loss has risen by {}", first.summary.rise)];
    let not_left: u64 = known.iter().map(|(_, basin)| basin.summary.not_left).sum();
    if not_left > 0 {
        notes.push(format!("{not_left} rays stay inside as far as they go"));
    }
    let series = known
        .iter()
        .enumerate()
        .map(|(index, (name, basin))| {
            let mut radius = basin.radius.clone();
            radius.sort_unstable_by(f64::total_cmp);
            let n = radius.len() as f64;
            Series {
                name: if name.is_empty() { "rays".to_owned() } else { (*name).to_owned() },
                colour: colour::series(&style.theme.hues, index, known.len()),
                y: (1..=radius.len()).map(|rank| rank as f64 / n).collect(),
                x: radius,
                entry: Some((*name).to_owned()),
                dots: true,
                ..Series::default()
            }
        })
        .collect();
    Chart {
        title: "How far the basin reaches along random rays",
        x_label: &format!("distance from the centre, {unit}"),
        y_label: "share of rays that have left it",
        y_kind: Kind::Linear,
        notes,
        series,
        places: Vec::new(),
        rug: Vec::new(),
    }
    .draw(style)
}

/// The surfaces of the classes of the first surface that has them, on one scale. None without any.
pub fn class_figure(surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    let (whole, classes) =
        surfaces.iter().find_map(|(_, surface)| Some((*surface, surface.classes.as_ref()?)))?;
    let parts: Vec<(String, Surface)> = (classes.classes.iter().enumerate())
        .filter_map(|(place, class)| {
            let mut surface = classes.surface(whole, place)?;
            let name = format!("class {class}, {} examples", surface.attributes.samples);
            // What stands above all of them is said of all of them; a class has a Hessian of its own.
            surface.attributes.samples = whole.attributes.samples;
            surface.attributes.plane_shares.retain(|share| !share.is_of_curvature());
            Some((name, surface))
        })
        .collect();
    let named: Vec<_> = parts.iter().map(|(name, surface)| (name.as_str(), surface)).collect();
    crate::map_figure("The loss of each class", &named, style)
}
