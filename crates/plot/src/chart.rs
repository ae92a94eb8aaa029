//! A chart of lines over one pair of axes.

use crate::axis::{Kind, Scale};
use crate::canvas::{Canvas, Figure};
use crate::frame::{Entry, Frame, TITLE, legend, legend_height};
use crate::markup::{Rect, path};
use crate::theme::{Stroke, Style, TextStyle};
use serde_json::json;

/// A line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: String,
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    /// Half the height of a band around the line.
    pub(crate) error: Option<Vec<f64>>,
    pub(crate) dashed: bool,
    /// Whether it has an entry in the legend.
    pub(crate) listed: bool,
    /// Draws a dot at each point.
    pub(crate) dots: bool,
}

/// A chart: its words and its lines.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) y_kind: Kind,
    pub(crate) x_kind: Kind,
    /// A line under the title.
    pub(crate) note: &'a str,
    pub(crate) series: Vec<Series>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Chart<'_> {
    /// Draws the chart; None if no point can be shown.
    pub(crate) fn draw(&self, style: &Style) -> Option<Figure> {
        let xs = self.series.iter().flat_map(|s| s.x.iter().copied());
        let ys = self.series.iter().flat_map(|s| s.y.iter().copied());
        let x = match self.x_kind {
            Kind::Linear => Scale::linear(xs)?,
            Kind::Log => Scale::log(xs)?,
        };
        // A log scale over nothing positive would be empty: show what there is linearly.
        let y = match self.y_kind {
            Kind::Log => Scale::log(ys.clone()).or_else(|| Scale::linear(ys))?,
            Kind::Linear => Scale::linear(ys)?,
        }
        .padded(0.04);
        let entries: Vec<Entry> = self
            .series
            .iter()
            .filter(|s| s.listed)
            .map(|s| Entry { name: s.name.clone(), colour: s.colour.clone(), dashed: s.dashed })
            .collect();
        let mut canvas = Canvas::new(self.width, self.height, self.title, style);
        let theme = canvas.theme;
        let left = Frame::y_axis_width(&y, self.height - 120.0);
        let inner = self.width - left - 18.0;
        canvas.text([left, 24.0], self.title, TextStyle::new(TITLE, theme.ink).bold());
        let mut top = 34.0;
        let clipped = y.kind == Kind::Log
            && self.series.iter().any(|s| s.y.iter().any(|v| v.is_finite() && *v <= 0.0));
        let mut note = self.note.to_owned();
        if clipped {
            note.push_str(if note.is_empty() { "" } else { " · " });
            note.push_str("values at or below zero cannot be shown on a log scale");
        }
        if !note.is_empty() {
            let style = TextStyle::new(10.5, theme.muted);
            top += canvas.paragraph([left, 42.0], inner, &note, style) + 2.0;
        }
        if entries.len() > 1 {
            legend(&mut canvas, [left, top + 14.0], inner, &entries);
            top += legend_height(inner, &entries) + 6.0;
        } else {
            top += 6.0;
        }
        let at = Rect { x: left, y: top, w: inner, h: self.height - top - 46.0 };
        let frame = Frame { at, x, y };
        frame.grid(&mut canvas);
        canvas.clipped(at, |canvas| {
            for series in &self.series {
                draw_series(canvas, &frame, series);
            }
        });
        frame.border(&mut canvas);
        frame.x_axis(&mut canvas, self.x_label);
        frame.y_axis(&mut canvas, self.y_label);
        canvas.hover(|| {
            json!({
                "kind": "chart",
                "frame": [at.x, at.y, at.w, at.h],
                "x": axis_json(&frame.x, self.x_label),
                "y": axis_json(&frame.y, self.y_label),
                "series": self.series.iter().map(|s| json!({
                    "name": s.name, "colour": s.colour,
                    "x": finite(&s.x), "y": finite(&s.y),
                })).collect::<Vec<_>>(),
            })
        });
        Some(canvas.finish())
    }
}

fn draw_series(canvas: &mut Canvas, frame: &Frame, series: &Series) {
    let points: Vec<_> = series.x.iter().zip(&series.y).map(|(&x, &y)| frame.place(x, y)).collect();
    if let Some(errors) = &series.error {
        let edge = |sign: f64| {
            let rows = series.x.iter().zip(&series.y).zip(errors);
            // Below zero a log scale ends; the band then reaches the frame's floor.
            rows.map(move |((&x, &y), &error)| {
                let [px, py] = frame.place(x, y + sign * error);
                [px, if py.is_finite() { py } else { frame.at.bottom() + 5.0 }]
            })
            .collect::<Vec<_>>()
        };
        if errors.iter().chain(&series.y).all(|v| v.is_finite()) {
            let mut band = edge(1.0);
            band.extend(edge(-1.0).into_iter().rev());
            canvas.path(&path(&band, true), &series.colour, None, 0.16);
        }
    }
    let mut stroke = Stroke::new(&series.colour, 1.9);
    if series.dashed {
        stroke = stroke.dashed();
    }
    if points.len() > 1 {
        canvas.path(&path(&points, false), "none", Some(stroke), 1.0);
    }
    if series.dots || points.len() == 1 {
        for point in points.iter().filter(|p| p.iter().all(|v| v.is_finite())) {
            canvas.circle(*point, 2.6, &series.colour, None);
        }
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
