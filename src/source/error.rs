use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// A dataset that the mini edition doesn't write.
    #[error("unknown mini layout `{layout}`; use one of {}", crate::source::mini::LAYOUTS.join(", "))]
    UnknownMiniLayout {
        /// The name asked for.
        layout: String,
    },
    /// An option of the mini edition out of its range.
    #[error("mini option `{field}` is {value}, not {expected}; correct it in the study file or on the command line")]
    MiniOption {
        /// The option.
        field: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
}

impl SourceError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            SourceError::File(e) => e.exit(),
            SourceError::UnknownMiniLayout { .. } | SourceError::MiniOption { .. } => ExitCode::Config,
        }
    }
}
