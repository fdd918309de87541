//! The view `results/`: a study's scores, summaries, predictions, runs and training logs, and what is known of its data,
//! as hive-partitioned Parquet.
//!
//! ```text
//! results/<table>/study=<study>/target=<target>/part-00000.parquet
//! results/<comparisons, aggregates, profiles or overlap>/study=<study>/part-00000.parquet
//! ```
//!
//! `study` and `target` stand in the path alone: engines that read hive partitions add them as columns. `comparisons`,
//! `aggregates`, `profiles` and `overlap` have the columns of the stages' own tables. Every other table begins with
//! `row`, `seed`, `model_key`, `predict_key`, `score_key`; then
//! - `scores`, `summaries`, `example_scores`, `predictions`: the columns of the stage's own table,
//! - `training_log`: `phase` (`pretrain`, `intermediate`, `target`) and the log's columns. A training that several cells
//!   share stands in the log of each,
//! - `runs`, one row a cell: `intermediate_tasks`, `pretrain_steps`, `intermediate_steps`, `target_steps` (0: no such
//!   phase), `tokenizer_digest`, `data_keys` and `parameters` (JSON), `code_version`.
//!
//! The view of a study is built aside and swapped in table by table, so a reader finds each table old or new, never
//! half. A stamp, written last, holds the digest of everything the view was made from: where it still fits, publishing
//! does nothing. What a crash leaves behind, the next run replaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Cell, DataTable, QueryTable, ReportError, Rows, StudyResults, stage};
use crate::error::{FileError, IoContext};
use crate::schema;
use crate::shard::{self, Batches, PART, Writer};
use crate::store::Leases;

/// Raised when the layout or a column of the view changes.
const VIEW_VERSION: u32 = 5;

/// The entry of a file's footer that holds it.
const VERSION_ENTRY: &str = "trestle.view_version";

/// The tables of the view.
pub const VIEWS: [&str; 10] = [
    "scores",
    "summaries",
    "example_scores",
    "predictions",
    "runs",
    "training_log",
    "comparisons",
    "aggregates",
    "profiles",
    "overlap",
];

/// Those of them that have a file a target.
const TARGET_VIEWS: usize = 6;

/// Where stamps lie, below the results directory.
const STAMPS: &str = ".published";

/// Where views are built, below the results directory: a folder a study, in it one for each process that tries.
const BUILDING: &str = ".building";

/// What [`publish`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Whether anything was written; false where the view was already that of these results.
    pub written: bool,
    /// Number of files in the study's view.
    pub files: usize,
}

#[derive(Serialize, Deserialize)]
struct Stamp {
    /// Of everything the view was made from.
    digest: String,
    /// Path below the results directory and size in bytes.
    files: Vec<(PathBuf, u64)>,
}

impl Stamp {
    /// Whether every file is there in its size: a view that was tampered with is built again.
    fn is_intact(&self, results_dir: &Path) -> bool {
        self.files.iter().all(|(path, bytes)| fs::metadata(results_dir.join(path)).is_ok_and(|m| m.len() == *bytes))
    }
}

/// Rebuilds the view of one study below `results_dir`, if it is not already that of `results`. One process at a time does.
///
/// # Errors
/// [`ReportError::Interrupted`] once `stop` is set while another process publishes the study;
/// A stage's file that is missing, broken or not of its schema, named; a results directory that can't be written. The
/// old view stays where a new one can't be built.
pub fn publish(
    results: &StudyResults,
    results_dir: &Path,
    leases: &Leases,
    stop: &AtomicBool,
) -> Result<Published, ReportError> {
    let study = &results.study.id;
    let stamps = results_dir.join(STAMPS);
    fs::create_dir_all(&stamps).at("create directory", &stamps)?;
    let publishing = leases.wait(&format!("publish-{study}"), stop, |_| ())?.ok_or(ReportError::Interrupted)?;

    let stamp_path = stamps.join(format!("{study}.json"));
    let digest = digest(results);
    let stamp = fs::read(&stamp_path).ok().and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok());
    if let Some(stamp) = stamp.filter(|stamp| stamp.digest == digest && stamp.is_intact(results_dir)) {
        return Ok(Published { written: false, files: stamp.files.len() });
    }

    // What others have begun there can only be left over: this process holds the lease.
    let aside = results_dir.join(BUILDING).join(study);
    remove(&aside)?;
    let building = aside.join(publishing.mark());
    let built = build(results, &building).and_then(|files| {
        remove(&stamp_path)?;
        for view in VIEWS {
            swap_in(&building, view, &results_dir.join(view), study)?;
        }
        Ok(files)
    });
    remove(&aside)?;
    let _ = fs::remove_dir(results_dir.join(BUILDING));
    let stamp = Stamp { digest, files: built? };
    write_stamp(&stamp, &stamp_path)?;
    Ok(Published { written: true, files: stamp.files.len() })
}

/// Refuses a file of the view that other code published in another form; files that are none of the view's pass.
///
/// # Errors
/// [`ReportError::View`].
pub(super) fn check_version(path: &Path, batches: &Batches) -> Result<(), ReportError> {
    match batches.metadata(VERSION_ENTRY) {
        Some(found) if found != VIEW_VERSION.to_string() => {
            Err(ReportError::View { path: path.to_owned(), found: found.to_owned(), wanted: VIEW_VERSION })
        }
        _ => Ok(()),
    }
}

/// Every table of the view that has a file, over all studies, for [`super::query()`].
pub fn results_tables(results_dir: &Path) -> Result<Vec<QueryTable>, ReportError> {
    let mut tables = Vec::new();
    for view in VIEWS {
        let root = results_dir.join(view);
        let mut files = Vec::new();
        let mut pending = vec![root.clone()];
        while let Some(folder) = pending.pop() {
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder).at("read directory", &folder)? {
                let path = entry.at("read directory", &folder)?.path();
                if path.is_dir() {
                    pending.push(path);
                } else if path.extension().is_some_and(|e| e == "parquet") {
                    files.push(path);
                }
            }
        }
        if !files.is_empty() {
            files.sort();
            tables.push(QueryTable { name: view.to_owned(), rows: Rows::Files { root, files } });
        }
    }
    Ok(tables)
}

/// A digest of all that can change the view's bytes. Stage outputs enter through their keys.
fn digest(results: &StudyResults) -> String {
    let mut cells: Vec<String> = results.cells.iter().map(|cell| identity(cell).to_string()).collect();
    cells.sort_unstable();
    let data: Vec<&str> =
        results.profiles.values().chain(data_tables(results)).map(|table| table.key.as_str()).collect();
    let all = json!([VIEW_VERSION, results.study, results.code_version, cells, data]);
    blake3::hash(all.to_string().as_bytes()).to_hex().to_string()
}

/// The tables of the whole study that are there.
fn data_tables(results: &StudyResults) -> impl Iterator<Item = &DataTable> {
    [&results.comparisons, &results.aggregates, &results.overlap].into_iter().flatten()
}

fn identity(cell: &Cell) -> serde_json::Value {
    let languages: Vec<&str> = cell.predictions.iter().map(|(language, _)| language.as_str()).collect();
    let phases: Vec<&str> = cell.training_logs.iter().map(|(phase, _)| phase.as_str()).collect();
    json!({
        "target": cell.target, "row": cell.row, "seed": cell.seed, "languages": languages,
        "phases": phases, "predict": cell.predict_key, "score": cell.score_key, "model": cell.model_key,
        "tokenizer": cell.tokenizer_digest, "data": cell.data_keys, "parameters": cell.parameters,
    })
}

/// Writes the view below `building` and returns its files by their final place below the results directory.
fn build(results: &StudyResults, building: &Path) -> Result<Vec<(PathBuf, u64)>, ReportError> {
    let mut files = Vec::new();
    let mut targets: Vec<&str> = results.cells.iter().map(|cell| cell.target.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    fs::create_dir_all(building).at("create directory", building)?;
    let mut add = |part: PathBuf, view: &str| -> Result<(), ReportError> {
        let bytes = fs::metadata(building.join(view).join(&part)).at("read", building.join(view).join(&part))?.len();
        files.push((Path::new(view).join(format!("study={}", results.study.id)).join(part), bytes));
        Ok(())
    };
    for view in &VIEWS[..TARGET_VIEWS] {
        for target in &targets {
            let part = Path::new(&format!("target={target}")).join(PART);
            write_view(results, view, &results.of_target(target), &building.join(view).join(&part))?;
            add(part, view)?;
        }
    }
    let profiles: Vec<&DataTable> = results.profiles.values().collect();
    let [comparisons, aggregates, overlap] =
        [&results.comparisons, &results.aggregates, &results.overlap].map(|table| table.iter().collect());
    let tables: [Vec<&DataTable>; 4] = [comparisons, aggregates, profiles, overlap];
    for (view, tables) in VIEWS[TARGET_VIEWS..].iter().zip(tables) {
        if !tables.is_empty() {
            write_data(view, &tables, &building.join(view).join(PART))?;
            add(PathBuf::from(PART), view)?;
        }
    }
    Ok(files)
}

fn write_view(results: &StudyResults, view: &str, cells: &[&Cell], path: &Path) -> Result<(), ReportError> {
    let schema = view_schema(view);
    let version = VIEW_VERSION.to_string();
    let mut writer = Writer::create(path, &schema, &[("trestle.view", view), (VERSION_ENTRY, &version)])?;
    for cell in cells {
        match view {
            "scores" => copy(cell, None, &cell.scores, view, &schema, &mut writer)?,
            "summaries" => copy(cell, None, &cell.summaries, view, &schema, &mut writer)?,
            "example_scores" => copy(cell, None, &cell.example_scores, view, &schema, &mut writer)?,
            "predictions" => {
                for (_, file) in &cell.predictions {
                    copy(cell, None, file, view, &schema, &mut writer)?;
                }
            }
            "training_log" => {
                for (phase, file) in &cell.training_logs {
                    copy(cell, Some(phase), file, view, &schema, &mut writer)?;
                }
            }
            _ => writer.write(&run(results, cell, &schema)?)?,
        }
    }
    writer.finish()?;
    Ok(())
}

/// Writes the rows of `tables`, one after the other.
fn write_data(view: &str, tables: &[&DataTable], path: &Path) -> Result<(), ReportError> {
    let table = stage_table(view);
    let version = VIEW_VERSION.to_string();
    let mut writer = Writer::create(path, &table.schema, &[("trestle.view", view), (VERSION_ENTRY, &version)])?;
    for file in tables {
        let batch = stage::read(&file.path, table)?;
        let batch = RecordBatch::try_new(table.schema.clone(), batch.columns().to_vec());
        writer.write(&batch.expect("the batch has passed the stage's schema"))?;
    }
    writer.finish()?;
    Ok(())
}

/// The stage's table behind a view; `runs` has none.
fn stage_table(view: &str) -> &'static schema::Table {
    schema::table(&view.replace('_', "-"))
}

fn view_schema(view: &str) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str, data_type| Field::new(name, data_type, false);
    let mut fields = vec![text("row"), number("seed", DataType::UInt64)];
    fields.extend(["model_key", "predict_key", "score_key"].map(text));
    if view == "runs" {
        let item = Arc::new(text("item"));
        fields.push(Field::new("intermediate_tasks", DataType::List(item), false));
        fields.extend(PHASES.map(|phase| number(&format!("{phase}_steps"), DataType::UInt32)));
        fields.extend(["tokenizer_digest", "data_keys", "parameters", "code_version"].map(text));
        return Arc::new(Schema::new(fields));
    }
    if view == "training_log" {
        fields.push(text("phase"));
    }
    fields.extend(stage_table(view).schema.fields().iter().map(|field| field.as_ref().clone()));
    Arc::new(Schema::new(fields))
}

/// The trainings behind a cell, in their order.
const PHASES: [&str; 3] = ["pretrain", "intermediate", "target"];

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

/// The columns that every table of the view begins with.
fn origin(cell: &Cell, rows: usize) -> Vec<ArrayRef> {
    vec![
        repeated(&cell.row, rows),
        Arc::new(UInt64Array::from(vec![cell.seed; rows])),
        repeated(&cell.model_key, rows),
        repeated(&cell.predict_key, rows),
        repeated(&cell.score_key, rows),
    ]
}

/// Streams a stage's file into the view.
fn copy(
    cell: &Cell,
    phase: Option<&str>,
    file: &Path,
    view: &str,
    schema: &SchemaRef,
    writer: &mut Writer,
) -> Result<(), ReportError> {
    for batch in shard::read_batches(file)? {
        let batch = batch?;
        stage_table(view).check(&batch).map_err(|e| ReportError::schema(file, e))?;
        let mut columns = origin(cell, batch.num_rows());
        columns.extend(phase.map(|phase| repeated(phase, batch.num_rows())));
        columns.extend(batch.columns().iter().cloned());
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("the batch has passed the stage's schema");
        writer.write(&batch)?;
    }
    Ok(())
}

/// The row of `runs` for a cell.
fn run(results: &StudyResults, cell: &Cell, schema: &SchemaRef) -> Result<RecordBatch, ReportError> {
    let mut columns = origin(cell, 1);
    let item = Arc::new(Field::new("item", DataType::Utf8, false));
    let mut tasks = ListBuilder::new(StringBuilder::new()).with_field(item);
    let names = results.study.intermediate.get(&cell.row).map(Vec::as_slice).unwrap_or_default();
    tasks.append_value(names.iter().map(Some));
    columns.push(Arc::new(tasks.finish()));
    for phase in PHASES {
        let mut steps = 0;
        for (_, log) in cell.training_logs.iter().filter(|(name, _)| name == phase) {
            steps += stage::last_step(log)?;
        }
        columns.push(Arc::new(UInt32Array::from(vec![steps])));
    }
    columns.push(repeated(&cell.tokenizer_digest, 1));
    columns.push(repeated(&json!(cell.data_keys).to_string(), 1));
    columns.push(repeated(&cell.parameters.to_string(), 1));
    columns.push(repeated(&results.code_version, 1));
    Ok(RecordBatch::try_new(schema.clone(), columns).expect("the columns are built in the schema's order"))
}

/// Puts `building/<view>`, if there is one, in the place of the study's partition; what was there moves to
/// `building/old-<view>`.
fn swap_in(building: &Path, view: &str, table_dir: &Path, study: &str) -> Result<(), FileError> {
    let place = table_dir.join(format!("study={study}"));
    if place.exists() {
        fs::rename(&place, building.join(format!("old-{view}"))).at("move away", &place)?;
    }
    if !building.join(view).exists() {
        return Ok(());
    }
    fs::create_dir_all(table_dir).at("create directory", table_dir)?;
    fs::rename(building.join(view), &place).at("move into place", &place)
}

fn write_stamp(stamp: &Stamp, path: &Path) -> Result<(), FileError> {
    let partial = path.with_extension("partial");
    fs::write(&partial, json!(stamp).to_string()).at("write", &partial)?;
    fs::rename(&partial, path).at("move into place", path)
}

/// Removes a file or a directory, if it is there.
fn remove(path: &Path) -> Result<(), FileError> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

#[cfg(test)]
mod tests;
