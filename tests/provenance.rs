//! Numbers and where they come from, through the binary.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::Float64Type;
use serde_json::Value;
use support::Trestle;
use trestle::shard::{read_table, write_table};

#[test]
fn a_number_leads_back_to_everything_it_was_made_from() {
    let trestle = Trestle::tiny();
    let told: Value = trestle.ok(&["explain", "tiny/xquad/mnli/seed-1/de/f1", "--json"]).json();
    let scores = told["scores"].as_array().unwrap();
    assert_eq!(scores.len(), 1);
    let same = trestle.query(
        "SELECT value, score_key FROM scores WHERE target = 'xquad' AND row = 'mnli' AND language = 'de' AND metric = 'f1'",
    );
    assert_eq!((&scores[0]["value"], &told["made_from"][0]["key"]), (&same[0]["value"], &same[0]["score_key"]));
    let steps = told["made_from"].as_array().unwrap();
    let labels: Vec<&str> = steps.iter().map(|step| step["label"].as_str().unwrap()).collect();
    for wanted in [
        "predict/xquad/mnli/seed-1",
        "target/xquad/mnli/seed-1",
        "intermediate/mnli/seed-1",
        "pretrain",
        "tokenizer",
        "normalize/squad_v1",
        "generate/squad-1.1",
    ] {
        assert!(labels.contains(&format!("tiny:{wanted}").as_str()), "{wanted}: {labels:?}");
    }
    // Every input of a step is a step, or comes from outside.
    let keys: Vec<&Value> = steps.iter().map(|step| &step["key"]).collect();
    for origin in steps.iter().flat_map(|step| step["made_from"].as_array().unwrap()) {
        assert!(origin["key"].is_null() || keys.contains(&&origin["key"]), "{origin}");
    }
    let tree = trestle.ok(&["explain", "tiny/xquad/mnli/de"]).out;
    assert!(tree.contains("model: train") && tree.contains("phase: pretrain") && tree.contains("(above)"), "{tree}");
    // A score's key shows the same tree.
    let key = same[0]["score_key"].as_str().unwrap();
    let by_key = trestle.ok(&["explain", &key[..16]]).out;
    assert!(tree.ends_with(&by_key), "{by_key}");
    let layer = trestle.ok(&["explain", "tiny/tatoeba/none/non-english@1"]).out;
    assert!(layer.contains("non-english"), "{layer}");

    for (name, says) in [
        ("tinny/xquad/mnli", "no study `tinny` in results; there is: tiny"),
        ("tiny/xqad/mnli", "no target `xqad` in results; there is: tatoeba, udpos, xnli, xquad"),
        ("tiny/xquad", "which row?; there is: chance, mnli, multi, none"),
        ("tiny/xquad/mnli/seed-4", "no seed `seed-4` in results; there is: seed-1"),
        ("tiny/xquad/mnli/sw", "no language, group or metric `sw` in results; there is: de, en, zh, all, "),
        ("tiny/xquad/mnli/de/non-english/f1", "one language or group at most, not `de` and `non-english`; leave one"),
        ("tiny/xquad/mnli/de/zh", "one language or group at most, not `de` and `zh`; leave one of them out"),
        ("tiny/xquad/mnli/f1/de/exact_match", "one metric at most, not `f1` and `exact_match`; leave one of them out"),
        (
            "tiny/tatoeba/none/de@x",
            "the layer of a score row, after its `@`, must be a number, not `x`; there is: 0, 1",
        ),
        ("tiny/xquad/mnli/de@", "must be a number, not ``; there is: none"),
        ("tiny/tatoeba/none@9", "no layer `9` in results; there is: 0, 1"),
    ] {
        let said = trestle.run(&["explain", name]);
        assert_eq!(said.code, 3, "{name}");
        assert!(said.err.contains(says), "{name}: {}", said.err);
    }
}

#[test]
fn rescoring_finds_one_changed_value() {
    let trestle = Trestle::tiny();
    let told: Value = trestle.ok(&["rescore", "--json"]).json();
    let all = told.as_array().unwrap();
    assert_eq!(all.len(), trestle.artifacts("score").len());
    assert!(all.iter().all(|one| one["outcome"] == "equal"), "{told}");
    let said = trestle.ok(&["rescore", "tiny"]);
    assert!(said.out.contains("16 the same") && said.out.contains(" 0 different"), "{}", said.out);
    assert_eq!(trestle.run(&["rescore", "mini"]).code, 5, "a study without results");

    // One value, by its last bit.
    let dir = trestle.artifacts("score").remove(0);
    let path = dir.join("scores.parquet");
    let whole = std::fs::read(&path).unwrap();
    let (schema, batches) = read_table(&path).unwrap();
    let values: Vec<f64> = batches[0]["value"].as_primitive::<Float64Type>().values().to_vec();
    let mut changed = values.clone();
    changed[1] = f64::from_bits(changed[1].to_bits() ^ 1);
    let place = schema.index_of("value").unwrap();
    let mut columns: Vec<ArrayRef> = batches[0].columns().to_vec();
    columns[place] = Arc::new(Float64Array::from(changed.clone()));
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    write_table(&path, &schema, &[], &[batch]).unwrap();
    let said = trestle.run(&["rescore"]);
    assert_eq!(said.code, 9, "{}", said.out);
    let line = format!("scores.parquet row 1 value: stored {:?}, recomputed {:?}", changed[1], values[1]);
    assert!(said.out.contains(&line) && said.out.contains("1 differences"), "{line}\n{}", said.out);
    std::fs::write(&path, whole).unwrap();
    trestle.ok(&["rescore"]);

    // Predictions of one score that can't be read: the others are compared all the same.
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let input = &manifest["inputs"]["predictions"];
    let (stage, key) = (input["stage"].as_str().unwrap(), input["key"].as_str().unwrap());
    let predictions = trestle.home().join("artifacts").join(stage).join(key);
    let mut languages = std::fs::read_dir(&predictions).unwrap().map(|entry| entry.unwrap().path());
    let file = languages.find(|path| path.is_dir()).unwrap().join("part-00000.parquet");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, "garbage").unwrap();
    let said = trestle.run(&["rescore"]);
    assert_eq!(said.code, 9, "{}{}", said.out, said.err);
    let line = said.out.lines().find(|line| line.contains("can't be scored: ")).unwrap_or_default();
    assert!(line.contains(&file.display().to_string()) && said.out.contains("15 the same"), "{}", said.out);
    let told: Value = trestle.run(&["rescore", "--json"]).json();
    let unscorable: Vec<&Value> =
        told.as_array().unwrap().iter().filter(|one| one["outcome"] == "unscorable").collect();
    assert_eq!(unscorable.len(), 1);
    assert_eq!(unscorable[0]["label"], manifest["label"]);
    std::fs::write(&file, whole).unwrap();

    // Predictions that are gone.
    std::fs::remove_dir_all(predictions).unwrap();
    let said = trestle.run(&["rescore"]);
    assert_eq!(said.code, 5, "{}", said.out);
    assert!(said.out.contains(&format!("its predictions ({stage} {}) is gone", &key[..12])), "{}", said.out);
}

#[test]
fn an_import_without_scores_takes_the_place_of_none() {
    let trestle = Trestle::tiny();
    let out = |row: &str| trestle.dir.path().join(row).to_str().unwrap().to_owned();
    let import = |row: &str, name: &str| {
        let folder = format!("{}/predictions", out(row));
        trestle.ok(&["import", "predictions", &folder, "--name", name, "--task", "xnli"]);
    };
    for row in ["mnli", "chance"] {
        trestle.ok(&["export", "submission", "tiny", "--row", row, "--output", &out(row)]);
    }
    let keys = || -> Vec<Value> {
        let sql = "SELECT DISTINCT predict_key FROM runs WHERE study = 'imported' AND row = 'copy'";
        trestle.query(sql)
    };
    import("mnli", "copy");
    let first = keys();
    import("chance", "copy");
    let second = keys();
    assert!(first.len() == 1 && second.len() == 1 && first != second);
    // As if the second had been interrupted before its scores were there.
    let of_second = |dir: &std::path::PathBuf| {
        let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
        manifest["inputs"]["predictions"]["key"] == second[0]["predict_key"]
    };
    let scores: Vec<_> = trestle.artifacts("score").into_iter().filter(of_second).collect();
    assert_eq!(scores.len(), 1);
    std::fs::remove_dir_all(&scores[0]).unwrap();
    import("mnli", "other");
    assert_eq!(keys(), first);
}

#[test]
fn an_import_says_what_its_gold_was() {
    let trestle = Trestle::new();
    trestle.ok(&["normalize", "--task", "xnli", "--edition", "mini", "--limit", "test=5", "--quiet"]);
    let folder = trestle.dir.path().join("system/xnli");
    std::fs::create_dir_all(&folder).unwrap();
    for row in trestle.query("SELECT DISTINCT language FROM canonical_xnli WHERE split = 'test'") {
        let name = format!("test-{}.tsv", row["language"].as_str().unwrap());
        std::fs::write(folder.join(name), "neutral\n".repeat(5)).unwrap();
    }
    let folder = folder.parent().unwrap().to_str().unwrap().to_owned();
    trestle.ok(&["import", "predictions", &folder, "--name", "theirs", "--task", "xnli"]);
    let page = trestle.ok(&["report", "imported", "--format", "html"]).out;
    assert!(page.contains("no: another world (mini edition)") && page.contains("Splits are cut to"), "{page}");
    assert!(page.contains("<dt>Systems</dt><dd>theirs</dd>") && !page.contains("no intermediate training"), "{page}");
    assert!(page.contains(">System by target<"), "{page}");
}
