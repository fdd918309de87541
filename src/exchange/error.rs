use std::path::{Path, PathBuf};

use crate::error::{ExitCode, FileError};
use crate::evaluate::EvaluateError;
use crate::shard::ShardError;

/// What goes wrong with other systems' files.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A Parquet file.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A file of XTREME's layout that can't be read as such.
    #[error(transparent)]
    Submission(#[from] EvaluateError),
    /// A file is not what its layout says.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, where, and the remedy.
        problem: String,
    },
    /// A prediction that has to be there is not.
    #[error("{}: {problem}", path.display())]
    Incomplete {
        /// The file, or the folder that lacks one.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A folder is not of the suite's layout.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// A task whose predictions have no place in a layout.
    #[error("task `{task}` can't be exchanged as {layout}: {problem}")]
    Unsupported {
        /// The task.
        task: String,
        /// The layout.
        layout: &'static str,
        /// Why.
        problem: String,
    },
    /// A name that can't stand in tables and paths.
    #[error("`{name}` can't be a system's name: take letters, digits, `.`, `_` and `-`, and not `chance`")]
    Name {
        /// The name.
        name: String,
    },
    /// An output would overwrite something.
    #[error("{} exists already; name another place, or remove it", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
}

impl ExchangeError {
    pub(super) fn content(path: &Path, problem: impl Into<String>) -> Self {
        ExchangeError::Content { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn incomplete(path: &Path, problem: impl Into<String>) -> Self {
        ExchangeError::Incomplete { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn folder(path: &Path, problem: impl Into<String>) -> Self {
        ExchangeError::Folder { path: path.to_owned(), problem: problem.into() }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ExchangeError::File(e) => e.exit(),
            ExchangeError::Shard(e) => e.exit(),
            ExchangeError::Submission(e) => e.exit(),
            ExchangeError::Content { .. } => ExitCode::Data,
            ExchangeError::Incomplete { .. } => ExitCode::Missing,
            ExchangeError::Folder { .. } | ExchangeError::Unsupported { .. } | ExchangeError::Exists { .. } => {
                ExitCode::Config
            }
            ExchangeError::Name { .. } => ExitCode::Usage,
        }
    }
}
