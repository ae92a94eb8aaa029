//! A surface seen from the side: shaded facets, drawn from back to front.

use crate::axis::Scale;
use crate::canvas::Canvas;
use crate::colour::{hex, shade, viridis};
use crate::frame::{LABEL, TICK};
use crate::markup::{Rect, path};
use crate::theme::{Anchor, Stroke, TextStyle};
use thalweg_record::Surface;

/// The box: x and y from -1 to 1, z from 0 to this.
const HEIGHT: f64 = 1.35;
/// Where the viewer stands: to the right and in front, above.
const AZIMUTH: f64 = -57.0;
const ELEVATION: f64 = 36.0;
/// How far away, in the units of the box.
const DISTANCE: f64 = 8.0;

/// The scales of the three sides of the box.
pub(crate) struct Sides {
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    pub(crate) loss: Scale,
}

/// A view of the box that fills a rectangle.
struct View {
    scale: f64,
    shift: [f64; 2],
}

fn project([x, y, z]: [f64; 3]) -> ([f64; 2], f64) {
    let (sin, cos) = AZIMUTH.to_radians().sin_cos();
    let (up, level) = ELEVATION.to_radians().sin_cos();
    let z = z - HEIGHT / 2.0;
    let depth = level * (x * cos + y * sin) + z * up;
    let grow = DISTANCE / (DISTANCE - depth);
    let right = -x * sin + y * cos;
    let above = z * level - up * (x * cos + y * sin);
    ([right * grow, -above * grow], depth)
}

impl View {
    fn new(at: Rect) -> Self {
        let corners = (0..8).map(|bits| {
            let side = |bit: u32| f64::from(bits >> bit & 1);
            project([2.0 * side(0) - 1.0, 2.0 * side(1) - 1.0, HEIGHT * side(2)]).0
        });
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for corner in corners {
            for axis in 0..2 {
                low[axis] = low[axis].min(corner[axis]);
                high[axis] = high[axis].max(corner[axis]);
            }
        }
        let scale = (at.w / (high[0] - low[0])).min(at.h / (high[1] - low[1]));
        let shift = [
            at.x + at.w / 2.0 - scale * (low[0] + high[0]) / 2.0,
            at.y + at.h / 2.0 - scale * (low[1] + high[1]) / 2.0,
        ];
        View { scale, shift }
    }

    fn place(&self, point: [f64; 3]) -> [f64; 2] {
        let (screen, _) = project(point);
        std::array::from_fn(|axis| self.shift[axis] + self.scale * screen[axis])
    }
}

/// Draws a surface and its box into a rectangle. Cells with a corner that is not finite are left
/// open.
pub(crate) fn draw(canvas: &mut Canvas, at: Rect, surface: &Surface, sides: &Sides) {
    let view = View::new(Rect { x: at.x + 26.0, y: at.y, w: at.w - 36.0, h: at.h - 24.0 });
    back(canvas, &view, sides);
    facets(canvas, &view, surface, sides);
    axes(canvas, &view, sides);
}

fn side(scale: &Scale, value: f64) -> f64 {
    2.0 * scale.position(value) - 1.0
}

/// The floor and the two walls behind the surface, with the grid of the ticks.
fn back(canvas: &mut Canvas, view: &View, sides: &Sides) {
    let theme = canvas.theme;
    let line = |canvas: &mut Canvas, a: [f64; 3], b: [f64; 3], colour: &str| {
        canvas.line(view.place(a), view.place(b), Stroke::new(colour, 0.8));
    };
    for tick in sides.x.ticks(4) {
        let x = side(&sides.x, tick.value);
        line(canvas, [x, -1.0, 0.0], [x, 1.0, 0.0], theme.grid);
        line(canvas, [x, 1.0, 0.0], [x, 1.0, HEIGHT], theme.grid);
    }
    for tick in sides.y.ticks(4) {
        let y = side(&sides.y, tick.value);
        line(canvas, [-1.0, y, 0.0], [1.0, y, 0.0], theme.grid);
        line(canvas, [-1.0, y, 0.0], [-1.0, y, HEIGHT], theme.grid);
    }
    for tick in sides.loss.ticks(6) {
        let z = HEIGHT * sides.loss.position(tick.value);
        line(canvas, [-1.0, -1.0, z], [-1.0, 1.0, z], theme.grid);
        line(canvas, [-1.0, 1.0, z], [1.0, 1.0, z], theme.grid);
    }
    for (a, b) in [
        ([-1.0, -1.0, 0.0], [-1.0, -1.0, HEIGHT]),
        ([-1.0, 1.0, 0.0], [-1.0, 1.0, HEIGHT]),
        ([1.0, 1.0, 0.0], [1.0, 1.0, HEIGHT]),
        ([-1.0, -1.0, HEIGHT], [-1.0, 1.0, HEIGHT]),
        ([-1.0, 1.0, HEIGHT], [1.0, 1.0, HEIGHT]),
        ([-1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]),
        ([-1.0, 1.0, 0.0], [1.0, 1.0, 0.0]),
    ] {
        line(canvas, a, b, theme.frame);
    }
}

/// How many grid points a facet spans: a fine grid would give more facets than can be seen.
pub(crate) fn stride(surface: &Surface) -> usize {
    surface.x.len().max(surface.y.len()).div_ceil(80)
}

fn facets(canvas: &mut Canvas, view: &View, surface: &Surface, sides: &Sides) {
    let columns = surface.x.len();
    let node = |row: usize, column: usize| {
        let loss = surface.loss[row * columns + column];
        let t = if loss.is_finite() { sides.loss.position(loss).clamp(0.0, 1.0) } else { f64::NAN };
        [side(&sides.x, surface.x[column]), side(&sides.y, surface.y[row]), HEIGHT * t]
    };
    let stride = stride(surface);
    let thin = |count: usize| -> Vec<usize> {
        (0..count - 1).step_by(stride).chain([count - 1]).collect()
    };
    let mut facets = Vec::new();
    let falls = |list: &[f64]| list[list.len() - 1] < list[0];
    let reversed = falls(&surface.x) != falls(&surface.y);
    for rows in thin(surface.y.len()).windows(2) {
        for columns in thin(columns).windows(2) {
            let corners = [
                node(rows[0], columns[0]),
                node(rows[0], columns[1]),
                node(rows[1], columns[1]),
                node(rows[1], columns[0]),
            ];
            let z = corners.iter().map(|corner| corner[2]).sum::<f64>() / 4.0;
            if z.is_nan() {
                continue;
            }
            let [a, b, c, d] = corners;
            let light = illumination(std::array::from_fn(|i| c[i] - a[i]), |i| d[i] - b[i]);
            let places = corners.map(|corner| view.place(corner));
            // The underside lies in its own shadow: so a pit seen through its rim reads as one.
            let light = if turned(&places) != reversed { 0.62 * light } else { light };
            let colour = hex(shade(viridis(z / HEIGHT), light));
            let middle: [f64; 3] =
                std::array::from_fn(|i| corners.iter().map(|p| p[i]).sum::<f64>() / 4.0);
            // By place on the floor alone: heights never reorder cells of a height field.
            let depth = project([middle[0], middle[1], 0.0]).1;
            facets.push((depth, places, colour));
        }
    }
    facets.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The rim shows the grid, and covers the hairlines between neighbours.
    canvas.raw(
        "<g stroke=\"#0b1016\" stroke-opacity=\"0.28\" stroke-width=\"0.45\" \
         stroke-linejoin=\"round\">",
    );
    for (_, corners, colour) in facets {
        canvas.path(&path(&corners, true), &colour, None, 1.0);
    }
    canvas.raw("</g>");
}

/// Whether a facet shows its underside: then its corners go round the other way.
fn turned(corners: &[[f64; 2]; 4]) -> bool {
    let [a, b, c, d] = corners;
    (c[0] - a[0]) * (d[1] - b[1]) - (c[1] - a[1]) * (d[0] - b[0]) > 0.0
}

/// How light a facet with these diagonals is, under a lamp above the viewer's left shoulder.
fn illumination(a: [f64; 3], b: impl Fn(usize) -> f64) -> f64 {
    let b = [b(0), b(1), b(2)];
    let normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let length = normal.iter().map(|v| v * v).sum::<f64>().sqrt();
    const LAMP: [f64; 3] = [-0.25, -0.62, 0.74];
    let cosine = normal.iter().zip(LAMP).map(|(n, l)| n * l).sum::<f64>() / length.max(1e-300);
    0.66 + 0.42 * cosine.abs()
}

fn axes(canvas: &mut Canvas, view: &View, sides: &Sides) {
    let theme = canvas.theme;
    let front = [([-1.0, -1.0, 0.0], [1.0, -1.0, 0.0]), ([1.0, -1.0, 0.0], [1.0, 1.0, 0.0])];
    for (a, b) in front {
        canvas.line(view.place(a), view.place(b), Stroke::new(theme.frame, 1.0));
    }
    let mut label = |at: [f64; 3], away: [f64; 2], text: &str, anchor: Anchor, size: f64| {
        let [x, y] = view.place(at);
        let fill = if size == TICK { theme.muted } else { theme.ink };
        let style = TextStyle { anchor, ..TextStyle::new(size, fill) };
        canvas.text([x + away[0], y + away[1]], text, style);
    };
    for tick in sides.x.ticks(4) {
        let at = [side(&sides.x, tick.value), -1.0, 0.0];
        label(at, [-4.0, 14.0], &tick.label, Anchor::End, TICK);
    }
    for tick in sides.y.ticks(4) {
        let at = [1.0, side(&sides.y, tick.value), 0.0];
        label(at, [6.0, 12.0], &tick.label, Anchor::Start, TICK);
    }
    label([0.0, -1.0, 0.0], [-22.0, 36.0], "x", Anchor::End, LABEL);
    label([1.0, 0.0, 0.0], [26.0, 32.0], "y", Anchor::Start, LABEL);
    for tick in sides.loss.ticks(6) {
        let z = HEIGHT * sides.loss.position(tick.value);
        label([-1.0, -1.0, z], [-6.0, 3.5], &tick.label, Anchor::End, TICK);
    }
}
