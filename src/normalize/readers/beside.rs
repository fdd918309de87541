//! Files side by side: row n of each together make raw row n.

use std::path::PathBuf;

use arrow::array::{ArrayRef, RecordBatch};

use super::{Batches, NormalizeError, Wanted, batch, batches, bucc, open_part};
use crate::source::RawFile;
use crate::task::Reader;

struct Part {
    path: PathBuf,
    batches: Batches,
    /// Rows read but not yet handed on.
    pending: Option<RecordBatch>,
    /// Rows handed on.
    rows: u64,
}

impl Part {
    /// Rows at hand, after reading on if there were none; 0 at the end.
    fn fill(&mut self) -> Result<usize, NormalizeError> {
        while self.pending.as_ref().is_none_or(|rows| rows.num_rows() == 0) {
            match self.batches.next().transpose()? {
                Some(rows) => self.pending = Some(rows),
                None => return Ok(0),
            }
        }
        Ok(self.pending.as_ref().map_or(0, RecordBatch::num_rows))
    }

    fn take(&mut self, rows: usize) -> Option<RecordBatch> {
        let pending = self.pending.as_mut()?;
        let taken = pending.slice(0, rows);
        *pending = pending.slice(rows, pending.num_rows() - rows);
        self.rows += rows as u64;
        Some(taken)
    }
}

/// Opens the files of `file` with their readers, side by side; BUCC's three make rows together.
pub(in crate::normalize) fn open(file: &RawFile, wanted: Wanted) -> Result<Batches, NormalizeError> {
    if let [foreign, english, gold] = file.parts.as_slice()
        && foreign.reader == Reader::Bucc
    {
        return bucc::open(foreign, english, gold);
    }
    let language = file.language.as_deref();
    let mut parts = Vec::with_capacity(file.parts.len());
    for part in &file.parts {
        let batches = open_part(part, language, wanted)?;
        parts.push(Part { path: part.path.clone(), batches, pending: None, rows: 0 });
    }
    Ok(batches(move || next(&mut parts)))
}

fn next(parts: &mut [Part]) -> Result<Option<RecordBatch>, NormalizeError> {
    let ready = parts.iter_mut().map(Part::fill).collect::<Result<Vec<_>, _>>()?;
    let rows = ready.iter().copied().min().unwrap_or(0);
    if rows == 0 {
        let long = ready.iter().position(|&rows| rows > 0);
        let short = ready.iter().position(|&rows| rows == 0);
        return match (short, long) {
            (Some(short), Some(long)) => Err(NormalizeError::Uneven {
                short: parts[short].path.clone(),
                rows: parts[short].rows,
                long: parts[long].path.clone(),
            }),
            _ => Ok(None),
        };
    }
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for part in parts {
        let Some(taken) = part.take(rows) else { continue };
        for (field, column) in taken.schema().fields().iter().zip(taken.columns()) {
            if columns.iter().any(|(name, _)| name == field.name()) {
                let message =
                    format!("column `{}` is in a file beside it too; give `columns` in the task file", field.name());
                return Err(NormalizeError::content(&part.path, message));
            }
            columns.push((field.name().clone(), column.clone()));
        }
    }
    Ok(batch(columns))
}
