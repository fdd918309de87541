//! The arms of a study through the binary: shared heads, masked LM in the intermediate phase, questions without an answer, a
//! trimmed vocabulary.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use support::Trestle;

/// The manifests of a study's models, or other artifacts of `stage`, by label.
fn artifacts(trestle: &Trestle, study: &str, stage: &str) -> BTreeMap<String, Value> {
    let of = |manifest: Value| {
        let label = manifest["label"].as_str()?.strip_prefix(&format!("{study}:"))?.to_owned();
        (manifest["stage"] == stage).then_some((label, manifest))
    };
    trestle.manifests().into_iter().filter_map(of).collect()
}

fn directory(trestle: &Trestle, manifest: &Value) -> PathBuf {
    let of = |name: &str| manifest[name].as_str().unwrap();
    trestle.home().join("artifacts").join(of("stage")).join(of("key"))
}

fn column(trestle: &Trestle, sql: &str) -> Vec<String> {
    trestle.ok(&["query", sql, "--format", "csv"]).out.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn the_arms_of_a_study_run_and_a_trimmed_vocabulary_changes_no_byte() {
    let (trimmed, whole) = (Trestle::new(), Trestle::new());
    let said = trimmed.ok(&["run", "tiny-arms", "--device", "flex", "--workers", "2"]);
    whole.ok(&["run", "tiny-untrimmed", "--device", "flex", "--workers", "2"]);

    // The same models but for the parameter in their keys.
    let (models, twins) = (artifacts(&trimmed, "tiny-arms", "train"), artifacts(&whole, "tiny-untrimmed", "train"));
    assert!(models.len() > 6 && models.keys().eq(twins.keys()), "{models:?}");
    for (label, model) in &models {
        assert_eq!(model["files"], twins[label]["files"], "{label}");
    }

    // One head answers for both NLI tasks; text moves every row, and keeps the head that it was pretrained with.
    let heads = |label: &str| -> Value {
        let path = directory(&trimmed, &models[label]).join("heads.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let nli = heads("intermediate/nli/seed-1");
    assert_eq!((nli[0]["task"].as_str(), nli[0]["shared_by"].to_string()), (Some("nli"), r#"["mnli","snli"]"#.into()));
    assert_eq!(nli[1]["task"], "commonsenseqa");
    assert_eq!(heads("intermediate/nli_mlm/seed-1")[1]["kind"], "masked-lm");
    let new = models["intermediate/nli_mlm/seed-1"]["statistics"]["new_parameters"].to_string();
    assert!(new.contains("nli/classifier") && !new.contains("lm_head"), "{new}");
    let instances = models["intermediate/nli_mlm/seed-1"]["statistics"]["instances"].to_string();
    assert!(instances.contains(r#"["text",200]"#), "two languages of 100 lines each: {instances}");

    // A question may have no answer; the difference decides, and a metric knows both.
    let rows = "FROM predictions WHERE target = 'squad_v2' AND row = 'nli'";
    let count = |condition: &str| column(&trimmed, &format!("SELECT COUNT(*) AS n {rows} AND {condition}"))[0].clone();
    assert_ne!(count("prediction = ''"), "0");
    assert_eq!(count("prediction = '' AND NOT null_score_difference > 0.0"), "0");
    assert_eq!(count("prediction <> '' AND null_score_difference > 0.0"), "0");
    assert_eq!(count("null_score_difference IS NULL"), "0");
    let others = "SELECT COUNT(*) AS n FROM predictions WHERE target = 'xnli' AND null_score_difference IS NOT NULL";
    assert_eq!(column(&trimmed, others), ["0"]);
    let scored = "SELECT value FROM scores WHERE target = 'squad_v2' AND metric = 'f1' AND row = 'nli_mlm'";
    assert_eq!(column(&trimmed, scored).len(), 1);
    assert!(said.out.contains("squad_v2"), "{}", said.out);
}

#[test]
fn what_makes_no_arm_is_refused_before_anything_runs() {
    let trestle = Trestle::new();
    let folder = trestle.dir.path().join("more/studies");
    std::fs::create_dir_all(&folder).unwrap();
    let good = std::fs::read_to_string(support::fixtures().join("studies/tiny-arms.toml")).unwrap();
    let plan = |from: &str, to: &str| {
        let text = good.replace("id = \"tiny-arms\"", "id = \"wrong\"").replace(from, to);
        std::fs::write(folder.join("wrong.toml"), text).unwrap();
        let said = trestle.run(&["plan", "wrong", "--tasks", folder.parent().unwrap().to_str().unwrap()]);
        assert_eq!(said.code, 3, "{}", said.err);
        said.err
    };
    let heads = plan("nli = [\"mnli\", \"snli\", \"anli_r1\"]", "nli = [\"mnli\", \"commonsenseqa\"]");
    assert!(heads.contains("can't share head `nli`: they differ in format or labels"), "{heads}");
    let limits = plan("[task_limits.text]", "[task_limits.txet]");
    assert!(limits.contains("txet"), "{limits}");
    let target = plan("\"squad_v2\"]", "\"text\"]");
    assert!(target.contains("`text` against its role"), "{target}");
}
