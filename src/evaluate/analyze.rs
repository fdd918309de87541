//! The analysis of a whole study: every row against the row without intermediate training, and what its seeds come to.
//!
//! Both tables are computed from the example scores of all cells. `comparisons` holds the differences ([`super::compare`])
//! in every language and group of languages; those of one scope are one family for Holm's correction: all rows and all targets of the
//! study together. `aggregates` holds the headline number of each row by group, over its seeds, and the means over the tasks of each suite
//! that the targets belong to ([`super::aggregate`]).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};

use super::aggregate::{Suite, TaskMean, suite_means};
use super::bootstrap::standard_error;
use super::compare::{
    CompareRequest, Comparison, Runs, SIGNIFICANT, compare, holm, language_numbers, languages, method, read_runs,
};
use super::groups::{ENGLISH_GAP, Group, groups};
use super::number::headline;
use super::{EvaluateError, Setting};
use crate::error::Result;
use crate::progress::{Progress, check};
use crate::schema::table;
use crate::task::{CHANCE, Language, Metric};

/// A study whose scores are all there.
#[derive(Debug, Clone)]
pub struct AnalyzeRequest<'a> {
    /// The row that the others are compared with.
    pub baseline: &'a str,
    /// The study's targets, in its order.
    pub targets: Vec<AnalyzeTarget>,
    /// The study's cells: rows in its order.
    pub cells: Vec<AnalyzeCell>,
    /// Seeds every draw.
    pub seed: u64,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// Trials behind each p-value.
    pub trials: usize,
}

/// A target task.
#[derive(Debug, Clone)]
pub struct AnalyzeTarget {
    /// Its id.
    pub id: String,
    /// How it is scored.
    pub metric: Metric,
    /// The layer and pooling whose numbers stand for it, in retrieval.
    pub setting: Setting,
    /// The languages that it has.
    pub languages: Vec<Language>,
}

/// One row, target and seed.
#[derive(Debug, Clone)]
pub struct AnalyzeCell {
    /// The target's id.
    pub target: String,
    /// The row.
    pub intermediate: String,
    /// The repetition.
    pub seed: u64,
    /// `example-scores.parquet` of the score stage.
    pub example_scores: PathBuf,
}

/// The tables of the analysis (`schemas/`).
#[derive(Debug, Clone)]
pub struct AnalyzeTables {
    /// `comparisons`: each row against the baseline.
    pub comparisons: RecordBatch,
    /// `aggregates`: each row over its seeds.
    pub aggregates: RecordBatch,
}

/// The median of some numbers, by total order; the mean of the middle two where their count is even.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n.is_multiple_of(2) => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

/// Analyses a study target by target.
///
/// # Errors
/// Example scores that are missing or broken, rows that were scored on other examples than the baseline, or `stop`.
pub fn analyze(request: &AnalyzeRequest<'_>, progress: &dyn Progress, stop: &AtomicBool) -> Result<AnalyzeTables> {
    let (mut compared, mut aggregated) = (Vec::new(), Vec::new());
    progress.start(request.cells.len() as u64, "cells");
    let mut done = 0;
    for target in &request.targets {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for cell in request.cells.iter().filter(|cell| cell.target == target.id) {
            check(stop)?;
            let place = rows.iter().position(|row| row.intermediate == cell.intermediate).unwrap_or_else(|| {
                rows.push(Row { intermediate: &cell.intermediate, seeds: BTreeMap::new() });
                rows.len() - 1
            });
            rows[place].seeds.insert(cell.seed, read_runs(&cell.example_scores)?);
        }
        for row in &rows {
            check(stop)?;
            aggregated.extend(aggregates(target, row));
            let baseline = rows.iter().find(|other| other.intermediate == request.baseline);
            if let Some(baseline) = baseline.filter(|_| ![request.baseline, CHANCE].contains(&row.intermediate)) {
                compared.extend(comparisons(request, target, baseline, row)?);
            }
            done += row.seeds.len() as u64;
            progress.advance(done, &format!("{} {}", target.id, row.intermediate));
        }
    }
    aggregated.extend(suites(request, &aggregated));
    Ok(AnalyzeTables {
        comparisons: comparison_table(request, &compared, &corrected(&compared)),
        aggregates: aggregate_table(&aggregated),
    })
}

/// One row of the study on one target.
struct Row<'a> {
    intermediate: &'a str,
    seeds: BTreeMap<u64, Runs>,
}

struct Compared<'a> {
    target: &'a AnalyzeTarget,
    intermediate: &'a str,
    comparison: Comparison,
}

fn comparisons<'a>(
    request: &AnalyzeRequest<'_>,
    target: &'a AnalyzeTarget,
    baseline: &Row<'_>,
    row: &Row<'a>,
) -> Result<Vec<Compared<'a>>, EvaluateError> {
    let what = format!("{}: {} and {}", target.id, baseline.intermediate, row.intermediate);
    let of_setting = |runs: &Runs| runs.contains_key(&target.setting);
    let mut pairs = Vec::new();
    for (seed, b) in &row.seeds {
        let Some(a) = baseline.seeds.get(seed) else { continue };
        if !of_setting(a) || !of_setting(b) {
            let problem = format!("seed {seed} lacks predictions of layer {}", target.setting);
            return Err(EvaluateError::Unpaired { what, problem });
        }
        pairs.push((&a[&target.setting], &b[&target.setting]));
    }
    let Some((first, _)) = pairs.first() else { return Ok(Vec::new()) };
    let codes: Vec<&str> = first.languages.keys().map(String::as_str).collect();
    let scopes: Vec<Group> = languages(first).into_iter().chain(groups(&codes, &target.languages)).collect();
    let compared = compare(&CompareRequest {
        what: &what,
        metric: target.metric,
        pairs: &pairs,
        scopes: &scopes,
        seed: request.seed,
        resamples: request.resamples,
        trials: request.trials,
    })?;
    let of_row = |comparison| Compared { target, intermediate: row.intermediate, comparison };
    Ok(compared.into_iter().map(of_row).collect())
}

/// The corrected p-value of each comparison: those of one scope are one family.
fn corrected(compared: &[Compared<'_>]) -> Vec<f64> {
    let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, one) in compared.iter().enumerate() {
        families.entry(&one.comparison.scope).or_default().push(place);
    }
    let mut all = vec![1.0; compared.len()];
    for places in families.values() {
        let values: Vec<f64> = places.iter().map(|&place| compared[place].comparison.p_value).collect();
        for (place, value) in places.iter().zip(holm(&values)) {
            all[*place] = value;
        }
    }
    all
}

struct Aggregate {
    /// A target's or a suite's id.
    target: String,
    metric: String,
    intermediate: String,
    setting: Setting,
    /// Of languages, or of a suite's tasks.
    group: String,
    missing: Vec<String>,
    /// Seed and number.
    seeds: Vec<(u64, f64)>,
}

impl Aggregate {
    fn numbers(&self) -> Vec<f64> {
        self.seeds.iter().map(|(_, number)| *number).collect()
    }

    /// The first seed with the best number: the highest, of the English gap the lowest.
    fn best(&self) -> (u64, f64) {
        let better = |a: f64, b: f64| if self.group == ENGLISH_GAP { a < b } else { a > b };
        let best = |best: (u64, f64), seed: &(u64, f64)| if better(seed.1, best.1) { *seed } else { best };
        self.seeds.iter().fold(self.seeds[0], best)
    }
}

/// The row's numbers by setting and group.
fn aggregates(target: &AnalyzeTarget, row: &Row<'_>) -> Vec<Aggregate> {
    let mut found: Vec<Aggregate> = Vec::new();
    for (seed, settings) in &row.seeds {
        for (setting, run) in settings {
            let codes: Vec<&str> = run.languages.keys().map(String::as_str).collect();
            let of_languages = language_numbers(target.metric, run);
            for group in groups(&codes, &target.languages) {
                let number = (*seed, group.value(&of_languages));
                match found.iter_mut().find(|one| one.setting == *setting && one.group == group.name) {
                    Some(one) => one.seeds.push(number),
                    None => found.push(Aggregate {
                        target: target.id.clone(),
                        metric: headline(target.metric).name,
                        intermediate: row.intermediate.to_owned(),
                        setting: setting.clone(),
                        group: group.name,
                        missing: group.missing,
                        seeds: vec![number],
                    }),
                }
            }
        }
    }
    found
}

/// Each row's means over the tasks of a suite, in the seeds that all of its targets have; they say which tasks the study lacks.
fn suites(request: &AnalyzeRequest<'_>, aggregated: &[Aggregate]) -> Vec<Aggregate> {
    let mut rows: Vec<&str> = Vec::new();
    for cell in &request.cells {
        if !rows.contains(&cell.intermediate.as_str()) {
            rows.push(&cell.intermediate);
        }
    }
    let stands = |one: &&Aggregate| {
        let target = request.targets.iter().find(|target| target.id == one.target);
        // A baseline has no layers.
        one.group == "all"
            && (one.setting.layer.is_none() || target.is_some_and(|target| target.setting == one.setting))
    };
    let mut found = Vec::new();
    for (suite, row) in Suite::ALL.into_iter().flat_map(|suite| rows.iter().map(move |row| (suite, *row))) {
        let in_suite = |one: &&Aggregate| one.intermediate == row && suite.tasks().any(|task| task == one.target);
        let tasks: Vec<&Aggregate> = aggregated.iter().filter(stands).filter(in_suite).collect();
        let Some(first) = tasks.first() else { continue };
        let mut of_row: Vec<Aggregate> = Vec::new();
        for (seed, _) in &first.seeds {
            let mean = |task: &&Aggregate| {
                let (_, value) = task.seeds.iter().find(|(known, _)| known == seed)?;
                Some(TaskMean { task: task.target.clone(), value: *value, missing: task.missing.clone() })
            };
            let Some(means) = tasks.iter().map(mean).collect::<Option<Vec<_>>>() else { continue };
            for mean in suite_means(suite, &means, true).unwrap_or_default() {
                match of_row.iter_mut().find(|one| one.group == mean.group) {
                    Some(one) => one.seeds.push((*seed, mean.value)),
                    None => of_row.push(Aggregate {
                        target: suite.name().to_owned(),
                        metric: "average".to_owned(),
                        intermediate: row.to_owned(),
                        setting: Setting::default(),
                        group: mean.group.to_owned(),
                        missing: mean.missing,
                        seeds: vec![(*seed, mean.value)],
                    }),
                }
            }
        }
        found.extend(of_row);
    }
    found
}

fn comparison_table(request: &AnalyzeRequest<'_>, compared: &[Compared<'_>], corrected: &[f64]) -> RecordBatch {
    let number = |of: fn(&Comparison) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(compared.iter().map(|one| of(&one.comparison))))
    };
    let columns = vec![
        texts(compared.iter().map(|one| one.target.id.clone())),
        texts(compared.iter().map(|one| one.intermediate.to_owned())),
        texts(compared.iter().map(|_| request.baseline.to_owned())),
        Arc::new(compared.iter().map(|one| one.target.setting.layer).collect::<Int32Array>()) as ArrayRef,
        Arc::new(compared.iter().map(|one| one.target.setting.pooling.as_deref()).collect::<StringArray>()),
        texts(compared.iter().map(|one| headline(one.target.metric).name)),
        texts(compared.iter().map(|one| one.comparison.scope.clone())),
        Arc::new(UInt32Array::from_iter_values(compared.iter().map(|one| one.comparison.seeds as u32))),
        Arc::new(UInt32Array::from_iter_values(compared.iter().map(|one| one.comparison.examples as u32))),
        number(|one| one.difference),
        number(|one| one.ci_low),
        number(|one| one.ci_high),
        number(|one| one.p_value),
        Arc::new(Float64Array::from(corrected.to_vec())),
        number(|one| one.minimum_detectable),
        Arc::new(BooleanArray::from_iter(corrected.iter().map(|p| Some(*p < SIGNIFICANT)))),
        texts(compared.iter().map(|one| method(request.trials, one.comparison.seeds))),
    ];
    RecordBatch::try_new(table("comparisons").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

fn aggregate_table(aggregated: &[Aggregate]) -> RecordBatch {
    let number = |of: &dyn Fn(&Aggregate) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(aggregated.iter().map(of)))
    };
    let mean = |one: &Aggregate| one.numbers().iter().sum::<f64>() / one.seeds.len() as f64;
    let deviation = |one: &Aggregate| (one.seeds.len() > 1).then(|| standard_error(&one.numbers()));
    let columns = vec![
        texts(aggregated.iter().map(|one| one.target.clone())),
        texts(aggregated.iter().map(|one| one.intermediate.clone())),
        Arc::new(aggregated.iter().map(|one| one.setting.layer).collect::<Int32Array>()) as ArrayRef,
        Arc::new(aggregated.iter().map(|one| one.setting.pooling.as_deref()).collect::<StringArray>()),
        texts(aggregated.iter().map(|one| one.metric.clone())),
        texts(aggregated.iter().map(|one| one.group.clone())),
        Arc::new(UInt32Array::from_iter_values(aggregated.iter().map(|one| one.seeds.len() as u32))),
        number(&mean),
        number(&|one| median(one.numbers()).unwrap_or_default()),
        Arc::new(aggregated.iter().map(deviation).collect::<Float64Array>()),
        number(&|one| one.best().1),
        Arc::new(UInt64Array::from_iter_values(aggregated.iter().map(|one| one.best().0))),
        texts(aggregated.iter().map(|one| one.missing.join(" "))),
    ];
    RecordBatch::try_new(table("aggregates").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

#[cfg(test)]
mod tests {
    use super::super::metric::{Statistics, accuracy};
    use super::*;
    use crate::progress::Quiet;
    use crate::shard::write_table;
    use crate::task::Languages;
    use arrow::array::{Array, AsArray, Float64Builder, ListBuilder};
    use arrow::datatypes::{DataType, Field, Float64Type, UInt32Type, UInt64Type};
    use std::path::Path;

    /// Writes example scores of languages in which the first `right` of `of` examples are right.
    fn write(path: &Path, setting: &Setting, languages: &[(&str, usize, usize)]) {
        let rows: Vec<(&str, String, Statistics)> = languages
            .iter()
            .flat_map(|&(code, right, of)| (0..of).map(move |i| (code, format!("{code}{i:04}"), accuracy(i < right))))
            .collect();
        let item = Field::new("item", DataType::Float64, false);
        let mut lists = ListBuilder::new(Float64Builder::new()).with_field(item);
        for (_, _, statistics) in &rows {
            lists.values().append_slice(statistics);
            lists.append(true);
        }
        let columns: Vec<ArrayRef> = vec![
            texts(rows.iter().map(|_| "task".to_owned())),
            texts(rows.iter().map(|_| "test".to_owned())),
            texts(rows.iter().map(|row| row.0.to_owned())),
            Arc::new(rows.iter().map(|_| setting.layer).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|_| setting.pooling.as_deref()).collect::<StringArray>()),
            texts(rows.iter().map(|row| row.1.clone())),
            Arc::new(lists.finish()),
        ];
        let schema = &table("example-scores").schema;
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        write_table(path, schema, &[], &[batch]).unwrap();
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
            let all = Languages::parse(include_str!("../../data/languages.toml"), "data/languages.toml").unwrap();
            let languages = ["en", "fi", "hu", "sw"].map(|code| all.get(code).unwrap().clone()).to_vec();
            self.targets.push(AnalyzeTarget { id: id.to_owned(), metric: Metric::Accuracy, setting, languages });
        }

        /// A cell of the last target whose languages have so many of 100 examples right.
        fn cell(&mut self, row: &str, seed: u64, languages: &[(&str, usize)]) {
            let target = self.targets.last().unwrap();
            let path = self.dir.path().join(format!("{}-{row}-{seed}.parquet", target.id));
            let setting = if row == CHANCE { Setting::default() } else { target.setting.clone() };
            let languages: Vec<_> = languages.iter().map(|(code, right)| (*code, *right, 100)).collect();
            write(&path, &setting, &languages);
            let (target, intermediate) = (target.id.clone(), row.to_owned());
            self.cells.push(AnalyzeCell { target, intermediate, seed, example_scores: path });
        }

        fn analyze(&self) -> Result<AnalyzeTables> {
            let request = AnalyzeRequest {
                baseline: "none",
                targets: self.targets.clone(),
                cells: self.cells.clone(),
                seed: 1,
                resamples: 200,
                trials: 999,
            };
            let made = analyze(&request, &Quiet, &AtomicBool::new(false))?;
            table("comparisons").check(&made.comparisons).unwrap();
            table("aggregates").check(&made.aggregates).unwrap();
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
        let (rows, scopes) = (&made.comparisons["intermediate"], &made.comparisons["scope"]);
        let rows: Vec<&str> = rows.as_string::<i32>().iter().flatten().collect();
        assert!(rows.iter().all(|row| ["mnli", "ccg"].contains(row)), "{rows:?}");
        let scopes: Vec<&str> = scopes.as_string::<i32>().iter().flatten().take(13).collect();
        let expected = ["en", "fi", "sw", "all", "non-english", "english", "english-gap", "family=Niger-Congo"];
        assert_eq!(scopes[..8], expected);
        let of = |target, row, scope, column| {
            value(&made.comparisons, &[("target", target), ("intermediate", row), ("scope", scope)], column)
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
        let of = |row, group, column| value(&made.aggregates, &[("intermediate", row), ("group", group)], column);
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
        // (65 + 25) / 2 and (70 + 20) / 2.
        assert_eq!((of("all", "mean"), of("classification", "mean"), of("retrieval", "best")), (45.0, 67.5, 25.0));
        let text = |column: &str| made.aggregates[column].as_string::<i32>().iter().flatten().collect::<Vec<_>>();
        let rows: Vec<_> = text("target").into_iter().zip(text("group")).zip(text("missing")).collect();
        let missing = |suite| rows.iter().find(|((target, group), _)| (*target, *group) == (suite, "all")).unwrap().1;
        assert_eq!(missing("xtreme"), "pawsx xnli/hu xnli/sw panx udpos bucc2018 tatoeba/en xquad mlqa tydiqa");
        assert!(missing("xtreme-r").contains("mewslix"));
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
}
