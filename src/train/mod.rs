//! The training loop.

mod error;
pub mod optimizer;

pub use error::TrainError;
