//! The sum of word, position and type embeddings with its LayerNorm and dropout, and its backward pass.

use std::sync::Arc;

use super::Operation;
use super::buffers::{Buffer, Buffers};
use super::rows::{NormWeights, Normalised, add_rows, drop_in_place, normalize, normalize_backward};
use super::sizes::each;
use crate::model::zeros::Zeros;

/// Tensors that are read: the tables of words, positions and types, and the LayerNorm's weight and bias.
pub(super) const INPUTS: usize = 5;

/// Tokens a block, of which a thread has one at a time.
const BLOCK: usize = 128;
/// Floating-point operations that a number is worth, roughly: reading from a table costs more than computing.
const OPERATIONS: usize = 40;

/// The numbers of one call.
#[derive(Clone, Debug)]
pub(in crate::model) struct EmbeddingsCall {
    /// Word of each token.
    pub words: Arc<[i32]>,
    /// Position of each token.
    pub positions: Vec<i32>,
    /// Type of each token; empty where all are 0.
    pub types: Vec<i32>,
    pub width: usize,
    pub epsilon: f32,
    pub zeros: Option<Zeros>,
    pub buffers: Arc<Buffers>,
}

/// The normalised sums `[tokens, width]`, and the reciprocal of each one's standard deviation.
pub(in crate::model) type Kept = (Buffer, Buffer);

impl EmbeddingsCall {
    fn operations(&self) -> usize {
        self.words.len() * self.width * OPERATIONS
    }

    /// The row of `table` that belongs to token `token` of `ids`; row 0 where there are no ids.
    fn row<'a>(&self, table: &'a [f32], ids: &[i32], token: usize) -> &'a [f32] {
        let id = ids.get(token).map_or(0, |id| *id as usize);
        &table[id * self.width..(id + 1) * self.width]
    }
}

impl Operation for EmbeddingsCall {
    type Kept = Kept;

    fn shape(&self) -> [usize; 2] {
        [self.words.len(), self.width]
    }

    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Option<Kept>) {
        let (tokens, width) = (self.words.len(), self.width);
        let [words, positions, types] = [inputs[0], inputs[1], inputs[2]];
        let norm = NormWeights { weight: inputs[3], bias: inputs[4], epsilon: self.epsilon };
        let mut output = vec![0.0; tokens * width];
        let mut kept = keep.then(|| (self.buffers.take(tokens * width), self.buffers.take(tokens)));
        let blocks: Vec<_> = {
            let mut parts = kept.as_mut().map(|(rows, scales)| {
                let parts = rows.chunks_mut(BLOCK * width).zip(scales.chunks_mut(BLOCK));
                parts.map(|(rows, scales)| Normalised { rows, scales })
            });
            let blocks = output.chunks_mut(BLOCK * width).enumerate();
            blocks.map(|(index, output)| (index * BLOCK, output, parts.as_mut().and_then(Iterator::next))).collect()
        };
        each(blocks, self.operations(), |(start, output, kept)| {
            for (token, out) in (start..).zip(output.chunks_exact_mut(width)) {
                let word = self.row(words, &self.words, token);
                let position = self.row(positions, &self.positions, token);
                let kind = self.row(types, &self.types, token);
                for (((out, word), position), kind) in out.iter_mut().zip(word).zip(position).zip(kind) {
                    *out = word + position + kind;
                }
            }
            let mut factors = self.buffers.take(width);
            normalize(output, &[], None, 0, norm, kept, &mut factors);
            if let Some(zeros) = self.zeros {
                drop_in_place(output, zeros, start * width, width, &mut factors);
            }
        });
        (output, kept)
    }

    fn backward(&self, inputs: &[&[f32]], kept: &Kept, gradient: Vec<f32>) -> Vec<Vec<f32>> {
        let (tokens, width) = (self.words.len(), self.width);
        let mut gradient = gradient;
        let mut partial = self.buffers.take(tokens.div_ceil(BLOCK) * 2 * width);
        partial.fill(0.0);
        let blocks = gradient.chunks_mut(BLOCK * width).zip(partial.chunks_mut(2 * width)).enumerate();
        each(blocks.collect(), self.operations(), |(index, (gradient, sums))| {
            let start = index * BLOCK;
            let rows = gradient.len() / width;
            if let Some(zeros) = self.zeros {
                let mut factors = self.buffers.take(width);
                drop_in_place(gradient, zeros, start * width, width, &mut factors);
            }
            let (weight_sums, bias_sums) = sums.split_at_mut(width);
            let hats = &kept.0[start * width..(start + rows) * width];
            normalize_backward(gradient, hats, &kept.1[start..start + rows], inputs[3], weight_sums, bias_sums);
        });
        let mut norm = vec![0.0; 2 * width];
        add_rows(&partial, &mut norm);
        let norm_bias = norm.split_off(width);

        // Each table's rows are added in the order of the tokens.
        let mut tables = [0, 1, 2].map(|table| vec![0.0f32; inputs[table].len()]);
        let ids: [&[i32]; 3] = [&self.words, &self.positions, &self.types];
        let scatter = tables.iter_mut().zip(ids).collect();
        each(scatter, self.operations(), |(table, ids)| {
            if ids.is_empty() {
                add_rows(&gradient, &mut table[..width]);
            }
            for (id, row) in ids.iter().zip(gradient.chunks_exact(width)) {
                let start = *id as usize * width;
                add_rows(row, &mut table[start..start + width]);
            }
        });
        tables.into_iter().chain([norm, norm_bias]).collect()
    }
}
