//! Parquet of any schema, flattened.

use std::fs::File;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::flatten::flatten;
use super::{Batches, NormalizeError, RawPart, Wanted, batch, batches};
use crate::error::IoContext;
use crate::shard::BATCH_ROWS;
use crate::source::Stored;

/// Reads those columns of `part` that flatten to `wanted` ones.
pub(super) fn open(part: &RawPart, wanted: Wanted) -> Result<Batches, NormalizeError> {
    if part.stored != Stored::Plain {
        let message =
            "parquet is read from its end, which a compressed file or archive does not allow; unpack it first";
        return Err(NormalizeError::content(&part.path, message));
    }
    let file = File::open(&part.path).at("open", &part.path)?;
    let path = part.path.clone();
    let wrong = move |message: String| {
        let message = format!("not a readable parquet file ({message}); it may be truncated: fetch or copy it again");
        NormalizeError::content(&path, message)
    };
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(e.to_string()))?;
    if let Some(wanted) = wanted {
        let used =
            |root: &str| wanted.iter().any(|w| w == root || w.strip_prefix(root).is_some_and(|w| w.starts_with('_')));
        let roots =
            builder.schema().fields().iter().enumerate().filter(|(_, f)| used(f.name())).map(|(index, _)| index);
        let mut roots: Vec<usize> = roots.collect();
        // Rows are counted by their columns: SQL that uses none of them still needs one.
        if roots.is_empty() {
            roots.push(0);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        builder = builder.with_projection(mask);
    }
    let mut reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|e| wrong(e.to_string()))?;
    Ok(batches(move || {
        let Some(next) = reader.next() else { return Ok(None) };
        let columns = next.and_then(|raw| flatten(&raw)).map_err(|e| wrong(e.to_string()))?;
        Ok(batch(columns))
    }))
}
