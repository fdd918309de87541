//! The canonical tables that a store holds of each task.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::stage::tables;
use crate::error::Result;
use crate::store::{Artifact, Store};
use crate::task::{Edition, Split};

/// The artifact of each task's canonical tables among `artifacts`: of several (another limit, another source), the newest.
pub fn canonical_artifacts(artifacts: &[Artifact]) -> BTreeMap<String, &Artifact> {
    newest(artifacts, |_| true)
}

/// The same among those that hold `split`.
pub fn canonical_with<'a>(artifacts: &'a [Artifact], task: &str, split: Split) -> Option<&'a Artifact> {
    let holds = |artifact: &Artifact| {
        artifact.manifest.parameters["task"] == task && tables(artifact).any(|(found, _, _)| found == split)
    };
    newest(artifacts, holds).remove(task)
}

/// The edition that canonical tables are of; none where an artifact that they were composed of is gone.
pub fn edition(store: &Store, canonical: &Artifact) -> Result<Option<Edition>> {
    let mut edition = Edition::Full;
    for input in canonical.manifest.inputs.values() {
        let (Some(stage), Some(key)) = (&input.stage, &input.key) else { continue };
        if stage == "generate" {
            return Ok(Some(Edition::Mini));
        }
        let Some(part) = store.artifact(stage, key)? else { return Ok(None) };
        match self::edition(store, &part)? {
            Some(Edition::Full) => (),
            Some(Edition::Mini) => edition = Edition::Mini,
            None => return Ok(None),
        }
    }
    Ok(Some(edition))
}

fn newest(artifacts: &[Artifact], wanted: impl Fn(&Artifact) -> bool) -> BTreeMap<String, &Artifact> {
    let mut newest: BTreeMap<String, (SystemTime, &Artifact)> = BTreeMap::new();
    let canonical = |artifact: &&Artifact| matches!(artifact.manifest.stage.as_str(), "normalize" | "compose");
    for artifact in artifacts.iter().filter(canonical).filter(|artifact| wanted(artifact)) {
        let Some(task) = artifact.manifest.parameters["task"].as_str() else { continue };
        let entry = newest.entry(task.to_owned()).or_insert((artifact.written(), artifact));
        if entry.0 < artifact.written() {
            *entry = (artifact.written(), artifact);
        }
    }
    newest.into_iter().map(|(task, (_, artifact))| (task, artifact)).collect()
}
