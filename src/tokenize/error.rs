use std::path::{Path, PathBuf};

use crate::error::{ExitCode, FileError};
use crate::schema::SchemaError;

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum TokenizeError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is there but holds no tokenizer.
    #[error("{} is not a usable tokenizer: {message}; give a `tokenizer.json` as Hugging Face tokenizers write it", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A table is not what `normalize` writes.
    #[error("{}: {source}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        source: Box<SchemaError>,
    },
    /// A row breaks the contract of its format.
    #[error("{}: row {row} (example `{example}`): {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// 0-based.
        row: u64,
        /// Its `example_id`.
        example: String,
        /// What is wrong with it.
        problem: Box<RowProblem>,
    },
    /// Special tokens (and, for spans, question and overlap) leave no room for text.
    #[error("a maximum length of {max_length} tokens is too short: {need}; it must be at least {least}")]
    MaxLength {
        /// As asked for.
        max_length: usize,
        /// What has to fit.
        need: String,
        /// The smallest that works.
        least: usize,
    },
    /// A vocabulary that can't hold the text's characters.
    #[error(
        "a vocabulary of {vocabulary} is too small: the text has {characters} different characters; ask for at least {least}"
    )]
    Vocabulary {
        /// As asked for.
        vocabulary: u32,
        /// Different characters after normalisation, word-start mark included.
        characters: usize,
        /// The smallest that works.
        least: usize,
    },
    /// Nothing to train a tokenizer on.
    #[error("the tables hold no text to train a tokenizer on: {tables}")]
    NoText {
        /// Their paths.
        tables: String,
    },
    /// The tokenizer library failed.
    #[error("failed to train a tokenizer: {message}")]
    Training {
        /// The library's words.
        message: String,
    },
}

/// How a row of a canonical table breaks the contract of its format.
#[derive(Debug, thiserror::Error)]
pub enum RowProblem {
    /// A label that the task does not list.
    #[error("field `{field}`: `{label}` is not a label of the task ({}); correct the task's labels or its SQL", labels.join(", "))]
    Label {
        /// `label` or `tags`.
        field: &'static str,
        /// The label found.
        label: String,
        /// The task's labels.
        labels: Vec<String>,
    },
    /// The index of the right choice is beyond the choices.
    #[error(
        "field `label`: choice {label} does not exist, there are {choices}, counted from 0; correct the task's SQL"
    )]
    Choice {
        /// The index found.
        label: u32,
        /// The number of choices.
        choices: usize,
    },
    /// A multiple-choice example has no choices.
    #[error("field `choices`: it is empty; correct the task's SQL")]
    NoChoices,
    /// Words and tags, or answer texts and starts, differ in number.
    #[error(
        "fields `{first}` and `{second}` differ in length: {first_length} and {second_length}; correct the source or the task's SQL"
    )]
    Lengths {
        /// The one list.
        first: &'static str,
        /// Its length.
        first_length: usize,
        /// The other list.
        second: &'static str,
        /// Its length.
        second_length: usize,
    },
    /// The context does not hold the answer where it should.
    #[error(
        "field `answer_starts`: the answer `{answer}` does not stand at byte {start} of the context; correct the source's positions"
    )]
    Answer {
        /// The answer's text.
        answer: String,
        /// Where it should begin: a byte offset into the context.
        start: u32,
    },
}

impl TokenizeError {
    pub(super) fn tokenizer(path: &Path, message: String) -> Self {
        TokenizeError::Tokenizer { path: path.to_owned(), message }
    }

    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            TokenizeError::File(e) => e.exit(),
            TokenizeError::Tokenizer { .. } | TokenizeError::MaxLength { .. } | TokenizeError::Vocabulary { .. } => {
                ExitCode::Config
            }
            TokenizeError::Table { .. } | TokenizeError::Row { .. } | TokenizeError::NoText { .. } => ExitCode::Data,
            TokenizeError::Training { .. } => ExitCode::Internal,
        }
    }
}
