use std::path::PathBuf;

use crate::error::{ExitCode, FileError};

/// What goes wrong in this area.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// `config.json` does not describe an encoder that Trestle can build.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A model directory without weights.
    #[error("{}: no weights here; expected one of {}", directory.display(), super::weights::WEIGHT_FILES.join(", "))]
    NoWeights {
        /// The directory.
        directory: PathBuf,
    },
    /// A shard that an index lists and the directory lacks.
    #[error("{} is not there, which {} lists; download it as well", path.display(), index.display())]
    NoShard {
        /// The shard.
        path: PathBuf,
        /// The index.
        index: PathBuf,
    },
    /// A weights file that cannot be read, or a tensor in it of the wrong kind or shape.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A weights file that lacks parameters of the encoder, or holds some that belong to nothing.
    #[error(
        "{}: the parameters do not match config.json; missing: {}; unexpected: {}; \
         check that both files come from the same model",
        path.display(), listed(missing), listed(unexpected)
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Names that the configuration asks for and the file lacks.
        missing: Vec<String>,
        /// Names in the file that no parameter answers to.
        unexpected: Vec<String>,
    },
    /// A model has several heads, and none of them was chosen.
    #[error("the model has heads for {tasks}; choose one with --head TASK, or none with --without-head")]
    SeveralHeads {
        /// The heads' tasks.
        tasks: String,
    },
    /// A head was asked for that is not there.
    #[error("the model has no head for {task}; it has heads for {tasks}")]
    NoHead {
        /// The task asked for.
        task: String,
        /// The heads' tasks.
        tasks: String,
    },
    /// The device asked for is not there or cannot be used.
    #[error("device {device} can't be opened: {problem}")]
    Device {
        /// The choice as the user wrote it.
        device: &'static str,
        /// Why, and what to do.
        problem: String,
    },
    /// The device can't compute in the precision asked for.
    #[error("{device}: {problem}")]
    Precision {
        /// What was opened.
        device: String,
        /// What it lacks, and what to do.
        problem: &'static str,
    },
    /// The device's memory is too small.
    #[error(
        "the device ran out of memory: {problem}; lower micro_batch_tokens or batch_size, or set gradient_checkpointing = true"
    )]
    OutOfMemory {
        /// The device's own message.
        problem: String,
    },
    /// The device was reset or taken away, and this process can't use it again.
    #[error(
        "the device was lost while {doing}: {problem}; run the same command again to go on from the last checkpoint"
    )]
    DeviceLost {
        /// What was being computed.
        doing: &'static str,
        /// The device's own message.
        problem: String,
    },
    /// A computation on the device failed.
    #[error("the device failed while {doing}: {problem}")]
    Execution {
        /// What was being computed.
        doing: &'static str,
        /// The device's own message.
        problem: String,
    },
}

impl ModelError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            ModelError::File(e) => e.exit(),
            ModelError::Config { .. } | ModelError::SeveralHeads { .. } | ModelError::NoHead { .. } => ExitCode::Config,
            ModelError::NoWeights { .. } | ModelError::NoShard { .. } => ExitCode::Missing,
            ModelError::Weights { .. } | ModelError::Mismatch { .. } => ExitCode::Data,
            ModelError::Device { .. }
            | ModelError::Precision { .. }
            | ModelError::OutOfMemory { .. }
            | ModelError::DeviceLost { .. }
            | ModelError::Execution { .. } => ExitCode::Training,
        }
    }
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".into(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}
