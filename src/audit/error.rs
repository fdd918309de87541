use std::path::PathBuf;

use crate::error::{ExitCode, FileError};
use crate::schema::SchemaError;

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A table is not what `normalize` writes.
    #[error("{}: {source}; normalise the task again", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        source: Box<SchemaError>,
    },
    /// More different texts than can be numbered.
    #[error("the evaluation tables hold more than {most} different texts and 13-grams; compare fewer tasks at a time")]
    TooMany {
        /// The most there can be.
        most: u32,
    },
}

impl AuditError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            AuditError::File(e) => e.exit(),
            AuditError::Table { .. } | AuditError::TooMany { .. } => ExitCode::Data,
        }
    }
}
