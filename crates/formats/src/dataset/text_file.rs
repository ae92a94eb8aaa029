//! Texts, character by character.

use super::read_file;
use crate::FormatError;
use crate::error::at;
use std::collections::BTreeSet;
use std::path::Path;
use thalweg_array::Array;
use thalweg_data::{Dataset, Provenance};

/// Loads a text, see [`read_text`].
///
/// # Errors
/// As [`read_text`], with the path.
pub fn load_text(path: &Path, context: usize) -> Result<Dataset, FormatError> {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let provenance =
        Provenance { source: format!("read from {}", path.display()), ..Provenance::default() };
    let name = name.unwrap_or_else(|| "text".into());
    read_text(&name, &read_file(path)?, context, provenance).map_err(at(path))
}

/// A data set for predicting the next character of a text in UTF-8.
///
/// A token is a character's place among those that occur, in the order of their code points. The
/// text is cut into windows of `context + 1` characters that follow each other without overlap, so
/// that no character stands in two examples; what is left at the end is no whole window and is
/// dropped. A byte order mark is no character of the text.
///
/// # Shapes    inputs and labels `i32 [windows, context]`
/// # Errors
/// Bytes that are no UTF-8, fewer than two windows, a text of a single character.
pub fn read_text(
    name: &str,
    bytes: &[u8],
    context: usize,
    mut provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let refused = |what: String| FormatError::Unsupported { format: "text", what };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = error.valid_up_to();
        let line = 1 + bytes[..place].iter().filter(|&&byte| byte == b'\n').count();
        let byte = bytes.get(place).copied().unwrap_or_default();
        refused(format!(
            "byte {place}, in line {line}, is {byte:#04x} and no UTF-8: expected a text in UTF-8"
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let n = text.chars().count();
    let length = context.saturating_add(1);
    if context == 0 || n / length < 2 {
        return Err(refused(format!(
            "{n} characters make {} windows of {context} and the next one: expected at least two \
             windows of at least one character",
            if context == 0 { 0 } else { n / length }
        )));
    }
    let characters: Vec<char> = text.chars().collect::<BTreeSet<char>>().into_iter().collect();
    if characters.len() < 2 {
        return Err(refused("one and the same character throughout: nothing to predict".into()));
    }
    let windows = n / length;
    let place = |c| characters.binary_search(&c).map_or(0, |place| place as i32);
    let tokens: Vec<i32> = text.chars().take(windows * length).map(place).collect();
    let tokens = Array::from_slice(&[windows, length], &tokens)?;
    if provenance.scale.is_empty() {
        provenance.scale = format!("places among {} characters", characters.len());
    }
    Ok(Dataset::sequences(name, &tokens, characters.len(), provenance)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Targets;

    fn read(text: &[u8], context: usize) -> Result<Dataset, String> {
        read_text("text", text, context, Provenance::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn characters_are_counted_and_cut_into_windows() {
        // Characters a, b, c and the three-byte one; the last two make no window.
        let data = read("\u{feff}ab\u{20ac}cabacca".as_bytes(), 3).unwrap();
        assert_eq!((data.len(), data.n_classes()), (2, Some(4)));
        assert_eq!(data.inputs().as_slice::<i32>().unwrap(), [0, 1, 3, 0, 1, 0]);
        let Targets::Sequences { labels, .. } = data.targets() else { panic!("sequences") };
        assert_eq!(labels.as_slice::<i32>().unwrap(), [1, 3, 2, 1, 0, 2]);
        assert_eq!(data.provenance().scale, "places among 4 characters");
    }

    #[test]
    fn texts_that_are_none_get_one_sentence() {
        assert_eq!(
            read(b"good\nba\xffd, and more of it", 2).unwrap_err(),
            "text: byte 7, in line 2, is 0xff and no UTF-8: expected a text in UTF-8"
        );
        // A character that is cut off at the end.
        assert!(
            read(&"abab\u{20ac}".as_bytes()[..6], 1).unwrap_err().contains("byte 4, in line 1")
        );
        assert_eq!(
            read(b"abcabc", 3).unwrap_err(),
            "text: 6 characters make 1 windows of 3 and the next one: expected at least two \
             windows of at least one character"
        );
        assert!(read(b"abcabc", 0).unwrap_err().contains("expected at least two windows"));
        assert!(read(b"abcabc", usize::MAX).is_err());
        assert!(read(b"", 1).is_err());
        assert!(read(b"aaaaaa", 1).unwrap_err().contains("nothing to predict"));
        assert_eq!(read(b"abab", 1).unwrap().len(), 2);
    }
}
