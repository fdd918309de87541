//! The questions that have an answer in their context, or those that have none: the halves of SQuAD 2.0, which its script scores apart
//! (`HasAns`, `NoAns`).

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use serde::{Deserialize, Serialize};

use super::{Made, Transform};
use crate::normalize::NormalizeError;
use crate::task::{Format, Task, TransformName};

/// One of the halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answerable {
    /// Which: those with an answer, or those without.
    pub answerable: bool,
}

impl Transform for Answerable {
    const NAMES: &'static [&'static str] = &["answerable", "unanswerable"];

    fn named(name: &TransformName, of: &Task) -> Result<Self, String> {
        if of.format != Format::SpanExtraction || !of.unanswerable {
            return Err(format!("it picks questions with or without an answer, and {} has no such questions", of.id));
        }
        match &name.argument {
            Some(argument) => Err(format!("it takes nothing after a dot, but there is `{argument}`")),
            None => Ok(Self { answerable: name.name == "answerable" }),
        }
    }

    fn rows(&self, _part: &str, rows: RecordBatch) -> Result<Made, NormalizeError> {
        let answers = rows["answer_texts"].as_list::<i32>();
        let kept: BooleanArray =
            (0..rows.num_rows()).map(|row| Some((answers.value_length(row) > 0) == self.answerable)).collect();
        let kept = filter_record_batch(&rows, &kept).expect("there is a flag for each row");
        Ok(Made { left_out: (rows.num_rows() - kept.num_rows()) as u64, rows: kept })
    }
}
