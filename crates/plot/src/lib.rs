//! Records to SVG, PNG and self-contained HTML.
//!
//! A figure function takes records and a [`Style`] and gives a [`Figure`], or none where the
//! records hold nothing to draw. [`report_html`] puts all of them, a table, and the viewer's script
//! into one file that needs no network.
//!
//! Drawn straight to SVG rather than through a chart library: contours need positions finer than
//! whole pixels, labels must be measured before they are placed, and the same figures follow the
//! light or dark of the page that they stand in.

mod axis;
mod basin;
mod canvas;
mod chart;
mod colour;
mod comparison;
mod contour;
mod convexity;
mod curves;
mod font;
mod frame;
mod landscape;
mod landscape_words;
mod map;
mod markup;
mod merge_tree;
mod persistence;
mod png;
mod relief;
mod report;
mod report_comparison;
mod report_table;
mod spectrum;
mod theme;
mod topology;
mod training;

pub use basin::{basin_figure, class_figure};
pub use canvas::Figure;
pub use comparison::comparison_figure;
pub use convexity::convexity_figure;
pub use curves::{gradient_figures, line_figure, residual_figure};
pub use landscape::{landscape_figure, map_figure, relief_figure};
pub use merge_tree::merge_tree_figure;
pub use persistence::persistence_figure;
pub use png::png;
pub use report::report_html;
pub use spectrum::{density_figure, spectrum_figure};
pub use theme::Style;
pub use training::{training_figure, training_figures};

/// What can go wrong when a figure is made into pixels.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The SVG does not parse.
    #[error("the figure is no SVG: {0}")]
    Svg(String),
    /// The picture would have no pixels, or more than memory holds.
    #[error("a picture of {width} x {height} pixels cannot be made")]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The pixels could not be encoded.
    #[error("the picture could not be encoded: {0}")]
    Encode(String),
}
