//! Canonical schemas.

mod error;

pub use error::SchemaError;
