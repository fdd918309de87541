//! Parquet shards: the one place where tables are written to and read from disk.
//!
//! Every table that Trestle writes goes through [`Writer`]: zstd, row groups small enough to stream, and file metadata
//! that says what the file is (schema id and version, stage key, tokenizer digest). The bytes are a function of the
//! rows, their batching into row groups (always [`ROW_GROUP_ROWS`] rows, however they arrive) and the metadata alone.
//! Every table that it reads comes through [`read_batches`], which names the file in each error.

mod columns;
mod error;
pub mod frame;
mod keys;
mod rows;

pub use columns::Columns;
pub use error::ShardError;
pub use keys::{KeyColumns, join, join_found};
pub use rows::{batch_rows, table_rows, write_rows};

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::error::IoContext;

/// Rows per row group: what a reader holds in memory at once.
pub const ROW_GROUP_ROWS: usize = 8_192;

/// Rows per batch that [`read_batches`] yields.
pub const BATCH_ROWS: usize = 1_024;

/// Batches that wait for a [`Writer`]'s thread at most.
const QUEUED: usize = 2;

/// The file name of the only part of a (split, language) table.
pub const PART: &str = "part-00000.parquet";

/// The place of a (split, language) table below an artifact's directory: hive-partitioned, so that any engine reads it.
pub fn table_path(split: &str, language: &str) -> PathBuf {
    PathBuf::from(format!("split={split}")).join(format!("language={language}")).join(PART)
}

/// Writes one Parquet file, row group by row group, on a thread of its own: whoever makes the rows goes on while they
/// are encoded.
pub struct Writer {
    path: PathBuf,
    schema: SchemaRef,
    /// None once nothing more is to come.
    queue: Option<SyncSender<RecordBatch>>,
    /// None once it has been joined.
    encoder: Option<JoinHandle<Result<Written, ShardError>>>,
}

/// What a [`Writer`] has written.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// Rows in the file.
    pub rows: u64,
    /// The time of encoding, compressing and writing them, without that of waiting for them.
    pub time: Duration,
}

impl Writer {
    /// Creates `path` (and its parent directories) for rows of `schema`, with `metadata` in the file's footer.
    pub fn create(path: &Path, schema: &Schema, metadata: &[(&str, &str)]) -> Result<Self, ShardError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).at("create directory", parent)?;
        }
        let file = File::create(path).at("create", path)?;
        let pairs = metadata.iter().map(|(k, v)| KeyValue::new((*k).to_owned(), (*v).to_owned())).collect();
        let properties = properties(schema).set_key_value_metadata(Some(pairs)).build();
        let inner = ArrowWriter::try_new(file, Arc::new(schema.clone()), Some(properties))
            .map_err(|source| ShardError::write(path, source))?;
        let (queue, batches) = sync_channel(QUEUED);
        let encoder = std::thread::Builder::new().name("parquet".to_owned());
        let encoder = encoder.spawn({
            let path = path.to_owned();
            move || encode(&path, inner, &batches)
        });
        let encoder = encoder.at("start a thread to write", path)?;
        Ok(Self { path: path.to_owned(), schema: Arc::new(schema.clone()), queue: Some(queue), encoder: Some(encoder) })
    }

    /// Appends the rows of `batch`, whose schema must be the writer's; where that has columns of a second language and the
    /// batch has not, they are taken out of names ([`KeyColumns`]). An error may be about earlier rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ShardError> {
        let apart = (batch.num_columns() < self.schema.fields().len())
            .then(|| keys::split(&self.path, &self.schema, batch))
            .transpose()?;
        let batch = apart.as_ref().unwrap_or(batch);
        let queued = self.queue.as_ref().is_some_and(|queue| queue.send(batch.clone()).is_ok());
        // The thread leaves before the queue is closed only where it fails.
        if queued { Ok(()) } else { self.join().map(drop) }
    }

    /// Writes the footer and makes the bytes durable.
    pub fn finish(mut self) -> Result<Written, ShardError> {
        self.join()
    }

    /// Closes the queue and waits for the thread.
    fn join(&mut self) -> Result<Written, ShardError> {
        drop(self.queue.take());
        match self.encoder.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Err(ShardError::write(&self.path, ParquetError::General("it failed before".to_owned()))),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A file that is given up must not be written to any more: its directory may be on its way out.
        drop(self.queue.take());
        if let Some(encoder) = self.encoder.take() {
            let _ = encoder.join();
        }
    }
}

/// The writer's side of the queue: all of the file, up to its last byte.
fn encode(path: &Path, mut inner: ArrowWriter<File>, batches: &Receiver<RecordBatch>) -> Result<Written, ShardError> {
    let (mut rows, mut time) = (0, Duration::ZERO);
    for batch in batches {
        let began = Instant::now();
        rows += batch.num_rows() as u64;
        inner.write(&batch).map_err(|source| ShardError::write(path, source))?;
        time += began.elapsed();
    }
    let began = Instant::now();
    let file = inner.into_inner().map_err(|source| ShardError::write(path, source))?;
    file.sync_all().at("sync", path)?;
    time += began.elapsed();
    Ok(Written { rows, time })
}

/// How tables are encoded. Numbers within lists (token ids, offsets, labels) are written plain: zstd makes them smaller,
/// and in less time, than a dictionary does, of which a row group of ids needs one as large as itself.
fn properties(schema: &Schema) -> WriterPropertiesBuilder {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("trestle".to_owned());
    schema.fields().iter().fold(properties, |properties, field| {
        let mut path = vec![field.name().clone()];
        let mut leaf = field.data_type();
        while let DataType::List(item) = leaf {
            path.extend(["list".to_owned(), item.name().clone()]);
            leaf = item.data_type();
        }
        let plain = path.len() > 1 && leaf.is_numeric();
        if plain { properties.set_column_dictionary_enabled(ColumnPath::new(path), false) } else { properties }
    })
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
    Ok(writer.finish()?.rows)
}

/// The rows of a Parquet file, a batch at a time.
pub struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    rows: usize,
    metadata: Vec<(String, String)>,
    keys: KeyColumns,
    /// Whether batches stay as they are in the file.
    as_filed: bool,
    inner: ParquetRecordBatchReader,
}

impl Batches {
    /// The table's schema.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The columns of a second language that the file has; in the batches their values stand in the names of rows.
    pub fn keys(&self) -> KeyColumns {
        self.keys
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
        let batch = next.map_err(|source| ShardError::read(&self.path, source));
        let together = !self.as_filed && self.keys != KeyColumns::default();
        Some(if together { batch.map(keys::joined) } else { batch })
    }
}

/// Opens a Parquet file for reading in batches of [`BATCH_ROWS`] rows.
pub fn read_batches(path: &Path) -> Result<Batches, ShardError> {
    open(path, None, None, BATCH_ROWS)
}

/// The columns of a second language that the file at `path` has.
pub fn keys_of(path: &Path) -> Result<KeyColumns, ShardError> {
    Ok(read_batches(path)?.keys())
}

/// The same with all columns as they stand in the file, those of a second language ([`KeyColumns`]) among them.
pub fn read_as_filed(path: &Path) -> Result<Batches, ShardError> {
    let batches = read_batches(path)?;
    let schema = batches.inner.schema();
    Ok(Batches { as_filed: true, schema, ..batches })
}

/// Opens a Parquet file for reading some of its columns, in larger batches ([`ROW_GROUP_ROWS`] rows). Those that it does not
/// have are left out.
pub fn read_columns(path: &Path, names: &[&str]) -> Result<Batches, ShardError> {
    open(path, Some(names), None, ROW_GROUP_ROWS)
}

/// Opens a Parquet file for reading some of the columns of some of its rows (in ascending order), in batches of [`BATCH_ROWS`] rows.
/// Pages without such a row are not read, where the file says where its pages are; those that [`Writer`] writes do.
pub fn read_rows(path: &Path, names: &[&str], rows: &[Range<usize>]) -> Result<Batches, ShardError> {
    open(path, Some(names), Some(rows), BATCH_ROWS)
}

fn open(
    path: &Path,
    names: Option<&[&str]>,
    chosen: Option<&[Range<usize>]>,
    batch_rows: usize,
) -> Result<Batches, ShardError> {
    let file = File::open(path).at("open", path)?;
    let pages = if chosen.is_some() { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let options = ArrowReaderOptions::new().with_offset_index_policy(pages);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
        .map_err(|source| ShardError::parquet(path, source))?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let metadata = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)))
        .collect();
    let builder = builder.with_batch_size(batch_rows);
    let builder = match names {
        None => builder,
        Some(names) => {
            let fields = builder.schema().fields().iter().enumerate();
            let wanted = |name: &str| names.contains(&name) || KeyColumns::names().contains(&name);
            let roots: Vec<usize> = fields.filter(|(_, field)| wanted(field.name())).map(|(place, _)| place).collect();
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            builder.with_projection(mask)
        }
    };
    let builder = match chosen {
        None => builder,
        Some(chosen) => builder.with_row_selection(RowSelection::from_consecutive_ranges(chosen.iter().cloned(), rows)),
    };
    let inner = builder.build().map_err(|source| ShardError::parquet(path, source))?;
    let keys = KeyColumns::joinable(&inner.schema());
    let schema = keys::joined_schema(&inner.schema(), keys);
    Ok(Batches { path: path.to_owned(), schema, rows, metadata, keys, as_filed: false, inner })
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
