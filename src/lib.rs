//! Trestle: a data pipeline and benchmark for one question: does training a multilingual encoder on an English
//! *intermediate task* first make it transfer better, zero-shot, to other languages?
//!
//! Data flows one way, and the folders say so:
//!
//! ```text
//! source ──► normalize ──► tokenize ──► train ──► evaluate ──► report
//! ```
//!
//! Every arrow is a stage, every box an artifact in the [`store`]. A stage is a pure function of its inputs: the same
//! key gives the same bytes. Tasks, models and studies are data ([`task`] reads them from `pipeline/`); no stage knows
//! a task by name. See `ARCHITECTURE.md` for the whole house.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod audit;
pub mod cli;
mod distinct;
pub mod error;
pub mod evaluate;
pub mod exchange;
mod fs;
pub mod model;
pub mod normalize;
pub mod progress;
pub mod report;
pub mod schema;
pub mod shard;
pub mod source;
pub mod store;
pub mod study;
pub mod task;
pub mod tokenize;
pub mod train;
