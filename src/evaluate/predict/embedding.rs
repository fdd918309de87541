//! Sentence retrieval: a vector for each sentence from a hidden state of its tokens, and the nearest of the other side.

use std::sync::atomic::AtomicBool;

use burn::tensor::{Tensor, TensorData};

use super::{PredictFile, PredictRequest, Prediction, TokenBatch, by_length, values};
use crate::error::Result;
use crate::evaluate::{EvaluateError, nearest};
use crate::model::{Model, ModelError};
use crate::progress::check;
use crate::shard::{Columns, read_batches};
use crate::task::{Format, Pooling};
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
                layer: i32::try_from(*layer).ok(),
                pooling: Some(request.pooling.name()),
                rank: Some(1),
                ..Prediction::new(id.clone(), index.ids[row as usize].clone(), cosine)
            });
        }
    }
    Ok(predictions)
}

/// For each layer, a vector for each instance.
fn embed(
    request: &PredictRequest,
    model: &Model,
    instances: &Instances,
    stop: &AtomicBool,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let mut layers = vec![vec![Vec::new(); instances.len()]; request.layers.len()];
    for indices in by_length(instances) {
        check(stop)?;
        let tokens = instances.tokens(&indices, &model.encoder);
        let states = model.encoder.hidden_states(&tokens);
        for (vectors, layer) in layers.iter_mut().zip(&request.layers) {
            let pooled = pool(states[*layer].clone(), &tokens, request.pooling)?;
            for (index, vector) in indices.iter().zip(pooled.chunks_exact(model.encoder.config.hidden_size)) {
                vectors[*index as usize] = vector.to_vec();
            }
        }
    }
    Ok(layers)
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
