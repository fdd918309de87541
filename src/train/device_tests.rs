//! The same trainings on a GPU as on the CPU.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;

use super::tests::{TRAINED, request, run, task};
use crate::model::device::open_for_tests;
use crate::model::{DeviceChoice, OpenDevice, Precision, device};
use crate::progress::Quiet;
use crate::shard::read_table;
use crate::task::Format;

/// Enough to learn something.
const STEPS: u64 = 30;
/// Enough to compare; a rasteriser is slow.
const FEW_STEPS: u64 = 15;

/// The losses of a short training, and how many of its steps were skipped. There is no dropout, whose zeros each device draws
/// in its own way.
fn losses(
    format: Format,
    device: OpenDevice,
    steps: u64,
    precision: Precision,
    checkpointing: bool,
) -> (Vec<f32>, u64) {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), format)], steps);
    request.device = device;
    let hyper = &mut request.hyperparameters;
    (hyper.dropout, hyper.learning_rate, hyper.batch_size, hyper.eval_every) = (Some(0.0), 1e-2, 16, steps);
    (hyper.precision, hyper.gradient_checkpointing) = (precision, checkpointing);
    let outcome = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap();
    assert_eq!(outcome.steps, steps, "{outcome:?}");
    (logged(&directory.path().join("output/training_log.parquet"), steps), outcome.skipped_steps)
}

fn logged(path: &Path, steps: u64) -> Vec<f32> {
    let (_, batches) = read_table(path).unwrap();
    let column = batches[0].column_by_name("loss").unwrap().as_primitive::<Float32Type>();
    column.iter().take(steps as usize).map(|loss| loss.unwrap_or(f32::INFINITY)).collect()
}

fn assert_same_curve(found: &(Vec<f32>, u64), expected: &(Vec<f32>, u64), tolerance: f32, what: &str) {
    assert_eq!((found.0.len(), found.1), (expected.0.len(), expected.1), "{what}");
    let worst = found.0.iter().zip(&expected.0).map(|(f, e)| (f - e).abs()).fold(0.0, f32::max);
    eprintln!("{what}: off by {worst:e} at most, while the loss goes from {:?} to {:?}", found.0[0], found.0.last());
    assert!(worst <= tolerance, "{what}: off by {worst}\n{:?}\n{:?}", found.0, expected.0);
}

fn cpu() -> OpenDevice {
    device::open(DeviceChoice::Flex).unwrap()
}

#[test]
fn trainings_in_16_bits_learn_like_those_in_32() {
    for format in TRAINED {
        let (whole, _) = losses(format, cpu(), STEPS, Precision::F32, false);
        // A high loss scale may skip one of the first steps.
        let (half, skipped) = losses(format, cpu(), STEPS, Precision::F16, false);
        assert!(skipped <= 1, "{format}: {skipped} steps skipped");
        assert!((whole[0] - half[0]).abs() < 2e-3, "{format}: {} {}", whole[0], half[0]);
        let fall = |losses: &[f32]| losses[0] - losses[losses.len() - 3..].iter().sum::<f32>() / 3.0;
        assert!(fall(&whole) > 0.1 && fall(&half) > 0.8 * fall(&whole), "{format}: {whole:?} {half:?}");
    }
}

#[test]
#[ignore = "needs a GPU or `make smoke-wgpu`"]
fn wgpu_trainings_follow_those_on_the_cpu() {
    for format in TRAINED {
        let expected = losses(format, cpu(), FEW_STEPS, Precision::F32, false);
        // Once for all heads: layers are the same below each.
        let ways: &[bool] = if format == Format::Text { &[false, true] } else { &[false] };
        for checkpointing in ways.iter().copied() {
            let found = losses(format, open_for_tests(), FEW_STEPS, Precision::F32, checkpointing);
            assert_same_curve(&found, &expected, 5e-3, &format!("{format}, layers computed again: {checkpointing}"));
        }
    }
}

#[test]
#[ignore = "needs a GPU or `make smoke-wgpu`"]
fn wgpu_trainings_in_16_bits_follow_those_on_the_cpu() {
    for format in TRAINED {
        let expected = losses(format, cpu(), FEW_STEPS, Precision::F16, false);
        let found = losses(format, open_for_tests(), FEW_STEPS, Precision::F16, true);
        assert_same_curve(&found, &expected, 5e-2, &format!("{format} in 16 bits"));
    }
}
