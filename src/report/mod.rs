//! What a study found: tables for people, tables for engines, and a page to read.
//!
//! Everything here is a view. The executor hands over a [`StudyResults`]: for each cell of the grid, where its scores,
//! summaries, predictions and training logs lie, and the keys they were made under. From that
//! - [`publish`] rebuilds the hive-partitioned Parquet tables below `results/` that DuckDB, Polars and pandas read,
//! - [`query()`] runs SQL over them (and over canonical tables and published scores),
//! - [`study_table`] makes the table intermediate × target,
//! - [`render`] makes one self-contained HTML page.
//!
//! Nothing here computes a score: numbers come from the `score` stage, and are only picked, averaged over targets,
//! subtracted or (over seeds) put at their median. Same results, same bytes: no clock and no host name enters.

mod chart;
mod comparison;
mod data;
mod draw;
mod error;
mod html;
mod latex;
mod log;
mod numbers;
mod output;
mod query;
mod reference;
mod results;
mod runs;
mod table;
mod terminal;
mod tidy;

#[cfg(test)]
mod fixture;

pub use comparison::{
    Compared, ComparisonReport, ComparisonRequest, Draws, Operand, ScopeChoice, Verdict, compare_results,
};
pub use error::ReportError;
pub use html::render;
pub use output::{OutputFormat, write_file, write_parquet, write_rows, write_text};
pub use query::{QueryTable, Rows, canonical_table, query};
pub use reference::{languages_table, reference_table};
pub use results::{Published, ResultsTable, publish, results_tables};
pub use runs::{Run, runs};
pub use table::{Average, Change, ChangeTest, Column, Entry, Estimate, Row, StudyTable, study_table};

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::evaluate::median;
use crate::schema::TableRow;
use crate::shard::table_rows;
use crate::task::{CHANCE, Coordinates, Edition, NONE, Study};

/// One cell of a study's grid whose predictions and scores exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The study's id.
    pub study: String,
    /// Which cell.
    pub at: Coordinates,
    /// The metrics whose mean stands for the target in tables ([`crate::task::Metric::headline`]).
    pub metric: &'static [&'static str],
    /// The hidden state whose rows stand for the target in tables (retrieval); `None` picks the rows without a layer.
    pub layer: Option<i32>,
    /// Whose data it was scored on; `None` where that is not known.
    pub edition: Option<Edition>,
    /// The directory of the score stage's tables.
    pub score_dir: PathBuf,
    /// Language and file of each predictions table.
    pub predictions: Vec<(String, PathBuf)>,
    /// Phase (`pretrain`, `intermediate` or `target`) and training log of each training behind this cell.
    pub training_logs: Vec<(String, PathBuf)>,
    /// Key of the predict stage.
    pub predict_key: String,
    /// Key of the score stage.
    pub score_key: String,
    /// Key of the model that predicted; empty for a baseline.
    pub model_key: String,
    /// Digest of the tokenizer file; empty for a baseline.
    pub tokenizer_digest: String,
    /// Keys of the data artifacts behind this cell by their labels, and digests of its raw files by `raw:` and their names.
    pub data_keys: BTreeMap<String, String>,
    /// Everything else that was chosen: hyperparameters, limits, device.
    pub parameters: serde_json::Value,
}

/// A file of a table about a study as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyFile {
    /// Key of the stage that made it.
    pub key: String,
    /// The file.
    pub path: PathBuf,
}

/// All there is of one study.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyResults {
    /// The study file.
    pub study: Study,
    /// The files of each table about it as a whole, as far as they are there: profiles a task, an overlap, and once every cell
    /// is there what the analysis makes of them.
    pub tables: BTreeMap<ResultsTable, Vec<StudyFile>>,
    /// Its finished cells, in any order.
    pub cells: Vec<Cell>,
    /// Version of the code that made them.
    pub code_version: String,
}

impl Cell {
    /// The file of a table of its score stage.
    pub fn score_table(&self, table: ResultsTable) -> PathBuf {
        self.score_dir.join(table.file_name())
    }
}

impl StudyResults {
    /// The rows of a table about the study as a whole, file by file; none where the table is not there yet.
    fn study_rows<R: for<'a> TableRow<'a>>(&self) -> Result<Vec<R>, ReportError> {
        let of_table = self.tables.iter().filter(|(table, _)| table.table().id == R::TABLE);
        let mut rows = Vec::new();
        for file in of_table.flat_map(|(_, files)| files) {
            for row in table_rows(&file.path)? {
                rows.push(row?);
            }
        }
        Ok(rows)
    }

    /// Names of the rows: the baseline where some cell has it, then the study's order.
    fn rows(&self) -> Vec<&str> {
        let chance = self.cells.iter().any(|cell| cell.at.row == CHANCE).then_some(CHANCE);
        chance.into_iter().chain(self.study.order.iter().map(String::as_str)).collect()
    }

    /// The edition that a target was scored on, that of the study before it was; none where its cells differ or do not tell.
    fn edition_of(&self, target: &str) -> Option<Edition> {
        let mut editions = self.cells.iter().filter(|cell| cell.at.target == target).map(|cell| cell.edition);
        let first = editions.next().unwrap_or(Some(self.study.edition))?;
        editions.all(|other| other == Some(first)).then_some(first)
    }

    /// The cells of one target in the order of tables: by row, then by seed.
    fn of_target(&self, target: &str) -> Vec<&Cell> {
        let rows = self.rows();
        let place = |cell: &Cell| rows.iter().position(|row| *row == cell.at.row);
        let mut cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.at.target == target).collect();
        cells.sort_by_key(|cell| (place(cell), cell.at.seed));
        cells
    }
}
