//! Three phases with an encoder of XLM-R Base's size and random weights, within a laptop's memory, with and without a trimmed
//! vocabulary. Ignored unless `TRESTLE_SHARED` says where real files and XLM-R's tokenizer are; `make real-size` runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Trestle, shared};
use trestle::model::weights::{initialize, save};
use trestle::model::{DeviceChoice, EncoderConfig, device};

/// What both trainings and everything around them may take.
const MOST: u64 = 24 << 30;

/// XLM-R Base's configuration, as it is published.
const CONFIG: &str = r#"{"model_type": "xlm-roberta", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1,
    "layer_norm_eps": 1e-05, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": 1,
    "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "gelu", "initializer_range": 0.02}"#;

fn encoder(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    let config: EncoderConfig = serde_json::from_str(CONFIG).unwrap();
    let device = device::open(DeviceChoice::Flex).unwrap().device;
    save(&initialize(&config, &[], 1, &device), directory).unwrap();
    std::fs::copy(shared().join("real/xlmr/tokenizer.json"), directory.join("tokenizer.json")).unwrap();
}

/// The most memory that a process has held, in bytes, as Linux has it; none once the process is gone.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Runs `study` and returns the peak of its memory, in bytes.
fn run(trestle: &Trestle, study: &str, encoder: &Path) -> u64 {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let real = path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real"));
    let own = path(trestle.dir.path());
    let (data, encoder) = (path(&shared().join("real")), path(encoder));
    let arguments = ["run", study, "--tasks", &real, "--tasks", &own, "--data", &data, "--encoder", &encoder];
    let started = Instant::now();
    let child = trestle.spawn(&[&arguments[..], &["--device", "flex", "--workers", "1"]].concat());
    let process = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        while receiver.recv_timeout(Duration::from_millis(50)).is_err() {
            most = peak(process).unwrap_or(0).max(most);
        }
        most
    });
    let said = support::said(&child.wait_with_output().unwrap());
    sender.send(()).unwrap();
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let most = watch.join().unwrap();
    println!("{study}: {:.2} GiB at most, {:.0} s", most as f64 / f64::from(1 << 30), started.elapsed().as_secs_f64());
    most
}

/// The trained models of a store: label without the study's name, and manifest.
fn models(trestle: &Trestle) -> Vec<(String, Value)> {
    let mut found: Vec<(String, Value)> = trestle
        .manifests()
        .into_iter()
        .filter(|manifest| manifest["stage"] == "train")
        .map(|manifest| (manifest["label"].as_str().unwrap().split_once(':').unwrap().1.to_owned(), manifest))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
#[ignore = "needs TRESTLE_SHARED, 24 GiB of memory and minutes"]
fn three_phases_at_real_size_fit_and_trimming_changes_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let weights = directory.path().join("xlm-roberta-base");
    encoder(&weights);

    let (trimmed, whole) = (Trestle::new(), Trestle::new());
    let text = std::fs::read_to_string(support::fixtures().join("studies/real-size.toml")).unwrap();
    let text = text.replace("id = \"real-size\"", "id = \"whole\"").replace("trim_vocabulary = true", "");
    std::fs::create_dir_all(whole.dir.path().join("studies")).unwrap();
    std::fs::write(whole.dir.path().join("studies/whole.toml"), text).unwrap();

    let most = [run(&trimmed, "real-size", &weights), run(&whole, "whole", &weights)];
    assert!(most.iter().all(|most| *most < MOST), "{most:?}");
    assert!(most[0] < most[1], "{most:?}");

    let (models, twins) = (models(&trimmed), models(&whole));
    assert_eq!(models.len(), 2);
    for ((label, model), (other, twin)) in models.iter().zip(&twins) {
        let rows = model["statistics"]["kept_rows"].as_u64().unwrap();
        println!("{label}: {rows} rows of 250,002, last loss {}", model["statistics"]["last_loss"]);
        assert!(rows < 25_000 && twin["statistics"]["kept_rows"].is_null());
        // Weights, log of losses, heads: the same bytes.
        assert_eq!((label, &model["files"]), (other, &twin["files"]));
    }
}
