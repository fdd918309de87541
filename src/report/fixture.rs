//! A small study with made-up numbers, as files that stages would have written: three rows (the baseline, `none`,
//! `mnli`), three targets, two seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Float64Builder, Int32Array, ListBuilder, RecordBatch,
    StringArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field};
use serde_json::json;

use super::{CHANCE, Cell, DataTable, StudyResults};
use crate::audit::{self, Overlap, Profile, TokenProfile};
use crate::schema;
use crate::shard;
use crate::task::{Split, Study};

const STUDY: &str = r#"
id = "small"
title = "A <small> study & its \"numbers\""
edition = "mini"
model = "tiny"
seeds = [1, 2]
order = ["none", "mnli"]
targets = ["xnli", "xquad", "tatoeba"]
[mini]
size = 0.1
parallel_share = 0.2
code_switched_share = 0.3
[intermediate]
none = []
mnli = ["mnli"]
[pretrain]
task = "text"
[defaults]
learning_rate = 1e-3
"#;

/// The made-up number of a row, seed and language: `none` has 60, 50, 40 in en, de, sw with seed 1, `mnli` 6 more, the
/// baseline 33; seed 2 is 2 better.
pub fn value(row: &str, seed: u64, language: &str) -> f64 {
    let base = match language {
        "en" => 60.0,
        "de" => 50.0,
        _ => 40.0,
    };
    let of_row = match row {
        CHANCE => return 33.0,
        "none" => 0.0,
        _ => 6.0,
    };
    base + of_row + 2.0 * (seed as f64 - 1.0)
}

/// Half the width of every interval of a mean over languages.
pub const HALF_WIDTH: f64 = 1.5;

/// One line of the fixture's scores: metric, layer and what is added to [`value`].
type Line = (&'static str, Option<i32>, f64);

fn lines(target: &str, row: &str) -> Vec<Line> {
    match target {
        "xnli" => vec![("accuracy", None, 0.0)],
        "xquad" => vec![("f1", None, 0.0), ("exact_match", None, -10.0), ("mean of f1 and exact_match", None, -5.0)],
        _ if row == CHANCE => vec![("accuracy", None, 0.0)],
        _ => vec![("accuracy", Some(1), -20.0), ("accuracy", Some(2), 0.0)],
    }
}

fn write(path: &Path, table: &str, columns: Vec<ArrayRef>) {
    let table = schema::table(table);
    let batch = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    shard::write_table(path, &table.schema, &[], &[batch]).unwrap();
}

fn text<T: AsRef<str>>(values: impl IntoIterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// `mean` where there is a layer.
fn poolings(layers: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(layers.map(|layer| layer.map(|_| "mean")).collect::<StringArray>())
}

fn write_scores(path: &Path, target: &str, row: &str, seed: u64, languages: &[&str]) {
    let mut rows = Vec::new();
    for (metric, layer, shift) in lines(target, row) {
        rows.extend(languages.iter().map(|l| (*l, metric, layer, value(row, seed, l) + shift)));
    }
    let values: Vec<f64> = rows.iter().map(|r| r.3).collect();
    write(
        path,
        "scores",
        vec![
            text(rows.iter().map(|_| target)),
            text(rows.iter().map(|_| "test")),
            text(rows.iter().map(|r| r.0)),
            Arc::new(Int32Array::from_iter(rows.iter().map(|r| r.2))),
            poolings(rows.iter().map(|r| r.2)),
            text(rows.iter().map(|r| r.1)),
            Arc::new(Float64Array::from(values.clone())),
            Arc::new(Float64Array::from_iter_values(values.iter().map(|v| v - 2.0))),
            Arc::new(Float64Array::from_iter_values(values.iter().map(|v| v + 2.0))),
            Arc::new(UInt32Array::from(vec![100; rows.len()])),
            Arc::new(Float64Array::new_null(rows.len())),
        ],
    );
}

fn write_summaries(path: &Path, target: &str, row: &str, seed: u64, languages: &[&str]) {
    let mut rows = Vec::new();
    for (metric, layer, shift) in lines(target, row) {
        for group in ["all", "english", "non-english"] {
            let of_group: Vec<f64> = languages
                .iter()
                .filter(|l| group == "all" || (**l == "en") == (group == "english"))
                .map(|l| value(row, seed, l) + shift)
                .collect();
            if !of_group.is_empty() {
                let mean = of_group.iter().sum::<f64>() / of_group.len() as f64;
                rows.push((group, metric, layer, mean, of_group.len() as u32));
            }
        }
        let single = |code: &str| value(row, seed, code) + shift;
        for (group, code) in [("family=Niger-Congo", "sw"), ("resource=high", "de"), ("resource=low", "sw")] {
            rows.push((group, metric, layer, single(code), 1));
        }
        if languages.contains(&"en") {
            rows.push(("family=Indo-European", metric, layer, f64::midpoint(single("en"), single("de")), 2));
            let gap = single("en") - f64::midpoint(single("de"), single("sw"));
            rows.push(("english-gap", metric, layer, gap, 3));
        } else {
            rows.push(("family=Indo-European", metric, layer, single("de"), 1));
        }
    }
    write(
        path,
        "summaries",
        vec![
            text(rows.iter().map(|_| target)),
            text(rows.iter().map(|_| "test")),
            Arc::new(Int32Array::from_iter(rows.iter().map(|r| r.2))),
            poolings(rows.iter().map(|r| r.2)),
            text(rows.iter().map(|r| r.1)),
            text(rows.iter().map(|r| r.0)),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|r| r.4))),
            text(rows.iter().map(|_| "")),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.3))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.3 - HALF_WIDTH))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.3 + HALF_WIDTH))),
        ],
    );
}

fn write_predictions(path: &Path, target: &str, language: &str) {
    write(
        path,
        "predictions",
        vec![
            text([target; 2]),
            text(["test"; 2]),
            text([language; 2]),
            text(["0", "1"]),
            Arc::new(Int32Array::new_null(2)),
            Arc::new(StringArray::new_null(2)),
            Arc::new(Int32Array::new_null(2)),
            text(["entailment", "neutral"]),
            Arc::new(Float32Array::from(vec![0.5, 0.9])),
            Arc::new(StringArray::new_null(2)),
            Arc::new(Float32Array::new_null(2)),
        ],
    );
}

/// Two examples a language, one of them right.
fn write_example_scores(path: &Path, target: &str, languages: &[&str]) {
    let rows: Vec<(&str, &str)> = languages.iter().flat_map(|language| [(*language, "0"), (*language, "1")]).collect();
    let item = Field::new("item", DataType::Float64, false);
    let mut statistics = ListBuilder::new(Float64Builder::new()).with_field(item);
    for (_, id) in &rows {
        let right = if *id == "0" { 1.0 } else { 0.0 };
        statistics.values().append_slice(&[right, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        statistics.append(true);
    }
    write(
        path,
        "example-scores",
        vec![
            text(rows.iter().map(|_| target)),
            text(rows.iter().map(|_| "test")),
            text(rows.iter().map(|row| row.0)),
            Arc::new(Int32Array::new_null(rows.len())),
            Arc::new(StringArray::new_null(rows.len())),
            text(rows.iter().map(|row| row.1)),
            Arc::new(statistics.finish()),
        ],
    );
}

/// Forty steps; where `validated`, evaluations at steps 20 and 40 with scores 0.5 and 0.7.
fn write_log(path: &Path, task: &str, start: f32, validated: bool) {
    // Step, and the score of an evaluation.
    let mut rows: Vec<(u32, Option<f64>)> = (1..=40).map(|step| (step, None)).collect();
    if validated {
        rows.extend([(20, Some(0.5)), (40, Some(0.7))]);
    }
    let of_step = |value: &dyn Fn(u32) -> f32| {
        let values = rows.iter().map(|(step, score)| if score.is_none() { Some(value(*step)) } else { None });
        Arc::new(values.collect::<Float32Array>()) as ArrayRef
    };
    let whole = |value: u32| {
        let values = rows.iter().map(|(_, score)| if score.is_none() { Some(value) } else { None });
        Arc::new(values.collect::<UInt32Array>()) as ArrayRef
    };
    let rates = rows.iter().map(|(_, score)| if score.is_none() { Some(1e-3) } else { None });
    write(
        path,
        "training-log",
        vec![
            text(vec![task; rows.len()]),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.0))),
            of_step(&|step| start / (step as f32).sqrt()),
            Arc::new(rates.collect::<Float64Array>()),
            of_step(&|_| 1.0),
            whole(512),
            whole(1),
            Arc::new(Float32Array::new_null(rows.len())),
            Arc::new(rows.iter().map(|row| row.1.map(|_| "accuracy")).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
        ],
    );
}

/// The training logs of a cell, written where no cell before it has.
fn logs(dir: &Path, target: &str, row: &str, seed: u64) -> Vec<(String, PathBuf)> {
    let mut logs = vec![("pretrain", dir.join("text.parquet"), "text", 6.0)];
    if row != "none" {
        logs.push(("intermediate", dir.join(format!("{row}-{seed}.parquet")), "mnli", 1.1));
    }
    if target != "tatoeba" {
        logs.push(("target", dir.join(format!("{target}-{row}-{seed}.parquet")), target, 1.2));
    }
    logs.into_iter()
        .map(|(phase, path, task, start)| {
            if !path.exists() {
                write_log(&path, task, start, phase != "pretrain");
            }
            (phase.to_owned(), path)
        })
        .collect()
}

/// The trainings behind a cell as its parameters tell them.
fn trainings(target: &str, row: &str, seed: u64) -> serde_json::Value {
    let training = |key: String, task: &str| json!({"key": key, "parameters": {"tasks": [task], "learning_rate": 0.001}, "statistics": {"steps": 40}});
    let mut all = serde_json::Map::new();
    if row == CHANCE {
        return all.into();
    }
    all.insert("pretrain".to_owned(), training("0-text".to_owned(), "text"));
    if row != "none" {
        all.insert("intermediate".to_owned(), training(format!("{seed}-{row}"), row));
    }
    if target != "tatoeba" {
        all.insert("target".to_owned(), training(format!("{seed}-{row}-{target}"), target));
    }
    all.into()
}

/// The row `mnli` against `none`: 6 points better everywhere, of which retrieval can't be sure.
fn write_comparisons(dir: &Path) -> DataTable {
    let targets = [("xnli", "accuracy"), ("xquad", "mean of f1 and exact_match"), ("tatoeba", "accuracy")];
    let scopes = ["de", "sw", "non-english"];
    let rows: Vec<_> = targets.iter().flat_map(|target| scopes.map(|scope| (target, scope))).collect();
    let unsure = |(target, _): &(&(&str, &str), &str)| target.0 == "tatoeba";
    let numbers = |sure: f64, not: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| if unsure(row) { not } else { sure })))
    };
    let path = dir.join("analyze/comparisons.parquet");
    write(
        &path,
        "comparisons",
        vec![
            text(rows.iter().map(|row| row.0.0)),
            text(rows.iter().map(|_| "mnli")),
            text(rows.iter().map(|_| "none")),
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| unsure(row).then_some(2)))),
            Arc::new(rows.iter().map(|row| unsure(row).then_some("mean")).collect::<StringArray>()),
            text(rows.iter().map(|row| row.0.1)),
            text(rows.iter().map(|row| row.1)),
            Arc::new(UInt32Array::from(vec![2; rows.len()])),
            Arc::new(UInt32Array::from(vec![200; rows.len()])),
            numbers(6.0, 6.0),
            numbers(4.5, -1.0),
            numbers(7.5, 13.0),
            numbers(0.001, 0.09),
            numbers(0.003, 0.09),
            numbers(2.0, 9.0),
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(!unsure(row))))),
            text(rows.iter().map(|_| "made up")),
        ],
    );
    DataTable { key: "analyze".to_owned(), path }
}

/// Profiles of mnli (not tokenised) and xnli (tokenised), and two overlaps.
fn data_tables(dir: &Path) -> (BTreeMap<String, DataTable>, DataTable) {
    let profile = |task: &str, split: Split, language: &str, labels: &[(&str, u64)], tokens_per_word: Option<f64>| {
        let tokens = tokens_per_word.map(|tokens_per_word| TokenProfile {
            instances: 10,
            tokens: 100,
            tokens_per_word,
            unknown_share: 0.01,
            truncated_share: 0.1,
        });
        Profile {
            task: task.to_owned(),
            split,
            language: language.to_owned(),
            examples: 10,
            words: 80,
            characters: 400,
            length_mean: 40.0,
            length_median: 39,
            length_p95: 80,
            length_max: 90,
            duplicates: 0,
            labels: labels.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect(),
            answerable_share: None,
            tokens,
        }
    };
    let mnli = [
        profile("mnli", Split::Train, "en", &[("entailment", 6), ("neutral", 4)], None),
        profile("mnli", Split::Validation, "en", &[("entailment", 10)], None),
    ];
    let xnli = [("de", 1.5), ("en", 1.25), ("sw", 2.0)]
        .map(|(language, value)| profile("xnli", Split::Test, language, &[("neutral", 10)], Some(value)));
    let mut profiles = BTreeMap::new();
    for (task, rows) in [("mnli", &mnli[..]), ("xnli", &xnli)] {
        let path = dir.join(format!("profile-{task}/profiles.parquet"));
        shard::write_table(&path, &schema::table("profiles").schema, &[], &[audit::profile_rows(rows)]).unwrap();
        profiles.insert(task.to_owned(), DataTable { key: format!("profile-{task}"), path });
    }
    let overlap = |source: &str, task: &str, found| Overlap {
        source_task: source.to_owned(),
        source_split: Split::Train,
        task: task.to_owned(),
        split: Split::Test,
        language: "en".to_owned(),
        field: "example".to_owned(),
        kind: "exact".to_owned(),
        compared: 100,
        found,
        example: None,
    };
    let rows = [overlap("mnli", "xnli", 1), overlap("mnli", "xquad", 0), overlap("squad_v1", "xquad", 50)];
    let path = dir.join("overlap/overlap.parquet");
    shard::write_table(&path, &schema::table("overlap").schema, &[], &[audit::overlap_rows(&rows)]).unwrap();
    (profiles, DataTable { key: "overlap".to_owned(), path })
}

/// The rows `none` and `mnli` over their two seeds, on two targets.
fn write_aggregates(dir: &Path) -> DataTable {
    let metric = |target| if target == "xquad" { "mean of f1 and exact_match" } else { "accuracy" };
    let mut rows = Vec::new();
    for (row, shift) in [("none", 0.0), ("mnli", 6.0)] {
        rows.extend([("xnli", row, 46.0 + shift), ("xquad", row, 41.0 + shift)]);
    }
    let number = |shift: f64| Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.2 + shift))) as ArrayRef;
    let aggregates = dir.join("analyze/aggregates.parquet");
    write(
        &aggregates,
        "aggregates",
        vec![
            text(rows.iter().map(|r| r.0)),
            text(rows.iter().map(|r| r.1)),
            Arc::new(Int32Array::new_null(rows.len())),
            Arc::new(StringArray::new_null(rows.len())),
            text(rows.iter().map(|r| metric(r.0))),
            text(rows.iter().map(|_| "non-english")),
            Arc::new(UInt32Array::from(vec![2; rows.len()])),
            number(0.0),
            number(0.0),
            Arc::new(Float64Array::from(vec![2f64.sqrt(); rows.len()])),
            number(1.0),
            Arc::new(UInt64Array::from(vec![2; rows.len()])),
            text(rows.iter().map(|_| "")),
        ],
    );
    DataTable { key: "analyze".to_owned(), path: aggregates }
}

/// Gives all means of a cell's summaries a list of languages that they lack, in a file beside.
pub fn lacks(summaries: &mut PathBuf, languages: &str) {
    let table = schema::table("summaries");
    let (_, batches) = shard::read_table(summaries).unwrap();
    let mut columns = batches[0].columns().to_vec();
    columns[table.schema.index_of("missing").unwrap()] = text(vec![languages; batches[0].num_rows()]);
    *summaries = summaries.with_extension("lacking.parquet");
    write(summaries, "summaries", columns);
}

/// Writes the study's files below `dir`.
pub fn results(dir: &Path) -> StudyResults {
    let study = Study::parse(STUDY, "small.toml").unwrap();
    let mut cells = Vec::new();
    for target in &study.targets {
        let languages: &[&str] = if target == "tatoeba" { &["de", "sw"] } else { &["de", "en", "sw"] };
        let metric: &'static [&'static str] = if target == "xquad" { &["f1", "exact_match"] } else { &["accuracy"] };
        for (row, seed) in [("mnli", 2), ("mnli", 1), (CHANCE, 0), ("none", 1), ("none", 2)] {
            let name = format!("{target}-{row}-{seed}");
            let folder = dir.join(&name);
            let (scores, summaries) = (folder.join("scores.parquet"), folder.join("summaries.parquet"));
            let example_scores = folder.join("example-scores.parquet");
            write_example_scores(&example_scores, target, languages);
            write_scores(&scores, target, row, seed, languages);
            write_summaries(&summaries, target, row, seed, languages);
            let mut predictions = Vec::new();
            for language in languages {
                let path = folder.join(format!("language={language}")).join(shard::PART);
                write_predictions(&path, target, language);
                predictions.push(((*language).to_owned(), path));
            }
            let baseline = row == CHANCE;
            cells.push(Cell {
                study: study.id.clone(),
                target: target.clone(),
                row: row.to_owned(),
                seed,
                metric,
                edition: Some(study.edition),
                layer: (target == "tatoeba" && !baseline).then_some(2),
                scores,
                summaries,
                example_scores,
                predictions,
                training_logs: if baseline { Vec::new() } else { logs(dir, target, row, seed) },
                predict_key: format!("predict-{name}"),
                score_key: format!("score-{name}"),
                model_key: if baseline { String::new() } else { format!("model-{name}") },
                tokenizer_digest: if baseline { String::new() } else { "tokenizer".to_owned() },
                data_keys: BTreeMap::from([("canonical".to_owned(), format!("normalize-{target}"))]),
                parameters: json!({"score": {"resamples": 1000}, "trainings": trainings(target, row, seed)}),
            });
        }
    }
    let (profiles, overlap) = data_tables(dir);
    let (comparisons, aggregates) = (Some(write_comparisons(dir)), None);
    let code_version = "0.1.0".to_owned();
    StudyResults { study, profiles, overlap: Some(overlap), comparisons, aggregates, cells, code_version }
}

/// The same study with what its rows reach over their seeds.
pub fn aggregated(dir: &Path) -> StudyResults {
    StudyResults { aggregates: Some(write_aggregates(dir)), ..results(dir) }
}
