//! The gradients of weight matrices: products over all tokens.

use super::matrix::{Matrix, Target};
use super::sizes::each;

/// Rows and columns of a gradient that one product computes. The bits depend on them, hence they on nothing.
const ROWS: usize = 512;
const COLUMNS: usize = 384;

/// A linear map's input and the gradient of its output, `[tokens, …]` each.
pub(super) struct WeightGradient<'a> {
    pub input: Matrix<'a>,
    pub output: Matrix<'a>,
}

/// `inputᵀ · output` for each of `parts`.
pub(super) fn weight_gradients(parts: &[WeightGradient<'_>], operations: usize) -> Vec<Vec<f32>> {
    let mut gradients: Vec<Vec<f32>> =
        parts.iter().map(|part| vec![0.0; part.input.columns() * part.output.columns()]).collect();
    let mut blocks = Vec::new();
    for (part, gradient) in parts.iter().zip(&mut gradients) {
        let (rows, columns) = (part.input.columns(), part.output.columns());
        let target = Target::new(gradient, columns);
        for row in (0..rows).step_by(ROWS) {
            blocks.extend((0..columns).step_by(COLUMNS).map(|column| (part, target, row, column)));
        }
    }
    each(blocks, operations, |(part, target, row, column)| {
        let (input, output) = (part.input.panel(row, ROWS).transposed(), part.output.panel(column, COLUMNS));
        // SAFETY: every product has its own block of a gradient, and the gradients outlive the call.
        unsafe { target.product(row * part.output.columns() + column, false, input, output, 1.0) }
    });
    gradients
}
