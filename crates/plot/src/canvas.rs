//! A surface to draw on that becomes SVG.

use crate::font::{self, FAMILY};
use crate::markup::{Rect, escape, num, path};
use crate::theme::{Anchor, Stroke, Style, TextStyle, Theme};
use serde_json::Value;
use std::fmt::Write;

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

    /// Makes the canvas higher.
    pub(crate) fn grow(&mut self, by: f64) {
        self.height += by;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_the_markup() {
        let mut canvas = Canvas::new(10.0, 10.0, "a\"<b>", &Style::paper());
        canvas.text([0.0, 0.0], "</text><script>\u{1}", TextStyle::new(10.0, "#000"));
        let figure = canvas.finish();
        assert!(!figure.svg().contains("<script") && !figure.svg().contains('\u{1}'));
        figure.png(1.0).unwrap();
    }
}
