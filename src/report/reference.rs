//! Published scores to compare with (`data/reference/`), as a table for SQL.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};

use super::{QueryTable, ReportError, Rows};

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
}
