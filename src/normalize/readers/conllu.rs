//! CoNLL-U treebanks: `sent_id`, `words` and `tags` (UPOS) of each sentence, prepared as XTREME prepares them, so that
//! counts and scores compare:
//!
//! - a multi-word token (`du` = `de` + `le`) is one word; its tag is that of its part nearest to the root of the
//!   sentence, and among equally near ones that of the part whose UPOS ranks first in [`preference`];
//! - empty nodes (`8.1`) are not words;
//! - spaces and zero-width non-joiners within a word are taken out;
//! - a sentence in which all words but at most one are `_` (a treebank published without its text) is left out.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};

use super::{Batches, Lines, NormalizeError, RawPart, Sentences, batch, batches};
use crate::shard::BATCH_ROWS;

/// Reads `part`, a treebank of `language`.
pub(super) fn open(part: &RawPart, language: Option<&str>) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let mut names = StringBuilder::new();
    let mut sentences = Sentences::new();
    let mut sentence = Sentence::default();
    let preference = preference(language.unwrap_or(""));
    Ok(batches(move || {
        while sentences.len() < BATCH_ROWS {
            let line = lines.next()?;
            if let Some(text) = line.filter(|text| !text.is_empty()) {
                if let Err(message) = sentence.add(text) {
                    return Err(lines.wrong(message));
                }
                continue;
            }
            let over = line.is_none();
            let ended = std::mem::take(&mut sentence);
            let name = ended.name.clone();
            let words = ended.words(preference).map_err(|message| lines.wrong(message))?;
            if words.iter().filter(|(word, _)| word != "_").count() > usize::from(words.len() > 1) {
                names.append_option(name);
                sentences.push(words.iter().map(|(word, tag)| (word.as_str(), tag.as_str())));
            }
            if over {
                break;
            }
        }
        let mut columns = vec![("sent_id".to_owned(), Arc::new(names.finish()) as ArrayRef)];
        columns.extend(sentences.finish());
        Ok(batch(columns))
    }))
}

/// UPOS tags in the order in which they are preferred for a multi-word token; any other comes last. The orders are
/// those of the conversion script that XTREME uses.
fn preference(language: &str) -> &'static [&'static str] {
    match language {
        "es" => &["VERB", "AUX", "PRON", "ADP", "DET"],
        "fr" => &["VERB", "AUX", "PRON", "NOUN", "ADJ", "ADV", "ADP", "DET", "PART", "SCONJ", "CONJ"],
        "it" => &["VERB", "AUX", "ADV", "PRON", "ADP", "DET", "INTJ"],
        _ => &[
            "VERB", "NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV", "INTJ", "AUX", "ADP", "DET", "PART", "CCONJ",
            "SCONJ", "X", "PUNCT",
        ],
    }
}

struct Token {
    form: String,
    tag: String,
    /// 1-based token, 0 for the root.
    head: usize,
}

/// A multi-word token over the tokens `first..=last` (1-based).
struct Fused {
    first: usize,
    last: usize,
    form: String,
}

#[derive(Default)]
struct Sentence {
    name: Option<String>,
    tokens: Vec<Token>,
    fused: Vec<Fused>,
}

impl Sentence {
    fn add(&mut self, line: &str) -> Result<(), String> {
        if let Some(comment) = line.strip_prefix('#') {
            if let Some((key, value)) = comment.split_once('=')
                && key.trim() == "sent_id"
            {
                self.name = Some(value.trim().to_owned());
            }
            return Ok(());
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, form, _, tag, _, _, head, ..] = columns[..] else {
            return Err(format!("{} columns, should be 10", columns.len()));
        };
        if columns.len() != 10 {
            return Err(format!("{} columns, should be 10", columns.len()));
        }
        if id.contains('.') {
            return Ok(());
        }
        if let Some((first, last)) = id.split_once('-') {
            let range = first.parse().ok().zip(last.parse().ok());
            let after = self.fused.last().map_or(0, |f| f.last);
            let Some((first, last)) =
                range.filter(|(first, last)| first <= last && *first == self.tokens.len() + 1 && *first > after)
            else {
                return Err(format!("token id `{id}` should begin at {}", self.tokens.len() + 1));
            };
            self.fused.push(Fused { first, last, form: cleaned(form) });
            return Ok(());
        }
        if id.parse() != Ok(self.tokens.len() + 1) {
            return Err(format!("token id `{id}` should be {}", self.tokens.len() + 1));
        }
        // A head is only used to choose a tag: `_` (not annotated) counts as the root.
        let head = if head == "_" { Some(0) } else { head.parse().ok() };
        let Some(head) = head else {
            return Err(format!("head `{}` should be a number", columns[6]));
        };
        self.tokens.push(Token { form: cleaned(form), tag: tag.to_owned(), head });
        Ok(())
    }

    /// The number of steps from a token (0-based) to the root.
    fn depth(&self, token: usize) -> usize {
        let mut steps = 0;
        let mut at = token;
        // A broken tree may hold a cycle: no path is longer than the sentence.
        while steps < self.tokens.len() {
            match self.tokens.get(at).map(|t| t.head) {
                None | Some(0) => break,
                Some(head) => at = head - 1,
            }
            steps += 1;
        }
        steps
    }

    fn words(self, preference: &[&str]) -> Result<Vec<(String, String)>, String> {
        let mut words = Vec::with_capacity(self.tokens.len());
        let mut fused = self.fused.iter().peekable();
        let mut next = 0;
        while next < self.tokens.len() {
            let Some(whole) = fused.next_if(|f| f.first == next + 1) else {
                let token = &self.tokens[next];
                words.push((token.form.clone(), token.tag.clone()));
                next += 1;
                continue;
            };
            if whole.last > self.tokens.len() {
                return Err(format!(
                    "the multi-word token {}-{} goes past the sentence's end",
                    whole.first, whole.last
                ));
            }
            let rank = |tag: &str| preference.iter().position(|p| *p == tag).unwrap_or(preference.len());
            let head = (next..whole.last).min_by_key(|&t| (self.depth(t), rank(&self.tokens[t].tag)));
            words.push((whole.form.clone(), self.tokens[head.unwrap_or(next)].tag.clone()));
            next = whole.last;
        }
        match fused.next() {
            Some(f) => Err(format!("the multi-word token {}-{} has no tokens", f.first, f.last)),
            None => Ok(words),
        }
    }
}

/// A form without spaces and zero-width non-joiners; a form of nothing else stays as it is.
fn cleaned(form: &str) -> String {
    let kept: String = form.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '\u{200c}')).collect();
    if kept.is_empty() { form.to_owned() } else { kept }
}
