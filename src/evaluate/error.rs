use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EvaluateError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            EvaluateError::File(e) => e.exit(),
        }
    }
}
