//! The gold of canonical tables, as scoring needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};

use super::EvaluateError;
use crate::shard::{Columns, ShardError, read_batches};

/// What is right for one example.
#[derive(Debug)]
pub(super) enum Gold {
    /// A label of the task.
    Label(String),
    /// An index into so many choices.
    Choice { answer: u32, choices: u32 },
    /// The `example_id` of an index sentence.
    Sentence(String),
    /// A tag per word.
    Tags(Vec<String>),
    /// Any of these answers; that there is none, where the list is empty.
    Answers(Vec<String>),
}

/// The gold of one split in one language.
#[derive(Debug)]
pub(super) struct GoldTable {
    pub path: PathBuf,
    /// By `example_id`, so that scores don't depend on the order of rows.
    pub examples: BTreeMap<String, Gold>,
    /// The ids of the index sentences, in retrieval.
    pub sentences: BTreeSet<String>,
}

/// Reads the canonical table at `path`, which holds examples of `format`. Gold that is not there is an error: a score
/// over the rest would pass for a score of the split. Where questions may be `unanswerable`, no answer is gold, too.
pub(super) fn read(path: &Path, format: &str, unanswerable: bool) -> Result<GoldTable, EvaluateError> {
    let mut table = GoldTable { path: path.to_owned(), examples: BTreeMap::new(), sentences: BTreeSet::new() };
    each_row(path, |columns, row, id| {
        if format == "sentence-retrieval" && columns.text("side")?.value(row) == "index" {
            table.sentences.insert(id.to_owned());
            return Ok(());
        }
        let Some(gold) = gold(path, columns, (format, unanswerable), row, id)? else {
            return Err(EvaluateError::example(path, id, "has no gold; score a split whose gold is published"));
        };
        if table.examples.insert(id.to_owned(), gold).is_some() {
            return Err(EvaluateError::example(path, id, "stands twice in the gold; normalize the split again"));
        }
        Ok(())
    })?;
    if table.examples.is_empty() {
        return Err(EvaluateError::Empty { path: path.to_owned() });
    }
    Ok(table)
}

fn gold(
    path: &Path,
    columns: &Columns<'_>,
    (format, unanswerable): (&str, bool),
    row: usize,
    id: &str,
) -> Result<Option<Gold>, EvaluateError> {
    Ok(match format {
        "classification" | "pair-classification" => text(columns, "label", row)?.map(Gold::Label),
        "multiple-choice" => {
            let answers = columns.uint32("label")?;
            let choices = columns.list("choices")?.value(row).len() as u32;
            answers.is_valid(row).then(|| Gold::Choice { answer: answers.value(row), choices })
        }
        "sentence-retrieval" => text(columns, "gold", row)?.map(Gold::Sentence),
        "word-tagging" => texts(path, columns, "tags", row, id)?.map(Gold::Tags),
        "span-extraction" => {
            let answers = texts(path, columns, "answer_texts", row, id)?;
            answers.filter(|answers| unanswerable || !answers.is_empty()).map(Gold::Answers)
        }
        other => return Err(unknown_format(other)),
    })
}

/// The error for a format that can't be scored.
pub(super) fn unknown_format(format: &str) -> EvaluateError {
    EvaluateError::Unknown {
        kind: "format",
        name: format.to_owned(),
        known:
            "classification, pair-classification, multiple-choice, span-extraction, word-tagging, sentence-retrieval"
                .to_owned(),
    }
}

/// Calls `visit` with the columns of a batch, a row of it and the row's `example_id`, for every row of the file.
pub(super) fn each_row(
    path: &Path,
    mut visit: impl FnMut(&Columns<'_>, usize, &str) -> Result<(), EvaluateError>,
) -> Result<(), EvaluateError> {
    for batch in read_batches(path)? {
        let batch = batch?;
        let columns = Columns::new(path, &batch);
        let ids = columns.text("example_id")?;
        for row in 0..batch.num_rows() {
            visit(&columns, row, ids.value(row))?;
        }
    }
    Ok(())
}

/// The text in a row of a `utf8` column, if it is not null.
pub(super) fn text(columns: &Columns<'_>, name: &str, row: usize) -> Result<Option<String>, EvaluateError> {
    let column = columns.text(name)?;
    Ok(column.is_valid(row).then(|| column.value(row).to_owned()))
}

/// The texts in a row of a `list<utf8>` column, if it is not null.
pub(super) fn texts(
    path: &Path,
    columns: &Columns<'_>,
    name: &str,
    row: usize,
    id: &str,
) -> Result<Option<Vec<String>>, EvaluateError> {
    let lists = columns.list(name)?;
    if lists.is_null(row) {
        return Ok(None);
    }
    let items = lists.value(row);
    let Some(items) = items.as_string_opt::<i32>() else {
        let (path, column) = (path.to_owned(), name.to_owned());
        return Err(ShardError::Column { path, column, expected: "a list of utf8" }.into());
    };
    if items.null_count() > 0 {
        return Err(EvaluateError::example(path, id, format!("has a null in `{name}`; normalize the split again")));
    }
    Ok(Some(items.iter().flatten().map(str::to_owned).collect()))
}
