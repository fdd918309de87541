//! Predictions: a model over the tokenised shards of one task, one file a language.
//!
//! Sentence retrieval has no predictions of its own here: a sentence is embedded ([`embed`]), and [`super::retrieval`] searches
//! among the vectors. Shards stream through in batches of rows, sorted by length within each;
//! what several windows of an example say is put together before its row is written. Rows come out in the order of the
//! examples, whatever the batches were.

mod answer;
mod embedding;
#[cfg(test)]
mod minilm;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use serde::{Deserialize, Serialize};

use self::answer::{Answers, Spans};
pub use self::embedding::{EmbedOutcome, EmbedRequest, embed};
use super::{EvaluateError, Prediction, prediction_batch};
use crate::error::Result;
use crate::model::weights::{load_stored, values};
use crate::model::{Dropout, HeadKind, Model, OpenDevice, TaskHead, TokenBatch};
use crate::progress::{Progress, check};
use crate::schema::table;
use crate::shard::{Columns, PART, Writer, keys_of, read_batches};
use crate::task::{Format, Split};
use crate::train::data::{Instances, Limits, Targets, head_of};

/// Rows that go through the model together.
const BATCH_ROWS: usize = 32;

/// One language's tables.
#[derive(Debug, Clone)]
pub struct PredictFile {
    /// ISO 639-1.
    pub language: String,
    /// Model inputs.
    pub tokens: PathBuf,
    /// The canonical table that they were made from: contexts to cut answers from, words to count.
    pub canonical: PathBuf,
}

/// What to predict with what.
#[derive(Debug, Clone)]
pub struct PredictRequest {
    /// A model directory: `config.json`, `model.safetensors`, heads.
    pub model_dir: PathBuf,
    /// The task, for the table.
    pub task: String,
    /// The task whose training split it is fine-tuned on, for models with several heads that would fit.
    pub trained_as: Option<String>,
    /// Its format.
    pub format: Format,
    /// Span extraction: whether the prediction may be that there is no answer.
    pub unanswerable: bool,
    /// Its labels, in the order of their indices.
    pub labels: Vec<String>,
    /// One a language.
    pub files: Vec<PredictFile>,
    /// The split, for the table.
    pub split: Split,
    /// Where to compute.
    pub device: OpenDevice,
}

/// What was predicted; the statistics in the artifact's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictOutcome {
    /// Language and number of rows.
    pub rows: Vec<(String, u64)>,
}

/// Predicts every file of `request` into `language=…/part-00000.parquet` below `output`, in the schema `predictions`.
///
/// # Errors
/// A model directory or table that can't be read, a model without a head of the task's format and labels (retrieval has none:
/// see [`embed`]), or `stop`.
pub fn predict(
    request: &PredictRequest,
    output: &Path,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<PredictOutcome> {
    let model = load_stored(&request.model_dir, &request.device.device)?;
    let mut total = 0;
    for file in &request.files {
        total += read_batches(&file.tokens)?.rows() as u64;
    }
    progress.start(total, "rows");
    let mut done = 0;
    let mut rows = Vec::new();
    for file in &request.files {
        let mut advance = |count: usize| {
            done += count as u64;
            progress.advance(done, &file.language);
        };
        let head = head(request, &model)?;
        let predictions = with_head(request, &model, head, file, &mut advance, stop)?;
        let path = output.join(format!("language={}", file.language)).join(PART);
        let schema = table("predictions");
        let metadata = schema.metadata();
        let pairs: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let keys = keys_of(&file.tokens)?;
        let mut writer = Writer::create(&path, &schema.schema_with(|name| keys.has(name)), &pairs)?;
        for rows in predictions.chunks(crate::shard::ROW_GROUP_ROWS) {
            writer.write(&prediction_batch(&request.task, request.split.name(), &file.language, rows))?;
        }
        rows.push((file.language.clone(), writer.finish()?.rows));
    }
    progress.finish();
    Ok(PredictOutcome { rows })
}

/// The model's head for the task: of its kind and labels; where several are, the one that serves it or the task that it is
/// trained as.
fn head<'a>(request: &PredictRequest, model: &'a Model) -> Result<&'a TaskHead, EvaluateError> {
    let kind = head_of(request.format);
    let labelled = matches!(kind, Some(HeadKind::SequenceClassification | HeadKind::TokenClassification));
    let fits = |head: &&TaskHead| Some(head.spec.kind) == kind && (!labelled || head.spec.labels == request.labels);
    let fitting: Vec<&TaskHead> = model.heads.iter().filter(fits).collect();
    let serves = |task: &String| fitting.iter().copied().find(|head| head.spec.serves(task));
    let found = match fitting.as_slice() {
        [only] => Some(*only),
        _ => serves(&request.task).or_else(|| request.trained_as.as_ref().and_then(serves)),
    };
    found.ok_or_else(|| EvaluateError::Head {
        model: request.model_dir.clone(),
        task: request.task.clone(),
        problem: if fitting.is_empty() { "no head that fits" } else { "several heads that fit" },
    })
}

/// The rows of one batch of a shard, beside the instances they became.
pub(super) struct Window<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl Window<'_> {
    fn example_id(&self, row: usize) -> Result<String> {
        Ok(Columns::new(self.path, self.batch).text("example_id")?.value(row).to_owned())
    }
}

fn with_head(
    request: &PredictRequest,
    model: &Model,
    head: &TaskHead,
    file: &PredictFile,
    advance: &mut dyn FnMut(usize),
    stop: &AtomicBool,
) -> Result<Vec<Prediction>> {
    let config = &model.encoder.config;
    let mut answers = Answers::default();
    let mut spans = Spans::new(file, request.unanswerable);
    let mut first_row = 0;
    for batch in read_batches(&file.tokens)? {
        check(stop)?;
        let batch = batch?;
        let mut instances = Instances::empty(request.format);
        instances.append(&file.tokens, &batch, first_row, Limits::of(config), false)?;
        let logits = head_logits(model, head, &instances, stop)?;
        let window = Window { path: &file.tokens, batch: &batch };
        for (row, logits) in logits.iter().enumerate() {
            let id = window.example_id(row)?;
            match request.format {
                Format::SpanExtraction => spans.add(&id, &window, row, &instances, logits)?,
                Format::WordTagging => answers.tags(id, logits, &request.labels),
                Format::MultipleChoice => answers.best(id, logits, usize::to_string),
                _ => answers.best(id, logits, |class| request.labels[*class].clone()),
            }
        }
        first_row += batch.num_rows();
        advance(batch.num_rows());
    }
    match request.format {
        Format::SpanExtraction => spans.finish(),
        _ => Ok(answers.finish()),
    }
}

/// The head's logits for each instance, in order: classes; choices; start and end in turn for each token; tags for each
/// word in turn.
fn head_logits(model: &Model, head: &TaskHead, instances: &Instances, stop: &AtomicBool) -> Result<Vec<Vec<f32>>> {
    let encoder = &model.encoder;
    let mut logits: Vec<Vec<f32>> = vec![Vec::new(); instances.len()];
    for indices in by_length(instances, (0..instances.len() as u32).collect()) {
        check(stop)?;
        let tokens = instances.tokens(&indices, encoder);
        let hidden = encoder.forward(&tokens, &mut Dropout::off());
        let off = &mut Dropout::off();
        match &instances.targets {
            Targets::Classes(_) | Targets::Choices { .. } => {
                let found = values(head.head.rows(encoder, hidden, tokens.rows, off))?;
                scatter(&mut logits, &indices, &found);
            }
            Targets::Spans(_) => scatter(&mut logits, &indices, &values(head.head.tokens(encoder, hidden, None, off))?),
            Targets::Words { positions, .. } => {
                let lists = indices.iter().map(|index| positions.get(*index as usize));
                let places: Vec<i32> = lists
                    .clone()
                    .enumerate()
                    .flat_map(|(row, list)| list.iter().map(move |place| (row, *place)))
                    .map(|(row, place)| tokens.flat(row, place as usize) as i32)
                    .collect();
                let count = places.len();
                let found = values(head.head.tokens(encoder, hidden, Some(places), off))?;
                let labels = found.len() / count.max(1);
                let mut rest = found.as_slice();
                for (index, list) in indices.iter().zip(lists) {
                    let (own, others) = rest.split_at(list.len() * labels);
                    logits[*index as usize] = own.to_vec();
                    rest = others;
                }
            }
            Targets::Text => {}
        }
    }
    Ok(logits)
}

/// Gives each of `indices` its equal share of `found`.
fn scatter(logits: &mut [Vec<f32>], indices: &[u32], found: &[f32]) {
    let each = found.len() / indices.len();
    for (index, own) in indices.iter().zip(found.chunks_exact(each)) {
        logits[*index as usize] = own.to_vec();
    }
}

/// Some of the instances in groups of similar length, so that little is padded.
fn by_length(instances: &Instances, mut order: Vec<u32>) -> Vec<Vec<u32>> {
    order.sort_by_key(|index| instances.length(*index as usize));
    order.chunks(BATCH_ROWS).map(<[u32]>::to_vec).collect()
}

/// The numbers of a `list<uint32>` column's row.
fn numbers(window: &Window, column: &str, row: usize) -> Result<Vec<u32>> {
    let list = Columns::new(window.path, window.batch).list(column)?.value(row);
    Ok(list.as_primitive_opt::<UInt32Type>().map(|list| list.values().to_vec()).unwrap_or_default())
}

/// Softmax of `logits` at `index`.
fn probability(logits: &[f32], index: usize) -> f32 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
    (logits[index] - highest).exp() / sum
}
