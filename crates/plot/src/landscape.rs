//! Surfaces side by side on one shared scale: the picture that a landscape is known by.

use crate::axis::{Kind, Scale};
use crate::canvas::{Canvas, Figure};
use crate::chart::axis_json;
use crate::frame::{Frame, TITLE};
use crate::landscape_words::{axis_labels, held_words, note};
use crate::markup::Rect;
use crate::relief::{self, Sides};
use crate::theme::{Style, TextStyle};
use crate::{font, map};
use serde_json::json;
use thalweg_record::{
    PlaneShare, Surface, SurfaceAttributes, SurfaceLoop, SurfaceMinimum, Topology,
};

const GAP: f64 = 34.0;
/// More panels than this would each be too small to read.
pub(crate) const MOST_PANELS: usize = 12;

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

/// One plane of a surface, and where its values are found.
pub(crate) struct Panel {
    pub(crate) model: usize,
    pub(crate) pair: usize,
    pub(crate) name: String,
    pub(crate) surface: Surface,
    x: Scale,
    y: Scale,
}

/// The planes of a surface, one for each pair of directions.
pub(crate) fn pairs(surface: &Surface) -> Vec<Surface> {
    let points = surface.x.len() * surface.y.len();
    let part = |values: &Vec<f64>, pair: usize| {
        values.get(pair * points..(pair + 1) * points).map(<[f64]>::to_vec)
    };
    (0..surface.pairs.unwrap_or(1))
        .filter_map(|pair| {
            Some(Surface {
                pairs: None,
                loss: part(&surface.loss, pair)?,
                status: surface.status.get(pair * points..(pair + 1) * points)?.to_vec(),
                accuracy: surface.accuracy.as_ref().and_then(|values| part(values, pair)),
                loss_standard_error: surface
                    .loss_standard_error
                    .as_ref()
                    .and_then(|values| part(values, pair)),
                parabolas: match pair {
                    0 => surface.parabolas.clone(),
                    _ => Vec::new(),
                },
                derivatives: None,
                topology: surface.topology.as_ref().map(|whole| topology(whole, pair)),
                attributes: SurfaceAttributes {
                    plane_shares: shares(surface, pair),
                    ..surface.attributes.clone()
                },
                ..surface.clone()
            })
        })
        .collect()
}

/// The planes of a surface, each under its own name where there are several.
pub(crate) fn named_pairs(name: &str, surface: &Surface) -> Vec<(String, Surface)> {
    let several = surface.pairs.is_some_and(|n| n > 1);
    let named = |pair: usize| match (several, name.is_empty()) {
        (false, _) => name.to_owned(),
        (true, true) => format!("pair {}", pair + 1),
        (true, false) => format!("{name}, pair {}", pair + 1),
    };
    pairs(surface).into_iter().enumerate().map(|(pair, one)| (named(pair), one)).collect()
}

/// What the plane of one pair holds.
fn shares(surface: &Surface, pair: usize) -> Vec<PlaneShare> {
    let own = |share: &&PlaneShare| share.pair.is_none_or(|of| of as usize == pair);
    let shares = surface.attributes.plane_shares.iter().filter(own);
    shares.map(|share| PlaneShare { pair: None, ..share.clone() }).collect()
}

/// The minima and loops of one pair; parents are named by their places in it.
fn topology(whole: &Topology, pair: usize) -> Topology {
    let first = whole.minima.iter().take_while(|m| (m.pair as usize) < pair).count() as u32;
    let own = whole.minima.iter().filter(|m| m.pair as usize == pair);
    Topology {
        minima: own
            .map(|m| SurfaceMinimum {
                pair: 0,
                parent: m.parent.and_then(|parent| parent.checked_sub(first)),
                ..*m
            })
            .collect(),
        loops: whole
            .loops
            .iter()
            .filter(|found| found.pair as usize == pair)
            .map(|found| SurfaceLoop { pair: 0, ..*found })
            .collect(),
        threshold: whole.threshold,
        total_variation: whole.total_variation.get(pair).copied().into_iter().collect(),
    }
}

/// Every plane that can be drawn.
fn panels(surfaces: &[(&str, &Surface)]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (model, (name, surface)) in surfaces.iter().enumerate() {
        if surface.x.len() < 2 || surface.y.len() < 2 || surface.check().is_err() {
            continue;
        }
        let scales = (Scale::linear(surface.x.clone()), Scale::linear(surface.y.clone()));
        let (Some(x), Some(y)) = scales else { continue };
        for (pair, (name, one)) in named_pairs(name, surface).into_iter().enumerate() {
            panels.push(Panel { model, pair, name, surface: one, x, y });
        }
    }
    panels
}

/// How many panels stand in a row.
pub(crate) fn columns(panels: usize) -> usize {
    match panels {
        4 => 2,
        n => n.min(3),
    }
}

fn figure(
    title: &str,
    surfaces: &[(&str, &Surface)],
    style: &Style,
    reliefs: bool,
    maps: bool,
) -> Option<Figure> {
    let mut panels = panels(surfaces);
    let all = panels.len();
    panels.truncate(MOST_PANELS);
    let losses = panels.iter().flat_map(|p| p.surface.loss.iter().copied());
    let scale = loss_scale(losses)?;
    let attributes = &panels.first()?.surface.attributes;
    let columns = columns(panels.len());
    let side = if panels.len() == 1 { 430.0 } else { 330.0 };
    // Ticks beside the first panel of a row speak for all if all have the same range.
    let same = panels.iter().all(|p| (p.x, p.y) == (panels[0].x, panels[0].y));
    let widest = panels.iter().map(|p| Frame::y_axis_width(&p.y, side)).fold(0.0, f64::max);
    let ticks = if maps { widest } else { 30.0 };
    let left = ticks + 6.0;
    let pitch = side + GAP + if same || !maps { 0.0 } else { ticks };
    let right = left + pitch * (columns - 1) as f64 + side;
    let width = right + 26.0 + map::colour_bar_width(&scale) + 6.0;
    let bar_label = loss_label(attributes, &scale);
    let mut note = note(&panels, maps);
    if all > panels.len() {
        note.push_str(&format!(" · the first {} of {all} surfaces", panels.len()));
    }
    let stride = panels.iter().map(|p| relief::stride(&p.surface)).max().unwrap_or(1);
    if reliefs && stride > 1 {
        note.push_str(&format!(" · relief drawn at one point in {stride} each way"));
    }
    let text_width = width - left - 20.0;
    let note_lines = font::wrap(&note, 11.0, text_width).len() as f64;
    let top = 36.0 + note_lines * 11.0 * 1.4 + 8.0;
    let relief_height = if reliefs { side * 0.97 } else { 0.0 };
    // Of one plane the note says what it holds; each of several says it under its name.
    let held =
        panels.len() > 1 && panels.iter().any(|p| !p.surface.attributes.plane_shares.is_empty());
    let heading_height = if held { 34.0 } else { 20.0 };
    let cell = heading_height + relief_height + if maps { side + 50.0 } else { 14.0 };
    let rows = panels.len().div_ceil(columns);
    let mut canvas = Canvas::new(width, top + rows as f64 * (cell + 8.0) - 8.0, title, style);
    let theme = canvas.theme;
    let shown_title = font::elide(title, TITLE, true, width - left);
    canvas.text([left, 25.0], &shown_title, TextStyle::new(TITLE, theme.ink).bold());
    canvas.paragraph([left, 44.0], text_width, &note, TextStyle::new(11.0, theme.muted));
    let labels = axis_labels(attributes);
    for (index, panel) in panels.iter().enumerate() {
        let x = left + pitch * (index % columns) as f64;
        let y = top + (cell + 8.0) * (index / columns) as f64;
        let heading = TextStyle::new(13.0, theme.ink).bold().middle();
        canvas.text(
            [x + side / 2.0, y + 10.0],
            &font::elide(&panel.name, 13.0, true, side),
            heading,
        );
        if held {
            let style = TextStyle::new(10.5, theme.muted).middle();
            let words = held_words(&panel.surface.attributes);
            canvas.text([x + side / 2.0, y + 25.0], &font::elide(&words, 10.5, false, side), style);
        }
        if reliefs {
            let y = y + heading_height - 2.0;
            let at = Rect { x: x - 14.0, y, w: side + 28.0, h: relief_height - 8.0 };
            let sides = Sides { x: panel.x, y: panel.y, loss: scale };
            relief::draw(&mut canvas, at, &panel.surface, &sides);
        }
        if maps {
            let at = Rect { x, y: y + heading_height + relief_height, w: side, h: side };
            let frame = Frame { at, x: panel.x, y: panel.y };
            map::draw(&mut canvas, &frame, &panel.surface, &scale);
            frame.x_axis(&mut canvas, &labels[0]);
            if index % columns == 0 || !same {
                frame.y_axis(&mut canvas, &labels[1]);
            }
            canvas.hover(|| {
                json!({
                    "kind": "map",
                    "frame": [at.x, at.y, at.w, at.h],
                    "model": panel.model,
                    "pair": panel.pair,
                    "x": axis_json(&panel.x, "x"),
                    "y": axis_json(&panel.y, "y"),
                })
            });
        }
    }
    let bar = if maps {
        Rect { x: right + 26.0, y: top + heading_height + relief_height, w: 14.0, h: side }
    } else {
        Rect { x: right + 26.0, y: top + heading_height + 14.0, w: 14.0, h: relief_height - 60.0 }
    };
    map::colour_bar(&mut canvas, bar, &scale, &bar_label);
    Some(canvas.finish())
}

/// The scale on which losses are drawn: logarithmic where any is positive. None without a finite one.
pub(crate) fn loss_scale(losses: impl Iterator<Item = f64> + Clone) -> Option<Scale> {
    Scale::log(losses.clone()).or_else(|| Scale::linear(losses))
}

/// The label of that scale.
pub(crate) fn loss_label(attributes: &SurfaceAttributes, scale: &Scale) -> String {
    let name = if attributes.loss_name.is_empty() { "loss" } else { &attributes.loss_name };
    match scale.kind {
        Kind::Log => format!("{name}, log scale"),
        Kind::Linear => format!("{name}, linear: none is positive"),
    }
}
