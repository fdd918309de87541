//! Several tasks as one (ANLI+): the rows of each, one after the other.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};

use super::{Made, Transform};
use crate::normalize::NormalizeError;
use crate::task::{Task, TransformName};

/// Of each part all rows, each `example_id` with the part's name and `/` before it: ids are unique within a part only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compose;

impl Transform for Compose {
    /// A task file lists its `parts`.
    const NAMES: &'static [&'static str] = &[];

    fn named(_name: &TransformName, _of: &Task) -> Result<Self, String> {
        Ok(Self)
    }

    fn rows(&self, part: &str, rows: RecordBatch) -> Result<Made, NormalizeError> {
        let ids = rows.column(0).as_string::<i32>();
        let ids = StringArray::from_iter_values(ids.iter().map(|id| format!("{part}/{}", id.unwrap_or_default())));
        let mut columns = rows.columns().to_vec();
        columns[0] = Arc::new(ids);
        let rows = RecordBatch::try_new(rows.schema(), columns).expect("only the ids' text has changed");
        Ok(Made { rows, left_out: 0 })
    }
}
