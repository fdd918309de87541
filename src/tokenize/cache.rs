//! Encodes the texts of a batch in parallel, each distinct text once, and remembers them.
//!
//! Words of tagged sentences, contexts with several questions and premises with several hypotheses come again and again.

use std::collections::{HashMap, HashSet};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::TokenizeError;
use super::tokenizer::{Encoded, Tokenizer};

/// Bytes, about, that the texts remembered from earlier batches may take.
const CAPACITY: usize = 4 << 20;

/// What an entry takes beside its text and its tokens: about.
const ENTRY: usize = 112;

/// Encodings by text.
pub(super) struct Cache<'a> {
    tokenizer: &'a Tokenizer,
    with_offsets: bool,
    entries: HashMap<Box<str>, Encoded>,
    bytes: usize,
}

impl<'a> Cache<'a> {
    /// An empty cache; `with_offsets` says whether the encodings hold byte offsets.
    pub(super) fn new(tokenizer: &'a Tokenizer, with_offsets: bool) -> Self {
        Self { tokenizer, with_offsets, entries: HashMap::new(), bytes: 0 }
    }

    /// Encodes, on the current thread pool, those of a batch's `texts` that are not there yet. Encodings of earlier
    /// batches are forgotten once they take too much memory.
    pub(super) fn load<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> Result<(), TokenizeError> {
        if self.bytes > CAPACITY {
            self.entries.clear();
            self.bytes = 0;
        }
        let mut seen = HashSet::new();
        let missing: Vec<&str> =
            texts.into_iter().filter(|text| !self.entries.contains_key(*text) && seen.insert(*text)).collect();
        let encoded: Vec<Result<Encoded, TokenizeError>> =
            missing.par_iter().map(|text| self.tokenizer.encode(text, self.with_offsets)).collect();
        for (text, encoded) in missing.into_iter().zip(encoded) {
            let encoded = encoded?;
            self.bytes += ENTRY + text.len() + 4 * encoded.ids.len() + 8 * encoded.offsets.len();
            self.entries.insert(text.into(), encoded);
        }
        Ok(())
    }

    /// The encoding of a text of the batch loaded last.
    pub(super) fn get(&self, text: &str) -> &Encoded {
        self.entries.get(text).expect("`load` got every text of the batch")
    }
}
