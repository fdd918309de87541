//! What is known beforehand, as tables for SQL: published scores to compare with (`data/reference/`), and the languages.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;

use super::{QueryTable, ReportError, Rows};
use crate::schema::TableRow;
use crate::schema::row::table_row;
use crate::shard::batch_rows;
use crate::task::Languages;

const FILE: &str = "data/reference/xtreme.csv";
const XTREME: &str = include_str!("../../data/reference/xtreme.csv");

table_row! {
    /// One published score.
    #[derive(Debug, Clone)]
    pub(super) struct PublishedRow: "reference" {
        pub model: String,
        pub task: String,
        pub split: String,
        /// ISO 639-1 code, or `mean`.
        pub language: String,
        pub metric: String,
        /// 0 to 100.
        pub value: f64,
        /// `S`, `D`, `M+` or `M`.
        pub trust: String,
        pub source: String,
    }
}

table_row! {
    /// One language.
    #[derive(Debug, Clone)]
    pub(super) struct LanguageRow<'a>: "languages" {
        /// ISO 639-1 code.
        pub language: &'a str,
        pub iso3: &'a str,
        pub name: &'a str,
        pub family: &'a str,
        pub script: &'a str,
        pub cc100_gib: Option<f64>,
    }
}

/// Every published score, in the file's order.
pub(super) fn scores() -> Result<Vec<PublishedRow>, ReportError> {
    let mut scores = Vec::new();
    for batch in batches()? {
        for row in batch_rows(Path::new(FILE), &batch)? {
            scores.push(row?);
        }
    }
    Ok(scores)
}

/// Table `reference`: the scores of `data/reference/`, whose README tells where they are from.
pub fn reference_table() -> Result<QueryTable, ReportError> {
    Ok(in_memory::<PublishedRow>(batches()?))
}

fn batches() -> Result<Vec<RecordBatch>, ReportError> {
    let broken = |e: arrow::error::ArrowError| ReportError::Render(format!("{FILE}: {e}"));
    ReaderBuilder::new(PublishedRow::table().schema.clone())
        .with_header(true)
        .build(XTREME.as_bytes())
        .map_err(broken)?
        .collect::<Result<_, _>>()
        .map_err(broken)
}

/// Table `languages`: those of `data/languages.toml`.
pub fn languages_table(languages: &Languages) -> QueryTable {
    let rows: Vec<LanguageRow<'_>> = languages
        .iter()
        .map(|language| LanguageRow {
            language: &language.code,
            iso3: &language.iso3,
            name: &language.name,
            family: &language.family,
            script: &language.script,
            cc100_gib: language.cc100_gib,
        })
        .collect();
    in_memory::<LanguageRow<'_>>(vec![LanguageRow::batch(&rows)])
}

/// A table of rows `R` that lies in no file.
fn in_memory<'a, R: TableRow<'a>>(batches: Vec<RecordBatch>) -> QueryTable {
    let table = R::table();
    QueryTable {
        name: table.id.clone(),
        description: table.description.clone(),
        columns: table.schema.fields().iter().cloned().collect(),
        rows: Rows::Memory(batches),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::query;
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;

    fn column(sql: &str, name: &str) -> Vec<f64> {
        let batch = query(sql, &[reference_table().unwrap()]).unwrap();
        batch[name].as_primitive::<Float64Type>().values().to_vec()
    }

    #[test]
    fn the_means_over_languages_are_those_of_the_published_rows() {
        // Tatoeba's remembered rows are known to miss the published mean.
        let gaps = column(
            "SELECT AVG(r.value) - MIN(m.value) AS gap FROM reference r
             JOIN reference m ON r.model = m.model AND r.task = m.task AND r.split = m.split AND r.metric = m.metric
             WHERE m.language = 'mean' AND r.language <> 'mean'
               AND NOT (r.task = 'tatoeba' AND r.split = 'test')
             GROUP BY r.model, r.task, r.split, r.metric",
            "gap",
        );
        assert_eq!(gaps.len(), 15);
        assert!(gaps.iter().all(|gap| gap.abs() < 0.1), "{gaps:?}");
    }

    #[test]
    fn every_row_is_on_the_percent_scale_and_marked() {
        let batch = query("SELECT value, trust FROM reference", &[reference_table().unwrap()]).unwrap();
        assert!(batch["value"].as_primitive::<Float64Type>().values().iter().all(|v| (0.0..=100.0).contains(v)));
        assert!(batch["trust"].as_string::<i32>().iter().flatten().all(|t| ["S", "D", "M+", "M"].contains(&t)));
    }

    #[test]
    fn every_language_of_a_published_score_is_known() {
        let registry = crate::task::Registry::load(&[]).unwrap();
        let tables = [reference_table().unwrap(), languages_table(registry.languages())];
        let rows = |sql: &str| query(sql, &tables).unwrap().num_rows();
        let unknown = "SELECT r.language FROM reference r LEFT JOIN languages l ON r.language = l.language
                       WHERE l.family IS NULL AND r.language <> 'mean'";
        assert_eq!(rows(unknown), 0);
        assert_eq!(rows("SELECT * FROM languages WHERE family = 'Uralic'"), 3);
        assert_eq!(rows("SELECT * FROM languages WHERE cc100_gib IS NULL AND language = 'en'"), 0);
    }
}
