use crate::error::{ExitCode, FileError};

/// What goes wrong with task, suite, model and study files.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML, or not the fields that the file should have.
    #[error("failed to parse {origin}: {message}")]
    Parse {
        /// The file.
        origin: String,
        /// The parser's words, with line and column.
        message: String,
    },
    /// Parsed, but means nothing.
    #[error("{origin} is not valid: {message}")]
    Invalid {
        /// The file.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// A name that no file defines.
    #[error("{origin} names an unknown {kind} `{name}`; known: {known}")]
    Unknown {
        /// Who names it.
        origin: String,
        /// `task`, `suite`, `model`, `study` or `language`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
}

impl TaskError {
    pub(super) fn parse(origin: &str, source: &toml::de::Error) -> Self {
        TaskError::Parse { origin: origin.to_owned(), message: source.to_string().trim().to_owned() }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            TaskError::File(e) => e.exit(),
            TaskError::Parse { .. } | TaskError::Invalid { .. } | TaskError::Unknown { .. } => ExitCode::Config,
        }
    }
}
