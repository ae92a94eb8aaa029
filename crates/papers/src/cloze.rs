//! A gap at the end of a text that one of four words fills.

use crate::texts::windows;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use thalweg_array::DType;
use thalweg_data::Stream;
use thalweg_lab::{LabError, Result};
use thalweg_train::Examples;

/// Words to choose among.
pub const CHOICES: usize = 4;
/// Letters of a word.
const LETTERS: RangeInclusive<usize> = 4..=8;

/// Windows of a text that end with a word, each four times: with its own word, and with three others of as
/// many letters from the same text.
pub struct Cloze {
    /// The windows, those of an item one after the other, its own word first.
    pub examples: Examples,
    /// The letters of each item's words.
    letters: Vec<usize>,
}

impl Cloze {
    /// Items from all over a text, for a model that reads `context` bytes; their other words are drawn from a
    /// stream.
    ///
    /// # Errors
    /// A text with fewer items.
    pub fn new(text: &[u8], context: usize, items: usize, stream: &Stream) -> Result<Cloze> {
        let (mut places, mut words) = (Vec::new(), BTreeMap::<usize, BTreeSet<&[u8]>>::new());
        for (start, end) in spelled(text).filter(|(start, end)| LETTERS.contains(&(end - start))) {
            let word = &text[start..end];
            words.entry(word.len()).or_default().insert(word);
            // Something is left of the window before the word and the space in front of it.
            if end > context && start + context > end + 1 {
                places.push((start, end));
            }
        }
        places
            .retain(|(start, end)| words.get(&(end - start)).is_some_and(|of| of.len() >= CHOICES));
        if places.len() < items || items == 0 {
            let got = places.len();
            let text = format!("a text for a cloze: expected {items} words to ask for, got {got}");
            return Err(LabError::Input(text));
        }
        let (mut filled, mut letters): (Vec<u8>, Vec<usize>) = (Vec::new(), Vec::new());
        for item in 0..items {
            let (start, end) = places[item * places.len() / items];
            let own = &text[start..end];
            let others: Vec<&[u8]> =
                words[&own.len()].iter().copied().filter(|word| *word != own).collect();
            let order = stream.at(item as u64).permutation(others.len());
            let drawn = order.into_iter().take(CHOICES - 1).map(|i| others[i]);
            for word in std::iter::once(own).chain(drawn) {
                filled.extend(&text[end - context - 1..start]);
                filled.extend(word);
            }
            letters.push(own.len());
        }
        Ok(Cloze { examples: windows(&filled, context, DType::F32)?, letters })
    }

    /// The share of items whose own word is more probable than the three others; by chance a quarter.
    /// `losses` are those of the windows at each position, in nats.
    pub fn score(&self, losses: &[Vec<f64>]) -> f64 {
        let right = |(of, letters): (&[Vec<f64>], &usize)| {
            let sum = |window: &Vec<f64>| window.iter().rev().take(*letters).sum::<f64>();
            let sums: Vec<f64> = of.iter().map(sum).collect();
            sums.split_first().is_some_and(|(own, others)| others.iter().all(|other| own < other))
        };
        let items = losses.chunks(CHOICES).zip(&self.letters);
        items.filter(|item| right(*item)).count() as f64 / self.letters.len() as f64
    }
}

/// The first and the last place, and one, of each word that stands between a space and something that is no
/// letter.
fn spelled(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let starts =
        (1..text.len()).filter(move |&i| text[i - 1] == b' ' && text[i].is_ascii_alphabetic());
    starts.filter_map(move |start| {
        let length = text[start..].iter().position(|byte| !byte.is_ascii_alphabetic())?;
        Some((start, start + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"It was the best year, it was some time; that park and this tree were there. ";

    fn text_of(cloze: &Cloze, window: usize) -> String {
        let inputs = &cloze.examples.inputs().unwrap()[0];
        let row = |array: &thalweg_array::Array| -> Vec<u8> {
            array.row(window).unwrap().to_f64_vec().iter().map(|byte| *byte as u8).collect()
        };
        let mut all = row(inputs);
        all.extend(row(cloze.examples.targets()).last());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn an_item_differs_in_its_last_word_alone() {
        let cloze = Cloze::new(TEXT, 16, 3, &Stream::new(1, "cloze")).unwrap();
        assert_eq!((cloze.examples.len(), cloze.letters.len()), (12, 3));
        for (item, letters) in cloze.letters.iter().enumerate() {
            let texts: Vec<String> = (0..4).map(|i| text_of(&cloze, 4 * item + i)).collect();
            let words: BTreeSet<&str> = texts.iter().map(|text| &text[17 - letters..]).collect();
            assert_eq!(words.len(), 4, "{texts:?}");
            assert!(texts.iter().all(|text| text[..17 - letters] == texts[0][..17 - letters]));
            // Its own word is that of the text.
            assert!(String::from_utf8_lossy(TEXT).contains(&texts[0]), "{texts:?}");
            let whole = |word: &&str| String::from_utf8_lossy(TEXT).contains(&format!(" {word}"));
            assert!(words.iter().all(whole), "{words:?}");
        }
        assert!(Cloze::new(TEXT, 16, 50, &Stream::new(1, "cloze")).is_err());
        assert!(Cloze::new(b"no", 16, 1, &Stream::new(1, "cloze")).is_err());
    }

    #[test]
    fn the_word_counts_and_not_what_is_before_it() {
        let cloze = Cloze::new(TEXT, 16, 2, &Stream::new(1, "cloze")).unwrap();
        let window = |before: f64, word: f64, letters: usize| {
            (0..16).map(|i| if i + letters < 16 { before } else { word }).collect::<Vec<f64>>()
        };
        let losses = |own: f64| -> Vec<Vec<f64>> {
            let item = |&letters: &usize| {
                (0..4).map(move |i| match i {
                    0 => window(9.0, own, letters),
                    _ => window(1.0, 2.0, letters),
                })
            };
            cloze.letters.iter().flat_map(item).collect()
        };
        assert_eq!((cloze.score(&losses(1.9)), cloze.score(&losses(2.1))), (1.0, 0.0));
        // A tie is no answer.
        assert_eq!(cloze.score(&losses(2.0)), 0.0);
    }
}
