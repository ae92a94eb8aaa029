//! A surface seen from above: filled contours, trajectory, lowest point.

use crate::axis::{Kind, Scale, number};
use crate::canvas::Canvas;
use crate::colour::{hex, viridis};
use crate::contour::Field;
use crate::font;
use crate::frame::{Frame, LABEL, TICK};
use crate::markup::{Rect, path};
use crate::theme::{Stroke, TextStyle};
use thalweg_record::{NOT_COMPUTED, Surface, SurfaceMinimum, Topology};

/// Steps of colour from the lowest to the highest value.
const BANDS: usize = 64;

/// Draws a surface of one pair of directions into a square, in the colours of `scale`.
pub(crate) fn draw(canvas: &mut Canvas, frame: &Frame, surface: &Surface, scale: &Scale) {
    values(canvas, frame, surface, scale);
    canvas.clipped(frame.at, |canvas| trajectory(canvas, frame, surface));
    signs(canvas, frame, surface);
    frame.border(canvas);
}

/// Draws the values of a plane and their contours, and nothing on them.
pub(crate) fn values(canvas: &mut Canvas, frame: &Frame, surface: &Surface, scale: &Scale) {
    let xs: Vec<f64> = surface.x.iter().map(|&x| frame.place(x, surface.y[0])[0]).collect();
    let ys: Vec<f64> = surface.y.iter().map(|&y| frame.place(surface.x[0], y)[1]).collect();
    let height = |loss: f64| {
        if loss.is_nan() { 1.0 } else { scale.position(loss).clamp(0.0, 1.0) }
    };
    let values: Vec<f64> = surface.loss.iter().map(|&loss| height(loss)).collect();
    let field = Field { xs, ys, values };
    canvas.clipped(frame.at, |canvas| {
        canvas.rect(frame.at, &hex(viridis(0.5 / BANDS as f64)), None);
        for band in 1..BANDS {
            let region = field.region(band as f64 / BANDS as f64);
            let d: String = region.iter().map(|ring| path(ring, true)).collect();
            if !d.is_empty() {
                let colour = hex(viridis((band as f64 + 0.5) / BANDS as f64));
                canvas.path(&d, &colour, None, 1.0);
            }
        }
        let lowest = lowest(surface).map(|(x, y, _)| frame.place(x, y));
        let labels = contour_lines(canvas, frame, &field, scale, lowest, surface);
        missing_cells(canvas, surface, &field);
        for (at, text, ground) in labels {
            let style = TextStyle::new(8.5, on(ground)).middle();
            canvas.text(at, &text, TextStyle { halo: Some(&hex(viridis(ground))), ..style });
        }
    });
    frame.border(canvas);
}

/// A colour that reads on viridis at `t`.
fn on(t: f64) -> &'static str {
    if t < 0.62 { "#ffffff" } else { "#20242a" }
}

/// The values at which lines are drawn: those with a tick, and some between.
fn levels(scale: &Scale) -> Vec<(f64, Option<String>)> {
    let ticks = bar_ticks(scale);
    let mut levels: Vec<_> =
        ticks.iter().map(|tick| (tick.value, Some(tick.label.clone()))).collect();
    if scale.kind == Kind::Log {
        let decades = (scale.high / scale.low).log10();
        let between: &[f64] = match decades {
            d if d <= 1.5 => &[1.5, 3.0, 4.0, 7.0],
            d if d <= 3.5 => &[2.0, 5.0],
            d if d <= 7.0 => &[3.0],
            _ => &[],
        };
        for decade in (Scale { low: scale.low / 10.0, ..*scale }).decades() {
            for value in between.iter().map(|multiple| multiple * decade) {
                if levels.iter().all(|(other, _)| (other / value - 1.0).abs() > 0.05) {
                    levels.push((value, None));
                }
            }
        }
    }
    levels.retain(|(value, _)| (0.0..=1.0).contains(&scale.position(*value)));
    levels
}

fn contour_lines(
    canvas: &mut Canvas,
    frame: &Frame,
    field: &Field,
    scale: &Scale,
    lowest: Option<[f64; 2]>,
    surface: &Surface,
) -> Vec<([f64; 2], String, f64)> {
    let mut labels: Vec<([f64; 2], String, f64)> = Vec::new();
    for (value, label) in levels(scale) {
        let t = scale.position(value);
        let chains = field.lines(t);
        let d: String = chains.iter().map(|(points, _)| path(points, false)).collect();
        if d.is_empty() {
            continue;
        }
        let (width, opacity) = if label.is_some() { (0.9, 0.75) } else { (0.5, 0.45) };
        canvas.path(&d, "none", Some(Stroke::new(on(t), width).opacity(opacity)), 1.0);
        let Some(label) = label else { continue };
        // One label, on the longest line, where nothing else is.
        let Some((points, _)) = chains.iter().max_by(|a, b| length(&a.0).total_cmp(&length(&b.0)))
        else {
            continue;
        };
        if length(points) < 70.0 {
            continue;
        }
        let [cx, cy] = frame.place(0.0, 0.0);
        let free = |p: &[f64; 2]| {
            let off_centre = (p[0] - cx).abs() > 24.0 || (p[1] - cy).abs() > 12.0;
            let off_lowest =
                lowest.is_none_or(|q| (p[0] - q[0]).abs() > 24.0 || (p[1] - q[1]).abs() > 12.0);
            let off_corner = p[0] > frame.at.x + 220.0 || p[1] < frame.at.bottom() - 30.0;
            off_centre
                && is_known(surface, field, *p)
                && off_lowest
                && off_corner
                && p[0] > frame.at.x + 18.0
                && p[0] < frame.at.right() - 18.0
                && p[1] > frame.at.y + 12.0
                && p[1] < frame.at.bottom() - 12.0
                && labels.iter().all(|(q, _, _)| (p[0] - q[0]).hypot(p[1] - q[1]) > 30.0)
        };
        // Starting at a different share of each line keeps labels from standing in a column.
        let start = points.len() * (3 + 2 * (labels.len() % 3)) / 10;
        let order = (0..points.len()).map(|step| (start + step) % points.len());
        if let Some(at) = order.map(|index| points[index]).find(free) {
            labels.push(([at[0], at[1] + 3.0], label, t));
        }
    }
    labels
}

/// Whether a place lies in a cell whose corners are all finite.
fn is_known(surface: &Surface, field: &Field, p: [f64; 2]) -> bool {
    let cell = |list: &[f64], at: f64| {
        list.windows(2).position(|w| (w[0].min(w[1])..=w[0].max(w[1])).contains(&at))
    };
    let (Some(column), Some(row)) = (cell(&field.xs, p[0]), cell(&field.ys, p[1])) else {
        return false;
    };
    let first = row * field.xs.len() + column;
    let corners = [first, first + 1, first + field.xs.len(), first + field.xs.len() + 1];
    corners.iter().all(|&index| surface.loss[index].is_finite())
}

fn length(points: &[[f64; 2]]) -> f64 {
    points.windows(2).map(|w| (w[1][0] - w[0][0]).hypot(w[1][1] - w[0][1])).sum()
}

/// Marks the cells that have a corner without a finite loss, for between such points nothing is
/// known: hatched, or blank where nothing was computed.
fn missing_cells(canvas: &mut Canvas, surface: &Surface, field: &Field) {
    let (mut hatched, mut blank) = (String::new(), String::new());
    let columns = field.xs.len();
    for row in 0..field.ys.len() - 1 {
        for column in 0..columns - 1 {
            let first = row * columns + column;
            let corners = [first, first + 1, first + columns, first + columns + 1];
            let missing = || corners.iter().filter(|&&index| !surface.loss[index].is_finite());
            if missing().next().is_none() {
                continue;
            }
            let [x0, x1] = [field.xs[column], field.xs[column + 1]];
            let [y0, y1] = [field.ys[row], field.ys[row + 1]];
            let cell = path(&[[x0, y0], [x1, y0], [x1, y1], [x0, y1]], true);
            let computed = missing().any(|&index| surface.status[index] != NOT_COMPUTED);
            if computed { &mut hatched } else { &mut blank }.push_str(&cell);
        }
    }
    if !hatched.is_empty() {
        let id = format!("{}-hatch", canvas.id);
        canvas.define(&format!(
            "<pattern id=\"{id}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"5\" height=\"5\" fill=\"#c9ced4\"/>\
             <rect width=\"1.6\" height=\"5\" fill=\"#7b2331\"/></pattern>"
        ));
        canvas.path(&hatched, &format!("url(#{id})"), None, 1.0);
    }
    if !blank.is_empty() {
        canvas.path(&blank, "#eceef1", None, 1.0);
    }
}

fn trajectory(canvas: &mut Canvas, frame: &Frame, surface: &Surface) {
    let Some(trajectory) = &surface.trajectory else { return };
    let points: Vec<_> =
        trajectory.x.iter().zip(&trajectory.y).map(|(&x, &y)| frame.place(x, y)).collect();
    canvas.polyline(&points, Stroke::new("#14171b", 3.6).opacity(0.55));
    canvas.polyline(&points, Stroke::new("#ffffff", 1.8));
    for point in &points {
        canvas.circle(*point, 2.0, "#ffffff", Some(Stroke::new("#14171b", 0.7)));
    }
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        canvas.circle(*first, 4.2, "#14171b", Some(Stroke::new("#ffffff", 1.6)));
        canvas.circle(*last, 4.2, "#ffffff", Some(Stroke::new("#14171b", 1.6)));
    }
}

/// The signs of what is special in the plane, and in the corner what they stand for.
fn signs(canvas: &mut Canvas, frame: &Frame, surface: &Surface) {
    let inside = |p: [f64; 2]| {
        p[0] >= frame.at.x
            && p[0] <= frame.at.right()
            && p[1] >= frame.at.y
            && p[1] <= frame.at.bottom()
    };
    let ink = TextStyle::new(10.0, "#ffffff").bold().halo("#14171b");
    let rim = Stroke::new("#14171b", 1.1);
    let places: Vec<[f64; 2]> = match surface.attributes.directions.as_str() {
        "checkpoints" => vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        _ => surface.attributes.places.iter().map(|place| [place.x, place.y]).collect(),
    };
    let checkpoints = !places.is_empty();
    let centre = frame.place(0.0, 0.0);
    let cross_shown = inside(centre) && surface.trajectory.is_none() && !checkpoints;
    if cross_shown {
        cross(canvas, centre, 5.0);
    }
    let lowest = lowest(surface);
    let diamond = |canvas: &mut Canvas, [x, y]: [f64; 2], r: f64| {
        let corners = [[x, y - r], [x + r, y], [x, y + r], [x - r, y]];
        canvas.path(&path(&corners, true), "#ff8a3d", Some(rim), 1.0);
    };
    for minimum in shown_minima(surface) {
        let at = frame.place(minimum.x, minimum.y);
        canvas.circle(at, 3.4, "#ffd9bf", Some(rim));
    }
    if let Some((x, y, _)) = lowest {
        diamond(canvas, frame.place(x, y), 5.5);
    }
    if checkpoints {
        for (index, [x, y]) in places.into_iter().enumerate() {
            let at = frame.place(x, y);
            if inside(at) {
                canvas.circle(at, 7.0, "#ffffff", Some(rim));
                let style = TextStyle::new(9.5, "#14171b").bold().middle();
                canvas.text([at[0], at[1] + 3.4], &(index + 1).to_string(), style);
            }
        }
    }
    // The words stand in the corner: beside the signs they would cover the valley.
    let Some((x, y, loss)) = lowest else { return };
    let at = [frame.at.x + 17.0, frame.at.bottom() - 9.0];
    diamond(canvas, [at[0] - 8.0, at[1] - 3.6], 4.4);
    let both = cross_shown && (x, y) == (0.0, 0.0);
    let name = if both { "lowest, at the centre:" } else { "lowest" };
    let text = format!("{name} {}", number(loss));
    canvas.text(at, &text, ink);
    if let Some(loss) = surface.centre().filter(|_| cross_shown && !both) {
        let x = at[0] + font::width(&text, 10.0, true) + 20.0;
        cross(canvas, [x - 8.0, at[1] - 3.6], 4.0);
        canvas.text([x, at[1]], &format!("centre {}", number(loss)), ink);
    }
}

/// The minima that are marked: those deep enough inside of the plane, without the lowest point.
pub(crate) fn shown_minima(surface: &Surface) -> impl Iterator<Item = &SurfaceMinimum> {
    /// More would hide what they mark.
    const MOST: usize = 60;
    let lowest = lowest(surface);
    let prominent = surface.topology.iter().flat_map(Topology::prominent);
    prominent.filter(move |m| Some((m.x, m.y, m.loss)) != lowest).take(MOST)
}

fn cross(canvas: &mut Canvas, [x, y]: [f64; 2], arm: f64) {
    for stroke in [Stroke::new("#14171b", 3.2).opacity(0.6), Stroke::new("#ffffff", 1.5)] {
        canvas.line([x - arm, y], [x + arm, y], stroke);
        canvas.line([x, y - arm], [x, y + arm], stroke);
    }
}

/// Position and loss of the lowest point.
fn lowest(surface: &Surface) -> Option<(f64, f64, f64)> {
    (0..surface.points())
        .filter(|&index| surface.loss[index].is_finite())
        .min_by(|&a, &b| surface.loss[a].total_cmp(&surface.loss[b]))
        .map(|index| {
            let point = surface.point(index);
            (point.x, point.y, point.loss)
        })
}

fn bar_ticks(scale: &Scale) -> Vec<crate::axis::Tick> {
    scale.ticks(8)
}

/// Draws the key to the colours.
pub(crate) fn colour_bar(canvas: &mut Canvas, at: Rect, scale: &Scale, label: &str) {
    let theme = canvas.theme;
    let id = format!("{}-bar", canvas.id);
    let stops: String = (0..=32)
        .map(|step| {
            let t = f64::from(step) / 32.0;
            format!("<stop offset=\"{t:.4}\" stop-color=\"{}\"/>", hex(viridis(t)))
        })
        .collect();
    canvas.define(&format!(
        "<linearGradient id=\"{id}\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">{stops}</linearGradient>"
    ));
    canvas.rect(at, &format!("url(#{id})"), Some(Stroke::new(theme.frame, 1.0)));
    let mut widest = 0f64;
    for tick in bar_ticks(scale) {
        let y = at.bottom() - scale.position(tick.value) * at.h;
        canvas.line([at.right(), y], [at.right() + 4.0, y], Stroke::new(theme.frame, 1.0));
        canvas.text(
            [at.right() + 7.0, y + 0.36 * TICK],
            &tick.label,
            TextStyle::new(TICK, theme.muted),
        );
        widest = widest.max(font::width(&tick.label, TICK, false));
    }
    let middle = [at.right() + 7.0 + widest + 6.0 + LABEL, at.y + at.h / 2.0];
    canvas.text(middle, label, TextStyle::new(LABEL, theme.ink).middle().upwards());
}

/// How much room [`colour_bar`] needs.
pub(crate) fn colour_bar_width(scale: &Scale) -> f64 {
    let widest = bar_ticks(scale)
        .iter()
        .map(|tick| font::width(&tick.label, TICK, false))
        .fold(0.0, f64::max);
    14.0 + 7.0 + widest + 6.0 + LABEL + 6.0
}
