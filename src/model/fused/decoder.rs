//! The decoder of a masked-LM head: a product with the table of word embeddings, and its backward pass.
//!
//! There are few rows and tens of thousands of columns, so the work is divided by columns.

use std::sync::Arc;

use super::Operation;
use super::buffers::Buffers;
use super::matrix::{Matrix, Target};
use super::rows::add_rows_of;
use super::sizes::each;
use super::weights::{WeightGradient, weight_gradients};

/// Tensors that are read: rows `[rows, width]`, the table `[vocabulary, width]` and the bias `[vocabulary]`.
pub(super) const INPUTS: usize = 3;

/// Words that one task of the thread pool works on.
const PANEL: usize = 1_024;
/// Words whose share of the gradient of the rows is computed at once.
const STRETCH: usize = 8_192;

/// The sizes of one call.
#[derive(Clone, Debug)]
pub(in crate::model) struct DecoderCall {
    pub rows: usize,
    pub width: usize,
    pub vocabulary: usize,
    pub buffers: Arc<Buffers>,
}

impl DecoderCall {
    fn operations(&self) -> usize {
        2 * self.rows * self.width * self.vocabulary
    }
}

impl Operation for DecoderCall {
    type Kept = ();

    fn shape(&self) -> [usize; 2] {
        [self.rows, self.vocabulary]
    }

    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Option<()>) {
        let Self { rows, width, vocabulary, .. } = *self;
        let (hidden, table, bias) = (Matrix::new(inputs[0], rows, width), inputs[1], inputs[2]);
        let mut logits = vec![0.0; rows * vocabulary];
        let target = Target::new(&mut logits, vocabulary);
        let panels = bias.chunks(PANEL).zip(table.chunks(PANEL * width)).enumerate().collect();
        each(panels, self.operations(), |(index, (bias, table))| {
            let words = Matrix::new(table, bias.len(), width).transposed();
            // SAFETY: every panel has its own columns of the logits.
            unsafe {
                target.repeat(index * PANEL, rows, bias);
                target.product(index * PANEL, true, hidden, words, 1.0);
            }
        });
        (logits, keep.then_some(()))
    }

    fn backward(&self, inputs: &[&[f32]], _kept: &(), gradient: Vec<f32>) -> Vec<Vec<f32>> {
        let Self { rows, width, vocabulary, .. } = *self;
        let (hidden, table) = (Matrix::new(inputs[0], rows, width), inputs[1]);
        let logits = Matrix::new(&gradient, rows, vocabulary);

        // Each stretch of the vocabulary gives a share of the gradient of the rows; the shares are added in order.
        let stretches = vocabulary.div_ceil(STRETCH);
        let mut shares = self.buffers.take(stretches * rows * width);
        let parts = shares.chunks_mut(rows * width).zip(table.chunks(STRETCH * width)).enumerate().collect();
        each(parts, self.operations(), |(index, (share, table))| {
            let words = Matrix::new(table, table.len() / width, width);
            super::matrix::multiply(share, logits.panel(index * STRETCH, STRETCH), words);
        });
        let mut hidden_gradient = shares[..rows * width].to_vec();
        for share in shares.chunks_exact(rows * width).skip(1) {
            add_rows_of(share, 0, share.len(), &mut hidden_gradient);
        }

        let tables = weight_gradients(&[WeightGradient { input: logits, output: hidden }], self.operations());
        let mut bias = vec![0.0; vocabulary];
        let panels = bias.chunks_mut(PANEL).enumerate().collect();
        each(panels, rows * vocabulary, |(index, bias)| add_rows_of(&gradient, index * PANEL, vocabulary, bias));
        std::iter::once(hidden_gradient).chain(tables).chain([bias]).collect()
    }
}
