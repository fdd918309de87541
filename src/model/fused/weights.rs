//! The gradients of weight matrices: products over all tokens.

use super::matrix::{Matrix, Target};
use super::sizes::each;

/// Columns of a gradient that one product computes.
const PANEL: usize = 384;

/// A linear map's input and the gradient of its output, `[tokens, …]` each.
pub(super) struct WeightGradient<'a> {
    pub input: Matrix<'a>,
    pub output: Matrix<'a>,
}

/// `inputᵀ · output` for each of `parts`. The division into panels depends on the sizes alone, hence so do the bits.
pub(super) fn weight_gradients(parts: &[WeightGradient<'_>], operations: usize) -> Vec<Vec<f32>> {
    let mut gradients: Vec<Vec<f32>> =
        parts.iter().map(|part| vec![0.0; part.input.columns() * part.output.columns()]).collect();
    let mut panels = Vec::new();
    for (part, gradient) in parts.iter().zip(&mut gradients) {
        let columns = part.output.columns();
        let target = Target::new(gradient, columns);
        panels.extend((0..columns).step_by(PANEL).map(|start| (part, target, start)));
    }
    each(panels, operations, |(part, target, start)| {
        let output = part.output.panel(start, PANEL);
        // SAFETY: every panel has its own columns of a gradient, and the gradients outlive the call.
        unsafe { target.product(start, false, part.input.transposed(), output, 1.0) }
    });
    gradients
}
