//! What a study would do, and why, without doing it.

use serde::Serialize;

use super::Graph;
use super::stage::Setup;
use crate::error::Result;
use crate::store::{Artifact, Explanation};

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
}

/// One stage of a graph and its state.
#[derive(Debug, Clone, Serialize)]
pub struct Inspected {
    /// The node's label.
    pub label: String,
    /// The stage.
    pub stage: &'static str,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
}

/// Looks every node up, in the graph's order. Returns the states and the artifacts that are there.
pub fn inspect(setup: &Setup, graph: &Graph) -> Result<(Vec<Inspected>, Vec<Option<Artifact>>)> {
    let mut artifacts: Vec<Option<Artifact>> = Vec::with_capacity(graph.nodes.len());
    let mut states = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let missing: Vec<String> = node
            .needs
            .values()
            .filter(|&&need| artifacts[need].is_none())
            .map(|&need| graph.nodes[need].label.clone())
            .collect();
        let (state, artifact) = if missing.is_empty() {
            let input = |(name, &need): (&String, &usize)| Some((name.clone(), artifacts[need].clone()?));
            let inputs = node.needs.iter().filter_map(input).collect();
            let identity = setup.prepare(node, &inputs)?.identity;
            let key = identity.key().to_string();
            match setup.store.lookup(&identity)? {
                Some(artifact) => (State::Done { key }, Some(artifact)),
                None => (State::Due { key, reason: setup.store.explain(&identity)? }, None),
            }
        } else {
            (State::Waiting { inputs: missing }, None)
        };
        artifacts.push(artifact);
        states.push(Inspected { label: node.label.clone(), stage: node.work.stage(), state });
    }
    Ok((states, artifacts))
}
