//! Which evaluation rows stand in training data.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::index::{Index, Match};
use crate::error::Error;
use crate::progress::{Progress, check};
use crate::schema::row::table_row;
use crate::shard::{self, Columns, read_batches};
use crate::task::{Format, Role, Split};

/// Words of a run that two texts share by more than chance (GPT-3's measure of contamination, arXiv 2005.14165).
pub const GRAM: usize = 13;

/// One canonical table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditTable {
    /// The task's id.
    pub task: String,
    /// The task's format.
    pub format: Format,
    /// The task's role: only targets are looked for in other tasks' training data.
    pub role: Role,
    /// The table's split.
    pub split: Split,
    /// The table's language, ISO 639-1.
    pub language: String,
    /// The file.
    pub path: PathBuf,
}

/// Which tables to compare.
pub struct OverlapRequest<'a> {
    /// The tables of all tasks, in any order.
    pub tables: &'a [AuditTable],
}

table_row! {
    /// How much of one field of an evaluation table stands in one other split.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct Overlap: "overlap" {
        /// Task whose rows were searched, in all its languages.
        pub source_task: String,
        /// Its split.
        pub source_split: Split,
        /// Task whose rows were looked for.
        pub task: String,
        /// Their split.
        pub split: Split,
        /// Their language.
        pub language: String,
        /// Their text.
        pub field: String,
        /// `exact` or `13-gram`.
        pub kind: String,
        /// Rows with such a text.
        pub compared: u64,
        /// Rows found.
        pub found: u64,
        /// The share of the compared rows that were found.
        #[serde(skip)]
        pub share: f64,
        /// `example_id` of the first row found.
        pub example: Option<String>,
    }
}

/// What [`overlap`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverlapOutcome {
    /// The table, in the order of source, evaluation table, field.
    #[serde(skip)]
    pub rows: Vec<Overlap>,
    /// Rows that were searched.
    pub searched: u64,
    /// Different hashes of evaluation texts and their runs.
    pub hashes: u64,
    /// Memory that they took, in bytes.
    pub index_bytes: u64,
}

/// Whether the rows of `table` are looked for in `source`: a task's evaluation splits in its own training split, its test
/// split in its validation split, and a target's evaluation splits in the training split of every other task.
fn compares(source: (&str, Split), table: &AuditTable) -> bool {
    let same = source.0 == table.task;
    match (source.1, table.split) {
        (_, Split::Train) | (Split::Test, _) => false,
        (Split::Train, _) => same || table.role == Role::Target,
        (Split::Validation, split) => same && split == Split::Test,
    }
}

/// Looks for the rows of each evaluation table in the training data and writes `overlap.parquet` into `output`, in the
/// schema `overlap`, on the current rayon pool. Evaluation tables are read once into memory as hashes, training tables
/// stream past them.
///
/// # Errors
/// A table that is missing, broken or not canonical, named; more different texts than can be numbered; a failed write;
/// `stop`.
pub fn overlap(
    request: &OverlapRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<OverlapOutcome, Error> {
    let mut tables: Vec<&AuditTable> = request.tables.iter().collect();
    tables.sort_by(|a, b| (&a.task, a.split, &a.language).cmp(&(&b.task, b.split, &b.language)));
    let mut sources: BTreeMap<(&str, Split), Vec<&AuditTable>> = BTreeMap::new();
    for &table in &tables {
        sources.entry((&table.task, table.split)).or_default().push(table);
    }
    sources.retain(|source, _| tables.iter().any(|table| compares(*source, table)));
    let evaluated: Vec<usize> =
        (0..tables.len()).filter(|&t| sources.keys().any(|source| compares(*source, tables[t]))).collect();
    let mut total = 0;
    for table in sources.values().flatten() {
        total += read_batches(&table.path)?.rows() as u64;
    }
    let index = Index::build(&tables, &evaluated, stop)?;
    progress.start(total, "rows");
    let searched = AtomicU64::new(0);
    let mut rows = Vec::new();
    // Where the first row found stands: index of the table, row; by index into `rows`.
    let mut first_found: BTreeMap<(usize, u32), Vec<usize>> = BTreeMap::new();
    for (&source, of_source) in &sources {
        let met = index.nothing_met();
        let advance = |rows: u64| {
            let rows = searched.fetch_add(rows, Ordering::Relaxed) + rows;
            progress.advance(rows, &format!("{} {}", source.0, source.1));
        };
        of_source
            .par_iter()
            .map(|table| index.scan(table.format, &table.path, &met, stop, advance))
            .collect::<Result<Vec<()>, Error>>()?;
        let found = index.found(&met);
        let languages: BTreeSet<&str> = of_source.iter().map(|table| table.language.as_str()).collect();
        for group in &index.groups {
            let table = tables[group.table];
            if !compares(source, table) {
                continue;
            }
            let mut hits = group.rows.iter().filter(|(_, text)| found[*text as usize]);
            let first = hits.next();
            let count = first.iter().count() + hits.count();
            if count == 0 && !languages.contains(table.language.as_str()) {
                continue;
            }
            if let Some((row, _)) = first {
                first_found.entry((group.table, *row)).or_default().push(rows.len());
            }
            rows.push(Overlap {
                source_task: source.0.to_owned(),
                source_split: source.1,
                task: table.task.clone(),
                split: table.split,
                language: table.language.clone(),
                field: group.field.to_owned(),
                kind: match group.by {
                    Match::Exact => "exact".to_owned(),
                    Match::Gram => "13-gram".to_owned(),
                },
                compared: group.rows.len() as u64,
                found: count as u64,
                share: count as f64 / group.rows.len().max(1) as f64,
                example: None,
            });
        }
    }
    name_examples(&tables, first_found, &mut rows, stop)?;
    progress.finish();
    shard::write_rows(&output.join("overlap.parquet"), metadata, &rows)?;
    let (hashes, index_bytes) = (index.hashes() as u64, index.bytes());
    Ok(OverlapOutcome { rows, searched: searched.into_inner(), hashes, index_bytes })
}

/// Fills in `example`: the ids of the rows at `wanted`.
fn name_examples(
    tables: &[&AuditTable],
    wanted: BTreeMap<(usize, u32), Vec<usize>>,
    rows: &mut [Overlap],
    stop: &AtomicBool,
) -> Result<(), Error> {
    let wanted: Vec<((usize, u32), Vec<usize>)> = wanted.into_iter().collect();
    for of_table in wanted.chunk_by(|a, b| a.0.0 == b.0.0) {
        let path = &tables[of_table[0].0.0].path;
        let mut left = of_table.iter().peekable();
        let mut first_row = 0;
        for batch in read_batches(path)? {
            check(stop)?;
            let batch = batch?;
            let ids = Columns::new(path, &batch).text("example_id")?;
            let end = first_row + batch.num_rows();
            while let Some(((_, row), places)) = left.next_if(|((_, row), _)| (*row as usize) < end) {
                for &place in places {
                    rows[place].example = Some(ids.value(*row as usize - first_row).to_owned());
                }
            }
            first_row = end;
            if left.peek().is_none() {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
