//! The main table: intermediate tasks down, targets across, changes marked by significance.

use serde::Serialize;

use super::super::terminal::{between, one, p_value, signed};
use super::super::{Average, Column, Entry, NONE, ReportError, StudyResults, StudyTable};
use super::origin;
use super::words::direction;
use crate::evaluate::{AggregateRow, ComparisonRow, SourceNames};
use crate::task::IMPORTED;

/// The metric of a suite's mean over its tasks.
const SUITE: &str = "average";

/// The main table.
#[derive(Debug, Serialize)]
pub(super) struct Grid {
    pub heads: Vec<Column>,
    pub rows: Vec<GridRow>,
    /// Whether there is a row that changes are counted against.
    pub changes: bool,
    /// Whether changes were tested: an unfinished study's are not.
    pub tested: bool,
    /// Whether the rows are others' systems, whose changes no study tests.
    pub imported: bool,
    pub suites: Vec<Suite>,
}

/// What a row reaches on a suite: the mean over its tasks.
#[derive(Debug, Serialize)]
pub(super) struct Suite {
    /// The element that lists the row's cells.
    pub origin: String,
    pub suite: String,
    pub row: String,
    pub group: String,
    pub mean: f64,
    /// Deviation and best over seeds; empty for one seed.
    pub seeds: String,
    /// What the mean should have and has not: tasks, and languages of tasks.
    pub missing: String,
}

#[derive(Debug, Serialize)]
pub(super) struct GridRow {
    pub name: String,
    /// The tasks behind a name that is none.
    pub tasks: String,
    /// The element that lists the cells that the average is of.
    pub origin: String,
    pub cells: Vec<Option<GridCell>>,
    pub average: Option<Average>,
}

/// What a row reaches on a target.
#[derive(Debug, Serialize)]
pub(super) struct GridCell {
    /// Where the number comes from: an element's id.
    pub origin: String,
    pub value: Option<f64>,
    /// `[44.5, 47.5]`.
    pub interval: String,
    /// The source language, and F1 where it is a part of the value.
    pub beside: String,
    pub change: Option<GridChange>,
    /// Mean, deviation and best over seeds.
    pub seeds: Option<String>,
    /// All of it in words, for a pointer that rests on it and for the panel.
    pub words: Vec<String>,
}

/// A difference from the row without intermediate training.
#[derive(Debug, Serialize)]
pub(super) struct GridChange {
    pub value: f64,
    /// `up`, `down`, or empty where it shows neither.
    pub direction: &'static str,
    /// Whether it is significant after correction.
    pub marked: bool,
}

/// The rows of the study's two tables of statistics.
pub(super) struct Statistics {
    pub comparisons: Vec<ComparisonRow>,
    pub aggregates: Vec<AggregateRow>,
}

impl Statistics {
    /// Reads what the study has.
    pub(super) fn read(results: &StudyResults) -> Result<Self, ReportError> {
        Ok(Self { comparisons: results.study_rows()?, aggregates: results.study_rows()? })
    }

    /// The comparison of a row on a target and scope.
    pub(super) fn comparison(&self, column: &Column, row: &str, scope: &str) -> Option<&ComparisonRow> {
        self.comparisons.iter().find(|found| {
            (found.target.as_str(), found.row.as_str(), found.scope.as_str()) == (column.target.as_str(), row, scope)
        })
    }

    fn aggregate(&self, column: &Column, row: &str, scope: &str) -> Option<&AggregateRow> {
        self.aggregates.iter().find(|found| {
            (found.target.as_str(), found.row.as_str(), found.group.as_str(), found.setting.layer)
                == (column.target.as_str(), row, scope, column.layer)
                && found.metric == column.metric
        })
    }
}

/// A comparison as sentences.
pub(super) fn in_words(comparison: &ComparisonRow) -> Vec<String> {
    let verdict = if comparison.significant { "significant" } else { "not significant" };
    vec![
        format!(
            "{} points against none, 95% interval {}: {verdict} after correction",
            signed(comparison.difference),
            between(comparison.ci_low, comparison.ci_high)
        ),
        format!("adjusted p {}, p {}", p_value(comparison.p_adjusted), p_value(comparison.p_value)),
        format!(
            "minimum detectable difference {} points, with {} examples; {}",
            one(comparison.minimum_detectable),
            comparison.examples,
            comparison.method
        ),
    ]
}

/// Makes the page's main table of the study's table and its statistics.
pub(super) fn grid(table: &StudyTable, statistics: &Statistics) -> Grid {
    let row = |row: &super::super::Row| GridRow {
        name: row.name.clone(),
        tasks: if row.tasks.len() > 1 { row.tasks.join(" + ") } else { String::new() },
        origin: origin::row_id(table, &row.name),
        cells: row
            .entries
            .iter()
            .zip(&table.columns)
            .map(|(entry, column)| Some(cell(entry.as_ref()?, table, column, &row.name, statistics)))
            .collect(),
        average: row.average,
    };
    Grid {
        heads: table.columns.clone(),
        rows: table.rows.iter().map(row).collect(),
        changes: table.rows.iter().any(|row| row.name == NONE),
        imported: table.study == IMPORTED,
        tested: !statistics.comparisons.is_empty(),
        suites: statistics
            .aggregates
            .iter()
            .filter(|found| found.metric == SUITE)
            .map(|found| suite(table, found))
            .collect(),
    }
}

fn suite(table: &StudyTable, found: &AggregateRow) -> Suite {
    let spread = found.standard_deviation.map(|spread| format!("± {}, ", one(spread)));
    let best = format!("best {} (seed {})", one(found.best), found.best_seed);
    Suite {
        origin: origin::row_id(table, &found.row),
        suite: found.target.clone(),
        row: found.row.clone(),
        group: found.group.clone(),
        mean: found.mean,
        seeds: spread.map(|spread| spread + &best).unwrap_or_default(),
        missing: lacking(&found.missing),
    }
}

/// `a b/de b/en` as `a, b (de en)`: the languages of a task stand together.
fn lacking(missing: &str) -> String {
    let mut tasks: Vec<(&str, Vec<&str>)> = Vec::new();
    for (task, language) in missing.split_whitespace().map(|one| one.split_once('/').unwrap_or((one, ""))) {
        match tasks.last_mut().filter(|(last, _)| *last == task) {
            Some((_, languages)) => languages.push(language),
            None => tasks.push((task, vec![language])),
        }
    }
    let shown = |(task, languages): (&str, Vec<&str>)| match languages.as_slice() {
        [""] => task.to_owned(),
        languages => format!("{task} ({})", languages.join(" ")),
    };
    tasks.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn cell(entry: &Entry, table: &StudyTable, column: &Column, row: &str, statistics: &Statistics) -> GridCell {
    let scope = SourceNames::of(&table.source).others;
    let comparison = statistics.comparison(column, row, scope);
    let change = entry.change.map(|change| GridChange {
        value: change.value,
        direction: direction(change.sign()),
        marked: change.clear,
    });
    let seeds = statistics.aggregate(column, row, scope).filter(|found| found.seeds > 1).map(|found| {
        let spread = found.standard_deviation.map(|spread| format!(" ± {}", one(spread))).unwrap_or_default();
        format!("{}{spread}, best {} (seed {})", one(found.mean), one(found.best), found.best_seed)
    });
    let mut words = Vec::new();
    if let Some(estimate) = &entry.non_english {
        let languages = if entry.languages == 1 { "language" } else { "languages" };
        let over = if entry.seeds > 1 { format!(", median over {} seeds", entry.seeds) } else { String::new() };
        words.push(format!(
            "{:.2} [{:.2}, {:.2}]: {} over {} non-{} {languages}{over}",
            estimate.value, estimate.ci_low, estimate.ci_high, column.metric, entry.languages, table.source_name
        ));
    }
    words.extend(entry.parts.iter().map(|(metric, value)| format!("{metric} {value:.2}")));
    words.extend(entry.english.map(|english| format!("{} {english:.2}", table.source_name)));
    words.extend(comparison.into_iter().flat_map(in_words));
    words.extend(seeds.iter().map(|seeds| format!("over seeds: mean {seeds}")));
    let english = entry.english.map(|english| format!("{} {}", table.source.code(), one(english)));
    let f1 = entry.parts.iter().find(|(metric, _)| metric == "f1").map(|(_, f1)| format!("f1 {}", one(*f1)));
    let beside: Vec<String> = english.into_iter().chain(f1).collect();
    GridCell {
        origin: origin::id(table, &column.target, row),
        value: entry.non_english.map(|estimate| estimate.value),
        interval: entry.non_english.map(|e| format!("[{}, {}]", one(e.ci_low), one(e.ci_high))).unwrap_or_default(),
        beside: beside.join(" · "),
        change,
        seeds,
        words,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{ResultsTable, fixture, study_table};
    use super::*;

    #[test]
    fn what_a_mean_lacks_is_told_by_task() {
        assert_eq!(lacking("pawsx xnli/bg xnli/el panx tatoeba/he"), "pawsx, xnli (bg el), panx, tatoeba (he)");
        assert_eq!(lacking(""), "");
    }

    #[test]
    fn changes_are_marked_by_the_corrected_test() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::aggregated(dir.path());
        let table = study_table(&results).unwrap();
        let found = grid(&table, &Statistics::read(&results).unwrap());
        assert!(found.tested);
        let [xnli, _, tatoeba] = found.rows[2].cells.as_slice() else { unreachable!() };
        let (xnli, tatoeba) = (xnli.as_ref().unwrap(), tatoeba.as_ref().unwrap());
        let change = xnli.change.as_ref().unwrap();
        assert!((change.value - 6.0).abs() < 1e-9 && change.marked);
        assert!(!tatoeba.change.as_ref().unwrap().marked, "its adjusted p is 0.09");
        assert!(xnli.words.iter().any(|words| words.contains("[+4.5, +7.5]: significant")), "{:?}", xnli.words);
        assert!(xnli.words.iter().any(|words| words == "adjusted p 0.003, p 0.001"), "{:?}", xnli.words);
        assert!(tatoeba.words.iter().any(|words| words.contains("minimum detectable difference 9.0")));
        assert_eq!(xnli.seeds.as_deref(), Some("52.0 ± 1.4, best 53.0 (seed 2)"));
        results.tables.remove(&ResultsTable::Comparisons);
        let table = study_table(&results).unwrap();
        let untested = grid(&table, &Statistics::read(&results).unwrap());
        assert!(!untested.tested && !untested.rows[2].cells[0].as_ref().unwrap().change.as_ref().unwrap().marked);
    }
}
