//! Unigram tokenizers of XLM-R's kind, many times faster than the library and with exactly its ids and offsets.
//!
//! A file is taken up where `file` knows every part of it: a precompiled character map or NFKC, words split at white
//! space and begun with `▁`, a Unigram model without byte fallback. Text is cut at its spaces; a stretch between two
//! spaces (`Segment`) is looked up in a memo and otherwise normalised (`normalize`) and segmented (`viterbi`, over the
//! double array of `trie`). Text that holds an added token (`<mask>`), or where a stretch's normal form depends on its
//! neighbours, is normalised by the library as a whole instead.

mod file;
mod memo;
mod normalize;
#[cfg(test)]
mod tests;
mod trie;
mod viterbi;

use super::offsets::clean_offsets;
use super::tokenizer::Encoded;
use memo::{LONGEST, Memo, hash};
use normalize::{Change, Normalized, Normalizer};
use viterbi::{Lattice, Model, Piece};

/// Begins a word.
const MARK: char = '▁';

/// A Unigram tokenizer.
pub(super) struct Unigram {
    normalizer: Normalizer,
    model: Model,
    added: Vec<AddedToken>,
    size: usize,
}

/// A token that is found in the text as it stands, before anything else.
#[derive(Debug)]
struct AddedToken {
    content: String,
    id: u32,
    /// Whether white space before it belongs to it.
    strips_left: bool,
}

/// Working memory, for one thread at a time; the words that came before, for one tokenizer.
pub(super) struct Scratch {
    memo: Memo,
    with_offsets: bool,
    normalized: Normalized,
    lattice: Lattice,
    tokens: Tokens,
}

/// Tokens of a text or a part of it, with the library's offsets.
#[derive(Debug, Default)]
struct Tokens {
    ids: Vec<u32>,
    offsets: Vec<(u32, u32)>,
    /// Which of them are a word-start mark alone: by index, in order.
    marks: Vec<u32>,
}

impl Scratch {
    /// Memory for one tokenizer; `with_offsets` says whether encodings hold offsets.
    pub(super) fn new(with_offsets: bool) -> Self {
        Self {
            memo: Memo::new(),
            with_offsets,
            normalized: Normalized::default(),
            lattice: Lattice::default(),
            tokens: Tokens::default(),
        }
    }
}

impl Tokens {
    fn clear(&mut self) {
        self.ids.clear();
        self.offsets.clear();
        self.marks.clear();
    }

    /// Makes the offsets those of clean slices of `text`.
    fn clean(&mut self, text: &str) {
        let mut marks = self.marks.iter().copied().peekable();
        clean_offsets(text, &mut self.offsets, |token| marks.next_if_eq(&(token as u32)).is_some());
    }
}

/// Where the bytes of a normalised text come from.
#[derive(Clone, Copy)]
enum Origins<'a> {
    /// They are those of the text.
    Same,
    /// Begin and end of the characters each came from.
    Bytes(&'a [(u32, u32)]),
}

impl Origins<'_> {
    fn begin(self, byte: usize) -> u32 {
        match self {
            Origins::Same => byte as u32,
            Origins::Bytes(origins) => origins[byte].0,
        }
    }

    /// The end of what the bytes up to `end` come from.
    fn end(self, end: usize) -> u32 {
        match self {
            Origins::Same => end as u32,
            Origins::Bytes(origins) => origins[end - 1].1,
        }
    }
}

impl Unigram {
    /// Number of ids.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The id of a token.
    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.model.id(token)
    }

    /// Appends the tokens of `text` to `out`, without special tokens.
    ///
    /// # Errors
    /// The library's normaliser fails.
    pub(super) fn encode(&self, text: &str, scratch: &mut Scratch, out: &mut Encoded) -> tokenizers::Result<()> {
        let before = (out.ids.len(), out.offsets.len());
        if self.holds_added(text) || !self.by_segments(text, scratch, out)? {
            out.ids.truncate(before.0);
            out.offsets.truncate(before.1);
            self.as_a_whole(text, scratch, out)?;
        }
        Ok(())
    }

    fn holds_added(&self, text: &str) -> bool {
        let mut asked = None;
        self.added.iter().any(|token| {
            let first = token.content.as_bytes()[0];
            // Added tokens mostly begin alike: `<`.
            let begins = asked != Some(first) && text.as_bytes().contains(&first);
            asked = Some(first);
            begins && self.added.iter().any(|token| text.contains(&token.content))
        })
    }

    /// Encodes stretch by stretch; `false` where that can't be done.
    fn by_segments(&self, text: &str, scratch: &mut Scratch, out: &mut Encoded) -> tokenizers::Result<bool> {
        let mut begin = 0;
        while begin < text.len() {
            let rest = &text[begin..];
            let length = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
            if length > 0 && !self.segment(&rest[..length], begin as u32, scratch, out)? {
                return Ok(false);
            }
            begin += length + 1;
        }
        Ok(true)
    }

    /// Encodes a stretch that begins at `begin`; `false` where its neighbours matter.
    fn segment(&self, segment: &str, begin: u32, scratch: &mut Scratch, out: &mut Encoded) -> tokenizers::Result<bool> {
        let short = segment.len() <= LONGEST;
        let hash = if short { hash(segment.as_bytes()) } else { 0 };
        if short && let Some((ids, offsets)) = scratch.memo.get(segment.as_bytes(), hash) {
            out.ids.extend_from_slice(ids);
            out.offsets.extend(offsets.iter().map(|&[from, to]| (begin + u32::from(from), begin + u32::from(to))));
            return Ok(true);
        }
        if !self.normalizer.independent(segment) {
            return Ok(false);
        }
        let Scratch { memo, with_offsets, normalized, lattice, tokens } = scratch;
        tokens.clear();
        let offsets = *with_offsets;
        match self.normalizer.segment(segment, normalized)? {
            Change::Word => self.word(segment, 0, Origins::Same, 0, offsets, lattice, tokens),
            Change::None => self.words(segment, Origins::Same, 0, offsets, lattice, tokens),
            Change::Some => {
                let origins = Origins::Bytes(&normalized.origins);
                self.words(&normalized.text, origins, 0, offsets, lattice, tokens);
            }
        }
        if offsets {
            tokens.clean(segment);
        }
        if short {
            let offsets = tokens.offsets.iter().map(|&(from, to)| [from as u8, to as u8]);
            memo.insert(segment.as_bytes(), hash, &tokens.ids, offsets);
        }
        out.ids.extend_from_slice(&tokens.ids);
        out.offsets.extend(tokens.offsets.iter().map(|&(from, to)| (begin + from, begin + to)));
        Ok(true)
    }

    /// Encodes as the library does: added tokens first, then what is between them.
    fn as_a_whole(&self, text: &str, scratch: &mut Scratch, out: &mut Encoded) -> tokenizers::Result<()> {
        let Scratch { with_offsets, normalized, lattice, tokens, .. } = scratch;
        tokens.clear();
        let mut begin = 0;
        loop {
            let token = self.next_added(text, begin);
            let mut end = token.map_or(text.len(), |(at, _)| at);
            if let Some((_, token)) = token
                && token.strips_left
            {
                end = begin.max(text[..end].trim_end().len());
            }
            if begin < end {
                self.normalizer.whole(&text[begin..end], normalized)?;
                let origins = Origins::Bytes(&normalized.origins);
                self.words(&normalized.text, origins, begin as u32, *with_offsets, lattice, tokens);
            }
            let Some((found, token)) = token else { break };
            begin = found + token.content.len();
            tokens.ids.push(token.id);
            if *with_offsets {
                tokens.offsets.push((end as u32, begin as u32));
            }
        }
        if *with_offsets {
            tokens.clean(text);
        }
        out.ids.extend_from_slice(&tokens.ids);
        out.offsets.extend_from_slice(&tokens.offsets);
        Ok(())
    }

    /// The first added token from `begin` on, the longest where several begin there.
    fn next_added(&self, text: &str, begin: usize) -> Option<(usize, &AddedToken)> {
        let found = self.added.iter().filter_map(|token| Some((begin + text[begin..].find(&token.content)?, token)));
        found.min_by_key(|(at, token)| (*at, usize::MAX - token.content.len()))
    }

    /// Appends the tokens of a normalised text that stands at `shift`.
    fn words(
        &self,
        text: &str,
        origins: Origins,
        shift: u32,
        with_offsets: bool,
        lattice: &mut Lattice,
        tokens: &mut Tokens,
    ) {
        let mut begin = 0;
        for part in text.split(char::is_whitespace) {
            // Cut before each mark.
            let mut at = 0;
            while at < part.len() {
                let length =
                    part[at..].char_indices().skip(1).find(|&(_, c)| c == MARK).map_or(part.len() - at, |(i, _)| i);
                self.word(&part[at..at + length], begin + at, origins, shift, with_offsets, lattice, tokens);
                at += length;
            }
            begin += part.len();
            begin += text[begin..].chars().next().map_or(0, char::len_utf8);
        }
    }

    /// Appends the tokens of a word that stands at `at` of the normalised text. A word that does not begin with the mark
    /// gets one, which counts as coming from where its first character comes from.
    #[expect(clippy::too_many_arguments, reason = "parts of one scratch, borrowed apart")]
    fn word(
        &self,
        word: &str,
        at: usize,
        origins: Origins,
        shift: u32,
        with_offsets: bool,
        lattice: &mut Lattice,
        tokens: &mut Tokens,
    ) {
        let body = word.strip_prefix(MARK).unwrap_or(word);
        self.model.segment(body, lattice);
        let first = word.chars().next().map_or(0, char::len_utf8);
        let body_at = at + word.len() - body.len();
        for &Piece { id, begin, end } in &lattice.pieces {
            if with_offsets {
                let from = if begin == 0 { at } else { body_at + begin - 1 };
                let to = if end == 1 { at + first } else { body_at + end - 1 };
                if end == 1 {
                    tokens.marks.push(tokens.ids.len() as u32);
                }
                tokens.offsets.push((shift + origins.begin(from), shift + origins.end(to)));
            }
            tokens.ids.push(id);
        }
    }
}
