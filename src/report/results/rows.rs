//! What the view writes itself: a cell's run, and what stands before the columns of a stage's table.

use serde_json::json;

use super::super::{Cell, ReportError, StudyResults, log};
use crate::schema::row::table_row;

table_row! {
    /// What stands behind a cell.
    #[derive(Debug, Clone, PartialEq)]
    pub struct RunRow: "runs" {
        /// The row's intermediate tasks.
        pub intermediate_tasks: Vec<String>,
        /// Steps of pretraining.
        pub pretrain_steps: u32,
        /// Steps on the intermediate tasks.
        pub intermediate_steps: u32,
        /// Steps on the target.
        pub target_steps: u32,
        /// Digest of the tokenizer's file; empty where there is none.
        pub tokenizer_digest: String,
        /// JSON: keys of the data behind it.
        pub data_keys: String,
        /// JSON: everything else that was chosen.
        pub parameters: String,
        /// Version of the code that published it.
        pub code_version: String,
    }
}

table_row! {
    /// Which cell a row is of.
    pub(super) struct CellKeys<'a> {
        pub row: &'a str,
        pub seed: u64,
        pub model_key: &'a str,
        pub predict_key: &'a str,
        pub score_key: &'a str,
    }
}

table_row! {
    /// Which of a cell's trainings a row is of.
    pub(super) struct PhaseKey<'a> {
        pub phase: &'a str,
    }
}

impl<'a> CellKeys<'a> {
    pub(super) fn of(cell: &'a Cell) -> Self {
        Self {
            row: &cell.at.row,
            seed: cell.at.seed,
            model_key: &cell.model_key,
            predict_key: &cell.predict_key,
            score_key: &cell.score_key,
        }
    }
}

impl RunRow {
    pub(super) fn of(results: &StudyResults, cell: &Cell) -> Result<Self, ReportError> {
        let steps = |phase: &str| {
            let logs = cell.training_logs.iter().filter(|(name, _)| name == phase);
            logs.map(|(_, log)| log::last_step(log)).sum::<Result<u32, ReportError>>()
        };
        Ok(Self {
            intermediate_tasks: results.study.intermediate.get(&cell.at.row).cloned().unwrap_or_default(),
            pretrain_steps: steps("pretrain")?,
            intermediate_steps: steps("intermediate")?,
            target_steps: steps("target")?,
            tokenizer_digest: cell.tokenizer_digest.clone(),
            data_keys: json!(cell.data_keys).to_string(),
            parameters: cell.parameters.to_string(),
            code_version: results.code_version.clone(),
        })
    }
}
