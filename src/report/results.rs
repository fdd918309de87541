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
//! `intermediate`, `seed`, `model_key`, `predict_key`, `score_key`; then
//! - `scores`, `summaries`, `example_scores`, `predictions`: the columns of the stage's own table,
//! - `training_log`: `phase` (`pretrain`, `intermediate`, `target`) and the log's columns. A training that several cells
//!   share stands in the log of each,
//! - `runs`, one row a cell: `intermediate_tasks`, `pretrain_steps`, `intermediate_steps`, `target_steps` (0: no such
//!   phase), `tokenizer_digest`, `data_keys` and `parameters` (JSON), `code_version`.
//!
//! The view of a study is built aside and swapped in table by table, so a reader finds each table old or new, never
//! half. A stamp, written last, holds the digest of everything the view was made from: where it still fits, publishing
//! does nothing. What a crash leaves behind, the next run replaces.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Cell, DataTable, QueryTable, ReportError, Rows, StudyResults, stage};
use crate::error::{FileError, IoContext};
use crate::schema;
use crate::shard::{self, PART, Writer};

/// Raised when the layout or a column of the view changes.
const VIEW_VERSION: u32 = 4;

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

/// Where stamps and locks lie, below the results directory.
const STAMPS: &str = ".published";

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

/// Rebuilds the view of one study below `results_dir`, if it is not already that of `results`.
///
/// # Errors
/// A stage's file that is missing, broken or not of its schema, named; a results directory that can't be written. The
/// old view stays where a new one can't be built.
pub fn publish(results: &StudyResults, results_dir: &Path) -> Result<Published, ReportError> {
    let study = &results.study.id;
    let stamps = results_dir.join(STAMPS);
    fs::create_dir_all(&stamps).at("create directory", &stamps)?;
    let lock_path = stamps.join(format!("{study}.lock"));
    let lock = File::create(&lock_path).at("create", &lock_path)?;
    lock.lock().at("lock", &lock_path)?;

    let stamp_path = stamps.join(format!("{study}.json"));
    let digest = digest(results);
    let stamp = fs::read(&stamp_path).ok().and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok());
    if let Some(stamp) = stamp.filter(|stamp| stamp.digest == digest && stamp.is_intact(results_dir)) {
        return Ok(Published { written: false, files: stamp.files.len() });
    }

    let building = results_dir.join(format!(".building-{study}"));
    remove(&building)?;
    let built = build(results, &building).and_then(|files| {
        remove(&stamp_path)?;
        for view in VIEWS {
            swap_in(&building, view, &results_dir.join(view), study)?;
        }
        Ok(files)
    });
    remove(&building)?;
    let stamp = Stamp { digest, files: built? };
    write_stamp(&stamp, &stamp_path)?;
    Ok(Published { written: true, files: stamp.files.len() })
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
        "target": cell.target, "intermediate": cell.intermediate, "seed": cell.seed, "languages": languages,
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
    let mut writer = Writer::create(path, &schema, &[("trestle.view", view), ("trestle.view_version", &version)])?;
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
    let mut writer =
        Writer::create(path, &table.schema, &[("trestle.view", view), ("trestle.view_version", &version)])?;
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
    let mut fields = vec![text("intermediate"), number("seed", DataType::UInt64)];
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
        repeated(&cell.intermediate, rows),
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
    let names = results.study.intermediate.get(&cell.intermediate).map(Vec::as_slice).unwrap_or_default();
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
mod tests {
    use std::collections::BTreeMap;

    use super::super::fixture;
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{UInt32Type, UInt64Type};

    /// Bytes of every file below `root`, stamps and locks included.
    fn bytes(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut pending = vec![root.to_owned()];
        let mut files = BTreeMap::new();
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    pending.push(path)
                } else {
                    drop(files.insert(path.clone(), fs::read(path).unwrap()))
                }
            }
        }
        files
    }

    #[test]
    fn a_second_run_writes_nothing_and_a_fresh_one_writes_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let (view, other) = (dir.path().join("results"), dir.path().join("other"));
        let first = publish(&results, &view).unwrap();
        assert_eq!(first, Published { written: true, files: 21 });
        let before = bytes(&view);
        assert_eq!(publish(&results, &view).unwrap(), Published { written: false, files: 21 });
        let mut shuffled = results.clone();
        shuffled.cells.reverse();
        assert!(!publish(&shuffled, &view).unwrap().written);
        assert_eq!(bytes(&view), before);
        publish(&shuffled, &other).unwrap();
        let fresh: Vec<_> = bytes(&other).into_values().collect();
        assert_eq!(fresh, before.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn every_input_is_in_the_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let base = digest(&results);
        let changes: [fn(&mut Cell); 9] = [
            |c| c.target.push('x'),
            |c| c.intermediate.push('x'),
            |c| c.seed += 1,
            |c| c.score_key.push('x'),
            |c| c.predict_key.push('x'),
            |c| c.model_key.push('x'),
            |c| c.tokenizer_digest.push('x'),
            |c| drop(c.data_keys.insert("more".to_owned(), "k".to_owned())),
            |c| c.parameters = json!({"learning_rate": 1}),
        ];
        for change in changes {
            let mut changed = results.clone();
            change(&mut changed.cells[0]);
            assert_ne!(digest(&changed), base);
        }
        let mut changed = results.clone();
        changed.profiles.get_mut("xnli").unwrap().key.push('x');
        assert_ne!(digest(&changed), base);
        changed = results.clone();
        changed.overlap = None;
        assert_ne!(digest(&changed), base);
        changed = results.clone();
        changed.code_version.push('x');
        assert_ne!(digest(&changed), base);
        changed = results.clone();
        changed.study.title.push('x');
        assert_ne!(digest(&changed), base);
    }

    #[test]
    fn a_view_that_lost_a_file_is_built_again_and_leftovers_go() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let view = dir.path().join("results");
        publish(&results, &view).unwrap();
        let before = bytes(&view);
        fs::remove_file(view.join("scores/study=small/target=xquad").join(PART)).unwrap();
        fs::create_dir_all(view.join(".building-small/scores")).unwrap();
        fs::write(view.join(".building-small/scores/junk"), "half").unwrap();
        assert!(publish(&results, &view).unwrap().written);
        assert_eq!(bytes(&view), before);
    }

    #[test]
    fn a_target_that_left_the_study_leaves_the_view() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        let view = dir.path().join("results");
        publish(&results, &view).unwrap();
        results.cells.retain(|cell| cell.target == "xnli");
        assert_eq!(publish(&results, &view).unwrap(), Published { written: true, files: 9 });
        assert!(!view.join("scores/study=small/target=xquad").exists());
    }

    #[test]
    fn a_broken_input_is_named_and_leaves_the_old_view() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        let view = dir.path().join("results");
        publish(&results, &view).unwrap();
        let before = bytes(&view);
        results.cells[0].score_key.push('x');
        fs::write(&results.cells[0].scores, "PAR1").unwrap();
        let message = publish(&results, &view).unwrap_err().to_string();
        assert!(message.contains("scores.parquet"), "{message}");
        assert_eq!(bytes(&view), before);
    }

    #[test]
    fn runs_tell_steps_tasks_and_keys() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let view = dir.path().join("results");
        publish(&results, &view).unwrap();
        let path = view.join("runs/study=small/target=xnli").join(PART);
        let (_, batches) = shard::read_table(&path).unwrap();
        let batch = &batches[0];
        let rows: Vec<&str> = batch["intermediate"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(rows, ["chance", "none", "none", "mnli", "mnli"]);
        assert_eq!(batch["seed"].as_primitive::<UInt64Type>().values(), &[0, 1, 2, 1, 2]);
        assert_eq!(batch["intermediate_steps"].as_primitive::<UInt32Type>().values(), &[0, 0, 0, 40, 40]);
        assert_eq!(batch["target_steps"].as_primitive::<UInt32Type>().values(), &[0, 40, 40, 40, 40]);
        assert_eq!(batch["intermediate_tasks"].as_list::<i32>().value_length(3), 1);
        assert_eq!(batch["score_key"].as_string::<i32>().value(3), "score-xnli-mnli-1");
    }
}
