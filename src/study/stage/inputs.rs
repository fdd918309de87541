//! What a stage is made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::source::Stored;
use crate::store::{Artifact, Input, Key, Store};
use crate::study::artifacts::{Kind, ModelDir};
use crate::study::{StudyError, StudyLabel};

/// One input of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// An artifact in the store.
    Artifact {
        /// The stage that made it.
        stage: String,
        /// Its key.
        key: Key,
        /// blake3 of its content.
        digest: String,
    },
    /// A file from outside. Where it lies is no part of any key.
    File {
        /// Where it is on this machine.
        path: PathBuf,
        /// How its bytes lie there.
        stored: Stored,
        /// blake3 of its content.
        digest: String,
    },
    /// What every binary of this version holds.
    Embedded {
        /// blake3 of its content.
        digest: String,
    },
}

/// The inputs of a job by name.
pub type Sources = BTreeMap<String, Source>;

impl Source {
    /// An artifact.
    pub fn artifact(artifact: &Artifact) -> Self {
        let manifest = &artifact.manifest;
        Source::Artifact { stage: manifest.stage.clone(), key: manifest.key.clone(), digest: manifest.digest.clone() }
    }

    /// A file that lies as it is at `path`.
    pub fn file(path: PathBuf, digest: String) -> Self {
        Source::File { path, stored: Stored::Plain, digest }
    }

    /// blake3 of its content.
    pub fn digest(&self) -> &str {
        match self {
            Source::Artifact { digest, .. } | Source::File { digest, .. } | Source::Embedded { digest } => digest,
        }
    }

    pub(super) fn as_input(&self) -> Input {
        match self {
            Source::Artifact { stage, key, digest } => {
                Input { digest: digest.clone(), stage: Some(stage.clone()), key: Some(key.clone()) }
            }
            Source::File { digest, .. } | Source::Embedded { digest } => Input::external(digest.clone()),
        }
    }
}

/// The inputs of one stage, at hand: artifacts, and files from outside.
#[derive(Debug, Clone)]
pub struct Inputs {
    label: StudyLabel,
    artifacts: BTreeMap<String, Artifact>,
    sources: Sources,
}

impl Inputs {
    /// The inputs of the node `label` that are artifacts.
    pub fn new(label: StudyLabel, artifacts: BTreeMap<String, Artifact>) -> Self {
        let sources = artifacts.iter().map(|(name, artifact)| (name.clone(), Source::artifact(artifact))).collect();
        Self { label, artifacts, sources }
    }

    /// The inputs `sources` of the node `label`, from `store`.
    ///
    /// # Errors
    /// [`StudyError::InputGone`] where an artifact is not in the store, or not with the content that is asked for.
    pub fn load(store: &Store, label: &StudyLabel, sources: &Sources) -> Result<Self> {
        let mut artifacts = BTreeMap::new();
        for (name, source) in sources {
            let Source::Artifact { stage, key, digest } = source else { continue };
            let found = store.artifact(stage, key)?.filter(|artifact| artifact.manifest.digest == *digest);
            let gone = || StudyError::InputGone { label: label.to_string(), input: name.clone() };
            artifacts.insert(name.clone(), found.ok_or_else(gone)?);
        }
        Ok(Self { label: label.clone(), artifacts, sources: sources.clone() })
    }

    /// Adds an input from outside.
    pub fn add(&mut self, name: String, source: Source) {
        self.sources.insert(name, source);
    }

    /// All of them as a job has them.
    pub(super) fn into_sources(self) -> (StudyLabel, Sources) {
        (self.label, self.sources)
    }

    /// The artifact `name`, as what it must be.
    pub fn get<'a, V: Kind<'a>>(&'a self, name: &str) -> Result<V> {
        self.find(name)?.ok_or_else(|| self.lacks(name))
    }

    /// As [`Self::get`], of an input that not every stage of the kind has.
    pub fn find<'a, V: Kind<'a>>(&'a self, name: &str) -> Result<Option<V>> {
        self.artifacts.get(name).map(V::of).transpose()
    }

    /// The artifact `name`, whatever it is.
    pub fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.artifacts.get(name)
    }

    /// Where the file from outside `name` is, and how its bytes lie there.
    pub fn file(&self, name: &str) -> Option<(&Path, &Stored)> {
        match self.sources.get(name) {
            Some(Source::File { path, stored, .. }) => Some((path, stored)),
            _ => None,
        }
    }

    /// The model directory `name` or, where that is no artifact's, of the encoder from outside.
    pub(super) fn model_dir(&self, name: &str) -> Result<PathBuf> {
        if let Some(model) = self.find::<ModelDir>(name)? {
            return Ok(model.dir().to_owned());
        }
        // Its configuration is always among its files.
        let dir = self.file("encoder:config.json").and_then(|(path, _)| path.parent());
        Ok(dir.ok_or_else(|| self.lacks(name))?.to_owned())
    }

    /// The source `name`.
    pub fn source(&self, name: &str) -> Result<&Source> {
        self.sources.get(name).ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> crate::error::Error {
        StudyError::Job { label: self.label.to_string(), message: format!("it has no input `{name}`") }.into()
    }
}
