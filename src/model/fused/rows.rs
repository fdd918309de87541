//! Passes over rows that are on the cache: everything in a layer that is not a matrix product.

use crate::model::elementary::{exp_negative, highest, normal, sum, vectorised};
use crate::model::zeros::Zeros;

/// The weights of a LayerNorm.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormWeights<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub epsilon: f32,
}

/// What the backward pass of a LayerNorm needs: the normalised rows, and the reciprocal of each row's standard deviation.
#[derive(Debug)]
pub(super) struct Normalised<'a> {
    pub rows: &'a mut [f32],
    pub scales: &'a mut [f32],
}

/// Fills `out` with copies of `row`: a matrix product is added to the bias, which saves a pass.
pub(super) fn repeat(out: &mut [f32], row: &[f32]) {
    for target in out.chunks_exact_mut(row.len()) {
        target.copy_from_slice(row);
    }
}

vectorised! {
    /// Replaces each row of `values` by the LayerNorm of itself, with dropout (elements counted from `start`) where `zeros` are
    /// given, plus its row of `residual` where that is not empty. `factors` is scratch, a row long.
    pub(super) fn normalize(
        values: &mut [f32],
        residual: &[f32],
        zeros: Option<Zeros>,
        start: usize,
        norm: NormWeights<'_>,
        keep: Option<Normalised<'_>>,
        factors: &mut [f32],
    ) {
        let width = norm.weight.len();
        let factors = &mut factors[..width];
        let (mut hats, scales) = match keep {
            Some(Normalised { rows, scales }) => (Some(rows), Some(scales)),
            None => (None, None),
        };
        let mut scales = scales.map(|scales| scales.iter_mut());
        for (index, row) in values.chunks_exact_mut(width).enumerate() {
            if let Some(zeros) = zeros {
                zeros.fill(start + index * width, factors);
                for (value, factor) in row.iter_mut().zip(factors.iter()) {
                    *value *= factor;
                }
            }
            if !residual.is_empty() {
                for (value, residual) in row.iter_mut().zip(&residual[index * width..][..width]) {
                    *value += residual;
                }
            }
            let mean = sum(width, |i| row[i]) / width as f32;
            let variance = sum(width, |i| (row[i] - mean) * (row[i] - mean)) / width as f32;
            let scale = 1.0 / (variance + norm.epsilon).sqrt();
            for value in row.iter_mut() {
                *value = (*value - mean) * scale;
            }
            if let Some(hats) = &mut hats {
                hats[index * width..][..width].copy_from_slice(row);
            }
            if let Some(kept) = scales.as_mut().and_then(Iterator::next) {
                *kept = scale;
            }
            for ((value, weight), bias) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
                *value = *value * weight + bias;
            }
        }
    }
}

vectorised! {
    /// The output of a LayerNorm from its normalised rows.
    pub(super) fn scale_shift(hats: &[f32], norm: NormWeights<'_>, out: &mut [f32]) {
        let width = norm.weight.len();
        for (hats, out) in hats.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for (((out, hat), weight), bias) in out.iter_mut().zip(hats).zip(norm.weight).zip(norm.bias) {
                *out = *hat * weight + bias;
            }
        }
    }
}

vectorised! {
    /// Replaces the gradient of a LayerNorm's output by that of its input; adds the gradients of weight and bias, in the order
    /// of the rows, to `weight_sums` and `bias_sums`.
    pub(super) fn normalize_backward(
        gradient: &mut [f32],
        hats: &[f32],
        scales: &[f32],
        weight: &[f32],
        weight_sums: &mut [f32],
        bias_sums: &mut [f32],
    ) {
        let width = weight.len();
        let (weight_sums, bias_sums) = (&mut weight_sums[..width], &mut bias_sums[..width]);
        for ((row, hat), scale) in gradient.chunks_exact_mut(width).zip(hats.chunks_exact(width)).zip(scales) {
            for ((((value, hat), weight), weight_sum), bias_sum) in
                row.iter_mut().zip(hat).zip(weight).zip(weight_sums.iter_mut()).zip(bias_sums.iter_mut())
            {
                *weight_sum += *value * hat;
                *bias_sum += *value;
                *value *= weight;
            }
            let mean = sum(width, |i| row[i]) / width as f32;
            let slope = sum(width, |i| row[i] * hat[i]) / width as f32;
            for (value, hat) in row.iter_mut().zip(hat) {
                *value = scale * (*value - mean - hat * slope);
            }
        }
    }
}

vectorised! {
    /// Writes `gradient` with the zeros of a dropout into `out`, and adds its rows to `sums`.
    pub(super) fn drop_rows(gradient: &[f32], zeros: Option<Zeros>, start: usize, out: &mut [f32], sums: &mut [f32]) {
        let width = sums.len();
        for (index, (row, out)) in gradient.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            if let Some(zeros) = zeros {
                zeros.fill(start + index * width, out);
                for (out, value) in out.iter_mut().zip(row) {
                    *out *= value;
                }
            } else {
                out.copy_from_slice(row);
            }
            for (sum, value) in sums.iter_mut().zip(out.iter()) {
                *sum += value;
            }
        }
    }
}

vectorised! {
    /// Dropout of rows whose elements are counted from `start`. `factors` is scratch, a row long.
    pub(super) fn drop_in_place(values: &mut [f32], zeros: Zeros, start: usize, width: usize, factors: &mut [f32]) {
        let factors = &mut factors[..width];
        for (index, row) in values.chunks_exact_mut(width).enumerate() {
            zeros.fill(start + index * width, factors);
            for (value, factor) in row.iter_mut().zip(factors.iter()) {
                *value *= factor;
            }
        }
    }
}

vectorised! {
    /// Adds the rows of `values` to `sums`, one after another.
    pub(super) fn add_rows(values: &[f32], sums: &mut [f32]) {
        for row in values.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

vectorised! {
    /// Adds to `sums` their columns, from `start` on, of rows that are `width` long.
    pub(super) fn add_rows_of(values: &[f32], start: usize, width: usize, sums: &mut [f32]) {
        for row in values.chunks_exact(width) {
            for (sum, value) in sums.iter_mut().zip(&row[start..]) {
                *sum += value;
            }
        }
    }
}

vectorised! {
    /// GELU in its exact form, `x · Φ(x)`, in place.
    pub(super) fn gelu(values: &mut [f32]) {
        for value in values.iter_mut() {
            let (cumulative, _) = normal(*value);
            *value *= cumulative;
        }
    }
}

vectorised! {
    /// GELU of `inputs` into `out`.
    pub(super) fn gelu_into(inputs: &[f32], out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(inputs) {
            let (cumulative, _) = normal(*value);
            *out = *value * cumulative;
        }
    }
}

vectorised! {
    /// Multiplies `gradient` by the slope of GELU at `inputs`.
    pub(super) fn gelu_slopes(inputs: &[f32], gradient: &mut [f32]) {
        for (input, gradient) in inputs.iter().zip(gradient.iter_mut()) {
            let (cumulative, density) = normal(*input);
            *gradient *= cumulative + *input * density;
        }
    }
}

vectorised! {
    /// From the inputs of GELU: its outputs into `out`, the gradient of the outputs in `gradient` replaced by that of the inputs,
    /// and its rows added to `sums`.
    pub(super) fn gelu_backward(inputs: &[f32], out: &mut [f32], gradient: &mut [f32], sums: &mut [f32]) {
        let width = sums.len();
        let rows = inputs.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(gradient.chunks_exact_mut(width));
        for ((inputs, out), gradient) in rows {
            for (((input, out), gradient), sum) in
                inputs.iter().zip(out.iter_mut()).zip(gradient.iter_mut()).zip(sums.iter_mut())
            {
                let (cumulative, density) = normal(*input);
                *out = *input * cumulative;
                *gradient *= cumulative + *input * density;
                *sum += *gradient;
            }
        }
    }
}

vectorised! {
    /// Softmax of each row of `scores`, each `width` long; then dropout where `zeros` are given, whose elements are counted from
    /// `start`, `stride` a row. `factors` is scratch, a row long.
    pub(super) fn softmax(
        scores: &mut [f32],
        width: usize,
        zeros: Option<Zeros>,
        start: usize,
        stride: usize,
        factors: &mut [f32],
    ) {
        for (index, row) in scores.chunks_exact_mut(width).enumerate() {
            softmax_row(row);
            if let Some(zeros) = zeros {
                let factors = &mut factors[..width];
                zeros.fill(start + index * stride, factors);
                for (value, factor) in row.iter_mut().zip(factors.iter()) {
                    *value *= factor;
                }
            }
        }
    }
}

vectorised! {
    /// From scores in `probabilities` and the gradient of the dropped-out probabilities in `gradient`: the dropped-out
    /// probabilities, and the gradient of the scores.
    pub(super) fn softmax_backward(
        probabilities: &mut [f32],
        gradient: &mut [f32],
        width: usize,
        zeros: Option<Zeros>,
        start: usize,
        stride: usize,
        factors: &mut [f32],
    ) {
        let rows = probabilities.chunks_exact_mut(width).zip(gradient.chunks_exact_mut(width));
        for (index, (row, gradient)) in rows.enumerate() {
            softmax_row(row);
            if let Some(zeros) = zeros {
                let factors = &mut factors[..width];
                zeros.fill(start + index * stride, factors);
                for (value, factor) in gradient.iter_mut().zip(factors.iter()) {
                    *value *= factor;
                }
                let dot = sum(width, |i| row[i] * gradient[i]);
                for ((value, gradient), factor) in row.iter_mut().zip(gradient.iter_mut()).zip(factors.iter()) {
                    *gradient = *value * (*gradient - dot);
                    *value *= factor;
                }
            } else {
                let dot = sum(width, |i| row[i] * gradient[i]);
                for (value, gradient) in row.iter().zip(gradient.iter_mut()) {
                    *gradient = *value * (*gradient - dot);
                }
            }
        }
    }
}

#[inline(always)]
fn softmax_row(row: &mut [f32]) {
    let highest = highest(row);
    for value in row.iter_mut() {
        *value = exp_negative(*value - highest);
    }
    let scale = 1.0 / sum(row.len(), |i| row[i]);
    for value in row.iter_mut() {
        *value *= scale;
    }
}
