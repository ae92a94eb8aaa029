//! Texts, token by token.

use super::config::DataConfig;
use super::{CONTEXT, read_file, source, stem_of, tokenizer};
use crate::FormatError;
use crate::error::at;
use std::collections::BTreeSet;
use std::path::Path;
use thalweg_array::Array;
use thalweg_data::{Dataset, Provenance};

/// What the tokens of a text are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokens<'a> {
    /// Its characters: a token is a character's place among those that occur, in the order of
    /// their code points.
    #[default]
    Characters,
    /// Its bytes: 256 tokens, whichever occur.
    Bytes,
    /// Those of a Hugging Face `tokenizer.json`, whose contents are given; without the special
    /// tokens that it puts around a text.
    Tokenizer(&'a [u8]),
}

/// Loads a text, see [`read_text`]; the tokens are those that the configuration says.
///
/// # Errors
/// As [`read_text`], with the path; a `tokenizer.json` that cannot be read.
pub fn load_text(path: &Path, config: &DataConfig) -> Result<Dataset, FormatError> {
    let provenance = Provenance { source: source(path), ..Provenance::default() };
    let context = config.context.unwrap_or(CONTEXT);
    let bytes = read_file(path)?;
    let name = stem_of(path);
    match config.tokens.as_deref() {
        None | Some("characters") => {
            read_text(&name, &bytes, Tokens::Characters, context, provenance).map_err(at(path))
        }
        Some("bytes") => {
            read_text(&name, &bytes, Tokens::Bytes, context, provenance).map_err(at(path))
        }
        Some(other) => {
            let other = Path::new(other);
            if !other.is_file() {
                let what = "no such file: expected characters, bytes, or a tokenizer.json".into();
                return Err(at(other)(FormatError::Unsupported { format: "tokens", what }));
            }
            let json = read_file(other)?;
            // Before the text, so that a fault is told under the name of its file.
            tokenizer::check(&json).map_err(at(other))?;
            let tokens = Tokens::Tokenizer(&json);
            read_text(&name, &bytes, tokens, context, provenance).map_err(at(path))
        }
    }
}

fn refused(what: String) -> FormatError {
    FormatError::Unsupported { format: "text", what }
}

/// A data set for predicting the next token of a text.
///
/// The text is cut into windows of `context + 1` tokens that follow each other without overlap, so
/// that no token stands in two examples; what is left at the end is no whole window and is
/// dropped. A byte order mark is no part of the text.
///
/// # Shapes    inputs and labels `i32 [windows, context]`
/// # Errors
/// Bytes that are no UTF-8 (unless they are the tokens), fewer than two windows, a text of a single
/// token, a tokenizer that is none.
pub fn read_text(
    name: &str,
    bytes: &[u8],
    tokens: Tokens<'_>,
    context: usize,
    mut provenance: Provenance,
) -> Result<Dataset, FormatError> {
    let cut = match tokens {
        Tokens::Characters => characters(bytes, context)?,
        Tokens::Bytes => of_bytes(bytes, context)?,
        Tokens::Tokenizer(json) => {
            let (all, n_tokens) = tokenizer::encode(json, utf8(bytes)?)?;
            let windows = windows(all.len(), "tokens", context)?;
            let tokens = all.into_iter().take(windows * (context + 1)).collect();
            let scale = format!("tokens of a vocabulary of {n_tokens}");
            Cut { windows, tokens, n_tokens, scale }
        }
    };
    if cut.tokens.iter().all(|token| *token == cut.tokens[0]) {
        return Err(refused("one and the same token throughout: nothing to predict".into()));
    }
    let tokens = Array::from_slice(&[cut.windows, context + 1], &cut.tokens)?;
    if provenance.scale.is_empty() {
        provenance.scale = cut.scale;
    }
    Ok(Dataset::sequences(name, &tokens, cut.n_tokens, provenance)?)
}

/// The tokens that fill whole windows.
struct Cut {
    windows: usize,
    tokens: Vec<i32>,
    n_tokens: usize,
    scale: String,
}

/// How many windows so many tokens make.
fn windows(n: usize, what: &str, context: usize) -> Result<usize, FormatError> {
    let windows = if context == 0 { 0 } else { n / context.saturating_add(1) };
    if windows < 2 {
        return Err(refused(format!(
            "{n} {what} make {windows} windows of {context} and the next one: expected at least \
             two windows of at least one of the {what}"
        )));
    }
    Ok(windows)
}

fn utf8(bytes: &[u8]) -> Result<&str, FormatError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = error.valid_up_to();
        let line = 1 + bytes[..place].iter().filter(|&&byte| byte == b'\n').count();
        let byte = bytes.get(place).copied().unwrap_or_default();
        refused(format!(
            "byte {place}, in line {line}, is {byte:#04x} and no UTF-8: expected a text in UTF-8, \
             or --tokens bytes"
        ))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn characters(bytes: &[u8], context: usize) -> Result<Cut, FormatError> {
    let text = utf8(bytes)?;
    let windows = windows(text.chars().count(), "characters", context)?;
    let characters: Vec<char> = text.chars().collect::<BTreeSet<char>>().into_iter().collect();
    let place = |c| characters.binary_search(&c).map_or(0, |place| place as i32);
    let tokens = text.chars().take(windows * (context + 1)).map(place).collect();
    let n_tokens = characters.len();
    Ok(Cut { windows, tokens, n_tokens, scale: format!("places among {n_tokens} characters") })
}

fn of_bytes(bytes: &[u8], context: usize) -> Result<Cut, FormatError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let windows = windows(bytes.len(), "bytes", context)?;
    let tokens = bytes.iter().take(windows * (context + 1)).map(|&byte| i32::from(byte)).collect();
    Ok(Cut { windows, tokens, n_tokens: 256, scale: "bytes".into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_data::Targets;

    fn read(text: &[u8], context: usize) -> Result<Dataset, String> {
        read_text("text", text, Tokens::Characters, context, Provenance::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn characters_are_counted_and_cut_into_windows() {
        // Characters a, b, c and the three-byte one; the last two make no window.
        let data = read("\u{feff}ab\u{20ac}cabacca".as_bytes(), 3).unwrap();
        assert_eq!((data.len(), data.n_classes()), (2, Some(4)));
        assert_eq!(
            data.inputs().in_memory().unwrap().as_slice::<i32>().unwrap(),
            [0, 1, 3, 0, 1, 0]
        );
        let Targets::Sequences { labels, .. } = data.targets() else { panic!("sequences") };
        assert_eq!(labels.as_slice::<i32>().unwrap(), [1, 3, 2, 1, 0, 2]);
        assert_eq!(data.provenance().scale, "places among 4 characters");
    }

    #[test]
    fn bytes_are_themselves() {
        let bytes = |text: &[u8], context| {
            read_text("text", text, Tokens::Bytes, context, Provenance::default())
        };
        let data = bytes(b"\xef\xbb\xbfab\xff\x00ba!", 2).unwrap();
        assert_eq!((data.len(), data.n_classes()), (2, Some(256)));
        assert_eq!(data.inputs().in_memory().unwrap().as_slice::<i32>().unwrap(), [97, 98, 0, 98]);
        let message = bytes(b"abc", 2).unwrap_err().to_string();
        assert!(message.starts_with("text: 3 bytes make 1 windows of 2"), "{message}");
        assert!(bytes(b"aaaa", 1).unwrap_err().to_string().contains("nothing to predict"));
        // Windows that are all alike leave something to predict within them.
        let alike = bytes(b"abab", 1).unwrap();
        assert_eq!(alike.inputs().in_memory().unwrap().as_slice::<i32>().unwrap(), [97, 97]);
        let Targets::Sequences { labels, .. } = alike.targets() else { panic!("sequences") };
        assert_eq!(labels.as_slice::<i32>().unwrap(), [98, 98]);
    }

    #[test]
    fn texts_that_are_none_get_one_sentence() {
        assert_eq!(
            read(b"good\nba\xffd, and more of it", 2).unwrap_err(),
            "text: byte 7, in line 2, is 0xff and no UTF-8: expected a text in UTF-8, or \
             --tokens bytes"
        );
        // A character that is cut off at the end.
        assert!(
            read(&"abab\u{20ac}".as_bytes()[..6], 1).unwrap_err().contains("byte 4, in line 1")
        );
        assert_eq!(
            read(b"abcabc", 3).unwrap_err(),
            "text: 6 characters make 1 windows of 3 and the next one: expected at least two \
             windows of at least one of the characters"
        );
        assert!(read(b"abcabc", 0).unwrap_err().contains("expected at least two windows"));
        assert!(read(b"abcabc", usize::MAX).is_err());
        assert!(read(b"", 1).is_err());
        assert!(read(b"aaaaaa", 1).unwrap_err().contains("nothing to predict"));
        assert_eq!(read(b"abab", 1).unwrap().len(), 2);
    }
}
