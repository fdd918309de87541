//! The encoder: embeddings and a post-LayerNorm transformer, as transformers computes BERT and XLM-RoBERTa.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::config::{Architecture, EncoderConfig, Precision};
use super::dropout::Dropout;
use super::fused::{
    Affine, Buffers, DecoderCall, DecoderInputs, EmbeddingInputs, EmbeddingsCall, FusedOps, LayerCall, LayerInputs,
    Sizes,
};
use super::layers::{Dense, Norm, Slot, Visitor, integers, lookup, product};
use super::plain;

/// Added to the attention scores of padding: large enough that its probability is exactly 0 in f32.
const MASKED: f32 = -1e9;

/// What widths of batches are multiples of on the CPU and on a GPU; see [`Encoder::width_multiple`].
const WIDTH_MULTIPLE: usize = 8;
const GPU_WIDTH_MULTIPLE: usize = 32;

/// Token ids of several rows, padded on the right to one width. Built on the host; the encoder uploads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    /// Number of rows.
    pub rows: usize,
    /// Tokens a row, padding included.
    pub width: usize,
    /// What the width was rounded up to a multiple of.
    pub multiple: usize,
    /// The tokens a row that a loss over all positions is over, padding included: the width that rows are padded to on the
    /// CPU. A GPU pads wider, but trains the same.
    pub scored: usize,
    /// `rows × width` ids.
    pub ids: Vec<i32>,
    /// `rows × width` token types; empty where all are 0.
    pub type_ids: Vec<i32>,
    /// Tokens of each row that are not padding.
    pub lengths: Vec<usize>,
}

impl TokenBatch {
    /// Pads `rows` (ids and token types of each) with `pad` to the longest one, rounded up to a multiple of `multiple`
    /// but not beyond `limit`. No types for a row means type 0 throughout.
    pub fn new<'a>(
        rows: impl ExactSizeIterator<Item = (&'a [u32], &'a [u32])> + Clone,
        pad: u32,
        multiple: usize,
        limit: usize,
    ) -> Self {
        let count = rows.len();
        let longest = rows.clone().map(|(ids, _)| ids.len()).max().unwrap_or(0).max(1);
        let padded = |multiple: usize| longest.next_multiple_of(multiple).min(limit).max(longest);
        let width = padded(multiple);
        let typed = rows.clone().any(|(_, types)| types.iter().any(|kind| *kind != 0));
        let mut batch = Self {
            rows: count,
            width,
            multiple,
            scored: padded(WIDTH_MULTIPLE).min(width),
            ids: vec![pad as i32; count * width],
            type_ids: if typed { vec![0; count * width] } else { Vec::new() },
            lengths: Vec::with_capacity(count),
        };
        for (row, (ids, types)) in rows.enumerate() {
            let start = row * width;
            for (target, id) in batch.ids[start..].iter_mut().zip(ids) {
                *target = *id as i32;
            }
            if typed {
                for (target, kind) in batch.type_ids[start..].iter_mut().zip(types) {
                    *target = *kind as i32;
                }
            }
            batch.lengths.push(ids.len());
        }
        batch
    }

    /// The row-major position of token `index` of `row` in a `[rows × width, …]` view.
    pub fn flat(&self, row: usize, index: usize) -> usize {
        row * self.width + index
    }

    fn positions(&self, config: &EncoderConfig) -> Vec<i32> {
        match config.model_type {
            Architecture::Bert => (0..self.rows).flat_map(|_| 0..self.width as i32).collect(),
            Architecture::XlmRoberta => {
                let pad = config.pad_token_id as i32;
                let mut positions = Vec::with_capacity(self.ids.len());
                for row in self.ids.chunks_exact(self.width) {
                    let mut last = pad;
                    positions.extend(row.iter().map(|id| {
                        if *id == pad {
                            pad
                        } else {
                            last += 1;
                            last
                        }
                    }));
                }
                positions
            }
        }
    }

    /// `[rows, 1, 1, width]` to add to attention scores; none where no row is padded.
    fn mask(&self, device: &Device) -> Option<Tensor<4>> {
        if self.lengths.iter().all(|length| *length == self.width) {
            return None;
        }
        let mut mask = vec![0.0f32; self.ids.len()];
        for (row, length) in mask.chunks_exact_mut(self.width).zip(&self.lengths) {
            row[*length..].fill(MASKED);
        }
        Some(Tensor::from_data(TensorData::new(mask, [self.rows, 1, 1, self.width]), (device, DType::F32)))
    }
}

#[derive(Clone, Debug)]
struct Embeddings {
    word: Tensor<2>,
    position: Tensor<2>,
    token_type: Tensor<2>,
    norm: Norm,
}

/// One transformer layer's parameters.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub query: Dense,
    pub key: Dense,
    pub value: Dense,
    pub attention_output: Dense,
    pub attention_norm: Norm,
    pub intermediate: Dense,
    pub output: Dense,
    pub output_norm: Norm,
}

/// The encoder and, where the weights have one, its pooler.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Sizes and rates.
    pub config: EncoderConfig,
    /// Of the matrix products.
    pub precision: Precision,
    /// Where the parameters are; without tracking, which the parameters have or have not themselves.
    pub device: Device,
    embeddings: Embeddings,
    layers: Vec<Layer>,
    /// Scratch memory of the CPU's own kernels.
    buffers: Arc<Buffers>,
    /// `tanh(dense(first token))`, which some heads read. It belongs to the encoder and moves on with it, as in transformers.
    pub pooler: Option<Dense>,
}

impl Encoder {
    /// An encoder of zeros (LayerNorm weights one), to be filled by [`super::weights`].
    pub fn new(config: &EncoderConfig, pooler: bool, device: &Device) -> Self {
        let width = config.hidden_size;
        let dense = |inputs, outputs| Dense::new(inputs, outputs, device);
        let norm = || Norm::new(width, config.layer_norm_eps, device);
        let table = |rows| Tensor::zeros([rows, width], device);
        Self {
            embeddings: Embeddings {
                word: table(config.vocab_size),
                position: table(config.max_position_embeddings),
                token_type: table(config.type_vocab_size),
                norm: norm(),
            },
            layers: (0..config.num_hidden_layers)
                .map(|_| Layer {
                    query: dense(width, width),
                    key: dense(width, width),
                    value: dense(width, width),
                    attention_output: dense(width, width),
                    attention_norm: norm(),
                    intermediate: dense(width, config.intermediate_size),
                    output: dense(config.intermediate_size, width),
                    output_norm: norm(),
                })
                .collect(),
            buffers: Arc::default(),
            pooler: pooler.then(|| dense(width, width)),
            config: config.clone(),
            precision: Precision::F32,
            device: device.clone(),
        }
    }

    /// Whether the parameters are on the CPU, where other ways to the same numbers are fast.
    pub fn on_cpu(&self) -> bool {
        self.device == Device::flex()
    }

    /// What widths of batches should be multiples of. On the CPU each padded token costs its share. On a GPU each new width
    /// costs the choice of kernels for it, and products in 16 bits want multiples of 16 on every side.
    pub fn width_multiple(&self) -> usize {
        if self.on_cpu() { WIDTH_MULTIPLE } else { GPU_WIDTH_MULTIPLE }
    }

    /// The word embedding table `[vocabulary, width]`, which a masked-LM head shares.
    pub fn word_embeddings(&self) -> Tensor<2> {
        self.embeddings.word.clone()
    }

    /// The last hidden state, `[rows × width of the batch, hidden size]`: tokens of all rows one after another, since every
    /// step but attention treats them alike, and one large product is faster than one a row.
    pub fn forward(&self, batch: &TokenBatch, dropout: &mut Dropout) -> Tensor<2> {
        let mask = self.mask(batch);
        let embedded = self.embed(batch, dropout);
        (0..self.layers.len()).fold(embedded, |hidden, index| self.layer(index, hidden, batch, mask.clone(), dropout))
    }

    /// Every hidden state: the embeddings first, then each layer's output; `num_hidden_layers + 1` in all,
    /// each shaped as by [`Encoder::forward`].
    pub fn hidden_states(&self, batch: &TokenBatch) -> Vec<Tensor<2>> {
        let mask = self.mask(batch);
        let mut states = vec![self.embed(batch, &mut Dropout::off())];
        for index in 0..self.layers.len() {
            states.push(self.layer(index, states[index].clone(), batch, mask.clone(), &mut Dropout::off()));
        }
        states
    }

    /// What [`Encoder::layer`] adds to the attention scores of `batch`: `[rows, 1, 1, width]`; none where no row is padded, and
    /// where the CPU's own kernels go by the rows' lengths.
    pub fn mask(&self, batch: &TokenBatch) -> Option<Tensor<4>> {
        if self.fuses() { None } else { batch.mask(&self.device) }
    }

    /// The input of the first layer, shaped as by [`Encoder::forward`]: the sum of the embeddings, normalised.
    pub fn embed(&self, batch: &TokenBatch, dropout: &mut Dropout) -> Tensor<2> {
        if self.fuses() { self.embed_fused(batch, dropout) } else { self.embed_composed(batch, dropout) }
    }

    /// [`Encoder::forward`] from tensor operations on any device.
    #[cfg(test)]
    pub(super) fn forward_composed(&self, batch: &TokenBatch, dropout: &mut Dropout) -> Tensor<2> {
        let mask = batch.mask(&self.device);
        let embedded = self.embed_composed(batch, dropout);
        let step =
            |hidden, layer| plain::layer(layer, &self.config, hidden, batch, mask.clone(), dropout, self.precision);
        self.layers.iter().fold(embedded, step)
    }

    fn embed_composed(&self, batch: &TokenBatch, dropout: &mut Dropout) -> Tensor<2> {
        let width = self.config.hidden_size;
        let tokens = batch.ids.len();
        let ids = |values: Vec<i32>| integers(values, [tokens], &self.device);
        let on_cpu = self.on_cpu();
        let tables = &self.embeddings;
        let words = lookup(tables.word.clone(), ids(batch.ids.clone()), on_cpu);
        let positions = lookup(tables.position.clone(), ids(batch.positions(&self.config)), on_cpu);
        let types = if batch.type_ids.is_empty() || self.config.type_vocab_size == 1 {
            // One row for all tokens: a broadcast sum has the same gradient as a lookup and no contention.
            tables.token_type.clone().slice([0..1, 0..width])
        } else {
            lookup(tables.token_type.clone(), ids(batch.type_ids.clone()), on_cpu)
        };
        let sum = words + positions + types;
        dropout.apply(tables.norm.forward(sum), self.config.hidden_dropout_prob)
    }

    /// The output of the layer at `index` for `input`, both shaped as by [`Encoder::forward`]; `mask` is that of `batch`.
    pub fn layer(
        &self,
        index: usize,
        input: Tensor<2>,
        batch: &TokenBatch,
        mask: Option<Tensor<4>>,
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let layer = &self.layers[index];
        if self.fuses() {
            self.layer_fused(layer, input, batch, dropout)
        } else {
            plain::layer(layer, &self.config, input, batch, mask, dropout, self.precision)
        }
    }

    /// Whether the CPU's own kernels compute the encoder.
    fn fuses(&self) -> bool {
        self.on_cpu() && self.precision == Precision::F32
    }

    fn embed_fused(&self, batch: &TokenBatch, dropout: &mut Dropout) -> Tensor<2> {
        let tables = &self.embeddings;
        let inputs = EmbeddingInputs::<Dispatch> {
            words: tables.word.clone().into_dispatch(),
            positions: tables.position.clone().into_dispatch(),
            types: tables.token_type.clone().into_dispatch(),
            norm: affine(&tables.norm.weight, &tables.norm.bias),
        };
        let single = self.config.type_vocab_size == 1;
        let call = EmbeddingsCall {
            words: batch.ids.as_slice().into(),
            positions: batch.positions(&self.config),
            types: if single { Vec::new() } else { batch.type_ids.clone() },
            width: self.config.hidden_size,
            epsilon: self.config.layer_norm_eps as f32,
            zeros: dropout.zeros(self.config.hidden_dropout_prob),
            buffers: Arc::clone(&self.buffers),
        };
        Tensor::from_dispatch(Dispatch::embed(inputs, call))
    }

    /// The logits `[rows, vocabulary]` of `hidden [rows, width]` with the word embeddings as decoder.
    pub(super) fn decode(&self, hidden: Tensor<2>, bias: &Tensor<1>) -> Tensor<2> {
        let words = &self.embeddings.word;
        let ([rows, width], [vocabulary]) = (hidden.dims(), bias.dims());
        if !self.fuses() {
            let logits = product(hidden, words.clone().transpose(), self.precision);
            return logits + bias.clone().reshape([1, vocabulary]);
        }
        let inputs = DecoderInputs::<Dispatch> { hidden: hidden.into_dispatch(), words: affine(words, bias) };
        let call = DecoderCall { rows, width, vocabulary, buffers: Arc::clone(&self.buffers) };
        Tensor::from_dispatch(Dispatch::decode(inputs, call))
    }

    fn layer_fused(&self, layer: &Layer, input: Tensor<2>, batch: &TokenBatch, dropout: &mut Dropout) -> Tensor<2> {
        let dense = |dense: &Dense| affine(&dense.weight, &dense.bias);
        let norm = |norm: &Norm| affine(&norm.weight, &norm.bias);
        let inputs = LayerInputs::<Dispatch> {
            hidden: input.into_dispatch(),
            query: dense(&layer.query),
            key: dense(&layer.key),
            value: dense(&layer.value),
            context: dense(&layer.attention_output),
            middle_norm: norm(&layer.attention_norm),
            inner: dense(&layer.intermediate),
            output: dense(&layer.output),
            output_norm: norm(&layer.output_norm),
        };
        // A row of nothing but padding attends to all of it, as a mask of equal numbers does.
        let attended = |length: &usize| if *length == 0 { batch.width } else { *length };
        let rate = self.config.hidden_dropout_prob;
        let call = LayerCall {
            sizes: Sizes {
                lengths: batch.lengths.iter().map(attended).collect(),
                positions: batch.width,
                width: self.config.hidden_size,
                heads: self.config.num_attention_heads,
                inner: self.config.intermediate_size,
            },
            epsilon: self.config.layer_norm_eps as f32,
            zeros: [dropout.zeros(self.config.attention_probs_dropout_prob), dropout.zeros(rate), dropout.zeros(rate)],
            buffers: Arc::clone(&self.buffers),
        };
        Tensor::from_dispatch(Dispatch::encoder_layer(inputs, call))
    }

    /// Visits each parameter under its transformers name, after `prefix`.
    pub fn visit<'a>(&'a mut self, prefix: &str, visitor: &mut Visitor<'a, '_>) {
        let tables = &mut self.embeddings;
        visitor(format!("{prefix}embeddings.word_embeddings.weight"), Slot::Table(&mut tables.word));
        visitor(format!("{prefix}embeddings.position_embeddings.weight"), Slot::Table(&mut tables.position));
        visitor(format!("{prefix}embeddings.token_type_embeddings.weight"), Slot::Table(&mut tables.token_type));
        tables.norm.visit(&format!("{prefix}embeddings.LayerNorm"), visitor);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let name = format!("{prefix}encoder.layer.{index}");
            layer.query.visit(&format!("{name}.attention.self.query"), visitor);
            layer.key.visit(&format!("{name}.attention.self.key"), visitor);
            layer.value.visit(&format!("{name}.attention.self.value"), visitor);
            layer.attention_output.visit(&format!("{name}.attention.output.dense"), visitor);
            layer.attention_norm.visit(&format!("{name}.attention.output.LayerNorm"), visitor);
            layer.intermediate.visit(&format!("{name}.intermediate.dense"), visitor);
            layer.output.visit(&format!("{name}.output.dense"), visitor);
            layer.output_norm.visit(&format!("{name}.output.LayerNorm"), visitor);
        }
        if let Some(pooler) = &mut self.pooler {
            pooler.visit(&format!("{prefix}pooler.dense"), visitor);
        }
    }
}

fn affine<const D: usize>(weight: &Tensor<D>, bias: &Tensor<1>) -> Affine<Dispatch> {
    Affine { weight: weight.clone().into_dispatch(), bias: bias.clone().into_dispatch() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::tiny;

    #[test]
    fn rows_are_padded_to_a_multiple_but_not_beyond_the_limit() {
        let rows: [(&[u32], &[u32]); 2] = [(&[5, 6, 7], &[0, 0, 1]), (&[8], &[])];
        let batch = TokenBatch::new(rows.iter().copied(), 1, 8, 6);
        assert_eq!((batch.rows, batch.width), (2, 6));
        assert_eq!(batch.ids, [5, 6, 7, 1, 1, 1, 8, 1, 1, 1, 1, 1]);
        assert_eq!(batch.type_ids, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(batch.lengths, [3, 1]);
        let untyped = TokenBatch::new(rows[1..].iter().copied(), 1, 8, 40);
        assert_eq!((untyped.width, untyped.type_ids.len()), (8, 0));
        let wide = TokenBatch::new(rows.iter().copied(), 1, 32, 40);
        assert_eq!((wide.width, wide.scored, batch.scored), (32, 8, 6));
    }

    #[test]
    fn positions_follow_the_family() {
        let rows: [(&[u32], &[u32]); 1] = [(&[0, 9, 2], &[])];
        let batch = TokenBatch::new(rows.iter().copied(), 1, 4, 40);
        assert_eq!(batch.positions(&tiny(Architecture::Bert)), [0, 1, 2, 3]);
        assert_eq!(batch.positions(&tiny(Architecture::XlmRoberta)), [2, 3, 4, 1]);
    }
}
