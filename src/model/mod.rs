//! Encoder and heads: BERT and XLM-RoBERTa as transformers computes them, with weights in and out of its files.
//!
//! [`Model`] is an [`Encoder`] with one head a task. It knows tensors and nothing of Parquet, tasks' data or steps: the
//! training loop ([`crate::train`]) and prediction ([`crate::evaluate`]) feed it [`TokenBatch`]es of ids built on the host.
//! Every parameter has the name that transformers gives it ([`Model::parameters`]); the optimizer, checkpoints and weight
//! files ([`weights`]) all walk that one list. Agreement with transformers is tested to 1e-4 in `tests`.

pub mod adapters;
pub mod config;
pub mod device;
pub mod dropout;
pub(crate) mod elementary;
pub mod encoder;
mod error;
mod failure;
mod fused;
pub mod heads;
pub mod kernels;
pub mod layers;
pub mod memory;
#[cfg(test)]
mod oracle;
mod plain;
pub mod random;
mod span;
pub mod weights;
mod zeros;

pub use adapters::{DeviceInfo, DeviceList};
pub use config::{Architecture, EncoderConfig, Precision};
pub use device::{ChosenDevice, DeviceChoice, DeviceKind, OpenDevice};
pub use dropout::Dropout;
pub use encoder::{Encoder, TokenBatch};
pub use error::ModelError;
pub use failure::failure;
pub(crate) use fused::matrix::{Matrix, multiply};
pub use heads::{Head, HeadKind, HeadSpec, Model, TaskHead};
pub use span::best_span;
pub(crate) use weights::StoredTable;
pub use weights::directory_files;
