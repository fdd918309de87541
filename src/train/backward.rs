//! From a batch to the gradients of the parameters.

use burn::tensor::Tensor;

use super::optimizer::Gradients;
use super::step::{Batch, BatchTargets, loss};
use crate::model::{Dropout, Model};

/// The mean loss of `batch` under the head at index `head` times `share` (1 for a step of one batch), without tracking, and
/// the gradients of that.
pub fn backward(
    model: &mut Model,
    head: usize,
    batch: &Batch,
    share: f64,
    dropout: &mut Dropout,
) -> (Tensor<1>, Gradients) {
    let mut loss = loss(model, head, batch, dropout);
    if share != 1.0 {
        loss = loss * share;
    }
    let mut gradients = Gradients::of(&loss, model);
    if matches!(batch.targets, BatchTargets::Spans { .. }) {
        gradients = gradients.without_padding(model);
    }
    (loss.inner(), gradients)
}
