//! The frame of a plot: axes, ticks, grid, labels.

use crate::axis::{Kind, Scale, Tick};
use crate::canvas::Canvas;
use crate::font;
use crate::markup::Rect;
use crate::theme::{Stroke, TextStyle};

/// The size of tick labels.
pub(crate) const TICK: f64 = 10.5;
/// The size of axis labels.
pub(crate) const LABEL: f64 = 11.5;
/// The size of headings.
pub(crate) const TITLE: f64 = 15.0;

/// A rectangle with a scale on each side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) at: Rect,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Frame {
    /// Where a point lies on the canvas.
    pub(crate) fn place(&self, x: f64, y: f64) -> [f64; 2] {
        [
            self.at.x + self.x.position(x) * self.at.w,
            self.at.bottom() - self.y.position(y) * self.at.h,
        ]
    }

    /// How many ticks the height has room for.
    pub(crate) fn y_ticks(&self) -> Vec<Tick> {
        self.y.ticks((self.at.h / 42.0) as usize)
    }

    /// Ticks along x whose labels leave each other room.
    pub(crate) fn x_ticks(&self) -> Vec<Tick> {
        let mut about = (self.at.w / 50.0).max(2.0) as usize;
        loop {
            let ticks = self.x.ticks(about);
            let mut last = f64::NEG_INFINITY;
            let fits = ticks.iter().all(|tick| {
                let middle = self.x.position(tick.value) * self.at.w;
                let half = font::width(&tick.label, TICK, false) / 2.0;
                let free = middle - half > last + 6.0;
                last = middle + half;
                free
            });
            if fits || about <= 1 {
                return ticks;
            }
            about -= 1;
        }
    }

    /// Draws grid lines and, on a log scale, the faint ones between decades.
    pub(crate) fn grid(&self, canvas: &mut Canvas) {
        let grid = canvas.theme.grid;
        if self.y.kind == Kind::Log && self.y.decades().len() < 7 {
            for decade in (Scale { low: self.y.low / 10.0, ..self.y }).decades() {
                for multiple in 2..10 {
                    let position = self.y.position(decade * f64::from(multiple));
                    if (0.0..=1.0).contains(&position) {
                        let y = self.at.bottom() - position * self.at.h;
                        let stroke = Stroke::new(grid, 0.5).opacity(0.6);
                        canvas.line([self.at.x, y], [self.at.right(), y], stroke);
                    }
                }
            }
        }
        self.major_grid(canvas);
    }

    /// Draws the grid lines at the ticks.
    pub(crate) fn major_grid(&self, canvas: &mut Canvas) {
        let grid = canvas.theme.grid;
        for tick in self.y_ticks() {
            let y = self.at.bottom() - self.y.position(tick.value) * self.at.h;
            canvas.line([self.at.x, y], [self.at.right(), y], Stroke::new(grid, 1.0));
        }
        for tick in self.x_ticks() {
            let x = self.at.x + self.x.position(tick.value) * self.at.w;
            canvas.line([x, self.at.y], [x, self.at.bottom()], Stroke::new(grid, 1.0));
        }
    }

    /// Draws the border, ticks and labels of the x axis.
    pub(crate) fn x_axis(&self, canvas: &mut Canvas, label: &str) {
        let theme = canvas.theme;
        for tick in self.x_ticks() {
            let x = self.at.x + self.x.position(tick.value) * self.at.w;
            let y = self.at.bottom();
            canvas.line([x, y], [x, y + 4.0], Stroke::new(theme.frame, 1.0));
            let style = TextStyle::new(TICK, theme.muted).middle();
            canvas.text([x, y + 16.0], &tick.label, style);
        }
        let style = TextStyle::new(LABEL, theme.ink).middle();
        canvas.text([self.at.x + self.at.w / 2.0, self.at.bottom() + 34.0], label, style);
    }

    /// Draws ticks and labels of the y axis.
    pub(crate) fn y_axis(&self, canvas: &mut Canvas, label: &str) {
        let theme = canvas.theme;
        let mut widest = 0f64;
        for tick in self.y_ticks() {
            let y = self.at.bottom() - self.y.position(tick.value) * self.at.h;
            canvas.line([self.at.x - 4.0, y], [self.at.x, y], Stroke::new(theme.frame, 1.0));
            let style = TextStyle::new(TICK, theme.muted).end();
            canvas.text([self.at.x - 7.0, y + 0.36 * TICK], &tick.label, style);
            widest = widest.max(font::width(&tick.label, TICK, false));
        }
        let style = TextStyle::new(LABEL, theme.ink).middle().upwards();
        let middle = self.at.y + self.at.h / 2.0;
        canvas.text([self.at.x - 15.0 - widest, middle], label, style);
    }

    /// How much room the labels of the y axis need on the left.
    pub(crate) fn y_axis_width(scale: &Scale, height: f64) -> f64 {
        let ticks = scale.ticks((height / 42.0) as usize);
        let widest =
            ticks.iter().map(|tick| font::width(&tick.label, TICK, false)).fold(0.0, f64::max);
        widest + 15.0 + LABEL + 4.0
    }

    /// Draws the border.
    pub(crate) fn border(&self, canvas: &mut Canvas) {
        canvas.rect(self.at, "none", Some(Stroke::new(canvas.theme.frame, 1.0)));
    }
}

/// One entry of a legend.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) colour: String,
    pub(crate) dashed: bool,
}

/// Draws entries in a row that breaks where it must; returns the height used.
pub(crate) fn legend(canvas: &mut Canvas, at: [f64; 2], width: f64, entries: &[Entry]) -> f64 {
    let (mut x, mut y) = (at[0], at[1]);
    for entry in entries {
        let needed = 24.0 + font::width(&entry.name, TICK, false) + 18.0;
        if x > at[0] && x + needed > at[0] + width {
            x = at[0];
            y += 17.0;
        }
        let mut stroke = Stroke::new(&entry.colour, 2.2);
        if entry.dashed {
            stroke = stroke.dashed();
        }
        canvas.line([x, y - 4.0], [x + 18.0, y - 4.0], stroke);
        canvas.text([x + 24.0, y], &entry.name, TextStyle::new(TICK, canvas.theme.ink));
        x += needed;
    }
    if entries.is_empty() { 0.0 } else { y - at[1] + 17.0 }
}

/// How high [`legend`] will be.
pub(crate) fn legend_height(width: f64, entries: &[Entry]) -> f64 {
    let mut canvas = Canvas::new(0.0, 0.0, "", &crate::Style::paper());
    legend(&mut canvas, [0.0, 0.0], width, entries)
}
