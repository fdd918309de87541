//! Artifacts as what they are: a type for each kind of thing that a stage makes, and the readers of manifests by type.

use std::path::{Path, PathBuf};

use serde::de::Deserialize;
use serde_json::Value;

use super::StudyError;
use super::stage::{Stage, StageName, normalize, retrieve, score, tokenize};
use crate::error::Result;
use crate::normalize::NormalizeOutcome;
use crate::report::ResultsTable;
use crate::shard::table_path;
use crate::store::{Artifact, Manifest, Store};
use crate::task::{Split, Task};
use crate::tokenize::TokenizeOutcome;

/// A table of an artifact: split, language and file.
pub type SplitTable = (Split, String, PathBuf);

/// An artifact as what the stages that make it write.
pub trait Kind<'a>: Sized {
    /// The stages that make it.
    const MADE_BY: &'static [StageName];

    /// `artifact`, which one of those stages made.
    fn new(artifact: &'a Artifact) -> Self;

    /// Whether `artifact` is one.
    fn is(artifact: &Artifact) -> bool {
        Self::MADE_BY.iter().any(|stage| stage.name() == artifact.manifest.stage)
    }

    /// `artifact` as this kind.
    ///
    /// # Errors
    /// [`StudyError::Kind`] where another stage made it.
    fn of(artifact: &'a Artifact) -> Result<Self> {
        if Self::is(artifact) {
            return Ok(Self::new(artifact));
        }
        Err(StudyError::Kind {
            label: artifact.manifest.label.clone(),
            stage: artifact.manifest.stage.clone(),
            wanted: Self::MADE_BY.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(" or "),
        }
        .into())
    }
}

/// The kinds, with the stages that make each.
macro_rules! kinds {
    ($($(#[$docs:meta])+ $kind:ident by $($stage:ident),+;)+) => {$(
        $(#[$docs])+
        #[derive(Debug, Clone, Copy)]
        pub struct $kind<'a>(&'a Artifact);

        impl<'a> Kind<'a> for $kind<'a> {
            const MADE_BY: &'static [StageName] = &[$(StageName::$stage),+];

            fn new(artifact: &'a Artifact) -> Self {
                Self(artifact)
            }
        }
    )+};
}

kinds! {
    /// Raw files of the mini edition.
    RawFiles by Generate;
    /// A task's canonical tables.
    Canonical by Normalize, View;
    /// A `tokenizer.json`.
    TokenizerFile by Tokenizer;
    /// A task's model inputs.
    Tokens by Tokenize;
    /// A model directory.
    ModelDir by Train;
    /// Sentence vectors.
    Embeddings by Embed;
    /// Predictions, a table a language.
    Predictions by Predict, Retrieve, Baseline, Import;
    /// Scores.
    Scores by Score;
}

/// The request by which the artifact of `manifest` was made.
///
/// # Errors
/// [`StudyError::Manifest`] where it holds none of stage `S`.
pub fn request<S: Stage>(manifest: &Manifest) -> Result<S::Request> {
    read(manifest, &manifest.parameters)
}

/// What came of it.
///
/// # Errors
/// [`StudyError::Manifest`] where it does not say.
pub fn outcome<S: Stage>(manifest: &Manifest) -> Result<S::Outcome> {
    read(manifest, &manifest.statistics)
}

fn read<'v, T: Deserialize<'v>>(manifest: &Manifest, value: &'v Value) -> Result<T> {
    let broken = |e: serde_json::Error| StudyError::Manifest {
        stage: manifest.stage.clone(),
        label: manifest.label.clone(),
        key: manifest.key.to_string(),
        message: e.to_string(),
    };
    Ok(T::deserialize(value).map_err(broken)?)
}

/// The artifact in `store` that `manifest` names as its input `name`.
///
/// # Errors
/// [`StudyError::InputGone`] where it names none, or it is not in the store.
pub fn input(store: &Store, manifest: &Manifest, name: &str) -> Result<Artifact> {
    let missing = || StudyError::InputGone { label: manifest.label.clone(), input: name.to_owned() };
    let input = manifest.inputs.get(name).and_then(|input| input.stage.as_ref().zip(input.key.as_ref()));
    let (stage, key) = input.ok_or_else(missing)?;
    Ok(store.artifact(stage, key)?.ok_or_else(missing)?)
}

/// The (split, language) tables of an artifact, in path order.
fn tables(artifact: &Artifact) -> Vec<SplitTable> {
    let of = |path: &str| {
        let mut parts = path.split('/');
        let split = Split::named(parts.next()?.strip_prefix("split=")?)?;
        let language = parts.next()?.strip_prefix("language=")?.to_owned();
        let path = artifact.dir.join(table_path(split.name(), &language));
        Some((split, language, path))
    };
    artifact.manifest.files.iter().filter_map(|file| of(&file.path)).collect()
}

/// Those of one split by language.
fn of_split(tables: Vec<SplitTable>, wanted: Split) -> Vec<(String, PathBuf)> {
    tables.into_iter().filter(|(split, _, _)| *split == wanted).map(|(_, language, path)| (language, path)).collect()
}

/// Those of some splits.
fn of_splits(mut tables: Vec<SplitTable>, wanted: &[Split]) -> Vec<SplitTable> {
    tables.retain(|(split, _, _)| wanted.contains(split));
    tables
}

impl<'a> RawFiles<'a> {
    /// The directory that their layouts' folders are in.
    pub fn dir(self) -> &'a Path {
        &self.0.dir
    }
}

impl Canonical<'_> {
    /// Every table.
    pub fn tables(self) -> Vec<SplitTable> {
        tables(self.0)
    }

    /// The tables of some splits.
    pub fn of_splits(self, splits: &[Split]) -> Vec<SplitTable> {
        of_splits(self.tables(), splits)
    }

    /// The tables of one split by language.
    pub fn of_split(self, split: Split) -> Vec<(String, PathBuf)> {
        of_split(self.tables(), split)
    }

    /// The task. Manifests of every version of these stages name it, whatever else they have.
    pub fn task(self) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Named {
            task: String,
        }
        Ok(read::<Named>(&self.0.manifest, &self.0.manifest.parameters)?.task)
    }

    /// What the stage counted.
    pub fn outcome(self) -> Result<NormalizeOutcome> {
        outcome::<normalize::Normalize>(&self.0.manifest)
    }

    /// The labels of `task` in head order: its own or, where the set is open, those that its training split holds.
    pub fn labels(self, task: &Task) -> Result<Vec<String>> {
        if task.open_labels { Ok(self.outcome()?.label_set) } else { Ok(task.labels.clone()) }
    }
}

impl<'a> TokenizerFile<'a> {
    /// The file.
    pub fn path(self) -> PathBuf {
        self.0.dir.join("tokenizer.json")
    }

    /// The digest of its content.
    pub fn digest(self) -> &'a str {
        let file = self.0.manifest.files.iter().find(|file| file.path == "tokenizer.json");
        file.map_or("", |file| &file.blake3)
    }
}

impl Tokens<'_> {
    /// Every table.
    pub fn tables(self) -> Vec<SplitTable> {
        tables(self.0)
    }

    /// The tables of some splits.
    pub fn of_splits(self, splits: &[Split]) -> Vec<SplitTable> {
        of_splits(self.tables(), splits)
    }

    /// The tables of one split by language.
    pub fn of_split(self, split: Split) -> Vec<(String, PathBuf)> {
        of_split(self.tables(), split)
    }

    /// What the stage counted.
    pub fn outcome(self) -> Result<TokenizeOutcome> {
        outcome::<tokenize::Tokenize>(&self.0.manifest)
    }

    /// The labels of `task` in head order, as the tables number them.
    pub fn labels(self, task: &Task) -> Result<Vec<String>> {
        if task.open_labels {
            Ok(request::<tokenize::Tokenize>(&self.0.manifest)?.labels)
        } else {
            Ok(task.labels.clone())
        }
    }
}

impl<'a> ModelDir<'a> {
    /// The directory.
    pub fn dir(self) -> &'a Path {
        &self.0.dir
    }
}

impl Embeddings<'_> {
    /// Every table.
    pub fn tables(self) -> Vec<SplitTable> {
        tables(self.0)
    }
}

impl Predictions<'_> {
    /// The tables by language.
    pub fn tables(self) -> Vec<(String, PathBuf)> {
        let of = |path: &str| {
            let language = Path::new(path).parent()?.to_str()?.strip_prefix("language=")?.to_owned();
            Some((language, self.0.dir.join(path)))
        };
        self.0.manifest.files.iter().filter_map(|file| of(&file.path)).collect()
    }

    /// The hidden states that they are made from, where they are a search's.
    pub fn layers(self) -> Result<Option<Vec<usize>>> {
        if self.0.manifest.stage != StageName::Retrieve.name() {
            return Ok(None);
        }
        Ok(Some(request::<retrieve::Retrieve>(&self.0.manifest)?.layers))
    }
}

impl<'a> Scores<'a> {
    /// The directory of its tables.
    pub fn dir(self) -> &'a Path {
        &self.0.dir
    }

    /// Each value of the metric in each language.
    pub fn scores(self) -> PathBuf {
        self.0.dir.join(ResultsTable::Scores.file_name())
    }

    /// What each example contributes.
    pub fn examples(self) -> PathBuf {
        self.0.dir.join(ResultsTable::ExampleScores.file_name())
    }

    /// What was scored.
    pub fn request(self) -> Result<score::Request> {
        request::<score::Score>(&self.0.manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Registry;

    fn canonical(statistics: Value) -> Artifact {
        let manifest = serde_json::json!({
            "key": "abc", "stage": "normalize", "stage_version": 2, "label": "s:normalize/ccg", "parameters": {}, "inputs": {},
            "digest": "d", "files": [], "statistics": statistics, "tool_version": "", "seconds": 0.0,
        });
        Artifact { dir: PathBuf::new(), manifest: serde_json::from_value(manifest).unwrap() }
    }

    #[test]
    fn a_broken_manifest_is_named_instead_of_read_as_nothing() {
        let registry = Registry::load(&[]).unwrap();
        let ccg = registry.task("ccg", "the test").unwrap();
        let seconds = serde_json::json!({"read": 0.0, "sql": 0.0, "contract": 0.0, "write": 0.0});
        let whole = serde_json::json!({"tables": [], "labels": {}, "label_set": ["N", "NP"], "seconds": seconds});
        assert_eq!(Canonical::of(&canonical(whole)).unwrap().labels(ccg).unwrap(), ["N", "NP"]);
        let broken = canonical(serde_json::json!({"tables": [], "labels": {}, "seconds": seconds}));
        let message = Canonical::of(&broken).unwrap().labels(ccg).unwrap_err().to_string();
        assert!(message.contains("s:normalize/ccg") && message.contains("`label_set`"), "{message}");
        assert!(message.contains("remove artifacts/normalize/abc"), "{message}");
        let message = Tokens::of(&broken).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("is a normalize artifact, where one of stage tokenize belongs"), "{message}");
    }

    #[test]
    fn tables_of_any_version_name_their_task() {
        let mut old = canonical(Value::Null);
        old.manifest.parameters = serde_json::json!({"task": "ccg", "what": "this version does not know"});
        assert_eq!(Canonical::of(&old).unwrap().task().unwrap(), "ccg");
        assert!(Canonical::of(&canonical(Value::Null)).unwrap().task().is_err());
    }
}
