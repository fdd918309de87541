//! The training logs that stages wrote, as far as charts and the table of runs need them.

use std::path::Path;

use super::ReportError;
use crate::shard::{batch_rows, read_batches};
use crate::train::LogRow;

/// What `pick` takes of each row of a log, in the log's order.
fn of_log<T>(path: &Path, pick: impl Fn(LogRow<'_>) -> Option<T>) -> Result<Vec<T>, ReportError> {
    let mut picked = Vec::new();
    for batch in read_batches(path)? {
        let batch = batch?;
        for row in batch_rows(path, &batch)? {
            picked.extend(pick(row?));
        }
    }
    Ok(picked)
}

/// The training losses of a log: step (from 1) and loss.
pub(super) fn losses(path: &Path) -> Result<Vec<(u32, f32)>, ReportError> {
    of_log(path, |row| Some((row.step, row.loss?)))
}

/// The last step of a log.
pub(super) fn last_step(path: &Path) -> Result<u32, ReportError> {
    Ok(of_log(path, |row| Some(row.step))?.into_iter().max().unwrap_or(0))
}

/// The validation scores of a log: step and value. Validation losses are left out.
pub(super) fn validations(path: &Path) -> Result<Vec<(u32, f64)>, ReportError> {
    of_log(path, |row| row.metric.filter(|metric| *metric != "loss").and_then(|_| Some((row.step, row.value?))))
}
