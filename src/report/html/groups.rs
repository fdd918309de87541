//! Scores by group of languages (family, script, resource, pretraining), and the gap between the source language and the others.

use serde::Serialize;

use super::super::draw::{self, Band, Bar, COLORS};
use super::super::numbers::{Number, Numbers};
use super::super::terminal::one;
use super::super::{CHANCE, Column, ReportError, StudyTable};
use super::origin;
use crate::evaluate::SourceNames;

/// The kinds of groups, by the word before `=` in their names, and what the page calls them. Languages are sorted into
/// resource levels by the size of their text in CC-100.
const KINDS: [(&str, &str); 4] = [
    ("family", "language family"),
    ("script", "script"),
    ("resource", "resources (text in CC-100)"),
    ("pretraining", "XLM-R's pretraining (seen or not)"),
];

/// Resource levels in their order; other groups are sorted by name.
const LEVELS: [&str; 4] = ["high", "mid", "low", "none"];

/// One target's groups.
#[derive(Debug, Serialize)]
pub(super) struct Groups {
    pub column: Column,
    pub kinds: Vec<Kind>,
}

/// One way to group languages.
#[derive(Debug, Serialize)]
pub(super) struct Kind {
    pub id: &'static str,
    pub title: &'static str,
    /// None where nothing trained is finished.
    pub chart: Option<String>,
    pub rows: Vec<String>,
    pub groups: Vec<Group>,
}

/// A line of a kind's table; also of the table of gaps, where a line is a target.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub name: String,
    /// Languages in the mean.
    pub languages: u32,
    /// In the order of rows.
    pub cells: Vec<Option<GroupCell>>,
}

/// What a row reaches.
#[derive(Debug, Serialize)]
pub(super) struct GroupCell {
    pub value: f64,
    /// Value and interval in words.
    pub words: String,
    /// Where it comes from: an element's id.
    pub origin: String,
}

/// The gaps of all targets.
#[derive(Debug, Serialize)]
pub(super) struct Gaps {
    pub chart: Option<String>,
    pub rows: Vec<String>,
    pub targets: Vec<Group>,
}

/// The groups of every target that has some.
pub(super) fn groups(table: &StudyTable, numbers: &Numbers) -> Result<Vec<Groups>, ReportError> {
    let mut found = Vec::new();
    for column in &table.columns {
        let mut kinds = Vec::new();
        for (id, title) in KINDS {
            kinds.extend(kind(table, column, numbers, id, title)?);
        }
        if !kinds.is_empty() {
            found.push(Groups { column: column.clone(), kinds });
        }
    }
    Ok(found)
}

fn kind(
    table: &StudyTable,
    column: &Column,
    numbers: &Numbers,
    id: &'static str,
    title: &'static str,
) -> Result<Option<Kind>, ReportError> {
    let prefix = format!("{id}=");
    let mut names: Vec<String> = numbers
        .groups(&column.target)
        .iter()
        .filter_map(|group| Some(group.strip_prefix(&prefix)?.to_owned()))
        .collect();
    names.sort_by_key(|name| (LEVELS.iter().position(|level| level == name).unwrap_or(LEVELS.len()), name.clone()));
    let lines: Vec<(String, Vec<Option<Number>>)> = names
        .into_iter()
        .map(|name| {
            let group = format!("{prefix}{name}");
            let rows = table.rows.iter();
            (name, rows.map(|row| numbers.group(&column.target, &row.name, &group)).collect())
        })
        .collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let chart = chart(table, &lines)?;
    let groups = lines.into_iter().map(|(name, numbers)| line(table, &column.target, name, numbers));
    let (rows, groups) = (names_of(table), groups.collect());
    Ok(Some(Kind { id, title, chart, rows, groups }))
}

/// The gap of every target that has the source language; none where no target has.
pub(super) fn gaps(table: &StudyTable, numbers: &Numbers) -> Result<Option<Gaps>, ReportError> {
    let gap = SourceNames::of(&table.source).gap;
    let lines: Vec<(String, Vec<Option<Number>>)> = table
        .columns
        .iter()
        .map(|column| {
            let rows = table.rows.iter();
            (column.target.clone(), rows.map(|row| numbers.group(&column.target, &row.name, gap)).collect())
        })
        .filter(|(_, numbers): &(String, Vec<Option<Number>>)| numbers.iter().any(Option::is_some))
        .collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let chart = chart(table, &lines)?;
    let targets = lines.into_iter().map(|(target, numbers)| line(table, &target.clone(), target, numbers));
    Ok(Some(Gaps { chart, rows: names_of(table), targets: targets.collect() }))
}

fn names_of(table: &StudyTable) -> Vec<String> {
    table.rows.iter().map(|row| row.name.clone()).collect()
}

fn line(table: &StudyTable, target: &str, name: String, numbers: Vec<Option<Number>>) -> Group {
    let languages = numbers.iter().flatten().map(|number| number.languages).max().unwrap_or(0);
    let cells = numbers.into_iter().zip(&table.rows).map(|(number, row)| {
        let number = number?;
        let missing = if number.missing.is_empty() { String::new() } else { format!("; without {}", number.missing) };
        let words = format!("{:.2} [{:.2}, {:.2}]{missing}", number.value, number.ci_low, number.ci_high);
        Some(GroupCell { value: number.value, words, origin: origin::id(table, target, &row.name) })
    });
    Group { name, languages, cells: cells.collect() }
}

/// A band a line, a bar a row; the baseline that guesses stands only in the table, as does a line that it has alone.
fn chart(table: &StudyTable, lines: &[(String, Vec<Option<Number>>)]) -> Result<Option<String>, ReportError> {
    let (mut low, mut high) = (0.0f64, 10.0f64);
    let mut bands = Vec::new();
    for (name, numbers) in lines {
        let trained = numbers.iter().zip(&table.rows).filter(|(_, row)| row.name != CHANCE);
        let trained: Vec<Option<&Number>> = trained.map(|(number, _)| number.as_ref()).collect();
        let Some(best) = trained.iter().flatten().map(|number| number.value).reduce(f64::max) else { continue };
        for number in trained.iter().flatten() {
            (low, high) = (low.min(number.value).min(number.ci_low), high.max(number.value).max(number.ci_high));
        }
        let bar = |(place, number): (usize, &Option<&Number>)| {
            let number = (*number)?;
            Some(Bar { color: place % COLORS, value: number.value, interval: Some((number.ci_low, number.ci_high)) })
        };
        bands.push(Band { label: name.clone(), note: one(best), bars: trained.iter().enumerate().map(bar).collect() });
    }
    if bands.is_empty() { Ok(None) } else { draw::bars(&bands, low..high).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::super::super::{fixture, study_table};
    use super::*;

    #[test]
    fn groups_are_those_of_the_summaries_with_levels_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let numbers = Numbers::read(&results).unwrap();
        let found = groups(&table, &numbers).unwrap();
        let ids: Vec<&str> = found[0].kinds.iter().map(|kind| kind.id).collect();
        assert_eq!(ids, ["family", "resource"]);
        let names = |kind: &Kind| kind.groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found[0].kinds[0]), ["Indo-European", "Niger-Congo"]);
        assert_eq!(names(&found[0].kinds[1]), ["high", "low"]);
        // Seeds 1 and 2 after mnli: 46 and 48 in Swahili.
        let cell = found[0].kinds[0].groups[1].cells[2].as_ref().unwrap();
        assert!((cell.value - 47.0).abs() < 1e-9 && cell.words.starts_with("47.00 ["));
        assert_eq!(cell.origin, origin::id(&table, "xnli", "mnli"));
        let gaps = gaps(&table, &numbers).unwrap().unwrap();
        let targets: Vec<&str> = gaps.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(targets, ["xnli", "xquad"], "retrieval has no English");
        assert!((gaps.targets[0].cells[1].as_ref().unwrap().value - 15.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_finished_is_not_drawn_as_zero() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        results.cells.retain(|cell| cell.at.target != "xquad" || cell.at.row == CHANCE);
        results.cells.retain(|cell| cell.at.target != "xnli" || cell.at.row != "none");
        let table = study_table(&results).unwrap();
        // English less the others in the fixture, seen as a gap below zero.
        let mut of_mnli = Numbers::read(&results).unwrap().group("xnli", "mnli", "english-gap").unwrap();
        (of_mnli.value, of_mnli.ci_low, of_mnli.ci_high) = (-5.0, -6.0, -4.0);
        let drawn = chart(&table, &[("below".to_owned(), vec![None, None, Some(of_mnli.clone())])]).unwrap().unwrap();
        assert!(drawn.contains("-5.0") && !drawn.contains(">\n0.0"), "{drawn}");
        assert!(chart(&table, &[("chance alone".to_owned(), vec![Some(of_mnli), None, None])]).unwrap().is_none());
        let gaps = gaps(&table, &Numbers::read(&results).unwrap()).unwrap().unwrap();
        assert_eq!(gaps.targets.len(), 2, "the table has both targets");
        let drawn = gaps.chart.unwrap();
        assert!(drawn.contains("xnli") && !drawn.contains("xquad"), "{drawn}");
    }
}
