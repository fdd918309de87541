//! Scaled dot-product attention, one head of one row at a time: its scores stay on the cache and are never kept.

use rayon::prelude::*;

use super::buffers::Buffers;
use super::matrix::{Matrix, Target};
use super::rows::{softmax, softmax_backward};
use super::sizes::{Sizes, worth_dividing};
use crate::model::zeros::Zeros;
use std::sync::Arc;

/// One head of one row, and where its numbers are in `[tokens, 3 × width]` (queries, keys, values) and `[tokens, width]`.
struct Block<'a> {
    sizes: &'a Sizes,
    projected: &'a [f32],
    row: usize,
    head: usize,
    /// Keys that may be attended: padding has probability 0 exactly, so its scores need not be computed.
    keys: usize,
}

impl<'a> Block<'a> {
    fn new(sizes: &'a Sizes, projected: &'a [f32], index: usize) -> Self {
        let (row, head) = (index / sizes.heads, index % sizes.heads);
        Self { sizes, projected, row, head, keys: sizes.lengths[row] }
    }

    /// Where the block's numbers begin in an array with `parts × width` numbers a token, in part `part`.
    fn start(&self, parts: usize, part: usize) -> usize {
        let Sizes { positions, width, .. } = *self.sizes;
        (self.row * positions * parts + part) * width + self.head * self.sizes.head_width()
    }

    /// Queries (part 0), keys (1) or values (2), of the first `count` positions.
    fn part(&self, part: usize, count: usize) -> Matrix<'a> {
        let from = &self.projected[self.start(3, part)..];
        Matrix::strided(from, count, self.sizes.head_width(), 3 * self.sizes.width)
    }

    /// The index of the first probability, in `[rows, heads, positions, positions]`.
    fn first_probability(&self) -> usize {
        let positions = self.sizes.positions;
        (self.row * self.sizes.heads + self.head) * positions * positions
    }

    /// Writes the scaled scores of all queries, a row of `keys` each.
    fn scores(&self, out: &mut [f32]) {
        let (queries, keys) = (self.part(0, self.sizes.positions), self.part(1, self.keys));
        // SAFETY: `out` is borrowed for writing by this call alone.
        unsafe { Target::new(out, self.keys).product(0, false, queries, keys.transposed(), self.sizes.score_scale()) }
    }
}

/// Runs `work` for each head of each row.
fn each_block(sizes: &Sizes, projected: &[f32], work: impl Fn(Block<'_>) + Send + Sync) {
    let blocks = sizes.lengths.len() * sizes.heads;
    let operations = 4 * sizes.tokens() * sizes.positions * sizes.width;
    if worth_dividing(operations) {
        (0..blocks).into_par_iter().for_each(|index| work(Block::new(sizes, projected, index)));
    } else {
        (0..blocks).for_each(|index| work(Block::new(sizes, projected, index)));
    }
}

/// The context of every token, `[tokens, width]`, from its queries, keys and values `[tokens, 3 × width]`.
pub(super) fn attend(
    sizes: &Sizes,
    projected: &[f32],
    zeros: Option<Zeros>,
    context: &mut [f32],
    buffers: &Arc<Buffers>,
) {
    let target = Target::new(context, sizes.width);
    each_block(sizes, projected, |block| {
        let (positions, keys) = (sizes.positions, block.keys);
        let mut scratch = buffers.take((positions + 1) * positions);
        let (scores, factors) = scratch.split_at_mut(positions * positions);
        let scores = &mut scores[..positions * keys];
        block.scores(scores);
        softmax(scores, keys, zeros, block.first_probability(), positions, factors);
        let probabilities = Matrix::new(scores, positions, keys);
        // SAFETY: every block has its own rows and columns of the context.
        unsafe { target.product(block.start(1, 0), false, probabilities, block.part(2, keys), 1.0) }
    });
}

/// The gradients of queries, keys and values, `[tokens, 3 × width]`, from that of the context.
pub(super) fn attend_backward(
    sizes: &Sizes,
    projected: &[f32],
    zeros: Option<Zeros>,
    context_gradient: &[f32],
    gradient: &mut [f32],
    buffers: &Arc<Buffers>,
) {
    let target = Target::new(gradient, 3 * sizes.width);
    each_block(sizes, projected, |block| {
        let (positions, keys, head_width) = (sizes.positions, block.keys, sizes.head_width());
        let mut scratch = buffers.take((2 * positions + 1) * positions);
        let (probabilities, rest) = scratch.split_at_mut(positions * positions);
        let (scores, factors) = rest.split_at_mut(positions * positions);
        let (probabilities, scores) = (&mut probabilities[..positions * keys], &mut scores[..positions * keys]);
        block.scores(probabilities);
        let upstream = Matrix::strided(&context_gradient[block.start(1, 0)..], positions, head_width, sizes.width);
        // SAFETY: `scores` is borrowed for writing by this closure alone.
        unsafe { Target::new(scores, keys).product(0, false, upstream, block.part(2, keys).transposed(), 1.0) };
        softmax_backward(probabilities, scores, keys, zeros, block.first_probability(), positions, factors);
        let (probabilities, scores) =
            (Matrix::new(probabilities, positions, keys), Matrix::new(scores, positions, keys));
        let scale = sizes.score_scale();
        let [queries_at, keys_at, values_at] = [0, 1, 2].map(|part| block.start(3, part));
        let nothing = vec![0.0; head_width];
        // SAFETY: every block has its own rows and columns of the three gradients.
        unsafe {
            target.product(queries_at, false, scores, block.part(1, keys), scale);
            target.product(keys_at, false, scores.transposed(), block.part(0, positions), scale);
            target.product(values_at, false, probabilities.transposed(), upstream, 1.0);
            for start in [keys_at, values_at] {
                target.repeat(start + keys * 3 * sizes.width, positions - keys, &nothing);
            }
        }
    });
}
