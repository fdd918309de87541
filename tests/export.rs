//! `trestle export` through the binary: directories that other software loads, whole or not at all.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use serde_json::{Value, json};
use support::Trestle;
use support::hub::HubServer;

/// Trains the intermediate model with three heads.
const TRAIN: &[&str] = &["train", "tiny", "--phase", "intermediate", "--row", "multi", "--device", "flex", "--json"];
const LABEL: &str = "intermediate/multi/seed-1";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

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
    let made: Value = trestle.ok(TRAIN).json();
    let folder = trestle.dir.path().join("models");
    (trestle, made[0]["key"].as_str().unwrap().to_owned(), folder)
}

fn export(trestle: &Trestle, name: &str, output: &Path, more: &[&str]) -> support::Said {
    let output = output.to_str().unwrap();
    trestle.run(&[&["export", "model", name, "--study", "tiny", "--output", output, "--device", "flex"], more].concat())
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
        let made: Vec<Value> = trestle.ok(&[&command, more].concat()).json();
        let score = made.iter().find(|m| !m["label"].as_str().unwrap().ends_with("/chance")).unwrap();
        let folder = trestle.home().join("artifacts/score").join(score["key"].as_str().unwrap());
        let rows = trestle::shard::read_batches(&folder.join("scores.parquet")).unwrap();
        rows.map(|batch| batch.unwrap()).collect()
    };
    let before = scores(&["--row", "multi"]);
    let after = scores(&["--row", "none", "--encoder", bare.to_str().unwrap()]);
    assert!(!before.is_empty());
    assert_eq!(before, after);
}

const STUDY: &str = r#"
id = "house"
title = "A study of one task with an encoder from the hub"
edition = "full"
model = "house"
seeds = [1]
order = ["none"]
targets = ["toy"]
[intermediate]
none = []
[defaults]
max_steps = 2
batch_size = 2
"#;

const MODEL: &str = r#"
id = "house"
tokenizer = "encoder"
[encoder.hub]
repo = "o/encoder"
[lengths]
default = 48
span_extraction = 96
stride = 16
question = 24
[retrieval]
layers = [1]
"#;

const TASK: &str = r#"
id = "toy"
format = "pair-classification"
role = "target"
languages = ["en"]
labels = ["yes", "no"]
metric = "accuracy"
license = "CC0-1.0"
[source.hub]
repo = "o/toy"
reader = "jsonl"
files = { train = "train.jsonl", test = "train.jsonl" }
[normalize]
sql = "SELECT id AS example_id, a AS text_a, b AS text_b, label FROM raw"
"#;

#[test]
fn an_encoder_in_shards_on_the_hub_is_trained_on() {
    let (trestle, _, folder) = trained();
    let bare = folder.join("bare");
    let said = export(&trestle, LABEL, &bare, &["--without-head", "--shard-size", "40kB"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let hub = HubServer::start();
    for name in names(&bare) {
        let bytes = std::fs::read(bare.join(&name)).unwrap();
        hub.add("models/o/encoder", &name, &bytes, name.ends_with(".safetensors"));
    }
    let rows = "{\"id\": \"1\", \"a\": \"old\", \"b\": \"boat\", \"label\": \"yes\"}\n\
                {\"id\": \"2\", \"a\": \"near\", \"b\": \"bridge\", \"label\": \"no\"}\n";
    hub.add("datasets/o/toy", "train.jsonl", rows.as_bytes(), false);
    let tasks = trestle.dir.path().join("house");
    for (path, text) in [("studies/house.toml", STUDY), ("models/house.toml", MODEL), ("toy.toml", TASK)] {
        std::fs::create_dir_all(tasks.join(path).parent().unwrap()).unwrap();
        std::fs::write(tasks.join(path), text).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = trestle.command(arguments);
        command.arg("--tasks").arg(&tasks).arg("--lock").arg(trestle.dir.path().join("sources.lock"));
        command.env("HF_ENDPOINT", &hub.endpoint).env("HF_HOME", trestle.dir.path().join("huggingface"));
        let said = support::said(&command.args(["--device", "flex"]).output().unwrap());
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        said.out
    };
    run(&["fetch", "house"]);
    let lock = std::fs::read_to_string(trestle.dir.path().join("sources.lock")).unwrap();
    for file in ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"] {
        assert!(lock.contains(&format!("path = \"{file}\"")), "{lock}");
    }
    hub.requests();
    let made: Value =
        serde_json::from_str(&run(&["train", "house", "--json", "--offline", "--allow-count-drift"])).unwrap();
    assert!(hub.requests().is_empty());
    let training = &made.as_array().unwrap()[0];
    let inputs: Vec<&str> = training["inputs"].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(inputs.contains(&"encoder:model-00002-of-00002.safetensors"), "{inputs:?}");
    let new: Vec<&str> = training["statistics"]["new_parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(new.len(), 4, "the head alone: {new:?}");
    assert_eq!(training["statistics"]["dropped_parameters"], json!([]));
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

/// A store whose canonical tables were read from files, as those of a distribution are.
fn read_from_files(tasks: &str) -> Trestle {
    let generated = Trestle::new();
    generated.ok(&["normalize", "tiny", "--task", tasks, "--quiet"]);
    let trestle = Trestle::new();
    let data = trestle.dir.path().join("data");
    for folder in generated.artifacts("generate") {
        let copied = std::process::Command::new("cp").arg("-r").arg(folder.join(".")).arg(&data).status().unwrap();
        assert!(copied.success());
    }
    trestle.ok(&["normalize", "tiny", "--task", tasks, "--data", text(&data), "--allow-count-drift", "--quiet"]);
    trestle
}

#[test]
fn a_dataset_is_described_by_what_its_task_file_knows() {
    let trestle = read_from_files("xnli,udpos");
    let out = trestle.dir.path().join("out");
    trestle.ok(&["export", "croissant", "--task", "xnli,udpos", "--output", text(&out)]);
    let described = |task: &str| read(&out.join(task).join("croissant.json"));
    let xnli = described("xnli");
    assert_eq!(xnli["creator"][0], serde_json::json!({"@type": "sc:Person", "name": "Alexis Conneau"}));
    assert_eq!((&xnli["datePublished"], &xnli["citeAs"]), (&"2018-09".into(), &"arXiv:1809.05053".into()));
    assert_eq!(xnli["url"], "https://huggingface.co/datasets/facebook/xnli");
    assert_eq!(xnli["license"], serde_json::json!({"@type": "sc:CreativeWork", "name": "CC BY-NC 4.0"}));
    let key = serde_json::json!([{"@id": "test/language"}, {"@id": "test/example_id"}]);
    assert!(xnli["recordSet"].as_array().unwrap().iter().any(|records| records["key"] == key), "{xnli}");
    // What a task file does not say is not made up.
    let udpos = described("udpos");
    assert!(udpos.get("creator").is_none() && udpos.get("datePublished").is_none(), "{udpos}");
}

#[test]
#[ignore = "needs TRESTLE_ANALYSIS_PYTHON with mlcroissant, pyarrow and huggingface_hub"]
fn analysis_python_reads_the_exports() {
    let python = std::env::var("TRESTLE_ANALYSIS_PYTHON").unwrap();
    let trestle = Trestle::tiny();
    let out = trestle.dir.path().join("out");
    let tasks = "xnli,xquad,udpos";
    let described = read_from_files(tasks);
    described.ok(&["export", "croissant", "--task", tasks, "--output", text(&out.join("data"))]);
    trestle.ok(&["export", "model-index", "tiny", "--row", "mnli", "--output", text(&out.join("card.md"))]);
    let script = r#"
import sys
import mlcroissant
from huggingface_hub import ModelCard
for task, split in [("xnli", "test"), ("xquad", "test"), ("udpos", "train")]:
    dataset = mlcroissant.Dataset(f"{sys.argv[1]}/data/{task}/croissant.json")
    issues = dataset.metadata.ctx.issues
    # UD's citation is a handle, which has no date.
    unknown = 'Property "https://schema.org/datePublished" is recommended, but does not exist.'
    others = [warning for warning in issues.warnings if task != "udpos" or unknown not in warning]
    assert not issues.errors and not others, (issues.errors, others)
    assert dataset.metadata.creators or task == "udpos"
    print(task, sum(1 for _ in dataset.records(split)))
card = ModelCard.load(f"{sys.argv[1]}/card.md")
results = card.data.eval_results
print("card", len(results), max(result.metric_value for result in results if result.dataset_type == "xnli"))
"#;
    let output = std::process::Command::new(python).args(["-c", script, text(&out)]).output().unwrap();
    let said = support::said(&output);
    assert_eq!(said.code, 0, "{}", said.err);
    let count = |task: &str, split: &str| {
        trestle.query(&format!("SELECT COUNT(*) AS n FROM canonical_{task} WHERE split = '{split}'"))[0]["n"]
            .to_string()
    };
    for (task, split) in [("xnli", "test"), ("xquad", "test"), ("udpos", "train")] {
        assert!(said.out.contains(&format!("{task} {}\n", count(task, split))), "{}", said.out);
    }
    let scores =
        trestle.query("SELECT target, value FROM scores WHERE row = 'mnli' AND (layer IS NULL OR layer = 1) AND metric NOT LIKE 'mean of %'");
    let best = scores.iter().filter(|row| row["target"] == "xnli").map(|row| row["value"].as_f64().unwrap());
    let card = format!("card {} {:?}", scores.len(), best.fold(0.0, f64::max));
    assert!(said.out.contains(&card), "{card}: {}", said.out);
}
