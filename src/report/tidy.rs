//! The study's table as tidy CSV: a line for each row and target, a column for each number.

use super::{ReportError, StudyTable};
use crate::evaluate::SourceNames;

/// The column of the source language, whose name is that of its group.
const SOURCE: &str = "english";

/// The columns of the CSV.
const HEADER: [&str; 18] = [
    "study",
    "target",
    "metric",
    "layer",
    "row",
    "seeds",
    "languages",
    "value",
    "ci_low",
    "ci_high",
    SOURCE,
    "change",
    "change_ci_low",
    "change_ci_high",
    "p_value",
    "p_adjusted",
    "minimum_detectable",
    "significant",
];

impl StudyTable {
    /// A header and a line for each finished cell. Values are means over all languages but the source language, changes against
    /// the row `none`; `change_ci_*`, the p-values, `minimum_detectable` and `significant` are the study's analysis and empty
    /// without one. Numbers have all their digits.
    ///
    /// # Errors
    /// The CSV writer's own, which a table can't cause.
    pub fn to_csv(&self) -> Result<String, ReportError> {
        let failed = |message: String| ReportError::Output { format: "csv", message };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let source = SourceNames::of(&self.source).source;
        let header = HEADER.map(|name| if name == SOURCE { source } else { name });
        writer.write_record(header).map_err(|e| failed(e.to_string()))?;
        for row in &self.rows {
            for (entry, column) in row.entries.iter().zip(&self.columns) {
                let Some(entry) = entry else { continue };
                let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
                let estimate = entry.non_english;
                let test = entry.change.and_then(|change| change.test);
                let record = [
                    self.study.clone(),
                    column.target.clone(),
                    column.metric.clone(),
                    column.layer.map(|layer| layer.to_string()).unwrap_or_default(),
                    row.name.clone(),
                    entry.seeds.to_string(),
                    entry.languages.to_string(),
                    number(estimate.map(|e| e.value)),
                    number(estimate.map(|e| e.ci_low)),
                    number(estimate.map(|e| e.ci_high)),
                    number(entry.english),
                    number(entry.change.map(|change| change.value)),
                    number(test.map(|test| test.difference.ci_low)),
                    number(test.map(|test| test.difference.ci_high)),
                    number(test.map(|test| test.p_value)),
                    number(test.map(|test| test.p_adjusted)),
                    number(test.map(|test| test.minimum_detectable)),
                    test.and(entry.change).map(|change| change.clear.to_string()).unwrap_or_default(),
                ];
                writer.write_record(&record).map_err(|e| failed(e.to_string()))?;
            }
        }
        let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
        String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, study_table};
    use super::*;

    #[test]
    fn each_cell_is_a_line_and_empty_fields_are_what_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        results.cells.retain(|cell| !(cell.at.target == "xnli" && cell.at.row == "none"));
        let text = study_table(&results).unwrap().to_csv().unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), HEADER);
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len(), 8, "{text}");
        let found = |target: &str, row: &str, column: &str| {
            let record = rows.iter().find(|record| &record[1] == target && &record[4] == row).unwrap();
            record[HEADER.iter().position(|name| *name == column).unwrap()].to_owned()
        };
        assert_eq!((found("xquad", "mnli", "value"), found("xquad", "mnli", "change")), ("47".into(), "6".into()));
        assert_eq!(
            (found("xquad", "mnli", "p_adjusted"), found("xquad", "mnli", "significant")),
            ("0.003".into(), "true".into())
        );
        assert_eq!(found("tatoeba", "mnli", "significant"), "false");
        assert_eq!(
            (found("tatoeba", "none", "layer"), found("tatoeba", "none", "english")),
            ("2".into(), String::new())
        );
        assert_eq!(
            (found("xnli", "mnli", "change"), found("xnli", "mnli", "significant")),
            (String::new(), String::new())
        );
    }
}
