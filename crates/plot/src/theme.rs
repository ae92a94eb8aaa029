//! How things look: the colours of a figure, texts and strokes.

use crate::markup::num;
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
    pub(crate) fn attributes(&self) -> String {
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
