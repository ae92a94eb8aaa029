//! What the figures of a surface's topology have in common: a panel for each surface, all on one scale.

use crate::axis::{Scale, number};
use crate::canvas::{Canvas, Figure};
use crate::font;
use crate::frame::{TICK, TITLE};
use crate::landscape::{MOST_PANELS, columns, loss_scale, named_pairs};
use crate::markup::{Rect, path};
use crate::theme::{Stroke, Style, TextStyle};
use thalweg_record::{Surface, SurfaceAttributes, Topology};

const GAP: f64 = 30.0;
/// The height of a panel.
const HEIGHT: f64 = 300.0;
/// The width of one that is alone, and of one of several.
const WIDTHS: [f64; 2] = [400.0, 320.0];

/// A surface of one pair of directions.
pub(crate) struct Panel {
    name: String,
    pub(crate) topology: Topology,
    surface: Surface,
}

/// Every surface whose minima are known, with the scale of all their losses.
pub(crate) struct Panels {
    panels: Vec<Panel>,
    pub(crate) scale: Scale,
}

/// What a sign stands for.
pub(crate) struct Key {
    pub(crate) mark: Mark,
    pub(crate) words: &'static str,
}

/// A sign in a figure of topology.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    /// The lowest minimum.
    Lowest,
    /// Another minimum that is deep enough.
    Minimum,
    /// A loop around a hill that is high enough.
    Loop,
}

impl Panels {
    pub(crate) fn of(surfaces: &[(&str, &Surface)]) -> Option<Panels> {
        let known = surfaces.iter().filter(|(_, surface)| surface.check().is_ok());
        let panel = |(name, surface): (String, Surface)| {
            let topology = surface.topology.clone().filter(|found| !found.minima.is_empty())?;
            Some(Panel { name, topology, surface })
        };
        let panels: Vec<Panel> = known
            .flat_map(|(name, surface)| named_pairs(name, surface))
            .filter_map(panel)
            .take(MOST_PANELS)
            .collect();
        let scale = loss_scale(panels.iter().flat_map(|panel| panel.surface.loss.iter().copied()))?;
        Some(Panels { panels, scale })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter()
    }

    /// The width of a panel.
    pub(crate) fn width(&self) -> f64 {
        WIDTHS[usize::from(self.panels.len() > 1)]
    }

    /// How the surfaces were taken.
    pub(crate) fn attributes(&self) -> Option<&SurfaceAttributes> {
        self.panels.first().map(|panel| &panel.surface.attributes)
    }

    /// What is said of classes that are not shown in full.
    pub(crate) fn shallow(&self) -> String {
        let threshold = self.panels.first().map_or(0.0, |panel| panel.topology.threshold);
        let percent = number(100.0 * threshold);
        let mut minima = self.panels.iter().flat_map(|panel| &panel.topology.minima);
        let noise = match minima.any(|minimum| minimum.standard_error.is_some()) {
            true => ", or within twice their standard error",
            false => "",
        };
        format!("below {percent} % of the level that they end at{noise}")
    }

    /// The panels in rows, under a title, a note and the key of their signs. `room` is what the labels
    /// of axes take, to the left of a row and below it; `draw` is told whether a panel begins its row.
    pub(crate) fn figure(
        &self,
        title: &str,
        note: &str,
        keys: &[Key],
        [left, below]: [f64; 2],
        style: &Style,
        draw: impl Fn(&mut Canvas, Rect, &Panel, bool),
    ) -> Figure {
        let (width, columns) = (self.width(), columns(self.panels.len()));
        let pitch = width + GAP;
        let inner = pitch * (columns - 1) as f64 + width;
        let note_height = font::wrap(note, 10.5, inner).len() as f64 * 10.5 * 1.4;
        let key_top = 34.0 + note_height + 10.0;
        let key_rows = key(&mut Canvas::new(0.0, 0.0, "", style), [left, 0.0], inner, keys);
        let top = key_top + key_rows + 8.0;
        let named = self.panels.iter().any(|panel| !panel.name.is_empty()) && self.panels.len() > 1;
        let heading = if named { 22.0 } else { 0.0 };
        let cell = heading + HEIGHT + below;
        let rows = self.panels.len().div_ceil(columns);
        let mut canvas =
            Canvas::new(left + inner + 16.0, top + rows as f64 * (cell + 8.0) - 8.0, title, style);
        let theme = canvas.theme;
        canvas.text([left, 24.0], title, TextStyle::new(TITLE, theme.ink).bold());
        canvas.paragraph([left, 42.0], inner, note, TextStyle::new(10.5, theme.muted));
        key(&mut canvas, [left, key_top], inner, keys);
        for (index, panel) in self.panels.iter().enumerate() {
            let x = left + pitch * (index % columns) as f64;
            let y = top + (cell + 8.0) * (index / columns) as f64;
            if named {
                let name = font::elide(&panel.name, 12.0, true, width);
                let style = TextStyle::new(12.0, theme.ink).bold().middle();
                canvas.text([x + width / 2.0, y + 12.0], &name, style);
            }
            let at = Rect { x, y: y + heading, w: width, h: HEIGHT };
            draw(&mut canvas, at, panel, index % columns == 0);
        }
        canvas.finish()
    }
}

/// Draws what signs stand for, in rows that break where they must; returns the height used.
fn key(canvas: &mut Canvas, at: [f64; 2], width: f64, keys: &[Key]) -> f64 {
    let [mut x, mut y] = at;
    for one in keys {
        let needed = 14.0 + font::width(one.words, TICK, false) + 18.0;
        if x > at[0] && x + needed > at[0] + width {
            (x, y) = (at[0], y + 16.0);
        }
        mark(canvas, [x + 5.0, y + 4.0], one.mark);
        canvas.text([x + 14.0, y + 8.0], one.words, TextStyle::new(TICK, canvas.theme.ink));
        x += needed;
    }
    if keys.is_empty() { 0.0 } else { y - at[1] + 16.0 }
}

/// Draws a sign: minima as on the map of their surface.
pub(crate) fn mark(canvas: &mut Canvas, [x, y]: [f64; 2], mark: Mark) {
    let rim = Stroke::new("#14171b", 1.0);
    match mark {
        Mark::Lowest => {
            let corners = [[x, y - 5.4], [x + 5.4, y], [x, y + 5.4], [x - 5.4, y]];
            canvas.path(&path(&corners, true), "#ff8a3d", Some(rim), 1.0);
        }
        Mark::Minimum => canvas.circle([x, y], 4.0, "#ffd9bf", Some(rim)),
        Mark::Loop => {
            let corners = [[x, y - 4.8], [x + 4.6, y + 3.4], [x - 4.6, y + 3.4]];
            canvas.path(&path(&corners, true), "#8fd0c0", Some(rim), 1.0);
        }
    }
}
