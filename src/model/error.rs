use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ModelError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ModelError::File(e) => e.exit(),
        }
    }
}
