use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TaskError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            TaskError::File(e) => e.exit(),
        }
    }
}
