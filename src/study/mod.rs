//! Study graphs.

mod error;

pub use error::StudyError;
