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
    /// A manifest is broken.
    #[error("{} is not a readable manifest ({message}); remove its directory and run again", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The parser's words.
        message: String,
    },
}

impl StoreError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            StoreError::File(e) => e.exit(),
            StoreError::Shard(e) => e.exit(),
            StoreError::NoStore { .. } => ExitCode::Missing,
            StoreError::Manifest { .. } => ExitCode::Storage,
        }
    }
}
