use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StoreError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            StoreError::File(e) => e.exit(),
        }
    }
}
