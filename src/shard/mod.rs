//! Parquet shards.

mod error;

pub use error::ShardError;
