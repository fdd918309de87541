//! What is known beforehand, as tables for SQL: published scores to compare with (`data/reference/`), and the languages.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};

use super::{QueryTable, ReportError, Rows};
use crate::task::{Language, Languages};

const XTREME: &str = include_str!("../../data/reference/xtreme.csv");

/// One published score.
#[derive(Debug, Clone)]
pub(super) struct ReferenceScore {
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

/// Every published score, in the file's order.
pub(super) fn scores() -> Result<Vec<ReferenceScore>, ReportError> {
    let mut scores = Vec::new();
    for batch in batches()? {
        let text = |name: &str, row| batch[name].as_string::<i32>().value(row).to_owned();
        scores.extend((0..batch.num_rows()).map(|row| ReferenceScore {
            model: text("model", row),
            task: text("task", row),
            split: text("split", row),
            language: text("language", row),
            metric: text("metric", row),
            value: batch["value"].as_primitive::<Float64Type>().value(row),
            trust: text("trust", row),
            source: text("source", row),
        }));
    }
    Ok(scores)
}

/// Table `reference`: `model, task, split, language, metric, value, trust, source`, as `data/reference/README.md` tells.
pub fn reference_table() -> Result<QueryTable, ReportError> {
    Ok(QueryTable { name: "reference".to_owned(), rows: Rows::Memory(batches()?) })
}

fn batches() -> Result<Vec<RecordBatch>, ReportError> {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let mut fields: Vec<Field> = ["model", "task", "split", "language", "metric"].map(text).into();
    fields.push(Field::new("value", DataType::Float64, false));
    fields.extend(["trust", "source"].map(text));
    let broken = |e: arrow::error::ArrowError| ReportError::Render(format!("data/reference/xtreme.csv: {e}"));
    ReaderBuilder::new(Arc::new(Schema::new(fields)))
        .with_header(true)
        .build(XTREME.as_bytes())
        .map_err(broken)?
        .collect::<Result<_, _>>()
        .map_err(broken)
}

/// Table `languages`: `language` (ISO 639-1, as in every other table), `iso3, name, family, script, cc100_gib` (gibibytes of
/// CC-100 text; null where the language was not in XLM-R's pretraining).
pub fn languages_table(languages: &Languages) -> QueryTable {
    let text =
        |of: fn(&Language) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(languages.iter().map(of))) };
    let size = languages.iter().map(|language| language.cc100_gib).collect::<Float64Array>();
    let rows = RecordBatch::try_from_iter([
        ("language", text(|language| &language.code)),
        ("iso3", text(|language| &language.iso3)),
        ("name", text(|language| &language.name)),
        ("family", text(|language| &language.family)),
        ("script", text(|language| &language.script)),
        ("cc100_gib", Arc::new(size)),
    ]);
    let rows = rows.expect("every column has a value for each language");
    QueryTable { name: "languages".to_owned(), rows: Rows::Memory(vec![rows]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::query;

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
