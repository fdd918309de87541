use std::path::PathBuf;

use crate::error::ExitCode;
use crate::schema::SchemaError;

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
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
        ExitCode::Data
    }
}
