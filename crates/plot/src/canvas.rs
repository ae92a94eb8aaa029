//! A surface to draw on that becomes SVG.

use crate::font::{self, FAMILY};
use serde_json::Value;
use std::fmt::Write;

/// Which colours a figure has and what its inner names begin with.
#[derive(Debug, Clone)]
pub struct Style {
    pub(crate) theme: &'static Theme,
    pub(crate) id: String,
}

impl Style {
    /// Dark on white, complete in itself: for files and papers.
    pub fn paper() -> Self {
        Style { theme: &PAPER, id: "p".into() }
    }

    /// The colours of the page that the figure stands in, and what the viewer needs to answer the
    /// pointer. `id` must be a word of its own on that page.
    pub fn page(id: impl Into<String>) -> Self {
        Style { theme: &PAGE, id: id.into() }
    }
}

/// The colours of a figure.
#[derive(Debug)]
pub(crate) struct Theme {
    pub(crate) background: Option<&'static str>,
    pub(crate) ink: &'static str,
    pub(crate) muted: &'static str,
    pub(crate) grid: &'static str,
    pub(crate) frame: &'static str,
    pub(crate) hues: [&'static str; 6],
    pub(crate) interactive: bool,
}

static PAPER: Theme = Theme {
    background: Some("#ffffff"),
    ink: "#1b1f24",
    muted: "#5d6670",
    grid: "#e4e7eb",
    frame: "#9aa3ad",
    hues: ["#2563c9", "#d1495b", "#138a72", "#8a4fbf", "#c98a00", "#4a5560"],
    interactive: false,
};

static PAGE: Theme = Theme {
    background: None,
    ink: "var(--ink)",
    muted: "var(--muted)",
    grid: "var(--grid)",
    frame: "var(--frame)",
    hues: ["var(--s0)", "var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)", "var(--s5)"],
    interactive: true,
};

/// A finished figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    svg: String,
}

impl Figure {
    /// The figure as an SVG document.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// The figure as a PNG, `scale` pixels a unit: 2 for screens of today.
    ///
    /// # Errors
    /// `Size` if that gives no pixels or too many.
    pub fn png(&self, scale: f32) -> Result<Vec<u8>, crate::PlotError> {
        crate::png(&self.svg, scale)
    }
}

/// Where a text begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextStyle<'a> {
    pub(crate) size: f64,
    pub(crate) fill: &'a str,
    pub(crate) anchor: Anchor,
    pub(crate) bold: bool,
    /// Turned by a quarter, to be read upwards.
    pub(crate) upwards: bool,
    /// A rim in this colour, so that the text reads on any ground.
    pub(crate) halo: Option<&'a str>,
}

impl<'a> TextStyle<'a> {
    pub(crate) fn new(size: f64, fill: &'a str) -> Self {
        TextStyle { size, fill, anchor: Anchor::Start, bold: false, upwards: false, halo: None }
    }
    pub(crate) fn middle(self) -> Self {
        TextStyle { anchor: Anchor::Middle, ..self }
    }
    pub(crate) fn end(self) -> Self {
        TextStyle { anchor: Anchor::End, ..self }
    }
    pub(crate) fn bold(self) -> Self {
        TextStyle { bold: true, ..self }
    }
    pub(crate) fn upwards(self) -> Self {
        TextStyle { upwards: true, ..self }
    }
    pub(crate) fn halo(self, colour: &'a str) -> Self {
        TextStyle { halo: Some(colour), ..self }
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke<'a> {
    pub(crate) colour: &'a str,
    pub(crate) width: f64,
    pub(crate) opacity: f64,
    pub(crate) dashed: bool,
}

impl<'a> Stroke<'a> {
    pub(crate) fn new(colour: &'a str, width: f64) -> Self {
        Stroke { colour, width, opacity: 1.0, dashed: false }
    }
    pub(crate) fn opacity(self, opacity: f64) -> Self {
        Stroke { opacity, ..self }
    }
    pub(crate) fn dashed(self) -> Self {
        Stroke { dashed: true, ..self }
    }
    fn attributes(&self) -> String {
        let mut text = format!("stroke=\"{}\" stroke-width=\"{}\"", self.colour, num(self.width));
        if self.opacity < 1.0 {
            let _ = write!(text, " stroke-opacity=\"{}\"", num(self.opacity));
        }
        if self.dashed {
            text.push_str(" stroke-dasharray=\"4 3\"");
        }
        text
    }
}

/// What is drawn so far.
pub(crate) struct Canvas {
    pub(crate) theme: &'static Theme,
    pub(crate) id: String,
    label: String,
    width: f64,
    height: f64,
    body: String,
    definitions: String,
    hover: Vec<Value>,
}

impl Canvas {
    /// An empty canvas. `label` says to a reader who cannot see what the figure is.
    pub(crate) fn new(width: f64, height: f64, label: &str, style: &Style) -> Self {
        Canvas {
            theme: style.theme,
            id: style.id.clone(),
            label: label.to_owned(),
            width,
            height,
            body: String::new(),
            definitions: String::new(),
            hover: Vec::new(),
        }
    }

    /// Keeps what the viewer needs to answer the pointer in this part of the figure.
    pub(crate) fn hover(&mut self, make: impl FnOnce() -> Value) {
        if self.theme.interactive {
            self.hover.push(make());
        }
    }

    pub(crate) fn define(&mut self, definition: &str) {
        self.definitions.push_str(definition);
    }

    pub(crate) fn raw(&mut self, markup: &str) {
        self.body.push_str(markup);
    }

    pub(crate) fn line(&mut self, a: [f64; 2], b: [f64; 2], stroke: Stroke<'_>) {
        let _ = write!(
            self.body,
            "<path d=\"M{} {}L{} {}\" fill=\"none\" {}/>",
            num(a[0]),
            num(a[1]),
            num(b[0]),
            num(b[1]),
            stroke.attributes()
        );
    }

    pub(crate) fn polyline(&mut self, points: &[[f64; 2]], stroke: Stroke<'_>) {
        if points.len() > 1 {
            self.path(&path(points, false), "none", Some(stroke), 1.0);
        }
    }

    pub(crate) fn path(&mut self, d: &str, fill: &str, stroke: Option<Stroke<'_>>, opacity: f64) {
        let _ = write!(self.body, "<path d=\"{d}\" fill=\"{fill}\"");
        if fill != "none" {
            self.body.push_str(" fill-rule=\"evenodd\"");
            if opacity < 1.0 {
                let _ = write!(self.body, " fill-opacity=\"{}\"", num(opacity));
            }
        }
        if let Some(stroke) = stroke {
            let _ = write!(self.body, " {} stroke-linejoin=\"round\"", stroke.attributes());
        }
        self.body.push_str("/>");
    }

    pub(crate) fn rect(&mut self, at: Rect, fill: &str, stroke: Option<Stroke<'_>>) {
        let _ = write!(self.body, "<rect {} fill=\"{fill}\"", at.attributes());
        if let Some(stroke) = stroke {
            let _ = write!(self.body, " {}", stroke.attributes());
        }
        self.body.push_str("/>");
    }

    pub(crate) fn circle(&mut self, at: [f64; 2], r: f64, fill: &str, stroke: Option<Stroke<'_>>) {
        let _ = write!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\"",
            num(at[0]),
            num(at[1]),
            num(r)
        );
        if let Some(stroke) = stroke {
            let _ = write!(self.body, " {}", stroke.attributes());
        }
        self.body.push_str("/>");
    }

    /// A text whose baseline starts (or has its middle or end) at `at`.
    pub(crate) fn text(&mut self, at: [f64; 2], text: &str, style: TextStyle<'_>) {
        let anchor = match style.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let [x, y] = at.map(num);
        let _ = write!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\"{anchor}",
            num(style.size),
            style.fill
        );
        if style.bold {
            self.body.push_str(" font-weight=\"700\"");
        }
        if style.upwards {
            let _ = write!(self.body, " transform=\"rotate(-90 {x} {y})\"");
        }
        if let Some(halo) = style.halo {
            let _ = write!(
                self.body,
                " stroke=\"{halo}\" stroke-width=\"2.4\" stroke-linejoin=\"round\" \
                 paint-order=\"stroke\""
            );
        }
        let _ = write!(self.body, ">{}</text>", escape(text));
    }

    /// A text in as many lines as the width needs; returns the height used.
    pub(crate) fn paragraph(
        &mut self,
        at: [f64; 2],
        width: f64,
        text: &str,
        style: TextStyle<'_>,
    ) -> f64 {
        let lines = font::wrap(text, style.size, width);
        for (index, line) in lines.iter().enumerate() {
            self.text([at[0], at[1] + index as f64 * style.size * 1.4], line, style);
        }
        lines.len() as f64 * style.size * 1.4
    }

    /// Everything drawn by `draw` is cut at a rectangle.
    pub(crate) fn clipped(&mut self, at: Rect, draw: impl FnOnce(&mut Canvas)) {
        let id = format!("{}-clip{}", self.id, self.definitions.len());
        let clip = format!("<clipPath id=\"{id}\"><rect {}/></clipPath>", at.attributes());
        self.define(&clip);
        let _ = write!(self.body, "<g clip-path=\"url(#{id})\">");
        draw(self);
        self.body.push_str("</g>");
    }

    pub(crate) fn finish(self) -> Figure {
        let (w, h) = (num(self.width), num(self.height));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" \
             height=\"{h}\" font-family=\"{FAMILY}\" role=\"img\" aria-label=\"{}\"",
            escape(&self.label)
        );
        if !self.hover.is_empty() {
            let _ =
                write!(svg, " data-hover=\"{}\"", escape(&Value::Array(self.hover).to_string()));
        }
        svg.push('>');
        let _ = write!(svg, "<title>{}</title>", escape(&self.label));
        if !self.definitions.is_empty() {
            let _ = write!(svg, "<defs>{}</defs>", self.definitions);
        }
        if let Some(background) = self.theme.background {
            let _ = write!(svg, "<rect width=\"{w}\" height=\"{h}\" fill=\"{background}\"/>");
        }
        svg.push_str(&self.body);
        svg.push_str("</svg>\n");
        Figure { svg }
    }
}

/// A rectangle, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
    pub(crate) h: f64,
}

impl Rect {
    pub(crate) fn right(&self) -> f64 {
        self.x + self.w
    }
    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.h
    }
    fn attributes(&self) -> String {
        format!(
            "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            num(self.x),
            num(self.y),
            num(self.w),
            num(self.h)
        )
    }
}

/// The `d` of a path through points, relative and to a tenth of a pixel to keep files small.
pub(crate) fn path(points: &[[f64; 2]], closed: bool) -> String {
    let mut d = String::new();
    let mut last = [0i64; 2];
    let mut open = false;
    for point in points {
        if !point.iter().all(|v| v.is_finite()) {
            open = false;
            continue;
        }
        let at = point.map(|v| (v * 10.0).round() as i64);
        let tenths = |v: i64| num(v as f64 / 10.0);
        if open {
            let step = [at[0] - last[0], at[1] - last[1]];
            if step != [0, 0] {
                let gap = if step[1] < 0 { "" } else { " " };
                let _ = write!(d, "l{}{gap}{}", tenths(step[0]), tenths(step[1]));
            }
        } else {
            let _ = write!(d, "M{} {}", tenths(at[0]), tenths(at[1]));
            open = true;
        }
        last = at;
    }
    if closed {
        d.push('z');
    }
    d
}

/// A number as short as SVG takes it, to a hundredth.
pub(crate) fn num(value: f64) -> String {
    let mut text = format!("{value:.2}");
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    if text == "-0" || text.is_empty() { "0".into() } else { text }
}

/// Text as XML and HTML take it, also inside quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in XML, escaped or not.
            c if c.is_control() && c != '\n' && c != '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, -0.001, 1.5, 100.0, 2.345].map(num), ["0", "0", "1.5", "100", "2.35"]);
    }

    #[test]
    fn paths_break_where_a_point_is_not_finite() {
        let points = [[0.0, 0.0], [1.0, 1.0], [f64::NAN, 2.0], [3.0, 3.0], [4.0, 2.0]];
        assert_eq!(path(&points, false), "M0 0l1 1M3 3l1-1");
    }

    #[test]
    fn names_cannot_break_out_of_the_markup() {
        let mut canvas = Canvas::new(10.0, 10.0, "a\"<b>", &Style::paper());
        canvas.text([0.0, 0.0], "</text><script>\u{1}", TextStyle::new(10.0, "#000"));
        let figure = canvas.finish();
        assert!(!figure.svg().contains("<script") && !figure.svg().contains('\u{1}'));
        figure.png(1.0).unwrap();
    }
}
