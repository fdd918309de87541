//! Files whose rows are a type ([`crate::schema::TableRow`]).

use std::path::Path;

use arrow::array::RecordBatch;

use super::{ShardError, read_batches, write_table};
use crate::schema::{SchemaError, TableRow};

/// Writes `rows` to `path`, with `metadata` and the entries that name their schema.
pub fn write_rows<'a, R: TableRow<'a>>(path: &Path, metadata: &[(&str, &str)], rows: &[R]) -> Result<u64, ShardError> {
    let table = R::table();
    let of_schema = table.metadata();
    let of_schema = of_schema.iter().map(|(key, value)| (*key, value.as_str()));
    let metadata: Vec<(&str, &str)> = metadata.iter().copied().chain(of_schema).collect();
    write_table(path, &table.schema, &metadata, &[R::batch(rows)])
}

/// The rows of a batch that was read from `path`; they may borrow from it.
///
/// # Errors
/// [`ShardError::Schema`] where the batch, or an item, is not of the table.
pub fn batch_rows<'a, R: TableRow<'a>>(
    path: &Path,
    batch: &'a RecordBatch,
) -> Result<impl Iterator<Item = Result<R, ShardError>>, ShardError> {
    let rows = R::rows(batch).map_err(|source| ShardError::schema(path, source))?;
    Ok(rows.map(move |row| row.map_err(|source| ShardError::schema(path, source))))
}

/// The rows of the file at `path`, of which a batch is in memory.
///
/// # Errors
/// A file that is missing or broken; of an item, a table or a row that is not what its schema says, with the row counted
/// through the file.
pub fn table_rows<R: for<'a> TableRow<'a>>(
    path: &Path,
) -> Result<impl Iterator<Item = Result<R, ShardError>> + use<R>, ShardError> {
    let (path, batches) = (path.to_owned(), read_batches(path)?);
    let mut before = 0;
    Ok(batches.flat_map(move |batch| {
        let rows = batch.map(|batch| {
            let rows: Vec<_> = match batch_rows(&path, &batch) {
                Ok(rows) => rows.map(|row| row.map_err(|error| later(error, before))).collect(),
                Err(error) => vec![Err(error)],
            };
            before += batch.num_rows();
            rows
        });
        rows.unwrap_or_else(|error| vec![Err(error)])
    }))
}

/// `error` of a batch before which there are `before` rows in its file.
fn later(mut error: ShardError, before: usize) -> ShardError {
    if let ShardError::Schema { source, .. } = &mut error
        && let SchemaError::Value { row, .. } = source.as_mut()
    {
        *row += before;
    }
    error
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;
    use crate::audit::Overlap;
    use crate::error::ExitCode;
    use crate::task::Split;

    fn rows(count: u64) -> Vec<Overlap> {
        let row = |found| Overlap {
            source_task: "mnli".to_owned(),
            source_split: Split::Train,
            task: "xnli".to_owned(),
            split: Split::Test,
            language: "en".to_owned(),
            field: "example".to_owned(),
            kind: "exact".to_owned(),
            compared: count,
            found,
            share: found as f64 / count as f64,
            example: (found % 2 == 0).then(|| found.to_string()),
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn rows_come_back_from_a_file_that_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("overlap.parquet");
        let rows = rows(2_500);
        write_rows(&path, &[("stage", "x")], &rows).unwrap();
        let file = read_batches(&path).unwrap();
        assert_eq!((file.metadata("trestle.schema"), file.metadata("stage")), (Some("overlap"), Some("x")));
        assert_eq!(table_rows(&path).unwrap().collect::<Result<Vec<Overlap>, _>>().unwrap(), rows);
    }

    #[test]
    fn a_cell_that_can_not_be_read_is_named_by_file_column_and_row_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("overlap.parquet");
        let batch = Overlap::batch(&rows(2_500));
        let mut columns = batch.columns().to_vec();
        let splits = (0..2_500).map(|row| if row == 2_000 { "tset" } else { "test" });
        columns[batch.schema().index_of("split").unwrap()] = Arc::new(StringArray::from_iter_values(splits));
        let batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
        write_table(&path, &batch.schema(), &[], &[batch]).unwrap();
        let read: Vec<Result<Overlap, ShardError>> = table_rows(&path).unwrap().collect();
        assert_eq!(read.iter().filter(|row| row.is_ok()).count(), 2_499);
        let error = read[2_000].as_ref().unwrap_err();
        let message = error.to_string();
        assert!(message.contains("overlap.parquet") && message.contains("`split`, row 2001: `tset`"), "{message}");
        assert_eq!(error.exit(), ExitCode::Data);
    }

    #[test]
    fn a_file_of_another_table_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scores.parquet");
        write_rows(&path, &[], &rows(3)).unwrap();
        let message = table_rows::<crate::evaluate::ScoreRow>(&path).unwrap().next().unwrap().unwrap_err().to_string();
        assert!(
            message.contains("scores.parquet") && message.contains("table scores lacks column `task`"),
            "{message}"
        );
    }
}
