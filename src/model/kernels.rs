//! GELU and cross-entropy: on the CPU in f32 the kernels of `model/fused`, elsewhere tensor operations, which fuse there.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Int, Tensor};

use super::fused::{FusedOps, GeluCall};
use super::layers::integers;

/// GELU in its exact form, `x · Φ(x)`, elementwise.
pub fn gelu(input: Tensor<2>) -> Tensor<2> {
    if !fuses(&input) {
        return burn::tensor::activation::gelu(input);
    }
    let shape = input.dims();
    Tensor::from_dispatch(Dispatch::gelu(input.into_dispatch(), GeluCall { shape }))
}

/// Mean cross-entropy of `logits [rows, classes]` against one class a row, each below the number of classes.
pub fn cross_entropy(logits: Tensor<2>, classes: Vec<i32>) -> Tensor<1> {
    if !fuses(&logits) {
        let ([rows, _], device) = (logits.dims(), logits.device());
        let classes: Tensor<2, Int> = integers(classes, [rows, 1], &device);
        return burn::tensor::activation::log_softmax(logits, 1).gather(1, classes).mean().neg();
    }
    Tensor::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), classes))
}

fn fuses(tensor: &Tensor<2>) -> bool {
    tensor.device() == Device::flex() && tensor.dtype() == DType::F32
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::model::random::{normal as draws, stream};

    fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.without_autodiff().into_data().try_into_vec().unwrap()
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
        let (found, expected) = (run(gelu), run(burn::tensor::activation::gelu::<2>));
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
        let (gradients, plain) = ((loss * 0.25).backward(), (plain * 0.25).backward());
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
