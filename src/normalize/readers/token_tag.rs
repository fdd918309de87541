//! One `word TAB tag` a line, a blank line between sentences: the form in which XTREME keeps its tagging tasks.

use super::{Batches, Lines, NormalizeError, RawPart, Sentences, batch, batches};
use crate::shard::BATCH_ROWS;

/// Reads `part` into `words` and `tags`.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let mut sentences = Sentences::new();
    let mut tokens: Vec<(String, String)> = Vec::new();
    Ok(batches(move || {
        while sentences.len() < BATCH_ROWS {
            let line = lines.next()?;
            if let Some(text) = line.filter(|text| !text.is_empty()) {
                let mut columns = text.split('\t');
                match (columns.next(), columns.next(), columns.next()) {
                    (Some(word), Some(tag), None) if !word.is_empty() && !tag.is_empty() => {
                        tokens.push((word.to_owned(), tag.to_owned()));
                    }
                    _ => return Err(lines.wrong("should be a word, a tab and a tag, or blank between sentences")),
                }
                continue;
            }
            let over = line.is_none();
            if !tokens.is_empty() {
                sentences.push(tokens.iter().map(|(word, tag)| (word.as_str(), tag.as_str())));
                tokens.clear();
            }
            if over {
                break;
            }
        }
        Ok(batch(sentences.finish()))
    }))
}
