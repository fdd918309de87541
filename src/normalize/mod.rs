//! Raw bytes to canonical tables: a reader makes raw columns, one SQL statement makes canonical ones, and the contract
//! checks every row. No code here knows a task by name.
//!
//! Rows stream: memory holds a few batches a thread, and a row group of each table being written. Files of different
//! languages are worked on in parallel, and while the rows of a batch are worked on, those after them are read and those
//! before them written; each table is filled by one thread, in the order of the files and their rows, so that its bytes
//! do not depend on the number of threads.

mod ahead;
mod answers;
mod clock;
mod contract;
mod error;
mod readers;
mod sql;
mod tables;
mod view;

pub use clock::Seconds;
pub use error::NormalizeError;
pub use tables::NormalizedTable;
pub use view::{AnyTransform, PartTable, ViewOutcome, ViewRequest, make_view};

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::progress::{self, Progress};
use crate::shard::KeyColumns;
use crate::source::{RawFile, RawPart, RawTask};
use crate::task::{Format, Reader, Split, Task};
use ahead::read_ahead;
use clock::{Clock, timed};
use contract::{Contract, Place};
use sql::Query;
use tables::Tables;

/// What a task's file says that its canonical rows are.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The task's id, for messages.
    pub id: &'a str,
    /// The shape of the rows.
    pub format: Format,
    /// The labels that rows may have, in head order; empty where the set is open.
    pub labels: &'a [String],
    /// Whether the label set is whatever the training split holds.
    pub open_labels: bool,
    /// The columns of the SQL's result that form the list `choices`, in order.
    pub choices: &'a [String],
    /// The languages that rows may be in (ISO 639-1).
    pub languages: &'a [String],
}

/// What to normalise.
#[derive(Clone, Copy)]
pub struct NormalizeRequest<'a> {
    /// What the rows are to be.
    pub terms: Terms<'a>,
    /// Its raw files.
    pub raw: &'a RawTask,
    /// The languages wanted (ISO 639-1); rows of others are left out.
    pub languages: &'a [String],
    /// The most examples of each language in a split, where it has a limit: the first ones of the files.
    pub limits: &'a BTreeMap<Split, u64>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormalizeOutcome {
    /// Every table, by split and language.
    pub tables: Vec<NormalizedTable>,
    /// How many examples have each label, over all tables.
    pub labels: BTreeMap<String, u64>,
    /// The label set in head order: the task's, or, where that is open, the labels of the training tables by name.
    pub label_set: Vec<String>,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Files whose rows one thread reads, in order: those of a split, or of a split and language where paths name one.
struct Group<'a> {
    split: Split,
    language: Option<&'a str>,
    files: Vec<&'a RawFile>,
}

/// Writes the canonical tables of `request` below `output`, at the paths of [`crate::shard::table_path`], with `metadata`
/// and the schema's id and version in each footer.
///
/// # Errors
/// Everything that a raw file can do wrong, with the file and the line or row named; a split without examples. Files may be
/// half-written then: `output` is to be thrown away.
pub fn normalize(
    request: &NormalizeRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<NormalizeOutcome, Error> {
    let queries = Queries::parse(request.terms.id, request.raw)?;
    let contract = Contract::new(request.terms, request.raw.answer_offsets);
    let schema = contract.table().metadata();
    let metadata: Vec<(&str, &str)> =
        metadata.iter().copied().chain(schema.iter().map(|(key, value)| (*key, value.as_str()))).collect();
    let groups = groups(&request.raw.files);
    progress.start(0, "rows");
    let run = Run {
        request,
        queries: &queries,
        contract: &contract,
        output,
        metadata: &metadata,
        progress,
        rows: AtomicU64::new(0),
        clock: Arc::default(),
    };
    let mut tables = run.groups(&groups, stop)?;
    progress.finish();
    tables.sort_by(|a, b| (a.split, &a.language).cmp(&(b.split, &b.language)));
    check(request, &groups, &tables)?;
    let (labels, label_set, seconds) = (labels_of(&tables), label_set(request.terms, &tables), run.clock.seconds());
    Ok(NormalizeOutcome { tables, labels, label_set, seconds })
}

/// The names of the columns that `reader` makes of the raw file at `path`, as far as its first rows show them.
///
/// # Errors
/// A file that is missing, empty or not of the reader's format, with the line or row named.
pub fn raw_columns(path: &Path, reader: Reader) -> Result<Vec<String>, Error> {
    let part = RawPart::plain(path.to_owned(), reader);
    let file = RawFile { split: Split::Train, language: None, parts: vec![part], sql: None };
    let first = readers::open(&file, None)?.next().transpose()?;
    let first = first.ok_or_else(|| NormalizeError::content(path, "it has no rows"))?;
    Ok(first.schema().fields().iter().map(|field| field.name().clone()).collect())
}

fn labels_of(tables: &[NormalizedTable]) -> BTreeMap<String, u64> {
    let mut labels = BTreeMap::new();
    for (label, count) in tables.iter().flat_map(|table| &table.labels) {
        *labels.entry(label.clone()).or_insert(0) += count;
    }
    labels
}

/// The labels in head order: the task's own, or what its training tables hold, by name.
fn label_set(terms: Terms, tables: &[NormalizedTable]) -> Vec<String> {
    if !terms.open_labels {
        return terms.labels.to_vec();
    }
    let training = tables.iter().filter(|table| table.split == Split::Train);
    let labels: std::collections::BTreeSet<&String> = training.flat_map(|table| table.labels.keys()).collect();
    labels.into_iter().cloned().collect()
}

fn groups(files: &[RawFile]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for file in files {
        let language = file.language.as_deref();
        match groups.iter_mut().find(|g| g.split == file.split && g.language == language) {
            Some(group) => group.files.push(file),
            None => groups.push(Group { split: file.split, language, files: vec![file] }),
        }
    }
    groups
}

/// What no single thread can see: tables that two of them wrote, empty splits.
fn check(request: &NormalizeRequest, groups: &[Group], tables: &[NormalizedTable]) -> Result<(), NormalizeError> {
    let task = request.terms.id;
    if let Some(twice) = tables.windows(2).find(|pair| pair[0].path == pair[1].path) {
        let (split, language) = (twice[0].split.to_string(), twice[0].language.clone());
        return Err(NormalizeError::Twice { task: task.to_owned(), split, language });
    }
    for group in groups {
        if !tables.iter().any(|table| table.split == group.split) {
            let names: Vec<&str> = group.files.iter().flat_map(|f| &f.parts).map(|part| part.name.as_str()).collect();
            let split = group.split.to_string();
            return Err(NormalizeError::Empty { task: task.to_owned(), split, files: names.join(", ") });
        }
    }
    Ok(())
}

/// Whether each table of `task` has as many rows as its file expects.
///
/// # Errors
/// [`NormalizeError::Count`] for the first table that has more or fewer.
pub fn check_counts<'a>(
    task: &Task,
    tables: impl IntoIterator<Item = &'a NormalizedTable>,
) -> Result<(), NormalizeError> {
    for table in tables {
        if let Some(expected) = task.expect.get(&table.split).and_then(|expected| expected.of(&table.language))
            && expected != table.rows
        {
            let (split, language) = (table.split.to_string(), table.language.clone());
            return Err(NormalizeError::Count { task: task.id.clone(), split, language, found: table.rows, expected });
        }
    }
    Ok(())
}

/// The SQL of each file: the task's, but for files that bring their own.
struct Queries<'a> {
    default: Option<Query>,
    own: BTreeMap<&'a str, Query>,
}

impl<'a> Queries<'a> {
    fn parse(task: &str, raw: &'a RawTask) -> Result<Self, NormalizeError> {
        let default = raw.files.iter().any(|file| file.sql.is_none());
        let default = default.then(|| Query::parse(task, &raw.sql)).transpose()?;
        let mut own = BTreeMap::new();
        for sql in raw.files.iter().filter_map(|file| file.sql.as_deref()) {
            if !own.contains_key(sql) {
                own.insert(sql, Query::parse(task, sql)?);
            }
        }
        Ok(Self { default, own })
    }

    fn of(&self, file: &RawFile) -> &Query {
        let own = file.sql.as_deref().map(|sql| &self.own[sql]);
        own.or(self.default.as_ref()).expect("the SQL of every file was parsed")
    }
}

struct Run<'a> {
    request: &'a NormalizeRequest<'a>,
    queries: &'a Queries<'a>,
    contract: &'a Contract<'a>,
    output: &'a Path,
    metadata: &'a [(&'a str, &'a str)],
    progress: &'a dyn Progress,
    rows: AtomicU64,
    clock: Arc<Clock>,
}

impl Run<'_> {
    /// The tables of all groups, on as many threads as the current rayon pool has. They are not that pool's: the SQL's
    /// engine has a pool of its own, and a rayon thread that waits for another pool takes up further groups meanwhile.
    fn groups(&self, groups: &[Group], stop: &AtomicBool) -> Result<Vec<NormalizedTable>, Error> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(group) = groups.get(index) else { break };
                let result = self.group(group, stop);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                done.push((index, result));
            }
            done
        };
        let mut results = std::thread::scope(|scope| {
            let threads = rayon::current_num_threads().min(groups.len());
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let join = |worker: ScopedJoinHandle<_>| worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            workers.into_iter().flat_map(join).collect::<Vec<_>>()
        });
        results.sort_by_key(|(index, _)| *index);
        let tables = results.into_iter().map(|(_, result)| result).collect::<Result<Vec<_>, _>>()?;
        Ok(tables.into_iter().flatten().collect())
    }

    fn group(&self, group: &Group, stop: &AtomicBool) -> Result<Vec<NormalizedTable>, Error> {
        let request = self.request;
        let limit = request.limits.get(&group.split).copied();
        let mut tables =
            Tables::new(self.contract.table(), self.output, self.metadata, group.split, request.languages, limit);
        let mut next_row = 0;
        let mut places: Vec<Place> = Vec::with_capacity(group.files.len());
        'files: for file in &group.files {
            let query = self.queries.of(file);
            let part = file.parts.first().expect("a raw file has a part");
            let path = &part.path;
            let place = Place { path, first_row: next_row, language: group.language };
            places.push(place);
            for batch in read_ahead(path, readers::open(file, query.columns())?, &self.clock)? {
                progress::check(stop)?;
                if tables.is_full(group.language) {
                    break 'files;
                }
                let batch = batch?;
                let raw = with_place(batch, next_row, group, &part.name);
                next_row += raw.num_rows() as i64;
                let selected = timed(&self.clock.sql, || query.run(path, &raw))?;
                let rows = timed(&self.clock.contract, || self.contract.assemble(&selected, place))?;
                let keys = KeyColumns::of(selected.columns.schema_ref());
                tables.write(&rows, keys, &selected.rows, |index, message| {
                    Contract::wrong(&rows, &selected, place, index, message)
                })?;
                let rows = raw.num_rows() as u64;
                self.progress.advance(self.rows.fetch_add(rows, Ordering::Relaxed) + rows, "");
            }
        }
        tables.finish(&self.clock.write, |row, example, message| {
            let after = places.partition_point(|place| place.first_row <= row);
            let place = places[after.saturating_sub(1)];
            NormalizeError::Row { path: place.path.to_owned(), row: row - place.first_row, example, message }
        })
    }
}

/// `batch` with the columns that every reader adds: `row`, `lang`, `split` and `file`. A column of the file that has one of
/// these names gets `raw_` before it.
fn with_place(batch: RecordBatch, first_row: i64, group: &Group, file: &str) -> RecordBatch {
    let rows = batch.num_rows();
    let row = Int64Array::from_iter_values(first_row..first_row + rows as i64);
    let text = |value: &str| Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows))) as ArrayRef;
    let lang = group.language.map_or_else(|| new_null_array(&DataType::Utf8, rows), text);
    let added =
        [("row", Arc::new(row) as ArrayRef), ("lang", lang), ("split", text(group.split.name())), ("file", text(file))];
    let schema = batch.schema();
    let own = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let taken = added.iter().any(|(name, _)| name == field.name());
        let name = if taken { format!("raw_{}", field.name()) } else { field.name().clone() };
        (name, column.clone(), true)
    });
    let columns = own.chain(added.iter().map(|(name, column)| ((*name).to_owned(), column.clone(), true)));
    RecordBatch::try_from_iter_with_nullable(columns).expect("the columns are equally long")
}

#[cfg(test)]
mod tests;
