//! Published scores beside ours, with their trust marks, and whether the two can be compared at all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::numbers::{Number, Numbers};
use super::super::reference::{self, PublishedRow};
use super::super::{CHANCE, Column, NONE, ReportError, StudyResults, StudyTable};
use super::origin;
use crate::task::Edition;

/// The published scores that concern a study.
pub(super) struct References {
    scores: Vec<PublishedRow>,
    /// Why each target's scores can't be compared with published ones; absent where they can.
    obstacles: BTreeMap<String, String>,
}

/// The table of published scores.
#[derive(Debug, Serialize)]
pub(super) struct ReferenceTable {
    pub models: Vec<String>,
    pub rows: Vec<ReferenceRow>,
    /// Whether any row can be compared.
    pub comparable: bool,
}

/// One target and metric: means over all its languages, the source language among them.
#[derive(Debug, Serialize)]
pub(super) struct ReferenceRow {
    pub target: String,
    pub metric: String,
    /// Ours without intermediate training.
    pub none: Option<Ours>,
    /// Our best other row and its score.
    pub best: Option<Ours>,
    /// Why the two can't be compared.
    pub obstacle: Option<String>,
    /// By model.
    pub published: Vec<Option<Published>>,
}

/// A number of ours.
#[derive(Debug, Serialize)]
pub(super) struct Ours {
    pub row: String,
    pub value: f64,
    /// Where it comes from: an element's id.
    pub origin: String,
}

/// A published number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Published {
    pub value: f64,
    pub trust: String,
    pub source: String,
}

/// The published scores of one system by language.
pub(super) struct System {
    pub model: String,
    pub scores: BTreeMap<String, Published>,
}

/// The group that published means are over.
const ALL: &str = "all";

impl References {
    /// Reads what is published and asks of each target whether ours can be compared with it.
    pub(super) fn read(results: &StudyResults, table: &StudyTable, numbers: &Numbers) -> Result<Self, ReportError> {
        let scores = reference::scores()?;
        let obstacles = table.columns.iter().filter_map(|column| {
            let published = scores.iter().filter(|score| score.task == column.target).collect::<Vec<_>>();
            let trained = table.rows.iter().filter(|row| row.name != CHANCE);
            let ours: Vec<Number> = trained.flat_map(|row| numbers.of_seeds(&column.target, &row.name, ALL)).collect();
            Some((column.target.clone(), obstacle(results, &column.target, &ours, &published)?))
        });
        let obstacles = obstacles.collect();
        Ok(Self { scores, obstacles })
    }

    fn of<'r>(&'r self, target: &'r str, metric: &'r str, language: &'r str) -> impl Iterator<Item = &'r PublishedRow> {
        let fits = move |score: &&PublishedRow| {
            (score.task.as_str(), score.metric.as_str(), score.language.as_str()) == (target, metric, language)
                && score.split == "test"
        };
        self.scores.iter().filter(fits)
    }

    /// The published scores of one system by language; none where ours can't be compared or nothing is published. A
    /// target with two headline metrics has their mean.
    pub(super) fn by_language(&self, column: &Column) -> Option<System> {
        if self.obstacles.contains_key(&column.target) {
            return None;
        }
        let metrics = metrics(column);
        let of_target = |score: &&PublishedRow| score.task == column.target && score.split == "test";
        let single = self.scores.iter().filter(of_target).filter(|score| score.language != "mean");
        let model = single.clone().map(|score| &score.model).next()?;
        let mut scores = BTreeMap::new();
        for code in single.filter(|score| score.model == *model).map(|score| &score.language) {
            let parts: Option<Vec<&PublishedRow>> = metrics
                .iter()
                .map(|metric| self.of(&column.target, metric, code).find(|score| score.model == *model))
                .collect();
            let Some(parts) = parts else { continue };
            let value = parts.iter().map(|score| score.value).sum::<f64>() / parts.len() as f64;
            let (trust, source) = (parts[0].trust.clone(), parts[0].source.clone());
            scores.insert(code.clone(), Published { value, trust, source });
        }
        Some(System { model: model.clone(), scores })
    }

    /// The table of means over all languages; none where nothing is published for the study's targets.
    pub(super) fn table(&self, table: &StudyTable, numbers: &Numbers) -> Option<ReferenceTable> {
        let mut models: Vec<String> = Vec::new();
        let mut rows = Vec::new();
        for column in &table.columns {
            for metric in metrics(column) {
                for score in self.of(&column.target, metric, "mean") {
                    if !models.contains(&score.model) {
                        models.push(score.model.clone());
                    }
                }
                rows.push((column, metric));
            }
        }
        let rows = rows.into_iter().filter_map(|(column, metric)| {
            let published: Vec<_> = models
                .iter()
                .map(|model| {
                    let score = self.of(&column.target, metric, "mean").find(|score| score.model == *model)?;
                    Some(Published { value: score.value, trust: score.trust.clone(), source: score.source.clone() })
                })
                .collect();
            if published.iter().all(Option::is_none) {
                return None;
            }
            let ours = |row: &str| {
                let value = numbers.metric(&column.target, row, ALL, metric)?.value;
                Some(Ours { row: row.to_owned(), value, origin: origin::id(table, &column.target, row) })
            };
            let rows = table.rows.iter().filter(|row| ![CHANCE, NONE].contains(&row.name.as_str()));
            let best = rows.filter_map(|row| ours(&row.name));
            Some(ReferenceRow {
                target: column.target.clone(),
                metric: metric.to_owned(),
                none: ours(NONE),
                best: best.max_by(|a, b| a.value.total_cmp(&b.value)),
                obstacle: self.obstacles.get(&column.target).cloned(),
                published,
            })
        });
        let rows: Vec<ReferenceRow> = rows.collect();
        let comparable = rows.iter().any(|row| row.obstacle.is_none());
        (!rows.is_empty()).then_some(ReferenceTable { models, rows, comparable })
    }
}

/// The headline metrics behind a column's name.
fn metrics(column: &Column) -> Vec<&str> {
    column.metric.strip_prefix("mean of ").unwrap_or(&column.metric).split(" and ").collect()
}

/// Why a target's scores can't be compared with published ones.
fn obstacle(results: &StudyResults, target: &str, ours: &[Number], published: &[&PublishedRow]) -> Option<String> {
    match results.edition_of(target) {
        Some(Edition::Mini) => return Some("another world (mini edition)".to_owned()),
        Some(Edition::Full) => {}
        None => return Some("it is not known which edition ours are of".to_owned()),
    }
    if !results.study.limits_of(target).is_empty() {
        return Some("splits are cut to limits".to_owned());
    }
    if !results.study.source.is_default() {
        return Some("those published were trained in English".to_owned());
    }
    if ours.is_empty() {
        return Some("nothing of ours to compare".to_owned());
    }
    ours.iter().find_map(|ours| {
        if published.iter().all(|score| score.split != ours.split) {
            return Some(format!("ours are of split {}", ours.split));
        }
        (!ours.missing.is_empty()).then(|| format!("ours lack {}", ours.missing))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::{fixture, study_table};
    use super::*;

    #[test]
    fn a_mini_study_is_never_comparable_and_a_full_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        for (edition, comparable) in [(Edition::Mini, false), (Edition::Full, true)] {
            results.cells.iter_mut().for_each(|cell| cell.edition = Some(edition));
            let table = study_table(&results).unwrap();
            let numbers = Numbers::read(&results).unwrap();
            let references = References::read(&results, &table, &numbers).unwrap();
            let found = references.table(&table, &numbers).unwrap();
            assert_eq!(found.comparable, comparable);
            let row = &found.rows[0];
            assert_eq!((row.target.as_str(), row.metric.as_str()), ("xnli", "accuracy"));
            let large = found.models.iter().position(|model| model == "XLM-R Large").unwrap();
            let published = row.published[large].as_ref().unwrap();
            assert_eq!((published.value, published.trust.as_str()), (79.2, "S"));
            // None has 60, 50, 40 with seed 1, and 2 more with seed 2.
            assert!((row.none.as_ref().unwrap().value - 51.0).abs() < 1e-9);
            let best = row.best.as_ref().unwrap();
            assert_eq!((best.row.as_str(), &best.origin), ("mnli", &origin::id(&table, "xnli", "mnli")));
            assert_eq!(references.by_language(&table.columns[0]).is_some(), comparable);
        }
        // Question answering: the mean of F1 86.5 and exact match 75.7 in English.
        let table = study_table(&results).unwrap();
        let numbers = Numbers::read(&results).unwrap();
        let references = References::read(&results, &table, &numbers).unwrap();
        let System { model, scores } = references.by_language(&table.columns[1]).unwrap();
        assert_eq!(model, "XLM-R Large");
        assert!((scores["en"].value - 81.1).abs() < 1e-9 && scores["en"].trust == "M+");
        let mut cut = results.clone();
        cut.study.limits.insert(crate::task::Split::Test, 10);
        let references = References::read(&cut, &table, &numbers).unwrap();
        assert!(references.table(&table, &numbers).unwrap().rows[0].obstacle.as_ref().unwrap().contains("cut"));
    }

    /// What keeps xnli from being compared.
    fn obstacle_of(results: &StudyResults) -> Option<String> {
        let (table, numbers) = (study_table(results).unwrap(), Numbers::read(results).unwrap());
        let references = References::read(results, &table, &numbers).unwrap();
        references.table(&table, &numbers).unwrap().rows[0].obstacle.clone()
    }

    #[test]
    fn what_cannot_be_compared_is_told_whichever_rows_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        results.cells.iter_mut().for_each(|cell| cell.edition = Some(Edition::Full));
        // One cell of the other edition, or of none that is known.
        for edition in [None, Some(Edition::Mini)] {
            let mut mixed = results.clone();
            mixed.cells[0].edition = edition;
            assert!(obstacle_of(&mixed).unwrap().contains("not known which edition"));
        }
        let mut german = results.clone();
        german.study.source = "de".into();
        assert!(obstacle_of(&german).unwrap().contains("trained in English"));
        // A second seed that lacks a language, of a row that is not `none`.
        results.cells.retain(|cell| cell.at.row != NONE);
        assert_eq!(obstacle_of(&results), None);
        let lacking = results.cells.iter_mut().find(|cell| (cell.at.row.as_str(), cell.at.seed) == ("mnli", 2));
        fixture::lacks(lacking.unwrap(), "th ur");
        assert_eq!(obstacle_of(&results).unwrap(), "ours lack th ur");
        results.cells.retain(|cell| cell.at.row == CHANCE);
        assert_eq!(obstacle_of(&results).unwrap(), "nothing of ours to compare");
    }
}
