//! Composed tasks (ANLI+): the canonical tables of several tasks, one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{AsArray, RecordBatch, StringArray};
use rayon::prelude::*;

use super::clock::{self, Clock, timed};
use super::tables::count_labels;
use super::{NormalizeOutcome, NormalizedTable, Terms, label_set, labels_of};
use crate::error::Error;
use crate::progress::{self, Progress};
use crate::schema;
use crate::shard::{Writer, Written, read_batches, table_path};
use crate::task::Split;

/// Split, language and file of a canonical table.
pub type PartTable = (Split, String, PathBuf);

/// What to compose.
pub struct ComposeRequest<'a> {
    /// What the composed task's rows are to be.
    pub terms: Terms<'a>,
    /// Split, language and file of each canonical table, by part, in the task's order.
    pub parts: &'a [(String, Vec<PartTable>)],
}

/// Writes one canonical table a (split, language) below `output`: the rows of every part that has one, in order, each
/// `example_id` with the part's name and `/` before it.
///
/// # Errors
/// A part's table that can't be read or is not canonical; a failed write.
pub fn compose(
    request: &ComposeRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<NormalizeOutcome, Error> {
    let table = schema::canonical(request.terms.format);
    let schema_metadata = table.metadata();
    let metadata: Vec<(&str, &str)> =
        metadata.iter().copied().chain(schema_metadata.iter().map(|(key, value)| (*key, value.as_str()))).collect();
    let mut sources: BTreeMap<(Split, &str), Vec<(&str, &Path)>> = BTreeMap::new();
    for (part, tables) in request.parts {
        for (split, language, path) in tables {
            sources.entry((*split, language)).or_default().push((part, path));
        }
    }
    progress.start(0, "rows");
    let clock = Clock::default();
    let sources: Vec<_> = sources.into_iter().collect();
    let tables = sources
        .par_iter()
        .map(|((split, language), parts)| {
            let path = table_path(split.name(), language);
            let mut writer = Writer::create(&output.join(&path), &table.schema, &metadata)?;
            let mut labels = BTreeMap::new();
            for (part, file) in parts {
                let mut batches = read_batches(file)?;
                while let Some(batch) = timed(&clock.read, || batches.next()) {
                    progress::check(stop)?;
                    let batch = batch?;
                    table.check(&batch)?;
                    let rows = prefixed(part, &batch);
                    count_labels(&rows, &mut labels);
                    writer.write(&rows)?;
                }
            }
            let Written { rows, time } = writer.finish()?;
            clock::add(&clock.write, time);
            Ok(NormalizedTable { split: *split, language: (*language).to_owned(), rows, path, labels })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    progress.finish();
    let (labels, label_set) = (labels_of(&tables), label_set(request.terms, &tables));
    Ok(NormalizeOutcome { tables, labels, label_set, seconds: clock.seconds() })
}

/// The rows with `part/` before each id: ids are unique within a part only.
fn prefixed(part: &str, batch: &RecordBatch) -> RecordBatch {
    let ids = batch.column(0).as_string::<i32>();
    let ids = StringArray::from_iter_values(ids.iter().map(|id| format!("{part}/{}", id.unwrap_or_default())));
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(ids);
    RecordBatch::try_new(batch.schema(), columns).expect("only the ids' text has changed")
}
