//! One JSON object a line. The file is read twice: once for the columns and their types (a value that is absent in the
//! first rows may be there in later ones), once for the rows.

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_iterator;
use serde_json::Value;

use super::flatten::flatten;
use super::{Batches, Lines, NormalizeError, RawPart, batch, batches};
use crate::shard::BATCH_ROWS;

/// Reads `part`; blank lines are left out.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    let schema = Arc::new(columns(part)?);
    if schema.fields().is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let mut lines = Lines::open(part)?;
    let mut decoder = ReaderBuilder::new(schema)
        .with_batch_size(BATCH_ROWS)
        .with_coerce_primitive(true)
        .build_decoder()
        .map_err(|e| NormalizeError::content(&part.path, e.to_string()))?;
    Ok(batches(move || {
        let first = lines.number + 1;
        while decoder.len() < BATCH_ROWS {
            let Some(line) = lines.next()? else { break };
            let decoded = decoder.decode(line.as_bytes()).and_then(|_| decoder.decode(b"\n"));
            decoded.map_err(|e| lines.wrong(e.to_string()))?;
        }
        let rows = decoder.flush().and_then(|rows| rows.map(|rows| flatten(&rows)).transpose());
        let rows =
            rows.map_err(|e| NormalizeError::line(&lines.path, first, format!("in this or the following rows: {e}")))?;
        Ok(rows.and_then(batch))
    }))
}

/// The columns of all lines, each with a type that holds its value in every line.
fn columns(part: &RawPart) -> Result<Schema, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let last = Cell::new(0);
    let mut stopped = None;
    let mut next = || -> Result<Option<Value>, NormalizeError> {
        while let Some(line) = lines.next()? {
            if line.trim().is_empty() {
                continue;
            }
            let parsed = serde_json::from_str::<Value>(line);
            last.set(lines.number);
            return match parsed {
                Ok(value @ Value::Object(_)) => Ok(Some(value)),
                Ok(_) => Err(lines.wrong("a JSON value, but not an object")),
                Err(e) => Err(lines.wrong(format!("not JSON: {e}"))),
            };
        }
        Ok(None)
    };
    let values = std::iter::from_fn(|| match next() {
        Ok(value) => value.map(Ok),
        Err(e) => {
            stopped = Some(e);
            None
        }
    });
    let schema = infer_json_schema_from_iterator(values);
    if let Some(e) = stopped {
        return Err(e);
    }
    schema.map_err(|e| {
        let message = match e {
            ArrowError::JsonError(message) => message,
            other => other.to_string(),
        };
        NormalizeError::line(&part.path, last.get(), format!("does not fit the lines before it: {message}"))
    })
}
