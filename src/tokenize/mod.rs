//! Canonical tables to model inputs: one row an instance, ready to be padded and given to an encoder.
//!
//! [`tokenize`] streams the canonical tables, side by side: a few batches at a time are encoded (`encoder`) and put together by the
//! format's module (`text`, `choice`, `span`, `word`) on the current rayon pool, while those before them are written, in
//! order. So memory is bounded by some batches and a memo of fixed size a thread, and the bytes written depend on the
//! request alone, never on the number of threads. What is cut where is decided in `length`; how special tokens frame a
//! sequence is read off the tokenizer's own post-processor (`tokenizer`), so that XLM-R's and BERT's files both work as
//! they are. Unigram tokenizers are encoded by our own code (`unigram`), others by the library.
//!
//! [`train_unigram`] makes a tokenizer where a study brings none.

mod choice;
mod encoder;
mod error;
#[cfg(test)]
mod fixture;
mod length;
mod offsets;
mod rows;
mod span;
mod text;
mod tokenizer;
mod train;
mod unigram;
mod word;

pub use error::{RowProblem, TokenizeError};
pub use tokenizer::{SpecialTokens, Tokenizer};
pub use train::{TokenizerStatistics, train_unigram};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::progress::{Progress, check};
use crate::schema::{self, SchemaError};
use crate::shard::{Batches, Columns, Writer, read_batches, table_path};
use crate::task::{Format, Split};
use encoder::{Encoder, Encodings};
use rows::{Counts, Place};

/// Batches that are encoded side by side.
const GROUP: usize = 4;

/// What to tokenise, and how.
pub struct TokenizeRequest<'a> {
    /// The format of the canonical tables.
    pub format: Format,
    /// The task's labels or tags, in the order of their indices.
    pub labels: &'a [String],
    /// Whether a label that `labels` lacks is unknown (-1) instead of an error.
    pub open_labels: bool,
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The most tokens of an instance, special tokens included.
    pub max_length: usize,
    /// Spans: tokens that two neighbouring windows over a context share. (Hugging Face's `stride`; in the original BERT
    /// code the name stands for the step instead.)
    pub stride: usize,
    /// Spans: the most tokens of a question; the rest is cut off.
    pub max_question: usize,
    /// Split, language and file of each canonical table.
    pub tables: &'a [(Split, String, PathBuf)],
}

impl TokenizeRequest<'_> {
    /// How many of `ids` are the unknown token.
    fn unknown(&self, ids: &[u32]) -> u64 {
        let unknown = self.tokenizer.special().unk;
        ids.iter().filter(|&&id| id == unknown).count() as u64
    }

    /// The frame of each sequence.
    fn template(&self) -> &tokenizer::Template {
        match self.format {
            Format::PairClassification | Format::MultipleChoice | Format::SpanExtraction => self.tokenizer.pair(),
            _ => self.tokenizer.single(),
        }
    }

    /// Whether text fits beside what every instance must hold.
    fn check_length(&self) -> Result<(), TokenizeError> {
        let specials = self.template().specials();
        let text = match self.format {
            Format::PairClassification | Format::MultipleChoice => 2,
            Format::SpanExtraction => self.max_question.saturating_add(self.stride).saturating_add(1),
            _ => 1,
        };
        let least = text.saturating_add(specials);
        if self.max_length >= least {
            return Ok(());
        }
        let need = match self.format {
            Format::SpanExtraction => format!(
                "{specials} special tokens, a question of up to {}, an overlap of {} and one token more",
                self.max_question, self.stride
            ),
            _ => format!("{specials} special tokens and {text} of text"),
        };
        Err(TokenizeError::MaxLength { max_length: self.max_length, need, least })
    }
}

/// What tokenising gave, table by table in the order of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenizeOutcome {
    /// Special tokens that frame each sequence.
    pub framing: u64,
    /// One a table.
    pub tables: Vec<TableOutcome>,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Seconds of work by step; what is left of the stage's time went into encoding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Writing Parquet, on a thread beside those that encode.
    pub write: f64,
}

/// What one table became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOutcome {
    /// The table's split.
    pub split: Split,
    /// The table's language.
    pub language: String,
    /// The file written, relative to the output directory.
    pub path: PathBuf,
    /// Rows read.
    pub examples: u64,
    /// Rows written: windows for spans and tagging, else as many as examples.
    pub instances: u64,
    /// Tokens of all instances, special tokens included.
    pub tokens: u64,
    /// Words of all examples; word tagging only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<u64>,
    /// How many of the instances' tokens are the unknown token.
    pub unknown_tokens: u64,
    /// Examples that lost text to the maximum length (spans: part of the question; tagging: a whole word).
    pub truncated_examples: u64,
}

/// Tokenises every table of `request` into `split=…/language=…/part-00000.parquet` below `output`, in the schema
/// [`schema::tokenized`] of the format, on the current rayon pool. The files' footers hold `metadata`, the schema's name
/// and the tokenizer's digest.
///
/// # Errors
/// A table that is missing or not canonical, a row that breaks its format's contract (named with its file, row, example
/// and field), a maximum length without room for text, a failed write, or `stop`. Files already written stay behind.
pub fn tokenize(
    request: &TokenizeRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<TokenizeOutcome, Error> {
    request.check_length()?;
    let mut rows = 0;
    for (_, _, path) in request.tables {
        rows += read_batches(path)?.rows() as u64;
    }
    progress.start(rows, "rows");
    let schema_metadata = schema::tokenized(request.format).metadata();
    let mut pairs = metadata.to_vec();
    pairs.extend(schema_metadata.iter().map(|(key, value)| (*key, value.as_str())));
    pairs.push(("trestle.tokenizer", request.tokenizer.digest()));

    let run =
        Run { request, output, metadata: &pairs, encoders: Mutex::default(), done: AtomicU64::new(0), progress, stop };
    let tables: Vec<_> = request.tables.par_iter().with_max_len(1).map(|table| run.table(table)).collect();
    progress.finish();
    let (tables, times): (Vec<_>, Vec<Duration>) =
        tables.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let writing: Duration = times.iter().sum();
    let seconds = Seconds { write: (writing.as_secs_f64() * 1e3).round() / 1e3 };
    Ok(TokenizeOutcome { framing: request.template().specials() as u64, tables, seconds })
}

/// A request on its way.
struct Run<'a> {
    request: &'a TokenizeRequest<'a>,
    output: &'a Path,
    metadata: &'a [(&'a str, &'a str)],
    /// Those that no thread is using.
    encoders: Mutex<Vec<Encoder<'a>>>,
    /// Rows of all tables that are written.
    done: AtomicU64,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Tokenises one table: a few batches are encoded while those before them are written. Also gives the time that
    /// writing took.
    fn table(&self, (split, language, path): &(Split, String, PathBuf)) -> Result<(TableOutcome, Duration), Error> {
        let place = table_path(split.name(), language);
        let (mut batches, mut row) = (read_batches(path)?, 0);
        let keys = batches.keys();
        let schema = schema::tokenized(self.request.format).schema_with(|name| keys.has(name));
        let mut writer = Writer::create(&self.output.join(&place), &schema, self.metadata)?;
        let mut counts = Counts::default();
        let mut ready = self.next(path, &mut batches, &mut row)?;
        while !ready.is_empty() {
            check(self.stop)?;
            let write = || -> Result<(), Error> {
                for (instances, batch_counts) in &ready {
                    writer.write(instances)?;
                    counts.add(batch_counts);
                }
                Ok(())
            };
            let (written, next) = rayon::join(write, || self.next(path, &mut batches, &mut row));
            written?;
            let rows = ready.iter().map(|(_, counts)| counts.examples).sum();
            let done = self.done.fetch_add(rows, Ordering::Relaxed) + rows;
            self.progress.advance(done, &format!("{split} {language}"));
            ready = next?;
        }
        let written = writer.finish()?;
        let Counts { examples, tokens, words, unknown_tokens, truncated_examples } = counts;
        let outcome = TableOutcome {
            split: *split,
            language: language.clone(),
            path: place,
            examples,
            instances: written.rows,
            tokens,
            words: (self.request.format == Format::WordTagging && examples > 0).then_some(words),
            unknown_tokens,
            truncated_examples,
        };
        Ok((outcome, written.time))
    }

    /// The instances of the next `batches` of the table `path`, in order, and what was counted; none at the table's end.
    /// `row` is the row that they begin at.
    fn next(&self, path: &Path, batches: &mut Batches, row: &mut u64) -> Result<Vec<(RecordBatch, Counts)>, Error> {
        let mut group = Vec::with_capacity(GROUP);
        for batch in batches.take(GROUP) {
            let batch = batch?;
            let rows = batch.num_rows() as u64;
            group.push((*row, batch));
            *row += rows;
        }
        let instances: Vec<_> =
            group.into_par_iter().map(|(first_row, batch)| self.instances(path, first_row, &batch)).collect();
        instances.into_iter().collect()
    }

    /// The instances of one batch, which begins at `first_row` of the table `path`.
    fn instances(&self, path: &Path, first_row: u64, batch: &RecordBatch) -> Result<(RecordBatch, Counts), Error> {
        let request = self.request;
        let not_canonical =
            |source: SchemaError| TokenizeError::Table { path: path.to_owned(), source: Box::new(source) };
        schema::canonical(request.format).check(batch).map_err(not_canonical)?;
        let example_ids = Columns::new(path, batch).text("example_id")?;
        let place = Place { path, example_ids, first_row };

        let idle = || self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = idle().pop();
        let mut encoder =
            known.unwrap_or_else(|| Encoder::new(request.tokenizer, request.format == Format::SpanExtraction));
        let mut counts = Counts { examples: batch.num_rows() as u64, ..Counts::default() };
        let encodings = Encodings::new(&mut encoder);
        let columns = match request.format {
            Format::MultipleChoice => choice::instances(request, encodings, &place, batch, &mut counts)?,
            Format::SpanExtraction => span::instances(request, encodings, &place, batch, &mut counts)?,
            Format::WordTagging => word::instances(request, encodings, &place, batch, &mut counts)?,
            Format::Classification | Format::PairClassification | Format::SentenceRetrieval | Format::Text => {
                text::instances(request, encodings, &place, batch, &mut counts)?
            }
        };
        idle().push(encoder);
        let schema = schema::tokenized(request.format).schema.clone();
        let instances =
            RecordBatch::try_new(schema, columns).expect("each format's module builds its schema's columns");
        Ok((instances, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::*;
    use super::*;
    use crate::error::ExitCode;
    use crate::progress::Quiet;

    /// A span table of more rows than a batch, tokenised on `threads` threads: the bytes written.
    fn spans(threads: usize) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let rows = 2_500;
        let contexts: Vec<String> =
            (0..rows).map(|row| format!("{} {}", LINES[row % 12], LINES[row / 12 % 12])).collect();
        let contexts: Vec<&str> = contexts.iter().map(String::as_str).collect();
        let answers = contexts.iter().map(|context| Some(vec![context.split(' ').next().unwrap().to_owned()]));
        let columns = vec![
            strings(&contexts),
            strings(&vec!["who sings"; rows]),
            lists(&answers.collect::<Vec<_>>()),
            numbers(&vec![vec![0]; rows]),
            booleans(&vec![true; rows]),
        ];
        let path = canonical(&dir.path().join("table.parquet"), Format::SpanExtraction, columns);
        let tables = [(Split::Validation, "xx".to_owned(), path)];
        let request =
            TokenizeRequest { tables: &tables, max_length: 40, ..request(Format::SpanExtraction, &[], unigram()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let stop = AtomicBool::new(false);
        let outcome = pool.install(|| tokenize(&request, dir.path(), &[("stage", "x")], &Quiet, &stop)).unwrap();
        assert_eq!(outcome.tables[0].examples, rows as u64);
        std::fs::read(dir.path().join("split=validation/language=xx/part-00000.parquet")).unwrap()
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_threads() {
        assert!(spans(1) == spans(4));
    }

    #[test]
    fn the_footer_names_schema_and_tokenizer() {
        let dir = tempfile::tempdir().unwrap();
        let path = canonical(&dir.path().join("table.parquet"), Format::Text, vec![strings(&LINES)]);
        let tables = [(Split::Test, "fi".to_owned(), path.clone()), (Split::Test, "de".to_owned(), path)];
        let request = TokenizeRequest { tables: &tables, ..request(Format::Text, &[], unigram()) };
        let outcome = tokenize(&request, dir.path(), &[("stage", "x")], &Quiet, &AtomicBool::new(false)).unwrap();
        let languages: Vec<&str> = outcome.tables.iter().map(|table| table.language.as_str()).collect();
        assert_eq!(languages, ["fi", "de"]);
        let file = read_batches(&dir.path().join(&outcome.tables[1].path)).unwrap();
        assert_eq!(file.metadata("stage"), Some("x"));
        assert_eq!(file.metadata("trestle.schema"), Some("tokenized-text"));
        assert_eq!(file.metadata("trestle.tokenizer"), Some(unigram().digest()));
    }

    #[test]
    fn a_stop_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = canonical(&dir.path().join("table.parquet"), Format::Text, vec![strings(&LINES)]);
        let tables = [(Split::Test, "fi".to_owned(), path)];
        let request = TokenizeRequest { tables: &tables, ..request(Format::Text, &[], unigram()) };
        let error = tokenize(&request, dir.path(), &[], &Quiet, &AtomicBool::new(true)).err().unwrap();
        assert_eq!(error.exit(), ExitCode::Interrupted);
    }

    #[test]
    fn missing_and_foreign_tables_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = canonical(&dir.path().join("table.parquet"), Format::Text, vec![strings(&LINES)]);
        let fail = |path: PathBuf| {
            let tables = [(Split::Test, "fi".to_owned(), path)];
            let request = TokenizeRequest { tables: &tables, ..request(Format::WordTagging, &[], unigram()) };
            tokenize(&request, dir.path(), &[], &Quiet, &AtomicBool::new(false)).err().unwrap()
        };
        let error = fail(path);
        assert_eq!(error.exit(), ExitCode::Data);
        assert!(error.to_string().contains("table.parquet") && error.to_string().contains("`words`"), "{error}");
        assert_eq!(fail(dir.path().join("absent.parquet")).exit(), ExitCode::Missing);
    }

    #[test]
    fn a_length_without_room_for_text_is_refused() {
        for (format, least) in [
            (Format::Text, 3),
            (Format::PairClassification, 6),
            (Format::MultipleChoice, 6),
            (Format::WordTagging, 3),
            (Format::SpanExtraction, 37),
        ] {
            let short = TokenizeRequest { max_length: least - 1, ..request(format, &[], unigram()) };
            let text = message(short.check_length());
            assert!(text.contains(&format!("at least {least}")), "{text}");
            assert!(TokenizeRequest { max_length: least, ..short }.check_length().is_ok());
        }
    }
}
