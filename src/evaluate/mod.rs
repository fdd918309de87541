//! Predictions and metrics.

mod error;

pub use error::EvaluateError;
