//! Real files and real weights through the binary. Ignored unless `TRESTLE_SHARED` (and `TRESTLE_MINILM`) say where they are.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{Trestle, shared};

const REAL_TASKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn the_mock_submission_scores_the_pinned_averages() {
    let mock = shared().join("real/xtreme_mock");
    let path = |part: &str| mock.join(part).to_string_lossy().into_owned();
    let trestle = Trestle::new();
    let said = trestle.ok(&[
        "score",
        "--predictions",
        &path("predictions"),
        "--labels",
        &path("labels"),
        "--suite",
        "xtreme",
        "--task",
        "pawsx,xnli,udpos,xquad,tatoeba",
        "--json",
    ]);
    let scores: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    let average = |task: &str, metric: &str| {
        let row = scores.iter().find(|row| row["task"] == task && row["metric"] == metric).unwrap();
        row["average"].as_f64().unwrap()
    };
    for (task, metric, pinned) in [
        ("pawsx", "accuracy", 51.42857142857143),
        ("xnli", "accuracy", 30.666666666666668),
        ("udpos", "f1", 70.21746048354693),
        ("xquad", "exact_match", 77.27272727272727),
        ("xquad", "f1", 79.9586776859504),
        ("tatoeba", "accuracy", 53.611111111111114),
    ] {
        assert_eq!(average(task, metric), pinned, "{task} {metric}");
    }
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn real_files_of_every_shape_become_shards() {
    let data = shared().join("real");
    let tokenizer = data.join("xlmr/tokenizer.json").to_string_lossy().into_owned();
    let data = data.to_string_lossy().into_owned();
    let trestle = Trestle::new();
    let arguments = ["tokenize", "real", "--tasks", REAL_TASKS, "--data", &data, "--tokenizer", &tokenizer, "--json"];
    let manifests: Vec<Value> = serde_json::from_str(&trestle.ok(&arguments).out).unwrap();
    assert_eq!(manifests.len(), 8);
    for manifest in manifests {
        for table in manifest["statistics"]["tables"].as_array().unwrap() {
            let count = |name: &str| table[name].as_u64().unwrap();
            assert!(count("instances") >= count("examples") && count("examples") > 0, "{table}");
            assert!(count("unknown_tokens") * 50 <= count("tokens"), "{table}");
        }
    }
}

#[test]
#[ignore = "needs TRESTLE_SHARED and TRESTLE_MINILM"]
fn minilm_retrieves_as_published_in_every_layer() {
    let weights = std::env::var("TRESTLE_MINILM").unwrap();
    let data = shared().join("real").to_string_lossy().into_owned();
    let trestle = Trestle::new();
    let run = ["run", "retrieval", "--tasks", REAL_TASKS, "--data", &data, "--encoder", &weights];
    trestle.ok(&[&run[..], &["--languages", "sw", "--device", "flex", "--allow-count-drift"]].concat());
    let sql = "SELECT layer, value FROM scores WHERE intermediate = 'none' AND language = 'sw' ORDER BY layer";
    let rows: Vec<Value> = serde_json::from_str(&trestle.ok(&["query", sql, "--format", "json"]).out).unwrap();
    let oracle = std::fs::read_to_string(Path::new(&shared()).join("oracle/minilm/tatoeba.json")).unwrap();
    let oracle: Value = serde_json::from_str(&oracle).unwrap();
    let expected = oracle["swh"]["layers"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len());
    for (row, layer) in rows.iter().zip(expected) {
        let difference = row["value"].as_f64().unwrap() - layer["english_to_foreign"].as_f64().unwrap();
        assert!(difference.abs() < 0.2, "{row} {layer}");
    }
}
