//! Sentence retrieval: the mean of a hidden state over a sentence's tokens, and the nearest of the other side.

use std::sync::atomic::AtomicBool;

use burn::tensor::{Tensor, TensorData};

use super::{PredictFile, PredictRequest, Prediction, TokenBatch, by_length, values};
use crate::error::Result;
use crate::evaluate::{EvaluateError, nearest};
use crate::model::{Model, ModelError};
use crate::progress::check;
use crate::shard::{Columns, read_batches};
use crate::task::Format;
use crate::train::data::{Instances, Limits};

/// The sentences of one side: their ids and, for each layer, their vectors one after the other.
#[derive(Default)]
struct Side {
    ids: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

/// For each layer and each query, the nearest sentence of the index by cosine. Layer by layer, queries in order.
pub(super) fn retrieve(
    request: &PredictRequest,
    model: &Model,
    file: &PredictFile,
    advance: &mut dyn FnMut(usize),
    stop: &AtomicBool,
) -> Result<Vec<Prediction>> {
    let config = &model.encoder.config;
    if let Some(layer) = request.layers.iter().find(|layer| **layer > config.num_hidden_layers) {
        let has = config.num_hidden_layers;
        return Err(EvaluateError::Layer { model: request.model_dir.clone(), layer: *layer, has }.into());
    }
    let side = || Side { ids: Vec::new(), vectors: vec![Vec::new(); request.layers.len()] };
    let (mut queries, mut index) = (side(), side());
    let mut first_row = 0;
    for batch in read_batches(&file.tokens)? {
        check(stop)?;
        let batch = batch?;
        let mut instances = Instances::empty(Format::SentenceRetrieval);
        instances.append(&file.tokens, &batch, first_row, Limits::of(config), false)?;
        let vectors = embed(request, model, &instances, stop)?;
        let columns = Columns::new(&file.tokens, &batch);
        let (ids, sides) = (columns.text("example_id")?, columns.text("side")?);
        for row in 0..batch.num_rows() {
            let side = if sides.value(row) == "query" { &mut queries } else { &mut index };
            side.ids.push(ids.value(row).to_owned());
            for (own, layer) in side.vectors.iter_mut().zip(&vectors) {
                own.extend_from_slice(&layer[row]);
            }
        }
        first_row += batch.num_rows();
        advance(batch.num_rows());
    }
    let mut predictions = Vec::with_capacity(queries.ids.len() * request.layers.len());
    for (position, layer) in request.layers.iter().enumerate() {
        let found = nearest(&queries.vectors[position], &index.vectors[position], config.hidden_size);
        for (id, (row, cosine)) in queries.ids.iter().zip(found) {
            predictions.push(Prediction {
                example_id: id.clone(),
                layer: i32::try_from(*layer).ok(),
                prediction: index.ids[row as usize].clone(),
                confidence: cosine,
            });
        }
    }
    Ok(predictions)
}

/// For each layer, a vector for each instance: the mean over all tokens that are not padding, special tokens included.
fn embed(
    request: &PredictRequest,
    model: &Model,
    instances: &Instances,
    stop: &AtomicBool,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let mut layers = vec![vec![Vec::new(); instances.len()]; request.layers.len()];
    for indices in by_length(instances) {
        check(stop)?;
        let tokens = instances.tokens(&indices, &model.encoder.config);
        let states = model.encoder.hidden_states(&tokens);
        for (vectors, layer) in layers.iter_mut().zip(&request.layers) {
            let means = means(states[*layer].clone(), &tokens)?;
            for (index, mean) in indices.iter().zip(means.chunks_exact(model.encoder.config.hidden_size)) {
                vectors[*index as usize] = mean.to_vec();
            }
        }
    }
    Ok(layers)
}

/// The mean over the tokens of each row of `hidden [rows × positions, width]`, row by row.
fn means(hidden: Tensor<2>, tokens: &TokenBatch) -> Result<Vec<f32>, ModelError> {
    let shares: Vec<f32> = tokens
        .lengths
        .iter()
        .flat_map(|&length| {
            let share = 1.0 / length.max(1) as f32;
            (0..tokens.width).map(move |position| if position < length { share } else { 0.0 })
        })
        .collect();
    let shares = TensorData::new(shares, [tokens.rows, 1, tokens.width]);
    let shares: Tensor<3> = Tensor::from_data(shares, &hidden.device());
    let [_, width] = hidden.dims();
    values(shares.matmul(hidden.reshape([tokens.rows, tokens.width, width])))
}
