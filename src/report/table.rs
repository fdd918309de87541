//! The table of a study: intermediate tasks down, targets across, change against no intermediate training.
//!
//! A cell's value is the unweighted mean over the languages other than the source of its headline number; where a target has two
//! headline metrics (question answering: F1 and exact match), of their mean, as XTREME's `evaluate.py` has it. Over several
//! seeds, each number is the median. Whether a change is more than chance is what the study's analysis says
//! (`comparisons`), and is not told before every cell is there.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::numbers::{Number, Numbers};
use super::terminal::sign;
use super::{CHANCE, Cell, NONE, ReportError, StudyResults, median};
use crate::evaluate::{ComparisonRow, SourceNames, headline_name};
use crate::task::{IMPORTED, Languages, SourceLanguage};

/// A number on the scale 0 to 100 with its 95% bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
}

/// A difference from the row `none`, in points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Signed: the difference of the two numbers in the table.
    pub value: f64,
    /// Whether it is significant after correction for all changes of the study.
    pub clear: bool,
    /// What the analysis found; none where the study is not finished.
    pub test: Option<ChangeTest>,
}

impl Change {
    /// Whether it is a gain or a loss: by the test's mean difference where it is significant, else by what its number shows.
    pub(super) fn sign(&self) -> Ordering {
        match self.test.filter(|_| self.clear) {
            Some(test) => test.difference.value.total_cmp(&0.0),
            None => sign(self.value),
        }
    }
}

/// A row against the row `none` on the same examples, as the table `comparisons` has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChangeTest {
    /// The mean difference over the seeds, in points: for one seed that of the table.
    pub difference: Estimate,
    /// Two-sided, of this comparison by itself.
    pub p_value: f64,
    /// Corrected by Holm's method for all changes of the study.
    pub p_adjusted: f64,
    /// The smallest true difference, in points, that such a comparison finds four times out of five.
    pub minimum_detectable: f64,
}

/// What one row reaches on one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Seeds that the numbers are the median of.
    pub seeds: usize,
    /// Languages in the mean: all but the study's source language, which is English in the fields' names.
    pub languages: u32,
    /// Mean over them; none where only the source language was evaluated.
    pub non_english: Option<Estimate>,
    /// The source language; none where the target has no part in it (retrieval).
    pub english: Option<f64>,
    /// Each headline metric on its own (mean over the same languages), where there are several.
    pub parts: Vec<(String, f64)>,
    /// Against the row `none`.
    pub change: Option<Change>,
}

/// The mean of a row over all targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Average {
    /// Of the means over languages.
    pub value: f64,
    /// Against the row `none`, in points.
    pub change: Option<f64>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// The task.
    pub target: String,
    /// `accuracy`, `f1`, `mean of f1 and exact_match`.
    pub metric: String,
    /// Hidden state in retrieval.
    pub layer: Option<i32>,
}

/// One intermediate task, set of tasks, or baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The row's name.
    #[serde(rename = "row")]
    pub name: String,
    /// Tasks trained on together; empty for [`NONE`] and [`CHANCE`].
    pub tasks: Vec<String>,
    /// One for each column; none where the cell is not finished.
    pub entries: Vec<Option<Entry>>,
    /// None where a cell lacks.
    pub average: Option<Average>,
}

/// The table of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudyTable {
    /// The study's id.
    pub study: String,
    /// Its title.
    pub title: String,
    /// The language that it trains in.
    #[serde(skip_serializing_if = "SourceLanguage::is_default")]
    pub source: SourceLanguage,
    /// That language's name.
    #[serde(skip)]
    pub source_name: String,
    /// Targets.
    pub columns: Vec<Column>,
    /// The baseline first, then the study's order.
    pub rows: Vec<Row>,
    /// What a reader has to know to read the numbers right.
    pub notes: Vec<String>,
}

/// Makes the table of a study from its cells' scores and summaries.
///
/// # Errors
/// Scores or summaries that are missing or broken, or that lack a headline metric (at the cell's layer), named.
pub fn study_table(results: &StudyResults) -> Result<StudyTable, ReportError> {
    table_of(results, &Numbers::read(results)?)
}

/// Makes the table of a study of its numbers.
pub(super) fn table_of(results: &StudyResults, numbers: &Numbers) -> Result<StudyTable, ReportError> {
    let (targets, source) = (&results.study.targets, &results.study.source);
    let names = SourceNames::of(source);
    let mut rows = Vec::new();
    for name in results.rows() {
        let mut entries = Vec::new();
        for target in targets {
            let cells: Vec<&Cell> = results.of_target(target).into_iter().filter(|cell| cell.at.row == name).collect();
            entries.push(if cells.is_empty() { None } else { Some(entry(names, numbers, &cells)) });
        }
        let tasks = results.study.intermediate.get(name).cloned().unwrap_or_default();
        let average = average(&entries).map(|value| Average { value, change: None });
        rows.push(Row { name: name.to_owned(), tasks, entries, average });
    }
    let tests = tests(results, names)?;
    if let Some(none) = rows.iter().find(|row| row.name == NONE).cloned() {
        for row in rows.iter_mut().filter(|row| ![NONE, CHANCE].contains(&row.name.as_str())) {
            count_changes(row, &none, targets, &tests);
        }
    }
    let columns = targets.iter().map(|target| column(results, target)).collect();
    let mut table = StudyTable {
        study: results.study.id.clone(),
        title: results.study.title.clone(),
        source: source.clone(),
        source_name: name_of(source)?,
        columns,
        rows,
        notes: vec![],
    };
    table.notes = notes(results, &table);
    Ok(table)
}

fn column(results: &StudyResults, target: &str) -> Column {
    let cells = results.of_target(target);
    let metric = match cells.first().map(|cell| cell.metric) {
        None => "not finished".to_owned(),
        Some(names) => headline_name(names),
    };
    Column { target: target.to_owned(), metric, layer: cells.iter().find_map(|cell| cell.layer) }
}

/// By target and row.
type Tests = BTreeMap<(String, String), (ChangeTest, bool)>;

/// The English name of a language; its code where none is known.
fn name_of(source: &SourceLanguage) -> Result<String, ReportError> {
    let known = Languages::parse(include_str!("../../data/languages.toml"), "data/languages.toml")?;
    Ok(known.get(source.code()).map_or(source.code(), |language| &language.name).to_owned())
}

/// What the analysis says of the means over the other languages, where there is one.
fn tests(results: &StudyResults, names: SourceNames) -> Result<Tests, ReportError> {
    let rows: Vec<ComparisonRow> = results.study_rows()?;
    let of_table = rows.into_iter().filter(|row| row.scope == names.others);
    let test = |row: ComparisonRow| {
        let ComparisonRow { p_value, p_adjusted, minimum_detectable, .. } = row;
        let difference = Estimate { value: row.difference, ci_low: row.ci_low, ci_high: row.ci_high };
        let test = ChangeTest { difference, p_value, p_adjusted, minimum_detectable };
        ((row.target, row.row), (test, row.significant))
    };
    Ok(of_table.map(test).collect())
}

/// What a row reaches on a target over the seeds of its cells, of which there is one at least.
fn entry(names: SourceNames, numbers: &Numbers, cells: &[&Cell]) -> Entry {
    let Cell { at, metric, .. } = cells[0];
    let (target, row) = (at.target.as_str(), at.row.as_str());
    let non_english = numbers.group(target, row, names.others);
    let part = |name: &str| Some(numbers.metric(target, row, names.others, name)?.value);
    let parts = metric.iter().filter_map(|name| Some(((*name).to_owned(), part(name)?)));
    Entry {
        seeds: cells.len(),
        languages: non_english.as_ref().map_or(0, |number| number.languages),
        non_english: non_english.as_ref().map(Number::estimate),
        english: numbers.group(target, row, names.source).map(|number| number.value),
        parts: if metric.len() > 1 { parts.collect() } else { Vec::new() },
        change: None,
    }
}

/// The mean over all targets; none where one is missing, since a mean over others could not be compared.
fn average(entries: &[Option<Entry>]) -> Option<f64> {
    let values: Option<Vec<f64>> = entries.iter().map(|entry| Some(entry.as_ref()?.non_english?.value)).collect();
    values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

fn count_changes(row: &mut Row, none: &Row, targets: &[String], tests: &Tests) {
    for ((entry, base), target) in row.entries.iter_mut().zip(&none.entries).zip(targets) {
        let Some(entry) = entry else { continue };
        let base = base.as_ref().and_then(|base| base.non_english);
        let test = tests.get(&(target.clone(), row.name.clone()));
        entry.change = entry.non_english.zip(base).map(|(own, base)| Change {
            value: own.value - base.value,
            clear: test.is_some_and(|(_, significant)| *significant),
            test: test.map(|(test, _)| *test),
        });
    }
    if let (Some(own), Some(base)) = (&mut row.average, none.average) {
        own.change = Some(own.value - base.value);
    }
}

fn notes(results: &StudyResults, table: &StudyTable) -> Vec<String> {
    let study = &results.study;
    let entries: Vec<&Entry> = table.rows.iter().flat_map(|row| &row.entries).flatten().collect();
    let mut notes = vec![format!(
        "Figures are means over the non-{0} languages, on a scale of 0 to 100; {0} ({1}) stands beside them. \
         Brackets hold the 95% bootstrap interval over examples.",
        table.source_name,
        table.source.code()
    )];
    let changes: Vec<&Change> = entries.iter().filter_map(|entry| entry.change.as_ref()).collect();
    if !changes.is_empty() {
        let mut note = "Changes are counted against the row “none”, in points.".to_owned();
        note.push_str(match changes.iter().any(|change| change.test.is_some()) {
            true => {
                " An asterisk marks those that are significant: p below 0.05 by approximate randomisation on the same \
                 examples, after Holm's correction for all changes in the table."
            }
            false if study.id == IMPORTED => " `trestle compare` tells which of them are more than chance.",
            false => " Which of them are more than chance is not known before every cell is finished.",
        });
        notes.push(note);
    }
    notes.extend(detectable(table));
    if entries.iter().any(|entry| !entry.parts.is_empty()) {
        notes.push("Question answering is the mean of F1 and exact match.".to_owned());
    }
    let seeds = study.seeds.len();
    if seeds == 1 {
        notes.push(
            "One seed: intervals and asterisks are about these models, not about what another seed would have made."
                .to_owned(),
        );
    } else {
        notes.push(format!(
            "Every number is the median over {seeds} seeds. Whether a change is significant is judged by the mean difference, with \
             the variance between seeds."
        ));
    }
    let trained = table.rows.iter().filter(|row| row.name != CHANCE);
    let short = trained.flat_map(|row| &row.entries).filter(|e| e.as_ref().is_none_or(|e| e.seeds < seeds)).count();
    if short > 0 {
        let cells = if short == 1 { "1 cell is".to_owned() } else { format!("{short} cells are") };
        notes.push(match study.id == IMPORTED {
            true => format!("{cells} not there in every seed: import what is missing."),
            false => format!("{cells} not finished in every seed: run the study again to complete them."),
        });
    }
    notes
}

/// What each target's comparisons could have found.
fn detectable(table: &StudyTable) -> Option<String> {
    let mut of_targets = Vec::new();
    for (place, column) in table.columns.iter().enumerate() {
        let tests = table.rows.iter().filter_map(|row| row.entries[place].as_ref()?.change?.test);
        if let Some(median) = median(tests.map(|test| test.minimum_detectable)) {
            of_targets.push(format!("{} {median:.1}", column.target));
        }
    }
    (!of_targets.is_empty()).then(|| {
        format!(
            "The smallest true change, in points, that such a comparison finds four times out of five (before correction; \
             median over the rows): {}.",
            of_targets.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::{ResultsTable, fixture};
    use super::*;

    fn close(found: f64, want: f64) -> bool {
        (found - want).abs() < 1e-9
    }

    #[test]
    fn the_baseline_leads_and_numbers_are_medians_of_non_english_means() {
        let dir = tempfile::tempdir().unwrap();
        let table = study_table(&fixture::results(dir.path())).unwrap();
        let names: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, [CHANCE, NONE, "mnli"]);
        let none = table.rows[1].entries[0].as_ref().unwrap();
        // Seeds 1 and 2 have de 50, 52 and sw 40, 42.
        let estimate = none.non_english.unwrap();
        assert!(close(estimate.value, 46.0) && close(estimate.ci_low, 44.5) && close(estimate.ci_high, 47.5));
        assert!(close(none.english.unwrap(), 61.0));
        assert_eq!((none.seeds, none.languages, none.change), (2, 2, None));
        let mnli = table.rows[2].entries[0].as_ref().unwrap();
        assert!(close(mnli.change.unwrap().value, 6.0));
        assert!(table.rows[0].entries[0].as_ref().unwrap().change.is_none());
    }

    #[test]
    fn question_answering_is_the_mean_of_its_two_metrics() {
        let dir = tempfile::tempdir().unwrap();
        let table = study_table(&fixture::results(dir.path())).unwrap();
        let entry = table.rows[1].entries[1].as_ref().unwrap();
        assert!(close(entry.non_english.unwrap().value, 41.0));
        assert_eq!(entry.parts, [("f1".to_owned(), 46.0), ("exact_match".to_owned(), 36.0)]);
        assert_eq!(table.columns[1].metric, "mean of f1 and exact_match");
    }

    #[test]
    fn retrieval_takes_the_cells_layer_and_has_no_english() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let entry = table.rows[1].entries[2].as_ref().unwrap();
        assert!(close(entry.non_english.unwrap().value, 46.0) && entry.english.is_none());
        for cell in results.cells.iter_mut().filter(|cell| cell.layer.is_some()) {
            cell.layer = Some(1);
        }
        let entry = study_table(&results).unwrap().rows[1].entries[2].clone().unwrap();
        assert!(close(entry.non_english.unwrap().value, 26.0));
        results.cells.iter_mut().filter(|c| c.at.target == "tatoeba").for_each(|c| c.layer = Some(9));
        let message = study_table(&results).unwrap_err().to_string();
        assert!(message.contains("layer 9") && message.contains("summaries.parquet"), "{message}");
    }

    #[test]
    fn an_unfinished_row_has_no_average() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let average = table.rows[2].average.unwrap();
        assert!(close(average.value, (52.0 + 47.0 + 52.0) / 3.0) && close(average.change.unwrap(), 6.0));
        results.cells.retain(|cell| !(cell.at.target == "xnli" && cell.at.row == "mnli"));
        let table = study_table(&results).unwrap();
        assert!(table.rows[2].entries[0].is_none() && table.rows[2].average.is_none());
        assert!(table.notes.iter().any(|note| note.starts_with("1 cell is not finished")), "{:?}", table.notes);
    }

    #[test]
    fn changes_are_marked_by_the_analysis() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let changes: Vec<Change> =
            table.rows[2].entries.iter().map(|entry| entry.as_ref().unwrap().change.unwrap()).collect();
        assert_eq!(changes.iter().map(|change| change.clear).collect::<Vec<_>>(), [true, true, false]);
        let test = changes[0].test.unwrap();
        assert!(close(test.difference.value, 6.0) && close(test.p_adjusted, 0.003), "{test:?}");
        // Medians may differ the other way than the means that are tested.
        let turned = Change { value: -0.2, ..changes[0] };
        assert_eq!((turned.sign(), Change { clear: false, ..turned }.sign()), (Ordering::Greater, Ordering::Less));
        let found = table.notes.iter().find(|note| note.starts_with("The smallest true change")).unwrap();
        assert!(found.ends_with("xnli 2.0, xquad 2.0, tatoeba 9.0."), "{found}");
        // Before the analysis is there, nothing is said of significance.
        let mut unfinished = results;
        unfinished.tables.remove(&ResultsTable::Comparisons);
        let table = study_table(&unfinished).unwrap();
        let change = table.rows[2].entries[0].as_ref().unwrap().change.unwrap();
        assert!(close(change.value, 6.0) && !change.clear && change.test.is_none());
        assert!(table.notes.iter().any(|note| note.contains("not known before every cell")), "{:?}", table.notes);
    }
}
