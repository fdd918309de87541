use std::path::PathBuf;

use crate::error::{ExitCode, FileError};

/// What goes wrong while raw files are found or fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// The task has no source of the kind asked for.
    #[error("task {task} has no [source.{kind}]; add one to its file, or use {other}")]
    NoSource {
        /// The task.
        task: String,
        /// `hub` or `directory`.
        kind: &'static str,
        /// What can be used instead.
        other: &'static str,
    },
    /// The source lists no files for a split.
    #[error("task {task}: [source.{kind}] has no files for split {split}; it has {known}")]
    NoSplit {
        /// The task.
        task: String,
        /// `hub` or `directory`.
        kind: &'static str,
        /// The split asked for.
        split: String,
        /// The splits there are.
        known: String,
    },
    /// No file where the task says there is one.
    #[error("task {task}, split {split}: no file matches {pattern}{remedy}")]
    Missing {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The full pattern that was looked for.
        pattern: String,
        /// What to do, with its punctuation.
        remedy: &'static str,
    },
    /// Files are there, but not in a form that can be read.
    #[error("task {task}, split {split}: {} {why}; unpack it first", path.display())]
    Packed {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The file or archive.
        path: PathBuf,
        /// What about it can't be read.
        why: &'static str,
    },
    /// Two archives have the same file.
    #[error("{name} is in two places, {} and {}; remove one of them, or unpack the right one", first.display(), second.display())]
    Ambiguous {
        /// The path below the data directory.
        name: String,
        /// One place.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Patterns of files that stand side by side match different numbers of files.
    #[error(
        "task {task}, split {split}: {first} matches {first_files} files, but {second} beside it matches {second_files}"
    )]
    Uneven {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// One pattern.
        first: String,
        /// How many files it matches.
        first_files: usize,
        /// Another pattern.
        second: String,
        /// How many files that one matches.
        second_files: usize,
    },
    /// The hub wants a token, or the token has no access.
    #[error(
        "the hub refuses {what} ({status}): it is gated or private, or does not exist; \
         accept its terms on its page and set HF_TOKEN"
    )]
    Refused {
        /// Repository, or repository and path.
        what: String,
        /// HTTP status.
        status: u16,
    },
    /// The hub does not have it.
    #[error("the hub has no {what}; check `repo`, `revision` and `files` in the task or model file")]
    NotOnHub {
        /// Repository, revision or path.
        what: String,
    },
    /// The hub can't be reached, or answers with an error.
    #[error("failed to get {what} from {endpoint}: {message}; check the network (or HF_ENDPOINT) and run again")]
    Network {
        /// What was asked for.
        what: String,
        /// The hub's address.
        endpoint: String,
        /// The client's words.
        message: String,
    },
    /// The lock file has a file, the store does not.
    #[error("{what} was not fetched to this machine; run `trestle fetch` first")]
    NotFetched {
        /// Repository and path.
        what: String,
    },
    /// A file is needed that is not there, and the network may not be used.
    #[error("{what} is not in {}, and the network is off; run `trestle fetch` without --offline (HF_HUB_OFFLINE)", raw.display())]
    Offline {
        /// Repository, or repository and path.
        what: String,
        /// The folder of raw files.
        raw: PathBuf,
    },
    /// The lock file has no entry for a file, and may not be changed.
    #[error("{} has no entry for {what}; run `trestle fetch` without --locked to add it", lock.display())]
    NotLocked {
        /// Repository, or repository and path.
        what: String,
        /// The lock file.
        lock: PathBuf,
    },
    /// Bytes differ from the lock file's.
    #[error(
        "{what} has sha256 {found}, but {} says {locked}: the file was changed or damaged; \
         fetch again, or take its entry out of the lock file if the change is wanted", lock.display()
    )]
    Hash {
        /// Repository and path.
        what: String,
        /// The digest of the bytes there are.
        found: String,
        /// The digest in the lock file.
        locked: String,
        /// The lock file.
        lock: PathBuf,
    },
    /// Bytes differ from what the hub says of them.
    #[error(
        "{what} came with sha256 {found}, but the hub says {promised}; run again, over another network if it stays so"
    )]
    Damaged {
        /// Repository and path.
        what: String,
        /// The digest of the bytes that came.
        found: String,
        /// The digest that the hub names.
        promised: String,
    },
    /// An index of shards that can't be used.
    #[error("{what}: {problem}; name another revision in the model file")]
    Index {
        /// Repository and path.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The lock file is broken.
    #[error("{} is not a lock file: {message}; restore it from version control, or remove it and fetch again", lock.display())]
    Lock {
        /// The lock file.
        lock: PathBuf,
        /// The parser's words.
        message: String,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted; files that were fetched whole stay: run the same command again to go on")]
    Interrupted,
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
            SourceError::NoSource { .. } | SourceError::NoSplit { .. } | SourceError::Uneven { .. } => ExitCode::Config,
            SourceError::Packed { .. } | SourceError::Ambiguous { .. } | SourceError::Index { .. } => ExitCode::Data,
            SourceError::Missing { .. } | SourceError::NotFetched { .. } | SourceError::NotLocked { .. } => {
                ExitCode::Missing
            }
            SourceError::Refused { .. }
            | SourceError::NotOnHub { .. }
            | SourceError::Network { .. }
            | SourceError::Offline { .. } => ExitCode::Network,
            SourceError::Hash { .. } | SourceError::Damaged { .. } => ExitCode::Mismatch,
            SourceError::Lock { .. } => ExitCode::Config,
            SourceError::Interrupted => ExitCode::Interrupted,
            SourceError::UnknownMiniLayout { .. } | SourceError::MiniOption { .. } => ExitCode::Config,
        }
    }
}
