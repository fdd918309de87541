//! Studies: from a grid of intermediate tasks × targets × seeds to a graph of stages, and a local executor for it.

mod error;

pub use error::StudyError;
