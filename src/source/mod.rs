//! Raw files.

mod error;
pub mod mini;

pub use error::SourceError;
