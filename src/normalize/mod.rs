//! Raw bytes to canonical tables.

mod error;

pub use error::NormalizeError;
