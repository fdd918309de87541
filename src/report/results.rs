//! The view `results/`: every table of [`ResultsTable`], as hive-partitioned Parquet.
//!
//! ```text
//! results/<table>/study=<study>/target=<target>/part-00000.parquet
//! results/<table of a whole study>/study=<study>/part-00000.parquet
//! ```
//!
//! `study` and `target` stand in the path alone: engines that read hive partitions add them as columns. Tables about cells
//! begin with the keys of their cell; then come the columns of the stage's own table. `docs/tables.md` lists all.
//!
//! The view of a study is built aside and swapped in table by table, so a reader finds each table old or new, never
//! half. A stamp, written last, holds the digest of everything the view was made from: where it still fits, publishing
//! does nothing. What a crash leaves behind, the next run replaces.

mod registry;
mod rows;

use std::fs;
use std::iter::repeat_n;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::registry::ResultsTable;
use self::registry::{OfCell, Source};
use self::rows::{CellKeys, PhaseKey, RunRow};
use super::{Cell, QueryTable, ReportError, Rows, StudyResults};
use crate::error::{FileError, IoContext};
use crate::fs::replace_with;
use crate::schema::{Columnar, TableRow};
use crate::shard::{self, Batches, PART, ShardError, Writer};
use crate::store::Leases;
use crate::task::{study_folder, target_folder};

/// Raised when the layout or a column of the view changes.
const VIEW_VERSION: u32 = 5;

/// The entry of a file's footer that holds it.
const VERSION_ENTRY: &str = "trestle.view_version";

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
        for table in ResultsTable::ALL {
            swap_in(&building, table.name(), &results_dir.join(table.name()), study)?;
        }
        Ok(files)
    });
    remove(&aside)?;
    let _ = fs::remove_dir(results_dir.join(BUILDING));
    let stamp = Stamp { digest, files: built? };
    replace_with(&stamp_path, json!(stamp).to_string().as_bytes())?;
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
    for table in ResultsTable::ALL {
        let root = results_dir.join(table.name());
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
            tables.push(QueryTable {
                name: table.name().to_owned(),
                description: table.description().to_owned(),
                columns: table.columns(),
                rows: Rows::Files { root, files },
            });
        }
    }
    Ok(tables)
}

/// A digest of all that can change the view's bytes. Stage outputs enter through their keys.
fn digest(results: &StudyResults) -> String {
    let mut cells: Vec<String> = results.cells.iter().map(|cell| identity(cell).to_string()).collect();
    cells.sort_unstable();
    let data: Vec<(&str, &str)> = results
        .tables
        .iter()
        .flat_map(|(table, files)| files.iter().map(|file| (table.name(), file.key.as_str())))
        .collect();
    let all = json!([VIEW_VERSION, results.study, results.code_version, cells, data]);
    blake3::hash(all.to_string().as_bytes()).to_hex().to_string()
}

fn identity(cell: &Cell) -> serde_json::Value {
    let languages: Vec<&str> = cell.predictions.iter().map(|(language, _)| language.as_str()).collect();
    let phases: Vec<&str> = cell.training_logs.iter().map(|(phase, _)| phase.as_str()).collect();
    json!({
        "at": cell.at, "languages": languages,
        "phases": phases, "predict": cell.predict_key, "score": cell.score_key, "model": cell.model_key,
        "tokenizer": cell.tokenizer_digest, "data": cell.data_keys, "parameters": cell.parameters,
    })
}

/// Writes the view below `building` and returns its files by their final place below the results directory.
fn build(results: &StudyResults, building: &Path) -> Result<Vec<(PathBuf, u64)>, ReportError> {
    let mut files = Vec::new();
    let mut targets: Vec<&str> = results.cells.iter().map(|cell| cell.at.target.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    fs::create_dir_all(building).at("create directory", building)?;
    let mut add = |part: PathBuf, table: ResultsTable| -> Result<(), ReportError> {
        let path = building.join(table.name()).join(&part);
        let bytes = fs::metadata(&path).at("read", &path)?.len();
        files.push((Path::new(table.name()).join(study_folder(&results.study.id)).join(part), bytes));
        Ok(())
    };
    for table in ResultsTable::ALL.iter().copied() {
        let folder = building.join(table.name());
        match table.source() {
            Source::Cells(source) => {
                for target in &targets {
                    let part = Path::new(&target_folder(target)).join(PART);
                    let mut file = ViewFile::create(table, &folder.join(&part))?;
                    for cell in results.of_target(target) {
                        file.add(results, cell, source)?;
                    }
                    file.writer.finish()?;
                    add(part, table)?;
                }
            }
            Source::Study => {
                let Some(tables) = results.tables.get(&table).filter(|tables| !tables.is_empty()) else { continue };
                let mut file = ViewFile::create(table, &folder.join(PART))?;
                for table in tables {
                    file.copy(&table.path, |_, _| ())?;
                }
                file.writer.finish()?;
                add(PathBuf::from(PART), table)?;
            }
        }
    }
    Ok(files)
}

/// A file of the view under way.
struct ViewFile {
    table: ResultsTable,
    schema: SchemaRef,
    writer: Writer,
}

impl ViewFile {
    fn create(table: ResultsTable, path: &Path) -> Result<Self, ReportError> {
        let schema = table.file_schema();
        let version = VIEW_VERSION.to_string();
        let metadata = [("trestle.view", table.name()), (VERSION_ENTRY, version.as_str())];
        let writer = Writer::create(path, &schema, &metadata)?;
        Ok(Self { table, schema, writer })
    }

    /// Adds the rows of a cell.
    fn add(&mut self, results: &StudyResults, cell: &Cell, source: OfCell) -> Result<(), ReportError> {
        let keys = CellKeys::of(cell);
        let of_cell = |rows, columns: &mut Vec<ArrayRef>| CellKeys::arrays(repeat_n(Some(&keys), rows), columns);
        match source {
            OfCell::Scores => self.copy(&cell.score_table(self.table), of_cell),
            OfCell::Predictions => cell.predictions.iter().try_for_each(|(_, file)| self.copy(file, of_cell)),
            OfCell::Trainings => cell.training_logs.iter().try_for_each(|(phase, file)| {
                let phase = PhaseKey { phase };
                self.copy(file, |rows, columns| {
                    of_cell(rows, columns);
                    PhaseKey::arrays(repeat_n(Some(&phase), rows), columns);
                })
            }),
            OfCell::Run => self.write(&RunRow::batch(&[RunRow::of(results, cell)?]), of_cell),
        }
    }

    /// Streams a stage's file into the view, behind the columns that `keys` gives for so many rows.
    fn copy(&mut self, file: &Path, keys: impl Fn(usize, &mut Vec<ArrayRef>)) -> Result<(), ReportError> {
        for batch in shard::read_as_filed(file)? {
            let batch = batch?;
            self.table.table().check(&batch).map_err(|source| ShardError::schema(file, source))?;
            self.write(&batch, &keys)?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch, keys: impl Fn(usize, &mut Vec<ArrayRef>)) -> Result<(), ReportError> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        keys(batch.num_rows(), &mut columns);
        let of_table = self.schema.fields().iter().skip(columns.len());
        let own = of_table.map(|field| match batch.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
        columns.extend(own.collect::<Vec<_>>());
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        Ok(self.writer.write(&batch.expect("the batch has passed the table's schema"))?)
    }
}

/// Puts `building/<view>`, if there is one, in the place of the study's partition; what was there moves to
/// `building/old-<view>`.
fn swap_in(building: &Path, view: &str, table_dir: &Path, study: &str) -> Result<(), FileError> {
    let place = table_dir.join(study_folder(study));
    if place.exists() {
        fs::rename(&place, building.join(format!("old-{view}"))).at("move away", &place)?;
    }
    if !building.join(view).exists() {
        return Ok(());
    }
    fs::create_dir_all(table_dir).at("create directory", table_dir)?;
    fs::rename(building.join(view), &place).at("move into place", &place)
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
