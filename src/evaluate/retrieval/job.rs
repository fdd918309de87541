//! Searches over files: two files of embeddings in, one table out.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array};
use serde::Serialize;
use tempfile::TempDir;

use super::{Collector, Embeddings, EmbeddingsFile, MiningSettings, Room, SearchSettings, Similarity, mine, nearest};
use crate::error::{IoContext, Result};
use crate::evaluate::EvaluateError;
use crate::model::OpenDevice;
use crate::progress::{Progress, check};
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
    /// An output that can't be written, which shows before anything is read; a file that can't be read, or holds what
    /// [`EmbeddingsFile`] refuses; sides of different widths; a device that fails; or `stop`.
    pub fn retrieve(&self, count: usize, progress: &dyn Progress, stop: &AtomicBool) -> Result<FileSearched> {
        let part = self.begin()?;
        let (sides, mut done) = self.load(|room| Collector::new(self.similarity, room), progress)?;
        let began = Instant::now();
        let found = nearest(&sides[0].vectors, &sides[1].vectors, count, &self.settings(), progress, stop)?;
        done.searched(began);
        let rows = sides[0].ids.iter().enumerate().flat_map(|(query, id)| {
            let ranked = found.of(query).iter().enumerate();
            let [_, index] = &sides;
            ranked.map(move |(rank, (row, cosine))| (id, rank as u32 + 1, &index.ids[*row as usize], *cosine as f32))
        });
        let columns = |rows: &[(&String, u32, &String, f32)]| -> Vec<ArrayRef> {
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
                Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.3))),
            ]
        };
        done.rows = self.write(&part, "neighbours", rows, columns, stop)?;
        progress.finish();
        Ok(done)
    }

    /// The pairs whose margin is above `threshold`, in the schema `mined-pairs`. Equal vectors count as one sentence, of which
    /// every name is paired with every name of its counterpart, one row each.
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
        let part = self.begin()?;
        let (sides, mut done) = self.load(|room| Collector::distinct(self.similarity, room), progress)?;
        let vectors = [&sides[0].vectors, &sides[1].vectors];
        let began = Instant::now();
        let pairs = mine(vectors, settings, &self.settings(), progress, stop)?;
        done.searched(began);
        let rows = pairs.iter().filter(|pair| pair.score > threshold).flat_map(|pair| {
            let [sources, targets] = &sides;
            let name = move |(source, _, target): (u32, usize, u32)| {
                (&sources.ids[source as usize], &targets.ids[target as usize], pair.score as f32)
            };
            pair.combinations(vectors).map(name)
        });
        let columns = |rows: &[(&String, &String, f32)]| -> Vec<ArrayRef> {
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.2))),
            ]
        };
        done.rows = self.write(&part, "mined-pairs", rows, columns, stop)?;
        progress.finish();
        Ok(done)
    }

    /// Makes the directory beside the output in which it is written, once it is known that the output can be one and that every
    /// option has something to say.
    fn begin(&self) -> Result<TempDir> {
        if self.sides.iter().all(EmbeddingsFile::is_matrix) {
            let given = |has: fn(&EmbeddingsFile) -> bool| self.sides.iter().any(has);
            let options =
                [("--layer", given(|side| side.layer.is_some())), ("--ids", given(|side| side.ids.is_some()))];
            if let Some((option, _)) = options.into_iter().find(|(_, given)| *given) {
                return Err(EvaluateError::NoTable { option }.into());
            }
        }
        let wrong = |problem| Err(EvaluateError::Output { path: self.output.clone(), problem }.into());
        if self.output.is_dir() || self.output.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return wrong("is a directory");
        }
        let place = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        let output = place(&self.output);
        if output.is_some() && self.sides.iter().any(|side| place(&side.path) == output) {
            return wrong("is an input as well");
        }
        let directory = self.directory();
        let part = tempfile::Builder::new().prefix(".trestle-").tempdir_in(directory);
        Ok(part.at("create a directory in", directory)?)
    }

    fn settings(&self) -> SearchSettings {
        SearchSettings { device: self.device.clone(), memory: self.memory }
    }

    /// The directory of the output.
    fn directory(&self) -> &Path {
        crate::fs::folder(&self.output)
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

    /// Writes `rows` as the table called `schema`, in `part` first; returns how many there were.
    fn write<R>(
        &self,
        part: &TempDir,
        schema: &str,
        rows: impl Iterator<Item = R>,
        columns: impl Fn(&[R]) -> Vec<ArrayRef>,
        stop: &AtomicBool,
    ) -> Result<u64> {
        let path = part.path().join("part.parquet");
        let table = table(schema);
        let metadata = table.metadata();
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut writer = Writer::create(&path, &table.schema, &pairs)?;
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            check(stop)?;
            let some: Vec<R> = rows.by_ref().take(ROW_GROUP_ROWS).collect();
            let batch = RecordBatch::try_new(table.schema.clone(), columns(&some));
            writer.write(&batch.expect("the columns are the schema's and of one length"))?;
        }
        let written = writer.finish()?.rows;
        crate::fs::settle(&path, &self.output)?;
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
