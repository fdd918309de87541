//! Tab-separated values without quoting: a quotation mark is a character like any other.

use super::{Batches, Lines, NormalizeError, RawPart, TextColumns, batches, header};

/// Reads `part` into columns named by `names`, or by the first line where there are none. A line with fewer columns has nulls
/// in the last ones if the file is `ragged`, else it is an error, as is one with more.
pub(super) fn open(part: &RawPart, names: Option<&[String]>, ragged: bool) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let names = match names {
        Some(names) => names.to_vec(),
        None => match lines.next()? {
            Some(line) => header(&part.path, 1, line.split('\t'))?,
            None => {
                return Err(NormalizeError::content(&part.path, "the file is empty, but should begin with a header"));
            }
        },
    };
    let mut rows = TextColumns::new(names);
    Ok(batches(move || {
        while !rows.is_full() {
            let Some(line) = lines.next()? else { break };
            let found = line.split('\t').count();
            if found != rows.width() && !(ragged && found < rows.width()) {
                let most = if ragged { "at most " } else { "" };
                return Err(lines.wrong(format!("{found} columns, should be {most}{}", rows.width())));
            }
            rows.push(line.split('\t'));
        }
        Ok(rows.finish())
    }))
}
