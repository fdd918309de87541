//! What can go wrong, in two tiers: expected failures (the user's or the outside world's, each with an exit code and a
//! remedy in its message) and bugs. Each area has its own enum; [`Error`] is their sum, and every variant maps to one
//! [`ExitCode`].

use std::io;
use std::path::{Path, PathBuf};

/// The exit codes of the `trestle` binary: a public contract, listed in README.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything asked for was done.
    Success = 0,
    /// A bug in Trestle.
    Internal = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// A task, model or study file is wrong, or names something that does not exist.
    Config = 3,
    /// Input data break their contract: wrong column, bad label, broken encoding, truncated file.
    Data = 4,
    /// An input file, artifact or row is not there.
    Missing = 5,
    /// The store can't be read or written: read-only, full, corrupt, held by another process.
    Storage = 6,
    /// The hub can't be reached or refuses.
    Network = 7,
    /// Training or inference failed: loss not finite, device lost or absent.
    Training = 8,
    /// A check found a difference: verification, comparison, checksum.
    Mismatch = 9,
    /// Stopped by Ctrl-C or SIGTERM; what was committed stays, and the same command goes on from there.
    Interrupted = 130,
}

impl ExitCode {
    /// Every code with the words README.md uses for it.
    pub const ALL: [(ExitCode, &'static str); 11] = [
        (ExitCode::Success, "success"),
        (ExitCode::Internal, "a bug in Trestle"),
        (ExitCode::Usage, "wrong command line"),
        (ExitCode::Config, "wrong task, model or study file, or an unknown name"),
        (ExitCode::Data, "input data break their contract"),
        (ExitCode::Missing, "an input is not there"),
        (ExitCode::Storage, "the store can't be read or written"),
        (ExitCode::Network, "the hub can't be reached or refuses"),
        (ExitCode::Training, "training or inference failed"),
        (ExitCode::Mismatch, "a check found a difference"),
        (ExitCode::Interrupted, "interrupted; run again to go on"),
    ];
}

/// A file system operation that failed, with the path it failed on.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {}: {source}{}", path.display(), remedy(source))]
pub struct FileError {
    /// What was tried, as an infinitive: `read`, `create directory`, …
    pub action: &'static str,
    /// The path it was tried on.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl FileError {
    /// Wraps `source` with the operation and the path.
    pub fn new(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self { action, path: path.as_ref().to_path_buf(), source }
    }

    /// Missing input, bad encoding, or a store that can't be used.
    pub fn exit(&self) -> ExitCode {
        match self.source.kind() {
            io::ErrorKind::NotFound => ExitCode::Missing,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ExitCode::Data,
            _ => ExitCode::Storage,
        }
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space (`trestle gc`) or set TRESTLE_HOME to another disk, then run again"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; make it writable or set TRESTLE_HOME to a directory that is"
        }
        _ => "",
    }
}

/// Adds the path to an `io::Result`.
pub trait IoContext<T> {
    /// Maps the error to a [`FileError`] naming `action` (an infinitive) and `path`.
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, FileError> {
        self.map_err(|source| FileError::new(action, path, source))
    }
}

/// Any expected failure of any area.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file system operation.
    #[error(transparent)]
    File(#[from] FileError),
    /// Task, model and study files.
    #[error(transparent)]
    Task(#[from] crate::task::TaskError),
    /// Canonical schemas.
    #[error(transparent)]
    Schema(#[from] crate::schema::SchemaError),
    /// Parquet shards.
    #[error(transparent)]
    Shard(#[from] crate::shard::ShardError),
    /// The artifact store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Raw files.
    #[error(transparent)]
    Source(#[from] crate::source::SourceError),
    /// Raw bytes to canonical tables.
    #[error(transparent)]
    Normalize(#[from] crate::normalize::NormalizeError),
    /// Profiles and overlaps of canonical tables.
    #[error(transparent)]
    Audit(#[from] crate::audit::AuditError),
    /// Canonical tables to model inputs.
    #[error(transparent)]
    Tokenize(#[from] crate::tokenize::TokenizeError),
    /// Encoder, heads, weights.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// The training loop.
    #[error(transparent)]
    Train(#[from] crate::train::TrainError),
    /// Predictions and metrics.
    #[error(transparent)]
    Evaluate(#[from] crate::evaluate::EvaluateError),
    /// Study graphs.
    #[error(transparent)]
    Study(#[from] crate::study::StudyError),
    /// Tables and reports.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// Other projects' files.
    #[error(transparent)]
    Exchange(#[from] crate::exchange::ExchangeError),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted; what was committed stays: run the same command again to go on")]
    Interrupted,
}

impl Error {
    /// The exit code that this failure ends the process with.
    pub fn exit(&self) -> ExitCode {
        match self {
            Error::File(e) => e.exit(),
            Error::Task(e) => e.exit(),
            Error::Schema(e) => e.exit(),
            Error::Shard(e) => e.exit(),
            Error::Store(e) => e.exit(),
            Error::Source(e) => e.exit(),
            Error::Normalize(e) => e.exit(),
            Error::Audit(e) => e.exit(),
            Error::Tokenize(e) => e.exit(),
            Error::Model(e) => e.exit(),
            Error::Train(e) => e.exit(),
            Error::Evaluate(e) => e.exit(),
            Error::Study(e) => e.exit(),
            Error::Report(e) => e.exit(),
            Error::Exchange(e) => e.exit(),
            Error::Interrupted => ExitCode::Interrupted,
        }
    }
}

/// Every fallible function that spans areas returns this.
pub type Result<T, E = Error> = std::result::Result<T, E>;
