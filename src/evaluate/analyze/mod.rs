//! The analysis of a whole study: every row against the row without intermediate training, and what its seeds come to.
//!
//! Both tables are computed from the example scores of all cells. `comparisons` holds the differences
//! ([`super::compare`]) in every language and group of languages; those of one scope are one family for Holm's
//! correction: all rows and all targets of the study together. `aggregates` holds the headline number of each row by
//! group, over its seeds, and the means over the tasks of each suite that the targets belong to ([`super::aggregate`]),
//! which say what of a suite's tasks and languages they lack.

mod seeds;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;

pub use self::seeds::median;
use self::seeds::{Aggregate, Standing, aggregates, suites};
use super::compare::{
    CompareRequest, Comparison, Run, Runs, SIGNIFICANT, compare, holm, language_numbers, languages, method, read_runs,
};
use super::groups::{Group, groups};
use super::number::headline;
use super::{AggregateRow, ComparisonRow, EvaluateError, Setting};
use crate::error::Result;
use crate::progress::{Progress, check};
use crate::schema::TableRow;
use crate::task::{CHANCE, Coordinates, Metric, SourceLanguage, Suite, Traits};

/// A study whose scores are all there.
#[derive(Debug, Clone)]
pub struct AnalyzeRequest<'a> {
    /// The row that the others are compared with.
    pub baseline: &'a str,
    /// The language that the study trains in.
    pub source: SourceLanguage,
    /// The study's targets, in its order.
    pub targets: Vec<AnalyzeTarget>,
    /// The study's cells: rows in its order.
    pub cells: Vec<AnalyzeCell>,
    /// The suites whose means are wanted.
    pub suites: Vec<Suite>,
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
    pub languages: BTreeMap<String, Traits>,
    /// Whether their examples are translations of one another ([`crate::task::Task::parallel`]).
    pub parallel: bool,
}

/// One row, target and seed.
#[derive(Debug, Clone)]
pub struct AnalyzeCell {
    /// Which cell.
    pub at: Coordinates,
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

/// Analyses a study target by target.
///
/// # Errors
/// Example scores that are missing or broken, rows that were scored on other examples than the baseline, or `stop`.
pub fn analyze(request: &AnalyzeRequest<'_>, progress: &dyn Progress, stop: &AtomicBool) -> Result<AnalyzeTables> {
    let (mut compared, mut aggregated, mut standing) = (Vec::new(), Vec::new(), Vec::new());
    progress.start(request.cells.len() as u64, "cells");
    let mut done = 0;
    for target in &request.targets {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for cell in request.cells.iter().filter(|cell| cell.at.target == target.id) {
            check(stop)?;
            let place = rows.iter().position(|row| row.name == cell.at.row).unwrap_or_else(|| {
                rows.push(Row { name: &cell.at.row, seeds: BTreeMap::new() });
                rows.len() - 1
            });
            rows[place].seeds.insert(cell.at.seed, Scored::of(target, read_runs(&cell.example_scores)?));
        }
        for row in &rows {
            check(stop)?;
            aggregated.extend(aggregates(target, &request.source, row));
            standing.extend(row.seeds.iter().map(|(seed, scored)| scored.standing(target, row.name, *seed)));
            let baseline = rows.iter().find(|other| other.name == request.baseline);
            if let Some(baseline) = baseline.filter(|_| ![request.baseline, CHANCE].contains(&row.name)) {
                compared.extend(comparisons(request, target, baseline, row)?);
            }
            done += row.seeds.len() as u64;
            progress.advance(done, &format!("{} {}", target.id, row.name));
        }
    }
    aggregated.extend(suites(&request.suites, &standing));
    Ok(AnalyzeTables {
        comparisons: ComparisonRow::batch(&comparison_rows(request, &compared, &corrected(&compared))),
        aggregates: AggregateRow::batch(&aggregated.iter().map(Aggregate::row).collect::<Vec<_>>()),
    })
}

/// One row of the study on one target.
struct Row<'a> {
    name: &'a str,
    seeds: BTreeMap<u64, Scored>,
}

/// What is kept of a cell's example scores.
struct Scored {
    /// The headline number of each language, by layer and pooling.
    numbers: BTreeMap<Setting, Vec<(String, f64)>>,
    /// The run of the target's own layer and pooling; a baseline in retrieval has none.
    run: Option<Run>,
}

impl Scored {
    fn of(target: &AnalyzeTarget, mut runs: Runs) -> Self {
        let numbers = |run: &Run| run.languages.keys().cloned().zip(language_numbers(target.metric, run)).collect();
        let numbers = runs.iter().map(|(setting, run)| (setting.clone(), numbers(run))).collect();
        Self { numbers, run: runs.remove(&target.setting) }
    }

    /// The numbers that stand for the target; a baseline has no layers.
    fn standing<'a>(&self, target: &'a AnalyzeTarget, row: &'a str, seed: u64) -> Standing<'a> {
        let languages = self.numbers.get(&target.setting).or_else(|| self.numbers.get(&Setting::default()));
        Standing { target: &target.id, row, seed, languages: languages.cloned().unwrap_or_default() }
    }
}

struct Compared<'a> {
    target: &'a AnalyzeTarget,
    row: &'a str,
    comparison: Comparison,
}

fn comparisons<'a>(
    request: &AnalyzeRequest<'_>,
    target: &'a AnalyzeTarget,
    baseline: &Row<'_>,
    row: &Row<'a>,
) -> Result<Vec<Compared<'a>>, EvaluateError> {
    let what = format!("{}: {} and {}", target.id, baseline.name, row.name);
    let mut pairs = Vec::new();
    for (seed, b) in &row.seeds {
        let Some(a) = baseline.seeds.get(seed) else { continue };
        let (Some(a), Some(b)) = (&a.run, &b.run) else {
            let problem = format!("seed {seed} lacks predictions of layer {}", target.setting);
            return Err(EvaluateError::Unpaired { what, problem });
        };
        pairs.push((a, b));
    }
    let Some((first, _)) = pairs.first() else { return Ok(Vec::new()) };
    let codes: Vec<&str> = first.languages.keys().map(String::as_str).collect();
    let scopes: Vec<Group> =
        languages(first).into_iter().chain(groups(&codes, &target.languages, &request.source)).collect();
    let compared = compare(&CompareRequest {
        what: &what,
        metric: target.metric,
        parallel: target.parallel,
        pairs: &pairs,
        scopes: &scopes,
        seed: request.seed,
        resamples: request.resamples,
        trials: request.trials,
    })?;
    let of_row = |comparison| Compared { target, row: row.name, comparison };
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

fn comparison_rows(request: &AnalyzeRequest<'_>, compared: &[Compared<'_>], corrected: &[f64]) -> Vec<ComparisonRow> {
    let row = |(one, p_adjusted): (&Compared<'_>, &f64)| {
        let Compared { target, row, comparison } = one;
        ComparisonRow {
            target: target.id.clone(),
            row: (*row).to_owned(),
            baseline: request.baseline.to_owned(),
            setting: target.setting.clone(),
            metric: headline(target.metric).name,
            scope: comparison.scope.clone(),
            seeds: comparison.seeds as u32,
            examples: comparison.examples as u32,
            difference: comparison.difference,
            ci_low: comparison.ci_low,
            ci_high: comparison.ci_high,
            p_value: comparison.p_value,
            p_adjusted: *p_adjusted,
            minimum_detectable: comparison.minimum_detectable,
            significant: *p_adjusted < SIGNIFICANT,
            method: method(request.trials, comparison.seeds),
        }
    };
    compared.iter().zip(corrected).map(row).collect()
}

#[cfg(test)]
mod tests;
