//! A Hugging Face `tokenizer.json`.

#[cfg(feature = "tokenizers")]
pub(super) use with::{check, encode};
#[cfg(not(feature = "tokenizers"))]
pub(super) use without::{check, encode};

#[cfg(feature = "tokenizers")]
mod with {
    use crate::FormatError;
    use tokenizers::Tokenizer;

    fn read(json: &[u8]) -> Result<Tokenizer, FormatError> {
        Tokenizer::from_bytes(json).map_err(|error| FormatError::Invalid {
            format: "tokenizer.json",
            reason: error.to_string(),
        })
    }

    /// Refuses bytes that are no tokenizer.
    pub fn check(json: &[u8]) -> Result<(), FormatError> {
        read(json).map(drop)
    }

    /// The tokens of a text, without special ones around it, and how many tokens there are.
    pub fn encode(json: &[u8], text: &str) -> Result<(Vec<i32>, usize), FormatError> {
        let tokenizer = read(json)?;
        let refused = |what: String| FormatError::Unsupported { format: "tokenizer.json", what };
        let encoding = tokenizer
            .encode_fast(text, false)
            .map_err(|error| refused(format!("it cannot encode the text: {error}")))?;
        let vocabulary = tokenizer.get_vocab(true);
        // Numbers of tokens may have gaps.
        let n_tokens = vocabulary.values().max().map_or(0, |&last| last as usize + 1);
        let token = |&id: &u32| i32::try_from(id).ok();
        let tokens: Option<Vec<i32>> = encoding.get_ids().iter().map(token).collect();
        let tokens = tokens.ok_or_else(|| refused("a token has a number above 2^31".into()))?;
        Ok((tokens, n_tokens))
    }
}

#[cfg(not(feature = "tokenizers"))]
mod without {
    use crate::FormatError;

    fn missing() -> FormatError {
        let what = "it is not read by this build, which was made without the feature `tokenizers`";
        FormatError::Unsupported { format: "tokenizer.json", what: what.into() }
    }

    pub fn check(_: &[u8]) -> Result<(), FormatError> {
        Err(missing())
    }

    pub fn encode(_: &[u8], _: &str) -> Result<(Vec<i32>, usize), FormatError> {
        Err(missing())
    }
}
