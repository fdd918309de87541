//! The gold of canonical tables, as scoring needs it.
//!
//! Tables stay as they were read, column by column; an example is a row of them, and everything that is looked up is a slice.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StringArray, UInt32Array};
use rayon::slice::ParallelSliceMut;

use super::EvaluateError;
use super::hash::IdMap;
use crate::shard::{Columns, ShardError, read_batches, read_columns};

/// The texts of a list, without nulls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a> {
    values: &'a StringArray,
    from: usize,
    to: usize,
}

impl<'a> Texts<'a> {
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let values = self.values;
        (self.from..self.to).map(move |at| values.value(at))
    }
}

/// The `example_id`s of the index sentences that are right for a query: at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counterparts<'a>(&'a str);

impl<'a> Counterparts<'a> {
    pub fn iter(self) -> impl Iterator<Item = &'a str> + Clone {
        self.0.split(' ')
    }

    pub fn contains(self, id: &str) -> bool {
        self.iter().any(|one| one == id)
    }
}

/// What is right for one example.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gold<'a> {
    /// A label of the task.
    Label(&'a str),
    /// An index into so many choices.
    Choice { answer: u32, choices: u32 },
    /// The index sentences that are right; that there is none, where queries may have no counterpart.
    Sentences(Option<Counterparts<'a>>),
    /// A tag per word.
    Tags(Texts<'a>),
    /// Any of these answers; that there is none, where the list is empty.
    Answers(Texts<'a>),
}

/// What an example of a table may be without gold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    /// A question without an answer is gold, too.
    pub unanswerable: bool,
    /// A query may have no counterpart.
    pub unmatched: bool,
}

/// A canonical table of one split in one language, on disk and in memory.
pub(super) struct GoldFile {
    pub path: PathBuf,
    format: String,
    batches: Vec<RecordBatch>,
}

impl GoldFile {
    /// Reads the table at `path`, which holds examples of `format`.
    pub fn read(path: &Path, format: &str) -> Result<Self, EvaluateError> {
        let own: &[&str] = match format {
            "classification" | "pair-classification" => &["label"],
            "multiple-choice" => &["label", "choices"],
            "sentence-retrieval" => &["side", "gold"],
            "word-tagging" => &["tags"],
            "span-extraction" => &["answer_texts"],
            other => return Err(unknown_format(other)),
        };
        let names: Vec<&str> = std::iter::once("example_id").chain(own.iter().copied()).collect();
        let batches = read_columns(path, &names)?.collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), format: format.to_owned(), batches })
    }

    /// Looks at what was read.
    pub fn table(&self, open: Open) -> Result<GoldTable<'_>, EvaluateError> {
        let mut table = GoldTable { path: &self.path, examples: Vec::new(), sentences: IdMap::default() };
        for batch in &self.batches {
            let columns = Columns::new(&self.path, batch);
            let ids = columns.text("example_id")?;
            let rows = Rows::of(&columns, &self.format)?;
            for row in 0..batch.num_rows() {
                let id = ids.value(row);
                if rows.is_sentence(row) {
                    table.sentences.insert(id, ());
                    continue;
                }
                let gold = rows.gold(row, open).map_err(|problem| EvaluateError::example(&self.path, id, problem))?;
                table.examples.push((id, gold));
            }
        }
        let sorted = table.examples.is_sorted_by(|a, b| a.0 < b.0);
        if !sorted {
            table.examples.par_sort_unstable_by(|a, b| a.0.cmp(b.0));
        }
        if let Some(pair) = table.examples.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let problem = "stands twice in the gold; normalize the split again";
            return Err(EvaluateError::example(&self.path, pair[0].0, problem));
        }
        Ok(table)
    }
}

/// The gold of one split in one language.
pub(super) struct GoldTable<'a> {
    pub path: &'a Path,
    /// In the order of ids, so that scores don't depend on the order of rows.
    pub examples: Vec<(&'a str, Gold<'a>)>,
    /// The ids of the index sentences, in retrieval.
    pub sentences: IdMap<'a, ()>,
}

/// The columns that gold is in.
enum Rows<'a> {
    Label(&'a StringArray),
    Choice(&'a UInt32Array, &'a ListArray),
    Sentence { side: &'a StringArray, gold: &'a StringArray },
    Tags(&'a ListArray, &'a StringArray),
    Answers(&'a ListArray, &'a StringArray),
}

impl<'a> Rows<'a> {
    fn of(columns: &Columns<'a>, format: &str) -> Result<Self, EvaluateError> {
        Ok(match format {
            "multiple-choice" => Rows::Choice(columns.uint32("label")?, columns.list("choices")?),
            "sentence-retrieval" => Rows::Sentence { side: columns.text("side")?, gold: columns.text("gold")? },
            "word-tagging" => {
                let (lists, values) = columns.texts("tags")?;
                Rows::Tags(lists, values)
            }
            "span-extraction" => {
                let (lists, values) = columns.texts("answer_texts")?;
                Rows::Answers(lists, values)
            }
            _ => Rows::Label(columns.text("label")?),
        })
    }

    fn is_sentence(&self, row: usize) -> bool {
        matches!(self, Rows::Sentence { side, .. } if side.value(row) == "index")
    }

    /// Gold that is not there is an error: a score over the rest would pass for a score of the split.
    fn gold(&self, row: usize, open: Open) -> Result<Gold<'a>, &'static str> {
        const NONE: &str = "has no gold; score a split whose gold is published";
        match *self {
            Rows::Label(labels) if labels.is_valid(row) => Ok(Gold::Label(labels.value(row))),
            Rows::Choice(answers, choices) if answers.is_valid(row) => {
                let choices = choices.value_length(row).unsigned_abs();
                Ok(Gold::Choice { answer: answers.value(row), choices })
            }
            Rows::Sentence { gold, .. } if gold.is_valid(row) => {
                Ok(Gold::Sentences(Some(Counterparts(gold.value(row)))))
            }
            Rows::Sentence { .. } if open.unmatched => Ok(Gold::Sentences(None)),
            Rows::Tags(lists, values) if lists.is_valid(row) => Ok(Gold::Tags(list(lists, values, row)?)),
            Rows::Answers(lists, values) if lists.is_valid(row) => {
                let answers = list(lists, values, row)?;
                if answers.len() == 0 && !open.unanswerable { Err(NONE) } else { Ok(Gold::Answers(answers)) }
            }
            _ => Err(NONE),
        }
    }
}

fn list<'a>(lists: &'a ListArray, values: &'a StringArray, row: usize) -> Result<Texts<'a>, &'static str> {
    let offsets = lists.value_offsets();
    let (from, to) = (offsets[row].unsigned_abs() as usize, offsets[row + 1].unsigned_abs() as usize);
    if values.null_count() > 0 && (from..to).any(|at| values.is_null(at)) {
        return Err("has a null in a list; normalize the split again");
    }
    Ok(Texts { values, from, to })
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
