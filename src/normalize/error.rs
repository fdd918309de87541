use std::path::{Path, PathBuf};

use crate::error::{ExitCode, FileError};

/// What goes wrong between raw bytes and canonical tables.
#[derive(Debug, thiserror::Error)]
pub enum NormalizeError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of a text file that is not what its reader reads.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// A file as a whole that is not what its reader reads.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Files side by side with different numbers of rows.
    #[error(
        "{} ends after {rows} rows, but {} beside it goes on: files side by side must have the same number of rows",
        short.display(), long.display()
    )]
    Uneven {
        /// The file that ends first.
        short: PathBuf,
        /// Its number of rows.
        rows: u64,
        /// A file that goes on.
        long: PathBuf,
    },
    /// SQL that can't run, or not row by row.
    #[error("the SQL of task {task} {message}")]
    Sql {
        /// The task.
        task: String,
        /// What is wrong with it.
        message: String,
    },
    /// SQL that fails on the columns of a file.
    #[error("the SQL of task {task} fails on {}: {message}; the raw columns are {columns}", path.display())]
    Query {
        /// The task.
        task: String,
        /// The file.
        path: PathBuf,
        /// The engine's words.
        message: String,
        /// The columns that the SQL can use.
        columns: String,
    },
    /// Columns of the SQL's result that are not those of the task's format.
    #[error("the SQL of task {task} does not give a {format} table from {}: {message}", path.display())]
    Columns {
        /// The task.
        task: String,
        /// Its format.
        format: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A row that breaks the contract of its table.
    #[error("{}, row {row}, example {example}: {message}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// 0-based row of the file (the readers' `row`).
        row: i64,
        /// The row's `example_id`.
        example: String,
        /// What is wrong with it.
        message: String,
    },
    /// Two files of different languages that give rows of the same one.
    #[error(
        "task {task}, split {split}: two of its language files both give rows of language {language}; mend `language` in the SQL"
    )]
    Twice {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The language.
        language: String,
    },
    /// A split without examples.
    #[error("task {task}, split {split}: no row of {files} becomes an example; look at the WHERE clause of its SQL")]
    Empty {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The raw files.
        files: String,
    },
    /// A view that can't be made.
    #[error("view {view}: {message}")]
    View {
        /// The view.
        view: String,
        /// Why.
        message: String,
    },
    /// Another number of examples than published.
    #[error(
        "task {task}, split {split}, language {language}: {found} examples, but `expect` says {expected}; the raw files are not the published ones"
    )]
    Count {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The language.
        language: String,
        /// The number there is.
        found: u64,
        /// The number in the task file.
        expected: u64,
    },
}

impl NormalizeError {
    pub(super) fn line(path: &Path, line: u64, message: impl Into<String>) -> Self {
        NormalizeError::Line { path: path.to_owned(), line, message: message.into() }
    }

    pub(super) fn content(path: &Path, message: impl Into<String>) -> Self {
        NormalizeError::Content { path: path.to_owned(), message: message.into() }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            NormalizeError::File(e) => e.exit(),
            NormalizeError::Sql { .. }
            | NormalizeError::Query { .. }
            | NormalizeError::Columns { .. }
            | NormalizeError::Twice { .. }
            | NormalizeError::View { .. } => ExitCode::Config,
            NormalizeError::Line { .. }
            | NormalizeError::Content { .. }
            | NormalizeError::Uneven { .. }
            | NormalizeError::Row { .. }
            | NormalizeError::Empty { .. } => ExitCode::Data,
            NormalizeError::Count { .. } => ExitCode::Mismatch,
        }
    }
}
