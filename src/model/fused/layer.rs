//! A transformer layer and its backward pass, over slices.
//!
//! Tokens are cut into blocks that stay on a core's cache; a block goes through everything between two points where tokens meet
//! (attention, and the gradients of weights) at once. The backward pass is the mirror image. Attention and GELU are computed
//! again there rather than kept: reading them back from memory would cost as much.

use std::sync::Arc;

use super::Operation;
use super::attention::{attend, attend_backward};
use super::buffers::{Buffer, Buffers};
use super::matrix::{Matrix, multiply, multiply_add, product, transpose};
use super::rows::{
    NormWeights, Normalised, add_rows, drop_rows, gelu, gelu_backward, gelu_into, normalize, normalize_backward,
    repeat, scale_shift,
};
use super::sizes::{Sizes, each};
use super::weights::{WeightGradient, weight_gradients};
use crate::model::zeros::Zeros;

/// Tensors that a layer reads: its input, and the weights in the order of [`Weights::new`].
pub(super) const INPUTS: usize = 17;

/// The numbers of one call.
#[derive(Clone, Debug)]
pub(in crate::model) struct LayerCall {
    pub sizes: Sizes,
    pub epsilon: f32,
    /// Zeros of attention probabilities, attention output and feed-forward output.
    pub zeros: [Option<Zeros>; 3],
    pub buffers: Arc<Buffers>,
}

/// What the backward pass needs besides the input: `[tokens, …]` each.
#[derive(Debug)]
pub(in crate::model) struct Kept {
    /// Queries, keys and values, `3 × width`.
    projected: Buffer,
    /// `width`.
    context: Buffer,
    /// Rows of the first LayerNorm before its weights, and the reciprocals of their deviations.
    middle: (Buffer, Buffer),
    /// Inputs of GELU, `inner`.
    inner: Buffer,
    /// As `middle`, of the second LayerNorm.
    output: (Buffer, Buffer),
}

/// A layer's weights. Matrices are `[inputs, outputs]`.
struct Weights<'a> {
    /// Query, key, value.
    projections: [(&'a [f32], &'a [f32]); 3],
    context: (&'a [f32], &'a [f32]),
    middle_norm: NormWeights<'a>,
    inner: (&'a [f32], &'a [f32]),
    output: (&'a [f32], &'a [f32]),
    output_norm: NormWeights<'a>,
}

impl<'a> Weights<'a> {
    /// From weight and bias of query, key, value, attention output, first LayerNorm, feed-forward input, output and second
    /// LayerNorm.
    fn new(w: &[&'a [f32]], epsilon: f32) -> Self {
        let pair = |index: usize| (w[index], w[index + 1]);
        let norm = |index: usize| NormWeights { weight: w[index], bias: w[index + 1], epsilon };
        Self {
            projections: [pair(0), pair(2), pair(4)],
            context: pair(6),
            middle_norm: norm(8),
            inner: pair(10),
            output: pair(12),
            output_norm: norm(14),
        }
    }
}

impl LayerCall {
    /// Floating-point operations of all products with weights.
    fn operations(&self) -> usize {
        let Sizes { width, inner, .. } = self.sizes;
        2 * self.sizes.tokens() * width * (4 * width + 2 * inner)
    }

    /// Queries, keys and values of `input`.
    fn project(&self, input: &[f32], weights: &Weights<'_>, projected: &mut [f32]) {
        let (width, block) = (self.sizes.width, self.sizes.block());
        let biases = weights.projections.map(|(_, bias)| bias).concat();
        let blocks = input.chunks(block * width).zip(projected.chunks_mut(block * 3 * width));
        each(blocks.collect(), self.operations(), |(input, projected)| {
            repeat(projected, &biases);
            let input = Matrix::new(input, input.len() / width, width);
            for (part, (weight, _)) in weights.projections.iter().enumerate() {
                product(projected, 3 * width, part * width, true, input, Matrix::new(weight, width, width));
            }
        });
    }

    /// Everything after attention, for a block of tokens from `start` on.
    fn finish(
        &self,
        weights: &Weights<'_>,
        input: &[f32],
        context: &[f32],
        start: usize,
        output: &mut [f32],
        kept: Option<KeptBlock<'_>>,
    ) {
        let Sizes { width, inner, .. } = self.sizes;
        let rows = input.len() / width;
        let first = start * width;
        let (middle_kept, inner_kept, output_kept) = match kept {
            Some(kept) => (Some(kept.middle), Some(kept.inner), Some(kept.output)),
            None => (None, None, None),
        };
        let mut scratch = self.buffers.take(rows * (width + inner) + width);
        let (middle, rest) = scratch.split_at_mut(rows * width);
        let (active, factors) = rest.split_at_mut(rows * inner);

        repeat(middle, weights.context.1);
        multiply_add(middle, Matrix::new(context, rows, width), Matrix::new(weights.context.0, width, width));
        normalize(middle, input, self.zeros[1], first, weights.middle_norm, middle_kept, factors);

        let matrix = Matrix::new(weights.inner.0, width, inner);
        if let Some(before) = inner_kept {
            repeat(before, weights.inner.1);
            multiply_add(before, Matrix::new(middle, rows, width), matrix);
            gelu_into(before, active);
        } else {
            repeat(active, weights.inner.1);
            multiply_add(active, Matrix::new(middle, rows, width), matrix);
            gelu(active);
        }

        repeat(output, weights.output.1);
        multiply_add(output, Matrix::new(active, rows, inner), Matrix::new(weights.output.0, inner, width));
        normalize(output, middle, self.zeros[2], first, weights.output_norm, output_kept, factors);
    }

    /// Numbers of [`Sums`] a block.
    fn sums_of_blocks(&self) -> usize {
        9 * self.sizes.width + self.sizes.inner
    }

    /// The backward pass of [`LayerCall::finish`]: `gradient` becomes that of the first LayerNorm's input.
    #[expect(clippy::too_many_arguments, reason = "operands of one block")]
    fn finish_backward(
        &self,
        weights: &Weights<'_>,
        inner_transposed: &[f32],
        kept: &Kept,
        start: usize,
        gradient: &mut [f32],
        made: BackpropagatedBlock<'_>,
        sums: &mut [f32],
    ) {
        let Sizes { width, inner, .. } = self.sizes;
        let rows = gradient.len() / width;
        let (first, stretch) = (start * width, start * width..(start + rows) * width);
        let scales = start..start + rows;
        let sums = Sums::split(sums, width, inner);
        let wide = |values| Matrix::new(values, rows, width);

        normalize_backward(
            gradient,
            &kept.output.0[stretch.clone()],
            &kept.output.1[scales.clone()],
            weights.output_norm.weight,
            sums.output_norm_weight,
            sums.output_norm_bias,
        );
        drop_rows(gradient, self.zeros[2], first, made.output, sums.output);
        multiply(made.inner, wide(made.output), Matrix::new(weights.output.0, inner, width).transposed());
        gelu_backward(&kept.inner[start * inner..(start + rows) * inner], made.active, made.inner, sums.inner);
        multiply_add(gradient, Matrix::new(made.inner, rows, inner), Matrix::new(inner_transposed, inner, width));

        scale_shift(&kept.middle.0[stretch.clone()], weights.middle_norm, made.middle);
        normalize_backward(
            gradient,
            &kept.middle.0[stretch],
            &kept.middle.1[scales],
            weights.middle_norm.weight,
            sums.middle_norm_weight,
            sums.middle_norm_bias,
        );
        drop_rows(gradient, self.zeros[1], first, made.context_output, sums.context);
        multiply(made.context, wide(made.context_output), Matrix::new(weights.context.0, width, width).transposed());
    }

    /// The gradients of all vectors, in the order of the inputs, from the sums of all blocks in their order.
    fn total(&self, partial: &[f32], length: usize) -> Vec<Vec<f32>> {
        let Sizes { width, inner, .. } = self.sizes;
        let mut total = partial[..length].to_vec();
        add_rows(&partial[length..], &mut total);
        let sums = Sums::split(&mut total, width, inner);
        let (query, rest) = sums.projections.split_at(width);
        let (key, value) = rest.split_at(width);
        let in_order: [&[f32]; 10] = [
            query,
            key,
            value,
            sums.context,
            sums.middle_norm_weight,
            sums.middle_norm_bias,
            sums.inner,
            sums.output,
            sums.output_norm_weight,
            sums.output_norm_bias,
        ];
        in_order.map(<[f32]>::to_vec).into()
    }
}

impl Operation for LayerCall {
    type Kept = Kept;

    fn shape(&self) -> [usize; 2] {
        [self.sizes.tokens(), self.sizes.width]
    }

    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Option<Kept>) {
        let Sizes { width, inner, .. } = self.sizes;
        let (input, weights) = (inputs[0], Weights::new(&inputs[1..], self.epsilon));
        let (tokens, block) = (self.sizes.tokens(), self.sizes.block());
        let take = |numbers: usize| self.buffers.take(tokens * numbers);

        let mut projected = take(3 * width);
        self.project(input, &weights, &mut projected);
        let mut context = take(width);
        attend(&self.sizes, &projected, self.zeros[0], &mut context, &self.buffers);

        let mut output = vec![0.0; tokens * width];
        let mut kept = keep.then(|| Kept {
            projected,
            context: Buffer::default(),
            middle: (take(width), take(1)),
            inner: take(inner),
            output: (take(width), take(1)),
        });
        let blocks: Vec<_> = {
            let mut parts = kept.as_mut().map(|kept| kept.blocks(block, width, inner));
            let blocks = output.chunks_mut(block * width).enumerate();
            blocks.map(|(index, output)| (index * block, output, parts.as_mut().and_then(Iterator::next))).collect()
        };
        each(blocks, self.operations(), |(start, output, kept)| {
            let rows = output.len() / width;
            let stretch = start * width..(start + rows) * width;
            let context = &context[stretch.clone()];
            self.finish(&weights, &input[stretch], context, start, output, kept);
        });
        if let Some(kept) = &mut kept {
            kept.context = context;
        }
        (output, kept)
    }

    fn backward(&self, inputs: &[&[f32]], kept: &Kept, gradient: Vec<f32>) -> Vec<Vec<f32>> {
        let Sizes { width, inner, .. } = self.sizes;
        let (input, weights) = (inputs[0], Weights::new(&inputs[1..], self.epsilon));
        let (tokens, block) = (self.sizes.tokens(), self.sizes.block());
        let take = |numbers: usize| self.buffers.take(tokens * numbers);
        let mut gradient = gradient;

        let mut made = Backpropagated {
            output: take(width),
            active: take(inner),
            inner: take(inner),
            middle: take(width),
            context_output: take(width),
            context: take(width),
        };
        let sums = self.sums_of_blocks();
        let mut partial = self.buffers.take(tokens.div_ceil(block) * sums);
        partial.fill(0.0);
        // The one product whose columns would be read far apart.
        let mut inner_transposed = self.buffers.take(width * inner);
        transpose(weights.inner.0, width, inner, &mut inner_transposed);
        let blocks = gradient.chunks_mut(block * width).zip(made.blocks(block, width, inner));
        let blocks = blocks.zip(partial.chunks_mut(sums)).enumerate();
        each(blocks.collect(), 2 * self.operations(), |(index, ((gradient, made), sums))| {
            self.finish_backward(&weights, &inner_transposed, kept, index * block, gradient, made, sums);
        });

        let mut projected = take(3 * width);
        attend_backward(&self.sizes, &kept.projected, self.zeros[0], &made.context, &mut projected, &self.buffers);
        let blocks = gradient.chunks_mut(block * width).zip(projected.chunks(block * 3 * width));
        let blocks = blocks.zip(partial.chunks_mut(sums));
        each(blocks.collect(), self.operations(), |((gradient, projected), sums)| {
            let rows = gradient.len() / width;
            add_rows(projected, &mut sums[..3 * width]);
            for (part, (weight, _)) in weights.projections.iter().enumerate() {
                let from = Matrix::strided(&projected[part * width..], rows, width, 3 * width);
                multiply_add(gradient, from, Matrix::new(weight, width, width).transposed());
            }
        });

        let part = |part: usize| Matrix::strided(&projected[part * width..], tokens, width, 3 * width);
        let over = |values, columns| Matrix::new(values, tokens, columns);
        let matrices = weight_gradients(
            &[
                WeightGradient { input: over(&made.active, inner), output: over(&made.output, width) },
                WeightGradient { input: over(&made.middle, width), output: over(&made.inner, inner) },
                WeightGradient { input: over(input, width), output: part(0) },
                WeightGradient { input: over(input, width), output: part(1) },
                WeightGradient { input: over(input, width), output: part(2) },
                WeightGradient { input: over(&kept.context, width), output: over(&made.context_output, width) },
            ],
            2 * self.operations(),
        );
        let vectors = self.total(&partial, sums);
        interleave(gradient, matrices, vectors)
    }
}

/// The gradients in the order of the inputs.
fn interleave(input: Vec<f32>, matrices: Vec<Vec<f32>>, vectors: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    // Matrices: output, inner, query, key, value, context.
    let mut matrices: Vec<Option<Vec<f32>>> = matrices.into_iter().map(Some).collect();
    let mut vectors = vectors.into_iter();
    let mut gradients = Vec::with_capacity(INPUTS);
    gradients.push(input);
    for place in [Some(2), Some(3), Some(4), Some(5), None, Some(1), Some(0), None] {
        gradients.extend(place.and_then(|place| matrices[place].take()).or_else(|| vectors.next()));
        gradients.extend(vectors.next());
    }
    gradients
}

/// The gradients of vectors, summed over the tokens of a block.
struct Sums<'a> {
    /// Of query, key and value.
    projections: &'a mut [f32],
    context: &'a mut [f32],
    middle_norm_weight: &'a mut [f32],
    middle_norm_bias: &'a mut [f32],
    inner: &'a mut [f32],
    output: &'a mut [f32],
    output_norm_weight: &'a mut [f32],
    output_norm_bias: &'a mut [f32],
}

impl<'a> Sums<'a> {
    fn split(values: &'a mut [f32], width: usize, inner: usize) -> Self {
        let (projections, rest) = values.split_at_mut(3 * width);
        let (context, rest) = rest.split_at_mut(width);
        let (middle_norm_weight, rest) = rest.split_at_mut(width);
        let (middle_norm_bias, rest) = rest.split_at_mut(width);
        let (inner, rest) = rest.split_at_mut(inner);
        let (output, rest) = rest.split_at_mut(width);
        let (output_norm_weight, output_norm_bias) = rest.split_at_mut(width);
        Self {
            projections,
            context,
            middle_norm_weight,
            middle_norm_bias,
            inner,
            output,
            output_norm_weight,
            output_norm_bias,
        }
    }
}

/// A block of tokens of [`Kept`].
struct KeptBlock<'a> {
    middle: Normalised<'a>,
    inner: &'a mut [f32],
    output: Normalised<'a>,
}

impl Kept {
    fn blocks(&mut self, block: usize, width: usize, inner: usize) -> impl Iterator<Item = KeptBlock<'_>> {
        let normalised = |(rows, scales)| Normalised { rows, scales };
        let middle = self.middle.0.chunks_mut(block * width).zip(self.middle.1.chunks_mut(block)).map(normalised);
        let output = self.output.0.chunks_mut(block * width).zip(self.output.1.chunks_mut(block)).map(normalised);
        let inner = self.inner.chunks_mut(block * inner);
        middle.zip(inner).zip(output).map(|((middle, inner), output)| KeptBlock { middle, inner, output })
    }
}

/// What the gradients of weights are products of, `[tokens, …]` each.
struct Backpropagated {
    /// Gradient of the feed-forward output before dropout.
    output: Buffer,
    /// Outputs of GELU.
    active: Buffer,
    /// Gradient of GELU's inputs.
    inner: Buffer,
    /// Outputs of the first LayerNorm.
    middle: Buffer,
    /// Gradient of the attention output before dropout.
    context_output: Buffer,
    /// Gradient of the context.
    context: Buffer,
}

/// A block of tokens of [`Backpropagated`].
struct BackpropagatedBlock<'a> {
    output: &'a mut [f32],
    active: &'a mut [f32],
    inner: &'a mut [f32],
    middle: &'a mut [f32],
    context_output: &'a mut [f32],
    context: &'a mut [f32],
}

impl Backpropagated {
    fn blocks(&mut self, block: usize, width: usize, inner: usize) -> impl Iterator<Item = BackpropagatedBlock<'_>> {
        let (wide, inner) = (block * width, block * inner);
        let parts = self.output.chunks_mut(wide).zip(self.active.chunks_mut(inner)).zip(self.inner.chunks_mut(inner));
        let parts = parts.zip(self.middle.chunks_mut(wide)).zip(self.context_output.chunks_mut(wide));
        parts.zip(self.context.chunks_mut(wide)).map(
            |(((((output, active), inner), middle), context_output), context)| BackpropagatedBlock {
                output,
                active,
                inner,
                middle,
                context_output,
                context,
            },
        )
    }
}
