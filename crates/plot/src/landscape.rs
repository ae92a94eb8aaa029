//! Surfaces side by side on one shared scale: the picture that a landscape is known by.

use crate::axis::{Scale, number};
use crate::canvas::{Canvas, Figure};
use crate::chart::axis_json;
use crate::frame::{Frame, TITLE};
use crate::markup::Rect;
use crate::relief::{self, Sides};
use crate::theme::{Style, TextStyle};
use crate::{font, map};
use serde_json::json;
use thalweg_record::{NOT_COMPUTED, Surface, SurfaceAttributes};

/// The side of a map, and the width of a panel.
const SIDE: f64 = 330.0;
const GAP: f64 = 34.0;

/// Surfaces as shaded reliefs above, and as contour maps below, all on one log scale. None if no
/// surface has a plane with a finite loss.
pub fn landscape_figure(
    title: &str,
    surfaces: &[(&str, &Surface)],
    style: &Style,
) -> Option<Figure> {
    figure(title, surfaces, style, true, true)
}

/// Surfaces as contour maps on one log scale, with trajectory and lowest point.
pub fn map_figure(title: &str, surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    figure(title, surfaces, style, false, true)
}

/// Surfaces as shaded reliefs on one log scale.
pub fn relief_figure(title: &str, surfaces: &[(&str, &Surface)], style: &Style) -> Option<Figure> {
    figure(title, surfaces, style, true, false)
}

fn figure(
    title: &str,
    surfaces: &[(&str, &Surface)],
    style: &Style,
    reliefs: bool,
    maps: bool,
) -> Option<Figure> {
    let planes: Vec<(usize, &str, &Surface)> = surfaces
        .iter()
        .enumerate()
        .filter(|(_, (_, s))| {
            s.x.len() > 1 && s.y.len() > 1 && s.pairs != Some(0) && s.check().is_ok()
        })
        .map(|(index, (name, s))| (index, *name, *s))
        .collect();
    let shown = |surface: &Surface| {
        let drawn = surface.x.len() * surface.y.len();
        surface.loss[..drawn].to_vec()
    };
    let losses = || planes.iter().flat_map(|(_, _, s)| shown(s));
    let scale = Scale::log(losses()).or_else(|| Scale::linear(losses()))?;
    let attributes = &planes.first()?.2.attributes;
    let frames: Vec<(Scale, Scale)> = planes
        .iter()
        .filter_map(|(_, _, s)| {
            Some((Scale::linear(s.x.iter().copied())?, Scale::linear(s.y.iter().copied())?))
        })
        .collect();
    // Ticks beside the first panel speak for all if all have the same range.
    let same = frames.iter().all(|f| *f == frames[0]);
    let tick_width = |index: usize| {
        if index == 0 || !same { Frame::y_axis_width(&frames[index].1, SIDE) } else { 0.0 }
    };
    let left = tick_width(0) + 6.0;
    let lefts: Vec<f64> = (0..planes.len())
        .scan(left, |x, index| {
            if index > 0 {
                *x += SIDE + GAP + tick_width(index);
            }
            Some(*x)
        })
        .collect();
    let right = lefts.last()? + SIDE;
    let width = right + 26.0 + map::colour_bar_width(&scale) + 6.0;
    let kind = match scale.kind {
        crate::axis::Kind::Log => "log scale",
        crate::axis::Kind::Linear => "linear scale, no loss is positive",
    };
    let loss_name =
        if attributes.loss_name.is_empty() { "loss" } else { attributes.loss_name.as_str() };
    let bar_label = format!("{loss_name}, {kind}");
    let mut note = note(&planes, attributes, maps);
    let stride = planes.iter().map(|(_, _, s)| relief::stride(s)).max().unwrap_or(1);
    if reliefs && stride > 1 {
        note.push_str(&format!(" · relief drawn at one point in {stride} each way"));
    }
    let note_lines = font::wrap(&note, 11.0, width - left - 20.0).len() as f64;
    let top = 36.0 + note_lines * 11.0 * 1.4 + 8.0;
    let relief_height = if reliefs { 350.0 } else { 0.0 };
    let map_top = top + 20.0 + relief_height;
    let below = if maps { SIDE + 50.0 } else { 14.0 };
    let mut canvas = Canvas::new(width, map_top + below, title, style);
    let theme = canvas.theme;
    canvas.text([left, 25.0], title, TextStyle::new(TITLE, theme.ink).bold());
    canvas.paragraph([left, 44.0], width - left - 20.0, &note, TextStyle::new(11.0, theme.muted));
    let labels = axis_labels(attributes);
    for (panel, (index, name, surface)) in planes.iter().enumerate() {
        let x = lefts[panel];
        let heading = TextStyle::new(12.5, theme.ink).bold().middle();
        canvas.text([x + SIDE / 2.0, top + 10.0], name, heading);
        let (sx, sy) = frames[panel];
        if reliefs {
            let at = Rect { x: x - 12.0, y: top + 20.0, w: SIDE + 26.0, h: relief_height - 12.0 };
            let sides = Sides { x: sx, y: sy, loss: scale };
            relief::draw(&mut canvas, at, surface, &sides, ["x", "y"], true);
        }
        if maps {
            let at = Rect { x, y: map_top, w: SIDE, h: SIDE };
            let frame = Frame { at, x: sx, y: sy };
            map::draw(&mut canvas, &frame, surface, &scale);
            frame.x_axis(&mut canvas, &labels[0]);
            if panel == 0 || !same {
                frame.y_axis(&mut canvas, &labels[1]);
            }
            canvas.hover(|| {
                json!({
                    "kind": "map",
                    "frame": [at.x, at.y, at.w, at.h],
                    "model": index,
                    "x": axis_json(&sx, "x"),
                    "y": axis_json(&sy, "y"),
                })
            });
        }
    }
    let bar = if maps {
        Rect { x: right + 26.0, y: map_top, w: 14.0, h: SIDE }
    } else {
        Rect { x: right + 26.0, y: top + 30.0, w: 14.0, h: relief_height - 50.0 }
    };
    map::colour_bar(&mut canvas, bar, &scale, &bar_label);
    Some(canvas.finish())
}

/// The labels of both axes: what a unit along them means.
fn axis_labels(attributes: &SurfaceAttributes) -> [String; 2] {
    let unit = match attributes.normalize.as_str() {
        "filter" => " (in norms of each filter)",
        "layer" => " (in norms of each layer)",
        _ => "",
    };
    let share = |index: usize| {
        attributes
            .explained_variance
            .get(index)
            .map(|part| format!(" ({} % of variance)", number((part * 1000.0).round() / 10.0)))
    };
    let word = match attributes.directions.as_str() {
        "pca" => "principal direction",
        "eigenvectors" => "Hessian eigenvector",
        "random" => "random direction",
        _ => "direction",
    };
    let label = |index: usize, name: &str| {
        format!("{name}: {word}{}", share(index).unwrap_or_else(|| unit.to_owned()))
    };
    [label(0, "x"), label(1, "y")]
}

/// In a line or two: how the surfaces were taken, and what their signs mean.
fn note(planes: &[(usize, &str, &Surface)], attributes: &SurfaceAttributes, maps: bool) -> String {
    let mut parts = Vec::new();
    let directions = match (attributes.directions.as_str(), attributes.normalize.as_str()) {
        ("random", "filter") => "random directions, filter-normalised".to_owned(),
        ("random", "layer") => "random directions, layer-normalised".to_owned(),
        ("random", _) => "random directions, not normalised".to_owned(),
        ("pca", _) => "principal directions of the training trajectory".to_owned(),
        ("eigenvectors", _) => "top Hessian eigenvectors".to_owned(),
        ("checkpoints", _) => "directions between checkpoints".to_owned(),
        ("", _) => String::new(),
        (other, _) => format!("directions: {other}"),
    };
    parts.push(directions);
    if !attributes.ignore.is_empty() {
        parts.push(format!("{} held at the centre", attributes.ignore.join(" and ")));
    }
    if attributes.samples > 0 {
        let of = if attributes.available > attributes.samples {
            format!(" of {}", attributes.available)
        } else {
            String::new()
        };
        parts.push(format!("{}{of} {} examples", attributes.samples, attributes.split));
    }
    if !attributes.batch_norm.is_empty() {
        parts.push(format!("{} batch-norm statistics", attributes.batch_norm));
    }
    if let Some(pairs) = planes.iter().filter_map(|(_, _, s)| s.pairs).max()
        && pairs > 1
    {
        parts.push(format!("first of {pairs} pairs of directions"));
    }
    if planes.len() > 1 {
        parts.push("one scale for all".into());
    }
    let not_finite: usize = planes.iter().map(|(_, _, s)| s.not_finite()).sum();
    if not_finite > 0 {
        let sign = if maps { "hatched" } else { "open" };
        parts.push(format!("{sign}: {not_finite} points not finite"));
    }
    let missing = |s: &Surface| s.status.iter().filter(|&&status| status == NOT_COMPUTED).count();
    let missing: usize = planes.iter().map(|(_, _, s)| missing(s)).sum();
    if missing > 0 {
        let sign = if maps { "blank" } else { "open" };
        parts.push(format!("{sign}: {missing} points not computed"));
    }
    if planes.iter().any(|(_, _, s)| s.loss.iter().any(|&loss| loss <= 0.0)) {
        parts.push("losses at or below zero are drawn at the lowest colour".into());
    }
    parts.retain(|part| !part.is_empty());
    let mut text = parts.join(" · ");
    if let Some(first) = text.chars().next() {
        text.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
    }
    text
}
