//! Which tokenizer files this module can stand in for the library.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use super::normalize::Normalizer;
use super::viterbi::Model;
use super::{AddedToken, MARK, Unigram};

/// A `tokenizer.json`. A field that is not listed makes it a file for the library.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<'a> {
    #[serde(rename = "version")]
    _version: Version,
    #[serde(rename = "truncation")]
    _truncation: Option<IgnoredAny>,
    #[serde(rename = "padding")]
    _padding: Option<IgnoredAny>,
    added_tokens: Vec<AddedEntry>,
    normalizer: NormalizerWrapper,
    pre_tokenizer: PreTokenizerWrapper,
    post_processor: PostProcessorWrapper,
    #[serde(rename = "decoder")]
    _decoder: Option<IgnoredAny>,
    #[serde(borrow)]
    model: ModelEntry<'a>,
}

#[derive(Deserialize)]
enum Version {
    #[serde(rename = "1.0")]
    One,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddedEntry {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    #[serde(rename = "special")]
    _special: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelEntry<'a> {
    #[serde(rename = "type")]
    _kind: Kind,
    unk_id: usize,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(borrow)]
    vocab: Vec<(Piece<'a>, f64)>,
}

#[derive(Deserialize)]
enum Kind {
    Unigram,
}

/// A piece, borrowed from the file unless it is escaped there.
#[derive(Deserialize)]
#[serde(transparent)]
struct Piece<'a>(#[serde(borrow)] Cow<'a, str>);

impl Unigram {
    /// The tokenizer that a file of these `bytes` describes, and its post-processor; `None` where the file says anything
    /// that this module does not do exactly as the library does.
    pub(in super::super) fn recognize(bytes: &[u8]) -> Option<(Self, PostProcessorWrapper)> {
        let File { added_tokens, normalizer, pre_tokenizer, post_processor, model, .. } =
            serde_json::from_slice(bytes).ok()?;
        if model.byte_fallback || !splits_words(&pre_tokenizer) {
            return None;
        }
        let size = model.vocab.len();
        let model = Model::new(model.vocab.iter().map(|(piece, score)| (piece.0.as_ref(), *score)), model.unk_id)?;
        let mut added = Vec::with_capacity(added_tokens.len());
        for token in added_tokens {
            let plain = !token.single_word && !token.rstrip && !token.normalized;
            if !plain || model.id(&token.content) != Some(token.id) {
                return None;
            }
            added.push(AddedToken { content: token.content, id: token.id, strips_left: token.lstrip });
        }
        Some((Self { normalizer: Normalizer::new(normalizer)?, model, added, size }, post_processor))
    }
}

/// Whether words are what stands between white space, each begun with the mark `▁` and cut before any further one.
fn splits_words(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    let PreTokenizerWrapper::Sequence(sequence) = pre_tokenizer else { return false };
    match sequence.as_ref() {
        [PreTokenizerWrapper::WhitespaceSplit(_), PreTokenizerWrapper::Metaspace(metaspace)] => {
            metaspace.get_replacement() == MARK
                && metaspace.get_prepend_scheme() == PrependScheme::Always
                && metaspace.get_split()
        }
        _ => false,
    }
}
