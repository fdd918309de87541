//! The training loop.

mod error;

pub use error::TrainError;
