use std::path::PathBuf;

use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Hyperparameters or a request that make no training.
    #[error("{problem}")]
    Request {
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A row of a tokenised shard that the model can't take.
    #[error("{} row {row}: {problem}", path.display())]
    Row {
        /// The shard.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A task without usable rows.
    #[error("task {task} has no rows to train on: none of its {files} train shards holds a row with a label")]
    Empty {
        /// The task.
        task: String,
        /// The number of shards read.
        files: usize,
    },
    /// A tokenizer file without what training needs.
    #[error("{}: {problem}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// The loss or the gradients ran away.
    #[error(
        "{what} is not finite at step {step} (task {task}, learning rate {rate:e}): lower learning_rate or raise warmup_share; \
         the last checkpoint is kept"
    )]
    NotFinite {
        /// The loss or the gradient norm.
        what: &'static str,
        /// The step, from 1.
        step: u64,
        /// The task of that step.
        task: String,
        /// The learning rate of that step.
        rate: f64,
    },
    /// A single instance that the device's memory has no room for.
    #[error(
        "one instance of task {task} ({tokens} padded tokens) is too large for the device's memory ({problem}): set \
         gradient_checkpointing = true, lower the model's lengths, or take a smaller encoder; the last checkpoint is kept"
    )]
    OutOfMemory {
        /// The task.
        task: String,
        /// Its padded tokens.
        tokens: usize,
        /// What the device said.
        problem: String,
    },
    /// Checkpoints that this training can't go on from.
    #[error("{}: {problem}; delete it to train from the start", path.display())]
    Checkpoint {
        /// The file, or the directory where none of several will do.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl TrainError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            TrainError::File(e) => e.exit(),
            TrainError::Request { .. } | TrainError::Tokenizer { .. } => ExitCode::Config,
            TrainError::Row { .. } | TrainError::Empty { .. } => ExitCode::Data,
            TrainError::NotFinite { .. } | TrainError::OutOfMemory { .. } => ExitCode::Training,
            TrainError::Checkpoint { .. } => ExitCode::Storage,
        }
    }
}
