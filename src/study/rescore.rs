//! Every score once more, from the predictions and the gold that the store holds: do they give the tables that it holds?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use rayon::prelude::*;
use serde::Serialize;

use super::artifacts::{Canonical, Kind, Scores};
use super::stage::score::{self, Score};
use super::stage::{Inputs, Output, Run, Stage};
use crate::error::{ExitCode, IoContext, Result};
use crate::model::{ChosenDevice, DeviceChoice};
use crate::progress::Quiet;
use crate::report::{self, ResultsTable};
use crate::shard::{self, ShardError};
use crate::store::{Artifact, Scratch, Store};
use crate::study::{StudyError, StudyLabel};
use crate::task::{Registry, TaskError};

/// One value that is not what scoring gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discrepancy {
    /// The table's file, within the artifact.
    pub file: String,
    /// The row, from 0; none where the table as a whole differs.
    pub row: Option<usize>,
    /// The column, or what of the table differs.
    pub column: String,
    /// In the store.
    pub stored: String,
    /// Computed now.
    pub recomputed: String,
}

/// What came of scoring one artifact's predictions again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Rescoring {
    /// Every value is the same, to the last bit.
    Equal,
    /// Some are not.
    Different {
        /// All of them, in the order of tables, rows and columns.
        differences: Vec<Discrepancy>,
    },
    /// The predictions or the gold in the store can't be scored.
    Unscorable {
        /// What is wrong with them.
        why: String,
    },
    /// An input is in the store no longer, so nothing can be said.
    MissingInput {
        /// Name, stage and key of the input.
        input: String,
    },
    /// Another version of Trestle, or another task file, scored it.
    Outdated {
        /// What differs.
        why: String,
    },
}

/// One score artifact and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rescored {
    /// The artifact's label.
    pub label: String,
    /// Its key.
    pub key: String,
    /// Number of rows in its table `scores`.
    pub rows: u64,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Rescoring,
}

/// Scores the predictions behind every score artifact again (of `study`'s published results alone, where one is named) and
/// compares all tables, value by value. By label and key.
///
/// # Errors
/// Results of the study that are not there; the file system's failures.
pub fn rescore(store: &Store, registry: &Registry, study: Option<&str>) -> Result<Vec<Rescored>> {
    let mut artifacts: Vec<Artifact> = store.list()?.into_iter().filter(Scores::is).collect();
    if let Some(study) = study {
        let runs = report::runs(&store.results_dir(), Some(study))?;
        let keys: Vec<String> = runs.into_iter().map(|run| run.score_key).collect();
        if keys.is_empty() {
            return Err(StudyError::NoResults { study: study.to_owned() }.into());
        }
        artifacts.retain(|artifact| keys.iter().any(|key| key == artifact.manifest.key.as_str()));
    }
    // Scoring needs no device.
    let device = ChosenDevice::new(DeviceChoice::Flex);
    let run = Run::new(store, &device);
    let one = |artifact: &Artifact| {
        let rows = artifact
            .manifest
            .files
            .iter()
            .find(|file| file.path == ResultsTable::Scores.file_name())
            .and_then(|file| file.rows);
        Ok(Rescored {
            label: artifact.manifest.label.clone(),
            key: artifact.manifest.key.to_string(),
            rows: rows.unwrap_or(0),
            verdict: verdict(&run, registry, artifact)?,
        })
    };
    let mut rescored = artifacts.par_iter().map(one).collect::<Result<Vec<_>>>()?;
    rescored.sort_by(|a, b| (&a.label, &a.key).cmp(&(&b.label, &b.key)));
    Ok(rescored)
}

fn verdict(run: &Run<'_>, registry: &Registry, artifact: &Artifact) -> Result<Rescoring> {
    let manifest = &artifact.manifest;
    let outdated = |why: String| Ok(Rescoring::Outdated { why });
    if manifest.stage_version != Score::VERSION {
        let (then, now) = (manifest.stage_version, Score::VERSION);
        return outdated(format!("scored by version {then} of the stage; this is version {now}"));
    }
    let request = match Scores::of(artifact)?.request() {
        Ok(request) => request,
        Err(error) => return outdated(error.to_string()),
    };
    let id = &request.task;
    let Ok(task) = registry.task(id, "a score") else {
        return outdated(format!("task `{id}` is not known here; name the directory of its file with --tasks"));
    };
    let mut inputs = BTreeMap::new();
    for (name, input) in &manifest.inputs {
        let (Some(stage), Some(key)) = (&input.stage, &input.key) else { continue };
        match run.store.artifact(stage, key)? {
            Some(found) => drop(inputs.insert(name.clone(), found)),
            None => return Ok(Rescoring::MissingInput { input: format!("{name} ({stage} {})", key.short()) }),
        }
    }
    let Some(gold) = inputs.get("gold") else {
        return Ok(Rescoring::MissingInput { input: "gold".to_owned() });
    };
    if !Canonical::is(gold) {
        return outdated(format!(
            "its gold was made by stage `{}`, which is no more; run its study again",
            gold.manifest.stage
        ));
    }
    // The task's languages in the edition that was scored, as they are grouped now.
    let traits = |code: &String| Ok((code.clone(), registry.language(code, &manifest.label)?.traits()));
    let languages = request.languages.keys().map(traits).collect::<Result<_, TaskError>>()?;
    if score::Request::of(task, languages, &request.source, Canonical::of(gold)?)? != request {
        return outdated(format!("task `{id}` has another metric, split, format, labels or set of languages now"));
    }
    let scratch = tempfile::tempdir().at("create a directory for", "the scores")?;
    let label: StudyLabel = manifest.label.parse().map_err(StudyError::from)?;
    let out = Output {
        dir: scratch.path(),
        scratch: &Scratch::alone(scratch.path()),
        key: manifest.key.as_str(),
        stage: Score::NAME,
        label: &label,
        progress: &Quiet,
        stop: &AtomicBool::new(false),
    };
    match Score::perform(request, (), &Inputs::new(label.clone(), inputs), &out, run) {
        Ok(_) => (),
        // A disk that can't be used would be the others' failure, too.
        Err(error) if error.exit() == ExitCode::Storage => return Err(error),
        Err(error) => return Ok(Rescoring::Unscorable { why: error.to_string() }),
    }
    let mut differences = Vec::new();
    for table in ResultsTable::of_scores() {
        let file = table.file_name();
        compare(&file, &artifact.dir.join(&file), &scratch.path().join(&file), &mut differences)?;
    }
    Ok(if differences.is_empty() { Rescoring::Equal } else { Rescoring::Different { differences } })
}

/// Adds every difference of two files to `found`.
fn compare(file: &str, stored: &Path, recomputed: &Path, found: &mut Vec<Discrepancy>) -> Result<()> {
    let right = whole(recomputed)?;
    let mut differs = |row: Option<usize>, column: &str, stored: String, recomputed: String| {
        found.push(Discrepancy { file: file.to_owned(), row, column: column.to_owned(), stored, recomputed });
    };
    let left = match whole(stored) {
        Ok(left) => left,
        Err(error) => {
            differs(None, "the file", error.to_string(), format!("{} rows", right.num_rows()));
            return Ok(());
        }
    };
    if left.schema_ref().fields() != right.schema_ref().fields() {
        differs(None, "columns", names(&left), names(&right));
        return Ok(());
    }
    if left.num_rows() != right.num_rows() {
        differs(None, "rows", left.num_rows().to_string(), right.num_rows().to_string());
        return Ok(());
    }
    for (index, field) in left.schema_ref().fields().iter().enumerate() {
        let (stored, recomputed) = (left.column(index), right.column(index));
        if stored.to_data() == recomputed.to_data() {
            continue;
        }
        for row in 0..left.num_rows() {
            if stored.slice(row, 1).to_data() != recomputed.slice(row, 1).to_data() {
                differs(Some(row), field.name(), shown(stored, row), shown(recomputed, row));
            }
        }
    }
    Ok(())
}

fn whole(path: &Path) -> Result<RecordBatch, ShardError> {
    let (schema, batches) = shard::read_table(path)?;
    Ok(concat_batches(&schema, &batches).expect("the batches of one file share its schema"))
}

fn names(batch: &RecordBatch) -> String {
    let fields = batch.schema_ref().fields().iter();
    fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
}

fn shown(column: &dyn Array, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    let text = ArrayFormatter::try_new(column, &options).and_then(|formatter| formatter.value(row).try_to_string());
    text.unwrap_or_else(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use std::sync::Arc;

    fn table(path: &Path, values: &[Option<f64>]) {
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..values.len()).map(|row| row.to_string())));
        let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("name", names, false), ("value", values, true)]).unwrap();
        shard::write_table(path, batch.schema_ref(), &[], std::slice::from_ref(&batch)).unwrap();
    }

    fn differences(stored: &[Option<f64>], recomputed: &[Option<f64>]) -> Vec<(Option<usize>, String, String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let (left, right) = (dir.path().join("left.parquet"), dir.path().join("right.parquet"));
        table(&left, stored);
        table(&right, recomputed);
        let mut found = Vec::new();
        compare("scores.parquet", &left, &right, &mut found).unwrap();
        found.into_iter().map(|d| (d.row, d.column, d.stored, d.recomputed)).collect()
    }

    #[test]
    fn one_bit_is_a_difference() {
        let value: f64 = 0.1 + 0.2;
        let next = f64::from_bits(value.to_bits() + 1);
        let row = |row, stored: &str, recomputed: &str| {
            (Some(row), "value".to_owned(), stored.to_owned(), recomputed.to_owned())
        };
        assert_eq!(differences(&[Some(1.0), Some(value)], &[Some(1.0), Some(value)]), []);
        let found = differences(&[Some(1.0), Some(next)], &[Some(1.0), Some(value)]);
        assert_eq!(found, [row(1, "0.3000000000000001", "0.30000000000000004")]);
        assert_eq!(
            differences(&[None, Some(0.0)], &[Some(2.5), Some(-0.0)]),
            [row(0, "null", "2.5"), row(1, "0.0", "-0.0")]
        );
        assert_eq!(differences(&[Some(1.0)], &[])[0].1, "rows");
    }

    #[test]
    fn a_file_that_is_gone_or_cut_is_a_difference() {
        let dir = tempfile::tempdir().unwrap();
        let (left, right) = (dir.path().join("left.parquet"), dir.path().join("right.parquet"));
        table(&right, &[Some(1.0)]);
        let mut found = Vec::new();
        compare("scores.parquet", &left, &right, &mut found).unwrap();
        std::fs::write(&left, &std::fs::read(&right).unwrap()[..50]).unwrap();
        compare("scores.parquet", &left, &right, &mut found).unwrap();
        assert_eq!(found.iter().map(|d| d.column.as_str()).collect::<Vec<_>>(), ["the file"; 2]);
    }
}
