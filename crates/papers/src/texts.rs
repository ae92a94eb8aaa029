//! Texts that checks read.

use crate::files::find;
use std::fs;
use thalweg_array::{Array, DType};
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_train::Examples;

/// About 1 MB of English text, byte by byte: Shakespeare as char-rnn has it.
///
/// # Errors
/// `Input` where the file is not found.
pub fn shakespeare() -> Result<Vec<u8>> {
    let what = "the Shakespeare of github.com/karpathy/char-rnn \
                (data/tinyshakespeare/input.txt there)";
    let path = find("text", "shakespeare_en.txt", what)?;
    fs::read(&path).map_err(|source| LabError::File { path, source })
}

/// Words of a few syllables in an order with some structure, for samples that run everywhere.
pub fn made_up(bytes: usize) -> Vec<u8> {
    const SYLLABLES: [&str; 8] = ["ba", "ke", "lo", "mi", "ru", "sta", "ven", "tho"];
    let stream = Stream::new(0, "papers/made-up text");
    let mut text = Vec::with_capacity(bytes + 16);
    let mut word = 0u64;
    for i in 0.. {
        if text.len() >= bytes {
            break;
        }
        // The next word follows the last in three of four cases.
        let draws = stream.at(i);
        word = if draws.below(0, 4) > 0 { word * 5 + 3 } else { draws.below(1, 64) } % 64;
        text.extend(SYLLABLES[(word % 8) as usize].bytes());
        text.extend(SYLLABLES[(word / 8) as usize].bytes());
        text.push(if word.is_multiple_of(7) { b'\n' } else { b' ' });
    }
    text.truncate(bytes);
    text
}

/// Windows of `context + 1` bytes that follow each other without overlap: of each the first `context`
/// are the input and the last `context` the labels.
///
/// # Errors
/// A text of less than a window.
pub fn windows(text: &[u8], context: usize, float: DType) -> Result<Examples> {
    let n = text.len() / (context + 1);
    let part = |skip: usize| -> Result<Array> {
        let rows = text.chunks_exact(context + 1);
        let tokens: Vec<i32> =
            rows.flat_map(|row| &row[skip..][..context]).map(|&byte| i32::from(byte)).collect();
        Ok(Array::from_slice(&[n, context], &tokens)?)
    };
    Ok(Examples::from_arrays(part(0)?, part(1)?, true, float)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_share_no_byte() {
        let examples = windows(b"abcdefgh", 2, DType::F32).unwrap();
        let of = |array: &Array| array.as_slice::<i32>().unwrap().to_vec();
        let letters = |text: &[u8]| text.iter().map(|&b| i32::from(b)).collect::<Vec<_>>();
        assert_eq!(of(&examples.inputs().unwrap()[0]), letters(b"abde"));
        assert_eq!(of(examples.targets()), letters(b"bcef"));
        assert!(windows(b"ab", 2, DType::F32).is_err());
    }

    #[test]
    fn a_made_up_text_has_its_length_and_is_not_one_letter() {
        let text = made_up(1000);
        assert_eq!(text.len(), 1000);
        assert!(text.iter().filter(|&&b| b == b' ').count() > 100);
        assert_eq!(made_up(10), text[..10]);
    }
}
