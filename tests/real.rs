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
    let scored = |suite: &str, tasks: &str| -> Value {
        let (predictions, labels) = (path("predictions"), path("labels"));
        let folders = ["score", "--predictions", &predictions, "--labels", &labels];
        let said = trestle.ok(&[&folders[..], &["--suite", suite, "--task", tasks, "--json"]].concat());
        said.json()
    };
    let xtreme = scored("xtreme", "pawsx,xnli,panx,udpos,bucc2018,tatoeba,xquad,mlqa,tydiqa");
    let mewslix = scored("xtreme-r", "mewslix");
    for (task, metric, pinned) in [
        ("pawsx", "accuracy", 51.42857142857143),
        ("xnli", "accuracy", 30.666666666666668),
        ("panx", "f1", 57.50793650793652),
        ("udpos", "f1", 70.21746048354693),
        ("bucc2018", "f1", 55.0),
        ("tatoeba", "accuracy", 53.611111111111114),
        ("xquad", "exact_match", 77.27272727272727),
        ("xquad", "f1", 79.9586776859504),
        ("mlqa", "exact_match", 57.142857142857146),
        ("mlqa", "f1", 81.76870748299321),
        ("tydiqa", "exact_match", 88.88888888888889),
        ("tydiqa", "f1", 97.22222222222223),
        ("mewslix", "map@20", 14.39025156130419),
    ] {
        let said = if task == "mewslix" { &mewslix } else { &xtreme };
        let mut rows = said["scores"].as_array().unwrap().iter();
        let row = rows.find(|row| row["task"] == task && row["metric"] == metric).unwrap();
        // The JSON library's parser may be off in the last digit; the library's own test compares bits.
        let average = row["average"].as_f64().unwrap();
        assert!((average - pinned).abs() < 1e-12, "{task} {metric}: {average}");
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
    let manifests: Vec<Value> = trestle.ok(&arguments).json();
    let tokenized: Vec<&Value> = manifests.iter().filter(|manifest| manifest["stage"] == "tokenize").collect();
    assert_eq!(tokenized.len(), 8);
    for manifest in tokenized {
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
    let sql = "SELECT layer, value FROM scores WHERE row = 'none' AND language = 'sw' ORDER BY layer";
    let rows: Vec<Value> = trestle.query(sql);
    let oracle = std::fs::read_to_string(Path::new(&shared()).join("oracle/minilm/tatoeba.json")).unwrap();
    let oracle: Value = serde_json::from_str(&oracle).unwrap();
    let expected = oracle["swh"]["layers"].as_array().unwrap();
    assert_eq!(rows.len(), expected.len());
    for (row, layer) in rows.iter().zip(expected) {
        let difference = row["value"].as_f64().unwrap() - layer["english_to_foreign"].as_f64().unwrap();
        assert!(difference.abs() < 0.2, "{row} {layer}");
    }
}

/// Every task with real files loads with the rows that the files are known to hold; the others say what is missing.
#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn every_task_is_checked_over_real_files() {
    let data = shared().join("real").to_string_lossy().into_owned();
    let trestle = Trestle::new();
    let said = trestle.ok(&["task", "check", "--all", "--tasks", REAL_TASKS, "--data", &data, "--json"]);
    let checks: Vec<Value> = said.json();
    let verdict = |wanted: &str| -> Vec<&str> {
        let tasks = checks.iter().filter(|check| check["verdict"] == wanted);
        tasks.map(|check| check["task"].as_str().unwrap()).collect()
    };
    // `hypothesis` is the golden study's, which the mini edition alone has files of.
    let missing = ["ccg", "hypothesis", "mnli_translated", "squad_translated", "tydiqa_translated"];
    assert_eq!(verdict("missing"), missing);
    assert_eq!(verdict("fine").len(), checks.len() - missing.len());
    let rows = |task: &str, split: &str, languages: &[&str]| -> u64 {
        let check = checks.iter().find(|check| check["task"] == task).unwrap();
        let tables = check["tables"].as_array().unwrap().iter().filter(|table| {
            table["split"] == split
                && (languages.is_empty() || languages.contains(&table["language"].as_str().unwrap()))
        });
        tables.map(|table| table["examples"].as_u64().unwrap()).sum()
    };
    for (task, split, languages, known) in [
        ("squad_v2", "validation", &[][..], 6_078),
        ("hellaswag", "validation", &[], 1_000),
        ("cosmosqa", "validation", &[], 2_985),
        ("commonsenseqa", "train", &[], 9_741),
        ("commonsenseqa", "validation", &[], 1_221),
        ("socialiqa", "validation", &[], 1_954),
        ("socialiqa", "test", &[], 2_224),
        ("anli_r1", "validation", &[], 1_000),
        ("anli_r3", "validation", &[], 1_198),
        ("xnli", "validation", &[], 15 * 2_490),
        ("xnli", "test", &[], 7 * 5_010),
        ("pawsx", "validation", &[], 7 * 2_000),
        ("panx", "train", &["en"], 20_000),
        ("panx", "validation", &["en", "de", "fi", "zh", "ar", "ru", "tr", "ja"], 80_000),
        ("udpos", "train", &["en"], 21_253),
        ("udpos", "validation", &["en"], 3_974),
        ("xquad", "test", &[], 8 * 1_190),
        ("mlqa", "validation", &["en"], 1_148),
        ("tydiqa", "train", &[], 3_696),
        ("tydiqa", "test", &["ar"], 921),
        ("tydiqa", "test", &["sw"], 499),
        ("bucc2018", "validation", &["zh"], 8_624 + 13_589),
        ("xcopa", "validation", &[], 11 * 100),
        ("xcopa", "test", &[], 11 * 500),
    ] {
        assert_eq!(rows(task, split, languages), known, "{task} {split} {languages:?}");
    }
}
