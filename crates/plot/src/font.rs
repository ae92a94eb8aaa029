//! The embedded font, and how wide a text is in it.

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// DejaVu Sans; its licence is `fonts/LICENSE-DejaVu.txt`.
pub(crate) const REGULAR: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");
/// DejaVu Sans Bold.
pub(crate) const BOLD: &[u8] = include_bytes!("../fonts/DejaVuSans-Bold.ttf");

/// The families that a figure asks for. Verdana has nearly DejaVu's widths; others are narrower.
pub(crate) const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";

/// The width of a line of text, in the units of `size`.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let Ok(font) = FontRef::from_index(if bold { BOLD } else { REGULAR }, 0) else { return 0.0 };
    let metrics = font.glyph_metrics(Size::new(size as f32), LocationRef::default());
    let characters = font.charmap();
    let advance = |c| metrics.advance_width(characters.map(c).unwrap_or_default());
    text.chars().map(|c| f64::from(advance(c).unwrap_or_default())).sum()
}

/// Breaks a text into lines no wider than `limit`, at spaces.
pub(crate) fn wrap(text: &str, size: f64, limit: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size, false) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // DejaVu Sans: `m` is 1995 and `i` 569 of 2048 units wide.
        assert!((width("m", 2048.0, false) - 1995.0).abs() < 0.5);
        assert!((width("i", 2048.0, false) - 569.0).abs() < 0.5);
        assert!(width("loss", 10.0, true) > width("loss", 10.0, false));
    }

    #[test]
    fn every_sign_that_figures_use_is_in_the_font() {
        let font = FontRef::from_index(REGULAR, 0).unwrap();
        for c in "0123456789⁰¹²³⁴⁵⁶⁷⁸⁹⁻×±·–−…ληρ∞≤≥→%".chars()
        {
            assert!(font.charmap().map(c).is_some_and(|glyph| glyph.to_u32() != 0), "{c}");
        }
    }

    #[test]
    fn wrapping_keeps_all_words() {
        let lines = wrap("one two three four five six", 10.0, 60.0);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| width(line, 10.0, false) <= 60.0));
        assert_eq!(lines.join(" "), "one two three four five six");
    }
}
