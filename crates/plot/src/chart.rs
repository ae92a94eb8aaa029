//! A chart of lines over one pair of axes.

use crate::axis::{Kind, Scale};
use crate::canvas::{Canvas, Figure};
use crate::font;
use crate::frame::{Entry, Frame, TITLE, legend, legend_height};
use crate::markup::{Rect, path};
use crate::theme::{Stroke, Style, TextStyle};
use serde_json::json;

/// A line of a chart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: String,
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    /// Half the height of a band around the line.
    pub(crate) error: Option<Vec<f64>>,
    pub(crate) dashed: bool,
    /// The name in the legend, if it has an entry of its own.
    pub(crate) entry: Option<String>,
    /// Drawn thin and pale: what stands beside the measurements.
    pub(crate) faint: bool,
    /// Draws a dot at each point.
    pub(crate) dots: bool,
    /// Ends in a cross: what was measured stops being finite there.
    pub(crate) broken: bool,
}

/// A chart: its words and its lines.
#[derive(Debug, Clone)]
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) y_kind: Kind,
    /// What there is to say under the title.
    pub(crate) notes: Vec<String>,
    pub(crate) series: Vec<Series>,
    /// Places along x that have a name.
    pub(crate) places: Vec<(f64, String)>,
    /// Short strokes on the floor, in a colour.
    pub(crate) rug: Vec<(f64, String)>,
}

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 380.0;

impl Chart<'_> {
    /// Draws the chart; None if no point can be shown.
    pub(crate) fn draw(&self, style: &Style) -> Option<Figure> {
        let xs = self.series.iter().flat_map(|s| s.x.iter().copied());
        let ys = self.series.iter().flat_map(|s| s.y.iter().copied());
        let x = Scale::linear(xs.chain(self.rug.iter().map(|(at, _)| *at)))?;
        // A dot on the border would lose its half.
        let x = if self.series.iter().any(|s| s.dots) { x.padded(0.03) } else { x };
        // A log scale over nothing positive would be empty: show what there is linearly.
        let y = match self.y_kind {
            Kind::Log => Scale::log(ys.clone()).or_else(|| Scale::linear(ys))?,
            Kind::Linear => Scale::linear(ys)?,
        }
        .padded(0.04);
        let label = match (self.y_kind, y.kind) {
            (Kind::Log, Kind::Log) => format!("{}, log scale", self.y_label),
            (Kind::Log, Kind::Linear) => format!("{}, linear: none is positive", self.y_label),
            _ => self.y_label.to_owned(),
        };
        let mut canvas = Canvas::new(WIDTH, HEIGHT, self.title, style);
        let theme = canvas.theme;
        let left = Frame::y_axis_width(&y, HEIGHT - 120.0);
        let inner = WIDTH - left - 18.0;
        canvas.text([left, 24.0], self.title, TextStyle::new(TITLE, theme.ink).bold());
        let mut top = 34.0;
        let note = self.note(&y);
        if !note.is_empty() {
            let style = TextStyle::new(10.5, theme.muted);
            top += canvas.paragraph([left, 42.0], inner, &note, style) + 2.0;
        }
        let entries = self.entries(inner);
        if entries.len() > 1 {
            legend(&mut canvas, [left, top + 14.0], inner, &entries);
            top += legend_height(inner, &entries);
        }
        top += 6.0;
        let bottom = HEIGHT - 46.0;
        // However much there is to say, some room stays for the lines.
        let extra = (120.0 - (bottom - top)).max(0.0);
        canvas.grow(extra);
        let at = Rect { x: left, y: top, w: inner, h: bottom + extra - top };
        let frame = Frame { at, x, y };
        frame.grid(&mut canvas);
        self.draw_places(&mut canvas, &frame);
        canvas.clipped(at, |canvas| {
            for (at, colour) in &self.rug {
                let [px, _] = frame.place(*at, 1.0);
                let floor = frame.at.bottom();
                canvas.line([px, floor], [px, floor - 13.0], Stroke::new(colour, 1.6));
            }
            for series in &self.series {
                draw_series(canvas, &frame, series);
            }
        });
        for series in &self.series {
            draw_breaks(&mut canvas, &frame, series);
        }
        frame.border(&mut canvas);
        frame.x_axis(&mut canvas, self.x_label);
        frame.y_axis(&mut canvas, &label);
        canvas.hover(|| {
            json!({
                "kind": "chart",
                "frame": [at.x, at.y, at.w, at.h],
                "x": axis_json(&frame.x, self.x_label),
                "y": axis_json(&frame.y, &label),
                "series": self.series.iter().map(|s| json!({
                    "name": s.name, "colour": s.colour,
                    "x": finite(&s.x), "y": finite(&s.y),
                })).collect::<Vec<_>>(),
            })
        });
        Some(canvas.finish())
    }

    fn entries(&self, width: f64) -> Vec<Entry> {
        let listed = self.series.iter().filter_map(|s| s.entry.as_ref().map(|name| (s, name)));
        listed
            .map(|(s, name)| Entry {
                name: font::elide(name, crate::frame::TICK, false, width - 50.0),
                colour: s.colour.clone(),
                dashed: s.dashed,
            })
            .collect()
    }

    fn note(&self, y: &Scale) -> String {
        let mut notes = self.notes.clone();
        let any = |holds: fn(&Series) -> bool| self.series.iter().any(holds);
        if y.kind == Kind::Log && any(|s| s.y.iter().any(|v| v.is_finite() && *v <= 0.0)) {
            notes.push("values at or below zero cannot be shown on a log scale".into());
        }
        if any(|s| s.broken) {
            notes.push("×: not finite from there on".into());
        }
        if any(|s| !s.broken && s.y.iter().any(|v| !v.is_finite())) {
            notes.push("×: not finite".into());
        }
        notes.join(" · ")
    }

    fn draw_places(&self, canvas: &mut Canvas, frame: &Frame) {
        let theme = canvas.theme;
        for (place, name) in &self.places {
            let share = frame.x.position(*place);
            if !(0.0..=1.0).contains(&share) {
                continue;
            }
            let [px, _] = frame.place(*place, 1.0);
            let stroke = Stroke::new(theme.muted, 1.0).dashed();
            canvas.line([px, frame.at.y], [px, frame.at.bottom()], stroke);
            let style = TextStyle::new(10.5, theme.muted);
            let style = if share > 0.6 { style.end() } else { style };
            let away = if share > 0.6 { -5.0 } else { 5.0 };
            canvas.text([px + away, frame.at.y + 14.0], name, style);
        }
    }
}

fn draw_series(canvas: &mut Canvas, frame: &Frame, series: &Series) {
    let points: Vec<_> = series.x.iter().zip(&series.y).map(|(&x, &y)| frame.place(x, y)).collect();
    if let Some(errors) = &series.error {
        let edge = |index: usize, sign: f64| {
            let value = series.y[index] + sign * errors[index];
            let [px, py] = frame.place(series.x[index], value);
            // Below zero a log scale ends; the band then reaches the frame's floor.
            [px, if py.is_finite() { py } else { frame.at.bottom() + 5.0 }]
        };
        let known = |&index: &usize| {
            let all = [series.x.get(index), series.y.get(index), errors.get(index)];
            all.iter().all(|v| v.is_some_and(|v| v.is_finite()))
        };
        let indices: Vec<usize> = (0..series.y.len()).filter(known).collect();
        // A band on each stretch without gaps.
        for run in indices.chunk_by(|a, b| a + 1 == *b) {
            let mut band: Vec<_> = run.iter().map(|&index| edge(index, 1.0)).collect();
            band.extend(run.iter().rev().map(|&index| edge(index, -1.0)));
            canvas.path(&path(&band, true), &series.colour, None, 0.18);
        }
    }
    let mut stroke = match series.faint {
        true => Stroke::new(&series.colour, 1.1).opacity(0.7),
        false => Stroke::new(&series.colour, 1.9),
    };
    if series.dashed || series.faint {
        stroke = stroke.dashed();
    }
    if points.len() > 1 {
        canvas.path(&path(&points, false), "none", Some(stroke), 1.0);
    }
    let finite: Vec<bool> = points.iter().map(|p| p.iter().all(|v| v.is_finite())).collect();
    for (index, point) in points.iter().enumerate() {
        // Between two gaps a line has no length.
        let neighbour = |at: Option<usize>| at.and_then(|at| finite.get(at)).is_some_and(|&f| f);
        let alone = !neighbour(index.checked_sub(1)) && !neighbour(Some(index + 1));
        if finite[index] && (series.dots || alone) {
            canvas.circle(*point, 2.6, &series.colour, None);
        }
    }
}

/// Crosses where a value is not finite: at the top of the frame, where it would lie if anywhere, or
/// at the end of a line that breaks off.
fn draw_breaks(canvas: &mut Canvas, frame: &Frame, series: &Series) {
    let mut places: Vec<[f64; 2]> = Vec::new();
    if series.broken {
        let mut points = series.x.iter().zip(&series.y).map(|(&x, &y)| frame.place(x, y));
        places.extend(points.rfind(|p| p.iter().all(|v| v.is_finite())));
    } else {
        let gaps = series.x.iter().zip(&series.y).filter(|(x, y)| x.is_finite() && !y.is_finite());
        places.extend(gaps.map(|(&x, _)| [frame.place(x, 1.0)[0], frame.at.y + 7.0]));
    }
    for [x, y] in places {
        let stroke = Stroke::new(&series.colour, 1.6);
        canvas.line([x - 3.6, y - 3.6], [x + 3.6, y + 3.6], stroke);
        canvas.line([x - 3.6, y + 3.6], [x + 3.6, y - 3.6], stroke);
    }
}

pub(crate) fn axis_json(scale: &Scale, label: &str) -> serde_json::Value {
    let kind = match scale.kind {
        Kind::Linear => "linear",
        Kind::Log => "log",
    };
    json!({"kind": kind, "low": scale.low, "high": scale.high, "label": label})
}

/// Numbers for JSON, to the digits a tooltip shows.
pub(crate) fn finite(values: &[f64]) -> Vec<Option<f64>> {
    let short = |v: f64| format!("{v:.5e}").parse::<f64>().ok();
    values.iter().map(|v| if v.is_finite() { short(*v) } else { None }).collect()
}
