//! From a batch to the gradients of the parameters.

use burn::tensor::Tensor;

use super::optimizer::Gradients;
use super::step::{Batch, BatchTargets, head_loss, loss};
use crate::model::layers::Slot;
use crate::model::{Dropout, Model};

/// What the forward pass keeps for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Every intermediate result.
    Everything,
    /// The input of each layer, from which the layer is computed again (gradient checkpointing). A third more computation;
    /// in memory at a time are one hidden state a layer and the intermediate results of one layer.
    LayerInputs,
}

/// The mean loss of `batch` under the head at index `head` times `share` (1 for a step of one batch, without a loss scale),
/// without tracking, and the gradients of that. The two ways of `keep` give the same numbers, on the CPU the same bits.
pub fn backward(
    model: &mut Model,
    head: usize,
    batch: &Batch,
    share: f64,
    keep: Keep,
    dropout: &mut Dropout,
) -> (Tensor<1>, Gradients) {
    let (loss, mut gradients) = match keep {
        Keep::Everything => {
            let loss = shared(loss(model, head, batch, dropout), share);
            let gradients = Gradients::of(&loss, model);
            (loss.inner(), gradients)
        }
        Keep::LayerInputs => by_layers(model, head, batch, share, dropout),
    };
    if matches!(batch.targets, BatchTargets::Spans { .. }) {
        gradients = gradients.without_padding(model);
    }
    (loss, gradients)
}

/// Through the layers once with nothing kept but their inputs, then back from the head, each layer tracked on its own.
fn by_layers(
    model: &mut Model,
    head: usize,
    batch: &Batch,
    share: f64,
    dropout: &mut Dropout,
) -> (Tensor<1>, Gradients) {
    let tokens = &batch.tokens;
    let mask = model.encoder.mask(tokens);
    let layers = model.encoder.config.num_hidden_layers;
    // The dropout of each place as it was before, so that the second time draws the same zeros.
    let mut before_embedding = dropout.clone();
    let mut kept = Vec::with_capacity(layers);
    let mut hidden;
    {
        let encoder = frozen(model.clone()).encoder;
        hidden = encoder.embed(tokens, dropout);
        for index in 0..layers {
            kept.push((hidden.clone(), dropout.clone()));
            hidden = encoder.layer(index, hidden, tokens, mask.clone(), dropout);
        }
    }
    let leaf = |tensor: Tensor<2>| tensor.without_autodiff().autodiff().require_grad();
    let hidden = leaf(hidden);
    let loss = shared(head_loss(model, head, batch, hidden.clone(), dropout), share);
    let mut found = loss.backward();
    let mut upstream = hidden.grad_remove(&mut found);
    let mut gradients = Gradients::taken(&mut found, model);
    let loss = loss.inner();
    for (index, (input, mut dropout)) in kept.into_iter().enumerate().rev() {
        let Some(above) = upstream else { break };
        let input = leaf(input);
        let output = model.encoder.layer(index, input.clone(), tokens, mask.clone(), &mut dropout);
        let mut found = pulled(output, above);
        upstream = input.grad_remove(&mut found);
        gradients.add(Gradients::taken(&mut found, model));
    }
    if let Some(above) = upstream {
        let mut found = pulled(model.encoder.embed(tokens, &mut before_embedding), above);
        gradients.add(Gradients::taken(&mut found, model));
    }
    (loss, gradients)
}

/// The same parameters, for which nothing is kept. They stay tensors of the tracking kind: untracked ones are computed with
/// other kernels of the same functions, whose last digits differ.
fn frozen(mut model: Model) -> Model {
    for (_, slot) in model.parameters() {
        match slot {
            Slot::Vector(tensor) => tensor.inplace(|tensor| tensor.without_autodiff().autodiff()),
            Slot::Table(tensor) | Slot::Map(tensor) => tensor.inplace(|tensor| tensor.without_autodiff().autodiff()),
        }
    }
    model
}

/// The gradients of what `output` depends on, where that of `output` itself is `upstream`.
fn pulled(output: Tensor<2>, upstream: Tensor<2>) -> burn::tensor::Gradients {
    (output * upstream).sum().backward()
}

fn shared(loss: Tensor<1>, share: f64) -> Tensor<1> {
    if share == 1.0 { loss } else { loss * share }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::tiny;
    use crate::model::weights::{initialize, values};
    use crate::model::{Architecture, HeadKind, HeadSpec, Precision, TokenBatch};
    use burn::tensor::Device;

    fn batch(kind: HeadKind) -> Batch {
        let rows: [(&[u32], &[u32]); 4] =
            [(&[0, 5, 6, 7, 2], &[]), (&[0, 8, 2], &[]), (&[0, 9, 9, 2], &[]), (&[0, 4, 30, 31, 32, 2], &[])];
        let tokens = TokenBatch::new(rows.iter().copied(), 1, 8, 40);
        let targets = match kind {
            HeadKind::SequenceClassification => BatchTargets::Classes(vec![0, 1, 2, 1]),
            HeadKind::MultipleChoice => BatchTargets::Choices { choices: 2, labels: vec![1, 0] },
            HeadKind::Span => BatchTargets::Spans {
                starts: vec![1, 1, 0, 2],
                ends: vec![3, 1, 0, 4],
                contexts: vec![(1, 4), (1, 2), (1, 3), (1, 5)],
            },
            HeadKind::TokenClassification | HeadKind::MaskedLm => {
                BatchTargets::Places { places: vec![1, 2, 9, 17, 26], classes: vec![0, 2, 1, 1, 0] }
            }
        };
        Batch { tokens, targets }
    }

    fn bits(architecture: Architecture, kind: HeadKind, precision: Precision, keep: Keep) -> Vec<(String, Vec<u32>)> {
        let head = HeadSpec::new("t", kind, ["a", "b", "c"].map(String::from).to_vec());
        let mut model = initialize(&tiny(architecture), &[head], 7, &Device::flex()).tracked();
        model.encoder.precision = precision;
        let (loss, gradients) = backward(&mut model, 0, &batch(kind), 0.5, keep, &mut Dropout::host(3));
        let bits = |tensor| values(tensor).unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let named = gradients.named(&mut model).into_iter();
        let mut found: Vec<_> = named.filter_map(|(name, gradient)| Some((name, bits(gradient?)))).collect();
        found.push(("loss".into(), bits(loss)));
        found
    }

    #[test]
    fn computing_layers_again_gives_the_same_bits() {
        for architecture in [Architecture::Bert, Architecture::XlmRoberta] {
            for kind in [
                HeadKind::SequenceClassification,
                HeadKind::MultipleChoice,
                HeadKind::Span,
                HeadKind::TokenClassification,
                HeadKind::MaskedLm,
            ] {
                for precision in [Precision::F32, Precision::F16] {
                    let whole = bits(architecture, kind, precision, Keep::Everything);
                    let parts = bits(architecture, kind, precision, Keep::LayerInputs);
                    assert_eq!(whole.len(), parts.len());
                    for (whole, parts) in whole.iter().zip(&parts) {
                        assert!(whole == parts, "{architecture:?} {kind:?} {precision:?} {}", whole.0);
                    }
                }
            }
        }
    }
}
