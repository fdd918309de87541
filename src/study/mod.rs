//! Studies: from a grid of intermediate tasks × targets × seeds to a graph of stages, and a local executor for it.
//!
//! - [`plan`] turns a study file into a [`Graph`]: an encoder is pretrained once, an intermediate model is trained once
//!   and shared by its targets, a tokenised table serves every training that reads it.
//! - [`Setup`] makes a [`Job`] of a node: the stage's request, which is its key, and everything else that a process needs to
//!   perform it. What each stage is stands in its own file (`stage/`).
//! - An [`Executor`] runs the graph: [`LocalThreads`] on threads of this process. It recomputes nothing that the store holds.
//!
//! Keys depend on the content of inputs, so a stage's key is known once its inputs exist; [`inspect()`] walks as far as it
//! can without running anything, and [`cost()`] says what is still to come.

mod artifacts;
mod canonical;
mod check;
mod cost;
mod error;
pub mod estimate;
mod executor;
mod export;
mod graph;
mod imported;
mod inspect;
mod label;
mod planner;
mod provenance;
mod published;
mod rescore;
mod results;
mod stage;
mod tasks;

pub use artifacts::{Kind, Scores};
pub use canonical::{canonical_artifacts, canonical_with};
pub use check::{CheckOutcome, CheckRequest, CountDifference, TaskCheck, Verdict, check};
pub use cost::cost;
pub use error::StudyError;
pub use executor::{Executor, LocalThreads, Outcome, Stages, Watcher};
pub use export::{ExportRequest, export};
pub use graph::{Graph, GridCell, Node};
pub use imported::{ImportRequest, import, imported_results};
pub use inspect::{Inspected, State, inspect};
pub use label::{Label, NoLabel, Place, StudyLabel};
pub use planner::{RawOrigin, plan};
pub use provenance::{Origin, RowName, ScoreRows, Step, provenance, provenance_tree};
pub use published::{PublishedCell, Submitted, export_croissant, export_submission, published, system};
pub use rescore::{Discrepancy, Rescored, Rescoring, rescore};
pub use results::collect;
pub use stage::train::Phase;
pub use stage::{
    BOOTSTRAP_SEED, DeviceKind, Job, Output, RESAMPLES, Raw, Resources, Run, Setup, Source, StageName, TRIALS, Threads,
    Work,
};
pub use tasks::plan_tasks;
