use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SourceError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            SourceError::File(e) => e.exit(),
        }
    }
}
