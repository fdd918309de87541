//! Mewsli-X's mentions: one JSON document a line, one row a mention, with the sentence that it stands in.

use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, Int64Builder, StringBuilder};
use serde::Deserialize;

use super::{Batches, Lines, NormalizeError, RawPart, batch, batches};
use crate::shard::BATCH_ROWS;

#[derive(Deserialize)]
struct Document {
    context: Context,
    mentions: Vec<Mention>,
}

#[derive(Deserialize)]
struct Context {
    document_id: String,
    document_title: String,
    language: String,
    text: String,
    sentence_spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Mention {
    example_id: String,
    entity_id: String,
    mention_span: MentionSpan,
}

/// Code points from `start` to before `end`.
#[derive(Deserialize, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Deserialize)]
struct MentionSpan {
    start: usize,
    end: usize,
    text: String,
}

/// The columns of text, in order.
const TEXTS: [&str; 7] = ["id", "language", "document_id", "document_title", "sentence", "mention", "entity_id"];

/// Reads `part`.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    Ok(batches(move || {
        let mut texts: [StringBuilder; 7] = std::array::from_fn(|_| StringBuilder::new());
        let mut offsets: [Int64Builder; 2] = std::array::from_fn(|_| Int64Builder::new());
        while texts[0].len() < BATCH_ROWS {
            let Some(line) = lines.next()? else { break };
            if line.trim().is_empty() {
                continue;
            }
            let document: Document = match serde_json::from_str(line) {
                Ok(document) => document,
                Err(e) => return Err(lines.wrong(format!("not a document with mentions: {e}"))),
            };
            let context = &document.context;
            for mention in &document.mentions {
                let (sentence, start, end) = locate(context, mention).map_err(|message| lines.wrong(message))?;
                let values = [
                    &mention.example_id,
                    &context.language,
                    &context.document_id,
                    &context.document_title,
                    sentence,
                    &mention.mention_span.text,
                    &mention.entity_id,
                ];
                for (column, value) in texts.iter_mut().zip(values) {
                    column.append_value(value);
                }
                for (column, value) in offsets.iter_mut().zip([start, end]) {
                    column.append_value(i64::try_from(value).unwrap_or(i64::MAX));
                }
            }
        }
        let texts = texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let offsets = offsets.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let names = TEXTS.into_iter().chain(["mention_start", "mention_end"]).map(str::to_owned);
        Ok(batch(names.zip(texts.chain(offsets)).collect()))
    }))
}

/// The sentence of `mention` (the text from its first sentence to its last, should it cross a boundary), and its code points
/// therein.
fn locate<'a>(context: &'a Context, mention: &Mention) -> Result<(&'a str, usize, usize), String> {
    let id = &mention.example_id;
    if context.text.is_empty() {
        return Err(format!(
            "mention {id} stands in a document without text: fill the texts in with the release's own script"
        ));
    }
    let &MentionSpan { start, end, text: ref words } = &mention.mention_span;
    if slice(&context.text, Span { start, end }) != Some(words) {
        return Err(format!(
            "mention {id} is \"{words}\", but that does not stand at character {start} of its document"
        ));
    }
    let mut around = context.sentence_spans.iter().filter(|span| span.start < end && start < span.end);
    let first = around.next().copied().filter(|span| span.start <= start);
    let last = around.next_back().copied().or(first).filter(|span| span.end >= end);
    let span = first.zip(last).map(|(first, last)| Span { start: first.start, end: last.end });
    match span.and_then(|span| Some((slice(&context.text, span)?, span))) {
        Some((sentence, span)) => Ok((sentence, start - span.start, end - span.start)),
        None => Err(format!("mention {id} stands in none of its document's sentences")),
    }
}

/// The code points of `span`; `None` where the text has not that many.
fn slice(text: &str, span: Span) -> Option<&str> {
    let byte = |position: usize| text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(position);
    text.get(byte(span.start)?..byte(span.end)?)
}
