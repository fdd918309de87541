//! Task, model and study files.

mod error;

pub use error::TaskError;
