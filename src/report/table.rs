//! The table of a study: intermediate tasks down, targets across, change against no intermediate training.
//!
//! A cell's value is the unweighted mean over the non-English languages of its headline metrics; where a target has two
//! (question answering: F1 and exact match), their mean, as XTREME's `evaluate.py` has it. Its interval is then the mean
//! of the two intervals: close to the true one where the two metrics rise and fall together, and wider where they do not. Over several
//! seeds, each number is the median.

use serde::Serialize;

use super::{CHANCE, Cell, NONE, ReportError, StudyResults, median, stage};
use crate::evaluate::headline_name;

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
    /// Signed.
    pub value: f64,
    /// Whether the two intervals have no point in common: a stricter test than an interval of the difference.
    pub clear: bool,
}

/// What one row reaches on one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Seeds that the numbers are the median of.
    pub seeds: usize,
    /// Non-English languages in the mean.
    pub languages: u32,
    /// Mean over them; none where only English was evaluated.
    pub non_english: Option<Estimate>,
    /// English; none where the target has no English part (retrieval).
    pub english: Option<f64>,
    /// Each headline metric on its own (mean over non-English languages), where there are several.
    pub parts: Vec<(String, f64)>,
    /// Against the row `none`.
    pub change: Option<Change>,
}

/// The mean of a row over all targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Average {
    /// Of the non-English means.
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
    pub intermediate: String,
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
    /// Targets.
    pub columns: Vec<Column>,
    /// The baseline first, then the study's order.
    pub rows: Vec<Row>,
    /// What a reader has to know to read the numbers right.
    pub notes: Vec<String>,
}

/// Makes the table of a study from its cells' summaries.
///
/// # Errors
/// Summaries that are missing or broken, or that lack a headline metric (at the cell's layer), named.
pub fn study_table(results: &StudyResults) -> Result<StudyTable, ReportError> {
    let targets = &results.study.targets;
    let mut rows = Vec::new();
    for name in results.rows() {
        let mut entries = Vec::new();
        for target in targets {
            let cells: Vec<&Cell> =
                results.of_target(target).into_iter().filter(|cell| cell.intermediate == name).collect();
            entries.push(if cells.is_empty() { None } else { Some(entry(&cells)?) });
        }
        let tasks = results.study.intermediate.get(name).cloned().unwrap_or_default();
        let average = average(&entries).map(|value| Average { value, change: None });
        rows.push(Row { intermediate: name.to_owned(), tasks, entries, average });
    }
    if let Some(none) = rows.iter().find(|row| row.intermediate == NONE).cloned() {
        for row in rows.iter_mut().filter(|row| ![NONE, CHANCE].contains(&row.intermediate.as_str())) {
            count_changes(row, &none);
        }
    }
    let columns = targets.iter().map(|target| column(results, target)).collect();
    let mut table = StudyTable {
        study: results.study.id.clone(),
        title: results.study.title.clone(),
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

/// The mean of a cell's headline metrics over a group of languages, and each of them; none where there is no such group.
type Group = Option<(Estimate, Vec<f64>, u32)>;

fn group(cell: &Cell, name: &str) -> Result<Group, ReportError> {
    let rows = stage::summaries(&cell.summaries)?;
    let mut found = Vec::new();
    for metric in cell.metric {
        let of_metric: Vec<_> = rows.iter().filter(|row| row.metric == *metric && row.layer == cell.layer).collect();
        if of_metric.is_empty() {
            return Err(ReportError::Summary {
                path: cell.summaries.clone(),
                target: cell.target.clone(),
                metric: (*metric).to_owned(),
                layer: cell.layer,
            });
        }
        found.extend(of_metric.into_iter().find(|row| row.of == name));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let mean =
        |number: fn(&stage::ScoreRow) -> f64| found.iter().map(|row| number(row)).sum::<f64>() / found.len() as f64;
    let estimate = Estimate { value: mean(|r| r.value), ci_low: mean(|r| r.ci_low), ci_high: mean(|r| r.ci_high) };
    Ok(Some((estimate, found.iter().map(|row| row.value).collect(), found[0].languages)))
}

/// The median over the seeds of one row and target; `cells` is not empty.
fn entry(cells: &[&Cell]) -> Result<Entry, ReportError> {
    let non_english: Vec<_> = cells
        .iter()
        .map(|cell| group(cell, "non-english"))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    let english: Vec<_> =
        cells.iter().map(|cell| group(cell, "english")).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let over_seeds = |number: fn(&Estimate) -> f64| median(non_english.iter().map(|(estimate, ..)| number(estimate)));
    let estimate = match (over_seeds(|e| e.value), over_seeds(|e| e.ci_low), over_seeds(|e| e.ci_high)) {
        (Some(value), Some(ci_low), Some(ci_high)) => Some(Estimate { value, ci_low, ci_high }),
        _ => None,
    };
    let metrics = cells[0].metric;
    let part = |index: usize| median(non_english.iter().map(|(_, parts, _)| parts[index]));
    let parts = metrics.iter().enumerate().filter_map(|(index, metric)| Some(((*metric).to_owned(), part(index)?)));
    Ok(Entry {
        seeds: cells.len(),
        languages: non_english.first().map_or(0, |(_, _, languages)| *languages),
        non_english: estimate,
        english: median(english.iter().map(|(estimate, ..)| estimate.value)),
        parts: if metrics.len() > 1 { parts.collect() } else { Vec::new() },
        change: None,
    })
}

/// The mean over all targets; none where one is missing, since a mean over others could not be compared.
fn average(entries: &[Option<Entry>]) -> Option<f64> {
    let values: Option<Vec<f64>> = entries.iter().map(|entry| Some(entry.as_ref()?.non_english?.value)).collect();
    values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

fn count_changes(row: &mut Row, none: &Row) {
    for (entry, base) in row.entries.iter_mut().zip(&none.entries) {
        let Some(entry) = entry else { continue };
        let base = base.as_ref().and_then(|base| base.non_english);
        entry.change = entry.non_english.zip(base).map(|(own, base)| Change {
            value: own.value - base.value,
            clear: own.ci_low > base.ci_high || own.ci_high < base.ci_low,
        });
    }
    if let (Some(own), Some(base)) = (&mut row.average, none.average) {
        own.change = Some(own.value - base.value);
    }
}

fn notes(results: &StudyResults, table: &StudyTable) -> Vec<String> {
    let study = &results.study;
    let entries: Vec<&Entry> = table.rows.iter().flat_map(|row| &row.entries).flatten().collect();
    let mut notes = vec![
        "Figures are means over the non-English languages, on a scale of 0 to 100; English (en) stands beside them. \
         Brackets hold the 95% bootstrap interval over examples."
            .to_owned(),
    ];
    if entries.iter().any(|entry| entry.change.is_some()) {
        notes.push(
            "Changes are counted against the row “none”, in points. An asterisk marks those whose interval and that of \
             “none” do not overlap."
                .to_owned(),
        );
    }
    if entries.iter().any(|entry| !entry.parts.is_empty()) {
        notes.push(
            "Question answering is the mean of F1 and exact match; its interval is the mean of theirs, which is rather \
             too wide than too narrow."
                .to_owned(),
        );
    }
    let seeds = study.seeds.len();
    if seeds == 1 {
        notes.push(
            "One seed: differences between trainings that chance alone makes are not in the intervals.".to_owned(),
        );
    } else {
        notes.push(format!("Every number is the median over {seeds} seeds."));
    }
    let trained = table.rows.iter().filter(|row| row.intermediate != CHANCE);
    let short = trained.flat_map(|row| &row.entries).filter(|e| e.as_ref().is_none_or(|e| e.seeds < seeds)).count();
    if short > 0 {
        notes.push(format!("{short} cells are not finished in every seed: run the study again to complete them."));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn close(found: f64, want: f64) -> bool {
        (found - want).abs() < 1e-9
    }

    #[test]
    fn the_baseline_leads_and_numbers_are_medians_of_non_english_means() {
        let dir = tempfile::tempdir().unwrap();
        let table = study_table(&fixture::results(dir.path())).unwrap();
        let names: Vec<&str> = table.rows.iter().map(|row| row.intermediate.as_str()).collect();
        assert_eq!(names, [CHANCE, NONE, "mnli"]);
        let none = table.rows[1].entries[0].as_ref().unwrap();
        // Seeds 1 and 2 have de 50, 52 and sw 40, 42.
        let estimate = none.non_english.unwrap();
        assert!(close(estimate.value, 46.0) && close(estimate.ci_low, 44.5) && close(estimate.ci_high, 47.5));
        assert!(close(none.english.unwrap(), 61.0));
        assert_eq!((none.seeds, none.languages, none.change), (2, 2, None));
        let mnli = table.rows[2].entries[0].as_ref().unwrap();
        let change = mnli.change.unwrap();
        assert!(close(change.value, 6.0) && change.clear);
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
        results.cells.iter_mut().filter(|c| c.target == "tatoeba").for_each(|c| c.layer = Some(9));
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
        results.cells.retain(|cell| !(cell.target == "xnli" && cell.intermediate == "mnli"));
        let table = study_table(&results).unwrap();
        assert!(table.rows[2].entries[0].is_none() && table.rows[2].average.is_none());
        assert!(table.notes.iter().any(|note| note.starts_with("1 cells")), "{:?}", table.notes);
    }

    #[test]
    fn overlapping_intervals_make_no_clear_change() {
        let estimate = |value: f64| Estimate { value, ci_low: value - 1.0, ci_high: value + 1.0 };
        let entry = |value| Entry {
            seeds: 1,
            languages: 1,
            non_english: Some(estimate(value)),
            english: None,
            parts: vec![],
            change: None,
        };
        let row = |value| Row {
            intermediate: String::new(),
            tasks: vec![],
            entries: vec![Some(entry(value))],
            average: None,
        };
        for (value, clear) in [(51.9, false), (52.1, true), (47.9, true), (48.1, false)] {
            let mut own = row(value);
            count_changes(&mut own, &row(50.0));
            assert_eq!(own.entries[0].as_ref().unwrap().change.unwrap().clear, clear, "{value}");
        }
    }
}
