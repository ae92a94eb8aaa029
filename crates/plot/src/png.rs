//! SVG to pixels.

use crate::PlotError;
use crate::font::{BOLD, REGULAR};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};
use std::sync::Arc;

/// More pixels than this are a mistake rather than a picture.
const MOST_PIXELS: f64 = 2e8;

/// Renders an SVG document with the embedded font, `scale` pixels a unit.
///
/// # Errors
/// `Svg` if the text does not parse, `Size` if the picture would have no pixels or too many.
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, PlotError> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(REGULAR.to_vec());
    fonts.load_font_data(BOLD.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".into(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| PlotError::Svg(error.to_string()))?;
    let size = tree.size();
    let [width, height] = [size.width(), size.height()].map(|side| (side * scale).ceil() as u32);
    let too_large = f64::from(width) * f64::from(height) > MOST_PIXELS;
    let pixels = if too_large { None } else { Pixmap::new(width, height) };
    let mut pixels = pixels.ok_or(PlotError::Size { width, height })?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PlotError::Encode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::Canvas;
    use crate::theme::{Style, TextStyle};

    #[test]
    fn text_leaves_pixels() {
        let draw = |text: &str| {
            let mut canvas = Canvas::new(80.0, 20.0, "t", &Style::paper());
            canvas.text([2.0, 15.0], text, TextStyle::new(12.0, "#000000"));
            canvas.finish().png(1.0).unwrap()
        };
        assert_ne!(draw("loss 10⁻³"), draw(""));
        assert_ne!(draw("loss 10⁻³"), draw("loss 10⁻⁴"));
        assert_eq!(draw("loss"), draw("loss"));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let figure = Canvas::new(80.0, 20.0, "t", &Style::paper()).finish();
        assert!(matches!(figure.png(0.0), Err(PlotError::Size { .. })));
        assert!(matches!(figure.png(1e6), Err(PlotError::Size { .. })));
        assert!(matches!(figure.png(f32::NAN), Err(PlotError::Size { .. })));
        assert!(matches!(png("<svg", 1.0), Err(PlotError::Svg(_))));
    }
}
