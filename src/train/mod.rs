//! The training loop: from tokenised shards and a parent model to a model directory.
//!
//! [`train`] loads the instances of its tasks ([`data`]), and for each step picks a task and batches ([`sampler`]), computes
//! the loss ([`step`]), and moves the parameters ([`optimizer`]). It evaluates on the English validation split, keeps the
//! best parameters, stops early, and writes checkpoints from which a killed run goes on to the same bytes ([`checkpoint`]).
//! Where asked, it trains only those rows of the word embeddings that its instances name (`train/trim.rs`).
//! A batch that is too large for the device goes through in parts ([`micro`]).
//!
//! Everything random is drawn from a generator made for the purpose and the step out of the seed, never from a global one,
//! since several trainings share a process; see [`crate::model::random`].

pub mod backward;
pub mod checkpoint;
pub mod data;
#[cfg(test)]
mod device_tests;
mod error;
mod memory;
pub mod micro;
pub mod optimizer;
pub mod request;
pub mod sampler;
pub mod scaler;
pub mod step;
mod tensorboard;
#[cfg(test)]
mod tests;
mod trainer;
mod trim;
pub mod vocabulary;

pub use checkpoint::CheckpointEvery;
pub use error::TrainError;
pub use memory::keep_freed_memory;
pub use request::{Hyperparameters, TrainRequest, TrainTask, Upkeep};
pub use trainer::{LogRow, TrainOutcome, train};
