//! GELU on its own, for heads; a layer has its own inside.

use super::Operation;
use super::rows::{gelu_into, gelu_slopes};
use super::sizes::each;

/// Numbers that one task of the thread pool works on.
const STRETCH: usize = 16_384;
/// Floating-point operations that a number costs.
const OPERATIONS: usize = 40;

/// The shape of one call; it reads one tensor.
#[derive(Clone, Debug)]
pub(in crate::model) struct GeluCall {
    pub shape: [usize; 2],
}

impl Operation for GeluCall {
    type Kept = ();

    fn shape(&self) -> [usize; 2] {
        self.shape
    }

    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Option<()>) {
        let mut output = vec![0.0; inputs[0].len()];
        let parts = inputs[0].chunks(STRETCH).zip(output.chunks_mut(STRETCH)).collect();
        each(parts, inputs[0].len() * OPERATIONS, |(input, output)| gelu_into(input, output));
        (output, keep.then_some(()))
    }

    fn backward(&self, inputs: &[&[f32]], _kept: &(), mut gradient: Vec<f32>) -> Vec<Vec<f32>> {
        let parts = inputs[0].chunks(STRETCH).zip(gradient.chunks_mut(STRETCH)).collect();
        each(parts, inputs[0].len() * OPERATIONS, |(input, gradient)| gelu_slopes(input, gradient));
        vec![gradient]
    }
}
