use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TrainError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            TrainError::File(e) => e.exit(),
        }
    }
}
