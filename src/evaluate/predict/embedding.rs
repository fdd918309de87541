//! Sentence retrieval: a vector for each sentence from hidden states of its tokens.
//!
//! Sentences of the same tokens get the same bits, wherever they stand: they go through the model once. So whoever searches can
//! tell repeated sentences by their vectors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, Float32Array, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{TokenBatch, Window, by_length, numbers, values};
use crate::error::Result;
use crate::evaluate::EvaluateError;
use crate::model::weights::load_stored;
use crate::model::{Model, ModelError, OpenDevice};
use crate::progress::{Progress, check};
use crate::schema::table;
use crate::shard::{Columns, Writer, read_batches, table_path};
use crate::task::{Format, Pooling, Split};
use crate::train::data::{Instances, Limits};

/// What to embed with what.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    /// A model directory: `config.json`, `model.safetensors`.
    pub model_dir: PathBuf,
    /// The task, for the table.
    pub task: String,
    /// Model inputs by split and language.
    pub files: Vec<(Split, String, PathBuf)>,
    /// The hidden states that stand for a sentence, each on its own (0 = embeddings).
    pub layers: Vec<usize>,
    /// What of a hidden state stands for a sentence.
    pub pooling: Pooling,
    /// Where to compute.
    pub device: OpenDevice,
}

/// What was embedded; the statistics in the artifact's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedOutcome {
    /// Numbers of a vector.
    pub width: usize,
    /// Split, language and number of sentences.
    pub sentences: Vec<(Split, String, u64)>,
}

/// Embeds every file of `request` into `split=…/language=…/part-00000.parquet` below `output`, in the schema `embeddings`: for
/// each batch of sentences and each layer a row a sentence.
///
/// # Errors
/// A model directory or table that can't be read, a hidden state that the model does not have, a device that fails, or `stop`.
pub fn embed(
    request: &EmbedRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<EmbedOutcome> {
    let model = load_stored(&request.model_dir, &request.device.device)?;
    let has = model.encoder.config.num_hidden_layers;
    if let Some(layer) = request.layers.iter().copied().find(|layer| *layer > has) {
        return Err(EvaluateError::Layer { model: request.model_dir.clone(), layer, has }.into());
    }
    let mut total = 0;
    for (_, _, tokens) in &request.files {
        total += read_batches(tokens)?.rows() as u64;
    }
    progress.start(total, "sentences");
    let mut done = 0;
    let mut sentences = Vec::new();
    for (split, language, tokens) in &request.files {
        let path = output.join(table_path(split.name(), language));
        let mut writer = Writer::create(&path, &table("embeddings").schema, metadata)?;
        let mut repeated = Repeated::of(tokens)?;
        let (mut first_row, place) = (0, [request.task.as_str(), split.name(), language]);
        for batch in read_batches(tokens)? {
            check(stop)?;
            let batch = batch?;
            for layer in one_batch(request, &model, tokens, first_row, &batch, &mut repeated, place, stop)? {
                writer.write(&layer)?;
            }
            first_row += batch.num_rows();
            done += batch.num_rows() as u64;
            progress.advance(done, language);
        }
        writer.finish()?;
        sentences.push((*split, language.clone(), first_row as u64));
    }
    progress.finish();
    Ok(EmbedOutcome { width: model.encoder.config.hidden_size, sentences })
}

/// A digest of a sentence's tokens.
type Digest = [u8; 16];
/// The vectors of a sentence, layer by layer.
type Layers = Vec<Vec<f32>>;

/// The sentences of a file that stand in it more than once.
struct Repeated {
    /// The vectors of each, once they are known.
    vectors: HashMap<Digest, Option<Layers>>,
}

impl Repeated {
    fn of(tokens: &Path) -> Result<Self> {
        let mut seen: HashMap<Digest, bool> = HashMap::new();
        for batch in read_batches(tokens)? {
            for digest in digests(tokens, &batch?)? {
                seen.entry(digest).and_modify(|again| *again = true).or_insert(false);
            }
        }
        let again = seen.into_iter().filter(|(_, again)| *again);
        Ok(Self { vectors: again.map(|(digest, _)| (digest, None)).collect() })
    }
}

fn digests(path: &Path, batch: &RecordBatch) -> Result<Vec<Digest>> {
    let window = Window { path, batch };
    let digest = |row: usize| {
        let mut hasher = blake3::Hasher::new();
        for token in numbers(&window, "input_ids", row)? {
            hasher.update(&token.to_le_bytes());
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Ok(digest)
    };
    (0..batch.num_rows()).map(digest).collect()
}

/// The rows of the table for one batch of sentences, layer by layer.
#[expect(clippy::too_many_arguments, reason = "one step of a loop over a file")]
fn one_batch(
    request: &EmbedRequest,
    model: &Model,
    path: &Path,
    first_row: usize,
    batch: &RecordBatch,
    repeated: &mut Repeated,
    place: [&str; 3],
    stop: &AtomicBool,
) -> Result<Vec<RecordBatch>> {
    let mut instances = Instances::empty(Format::SentenceRetrieval);
    instances.append(path, batch, first_row, Limits::of(&model.encoder.config), false)?;
    let digests = digests(path, batch)?;
    // Of sentences that repeat, the first goes through the model.
    let mut asked: HashMap<Digest, u32> = HashMap::new();
    let mut rows = Vec::with_capacity(instances.len());
    for (row, digest) in digests.iter().enumerate() {
        let new = match repeated.vectors.get(digest) {
            None => true,
            Some(Some(_)) => false,
            Some(None) => asked.insert(*digest, row as u32).is_none(),
        };
        rows.extend(new.then_some(row as u32));
    }
    let mut vectors: Vec<Layers> = vec![Vec::new(); instances.len()];
    for indices in by_length(&instances, rows) {
        check(stop)?;
        let tokens = instances.tokens(&indices, &model.encoder);
        let states = model.encoder.hidden_states(&tokens);
        for layer in &request.layers {
            let pooled = pool(states[*layer].clone(), &tokens, request.pooling)?;
            for (index, vector) in indices.iter().zip(pooled.chunks_exact(model.encoder.config.hidden_size)) {
                vectors[*index as usize].push(vector.to_vec());
            }
        }
    }
    for (row, digest) in digests.iter().enumerate() {
        if let Some(known) = repeated.vectors.get_mut(digest) {
            match known {
                None => *known = Some(vectors[row].clone()),
                Some(known) => vectors[row].clone_from(known),
            }
        }
    }
    let columns = Columns::new(path, batch);
    let (ids, sides) = (columns.text("example_id")?, columns.text("side")?);
    let constant = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; batch.num_rows()])) };
    let width = model.encoder.config.hidden_size;
    let layer = |(number, layer): (usize, &usize)| {
        let values = Float32Array::from_iter_values(vectors.iter().flat_map(|layers| layers[number].iter().copied()));
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let lists =
            ListArray::new(item, OffsetBuffer::from_repeated_length(width, batch.num_rows()), Arc::new(values), None);
        let layer = i32::try_from(*layer).unwrap_or(i32::MAX);
        let columns: Vec<ArrayRef> = vec![
            constant(place[0]),
            constant(place[1]),
            constant(place[2]),
            Arc::new(sides.clone()),
            Arc::new(ids.clone()),
            Arc::new(Int32Array::from(vec![layer; batch.num_rows()])),
            constant(request.pooling.name()),
            Arc::new(lists),
        ];
        RecordBatch::try_new(table("embeddings").schema.clone(), columns)
            .expect("the columns are the schema's and of one length")
    };
    Ok(request.layers.iter().enumerate().map(layer).collect())
}

/// The vector of each row of `hidden [rows × positions, width]`, one after another.
fn pool(hidden: Tensor<2>, tokens: &TokenBatch, pooling: Pooling) -> Result<Vec<f32>, ModelError> {
    let shares: Vec<f32> = tokens
        .lengths
        .iter()
        .flat_map(|&length| {
            let (counted, share) = match pooling {
                Pooling::Mean => (length, 1.0 / length.max(1) as f32),
                Pooling::FirstToken => (1, 1.0),
            };
            (0..tokens.width).map(move |position| if position < counted { share } else { 0.0 })
        })
        .collect();
    let shares = TensorData::new(shares, [tokens.rows, 1, tokens.width]);
    let shares: Tensor<3> = Tensor::from_data(shares, &hidden.device());
    let [_, width] = hidden.dims();
    values(shares.matmul(hidden.reshape([tokens.rows, tokens.width, width])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn a_vector_is_the_mean_of_the_tokens_or_the_first_of_them() {
        let rows: [(&[u32], &[u32]); 2] = [(&[5, 6], &[]), (&[7, 8, 9, 10], &[])];
        let tokens = TokenBatch::new(rows.iter().copied(), 1, 4, 4);
        let hidden: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let hidden = Tensor::<2>::from_data(TensorData::new(hidden, [8, 2]), &Device::flex());
        assert_eq!(pool(hidden.clone(), &tokens, Pooling::Mean).unwrap(), [1.0, 2.0, 11.0, 12.0]);
        assert_eq!(pool(hidden, &tokens, Pooling::FirstToken).unwrap(), [0.0, 1.0, 8.0, 9.0]);
    }
}
