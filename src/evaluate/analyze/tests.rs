use super::*;
use crate::evaluate::ExampleScoreRow;
use crate::evaluate::metric::{Statistics, accuracy};
use crate::progress::Quiet;
use crate::shard::write_rows;
use crate::task::{Coordinates, Languages, Registry, SourceLanguage};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, UInt32Type, UInt64Type};
use std::path::Path;

/// Writes example scores of languages in which the first `right` of `of` examples are right.
fn write(path: &Path, setting: &Setting, languages: &[(&str, usize, usize)]) {
    let rows: Vec<(&str, String, Statistics)> = languages
        .iter()
        .flat_map(|&(code, right, of)| (0..of).map(move |i| (code, format!("{code}{i:04}"), accuracy(i < right))))
        .collect();
    let rows: Vec<ExampleScoreRow<'_>> = rows
        .iter()
        .map(|(language, example_id, statistics)| ExampleScoreRow {
            task: "task",
            split: "test",
            language,
            setting: setting.clone(),
            example_id,
            statistics: statistics.to_vec(),
        })
        .collect();
    write_rows(path, &[], &rows).unwrap();
}

struct Study {
    dir: tempfile::TempDir,
    targets: Vec<AnalyzeTarget>,
    cells: Vec<AnalyzeCell>,
}

impl Study {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), targets: Vec::new(), cells: Vec::new() }
    }

    fn target(&mut self, id: &str, setting: Setting) {
        let all = Languages::parse(include_str!("../../../data/languages.toml"), "data/languages.toml").unwrap();
        let languages = ["en", "fi", "hu", "sw"].map(|code| (code.to_owned(), all.get(code).unwrap().traits())).into();
        let (id, metric) = (id.to_owned(), Metric::Accuracy);
        self.targets.push(AnalyzeTarget { id, metric, setting, languages, parallel: false });
    }

    /// A cell of the last target whose languages have so many of 100 examples right.
    fn cell(&mut self, row: &str, seed: u64, languages: &[(&str, usize)]) {
        let target = self.targets.last().unwrap();
        let path = self.dir.path().join(format!("{}-{row}-{seed}.parquet", target.id));
        let setting = if row == CHANCE { Setting::default() } else { target.setting.clone() };
        let languages: Vec<_> = languages.iter().map(|(code, right)| (*code, *right, 100)).collect();
        write(&path, &setting, &languages);
        let at = Coordinates { target: target.id.parse().unwrap(), row: row.to_owned(), seed };
        self.cells.push(AnalyzeCell { at, example_scores: path });
    }

    fn analyze(&self) -> Result<AnalyzeTables> {
        let request = AnalyzeRequest {
            baseline: "none",
            source: SourceLanguage::default(),
            targets: self.targets.clone(),
            cells: self.cells.clone(),
            suites: Registry::load(&[]).unwrap().suites().cloned().collect(),
            seed: 1,
            resamples: 200,
            trials: 999,
        };
        let made = analyze(&request, &Quiet, &AtomicBool::new(false))?;
        ComparisonRow::table().check(&made.comparisons).unwrap();
        AggregateRow::table().check(&made.aggregates).unwrap();
        Ok(made)
    }
}

/// The value of a number column in the row that `keys` pick.
fn value(batch: &RecordBatch, keys: &[(&str, &str)], column: &str) -> f64 {
    let is = |row: usize| keys.iter().all(|(name, key)| batch[*name].as_string::<i32>().value(row) == *key);
    let row = (0..batch.num_rows()).find(|row| is(*row)).unwrap_or_else(|| unreachable!("no row of {keys:?}"));
    batch[column].as_primitive::<Float64Type>().value(row)
}

#[test]
fn rows_are_compared_with_none_and_corrected_over_the_study() {
    let mut study = Study::new();
    study.target("xnli", Setting::default());
    study.cell(CHANCE, 1, &[("en", 30), ("fi", 30), ("sw", 30)]);
    study.cell("none", 1, &[("en", 70), ("fi", 50), ("sw", 40)]);
    study.cell("mnli", 1, &[("en", 70), ("fi", 56), ("sw", 40)]);
    study.cell("ccg", 1, &[("en", 70), ("fi", 50), ("sw", 40)]);
    let layer = Setting { layer: Some(2), pooling: Some("mean".to_owned()) };
    study.target("tatoeba", layer);
    study.cell(CHANCE, 1, &[("fi", 0)]);
    study.cell("none", 1, &[("fi", 50)]);
    study.cell("mnli", 1, &[("fi", 20)]);
    let made = study.analyze().unwrap();
    let (rows, scopes) = (&made.comparisons["row"], &made.comparisons["scope"]);
    let rows: Vec<&str> = rows.as_string::<i32>().iter().flatten().collect();
    assert!(rows.iter().all(|row| ["mnli", "ccg"].contains(row)), "{rows:?}");
    let scopes: Vec<&str> = scopes.as_string::<i32>().iter().flatten().take(13).collect();
    let expected = ["en", "fi", "sw", "all", "non-english", "english", "english-gap", "family=Niger-Congo"];
    assert_eq!(scopes[..8], expected);
    let of = |target, row, scope, column| {
        value(&made.comparisons, &[("target", target), ("row", row), ("scope", scope)], column)
    };
    assert_eq!(of("xnli", "mnli", "non-english", "difference"), 3.0);
    assert!((of("xnli", "mnli", "english-gap", "difference") + 3.0).abs() < 1e-9);
    assert_eq!(of("tatoeba", "mnli", "non-english", "difference"), -30.0);
    // Six examples of one language that all went one way: p = 2 / 2^6, times 2 of the 3 comparisons in this scope.
    let (p, adjusted) = (of("xnli", "mnli", "fi", "p_value"), of("xnli", "mnli", "fi", "p_adjusted"));
    assert!((p - 0.031).abs() < 0.02 && (adjusted - 2.0 * p).abs() < 1e-12, "{p} {adjusted}");
    assert!((of("tatoeba", "mnli", "fi", "p_adjusted") - 0.003).abs() < 1e-12);
    assert_eq!(of("xnli", "ccg", "fi", "p_adjusted"), 1.0);
    let significant = made.comparisons["significant"].as_boolean();
    assert!(significant.value(rows.len() - 1) && !significant.value(0));
    assert_eq!(made.comparisons["layer"].null_count(), scopes.len() * 2);
}

#[test]
fn seeds_come_to_mean_median_deviation_and_best() {
    let mut study = Study::new();
    study.target("xnli", Setting::default());
    study.cell(CHANCE, 1, &[("en", 30), ("fi", 30)]);
    for (seed, fi) in [(1, 50), (2, 40), (3, 60)] {
        study.cell("none", seed, &[("en", 80), ("fi", fi)]);
    }
    for (seed, fi) in [(2, 41), (3, 75)] {
        study.cell("mnli", seed, &[("en", 80), ("fi", fi)]);
    }
    let made = study.analyze().unwrap();
    let of = |row, group, column| value(&made.aggregates, &[("row", row), ("group", group)], column);
    assert_eq!((of("none", "non-english", "mean"), of("none", "non-english", "median")), (50.0, 50.0));
    assert_eq!((of("none", "non-english", "standard_deviation"), of("none", "non-english", "best")), (10.0, 60.0));
    // The smallest gap is the best one.
    assert_eq!((of("none", "english-gap", "mean"), of("none", "english-gap", "best")), (30.0, 20.0));
    let best: Vec<u64> = made.aggregates["best_seed"].as_primitive::<UInt64Type>().values().to_vec();
    let groups: Vec<&str> = made.aggregates["group"].as_string::<i32>().iter().flatten().collect();
    let of_gap = groups.iter().zip(&best).filter(|(group, _)| **group == "english-gap").map(|(_, seed)| *seed);
    assert_eq!(of_gap.collect::<Vec<_>>(), [1, 3, 3]);
    let missing: Vec<&str> = made.aggregates["missing"].as_string::<i32>().iter().flatten().collect();
    assert_eq!((groups[0], missing[0]), ("all", "hu sw"));
    assert!(made.aggregates["standard_deviation"].is_null(0));
    // Only the seeds that both rows have are compared.
    let seeds = made.comparisons["seeds"].as_primitive::<UInt32Type>();
    assert!(seeds.values().iter().all(|count| *count == 2));
    let difference = value(&made.comparisons, &[("scope", "fi")], "difference");
    assert_eq!(difference, 8.0);
}

#[test]
fn suites_are_means_over_tasks_that_say_what_they_lack() {
    let mut study = Study::new();
    study.target("xnli", Setting::default());
    study.cell("none", 1, &[("en", 80), ("fi", 50)]);
    study.cell("none", 2, &[("en", 90), ("fi", 50)]);
    study.target("tatoeba", Setting { layer: Some(2), pooling: Some("mean".to_owned()) });
    study.cell("none", 1, &[("fi", 25), ("hu", 25), ("sw", 25)]);
    study.cell("none", 2, &[("fi", 20), ("hu", 20), ("sw", 20)]);
    let made = study.analyze().unwrap();
    let of = |group, column| value(&made.aggregates, &[("target", "xtreme"), ("group", group)], column);
    // (80 + 25) / 2 and (90 + 20) / 2.
    assert_eq!((of("all", "mean"), of("classification", "mean"), of("retrieval", "best")), (53.75, 85.0, 25.0));
    let text = |column: &str| made.aggregates[column].as_string::<i32>().iter().flatten().collect::<Vec<_>>();
    let rows: Vec<_> = text("target").into_iter().zip(text("group")).zip(text("missing")).collect();
    let missing = |suite| rows.iter().find(|((target, group), _)| (*target, *group) == (suite, "all")).unwrap().1;
    // XTREME has no Finnish XNLI and no English Tatoeba: the one is not counted, the other does not lack.
    let lacking = missing("xtreme");
    assert!(
        lacking.starts_with("pawsx xnli/ar xnli/bg") && lacking.contains(" xnli/sw ") && !lacking.contains("/fi"),
        "{lacking}"
    );
    assert!(lacking.contains(" bucc2018 tatoeba/ar ") && !lacking.contains("/en"), "{lacking}");
    assert!(lacking.ends_with(" xquad mlqa tydiqa"), "{lacking}");
    assert!(missing("xtreme-r").contains(" tatoeba/lt ") && missing("xtreme-r").contains(" mewslix "));
    assert!(text("metric").contains(&"average"));
}

#[test]
fn a_row_of_other_examples_is_refused() {
    let mut study = Study::new();
    study.target("xnli", Setting::default());
    study.cell("none", 1, &[("fi", 50)]);
    study.cell("mnli", 1, &[("sw", 50)]);
    let message = study.analyze().unwrap_err().to_string();
    assert!(message.starts_with("xnli: none and mnli can't be compared: language `fi`"), "{message}");
    study.cells.truncate(1);
    study.targets[0].setting.layer = Some(3);
    study.cell("mnli", 1, &[("fi", 50)]);
    let message = study.analyze().unwrap_err().to_string();
    assert!(message.contains("seed 1 lacks predictions of layer 3"), "{message}");
}
