//! Heat maps: score by language and row, one map a target.

use serde::Serialize;

use super::super::numbers::Numbers;
use super::super::{CHANCE, Column, StudyTable};
use super::grid::{Statistics, in_words};
use super::origin;
use super::references::{Published, References};
use crate::task::{Language, Languages};

/// Score by language and row for one target.
#[derive(Debug, Serialize)]
pub(super) struct HeatMap {
    pub column: Column,
    pub rows: Vec<HeatHead>,
    /// Name of the published system whose scores stand beside ours, where they can be compared.
    pub published: Option<String>,
    pub languages: Vec<HeatRow>,
}

/// A row of the study, which is a column here.
#[derive(Debug, Serialize)]
pub(super) struct HeatHead {
    pub name: String,
    pub origin: String,
}

#[derive(Debug, Serialize)]
pub(super) struct HeatRow {
    pub code: String,
    pub name: String,
    pub family: String,
    pub script: String,
    pub cells: Vec<Option<HeatCell>>,
    pub published: Option<Published>,
}

#[derive(Debug, Serialize)]
pub(super) struct HeatCell {
    pub value: f64,
    /// How deep the colour is: 0 for the lowest value that a trained row has in the map, 1 for the highest.
    pub depth: f64,
    /// All that is known of it.
    pub words: Vec<String>,
}

/// The maps of all targets that have scores.
pub(super) fn heat_maps(
    table: &StudyTable,
    numbers: &Numbers,
    statistics: &Statistics,
    references: &References,
    known: &Languages,
) -> Vec<HeatMap> {
    let maps = table.columns.iter().map(|column| heat_map(table, column, numbers, statistics, references, known));
    maps.filter(|map| !map.languages.is_empty()).collect()
}

fn heat_map(
    table: &StudyTable,
    column: &Column,
    numbers: &Numbers,
    statistics: &Statistics,
    references: &References,
    known: &Languages,
) -> HeatMap {
    let target = &column.target;
    let found: Vec<(String, Vec<_>)> = numbers
        .languages(target)
        .into_iter()
        .map(|code| {
            let rows = table.rows.iter();
            let scores = rows.map(|row| numbers.language(target, &row.name, &code)).collect();
            (code, scores)
        })
        .collect();
    // Guessing is so far below that it would leave the trained rows one colour.
    let trained = || {
        let rows = found.iter().flat_map(|(_, scores)| scores.iter().zip(&table.rows));
        rows.filter(|(_, row)| row.name != CHANCE).filter_map(|(number, _)| Some(number.as_ref()?.value))
    };
    let (low, high) = (trained().fold(f64::INFINITY, f64::min), trained().fold(f64::NEG_INFINITY, f64::max));
    let depth = |value: f64| if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    let published = references.by_language(column);
    let languages = found.into_iter().map(|(code, scores)| {
        let cells = scores.into_iter().zip(&table.rows).map(|(number, row)| {
            let number = number?;
            let mut words = vec![format!("{:.2} [{:.2}, {:.2}]", number.value, number.ci_low, number.ci_high)];
            words.extend(number.examples.map(|examples| format!("{examples} examples")));
            words.extend(statistics.comparison(column, &row.name, &code).into_iter().flat_map(in_words));
            Some(HeatCell { value: number.value, depth: depth(number.value), words })
        });
        let language = known.get(&code);
        let of = |field: fn(&Language) -> &String| language.map(|language| field(language).clone()).unwrap_or_default();
        HeatRow {
            name: of(|l| &l.name),
            family: of(|l| &l.family),
            script: of(|l| &l.script),
            cells: cells.collect(),
            published: published.as_ref().and_then(|system| system.scores.get(&code).cloned()),
            code,
        }
    });
    let languages = languages.collect();
    let head =
        |row: &super::super::Row| HeatHead { name: row.name.clone(), origin: origin::id(table, target, &row.name) };
    HeatMap {
        column: column.clone(),
        rows: table.rows.iter().map(head).collect(),
        published: published.map(|system| system.model),
        languages,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{fixture, study_table};
    use super::*;

    #[test]
    fn a_heat_map_has_english_first_and_medians_over_seeds() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let numbers = Numbers::read(&results).unwrap();
        let statistics = Statistics::read(&results).unwrap();
        let references = References::read(&results, &table, &numbers).unwrap();
        let known = Languages::parse(include_str!("../../../data/languages.toml"), "languages.toml").unwrap();
        let maps = heat_maps(&table, &numbers, &statistics, &references, &known);
        let codes: Vec<&str> = maps[0].languages.iter().map(|row| row.code.as_str()).collect();
        assert_eq!(codes, ["en", "de", "sw"]);
        let cell = maps[1].languages[0].cells[2].as_ref().unwrap();
        assert!((cell.value - 62.0).abs() < 1e-9 && (cell.depth - 1.0).abs() < 1e-9);
        assert!(cell.words[..2] == ["62.00 [60.00, 64.00]", "100 examples"], "{:?}", cell.words);
        assert_eq!(maps[2].languages.len(), 2);
        assert_eq!(
            (maps[0].languages[2].name.as_str(), maps[0].languages[2].family.as_str()),
            ("Swahili", "Niger-Congo")
        );
        assert!(maps[0].published.is_none(), "a mini study has nothing to compare with");
    }
}
