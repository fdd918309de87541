//! What the device could do at most.

use std::time::Instant;

use burn::tensor::{DType, Distribution, Tensor};
use gemm::Parallelism;
use serde_json::{Value, json};
use trestle::model::OpenDevice;

use super::{Arguments, Failure, Precision};

/// Known cards: a word or words of the name, TFLOP/s in f16 on tensor cores (dense, f32 sums) and in f32 without them, as
/// their makers' data sheets have them. The first match counts.
const CARDS: [(&str, f64, f64); 9] = [
    ("H200", 989.0, 67.0),
    ("H100 PCIe", 756.0, 51.0),
    ("H100 NVL", 835.0, 60.0),
    ("H100", 989.0, 67.0),
    ("A100", 312.0, 19.5),
    ("L40S", 362.0, 91.6),
    ("RTX 4090", 165.2, 82.6),
    ("V100", 125.0, 15.7),
    ("Tesla T4", 65.0, 8.1),
];

/// The peak in FLOP/s with where it comes from, and beside it, on a GPU, what a matrix product reaches.
pub fn peak(opened: &OpenDevice, arguments: &Arguments) -> Result<Value, Failure> {
    let (device, threads) = (&opened.description, arguments.threads());
    if opened.on_cpu() {
        let flops = cpu_product(threads);
        let source = format!("2048³ matrix product, gemm crate, f32, threads: {threads}");
        return Ok(json!({ "tool": "trestle", "device": device, "flops": flops, "source": source }));
    }
    let half = arguments.precision == Precision::F16;
    let product = gpu_product(opened, half)?;
    let known = CARDS.iter().find(|(name, ..)| device.contains(name));
    let kind = if half { "f16" } else { "f32" };
    let (flops, source) = match known {
        Some((name, tensor, plain)) => {
            (1e12 * if half { *tensor } else { *plain }, format!("the maker's figure for {name} in {kind}"))
        }
        None => (product, format!("4096³ matrix product in {kind}")),
    };
    Ok(json!({ "tool": "trestle", "device": device, "flops": flops, "source": source, "product_flops": product }))
}

/// FLOP/s of the best of some 2048³ products over a second or so.
fn cpu_product(threads: usize) -> f64 {
    const SIZE: usize = 2048;
    let matrix = |scale: f32| -> Vec<f32> { (0..SIZE * SIZE).map(|index| (index % 97) as f32 * scale).collect() };
    let (left, right, mut product) = (matrix(0.01), matrix(-0.02), vec![0.0f32; SIZE * SIZE]);
    let parallelism = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    let (mut best, began) = (f64::INFINITY, Instant::now());
    while best.is_infinite() || began.elapsed().as_secs_f64() < 1.5 {
        let started = Instant::now();
        let stride = SIZE as isize;
        // SAFETY: the three row-major matrices are SIZE × SIZE, and the product overlaps neither factor.
        unsafe {
            gemm::gemm(
                SIZE,
                SIZE,
                SIZE,
                product.as_mut_ptr(),
                1,
                stride,
                false,
                left.as_ptr(),
                1,
                stride,
                right.as_ptr(),
                1,
                stride,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    std::hint::black_box(&product);
    2.0 * (SIZE as f64).powi(3) / best
}

/// FLOP/s of 4096³ products one after another, the best of five stretches.
fn gpu_product(opened: &OpenDevice, half: bool) -> Result<f64, Failure> {
    const SIZE: usize = 4096;
    const PRODUCTS: usize = 20;
    let kind = if half { DType::F16 } else { DType::F32 };
    let matrix = || Tensor::<2>::random([SIZE, SIZE], Distribution::Uniform(-1.0, 1.0), &opened.device).cast(kind);
    let (left, right) = (matrix(), matrix());
    let mut best = f64::INFINITY;
    for round in 0..6 {
        opened.device.sync()?;
        let began = Instant::now();
        // Kept until the device is done, so that none is taken for needless.
        let products: Vec<_> = (0..PRODUCTS).map(|_| left.clone().matmul(right.clone())).collect();
        opened.device.sync()?;
        // The first round chooses kernels.
        if round > 0 {
            best = best.min(began.elapsed().as_secs_f64());
        }
        drop(products);
    }
    Ok(PRODUCTS as f64 * 2.0 * (SIZE as f64).powi(3) / best)
}
