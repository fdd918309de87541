use std::path::PathBuf;

use crate::error::{ExitCode, FileError};
use crate::shard::ShardError;

/// What goes wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// An output is not readable Parquet.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// There is nothing to read.
    #[error("no store at {}; name another with --home, or make it with `trestle run`", root.display())]
    NoStore {
        /// Where it was looked for.
        root: PathBuf,
    },
    /// An environment variable has a value that is none.
    #[error("{name} is `{value}`; it must be a whole number of seconds above 0")]
    Setting {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A manifest is broken.
    #[error("{} is not a readable manifest ({message}); remove its directory and run again", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The parser's words.
        message: String,
    },
    /// Something is where an artifact belongs.
    #[error("{} stands in an artifact's place and has no manifest; remove it and run again", path.display())]
    InTheWay {
        /// The directory.
        path: PathBuf,
    },
    /// A file outside the store has other bytes than when it was hashed, and does not look it.
    #[error(
        "{} has other bytes than when Trestle first read it, though its size and time are the same: it was damaged or changed; \
         restore it, or `touch` it to take it as it is",
        path.display()
    )]
    Altered {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            StoreError::File(e) => e.exit(),
            StoreError::Shard(e) => e.exit(),
            StoreError::NoStore { .. } => ExitCode::Missing,
            StoreError::Setting { .. } => ExitCode::Usage,
            StoreError::Manifest { .. } | StoreError::InTheWay { .. } => ExitCode::Storage,
            StoreError::Altered { .. } => ExitCode::Mismatch,
        }
    }
}
