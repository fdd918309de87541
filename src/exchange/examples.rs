//! The examples of a canonical table in its own order, which is that of the raw files: lines have no other name.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt32Type;

use super::ExchangeError;
use crate::shard::{Columns, ShardError, read_batches};
use crate::task::Format;

/// What an exchange must know of an example.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Its label.
    Label(Option<String>),
    /// Its right choice, and how many there are.
    Choice { answer: Option<u32>, choices: u32 },
    /// How many words it has, and their tags.
    Words { count: usize, tags: Option<Vec<String>> },
    /// Its context, its question, and the answers with their byte offsets.
    Question { context: String, question: String, answers: Vec<(String, u32)> },
    /// The `example_id` of its counterparts, joined by spaces, in retrieval.
    Query(Option<String>),
}

/// One example.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Example {
    pub id: String,
    pub kind: Kind,
}

/// The examples of one language's evaluation split.
#[derive(Debug)]
pub(super) struct Examples {
    pub path: PathBuf,
    /// In retrieval the queries.
    pub rows: Vec<Example>,
    /// In retrieval the ids of the index sentences.
    pub index: Vec<String>,
}

/// Reads the canonical table at `path`.
pub(super) fn read(path: &Path, format: Format) -> Result<Examples, ExchangeError> {
    let mut examples = Examples { path: path.to_owned(), rows: Vec::new(), index: Vec::new() };
    for batch in read_batches(path)? {
        let batch = batch?;
        let columns = Columns::new(path, &batch);
        let ids = columns.text("example_id")?;
        for row in 0..batch.num_rows() {
            let id = ids.value(row).to_owned();
            let text = |name: &str| -> Result<Option<String>, ShardError> {
                let column = columns.text(name)?;
                Ok(column.is_valid(row).then(|| column.value(row).to_owned()))
            };
            let texts = |name: &str| -> Result<Option<Vec<String>>, ShardError> {
                let lists = columns.list(name)?;
                let items = lists.is_valid(row).then(|| lists.value(row));
                let strings = items.as_ref().and_then(|items| items.as_string_opt::<i32>());
                Ok(strings.map(|items| items.iter().flatten().map(str::to_owned).collect()))
            };
            let kind = match format {
                Format::Classification | Format::PairClassification => Kind::Label(text("label")?),
                Format::MultipleChoice => {
                    let answers = columns.uint32("label")?;
                    let choices = columns.list("choices")?.value(row).len() as u32;
                    Kind::Choice { answer: answers.is_valid(row).then(|| answers.value(row)), choices }
                }
                Format::WordTagging => {
                    Kind::Words { count: columns.list("words")?.value(row).len(), tags: texts("tags")? }
                }
                Format::SpanExtraction => {
                    let starts = columns.list("answer_starts")?.value(row);
                    let starts = starts.as_primitive_opt::<UInt32Type>().map(|starts| starts.values().to_vec());
                    let answers = texts("answer_texts")?.unwrap_or_default();
                    Kind::Question {
                        context: text("context")?.unwrap_or_default(),
                        question: text("question")?.unwrap_or_default(),
                        answers: answers.into_iter().zip(starts.unwrap_or_default()).collect(),
                    }
                }
                Format::SentenceRetrieval if columns.text("side")?.value(row) == "index" => {
                    examples.index.push(id);
                    continue;
                }
                Format::SentenceRetrieval => Kind::Query(text("gold")?),
                Format::Text => continue,
            };
            examples.rows.push(Example { id, kind });
        }
    }
    Ok(examples)
}
