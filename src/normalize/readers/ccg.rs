//! CCGbank's AUTO files: `id`, `words` and `tags` (lexical categories) of each derivation.
//!
//! A derivation is two lines, `ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1` and one of nested brackets, with inner nodes
//! `(<T category head children> … )` and leaves `(<L category tag tag word category>)`. The brackets are checked as a whole,
//! so that a broken line can't lose a word.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};

use super::{Batches, Lines, NormalizeError, RawPart, Sentences, batch, batches};
use crate::shard::BATCH_ROWS;

/// Reads `part`.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let mut ids = StringBuilder::new();
    let mut sentences = Sentences::new();
    let mut id: Option<String> = None;
    Ok(batches(move || {
        while sentences.len() < BATCH_ROWS {
            let Some(line) = lines.next()? else {
                if let Some(id) = id.take() {
                    return Err(
                        lines.wrong(format!("the file ends after the line of id {id}; its derivation is missing"))
                    );
                }
                break;
            };
            let line = line.trim();
            if let Some(head) = line.strip_prefix("ID=") {
                let name = head.split(' ').next().unwrap_or_default().to_owned();
                if let Some(earlier) = id.replace(name) {
                    return Err(lines.wrong(format!("id {earlier} has no derivation before this line")));
                }
            } else if !line.is_empty() {
                let leaves = match leaves(line) {
                    Ok(leaves) => leaves,
                    Err(message) => return Err(lines.wrong(message)),
                };
                sentences.push(leaves.into_iter());
                let Some(id) = id.take() else {
                    return Err(lines.wrong("a derivation without a line `ID=…` before it; is this an AUTO file?"));
                };
                ids.append_value(id);
            }
        }
        let mut columns = vec![("id".to_owned(), Arc::new(ids.finish()) as ArrayRef)];
        columns.extend(sentences.finish());
        Ok(batch(columns))
    }))
}

/// An inner node that is not closed yet.
struct Inner {
    /// The number of children that it says it has.
    said: usize,
    found: usize,
}

/// Word and category of each leaf of a derivation, in order.
fn leaves(line: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut leaves = Vec::new();
    let mut path: Vec<Inner> = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let at = line[..line.len() - rest.len()].chars().count() + 1;
        let first: String = rest.chars().take_while(|c| *c != ' ').take(20).collect();
        if at > 1 && path.is_empty() {
            return Err(format!("`{first}` at character {at} stands behind the end of the derivation"));
        }
        if let Some(leaf) = rest.strip_prefix("(<L ") {
            let leaf = leaf_fields(leaf)
                .ok_or_else(|| format!("the leaf at character {at} is not `(<L category tag tag word category>)`"))?;
            leaves.push((leaf.word, leaf.category));
            if let Some(parent) = path.last_mut() {
                parent.found += 1;
            }
            rest = leaf.rest;
        } else if let Some(node) = rest.strip_prefix("(<T ") {
            let (said, behind) = children(node)
                .ok_or_else(|| format!("the node at character {at} is not `(<T category head children> …)`"))?;
            if let Some(parent) = path.last_mut() {
                parent.found += 1;
            }
            path.push(Inner { said, found: 0 });
            rest = behind;
        } else if let (Some(behind), Some(Inner { said, found })) = (rest.strip_prefix(')'), path.pop()) {
            if said != found {
                return Err(format!(
                    "the node closed at character {at} says {said} children, but has {found}; copy the file again"
                ));
            }
            rest = behind;
        } else {
            return Err(format!("`{first}` at character {at} is neither a node nor a bracket"));
        }
        rest = rest.trim_start_matches(' ');
    }
    match path.len() {
        0 => Ok(leaves),
        open => Err(format!("the line ends within {open} open brackets; it may be truncated")),
    }
}

struct Leaf<'a> {
    category: &'a str,
    word: &'a str,
    rest: &'a str,
}

/// The leaf whose text behind `(<L ` begins `text`.
fn leaf_fields(text: &str) -> Option<Leaf<'_>> {
    let (category, text) = text.split_once(' ')?;
    let (_, text) = text.split_once(' ')?;
    let (_, text) = text.split_once(' ')?;
    let (word, text) = text.split_once(' ')?;
    let (predicate, rest) = text.split_once(">)")?;
    let well_formed = !category.is_empty() && !word.is_empty() && !predicate.contains(' ');
    well_formed.then_some(Leaf { category, word, rest })
}

/// The number of children of the node whose text behind `(<T ` begins `text`, and what stands behind its label.
fn children(text: &str) -> Option<(usize, &str)> {
    let (category, text) = text.split_once(' ')?;
    let (_, text) = text.split_once(' ')?;
    let (children, rest) = text.split_once('>')?;
    let children = children.parse().ok().filter(|children| *children > 0)?;
    (!category.is_empty()).then_some((children, rest))
}
