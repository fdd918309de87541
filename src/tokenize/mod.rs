//! Canonical tables to model inputs.

mod error;

pub use error::TokenizeError;
