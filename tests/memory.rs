//! What the backward pass keeps in memory. Alone in its process, whose peak it reads.

#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use trestle::model::memory::activation_bytes;
use trestle::model::weights::initialize;
use trestle::model::{Dropout, EncoderConfig, HeadKind, HeadSpec, Precision, TokenBatch};
use trestle::train::backward::{Keep, backward};
use trestle::train::step::{Batch, BatchTargets};

/// A size of this process in bytes, by its name in `/proc/self/status`.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

unsafe extern "C" {
    /// Gives memory that is free back to the kernel.
    safe fn malloc_trim(pad: usize) -> i32;
}

/// The bytes by which memory grows while `work` runs, at most.
fn growth(work: impl FnOnce()) -> u64 {
    malloc_trim(0);
    let before = status("VmRSS");
    // Sets the peak to what is resident now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    work();
    status("VmHWM").saturating_sub(before)
}

#[test]
fn computing_layers_again_takes_a_fraction_of_the_memory_and_no_estimate_is_too_high() {
    const ROWS: usize = 16;
    const WIDTH: usize = 128;
    let text = r#"{"model_type": "bert", "hidden_size": 128, "num_hidden_layers": 5, "num_attention_heads": 4,
        "intermediate_size": 512, "vocab_size": 100, "max_position_embeddings": 128, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu"}"#;
    let config: EncoderConfig = serde_json::from_str(text).unwrap();
    let head = HeadSpec::new("t", HeadKind::SequenceClassification, vec!["a".into(), "b".into()]);
    let rows: Vec<Vec<u32>> = (0..ROWS).map(|row| vec![row as u32 + 1; WIDTH]).collect();
    let tokens = TokenBatch::new(rows.iter().map(|row| (&row[..], &[][..])), 0, 8, WIDTH);
    let batch = Batch { tokens, targets: BatchTargets::Classes(vec![0; ROWS]) };
    for precision in [Precision::F32, Precision::F16] {
        let [whole, parts] = [Keep::Everything, Keep::LayerInputs].map(|keep| {
            // A new one each time: a model holds on to memory that it has used.
            let mut model = initialize(&config, std::slice::from_ref(&head), 1, &Device::flex()).tracked();
            model.encoder.precision = precision;
            let grown = growth(|| drop(backward(&mut model, 0, &batch, 1.0, keep, &mut Dropout::host(1))));
            let estimate = activation_bytes(&config, precision, ROWS, WIDTH, keep == Keep::LayerInputs);
            eprintln!("{precision:?} {keep:?}: {} MiB, estimated {} MiB", grown >> 20, estimate >> 20);
            (grown, estimate)
        });
        assert!(parts.0 * 3 < whole.0 * 2, "{precision:?}: {} bytes, {} without", parts.0, whole.0);
        for (grown, estimate) in [whole, parts] {
            assert!(estimate < grown + (8 << 20), "{precision:?}: estimated {estimate}, grown by {grown}");
        }
    }
}
