//! A transformer layer composed of tensor operations, for any device.

use burn::tensor::Tensor;

use super::config::{EncoderConfig, Precision};
use super::dropout::Dropout;
use super::encoder::{Layer, TokenBatch};
use super::kernels::gelu;
use super::layers::attend;

/// The output of `layer` for `input`, both `[rows × width of the batch, hidden size]`; `mask` is added to attention scores.
pub(super) fn layer(
    layer: &Layer,
    config: &EncoderConfig,
    input: Tensor<2>,
    batch: &TokenBatch,
    mask: Option<Tensor<4>>,
    dropout: &mut Dropout,
    precision: Precision,
) -> Tensor<2> {
    let (rows, positions, width) = (batch.rows, batch.width, config.hidden_size);
    let heads = config.num_attention_heads;
    let split = |tensor: Tensor<2>| tensor.reshape([rows, positions, heads, width / heads]).swap_dims(1, 2);
    let context = attend(
        split(layer.query.forward(input.clone(), precision)),
        split(layer.key.forward(input.clone(), precision)),
        split(layer.value.forward(input.clone(), precision)),
        mask,
        dropout,
        config.attention_probs_dropout_prob,
        precision,
    );
    let context = context.swap_dims(1, 2).reshape([rows * positions, width]);
    let rate = config.hidden_dropout_prob;
    let attended = dropout.apply(layer.attention_output.forward(context, precision), rate);
    let middle = layer.attention_norm.forward(attended + input);
    let inner = gelu(layer.intermediate.forward(middle.clone(), precision));
    let output = layer.output.forward(inner, precision);
    layer.output_norm.forward(dropout.apply(output, rate) + middle)
}
