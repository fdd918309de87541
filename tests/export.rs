//! `trestle export` through the binary: a directory that other software loads, whole or not at all.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use serde_json::{Value, json};
use support::Trestle;

/// Trains the intermediate model with three heads.
const TRAIN: &[&str] =
    &["train", "tiny", "--phase", "intermediate", "--intermediate", "multi", "--device", "flex", "--json"];
const LABEL: &str = "intermediate/multi/seed-1";

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A store with the model, its key, and an empty folder.
fn trained() -> (Trestle, String, PathBuf) {
    let trestle = Trestle::new();
    let made: Value = serde_json::from_str(&trestle.ok(TRAIN).out).unwrap();
    let folder = trestle.dir.path().join("models");
    (trestle, made[0]["key"].as_str().unwrap().to_owned(), folder)
}

fn export(trestle: &Trestle, name: &str, output: &Path, more: &[&str]) -> support::Said {
    let output = output.to_str().unwrap();
    trestle.run(&[&["export", name, "--study", "tiny", "--output", output, "--device", "flex"], more].concat())
}

#[test]
fn a_model_becomes_a_directory_of_one_head_or_of_none() {
    let (trestle, key, folder) = trained();
    let squad = folder.join("squad");
    let said = export(&trestle, LABEL, &squad, &["--head", "squad_v1"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let whole =
        ["README.md", "config.json", "heads.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    assert_eq!(names(&squad), whole.map(str::to_owned).into());
    assert_eq!(names(&folder), ["squad".to_owned()].into(), "nothing unfinished stays");
    let config = read(&squad.join("config.json"));
    assert_eq!(config["architectures"], json!(["XLMRobertaForQuestionAnswering"]));
    assert_eq!((&config["tie_word_embeddings"], &config["dtype"]), (&json!(true), &json!("float32")));
    let tokenizer = read(&squad.join("tokenizer_config.json"));
    assert_eq!((&tokenizer["mask_token"], &tokenizer["model_max_length"]), (&json!("<mask>"), &json!(96)));

    // The card names every training, its tasks, and what went into it.
    let card = std::fs::read_to_string(squad.join("README.md")).unwrap();
    let manifests = trestle.manifests();
    for stage in ["pretrain", LABEL] {
        let manifest = manifests.iter().find(|m| m["label"] == format!("tiny:{stage}")).unwrap();
        for what in [&manifest["key"], &manifest["inputs"]["tokenizer"]["digest"], &manifest["tool_version"]] {
            assert!(card.contains(what.as_str().unwrap()), "{what} is not in\n{card}");
        }
    }
    assert!(
        card.contains("`squad_v1` (span-extraction; licence ") && card.contains("\"learning_rate\":0.001"),
        "{card}"
    );

    // By its key, the encoder alone, in shards.
    let bare = folder.join("bare");
    let said = export(&trestle, &key[..12], &bare, &["--without-head", "--shard-size", "40kB"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let files = names(&bare);
    assert!(
        files.contains("model.safetensors.index.json") && files.contains("model-00001-of-00002.safetensors"),
        "{files:?}"
    );
    assert!(!files.contains("model.safetensors") && !files.contains("heads.json"), "{files:?}");
    assert_eq!(read(&bare.join("config.json"))["architectures"], json!(["XLMRobertaModel"]));

    // It is an encoder like any other, with the same hidden states.
    let scores = |more: &[&str]| -> Vec<RecordBatch> {
        let command = ["score", "tiny", "--target", "tatoeba", "--device", "flex", "--json"];
        let made: Vec<Value> = serde_json::from_str(&trestle.ok(&[&command, more].concat()).out).unwrap();
        let score = made.iter().find(|m| !m["label"].as_str().unwrap().ends_with("/chance")).unwrap();
        let folder = trestle.home().join("artifacts/score").join(score["key"].as_str().unwrap());
        let rows = trestle::shard::read_batches(&folder.join("scores.parquet")).unwrap();
        rows.map(|batch| batch.unwrap()).collect()
    };
    let before = scores(&["--intermediate", "multi"]);
    let after = scores(&["--intermediate", "none", "--encoder", bare.to_str().unwrap()]);
    assert!(!before.is_empty());
    assert_eq!(before, after);
}

#[test]
fn what_cannot_be_exported_is_said_and_leaves_nothing() {
    let (trestle, _, folder) = trained();
    let output = folder.join("model");
    for (name, more, code, says) in [
        (LABEL, &[][..], 3, "heads for mnli, squad_v1, commonsenseqa; choose one with --head TASK"),
        (LABEL, &["--head", "xnli"][..], 3, "no head for xnli"),
        ("tokenizer", &[][..], 3, "is a tokenizer artifact, not a model"),
        ("target/xnli/none/seed-1", &[][..], 5, "was not made yet; `trestle run tiny` makes it"),
        ("target/xnli/nothing", &[][..], 3, "nothing in study tiny is called `target/xnli/nothing`"),
        (LABEL, &["--head", "mnli", "--without-head"][..], 2, "cannot be used with"),
        (LABEL, &["--shard-size", "5"][..], 2, "as in 5GB"),
    ] {
        let said = export(&trestle, name, &output, more);
        assert_eq!(said.code, code, "{says}: {}", said.err);
        assert!(said.err.contains(says), "{says}: {}", said.err);
        assert!(!folder.exists() || names(&folder).is_empty(), "{says}");
    }
    let kept = folder.join("kept");
    std::fs::create_dir_all(&kept).unwrap();
    let said = export(&trestle, LABEL, &kept, &["--head", "mnli"]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("exists already") && names(&kept).is_empty(), "{}", said.err);

    // The tokenizer goes after the model is written: nothing of it stays.
    std::fs::remove_dir_all(trestle.home().join("artifacts/tokenizer")).unwrap();
    let key = trestle.manifests().into_iter().find(|m| m["label"] == format!("tiny:{LABEL}")).unwrap();
    let said = export(&trestle, &key["key"].as_str().unwrap()[..12], &output, &["--head", "mnli"]);
    assert_eq!(said.code, 5, "{}", said.err);
    assert!(said.err.contains("its input `tokenizer` is not in this store"), "{}", said.err);
    assert_eq!(names(&folder), ["kept".to_owned()].into());
}
