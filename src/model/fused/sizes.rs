//! The sizes of a batch in a layer, and how its work is divided among threads.

use rayon::prelude::*;

/// Floating-point operations that a second thread is worth: some 20 µs of one core.
const WORTH_DIVIDING: usize = 2_000_000;
/// Numbers of a block of rows that should stay on a core's cache.
const CACHED: usize = 393_216;
/// Tokens of the smallest block: fewer make slow matrix products.
const SMALLEST_BLOCK: usize = 64;
/// Blocks that a batch is divided into at least, where that leaves them large enough.
const FEWEST_BLOCKS: usize = 8;

/// What a layer needs to know of batch and encoder.
#[derive(Clone, Debug)]
pub(in crate::model) struct Sizes {
    /// Tokens of each row that may be attended: those that are not padding, or all where there are none.
    pub lengths: Vec<usize>,
    /// Tokens a row, padding included.
    pub positions: usize,
    /// Hidden size.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward network.
    pub inner: usize,
}

impl Sizes {
    /// Tokens in the batch, padding included.
    pub fn tokens(&self) -> usize {
        self.lengths.len() * self.positions
    }

    /// Numbers a head has of each token.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// What scores are multiplied by.
    pub fn score_scale(&self) -> f32 {
        1.0 / (self.head_width() as f32).sqrt()
    }

    /// Tokens a block, of which a thread has one at a time. A function of the sizes alone: sums over blocks are the same
    /// whatever the number of threads.
    pub fn block(&self) -> usize {
        let cached = CACHED / self.inner.max(3 * self.width).max(1);
        let spread = self.tokens().div_ceil(FEWEST_BLOCKS);
        cached.min(spread).next_multiple_of(16).max(SMALLEST_BLOCK)
    }
}

/// Whether work of so many floating-point operations should go to several threads.
pub(super) fn worth_dividing(operations: usize) -> bool {
    operations > WORTH_DIVIDING && rayon::current_num_threads() > 1
}

/// Does `work` with each of `items`, on several threads where the `operations` of all together are worth it.
pub(super) fn each<T: Send>(items: Vec<T>, operations: usize, work: impl Fn(T) + Send + Sync) {
    if worth_dividing(operations) && items.len() > 1 {
        items.into_par_iter().with_max_len(1).for_each(work);
    } else {
        items.into_iter().for_each(work);
    }
}
