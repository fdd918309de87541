//! A small study with made-up numbers, as files that stages would have written: three rows (the baseline, `none`,
//! `mnli`), three targets, two seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CHANCE, Cell, ResultsTable, StudyFile, StudyResults};
use crate::audit::{Labels, Overlap, Profile, TokenProfile};
use crate::evaluate::{AggregateRow, ComparisonRow, ExampleScoreRow, PredictionRow, ScoreRow, Setting, SummaryRow};
use crate::schema::TableRow;
use crate::shard;
use crate::task::{Coordinates, Split, Study};
use crate::train::LogRow;

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

fn write<'a, R: TableRow<'a>>(path: &Path, rows: &[R]) {
    shard::write_rows(path, &[], rows).unwrap();
}

/// `mean` where there is a layer.
fn setting(layer: Option<i32>) -> Setting {
    Setting { layer, pooling: layer.map(|_| "mean".to_owned()) }
}

fn write_scores(path: &Path, target: &str, row: &str, seed: u64, languages: &[&str]) {
    let mut rows = Vec::new();
    for (metric, layer, shift) in lines(target, row) {
        rows.extend(languages.iter().map(|language| {
            let value = value(row, seed, language) + shift;
            ScoreRow {
                task: target.to_owned(),
                split: "test".to_owned(),
                language: (*language).to_owned(),
                setting: setting(layer),
                metric: metric.to_owned(),
                value,
                ci_low: value - 2.0,
                ci_high: value + 2.0,
                examples: 100,
                threshold: None,
            }
        }));
    }
    write(path, &rows);
}

fn write_summaries(path: &Path, target: &str, row: &str, seed: u64, languages: &[&str]) {
    let mut rows = Vec::new();
    for (metric, layer, shift) in lines(target, row) {
        let mut add = |group: &str, value: f64, languages: u32| {
            rows.push(SummaryRow {
                task: target.to_owned(),
                split: "test".to_owned(),
                setting: setting(layer),
                metric: metric.to_owned(),
                group: group.to_owned(),
                languages,
                missing: String::new(),
                value,
                ci_low: value - HALF_WIDTH,
                ci_high: value + HALF_WIDTH,
            });
        };
        for group in ["all", "english", "non-english"] {
            let of_group: Vec<f64> = languages
                .iter()
                .filter(|l| group == "all" || (**l == "en") == (group == "english"))
                .map(|l| value(row, seed, l) + shift)
                .collect();
            if !of_group.is_empty() {
                let mean = of_group.iter().sum::<f64>() / of_group.len() as f64;
                add(group, mean, of_group.len() as u32);
            }
        }
        let single = |code: &str| value(row, seed, code) + shift;
        for (group, code) in [("family=Niger-Congo", "sw"), ("resource=high", "de"), ("resource=low", "sw")] {
            add(group, single(code), 1);
        }
        if languages.contains(&"en") {
            add("family=Indo-European", f64::midpoint(single("en"), single("de")), 2);
            add("english-gap", single("en") - f64::midpoint(single("de"), single("sw")), 3);
        } else {
            add("family=Indo-European", single("de"), 1);
        }
    }
    write(path, &rows);
}

fn write_predictions(path: &Path, target: &str, language: &str) {
    let rows = [("0", "entailment", 0.5), ("1", "neutral", 0.9)];
    let rows = rows.map(|(example_id, prediction, confidence)| PredictionRow {
        task: target,
        split: "test",
        language,
        example_id,
        setting: Setting::default(),
        rank: None,
        prediction,
        confidence,
        best_span: None,
        null_score_difference: None,
    });
    write(path, &rows);
}

/// Two examples a language, one of them right.
fn write_example_scores(path: &Path, target: &str, languages: &[&str]) {
    let examples = languages.iter().flat_map(|language| [(*language, "0", 1.0), (*language, "1", 0.0)]);
    let rows: Vec<ExampleScoreRow<'_>> = examples
        .map(|(language, example_id, right)| ExampleScoreRow {
            task: target,
            split: "test",
            language,
            setting: Setting::default(),
            example_id,
            statistics: vec![right, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        })
        .collect();
    write(path, &rows);
}

/// Forty steps; where `validated`, evaluations at steps 20 and 40 with scores 0.5 and 0.7.
fn write_log(path: &Path, task: &str, start: f32, validated: bool) {
    let step = |step: u32| LogRow {
        task,
        step,
        loss: Some(start / (step as f32).sqrt()),
        learning_rate: Some(1e-3),
        gradient_norm: Some(1.0),
        tokens: Some(512),
        micro_batches: Some(1),
        loss_scale: None,
        metric: None,
        value: None,
    };
    let evaluation = |(step, score): (u32, f64)| LogRow {
        task,
        step,
        loss: None,
        learning_rate: None,
        gradient_norm: None,
        tokens: None,
        micro_batches: None,
        loss_scale: None,
        metric: Some("accuracy"),
        value: Some(score),
    };
    let mut rows: Vec<LogRow<'_>> = (1..=40).map(step).collect();
    if validated {
        rows.extend([(20, 0.5), (40, 0.7)].map(evaluation));
    }
    write(path, &rows);
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
fn write_comparisons(dir: &Path) -> StudyFile {
    let mut rows = Vec::new();
    for (target, metric) in [("xnli", "accuracy"), ("xquad", "mean of f1 and exact_match"), ("tatoeba", "accuracy")] {
        let sure = target != "tatoeba";
        rows.extend(["de", "sw", "non-english"].map(|scope| ComparisonRow {
            target: target.to_owned(),
            row: "mnli".to_owned(),
            baseline: "none".to_owned(),
            setting: setting((!sure).then_some(2)),
            metric: metric.to_owned(),
            scope: scope.to_owned(),
            seeds: 2,
            examples: 200,
            difference: 6.0,
            ci_low: if sure { 4.5 } else { -1.0 },
            ci_high: if sure { 7.5 } else { 13.0 },
            p_value: if sure { 0.001 } else { 0.09 },
            p_adjusted: if sure { 0.003 } else { 0.09 },
            minimum_detectable: if sure { 2.0 } else { 9.0 },
            significant: sure,
            method: "made up".to_owned(),
        }));
    }
    let path = dir.join("analyze/comparisons.parquet");
    write(&path, &rows);
    StudyFile { key: "analyze".to_owned(), path }
}

/// Profiles of mnli (not tokenised) and xnli (tokenised), and two overlaps.
fn data_tables(dir: &Path) -> (Vec<StudyFile>, StudyFile) {
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
            labels: Labels(labels.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()),
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
    let mut profiles = Vec::new();
    for (task, rows) in [("mnli", &mnli[..]), ("xnli", &xnli)] {
        let path = dir.join(format!("profile-{task}/profiles.parquet"));
        write(&path, rows);
        profiles.push(StudyFile { key: format!("profile-{task}"), path });
    }
    let overlap = |source: &str, task: &str, found: u64| Overlap {
        source_task: source.to_owned(),
        source_split: Split::Train,
        task: task.to_owned(),
        split: Split::Test,
        language: "en".to_owned(),
        field: "example".to_owned(),
        kind: "exact".to_owned(),
        compared: 100,
        found,
        share: found as f64 / 100.0,
        example: None,
    };
    let rows = [overlap("mnli", "xnli", 1), overlap("mnli", "xquad", 0), overlap("squad_v1", "xquad", 50)];
    let path = dir.join("overlap/overlap.parquet");
    write(&path, &rows);
    (profiles, StudyFile { key: "overlap".to_owned(), path })
}

/// The rows `none` and `mnli` over their two seeds, on two targets.
fn write_aggregates(dir: &Path) -> StudyFile {
    let mut rows = Vec::new();
    for (row, shift) in [("none", 0.0), ("mnli", 6.0)] {
        for (target, metric, mean) in [("xnli", "accuracy", 46.0), ("xquad", "mean of f1 and exact_match", 41.0)] {
            rows.push(AggregateRow {
                target: target.to_owned(),
                row: row.to_owned(),
                setting: Setting::default(),
                metric: metric.to_owned(),
                group: "non-english".to_owned(),
                seeds: 2,
                mean: mean + shift,
                median: mean + shift,
                standard_deviation: Some(2f64.sqrt()),
                best: mean + shift + 1.0,
                best_seed: 2,
                missing: String::new(),
            });
        }
    }
    let path = dir.join("analyze/aggregates.parquet");
    write(&path, &rows);
    StudyFile { key: "analyze".to_owned(), path }
}

/// Gives all means of a cell's summaries a list of languages that they lack.
pub fn lacks(cell: &Cell, languages: &str) {
    let path = cell.score_table(ResultsTable::Summaries);
    let rows = shard::table_rows(&path).unwrap().map(Result::unwrap);
    let rows: Vec<SummaryRow> =
        rows.map(|row: SummaryRow| SummaryRow { missing: languages.to_owned(), ..row }).collect();
    write(&path, &rows);
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
            write_scores(&folder.join("scores.parquet"), target, row, seed, languages);
            write_summaries(&folder.join("summaries.parquet"), target, row, seed, languages);
            write_example_scores(&folder.join("example-scores.parquet"), target, languages);
            let mut predictions = Vec::new();
            for language in languages {
                let path = folder.join(format!("language={language}")).join(shard::PART);
                write_predictions(&path, target, language);
                predictions.push(((*language).to_owned(), path));
            }
            let baseline = row == CHANCE;
            cells.push(Cell {
                study: study.id.clone(),
                at: Coordinates { target: target.parse().unwrap(), row: row.to_owned(), seed },
                metric,
                edition: Some(study.edition),
                layer: (target == "tatoeba" && !baseline).then_some(2),
                score_dir: folder,
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
    let tables = BTreeMap::from([
        (ResultsTable::Comparisons, vec![write_comparisons(dir)]),
        (ResultsTable::Profiles, profiles),
        (ResultsTable::Overlap, vec![overlap]),
    ]);
    StudyResults { study, tables, cells, code_version: "0.1.0".to_owned() }
}

/// The same study with what its rows reach over their seeds.
pub fn aggregated(dir: &Path) -> StudyResults {
    let mut results = results(dir);
    results.tables.insert(ResultsTable::Aggregates, vec![write_aggregates(dir)]);
    results
}
