use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum NormalizeError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl NormalizeError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            NormalizeError::File(e) => e.exit(),
        }
    }
}
