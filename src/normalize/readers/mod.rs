//! Readers: raw bytes to raw columns, a batch at a time. One file a format; each streams, and each names the file and
//! the line in its errors.
//!
//! Raw columns have few types, whatever the file has: `bool`, `int64`, `uint64`, `float64`, `utf8`, and lists of them.

mod beside;
mod bucc;
mod ccg;
mod conllu;
mod csv;
mod flatten;
mod jsonl;
mod lines;
mod mewsli;
mod parquet;
mod squad;
mod token_tag;
mod tsv;
mod wikiann;
mod xquad_r;

pub(super) use beside::open;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder};

use super::NormalizeError;
use crate::error::IoContext;
use crate::shard::BATCH_ROWS;
use crate::source::RawPart;
use crate::task::Reader;

/// The rows of a raw file, in order.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, NormalizeError>> + Send>;

/// The columns that the SQL uses; `None`: all of them.
pub(super) type Wanted<'a> = Option<&'a BTreeSet<String>>;

/// Opens one file with its reader; `language` is the one in its path.
fn open_part(part: &RawPart, language: Option<&str>, wanted: Wanted) -> Result<Batches, NormalizeError> {
    let names = part.columns.as_deref();
    match part.reader {
        Reader::Parquet => parquet::open(part, wanted),
        Reader::Jsonl => jsonl::open(part),
        Reader::Csv => csv::open(part, names),
        Reader::Tsv => tsv::open(part, names, false),
        Reader::RaggedTsv => tsv::open(part, names, true),
        Reader::SquadJson => squad::open(part),
        Reader::TokenTagTsv => token_tag::open(part),
        Reader::Conllu => conllu::open(part, language),
        Reader::Lines => lines::open(part, names.and_then(|n| n.first()).map_or("text", String::as_str)),
        Reader::CcgAuto => ccg::open(part),
        Reader::Wikiann => wikiann::open(part),
        Reader::XquadR => xquad_r::open(part),
        Reader::MewsliX => mewsli::open(part),
        Reader::Bucc => {
            let message =
                "is one of BUCC's files, which are read three at a time: foreign sentences, English ones, gold pairs";
            Err(NormalizeError::content(&part.path, message))
        }
    }
}

/// The batches that `next` makes, up to its first `None` or error.
fn batches(mut next: impl FnMut() -> Result<Option<RecordBatch>, NormalizeError> + Send + 'static) -> Batches {
    let mut over = false;
    Box::new(std::iter::from_fn(move || {
        if over {
            return None;
        }
        let item = next().transpose();
        over = !matches!(item, Some(Ok(_)));
        item
    }))
}

/// A batch of `columns`, which a reader has filled evenly; `None` if it has no rows.
fn batch(columns: Vec<(String, ArrayRef)>) -> Option<RecordBatch> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    (rows > 0).then(|| {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).expect("readers fill their columns evenly")
    })
}

/// Columns of text that all rows fill.
struct TextColumns {
    names: Vec<String>,
    columns: Vec<StringBuilder>,
}

impl TextColumns {
    fn new(names: Vec<String>) -> Self {
        let columns = names.iter().map(|_| StringBuilder::new()).collect();
        Self { names, columns }
    }

    fn width(&self) -> usize {
        self.names.len()
    }

    fn is_full(&self) -> bool {
        self.columns.first().is_none_or(|c| arrow::array::ArrayBuilder::len(c) >= BATCH_ROWS)
    }

    /// Appends a row of at most [`Self::width`] values, and nulls for the others.
    fn push<'a>(&mut self, mut values: impl Iterator<Item = &'a str>) {
        for column in &mut self.columns {
            column.append_option(values.next());
        }
    }

    fn finish(&mut self) -> Option<RecordBatch> {
        let columns = self.columns.iter_mut().map(|c| Arc::new(c.finish()) as ArrayRef);
        batch(self.names.iter().cloned().zip(columns).collect())
    }
}

/// Names for the columns of a file with a header: an empty name becomes `column_<n>`; none may stand twice.
fn header<'a>(path: &Path, line: u64, names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, NormalizeError> {
    let mut seen = BTreeSet::new();
    names
        .enumerate()
        .map(|(index, name)| {
            let name = if name.is_empty() { format!("column_{index}") } else { name.to_owned() };
            if !seen.insert(name.clone()) {
                let message = format!("the header names column `{name}` twice; give `columns` in the task file");
                return Err(NormalizeError::line(path, line, message));
            }
            Ok(name)
        })
        .collect()
}

/// The lines of a UTF-8 text file, without their ends (`\n` or `\r\n`) and without a byte order mark.
struct Lines {
    path: PathBuf,
    input: BufReader<Box<dyn Read + Send>>,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    fn open(part: &RawPart) -> Result<Self, NormalizeError> {
        let input = BufReader::with_capacity(1 << 16, part.open()?);
        Ok(Self { path: part.path.clone(), input, number: 0, buffer: Vec::new() })
    }

    /// The next line, or `None` at the end of the file.
    fn next(&mut self) -> Result<Option<&str>, NormalizeError> {
        self.buffer.clear();
        if self.input.read_until(b'\n', &mut self.buffer).at("read", &self.path)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut line = self.buffer.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some(text)),
            Err(e) => Err(NormalizeError::line(&self.path, self.number, not_utf8(e.valid_up_to()))),
        }
    }

    /// An error about the line that [`Self::next`] gave last.
    fn wrong(&self, message: impl Into<String>) -> NormalizeError {
        NormalizeError::line(&self.path, self.number, message)
    }
}

fn not_utf8(valid: usize) -> String {
    format!("byte {} of the line is not valid UTF-8; convert the file to UTF-8", valid + 1)
}

/// Sentences as lists of words and tags.
struct Sentences {
    words: ListBuilder<StringBuilder>,
    tags: ListBuilder<StringBuilder>,
}

impl Sentences {
    fn new() -> Self {
        Self { words: ListBuilder::new(StringBuilder::new()), tags: ListBuilder::new(StringBuilder::new()) }
    }

    fn len(&self) -> usize {
        arrow::array::ArrayBuilder::len(&self.words)
    }

    fn push<'a>(&mut self, tokens: impl Iterator<Item = (&'a str, &'a str)>) {
        for (word, tag) in tokens {
            self.words.values().append_value(word);
            self.tags.values().append_value(tag);
        }
        self.words.append(true);
        self.tags.append(true);
    }

    fn finish(&mut self) -> Vec<(String, ArrayRef)> {
        vec![
            ("words".to_owned(), Arc::new(self.words.finish()) as ArrayRef),
            ("tags".to_owned(), Arc::new(self.tags.finish())),
        ]
    }
}

#[cfg(test)]
mod tests;
