//! What a study would do, and why, without doing it: on any machine, whether its data, its encoder and its device are there or not.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::StudyError;
use super::graph::{Graph, Node};
use super::stage::{Raw, Setup, StageName, Work};
use crate::error::{Error, Result};
use crate::model::ModelError;
use crate::source::SourceError;
use crate::store::{Artifact, Explanation, History, StoreError};
use crate::task::{EncoderSource, TokenizerSource};

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// Its artifact is in the store.
    Done {
        /// The artifact's key.
        key: String,
    },
    /// It has to run, for this reason.
    Due {
        /// The key it will have.
        key: String,
        /// Why no artifact is there.
        reason: Explanation,
    },
    /// It waits for inputs that have to be made first, named by label; whether it runs depends on their bytes.
    Waiting {
        /// The inputs.
        inputs: Vec<String>,
    },
    /// It reads files from outside that are not here.
    Missing {
        /// The files: a pattern, a path, or a repository.
        what: String,
        /// What brings them here.
        remedy: String,
    },
}

/// One stage of a graph and its state.
#[derive(Debug, Clone, Serialize)]
pub struct Inspected {
    /// The node's label.
    pub label: String,
    /// The stage.
    pub stage: StageName,
    /// The labels of the stages that it reads from.
    pub needs: Vec<String>,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
}

/// Looks every node up, in the graph's order. Returns the states and the artifacts that are there.
///
/// # Errors
/// A store that can't be read, a task or model file that is wrong. Files from outside that are not here are a state.
pub fn inspect(setup: &Setup, graph: &Graph) -> Result<(Vec<Inspected>, Vec<Option<Artifact>>)> {
    let mut artifacts: Vec<Option<Artifact>> = Vec::with_capacity(graph.nodes.len());
    let mut states = Vec::with_capacity(graph.nodes.len());
    let mut history: Option<History> = None;
    for node in &graph.nodes {
        let (state, artifact) = look_up(setup, graph, node, &artifacts, &mut history)?;
        let needs: BTreeSet<usize> = node.needs.values().copied().collect();
        let needs = needs.into_iter().map(|need| graph.nodes[need].label.to_string()).collect();
        states.push(Inspected { label: node.label.to_string(), stage: node.work.stage(), needs, state });
        artifacts.push(artifact);
    }
    Ok((states, artifacts))
}

/// The state of `node`, and its artifact; `artifacts` are those of the nodes before it. The history is read when it is first needed.
fn look_up(
    setup: &Setup,
    graph: &Graph,
    node: &Node,
    artifacts: &[Option<Artifact>],
    history: &mut Option<History>,
) -> Result<(State, Option<Artifact>)> {
    let absent: BTreeSet<usize> = node.needs.values().copied().filter(|&need| artifacts[need].is_none()).collect();
    let absent: Vec<String> = absent.into_iter().map(|need| graph.nodes[need].label.to_string()).collect();
    if !absent.is_empty() {
        return Ok((State::Waiting { inputs: absent }, None));
    }
    let input = |(name, &need): (&String, &usize)| Some((name.clone(), artifacts[need].clone()?));
    let inputs: BTreeMap<String, Artifact> = node.needs.iter().filter_map(input).collect();
    let identity = match setup.job(node, inputs) {
        Ok(job) => job.identity(),
        Err(error) => {
            let what = absent_file(error)?;
            return Ok((State::Missing { what, remedy: remedy(setup, node) }, None));
        }
    };
    let key = identity.key().to_string();
    if let Some(artifact) = setup.store.lookup(&identity)? {
        return Ok((State::Done { key }, Some(artifact)));
    }
    let history = match history {
        Some(history) => history,
        None => history.insert(setup.store.history()?),
    };
    Ok((State::Due { key, reason: history.explain(&identity) }, None))
}

/// What is not here, where that is the error; any other error.
fn absent_file(error: Error) -> Result<String> {
    match error {
        Error::Source(
            SourceError::Missing { pattern: what, .. }
            | SourceError::NotFetched { what }
            | SourceError::Offline { what, .. }
            | SourceError::NotLocked { what, .. },
        ) => Ok(what),
        Error::Source(SourceError::NoSource { kind, .. }) => Ok(format!("[source.{kind}] in the task's file")),
        Error::Study(StudyError::NoEncoder { model }) => Ok(format!("the encoder of model {model}")),
        Error::File(e) | Error::Store(StoreError::File(e)) | Error::Model(ModelError::File(e))
            if e.source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(e.path.display().to_string())
        }
        other => Err(other),
    }
}

/// What brings the files here that `node` reads.
fn remedy(setup: &Setup, node: &Node) -> String {
    let study = &setup.study.id;
    match (&node.work, &setup.raw) {
        (Work::Normalize(plan), Raw::Hub(_)) if has_hub_source(setup, &plan.task) => {
            format!("trestle fetch {study} --task {}", plan.task)
        }
        (Work::Normalize(_), Raw::Hub(_)) => "--data DIR".to_owned(),
        (Work::Normalize(plan), _) => {
            format!("trestle task show {} lists the files of the original distribution", plan.task)
        }
        (Work::Tokenizer(()), _) if matches!(setup.model.tokenizer, TokenizerSource::File(_)) => {
            "--tokenizer FILE".to_owned()
        }
        (_, Raw::Hub(_)) if matches!(setup.model.encoder, EncoderSource::Hub { .. }) => {
            format!("trestle fetch {study}")
        }
        _ => "--encoder DIR".to_owned(),
    }
}

fn has_hub_source(setup: &Setup, task: &str) -> bool {
    setup.registry.task(task, "").is_ok_and(|task| task.source.hub.is_some())
}
