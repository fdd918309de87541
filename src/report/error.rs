use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ReportError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ReportError::File(e) => e.exit(),
        }
    }
}
