//! Studies: from a grid of intermediate tasks × targets × seeds to a graph of stages, and a local executor for it.
//!
//! - [`plan`] turns a study file into a [`Graph`]: an encoder is pretrained once, an intermediate model is trained once
//!   and shared by its targets, a tokenised table serves every training that reads it.
//! - [`Setup`] knows what each stage's key is made of and how it is performed.
//! - [`execute`] runs the graph on some workers. It recomputes nothing that the store holds.
//!
//! Keys depend on the content of inputs, so a stage's key is known once its inputs exist; [`inspect()`] walks as far as it
//! can without running anything.

mod canonical;
mod check;
mod error;
mod executor;
mod export;
mod graph;
mod imported;
mod inspect;
mod planner;
mod provenance;
mod published;
mod rescore;
mod results;
mod stage;
mod tasks;

pub use canonical::{canonical_artifacts, canonical_with};
pub use check::{CheckOutcome, CheckRequest, CountDifference, TaskCheck, Verdict, check};
pub use error::StudyError;
pub use executor::{Outcome, Watcher, execute};
pub use export::{ExportRequest, export};
pub use graph::{Graph, GridCell, Node, Phase, Work};
pub use imported::{ImportRequest, import, imported_results};
pub use inspect::{Inspected, State, inspect};
pub use planner::{RawOrigin, plan};
pub use provenance::{Origin, RowName, ScoreRows, Step, provenance, provenance_tree};
pub use published::{PublishedCell, Submitted, export_croissant, export_submission, published, system};
pub use rescore::{Discrepancy, Rescored, Rescoring, rescore};
pub use results::collect;
pub use stage::{BOOTSTRAP_SEED, RESAMPLES, Raw, Setup, TRIALS};
pub use tasks::plan_tasks;
