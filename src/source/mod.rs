//! Raw files.

mod error;

pub use error::SourceError;
