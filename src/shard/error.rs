use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ShardError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ShardError::File(e) => e.exit(),
        }
    }
}
