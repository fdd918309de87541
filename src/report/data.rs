//! What a study's tasks hold: the tokenizer's work by language and the labels by split, as numbers of inline SVGs, and
//! the evaluation data that training data hold as well.

use std::collections::BTreeMap;

use serde::Serialize;

use super::chart::{COLORS, WIDTH};
use super::{ReportError, StudyResults, stage};
use crate::audit::{Overlap, Profile, TokenProfile};
use crate::schema;
use crate::task::Split;

/// Height of a bar with the space around it, in the chart's units.
const ROW: f64 = 18.0;
const BAR: f64 = 11.0;
/// Space for languages and splits.
const LEFT: f64 = 64.0;
/// Space for numbers.
const RIGHT: f64 = 96.0;
/// Most overlaps that are listed.
const LISTED: usize = 30;

/// One task's panel.
#[derive(Debug, Serialize)]
pub(super) struct TaskData {
    pub task: String,
    /// The split whose languages are shown.
    pub split: String,
    pub fertility: Vec<Bar>,
    pub labels: Vec<SplitLabels>,
    /// Label and colour.
    pub legend: Vec<(String, usize)>,
    /// Height of each chart.
    pub heights: [f64; 2],
}

/// Tokens per word in one language.
#[derive(Debug, Serialize)]
pub(super) struct Bar {
    pub language: String,
    pub examples: u64,
    pub value: f64,
    /// Percent of the examples that lost text, and of the tokens that are unknown.
    pub truncated: f64,
    pub unknown: f64,
    pub y: f64,
    pub width: f64,
}

/// How often each label stands in one split, all languages together.
#[derive(Debug, Serialize)]
pub(super) struct SplitLabels {
    pub split: String,
    pub total: u64,
    pub y: f64,
    pub parts: Vec<LabelPart>,
}

/// One label's stretch of a split's bar.
#[derive(Debug, Serialize)]
pub(super) struct LabelPart {
    pub label: String,
    pub color: usize,
    pub percent: f64,
    pub x: f64,
    pub width: f64,
}

/// A row of the table of overlaps.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct OverlapRow {
    pub source: String,
    pub evaluated: String,
    pub field: String,
    pub kind: String,
    pub compared: u64,
    pub found: u64,
    pub percent: f64,
}

/// Where charts begin and end: the left and the right edge of the bars.
pub(super) const PLOT: [f64; 2] = [LEFT, WIDTH - RIGHT];
/// Height of a bar.
pub(super) const THICKNESS: f64 = BAR;

/// A panel a task, by task.
pub(super) fn panels(results: &StudyResults) -> Result<Vec<TaskData>, ReportError> {
    let mut panels = Vec::new();
    for (task, table) in &results.profiles {
        let batch = stage::read(&table.path, schema::table("profiles"))?;
        panels.push(panel(task, &Profile::rows(&batch)));
    }
    Ok(panels)
}

fn panel(task: &str, rows: &[Profile]) -> TaskData {
    let mut splits: Vec<Split> = rows.iter().map(|row| row.split).collect();
    splits.dedup();
    // The split in the most languages; of several, the last: where there is a test split, it is that.
    let of_split = |split: Split| rows.iter().filter(move |row| row.split == split);
    let split = splits.iter().copied().max_by_key(|split| of_split(*split).count()).unwrap_or(Split::Test);
    let tokenised: Vec<(&Profile, TokenProfile)> = of_split(split).filter_map(|row| Some((row, row.tokens?))).collect();
    let largest = tokenised.iter().map(|(_, tokens)| tokens.tokens_per_word).fold(f64::MIN_POSITIVE, f64::max);
    let bars = tokenised.iter().enumerate().map(|(place, (row, tokens))| Bar {
        language: row.language.clone(),
        examples: row.examples,
        value: tokens.tokens_per_word,
        truncated: 100.0 * tokens.truncated_share,
        unknown: 100.0 * tokens.unknown_share,
        y: place as f64 * ROW,
        width: (PLOT[1] - PLOT[0]) * tokens.tokens_per_word / largest,
    });
    let fertility: Vec<Bar> = bars.collect();
    let (labels, legend) = distribution(&splits, rows);
    let heights = [fertility.len() as f64 * ROW, labels.len() as f64 * ROW];
    TaskData { task: task.to_owned(), split: split.to_string(), fertility, labels, legend, heights }
}

/// The label bars of each split that has gold: the most frequent labels by name, the others together.
fn distribution(splits: &[Split], rows: &[Profile]) -> (Vec<SplitLabels>, Vec<(String, usize)>) {
    let mut all: Vec<(String, u64)> = Vec::new();
    for (label, count) in rows.iter().flat_map(|row| &row.labels) {
        match all.iter_mut().find(|(known, _)| known == label) {
            Some((_, sum)) => *sum += count,
            None => all.push((label.clone(), *count)),
        }
    }
    let mut legend: Vec<(String, usize)> = Vec::new();
    if all.len() <= COLORS {
        legend.extend(all.into_iter().map(|(label, _)| label).zip(0..));
    } else {
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        legend.extend(all.into_iter().take(COLORS - 1).map(|(label, _)| label).zip(0..));
        legend.push(("others".to_owned(), COLORS - 1));
    }
    let mut bars = Vec::new();
    for split in splits {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for (label, count) in rows.iter().filter(|row| row.split == *split).flat_map(|row| &row.labels) {
            let color = legend.iter().find(|(known, _)| known == label).map_or(COLORS - 1, |(_, color)| *color);
            *counts.entry(color).or_insert(0) += count;
        }
        let total: u64 = counts.values().sum();
        if total == 0 {
            continue;
        }
        let mut x = PLOT[0];
        let parts = counts.into_iter().map(|(color, count)| {
            let share = count as f64 / total as f64;
            let (begin, width) = (x, (PLOT[1] - PLOT[0]) * share);
            x += width;
            LabelPart { label: legend[color].0.clone(), color, percent: 100.0 * share, x: begin, width }
        });
        let parts = parts.collect();
        bars.push(SplitLabels { split: split.to_string(), total, y: bars.len() as f64 * ROW, parts });
    }
    (bars, legend)
}

/// The largest overlaps, by share, and how many there are in all.
pub(super) fn overlaps(results: &StudyResults) -> Result<(Vec<OverlapRow>, usize), ReportError> {
    let Some(table) = &results.overlap else { return Ok((Vec::new(), 0)) };
    let batch = stage::read(&table.path, schema::table("overlap"))?;
    let found = Overlap::rows(&batch).into_iter().filter(|row| row.found > 0);
    let mut rows: Vec<OverlapRow> = found
        .map(|row| OverlapRow {
            source: format!("{} {}", row.source_task, row.source_split),
            evaluated: format!("{} {} {}", row.task, row.split, row.language),
            percent: 100.0 * row.share(),
            field: row.field,
            kind: row.kind,
            compared: row.compared,
            found: row.found,
        })
        .collect();
    rows.sort_by(|a, b| b.percent.total_cmp(&a.percent));
    let all = rows.len();
    rows.truncate(LISTED);
    Ok((rows, all))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn bars_show_the_split_with_the_most_languages() {
        let dir = tempfile::tempdir().unwrap();
        let panels = panels(&fixture::results(dir.path())).unwrap();
        let [mnli, xnli] = panels.as_slice() else { unreachable!() };
        assert_eq!((mnli.task.as_str(), mnli.split.as_str(), mnli.fertility.len()), ("mnli", "validation", 0));
        assert_eq!((xnli.split.as_str(), xnli.heights), ("test", [3.0 * ROW, ROW]));
        let bars: Vec<(&str, f64)> = xnli.fertility.iter().map(|bar| (bar.language.as_str(), bar.value)).collect();
        assert_eq!(bars, [("de", 1.5), ("en", 1.25), ("sw", 2.0)]);
        assert!((xnli.fertility[2].width - (PLOT[1] - PLOT[0])).abs() < 1e-9);
        assert!((xnli.fertility[0].width / xnli.fertility[2].width - 0.75).abs() < 1e-9);
    }

    #[test]
    fn the_labels_of_a_split_fill_its_bar() {
        let dir = tempfile::tempdir().unwrap();
        let panels = panels(&fixture::results(dir.path())).unwrap();
        assert_eq!(panels[0].labels.len(), 2);
        for split in panels.iter().flat_map(|panel| &panel.labels) {
            let last = split.parts.last().unwrap();
            assert!((last.x + last.width - PLOT[1]).abs() < 1e-9 && split.parts[0].x == PLOT[0]);
            assert!((split.parts.iter().map(|part| part.percent).sum::<f64>() - 100.0).abs() < 1e-9);
        }
        let batch =
            stage::read(&fixture::results(dir.path()).profiles["xnli"].path, schema::table("profiles")).unwrap();
        let mut row = Profile::rows(&batch).remove(0);
        row.labels = (0..17).map(|tag| (format!("T{tag}"), 100 - tag)).collect();
        let (bars, legend) = distribution(&[Split::Test], &[row]);
        assert_eq!((legend.len(), bars[0].parts.len()), (COLORS, COLORS));
        assert_eq!(legend[COLORS - 1].0, "others");
        // 100 - 7 to 100 - 16 of a sum of 1564.
        assert!((bars[0].parts[COLORS - 1].percent - 100.0 * 885.0 / 1564.0).abs() < 1e-9);
    }

    #[test]
    fn overlaps_are_listed_by_share() {
        let dir = tempfile::tempdir().unwrap();
        let (rows, all) = overlaps(&fixture::results(dir.path())).unwrap();
        let shown: Vec<(&str, f64)> = rows.iter().map(|row| (row.evaluated.as_str(), row.percent)).collect();
        assert_eq!((shown, all), (vec![("xquad test en", 50.0), ("xnli test en", 1.0)], 2));
    }
}
