//! One text a line.

use super::{Batches, Lines, NormalizeError, RawPart, TextColumns, batches};

/// Reads `part` into the one column `column`. Empty lines are rows too: files side by side count on them.
pub(super) fn open(part: &RawPart, column: &str) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(part)?;
    let mut rows = TextColumns::new(vec![column.to_owned()]);
    Ok(batches(move || {
        while !rows.is_full() {
            match lines.next()? {
                Some(line) => rows.push(std::iter::once(line)),
                None => break,
            }
        }
        Ok(rows.finish())
    }))
}
