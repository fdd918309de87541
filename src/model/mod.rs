//! Encoder and heads.

mod error;

pub use error::ModelError;
