//! The runs that a results view holds, read back: which keys stand behind which cell.

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;
use serde::Deserialize;
use serde_json::Value;

use super::{QueryTable, ReportError, ResultsTable, Rows, query, results_tables};
use crate::evaluate::Setting;
use crate::task::{Coordinates, NoData, Pooling, SourceLanguage, study_of};

/// One row of table `runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The study's id.
    pub study: String,
    /// Which cell.
    pub at: Coordinates,
    /// Key of the stage that predicted.
    pub predict_key: String,
    /// Key of the score stage.
    pub score_key: String,
    /// Everything else that was chosen.
    pub parameters: Value,
    /// Version of the code that published them.
    pub code_version: String,
}

/// What of a run's parameters says which of its numbers stand for it in tables.
#[derive(Deserialize)]
struct Parameters {
    model: Option<Model>,
    score: Option<Scored>,
}

#[derive(Deserialize)]
struct Scored {
    #[serde(default)]
    source: SourceLanguage,
}

#[derive(Deserialize)]
struct Model {
    retrieval: Retrieval,
}

#[derive(Deserialize)]
struct Retrieval {
    layers: Option<Vec<i32>>,
    pooling: Option<Pooling>,
}

/// Which numbers of a run stand for it in tables.
pub(super) struct Headline {
    /// The layer and pooling, were its target one of retrieval; none where it has no layers.
    pub setting: Option<Setting>,
    /// The language that it was trained in, which groups of languages are counted from.
    pub source: SourceLanguage,
}

/// Which numbers stand for a run of `study` that has these `parameters`.
///
/// # Errors
/// [`ReportError::Run`] where the parameters are not what a run publishes.
pub(super) fn headline(study: &str, parameters: &Value) -> Result<Headline, ReportError> {
    let read = Parameters::deserialize(parameters);
    let read = read.map_err(|e| ReportError::Run { study: study.to_owned(), message: e.to_string() })?;
    let retrieval = read.model.map(|model| model.retrieval);
    let setting = retrieval.and_then(|Retrieval { layers, pooling }| {
        let layer = layers?.first().copied();
        Some(Setting { layer: Some(layer?), pooling: pooling.map(|pooling| pooling.name().to_owned()) })
    });
    Ok(Headline { setting, source: read.score.map(|score| score.source).unwrap_or_default() })
}

impl Run {
    /// The hidden state that stands for the run in tables, were its target one of retrieval.
    pub fn headline_layer(&self) -> Result<Option<i32>, ReportError> {
        Ok(headline(&self.study, &self.parameters)?.setting.and_then(|setting| setting.layer))
    }
}

/// Every run below `results_dir`, of `study` alone where one is named, by study, target, row and seed; none where nothing was published yet.
///
/// # Errors
/// A file of table `runs` that can't be read, or is none of this version's.
pub fn runs(results_dir: &Path, study: Option<&str>) -> Result<Vec<Run>, ReportError> {
    let mut tables: Vec<QueryTable> =
        results_tables(results_dir)?.into_iter().filter(|table| table.name == ResultsTable::Runs.name()).collect();
    for table in &mut tables {
        if let (Rows::Files { files, .. }, Some(study)) = (&mut table.rows, study) {
            files.retain(|file| study_of(file) == Some(study));
        }
    }
    tables.retain(|table| !matches!(&table.rows, Rows::Files { files, .. } if files.is_empty()));
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let names = ["study", "target", "row", "predict_key", "score_key", "parameters", "code_version"];
    let sql = format!("SELECT {}, seed FROM runs ORDER BY study, target, row, seed", names.join(", "));
    let batch = query(&sql, &tables)?;
    let [study, target, rows, predict_key, score_key, parameters, code_version] =
        names.map(|name| batch[name].as_string::<i32>());
    let seeds = batch["seed"].as_primitive::<UInt64Type>();
    (0..batch.num_rows())
        .map(|row| {
            let broken = |e: &dyn std::error::Error| ReportError::Run {
                study: study.value(row).to_owned(),
                message: e.to_string(),
            };
            Ok(Run {
                study: study.value(row).to_owned(),
                at: Coordinates {
                    target: target.value(row).parse().map_err(|e: NoData| broken(&e))?,
                    row: rows.value(row).to_owned(),
                    seed: seeds.value(row),
                },
                predict_key: predict_key.value(row).to_owned(),
                score_key: score_key.value(row).to_owned(),
                parameters: serde_json::from_str(parameters.value(row)).map_err(|e| broken(&e))?,
                code_version: code_version.value(row).to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, publish};
    use super::*;
    use crate::store::Leases;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn runs_come_back_as_they_were_published() {
        let dir = tempfile::tempdir().unwrap();
        let results_dir = dir.path().join("results");
        assert_eq!(runs(&results_dir, None).unwrap(), []);
        let results = fixture::results(dir.path());
        publish(&results, &results_dir, &Leases::new(dir.path()), &AtomicBool::new(false)).unwrap();
        let found = runs(&results_dir, None).unwrap();
        assert_eq!(found.len(), results.cells.len());
        for cell in &results.cells {
            let of_cell = |run: &&Run| run.at == cell.at;
            let run = found.iter().find(of_cell).unwrap();
            assert_eq!((&run.score_key, &run.predict_key), (&cell.score_key, &cell.predict_key));
            assert_eq!(run.parameters, cell.parameters);
        }
    }
}
