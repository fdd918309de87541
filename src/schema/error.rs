use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SchemaError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            SchemaError::File(e) => e.exit(),
        }
    }
}
