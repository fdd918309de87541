//! Runs a graph's stages, each once its inputs are there; skips what the store already holds.
//!
//! An [`Executor`] decides where stages run. Which one runs when is the [`schedule`]'s business; that no two processes make
//! the same at once is the store's.

mod local;
mod schedule;

pub use local::LocalThreads;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

use super::stage::{Job, Resources, Setup};
use super::{Graph, Node};
use crate::error::Result;
use crate::progress::Progress;
use crate::store::{Artifact, Store, Token, Transaction};

/// What an executor runs: the stages of a study, of which [`Setup`] makes jobs.
pub trait Stages: Sync {
    /// Where artifacts are.
    fn store(&self) -> &Store;
    /// The job of a node whose inputs are there.
    fn job(&self, node: &Node, inputs: BTreeMap<String, Artifact>) -> Result<Job>;
    /// What it takes to perform a job.
    fn needs(&self, job: &Job) -> Result<Resources>;
    /// Performs a job into the directory of `transaction`; returns the outcome for the manifest.
    fn perform(
        &self,
        job: &Job,
        transaction: &Transaction,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Value>;
    /// Whether an artifact that `node` asked for may be used, made or found.
    fn accept(&self, node: &Node, artifact: &Artifact) -> Result<()>;
}

impl Stages for Setup<'_> {
    fn store(&self) -> &Store {
        self.store
    }

    fn job(&self, node: &Node, inputs: BTreeMap<String, Artifact>) -> Result<Job> {
        Setup::job(self, node, inputs)
    }

    fn needs(&self, job: &Job) -> Result<Resources> {
        job.needs()
    }

    fn perform(
        &self,
        job: &Job,
        transaction: &Transaction,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Value> {
        job.perform(transaction, &self.run, progress, stop)
    }

    fn accept(&self, node: &Node, artifact: &Artifact) -> Result<()> {
        Setup::accept(self, node, artifact)
    }
}

/// Where stages run.
pub trait Executor {
    /// Runs the nodes in `wanted`, which holds every input of each of its nodes.
    ///
    /// # Errors
    /// The first stage's failure. The other running stages are told to stop; trainings leave a checkpoint.
    fn execute(
        &self,
        stages: &dyn Stages,
        graph: &Graph,
        wanted: &[usize],
        watcher: &dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<Outcome>;
}

/// Told what an executor does; shown on a terminal, or logged.
pub trait Watcher: Sync {
    /// A stage begins; its progress goes to what this returns.
    fn begin(&self, node: &Node) -> Box<dyn Progress + '_>;
    /// Another process works on this stage; others are taken meanwhile. Told once a stage.
    fn elsewhere(&self, node: &Node, holder: &Token);
    /// A stage was made here for nothing: another process had committed it meanwhile.
    fn late(&self, node: &Node, took: Duration);
    /// A stage is done: made in this time, or found in the store (`None`).
    fn end(&self, node: &Node, artifact: &Artifact, took: Option<Duration>);
}

/// What an execution did.
pub struct Outcome {
    /// The artifact of each node of the graph; none where the node was not wanted.
    pub artifacts: Vec<Option<Artifact>>,
    /// Stages run.
    pub made: usize,
    /// Stages found, or made by another process meanwhile.
    pub found: usize,
}

#[cfg(test)]
mod tests;
