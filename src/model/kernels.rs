//! GELU and cross-entropy on the CPU, in one pass each.
//!
//! The CPU backend computes them element by element with the C library's functions, and their gradients from many small
//! operations; for small encoders that was a third of a training step. Here each is computed on the host at once together with
//! its derivative, and enters the graph as the linear function that has this value and this derivative at the point:
//! `x · d + (f(x) − x · d)`, whose backward pass is one product. On other devices the plain operations fuse; they are used there.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::elementary::{LANES, exp_negative, normal, total, vectorised};
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
    let [rows, width] = logits.dims();
    let device = logits.device();
    if device != Device::flex() {
        let classes: Tensor<2, Int> = integers(classes, [rows, 1], &device);
        return burn::tensor::activation::log_softmax(logits, 1).gather(1, classes).mean().neg();
    }
    let mut values = host(logits.clone());
    let share = 1.0 / rows as f32;
    let losses: Vec<(f64, f64)> = values
        .par_chunks_exact_mut(width)
        .zip(&classes)
        .map(|(row, class)| softmax_gradient(row, *class as usize, share))
        .collect();
    let loss = losses.iter().map(|(loss, _)| loss).sum::<f64>() / rows as f64;
    let scalar =
        |value: f64| Tensor::<1>::from_data(TensorData::new(vec![value as f32], [1]), (&Device::flex(), DType::F32));
    if !logits.is_autodiff() {
        return scalar(loss);
    }
    let gradient = Tensor::<2>::from_data(TensorData::new(values, [rows, width]), (&Device::flex(), DType::F32));
    let linear = (logits * gradient).sum();
    let rest = loss - losses.iter().map(|(_, linear)| linear).sum::<f64>();
    linear + scalar(rest)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.without_autodiff().into_data();
    data.try_into_vec().expect("activations on the CPU are f32")
}

/// Replaces a row of logits by the gradient of its share of the mean loss; returns the row's loss, and the product of
/// logits and gradient.
fn softmax_gradient(row: &mut [f32], class: usize, share: f32) -> (f64, f64) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !highest.is_finite() {
        row.fill(f32::NAN);
        return (f64::NAN, f64::NAN);
    }
    let right = row[class];
    let mut dot = 0.0;
    let sum = exponentials(row, highest, &mut dot);
    let scale = share / sum;
    for value in row.iter_mut() {
        *value *= scale;
    }
    row[class] -= share;
    let loss = f64::from(sum).ln() - f64::from(right - highest);
    (loss, f64::from(scale) * f64::from(dot) - f64::from(share) * f64::from(right))
}

vectorised! {
    /// Replaces `row` by `exp(row - highest)`; returns the sum, and adds to `dot` the sum of each times its logit.
    fn exponentials(row: &mut [f32], highest: f32, dot: &mut f32) -> f32 {
        let (mut sums, mut dots) = ([0.0f32; LANES], [0.0f32; LANES]);
        for chunk in row.chunks_mut(LANES) {
            for ((value, sum), dot) in chunk.iter_mut().zip(&mut sums).zip(&mut dots) {
                let logit = *value;
                *value = exp_negative(logit - highest);
                *sum += *value;
                *dot += *value * logit;
            }
        }
        *dot = total(dots);
        total(sums)
    }
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
    fn the_exponential_is_close_everywhere() {
        for step in 0..88_000 {
            let x = -(step as f32) * 1e-3;
            let (found, expected) = (f64::from(exp_negative(x)), f64::from(x).exp());
            assert!((found - expected).abs() <= 4e-7 * expected + 1e-37, "{x}: {found} {expected}");
        }
        assert_eq!((exp_negative(0.0), exp_negative(-1e9), exp_negative(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp_negative(f32::NAN).is_nan());
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
