//! Comma-separated values with RFC 4180 quoting.

use std::io::Read;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::{Batches, NormalizeError, RawPart, TextColumns, batches, header};

/// Reads `part` into columns named by `names`, or by the first record where there are none.
pub(super) fn open(part: &RawPart, names: Option<&[String]>) -> Result<Batches, NormalizeError> {
    // `flexible`: the width is checked here, with the same words as for TSV.
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(part.open()?);
    let mut record = ByteRecord::new();
    let path = part.path.clone();
    let names = match names {
        Some(names) => names.to_vec(),
        None => {
            if !next(&mut reader, &mut record, &path)? {
                let message = "the file is empty, but should begin with a header";
                return Err(NormalizeError::content(&path, message));
            }
            let fields = fields(&record, &path)?;
            let first = fields.first().map(|name| name.strip_prefix('\u{feff}').unwrap_or(name));
            header(&path, 1, first.into_iter().chain(fields.iter().skip(1).copied()))?
        }
    };
    let mut rows = TextColumns::new(names);
    Ok(batches(move || {
        while !rows.is_full() && next(&mut reader, &mut record, &path)? {
            let fields = fields(&record, &path)?;
            if fields.len() != rows.width() {
                let message = format!("{} columns, should be {}", fields.len(), rows.width());
                return Err(NormalizeError::line(&path, line(&record), message));
            }
            rows.push(fields.into_iter());
        }
        Ok(rows.finish())
    }))
}

fn next(reader: &mut csv::Reader<impl Read>, record: &mut ByteRecord, path: &Path) -> Result<bool, NormalizeError> {
    reader.read_byte_record(record).map_err(|e| match e.into_kind() {
        csv::ErrorKind::Io(source) => crate::error::FileError::new("read", path, source).into(),
        other => NormalizeError::content(path, format!("{other:?}")),
    })
}

/// The line on which the record begins.
fn line(record: &ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

fn fields<'a>(record: &'a ByteRecord, path: &Path) -> Result<Vec<&'a str>, NormalizeError> {
    let number = line(record);
    record
        .iter()
        .enumerate()
        .map(|(index, field)| {
            std::str::from_utf8(field).map_err(|_| {
                let message = format!("field {} is not valid UTF-8; convert the file to UTF-8", index + 1);
                NormalizeError::line(path, number, message)
            })
        })
        .collect()
}
