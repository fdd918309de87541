use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StudyError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            StudyError::File(e) => e.exit(),
        }
    }
}
