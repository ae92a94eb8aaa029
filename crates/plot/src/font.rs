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

/// A text no wider than `limit`: a long one loses its middle, for the ends are what tells names
/// apart.
pub(crate) fn elide(text: &str, size: f64, bold: bool, limit: f64) -> String {
    if width(text, size, bold) <= limit {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let keep = |n: usize| -> String {
        let (head, tail) = (n.div_ceil(2), n / 2);
        let ends = [&characters[..head], &characters[characters.len() - tail..]];
        let [head, tail] = ends.map(|part| part.iter().collect::<String>());
        format!("{}…{}", head.trim_end(), tail.trim_start())
    };
    (0..characters.len().min(400))
        .rev()
        .map(keep)
        .find(|t| width(t, size, bold) <= limit)
        .unwrap_or_default()
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
        for c in "0123456789⁰¹²³⁴⁵⁶⁷⁸⁹⁻×±·–−…ληρ∞≤≥→%|".chars()
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

    #[test]
    fn long_names_keep_their_ends() {
        let name = "resnet depth=44 width=4 skip=false shortcut=b norm=batch";
        let short = elide(name, 12.0, true, 150.0);
        assert!(width(&short, 12.0, true) <= 150.0, "{short}");
        assert!(short.starts_with("resnet") && short.ends_with("batch") && short.contains('…'));
        assert_eq!(elide("mlp", 12.0, true, 150.0), "mlp");
        assert_eq!(elide(name, 12.0, true, 1.0), "");
    }
}
