//! Encodes the texts of a batch, each distinct one only once where that is worth looking.
//!
//! Contexts with several questions and premises with several hypotheses come again and again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::TokenizeError;
use super::tokenizer::{Encoded, Memory, Tokenizer};

/// A tokenizer with its working memory, for one thread at a time.
pub(super) struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    memory: Memory,
}

impl<'a> Encoder<'a> {
    /// `with_offsets` says whether the encodings hold byte offsets.
    pub(super) fn new(tokenizer: &'a Tokenizer, with_offsets: bool) -> Self {
        Self { tokenizer, memory: tokenizer.memory(with_offsets) }
    }
}

/// The encodings of a batch's texts.
pub(super) struct Encodings<'e, 't> {
    tokenizer: &'e Tokenizer,
    memory: &'e mut Memory,
    tokens: Encoded,
    known: HashMap<Cow<'t, str>, Tokens>,
}

/// Where a text's tokens stand in [`Encodings`].
#[derive(Debug, Clone)]
pub(super) struct Tokens(Range<usize>);

impl<'e, 't> Encodings<'e, 't> {
    /// No encodings yet.
    pub(super) fn new(encoder: &'e mut Encoder) -> Self {
        let Encoder { tokenizer, memory } = encoder;
        Self { tokenizer, memory, tokens: Encoded::default(), known: HashMap::new() }
    }

    /// Encodes `text`, without special tokens.
    pub(super) fn encode(&mut self, text: impl Into<Cow<'t, str>>) -> Result<Tokens, TokenizeError> {
        let text = text.into();
        let worth = text.len() >= self.tokenizer.worth_remembering();
        if worth && let Some(known) = self.known.get(&text) {
            return Ok(known.clone());
        }
        let begin = self.tokens.ids.len();
        self.tokenizer.encode_into(&text, self.memory, &mut self.tokens)?;
        let tokens = Tokens(begin..self.tokens.ids.len());
        if worth {
            self.known.insert(text, tokens.clone());
        }
        Ok(tokens)
    }

    pub(super) fn ids(&self, tokens: &Tokens) -> &[u32] {
        &self.tokens.ids[tokens.0.clone()]
    }

    /// Begin and end of each token: byte offsets into the text. For encoders with offsets.
    pub(super) fn offsets(&self, tokens: &Tokens) -> &[(u32, u32)] {
        &self.tokens.offsets[tokens.0.clone()]
    }
}
