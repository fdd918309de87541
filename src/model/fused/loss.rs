//! The mean cross-entropy of rows of logits. Its gradient is written over the logits, so that a vocabulary's worth of them is
//! never held twice.

use rayon::prelude::*;

use super::sizes::worth_dividing;
use crate::model::elementary::{LANES, exp_negative, highest, total, vectorised};

/// Floating-point operations that a logit costs.
const OPERATIONS: usize = 40;

/// The mean cross-entropy of `logits [rows, width]` against one class a row; replaces them by its gradient.
pub(super) fn cross_entropy(logits: &mut [f32], width: usize, classes: &[i32]) -> f32 {
    let share = 1.0 / classes.len() as f32;
    let row = |(row, class): (&mut [f32], &i32)| softmax_gradient(row, *class as usize, share);
    let losses: Vec<f64> = if worth_dividing(logits.len() * OPERATIONS) {
        logits.par_chunks_exact_mut(width).zip(classes).map(row).collect()
    } else {
        logits.chunks_exact_mut(width).zip(classes).map(row).collect()
    };
    (losses.iter().sum::<f64>() / classes.len() as f64) as f32
}

vectorised! {
    /// Replaces a row of logits by the gradient of its share of the mean loss; returns the row's loss.
    fn softmax_gradient(row: &mut [f32], class: usize, share: f32) -> f64 {
        let highest = highest(row);
        if !highest.is_finite() {
            row.fill(f32::NAN);
            return f64::NAN;
        }
        let right = row[class] - highest;
        let mut sums = [0.0f32; LANES];
        let mut chunks = row.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for (value, sum) in chunk.iter_mut().zip(&mut sums) {
                *value = exp_negative(*value - highest);
                *sum += *value;
            }
        }
        for (value, sum) in chunks.into_remainder().iter_mut().zip(&mut sums) {
            *value = exp_negative(*value - highest);
            *sum += *value;
        }
        let sum = total(sums);
        let scale = share / sum;
        for value in row.iter_mut() {
            *value *= scale;
        }
        row[class] -= share;
        f64::from(sum).ln() - f64::from(right)
    }
}
