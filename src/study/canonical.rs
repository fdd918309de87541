//! The canonical tables that a store holds of each task.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::artifacts::{Canonical, Kind};
use super::stage::StageName;
use crate::error::Result;
use crate::store::{Artifact, Store};
use crate::task::{Edition, Split};

/// The artifact of each task's canonical tables among `artifacts`: of several (another limit, another source), the newest.
pub fn canonical_artifacts(artifacts: &[Artifact]) -> BTreeMap<String, &Artifact> {
    newest(artifacts, |_| true)
}

/// The same among those that hold `split`.
pub fn canonical_with<'a>(artifacts: &'a [Artifact], task: &str, split: Split) -> Option<&'a Artifact> {
    newest(artifacts, |canonical| !canonical.of_split(split).is_empty()).remove(task)
}

/// The edition that canonical tables are of; none where an artifact that they were composed of is gone.
pub fn edition(store: &Store, canonical: &Artifact) -> Result<Option<Edition>> {
    let mut edition = Edition::Full;
    for input in canonical.manifest.inputs.values() {
        let (Some(stage), Some(key)) = (&input.stage, &input.key) else { continue };
        if stage == StageName::Generate.name() {
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

fn newest(artifacts: &[Artifact], wanted: impl Fn(Canonical<'_>) -> bool) -> BTreeMap<String, &Artifact> {
    let mut newest: BTreeMap<String, (SystemTime, &Artifact)> = BTreeMap::new();
    for artifact in artifacts.iter().filter(|artifact| Canonical::is(artifact) && wanted(Canonical::new(artifact))) {
        // What an older version made, and this one can't read, is as good as not there.
        let Ok(task) = Canonical::new(artifact).task() else { continue };
        let entry = newest.entry(task).or_insert((artifact.written(), artifact));
        if entry.0 < artifact.written() {
            *entry = (artifact.written(), artifact);
        }
    }
    newest.into_iter().map(|(task, (_, artifact))| (task, artifact)).collect()
}
