use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::error::{ExitCode, FileError};
use crate::schema::SchemaError;

/// What goes wrong with Parquet files.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not whole or not Parquet.
    #[error("{} is not a readable parquet file ({message}); it may be truncated: fetch or rebuild it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reader's words.
        message: String,
    },
    /// A file could not be written.
    #[error("failed to write {}: {message}; free some space or set TRESTLE_HOME to another disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The writer's words.
        message: String,
    },
    /// A column is absent or of another type.
    #[error("{}: column `{column}` is missing or not {expected}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column asked for.
        column: String,
        /// The type asked for.
        expected: &'static str,
    },
    /// A table, or a row of it, is not what its schema says.
    #[error("{}: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The difference.
        source: Box<SchemaError>,
    },
    /// A column that can't go to or come from SQL.
    #[error("column `{column}` can't pass between Arrow and Polars: {message}; leave it out or cast it")]
    Frame {
        /// The column, or `*` for the table as a whole.
        column: String,
        /// What stands in the way.
        message: String,
    },
}

impl ShardError {
    pub(super) fn parquet(path: &Path, source: ParquetError) -> Self {
        ShardError::Read { path: path.to_owned(), message: source.to_string() }
    }

    pub(super) fn read(path: &Path, source: ArrowError) -> Self {
        ShardError::Read { path: path.to_owned(), message: source.to_string() }
    }

    pub(super) fn write(path: &Path, source: ParquetError) -> Self {
        ShardError::Write { path: path.to_owned(), message: source.to_string() }
    }

    pub(crate) fn schema(path: &Path, source: SchemaError) -> Self {
        ShardError::Schema { path: path.to_owned(), source: Box::new(source) }
    }

    pub(super) fn frame(column: &str, message: impl ToString) -> Self {
        ShardError::Frame { column: column.to_owned(), message: message.to_string() }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ShardError::File(e) => e.exit(),
            ShardError::Schema { source, .. } => source.exit(),
            ShardError::Read { .. } | ShardError::Column { .. } | ShardError::Frame { .. } => ExitCode::Data,
            ShardError::Write { .. } => ExitCode::Storage,
        }
    }
}
