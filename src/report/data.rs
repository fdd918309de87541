//! What a study's tasks hold: the tokenizer's work by language and the labels by split, as charts and tables, and the
//! evaluation data that training data hold as well.

use std::collections::BTreeMap;

use serde::Serialize;

use super::draw::{self, Band, COLORS, Stack};
use super::{ReportError, StudyResults};
use crate::audit::{Overlap, Profile, TokenProfile};
use crate::task::Split;

/// Most labels that are shown; the last then stands for all others.
const LABELS: usize = 8;
const OTHERS: usize = COLORS - 1;
/// Most overlaps that are listed.
const LISTED: usize = 30;

/// One task's panel.
#[derive(Debug, Serialize)]
pub(super) struct TaskData {
    pub task: String,
    /// The split whose languages are shown.
    pub split: String,
    /// Chart of tokens per word by language; none where nothing was tokenised.
    pub fertility: Option<String>,
    /// Chart of the labels of each split; none where there are no labels.
    pub distribution: Option<String>,
    pub languages: Vec<LanguageData>,
    pub labels: Vec<SplitLabels>,
    /// Label and colour.
    pub legend: Vec<(String, usize)>,
}

/// The shown split in one language.
#[derive(Debug, Serialize)]
pub(super) struct LanguageData {
    pub language: String,
    pub examples: u64,
    pub length_median: u32,
    pub length_p95: u32,
    pub duplicates: u64,
    pub tokens: Option<Tokens>,
}

/// What the tokenizer makes of a language.
#[derive(Debug, Serialize)]
pub(super) struct Tokens {
    pub per_word: f64,
    /// Percent of the examples that lost text, and of the tokens that are unknown.
    pub truncated: f64,
    pub unknown: f64,
}

/// How often each label stands in one split, all languages together.
#[derive(Debug, Serialize)]
pub(super) struct SplitLabels {
    pub split: String,
    pub total: u64,
    pub parts: Vec<LabelPart>,
}

/// One label in a split.
#[derive(Debug, Serialize)]
pub(super) struct LabelPart {
    pub label: String,
    pub color: usize,
    pub percent: f64,
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

/// A panel a task, by task.
pub(super) fn panels(results: &StudyResults) -> Result<Vec<TaskData>, ReportError> {
    let profiles: Vec<Profile> = results.study_rows()?;
    profiles.chunk_by(|a, b| a.task == b.task).map(|of_task| panel(&of_task[0].task, of_task)).collect()
}

fn panel(task: &str, rows: &[Profile]) -> Result<TaskData, ReportError> {
    let mut splits: Vec<Split> = rows.iter().map(|row| row.split).collect();
    splits.dedup();
    // The split in the most languages; of several, the last: where there is a test split, it is that.
    let of_split = |split: Split| rows.iter().filter(move |row| row.split == split);
    let split = splits.iter().copied().max_by_key(|split| of_split(*split).count()).unwrap_or(Split::Test);
    let languages: Vec<LanguageData> = of_split(split).map(language).collect();
    let band = |row: &LanguageData| {
        let tokens = row.tokens.as_ref()?;
        let cut = if tokens.truncated > 0.0 { format!(" · {:.1}% cut", tokens.truncated) } else { String::new() };
        let bar = draw::Bar { color: 0, value: tokens.per_word, interval: None };
        Some(Band { label: row.language.clone(), note: format!("{:.2}{cut}", tokens.per_word), bars: vec![Some(bar)] })
    };
    let bands: Vec<Band> = languages.iter().filter_map(band).collect();
    let largest = languages.iter().filter_map(|row| Some(row.tokens.as_ref()?.per_word)).fold(0.1, f64::max);
    let fertility = if bands.is_empty() { None } else { Some(draw::bars(&bands, 0.0..largest)?) };
    let (labels, legend) = distribution(&splits, rows);
    let stacks: Vec<Stack> = labels.iter().map(SplitLabels::stack).collect();
    let distribution = if stacks.is_empty() { None } else { Some(draw::stacks(&stacks)?) };
    let (task, split) = (task.to_owned(), split.to_string());
    Ok(TaskData { task, split, fertility, distribution, languages, labels, legend })
}

fn language(row: &Profile) -> LanguageData {
    let tokens = row.tokens.map(|tokens: TokenProfile| Tokens {
        per_word: tokens.tokens_per_word,
        truncated: 100.0 * tokens.truncated_share,
        unknown: 100.0 * tokens.unknown_share,
    });
    LanguageData {
        language: row.language.clone(),
        examples: row.examples,
        length_median: row.length_median,
        length_p95: row.length_p95,
        duplicates: row.duplicates,
        tokens,
    }
}

impl SplitLabels {
    fn stack(&self) -> Stack {
        let parts = self.parts.iter().map(|part| (part.color, part.percent / 100.0)).collect();
        Stack { label: self.split.clone(), note: self.total.to_string(), parts }
    }
}

/// The label bars of each split that has gold: the most frequent labels by name, the others together.
fn distribution(splits: &[Split], rows: &[Profile]) -> (Vec<SplitLabels>, Vec<(String, usize)>) {
    let mut all: Vec<(String, u64)> = Vec::new();
    for (label, count) in rows.iter().flat_map(|row| &row.labels.0) {
        match all.iter_mut().find(|(known, _)| known == label) {
            Some((_, sum)) => *sum += count,
            None => all.push((label.clone(), *count)),
        }
    }
    let mut legend: Vec<(String, usize)> = Vec::new();
    if all.len() <= LABELS {
        legend.extend(all.into_iter().map(|(label, _)| label).zip(0..));
    } else {
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        legend.extend(all.into_iter().take(LABELS - 1).map(|(label, _)| label).zip(0..));
        legend.push(("others".to_owned(), OTHERS));
    }
    let mut found = Vec::new();
    for split in splits {
        // By the label's place in the legend.
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for (label, count) in rows.iter().filter(|row| row.split == *split).flat_map(|row| &row.labels.0) {
            let place = legend.iter().position(|(known, _)| known == label).unwrap_or(legend.len() - 1);
            *counts.entry(place).or_insert(0) += count;
        }
        let total: u64 = counts.values().sum();
        if total == 0 {
            continue;
        }
        let parts = counts.into_iter().map(|(place, count)| {
            let (label, color) = legend[place].clone();
            LabelPart { label, color, percent: 100.0 * count as f64 / total as f64 }
        });
        let parts = parts.collect();
        found.push(SplitLabels { split: split.to_string(), total, parts });
    }
    (found, legend)
}

/// The largest overlaps, by share, and how many there are in all.
pub(super) fn overlaps(results: &StudyResults) -> Result<(Vec<OverlapRow>, usize), ReportError> {
    let overlaps: Vec<Overlap> = results.study_rows()?;
    let found = overlaps.into_iter().filter(|row| row.found > 0);
    let mut rows: Vec<OverlapRow> = found
        .map(|row| OverlapRow {
            source: format!("{} {}", row.source_task, row.source_split),
            evaluated: format!("{} {} {}", row.task, row.split, row.language),
            percent: 100.0 * row.share,
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
    use crate::audit::Labels;

    #[test]
    fn bars_show_the_split_with_the_most_languages() {
        let dir = tempfile::tempdir().unwrap();
        let panels = panels(&fixture::results(dir.path())).unwrap();
        let [mnli, xnli] = panels.as_slice() else { unreachable!() };
        assert_eq!((mnli.task.as_str(), mnli.split.as_str()), ("mnli", "validation"));
        assert!(mnli.fertility.is_none() && mnli.distribution.is_some());
        assert_eq!(xnli.split.as_str(), "test");
        let shown = |row: &LanguageData| (row.language.clone(), row.tokens.as_ref().unwrap().per_word);
        let bars: Vec<(String, f64)> = xnli.languages.iter().map(shown).collect();
        assert_eq!(bars, [("de", 1.5), ("en", 1.25), ("sw", 2.0)].map(|(code, value)| (code.to_owned(), value)));
        assert!(xnli.fertility.as_ref().unwrap().contains("2.00 · 10.0% cut"));
    }

    #[test]
    fn the_labels_of_a_split_fill_its_bar() {
        let dir = tempfile::tempdir().unwrap();
        let panels = panels(&fixture::results(dir.path())).unwrap();
        assert_eq!(panels[0].labels.len(), 2);
        for split in panels.iter().flat_map(|panel| &panel.labels) {
            assert!((split.parts.iter().map(|part| part.percent).sum::<f64>() - 100.0).abs() < 1e-9);
        }
        let mut row = fixture::results(dir.path()).study_rows::<Profile>().unwrap().remove(0);
        row.split = Split::Test;
        row.labels = Labels((0..17).map(|tag| (format!("T{tag}"), 100 - tag)).collect());
        let (bars, legend) = distribution(&[Split::Test], &[row]);
        assert_eq!((legend.len(), bars[0].parts.len()), (LABELS, LABELS));
        assert_eq!(legend[LABELS - 1], ("others".to_owned(), OTHERS));
        // 100 - 7 to 100 - 16 of a sum of 1564.
        assert!((bars[0].parts[LABELS - 1].percent - 100.0 * 885.0 / 1564.0).abs() < 1e-9);
    }

    #[test]
    fn overlaps_are_listed_by_share() {
        let dir = tempfile::tempdir().unwrap();
        let (rows, all) = overlaps(&fixture::results(dir.path())).unwrap();
        let shown: Vec<(&str, f64)> = rows.iter().map(|row| (row.evaluated.as_str(), row.percent)).collect();
        assert_eq!((shown, all), (vec![("xquad test en", 50.0), ("xnli test en", 1.0)], 2));
    }
}
