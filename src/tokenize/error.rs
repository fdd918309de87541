use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TokenizeError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            TokenizeError::File(e) => e.exit(),
        }
    }
}
