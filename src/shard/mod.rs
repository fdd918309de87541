//! Parquet shards: the one place where tables are written to and read from disk.
//!
//! Every table that Trestle writes goes through [`Writer`]: zstd, row groups small enough to stream, and file metadata
//! that says what the file is (schema id and version, stage key, tokenizer digest). The bytes are a function of the
//! rows, their batching into row groups (always [`ROW_GROUP_ROWS`] rows, however they arrive) and the metadata alone.
//! Every table that it reads comes through [`read_batches`], which names the file in each error.

mod columns;
mod error;
pub mod frame;

pub use columns::Columns;
pub use error::ShardError;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::error::IoContext;

/// Rows per row group: what a reader holds in memory at once.
pub const ROW_GROUP_ROWS: usize = 8_192;

/// Rows per batch that [`read_batches`] yields.
pub const BATCH_ROWS: usize = 1_024;

/// The file name of the only part of a (split, language) table.
pub const PART: &str = "part-00000.parquet";

/// The place of a (split, language) table below an artifact's directory: hive-partitioned, so that any engine reads it.
pub fn table_path(split: &str, language: &str) -> PathBuf {
    PathBuf::from(format!("split={split}")).join(format!("language={language}")).join(PART)
}

/// Writes one Parquet file, row group by row group.
pub struct Writer {
    path: PathBuf,
    inner: ArrowWriter<File>,
    rows: u64,
}

impl Writer {
    /// Creates `path` (and its parent directories) for rows of `schema`, with `metadata` in the file's footer.
    pub fn create(path: &Path, schema: &Schema, metadata: &[(&str, &str)]) -> Result<Self, ShardError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).at("create directory", parent)?;
        }
        let file = File::create(path).at("create", path)?;
        let pairs = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("trestle".to_owned())
            .set_key_value_metadata(Some(pairs))
            .build();
        let inner = ArrowWriter::try_new(file, Arc::new(schema.clone()), Some(properties))
            .map_err(|source| ShardError::write(path, source))?;
        Ok(Self { path: path.to_owned(), inner, rows: 0 })
    }

    /// Appends the rows of `batch`, whose schema must be the writer's.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ShardError> {
        self.rows += batch.num_rows() as u64;
        self.inner.write(batch).map_err(|source| ShardError::write(&self.path, source))
    }

    /// Writes the footer, makes the bytes durable, and returns the number of rows.
    pub fn finish(self) -> Result<u64, ShardError> {
        let file = self.inner.into_inner().map_err(|source| ShardError::write(&self.path, source))?;
        file.sync_all().at("sync", &self.path)?;
        Ok(self.rows)
    }
}

/// Writes all of `batches` to `path` at once: for small tables.
pub fn write_table(
    path: &Path,
    schema: &Schema,
    metadata: &[(&str, &str)],
    batches: &[RecordBatch],
) -> Result<u64, ShardError> {
    let mut writer = Writer::create(path, schema, metadata)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()
}

/// The rows of a Parquet file, a batch at a time.
pub struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    rows: usize,
    metadata: Vec<(String, String)>,
    inner: ParquetRecordBatchReader,
}

impl Batches {
    /// The table's schema.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The number of rows in the file.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The value that the file's footer holds under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.inner.next()?;
        Some(next.map_err(|source| ShardError::read(&self.path, source)))
    }
}

/// Opens a Parquet file for reading in batches of [`BATCH_ROWS`] rows.
pub fn read_batches(path: &Path) -> Result<Batches, ShardError> {
    let file = File::open(path).at("open", path)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|source| ShardError::parquet(path, source))?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let metadata = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    let inner = builder.with_batch_size(BATCH_ROWS).build().map_err(|source| ShardError::parquet(path, source))?;
    let schema = inner.schema();
    Ok(Batches { path: path.to_owned(), schema, rows, metadata, inner })
}

/// Reads a whole Parquet file: for small tables.
pub fn read_table(path: &Path) -> Result<(SchemaRef, Vec<RecordBatch>), ShardError> {
    let batches = read_batches(path)?;
    let schema = batches.schema();
    Ok((schema, batches.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray, UInt32Array};
    use arrow::datatypes::{DataType, Field};

    fn batch(range: std::ops::Range<u32>) -> RecordBatch {
        let ids: ArrayRef = Arc::new(UInt32Array::from_iter_values(range.clone()));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(range.map(|i| format!("row {i}"))));
        RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
    }

    fn schema() -> Schema {
        Schema::new(vec![Field::new("id", DataType::UInt32, false), Field::new("text", DataType::Utf8, false)])
    }

    #[test]
    fn the_bytes_do_not_depend_on_how_rows_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let (one, many) = (dir.path().join("one.parquet"), dir.path().join("many.parquet"));
        write_table(&one, &schema(), &[("stage", "x")], &[batch(0..20_000)]).unwrap();
        let parts: Vec<_> = (0..20).map(|i| batch(i * 1000..(i + 1) * 1000)).collect();
        write_table(&many, &schema(), &[("stage", "x")], &parts).unwrap();
        let reader = read_batches(&many).unwrap();
        assert_eq!(reader.rows(), 20_000);
        assert_eq!(reader.metadata("stage"), Some("x"));
        let rows = |path: &Path| -> Vec<RecordBatch> { read_table(path).unwrap().1 };
        assert_eq!(rows(&one), rows(&many));
    }

    #[test]
    fn a_truncated_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.parquet");
        write_table(&path, &schema(), &[], &[batch(0..100)]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let message = read_batches(&path).err().unwrap().to_string();
        assert!(message.contains("cut.parquet"), "{message}");
    }
}
