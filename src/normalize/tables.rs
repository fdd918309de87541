//! The files that canonical rows go to: one a (split, language).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use serde::{Deserialize, Serialize};

use super::{NormalizeError, clock};
use crate::distinct::{self, Seen};
use crate::error::Error;
use crate::schema::Table;
use crate::shard::{KeyColumns, Writer, read_batches, table_path};
use crate::task::Split;

/// One canonical table that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NormalizedTable {
    /// Its split.
    pub split: Split,
    /// Its language, ISO 639-1.
    pub language: String,
    /// Its number of rows.
    pub rows: u64,
    /// Its file, relative to the output directory.
    pub path: PathBuf,
    /// How many examples (word tagging: words) have each label; for spans, how many are `answerable` or `unanswerable`.
    pub labels: BTreeMap<String, u64>,
}

struct Open {
    writer: Writer,
    table: NormalizedTable,
    /// The ids so far.
    seen: Seen,
}

/// The tables of one split that a stream of rows fills.
pub(super) struct Tables<'a> {
    contract: &'static Table,
    output: &'a Path,
    metadata: &'a [(&'a str, &'a str)],
    split: Split,
    /// The languages asked for; rows of others are left out.
    languages: &'a [String],
    /// The most rows of each table.
    limit: Option<u64>,
    open: BTreeMap<String, Open>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(
        contract: &'static Table,
        output: &'a Path,
        metadata: &'a [(&'a str, &'a str)],
        split: Split,
        languages: &'a [String],
        limit: Option<u64>,
    ) -> Self {
        Self { contract, output, metadata, split, languages, limit, open: BTreeMap::new() }
    }

    /// Whether no row of `language` (or, where the rows may be of any, of any language) is wanted any more.
    pub(super) fn is_full(&self, language: Option<&str>) -> bool {
        let full = |language: &str| {
            let rows = self.open.get(language).map_or(0, |open| open.table.rows);
            self.limit.is_some_and(|limit| rows >= limit)
        };
        match language {
            Some(language) => full(language),
            None => self.languages.iter().all(|language| full(language)),
        }
    }

    /// Appends each row to its language's table, which has the columns `keys` of a second language. `origin` has the raw row of each; `wrong` makes an error about one.
    pub(super) fn write(
        &mut self,
        rows: &RecordBatch,
        keys: KeyColumns,
        origin: &Int64Array,
        wrong: impl Fn(usize, String) -> NormalizeError,
    ) -> Result<(), Error> {
        for (language, indices) in by_language(rows) {
            if !self.languages.contains(&language) {
                continue;
            }
            let open = match self.open.entry(language) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    let path = table_path(self.split.name(), entry.key());
                    let schema = self.contract.schema_with(|name| keys.has(name));
                    let writer = Writer::create(&self.output.join(&path), &schema, self.metadata)?;
                    let (split, language) = (self.split, entry.key().clone());
                    let table = NormalizedTable { split, language, rows: 0, path, labels: BTreeMap::new() };
                    entry.insert(Open { writer, table, seen: Seen::new(self.output) })
                }
            };
            let left = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(open.table.rows));
            let left = usize::try_from(left).unwrap_or(usize::MAX).min(indices.len());
            let indices = &indices[..left];
            let ids = rows.column(0).as_string::<i32>();
            for &index in indices {
                let index = index as usize;
                if !open
                    .seen
                    .insert(distinct::hash(ids.value(index)), origin.value(index))
                    .map_err(NormalizeError::File)?
                {
                    return Err(wrong(index, TWICE.to_owned()).into());
                }
            }
            let kept = if indices.len() == rows.num_rows() {
                rows.clone()
            } else {
                take_record_batch(rows, &UInt32Array::from(indices.to_vec())).expect("indices are within the batch")
            };
            count_labels(&kept, &mut open.table.labels);
            open.table.rows += kept.num_rows() as u64;
            open.writer.write(&kept)?;
        }
        Ok(())
    }

    /// Completes every file; adds the time of writing them to `write`. `wrong` makes an error about a raw row and its
    /// example id.
    pub(super) fn finish(
        self,
        write: &AtomicU64,
        wrong: impl Fn(i64, String, String) -> NormalizeError,
    ) -> Result<Vec<NormalizedTable>, Error> {
        let finish = |open: Open| -> Result<NormalizedTable, Error> {
            clock::add(write, open.writer.finish()?.time);
            if let Some(twice) = open.seen.twice().map_err(NormalizeError::File)? {
                let id = id_with(twice.hash, &self.output.join(&open.table.path))?;
                return Err(wrong(twice.row, id, TWICE.to_owned()).into());
            }
            Ok(open.table)
        };
        self.open.into_values().map(finish).collect()
    }
}

const TWICE: &str = "its example_id is that of an earlier row of the same split and language";

/// The id in the canonical table `path` that has `hash`.
fn id_with(hash: u128, path: &Path) -> Result<String, Error> {
    for batch in read_batches(path)? {
        let batch = batch?;
        let mut ids = batch.column(0).as_string::<i32>().iter().flatten();
        if let Some(id) = ids.find(|id| distinct::hash(id) == hash) {
            return Ok(id.to_owned());
        }
    }
    Ok(String::new())
}

/// The indices of each language's rows, in order.
fn by_language(rows: &RecordBatch) -> BTreeMap<String, Vec<u32>> {
    let mut indices: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (index, language) in (0u32..).zip(rows.column(1).as_string::<i32>().iter()) {
        let language = language.unwrap_or_default();
        match indices.get_mut(language) {
            Some(list) => list.push(index),
            None => drop(indices.insert(language.to_owned(), vec![index])),
        }
    }
    indices
}

/// Adds each row's label (word tagging: each word's; spans: whether there is an answer) to `counts`.
pub(super) fn count_labels(rows: &RecordBatch, counts: &mut BTreeMap<String, u64>) {
    let mut count = |label: &str| match counts.get_mut(label) {
        Some(count) => *count += 1,
        None => drop(counts.insert(label.to_owned(), 1)),
    };
    let column = |name: &str| rows.column_by_name(name).map(AsRef::as_ref);
    if let Some(labels) = column("label").and_then(|c: &dyn Array| c.as_string_opt::<i32>()) {
        labels.iter().flatten().for_each(&mut count);
    } else if let Some(labels) = column("label").and_then(|c| c.as_primitive_opt::<UInt32Type>()) {
        labels.iter().flatten().for_each(|label| count(&label.to_string()));
    } else if let Some(tags) = column("tags").and_then(|c| c.as_list_opt::<i32>()) {
        tags.iter().flatten().for_each(|tags| tags.as_string::<i32>().iter().flatten().for_each(&mut count));
    } else if let Some(answerable) = column("answerable").and_then(|c| c.as_boolean_opt()) {
        answerable.iter().flatten().for_each(|yes| count(if yes { "answerable" } else { "unanswerable" }));
    }
}
