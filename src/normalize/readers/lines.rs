//! One text a line.

use std::path::Path;

use super::{Batches, Lines, NormalizeError, TextColumns, batches};

/// Reads `path` into the one column `column`. Empty lines are rows too: files side by side count on them.
pub(super) fn open(path: &Path, column: &str) -> Result<Batches, NormalizeError> {
    let mut lines = Lines::open(path)?;
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
