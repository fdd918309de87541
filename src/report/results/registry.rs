//! The tables of the results: the one list from which the view, SQL, the columns' documentation and the report take them.
//!
//! A table is a struct for its rows ([`crate::schema::TableRow`]), a file of `schemas/`, and a line here. One of a whole study
//! is written by whichever stage makes it, as `<schema's id>.parquet`, and is found there.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::super::{QueryTable, Rows};
use super::rows::RunRow;
use crate::audit::{Overlap, Profile};
use crate::evaluate::{AggregateRow, ComparisonRow, ExampleScoreRow, PredictionRow, ScoreRow, SummaryRow};
use crate::schema::{Table, TableRow, table};
use crate::train::LogRow;

/// Where a table's rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Each cell of the grid; the view has a file for each target.
    Cells(OfCell),
    /// Artifacts about the study as a whole; the view has one file.
    Study,
}

/// What of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OfCell {
    /// A table of its score stage.
    Scores,
    /// The predictions in each language.
    Predictions,
    /// The log of each training behind it.
    Trainings,
    /// The cell itself.
    Run,
}

macro_rules! results_tables {
    ($($(#[$docs:meta])+ $table:ident $name:literal: $row:ty, $source:expr;)+) => {
        /// A table of the results.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ResultsTable {
            $($(#[$docs])+ $table,)+
        }

        impl ResultsTable {
            /// Every table, in the order in which they are described.
            pub const ALL: &'static [ResultsTable] = &[$(ResultsTable::$table,)+];

            /// Its name in SQL, and of its folder in the view.
            pub fn name(self) -> &'static str {
                match self {
                    $(ResultsTable::$table => $name,)+
                }
            }

            /// The contract of its own columns.
            pub fn table(self) -> &'static Table {
                match self {
                    $(ResultsTable::$table => <$row>::table(),)+
                }
            }

            pub(super) fn source(self) -> Source {
                match self {
                    $(ResultsTable::$table => $source,)+
                }
            }

            /// What the struct for its rows makes of those columns.
            #[cfg(test)]
            fn row_columns(self) -> Vec<arrow::datatypes::Field> {
                match self {
                    $(ResultsTable::$table => <$row>::columns(),)+
                }
            }
        }
    };
}

results_tables! {
    /// Each number of each language.
    Scores "scores": ScoreRow, Source::Cells(OfCell::Scores);
    /// The same over groups of languages.
    Summaries "summaries": SummaryRow, Source::Cells(OfCell::Scores);
    /// What each example contributes to them.
    ExampleScores "example_scores": ExampleScoreRow<'_>, Source::Cells(OfCell::Scores);
    /// What was predicted of each example.
    Predictions "predictions": PredictionRow<'_>, Source::Cells(OfCell::Predictions);
    /// What stands behind each cell.
    Runs "runs": RunRow, Source::Cells(OfCell::Run);
    /// Steps and evaluations of the trainings.
    TrainingLog "training_log": LogRow<'_>, Source::Cells(OfCell::Trainings);
    /// Rows against the row without intermediate training.
    Comparisons "comparisons": ComparisonRow, Source::Study;
    /// Rows over their seeds.
    Aggregates "aggregates": AggregateRow, Source::Study;
    /// What the tasks' tables hold.
    Profiles "profiles": Profile, Source::Study;
    /// Evaluation data that stand in training data.
    Overlap "overlap": Overlap, Source::Study;
}

/// Columns that a file about cells begins with.
const CELL_KEYS: [&str; 5] = ["row", "seed", "model_key", "predict_key", "score_key"];

impl ResultsTable {
    /// The tables of a whole study.
    pub fn of_study() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|table| table.source() == Source::Study)
    }

    /// The tables of a score stage.
    pub fn of_scores() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|table| table.source() == Source::Cells(OfCell::Scores))
    }

    /// The name of its file, for a table of a score stage or of a whole study.
    pub fn file_name(self) -> String {
        format!("{}.parquet", self.table().id)
    }

    /// What a row is.
    pub fn description(self) -> &'static str {
        &self.table().description
    }

    /// The columns that stand in the paths of its files.
    pub fn partitions(self) -> &'static [&'static str] {
        match self.source() {
            Source::Cells(_) => &["study", "target"],
            Source::Study => &["study"],
        }
    }

    /// The columns that its files begin with, before the table's own.
    pub fn keys(self) -> Vec<&'static str> {
        match self.source() {
            Source::Cells(OfCell::Trainings) => CELL_KEYS.into_iter().chain(["phase"]).collect(),
            Source::Cells(_) => CELL_KEYS.to_vec(),
            Source::Study => Vec::new(),
        }
    }

    /// All columns that SQL sees, in their order; their metadata hold a `description`.
    pub fn columns(self) -> Vec<FieldRef> {
        let keys = self.keys();
        let before = self.partitions().iter().chain(&keys).map(|name| key(name));
        let optional = self.table().optional.iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        before.chain(self.table().schema.fields().iter().cloned()).chain(optional).collect()
    }

    /// Such a table as the stage wrote it into `dir`, for [`crate::report::query()`]: without keys.
    pub fn of_stage(self, dir: &Path) -> QueryTable {
        QueryTable {
            name: self.name().to_owned(),
            description: self.description().to_owned(),
            columns: self.table().schema.fields().iter().cloned().collect(),
            rows: Rows::Files { root: dir.to_owned(), files: vec![dir.join(self.file_name())] },
        }
    }

    /// The schema of its files in the view.
    pub(super) fn file_schema(self) -> SchemaRef {
        let columns = self.columns().split_off(self.partitions().len());
        Arc::new(Schema::new(columns))
    }
}

fn key(name: &str) -> FieldRef {
    let keys = table("results-keys").schema.fields();
    let (_, field) = keys.find(name).expect("a test looks up each key");
    field.clone()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::super::rows::{CellKeys, PhaseKey};
    use super::*;
    use crate::report::reference::{LanguageRow, PublishedRow};
    use crate::schema::Columnar;

    fn bare<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Vec<(String, DataType, bool)> {
        let bare = |field: &Field| (field.name().clone(), field.data_type().clone(), field.is_nullable());
        fields.into_iter().map(bare).collect()
    }

    #[test]
    fn structs_and_schemas_agree() {
        let own = ResultsTable::ALL.iter().map(|table| (table.row_columns(), table.table()));
        let others = [(LanguageRow::columns(), LanguageRow::table()), (PublishedRow::columns(), PublishedRow::table())];
        for (columns, table) in own.chain(others) {
            assert_eq!(bare(&columns), bare(table.schema.fields().iter().map(AsRef::as_ref)), "{}", table.id);
        }
    }

    #[test]
    fn the_keys_of_files_are_those_that_are_described() {
        let mut fields = Vec::new();
        CellKeys::fields("", &mut fields);
        PhaseKey::fields("", &mut fields);
        let keys: Vec<FieldRef> = ResultsTable::TrainingLog.keys().into_iter().map(key).collect();
        assert_eq!(bare(&fields), bare(keys.iter().map(AsRef::as_ref)));
        assert_eq!(ResultsTable::Scores.keys(), CELL_KEYS);
    }

    #[test]
    fn names_are_those_of_the_schemas_and_no_column_is_there_twice() {
        for table in ResultsTable::ALL {
            assert_eq!(table.name(), table.table().id.replace('-', "_"));
            let columns = table.columns();
            let mut names: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{}", table.name());
            assert!(columns.iter().all(|column| column.metadata().contains_key("description")), "{}", table.name());
        }
    }
}
