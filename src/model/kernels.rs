//! GELU and cross-entropy on any device, in one pass each on the CPU.
//!
//! The CPU backend computes GELU element by element with the C library's functions, and its gradient from many small operations.
//! Here it is computed on the host at once together with its derivative, and enters the graph as the linear function that has
//! this value and this derivative at the point: `x · d + (f(x) − x · d)`, whose backward pass is one product. On other devices
//! the plain operations fuse; they are used there.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::elementary::{normal, vectorised};
use super::fused::FusedOps;
use super::layers::integers;

/// Elements that one task of the thread pool works on.
const STRETCH: usize = 16_384;

/// GELU in its exact form, `x · Φ(x)`, elementwise.
pub fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    let device = input.device();
    if device != Device::flex() {
        return burn::tensor::activation::gelu(input);
    }
    let dims = input.dims();
    let tensor =
        |values: Vec<f32>| Tensor::<D>::from_data(TensorData::new(values, dims), (&Device::flex(), DType::F32));
    if !input.is_autodiff() {
        let mut values = host(input);
        values.par_chunks_mut(STRETCH).for_each(super::fused::gelu);
        return tensor(values);
    }
    let mut values = host(input.clone());
    let mut slopes = vec![0.0; values.len()];
    values
        .par_chunks_mut(STRETCH)
        .zip(slopes.par_chunks_mut(STRETCH))
        .for_each(|(values, slopes)| tangent(values, slopes));
    input * tensor(slopes) + tensor(values)
}

/// Mean cross-entropy of `logits [rows, classes]` against one class a row, each below the number of classes.
pub fn cross_entropy(logits: Tensor<2>, classes: Vec<i32>) -> Tensor<1> {
    let device = logits.device();
    if device != Device::flex() || logits.dtype() != DType::F32 {
        let [rows, _] = logits.dims();
        let classes: Tensor<2, Int> = integers(classes, [rows, 1], &device);
        return burn::tensor::activation::log_softmax(logits, 1).gather(1, classes).mean().neg();
    }
    Tensor::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), classes))
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.without_autodiff().into_data();
    data.try_into_vec().expect("activations on the CPU are f32")
}

vectorised! {
    /// Writes the derivative of GELU at `values` into `slopes`, and replaces `values` by what the tangent lacks at 0.
    fn tangent(values: &mut [f32], slopes: &mut [f32]) {
        for (value, slope) in values.iter_mut().zip(slopes.iter_mut()) {
            let (cumulative, density) = normal(*value);
            *slope = cumulative + *value * density;
            // x Φ − x (Φ + x φ)
            *value = -(*value * *value) * density;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::{normal as draws, stream};

    fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn gelu_and_its_gradient_agree_with_the_plain_operations() {
        let values: Vec<f32> = (-600..600).map(|step| step as f32 * 0.01).collect();
        let weights = draws(&mut stream(1, "test", &[]), values.len(), 1.0);
        let run = |function: fn(Tensor<2>) -> Tensor<2>| {
            let input = tensor(values.clone(), [30, 40]).autodiff().require_grad();
            let output = function(input.clone());
            let gradients = (output.clone() * tensor(weights.clone(), [30, 40])).sum().backward();
            (host(output), host(input.grad(&gradients).unwrap()))
        };
        let (found, expected) = (run(gelu::<2>), run(burn::tensor::activation::gelu::<2>));
        assert_close(&found.0, &expected.0, 1e-6);
        assert_close(&found.1, &expected.1, 1e-6);
        assert_close(&host(gelu(tensor(values.clone(), [30, 40]))), &expected.0, 1e-6);
    }

    #[test]
    fn cross_entropy_and_its_gradient_agree_with_the_plain_operations() {
        let (rows, width) = (7, 53);
        let values = draws(&mut stream(2, "test", &[]), rows * width, 4.0);
        let classes: Vec<i32> = (0..rows as i32).map(|row| row * 11 % width as i32).collect();
        let input = || tensor(values.clone(), [rows, width]).autodiff().require_grad();
        let (a, b) = (input(), input());
        let loss = cross_entropy(a.clone(), classes.clone());
        let picked = integers(classes.clone(), [rows, 1], &Device::flex());
        let plain = burn::tensor::activation::log_softmax(b.clone(), 1).gather(1, picked).mean().neg();
        assert_close(&host(loss.clone()), &host(plain.clone()), 1e-6);
        assert_close(&host(cross_entropy(tensor(values.clone(), [rows, width]), classes)), &host(plain.clone()), 1e-6);
        let (gradients, plain) = (loss.backward(), plain.backward());
        assert_close(&host(a.grad(&gradients).unwrap()), &host(b.grad(&plain).unwrap()), 1e-7);
    }

    #[test]
    fn a_logit_that_is_no_number_makes_the_loss_no_number() {
        for bad in [f32::NAN, f32::INFINITY] {
            let loss = host(cross_entropy(tensor(vec![bad, bad, 0.0, 1.0], [2, 2]), vec![0, 1]));
            assert!(!loss[0].is_finite());
        }
    }
}
