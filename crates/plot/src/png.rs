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
    encode(&pixels).map_err(|error| PlotError::Encode(error.to_string()))
}

/// Encodes pixels as small as may be: pages and repositories keep these files. Figures for files
/// stand on an opaque ground, and need no fourth channel.
fn encode(pixels: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let opaque = pixels.pixels().iter().all(|pixel| pixel.alpha() == u8::MAX);
    let straight = pixels.pixels().iter().map(|pixel| pixel.demultiply());
    let bytes: Vec<u8> = straight
        .flat_map(|c| {
            [c.red(), c.green(), c.blue(), c.alpha()].into_iter().take(if opaque { 3 } else { 4 })
        })
        .collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, pixels.width(), pixels.height());
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::Adaptive);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bytes)?;
    writer.finish()?;
    Ok(out)
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
    fn only_what_is_transparent_has_a_fourth_channel() {
        // The colour type is the tenth byte of the header chunk: 2 without alpha, 6 with.
        let kind = |style: Style| Canvas::new(8.0, 8.0, "t", &style).finish().png(1.0).unwrap()[25];
        assert_eq!((kind(Style::paper()), kind(Style::page("i"))), (2, 6));
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
