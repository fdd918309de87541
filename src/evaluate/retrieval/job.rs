//! Searches over files: two files of embeddings in, one table out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array};
use serde::Serialize;

use super::{Collector, Embeddings, EmbeddingsFile, MiningSettings, Room, SearchSettings, Similarity, mine, nearest};
use crate::error::{IoContext, Result};
use crate::evaluate::EvaluateError;
use crate::model::OpenDevice;
use crate::progress::Progress;
use crate::schema::table;
use crate::shard::{ROW_GROUP_ROWS, Writer};

/// What to search, and where the result goes.
#[derive(Debug, Clone)]
pub struct FileSearch {
    /// Queries and index, or source and target.
    pub sides: [EmbeddingsFile; 2],
    /// How vectors are compared.
    pub similarity: Similarity,
    /// The Parquet file to write. It appears when it is whole; one that is there is replaced.
    pub output: PathBuf,
    /// Where the products are computed.
    pub device: OpenDevice,
    /// Bytes that vectors and the lists of their neighbours may take in memory; vectors that are more lie in a nameless file
    /// beside the output meanwhile.
    pub memory: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileSearched {
    /// Vectors of each file.
    pub vectors: [usize; 2],
    /// Of those, different ones (in mining; else all count).
    pub distinct: [usize; 2],
    /// Numbers a vector.
    pub width: usize,
    /// Rows of the output.
    pub rows: u64,
    /// Seconds of reading the files.
    pub reading_seconds: f64,
    /// Seconds of searching.
    pub searching_seconds: f64,
    /// Multiplications and additions of the search, in 10⁹ a second.
    pub gflops: f64,
    /// Where the search ran.
    pub device: String,
    /// The output.
    pub output: PathBuf,
}

impl FileSearch {
    /// For every query its `count` nearest, in the schema `neighbours`.
    ///
    /// # Errors
    /// A file that can't be read, or holds what [`EmbeddingsFile`] refuses; sides of different widths; an output that can't be
    /// written; a device that fails; or `stop`.
    pub fn retrieve(&self, count: usize, progress: &dyn Progress, stop: &AtomicBool) -> Result<FileSearched> {
        let (sides, mut done) = self.load(|room| Collector::new(self.similarity, room), progress)?;
        let began = Instant::now();
        let found = nearest(&sides[0].vectors, &sides[1].vectors, count, &self.settings(), progress, stop)?;
        done.searched(began);
        let rows = sides[0].ids.iter().enumerate().flat_map(|(query, id)| {
            let ranked = found.of(query).iter().enumerate();
            let [_, index] = &sides;
            ranked.map(move |(rank, (row, cosine))| (id, rank as u32 + 1, &index.ids[*row as usize], *cosine as f32))
        });
        done.rows = self.write("neighbours", rows, |rows| {
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
                Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.3))),
            ]
        })?;
        progress.finish();
        Ok(done)
    }

    /// The pairs whose margin is above `threshold`, in the schema `mined-pairs`. Equal vectors count as one sentence, of which
    /// every name is paired with every name of its counterpart.
    ///
    /// # Errors
    /// As [`FileSearch::retrieve`].
    pub fn mine(
        &self,
        settings: MiningSettings,
        threshold: f64,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<FileSearched> {
        let (sides, mut done) = self.load(|room| Collector::distinct(self.similarity, room), progress)?;
        let began = Instant::now();
        let pairs = mine([&sides[0].vectors, &sides[1].vectors], settings, &self.settings(), progress, stop)?;
        done.searched(began);
        let names = |side: usize, row: u32| -> Vec<&String> {
            sides[side].vectors.members(row).iter().map(|member| &sides[side].ids[*member as usize]).collect()
        };
        let rows = pairs.iter().filter(|pair| pair.score > threshold).flat_map(|pair| {
            let (sources, targets) = (names(0, pair.source), names(1, pair.target));
            let of =
                |source| targets.iter().map(move |target| (source, *target, pair.score as f32)).collect::<Vec<_>>();
            sources.into_iter().flat_map(of).collect::<Vec<_>>()
        });
        done.rows = self.write("mined-pairs", rows, |rows| {
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2))),
            ]
        })?;
        progress.finish();
        Ok(done)
    }

    fn settings(&self) -> SearchSettings {
        SearchSettings { device: self.device.clone(), memory: self.memory }
    }

    /// The directory of the output.
    fn directory(&self) -> &Path {
        let parent = self.output.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }

    fn load(
        &self,
        collector: impl Fn(Room) -> Collector,
        progress: &dyn Progress,
    ) -> Result<([Embeddings; 2], FileSearched)> {
        let began = Instant::now();
        let room = || Room { memory: self.memory / 4, scratch: self.directory().to_owned() };
        let [first, second] = &self.sides;
        let sides = [first.load(collector(room()), progress)?, second.load(collector(room()), progress)?];
        let [width, other] = [0, 1].map(|side| sides[side].vectors.dim());
        if width != other {
            return Err(EvaluateError::Widths { queries: width, index: other }.into());
        }
        let done = FileSearched {
            vectors: [sides[0].ids.len(), sides[1].ids.len()],
            distinct: [sides[0].vectors.rows(), sides[1].vectors.rows()],
            width,
            rows: 0,
            reading_seconds: began.elapsed().as_secs_f64(),
            searching_seconds: 0.0,
            gflops: 0.0,
            device: self.device.description.clone(),
            output: self.output.clone(),
        };
        Ok((sides, done))
    }

    /// Writes `rows` as the table called `schema`; returns how many there were.
    fn write<R>(
        &self,
        schema: &str,
        rows: impl Iterator<Item = R>,
        columns: impl Fn(&[R]) -> Vec<ArrayRef>,
    ) -> Result<u64> {
        let directory = self.directory();
        let part = tempfile::Builder::new().prefix(".trestle-").tempdir_in(directory);
        let part = part.at("create a directory in", directory)?;
        let path = part.path().join("part.parquet");
        let table = table(schema);
        let metadata = table.metadata();
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut writer = Writer::create(&path, &table.schema, &pairs)?;
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let some: Vec<R> = rows.by_ref().take(ROW_GROUP_ROWS).collect();
            let batch = RecordBatch::try_new(table.schema.clone(), columns(&some));
            writer.write(&batch.expect("the columns are the schema's and of one length"))?;
        }
        let written = writer.finish()?.rows;
        std::fs::rename(&path, &self.output).at("write", &self.output)?;
        Ok(written)
    }
}

impl FileSearched {
    fn searched(&mut self, began: Instant) {
        self.searching_seconds = began.elapsed().as_secs_f64();
        let pairs = self.distinct[0] as f64 * self.distinct[1] as f64;
        self.gflops = 2.0 * pairs * self.width as f64 / self.searching_seconds.max(1e-9) / 1e9;
    }
}
