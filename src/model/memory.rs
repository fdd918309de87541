//! Whether a batch fits into the memory of the machine.
//!
//! A GPU says when its memory is full. On the CPU the kernel ends the process without a word, so what a batch needs is
//! estimated beforehand. The estimate counts what the backward pass can't do without and leaves out what comes and goes: what
//! it refuses would not have fitted; what it lets pass may still be too much where other processes take memory too.

use std::path::Path;

use super::config::{EncoderConfig, Precision};
use super::{Encoder, ModelError, TokenBatch};

const MIB: u64 = 1 << 20;
/// Batches that need less are not held against the memory there is, which takes longer to find out than they to compute.
const SMALL: u64 = 256 * MIB;

/// Bytes that the encoder's intermediate results of `rows` rows of `positions` tokens take in the backward pass.
///
/// In f32 a layer keeps for each token its input, query, key, value and context, the rows of both LayerNorms (7 hidden sizes)
/// and the input of GELU (1 feed-forward width). In 16 bits, composed of single operations, it also keeps halved operands,
/// factors of dropout and results before and after sums: measured, 12 hidden sizes, 2 feed-forward widths and, for each head
/// and pair of positions, 3 numbers. Where layers are `recomputed` (gradient checkpointing), all of that once, and the input of
/// each layer.
pub fn activation_bytes(
    config: &EncoderConfig,
    precision: Precision,
    rows: usize,
    positions: usize,
    recomputed: bool,
) -> u64 {
    let [rows, positions, width, inner, heads, layers] = [
        rows,
        positions,
        config.hidden_size,
        config.intermediate_size,
        config.num_attention_heads,
        config.num_hidden_layers,
    ]
    .map(|size| size as u64);
    let token = match precision {
        Precision::F32 => 7 * width + inner,
        Precision::F16 => 12 * width + 2 * inner + 3 * heads * positions,
    };
    let of_layers = if recomputed { layers * width + token } else { layers * token };
    rows * positions * of_layers * size_of::<f32>() as u64
}

/// # Errors
/// When the memory that is free is too small for what `encoder` keeps of `batch` in the backward pass. Only for the CPU.
pub fn check(encoder: &Encoder, batch: &TokenBatch, recomputed: bool) -> Result<(), ModelError> {
    let needed = activation_bytes(&encoder.config, encoder.precision, batch.rows, batch.width, recomputed);
    if needed < SMALL {
        return Ok(());
    }
    match available() {
        Some(free) if needed > free => Err(ModelError::OutOfMemory {
            problem: format!(
                "{} rows of {} tokens need at least {} MiB, but {} MiB are free",
                batch.rows,
                batch.width,
                needed / MIB,
                free / MIB
            ),
        }),
        _ => Ok(()),
    }
}

/// Bytes that this process may still take: what the machine has free, or what is left of its control group's limit, if that
/// is less. None where the system does not say.
pub fn available() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text, "MemAvailable"));
    let group = [
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ];
    let left = group.iter().filter_map(|(directory, limit, usage)| {
        let number = |name: &str| std::fs::read_to_string(Path::new(directory).join(name)).ok()?.trim().parse().ok();
        let (limit, usage): (u64, u64) = (number(limit)?, number(usage)?);
        Some(limit.saturating_sub(usage))
    });
    machine.into_iter().chain(left).min()
}

/// Bytes of all memory of the machine.
pub fn total() -> Option<u64> {
    meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;
    use crate::model::config::tests::tiny;
    use burn::tensor::Device;

    #[test]
    fn an_absurd_batch_is_refused_with_what_it_would_take_and_a_remedy() {
        let mut encoder = Encoder::new(&tiny(Architecture::Bert), false, &Device::flex());
        encoder.config.hidden_size = 1_024;
        encoder.config.num_hidden_layers = 24;
        let batch = |rows| TokenBatch {
            rows,
            width: 512,
            multiple: 8,
            scored: 512,
            ids: Vec::new(),
            type_ids: Vec::new(),
            lengths: Vec::new(),
        };
        check(&encoder, &batch(2), false).unwrap();
        let error = check(&encoder, &batch(100_000_000), false).unwrap_err();
        assert!(matches!(error, ModelError::OutOfMemory { .. }));
        let text = error.to_string();
        assert!(text.contains("100000000 rows of 512 tokens") && text.contains("gradient_checkpointing"), "{text}");
    }

    #[test]
    fn memory_files_are_read() {
        let text = "MemTotal:       16384000 kB\nMemFree:  5 kB\nMemAvailable:    8192000 kB\n";
        assert_eq!(meminfo(text, "MemAvailable"), Some(8_192_000 * 1024));
        assert_eq!(meminfo(text, "Mem"), None);
        if cfg!(target_os = "linux") {
            assert!(available().unwrap() <= total().unwrap());
        }
    }
}
