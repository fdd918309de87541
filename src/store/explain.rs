//! Why an artifact is what it is, and why another one is needed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Artifact, Identity, Input, Store, StoreError};

/// One thing in which a wanted artifact differs from one that is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// `stage version`, `parameter learning_rate`, `input tokenizer`, …
    pub what: String,
    /// In the artifact that is there; absent: not there.
    pub had: Option<String>,
    /// In the wanted one; absent: not there.
    pub wants: Option<String>,
}

/// Why a wanted artifact is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Explanation {
    /// It is there.
    Present,
    /// No artifact with its label was ever made.
    New,
    /// One with its label was made from something else.
    Differs {
        /// The key of the nearest such artifact.
        nearest: String,
        /// Every difference.
        differences: Vec<Difference>,
    },
}

/// What a store holds, by stage and label: read once, to explain any number of wanted artifacts.
#[derive(Debug)]
pub struct History(BTreeMap<(String, String), Vec<Artifact>>);

impl Store {
    /// Every artifact that was made, for [`History::explain`].
    pub fn history(&self) -> Result<History, StoreError> {
        let mut made: BTreeMap<(String, String), Vec<Artifact>> = BTreeMap::new();
        for artifact in self.list()? {
            let place = (artifact.manifest.stage.clone(), artifact.manifest.label.clone());
            made.entry(place).or_default().push(artifact);
        }
        Ok(History(made))
    }
}

impl History {
    /// Compares `identity` with the artifacts of the same stage and label: the one with the fewest differences is named.
    pub fn explain(&self, identity: &Identity) -> Explanation {
        let made = self.0.get(&(identity.stage.clone(), identity.label.clone())).into_iter().flatten();
        let nearest = made
            .map(|artifact| (differences(artifact, identity), artifact))
            .min_by_key(|(differences, artifact)| (differences.len(), artifact.manifest.key.clone()));
        match nearest {
            None => Explanation::New,
            Some((differences, _)) if differences.is_empty() => Explanation::Present,
            Some((differences, artifact)) => {
                Explanation::Differs { nearest: artifact.manifest.key.to_string(), differences }
            }
        }
    }
}

fn differences(artifact: &Artifact, identity: &Identity) -> Vec<Difference> {
    let manifest = &artifact.manifest;
    let mut found = Vec::new();
    let mut compare = |what: String, had: Option<String>, wants: Option<String>| {
        if had != wants {
            found.push(Difference { what, had, wants });
        }
    };
    compare("stage version".to_owned(), Some(manifest.stage_version.to_string()), Some(identity.version.to_string()));
    let (had, wants) = (leaves(&manifest.parameters), leaves(&identity.parameters));
    let names: std::collections::BTreeSet<&String> = had.keys().chain(wants.keys()).collect();
    for name in names {
        compare(format!("parameter {name}"), had.get(name).cloned(), wants.get(name).cloned());
    }
    let digest = |input: Option<&Input>| input.map(|input| input.digest.clone());
    let names: std::collections::BTreeSet<&String> = manifest.inputs.keys().chain(identity.inputs.keys()).collect();
    for name in names {
        compare(format!("input {name}"), digest(manifest.inputs.get(name)), digest(identity.inputs.get(name)));
    }
    found
}

/// The scalars of a JSON value by dotted path.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    fn walk(prefix: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(map) if !map.is_empty() => {
                map.iter().for_each(|(name, value)| walk(&join(name), value, out));
            }
            Value::Array(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(index, value)| walk(&join(&index.to_string()), value, out));
            }
            leaf => {
                out.insert(prefix.to_owned(), leaf.to_string());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk("", value, &mut out);
    out
}
