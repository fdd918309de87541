//! What training needs to know of the tokenizer: sizes and special tokens.

use std::path::Path;

use tokenizers::Tokenizer;

use super::TrainError;

/// Ids that `tokenizer.json` gives to special tokens, under either family's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// The highest id plus one.
    pub size: usize,
    /// `<pad>` or `[PAD]`.
    pub pad: u32,
    /// `<mask>` or `[MASK]`.
    pub mask: u32,
    /// `<s>` or `[CLS]`.
    pub first: Option<u32>,
    /// `</s>` or `[SEP]`.
    pub last: Option<u32>,
    /// Every special token, in order.
    pub specials: Vec<u32>,
}

/// How tokens are masked for masked-LM training.
#[derive(Debug, Clone, PartialEq)]
pub struct Masking {
    /// Share of the tokens to predict, in (0, 1).
    pub share: f64,
    /// The mask token.
    pub mask: u32,
    /// Random tokens are drawn below this id.
    pub vocabulary: usize,
    /// Tokens that are never chosen, in order.
    pub specials: Vec<u32>,
}

impl Masking {
    /// Whether `id` is never chosen.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.binary_search(&id).is_ok()
    }
}

impl Vocabulary {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// When the file is not a tokenizer or has no padding or mask token.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let wrong = |problem: String| TrainError::Tokenizer { path: path.to_path_buf(), problem };
        let tokenizer = Tokenizer::from_file(path).map_err(|error| wrong(error.to_string()))?;
        let id = |names: [&str; 2]| names.iter().find_map(|name| tokenizer.token_to_id(name));
        let need = |names: [&str; 2]| {
            id(names)
                .ok_or_else(|| wrong(format!("no token {} or {}; masked-LM training needs it", names[0], names[1])))
        };
        let added = tokenizer.get_added_tokens_decoder();
        let mut specials: Vec<u32> = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let (pad, mask) = (need(["<pad>", "[PAD]"])?, need(["<mask>", "[MASK]"])?);
        specials.extend([pad, mask]);
        specials.sort_unstable();
        specials.dedup();
        let size = tokenizer.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1);
        Ok(Self { size, pad, mask, first: id(["<s>", "[CLS]"]), last: id(["</s>", "[SEP]"]), specials })
    }
}
