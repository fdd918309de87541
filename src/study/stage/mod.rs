//! What each stage's key is made of, and how it is performed. The only place that joins the areas together.

mod perform;

pub(super) use perform::perform_score;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::graph::{Node, ScoredCell, Work};
use crate::error::Result;
use crate::evaluate::retrieval::Method;
use crate::evaluate::{AnalyzeTarget, Setting, Suite};
use crate::model::OpenDevice;
use crate::shard::table_path;
use crate::source::{Origin, RawTask, hub::Hub, mini, resolve};
use crate::store::{Artifact, Identity, Input, Store, digest_file};
use crate::task::{EncoderSource, Format, Language, Model, NONE, Registry, Split, Study, Task, TokenizerSource};
use crate::tokenize::Tokenizer;
use crate::train::Upkeep;

/// Raised when a stage's code changes its output for the same parameters and inputs.
const VERSIONS: &[(&str, u32)] = &[
    ("generate", 2),
    ("normalize", 2),
    ("compose", 2),
    ("tokenizer", 1),
    ("tokenize", 2),
    ("profile", 1),
    ("overlap", 1),
    ("train", 2),
    ("predict", 3),
    ("embed", 1),
    ("retrieve", 2),
    ("baseline", 3),
    ("score", 4),
    ("analyze", 4),
    ("import", 2),
];

/// Resamples of each bootstrap interval.
pub const RESAMPLES: usize = 1_000;
/// Seed of each bootstrap, and of each randomisation.
pub const BOOTSTRAP_SEED: u64 = 1;
/// Trials behind each p-value: the smallest, 1 in 10,000, can stand a correction for 499 comparisons.
pub const TRIALS: usize = 9_999;
/// Bytes that a search may take for vectors; what is more lies in a file meanwhile.
const RETRIEVAL_MEMORY: u64 = 4 << 30;

/// Where raw files come from when they are not generated.
pub enum Raw {
    /// The mini edition.
    Mini,
    /// Original distributions below a directory.
    Directory(PathBuf),
    /// The hub.
    Hub(Box<Hub>),
}

/// Everything that the stages of one study share.
pub struct Setup<'a> {
    /// Tasks and languages.
    pub registry: &'a Registry,
    /// Artifacts.
    pub store: &'a Store,
    /// The study, with the command line's changes applied.
    pub study: &'a Study,
    /// Its model, likewise.
    pub model: &'a Model,
    /// Raw files.
    pub raw: Raw,
    /// Where trainings and predictions run.
    pub device: &'a OpenDevice,
    /// Whether a number of examples other than the published one is an error.
    pub check_counts: bool,
    /// Held by the stage that works on the GPU, if there is one.
    pub gpu: Mutex<()>,
    /// The tokenizer, once a stage has needed it: reading a large one takes longer than tokenising a small task.
    pub tokenizer: Mutex<Option<Arc<Tokenizer>>>,
    /// What trainings do beside computing; event files go below its directory, by study and label.
    pub upkeep: Upkeep,
}

/// A stage whose inputs are there: its key, and what was found on the way to it.
pub struct Prepared {
    /// The artifact's identity.
    pub identity: Identity,
    raw: Option<RawTask>,
    file: Option<PathBuf>,
}

impl Setup<'_> {
    /// The identity of `node`, whose inputs are `inputs` by name.
    pub fn prepare(&self, node: &Node, inputs: &BTreeMap<String, Artifact>) -> Result<Prepared> {
        let mut raw = None;
        let mut file = None;
        let mut known: BTreeMap<String, Input> =
            inputs.iter().map(|(name, artifact)| (name.clone(), artifact.as_input())).collect();
        let parameters = match &node.work {
            Work::Generate { layout, options } => {
                known.insert("lexicon".to_owned(), Input::external(mini::digest()));
                json!({"layout": layout, "options": options})
            }
            Work::Normalize { task, languages } => {
                let task = self.task(task)?;
                let found = self.raw_files(task, languages, inputs)?;
                if !matches!(self.raw, Raw::Mini) {
                    for part in found.files.iter().flat_map(|file| &file.parts) {
                        known.insert(format!("raw:{}", part.name), Input::external(part.digest.clone()));
                    }
                }
                let parameters = json!({
                    "task": task.id, "format": task.format, "labels": task.labels, "open_labels": task.open_labels,
                    "sql": found.sql,
                    "choices": task.normalize.choices, "answer_offsets": found.answer_offsets,
                    "languages": languages, "limits": self.study.limits_of(&task.id), "source": self.source_parameters(task),
                });
                raw = Some(found);
                parameters
            }
            Work::Compose { task } => {
                let task = self.task(task)?;
                json!({"task": task.id, "format": task.format, "labels": task.labels, "parts": task.parts})
            }
            Work::Tokenizer => match &self.model.tokenizer {
                TokenizerSource::Train { vocabulary, lines } => json!({"vocabulary": vocabulary, "lines": lines}),
                TokenizerSource::File(path) => self.outside_file(path.clone(), &mut known, &mut file)?,
                TokenizerSource::Encoder => {
                    let path = self.encoder_dir()?.join("tokenizer.json");
                    self.outside_file(path, &mut known, &mut file)?
                }
            },
            Work::Tokenize { task } => {
                let task = self.task(task)?;
                let lengths = &self.model.lengths;
                json!({
                    "format": task.format, "labels": canonical_labels(task, &inputs["canonical"]),
                    "open_labels": task.open_labels, "max_length": lengths.of(task.format),
                    "stride": lengths.stride, "question": lengths.question,
                })
            }
            Work::Profile { task } => {
                let task = self.task(task)?;
                json!({"task": task.id, "format": task.format, "labels": canonical_labels(task, &inputs["canonical"])})
            }
            Work::Overlap { tasks } => {
                let tasks: Vec<Value> = tasks
                    .iter()
                    .map(|name| self.task(name).map(|t| json!({"id": t.id, "format": t.format, "role": t.role})))
                    .collect::<Result<_>>()?;
                json!({"tasks": tasks})
            }
            Work::Train { phase, tasks, heads, hyperparameters, seed } => {
                let tasks: Vec<Value> = tasks
                    .iter()
                    .map(|name| {
                        let task = self.task(name)?;
                        let labels = tokenized_labels(task, &inputs[&format!("tokens:{name}")]);
                        Ok(json!({"id": task.id, "format": task.format, "labels": labels, "head": heads.get(name)}))
                    })
                    .collect::<Result<_>>()?;
                let encoder = match (&self.model.encoder, inputs.contains_key("parent")) {
                    (EncoderSource::FromScratch(sizes), false) => json!(sizes),
                    (_, true) => Value::Null,
                    (_, false) => self.outside_encoder(&mut known)?,
                };
                json!({
                    "phase": phase.name(), "tasks": tasks, "hyperparameters": hyperparameters, "seed": seed,
                    "encoder": encoder, "device": self.device.kind(),
                })
            }
            Work::Predict { task } => {
                let task = self.task(task)?;
                if !inputs.contains_key("model") {
                    self.outside_encoder(&mut known)?;
                }
                json!({
                    "task": task.id, "format": task.format, "labels": tokenized_labels(task, &inputs["tokens"]),
                    "split": task.evaluate, "device": self.device.kind(),
                    "trained_as": task.training_task(), "unanswerable": task.unanswerable,
                })
            }
            Work::Embed { task } => {
                let task = self.task(task)?;
                if !inputs.contains_key("model") {
                    self.outside_encoder(&mut known)?;
                }
                let retrieval = &self.model.retrieval;
                json!({
                    "task": task.id, "splits": task.predicted_splits(), "layers": retrieval.layers,
                    "pooling": retrieval.pooling, "device": self.device.kind(),
                })
            }
            Work::Retrieve { task } => {
                let task = self.task(task)?;
                let retrieval = &self.model.retrieval;
                json!({
                    "task": task.id, "method": Method::of(task.metric), "shared_index": task.shares_index(),
                    "layers": retrieval.layers, "pooling": retrieval.pooling, "device": self.device.kind(),
                })
            }
            Work::Baseline { task, seed } => {
                let task = self.task(task)?;
                json!({
                    "task": task.id, "format": task.format, "labels": canonical_labels(task, &inputs["gold"]),
                    "splits": task.predicted_splits(), "seed": seed,
                    "method": (task.format == Format::SentenceRetrieval).then(|| Method::of(task.metric)),
                    "shared_index": task.shares_index(),
                })
            }
            Work::Score { task } => {
                let task = self.task(task)?;
                score_parameters(task, &self.languages(task, &inputs["gold"])?, &inputs["gold"])
            }
            Work::Analyze { cells } => {
                let targets: BTreeMap<String, Value> = self
                    .analyzed_targets(cells, inputs)?
                    .into_iter()
                    .map(|target| {
                        let Setting { layer, pooling } = target.setting;
                        let described = json!({
                            "metric": target.metric, "layer": layer, "pooling": pooling, "languages": traits(&target.languages),
                            "parallel": target.parallel,
                        });
                        (target.id, described)
                    })
                    .collect();
                json!({
                    "cells": cells, "targets": targets, "baseline": NONE, "resamples": RESAMPLES, "trials": TRIALS,
                    "seed": BOOTSTRAP_SEED,
                })
            }
        };
        let stage = node.work.stage();
        let version = stage_version(stage);
        let label = format!("{}:{}", self.study.id, node.label);
        let identity = Identity { stage: stage.to_owned(), version, label, parameters, inputs: known };
        Ok(Prepared { identity, raw, file })
    }

    fn task(&self, name: &str) -> Result<&Task> {
        Ok(self.registry.task(name, &format!("study {}", self.study.id))?)
    }

    /// The languages that `task` has in the edition that the study reads, whether the study evaluates them all or not.
    fn languages(&self, task: &Task, gold: &Artifact) -> Result<Vec<Language>> {
        task_languages(self.registry, task, gold, matches!(self.raw, Raw::Mini))
    }

    /// The targets of `cells`, in the study's order, as they are analysed: a retrieval task by its first layer.
    fn analyzed_targets(
        &self,
        cells: &[ScoredCell],
        inputs: &BTreeMap<String, Artifact>,
    ) -> Result<Vec<AnalyzeTarget>> {
        let mut targets = Vec::new();
        for name in self.study.targets.iter().filter(|name| cells.iter().any(|cell| cell.target == **name)) {
            let task = self.task(name)?;
            let Some(metric) = task.metric else { continue };
            let setting = self.headline_setting(task);
            let score = cells.iter().find(|cell| cell.target == *name).and_then(|cell| inputs.get(&cell.input));
            let languages = score.map(|score| scored_languages(self.registry, score)).transpose()?.unwrap_or_default();
            targets.push(AnalyzeTarget { id: task.id.clone(), metric, setting, languages, parallel: task.parallel });
        }
        Ok(targets)
    }

    /// The layer and pooling whose numbers stand for `task` in tables; neither, unless it is a retrieval task.
    pub fn headline_setting(&self, task: &Task) -> Setting {
        let retrieval = (task.format == Format::SentenceRetrieval).then_some(&self.model.retrieval);
        Setting {
            layer: retrieval.map(|settings| i32::try_from(settings.layers[0]).unwrap_or(i32::MAX)),
            pooling: retrieval.map(|settings| settings.pooling.name().to_owned()),
        }
    }

    fn raw_files(
        &self,
        task: &Task,
        languages: &BTreeMap<Split, Vec<String>>,
        inputs: &BTreeMap<String, Artifact>,
    ) -> Result<RawTask> {
        let origin = match (&self.raw, inputs.get("source")) {
            (Raw::Mini, Some(source)) => Origin::Directory { root: &source.dir },
            (Raw::Directory(root), _) => Origin::Directory { root },
            (Raw::Hub(hub), _) => Origin::Hub(hub),
            (Raw::Mini, None) => unreachable!("the planner gives every normalize node of the mini edition a source"),
        };
        let mut whole: Option<RawTask> = None;
        for (split, codes) in languages {
            let chosen: Vec<&Language> =
                codes.iter().map(|code| self.registry.language(code, &task.id)).collect::<Result<_, _>>()?;
            let found = resolve(task, &origin, &chosen, &[*split], false)?;
            match &mut whole {
                Some(whole) => whole.files.extend(found.files),
                None => whole = Some(found),
            }
        }
        Ok(whole.expect("a task that nothing reads is in no graph"))
    }

    /// The part of a task's source that decides how its files are read. Their names are in the inputs.
    fn source_parameters(&self, task: &Task) -> Value {
        match &self.raw {
            Raw::Hub(_) => task.source.hub.as_ref().map_or(
                Value::Null,
                |s| json!({"repo": s.repo, "reader": s.reader, "files": s.files, "columns": s.columns}),
            ),
            _ => task
                .source
                .directory
                .as_ref()
                .map_or(Value::Null, |s| json!({"reader": s.reader, "files": s.files, "columns": s.columns})),
        }
    }

    fn outside_file(
        &self,
        path: PathBuf,
        known: &mut BTreeMap<String, Input>,
        file: &mut Option<PathBuf>,
    ) -> Result<Value> {
        known.insert("file".to_owned(), Input::external(digest_file(&path)?));
        *file = Some(path);
        Ok(json!({}))
    }

    /// The encoder that comes from outside, as inputs.
    fn outside_encoder(&self, known: &mut BTreeMap<String, Input>) -> Result<Value> {
        let dir = self.encoder_dir()?;
        for path in crate::model::directory_files(&dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            known.insert(format!("encoder:{name}"), Input::external(digest_file(&path)?));
        }
        Ok(json!("outside"))
    }

    fn encoder_dir(&self) -> Result<PathBuf> {
        match (&self.model.encoder, &self.raw) {
            (EncoderSource::Directory(dir), _) if dir.is_dir() => Ok(dir.clone()),
            (EncoderSource::Hub { repo, revision }, Raw::Hub(hub)) => Ok(hub.model_dir(repo, revision)?),
            _ => Err(super::StudyError::NoEncoder { model: self.model.id.clone() }.into()),
        }
    }
}

/// What of languages decides which groups they are in.
fn traits(languages: &[Language]) -> Value {
    let of = |l: &Language| (l.code.clone(), json!([l.family, l.script, l.resource(), l.pretraining()]));
    languages.iter().map(of).collect()
}

/// The languages that `task` is evaluated in, in the mini edition or in the full one: its own (of an index that serves the
/// queries of several languages, those in which a suite has queries), and those that a suite added and `gold` has.
pub(super) fn task_languages(registry: &Registry, task: &Task, gold: &Artifact, mini: bool) -> Result<Vec<Language>> {
    let mini = mini.then(mini::languages);
    let queried: Vec<&str> = Suite::ALL.iter().filter_map(|suite| suite.languages(&task.id)).flatten().collect();
    let has_queries = |code: &&String| !task.shares_index() || queried.is_empty() || queried.contains(&code.as_str());
    let own = task.languages.iter().filter(|code| mini.as_ref().is_none_or(|mini| mini.contains(code)));
    let there: BTreeSet<String> = evaluation_tables(gold, task).into_iter().map(|(language, _)| language).collect();
    let added = task.added_languages.values().flatten().filter(|code| there.contains(*code));
    let codes = own.filter(has_queries).chain(added);
    Ok(codes.map(|code| registry.language(code, &task.id).cloned()).collect::<Result<_, _>>()?)
}

/// The languages that the scores of a score stage are told of.
pub(super) fn scored_languages(registry: &Registry, score: &Artifact) -> Result<Vec<Language>> {
    let codes = score.manifest.parameters["languages"].as_object().into_iter().flat_map(|codes| codes.keys());
    Ok(codes.map(|code| registry.language(code, &score.manifest.label).cloned()).collect::<Result<_, _>>()?)
}

/// The version of a stage's code.
pub(super) fn stage_version(stage: &str) -> u32 {
    VERSIONS.iter().find(|(name, _)| *name == stage).map_or(0, |(_, version)| *version)
}

/// What keys a score of `task`, which has `languages`, against `gold`, beside predictions and gold themselves.
pub(super) fn score_parameters(task: &Task, languages: &[Language], gold: &Artifact) -> Value {
    json!({
        "task": task.id, "format": task.format, "metric": task.metric, "labels": canonical_labels(task, gold),
        "split": task.evaluate, "resamples": RESAMPLES, "seed": BOOTSTRAP_SEED, "languages": traits(languages),
        "parallel": task.parallel,
    })
}

/// The labels of a task in head order, as its canonical tables have them.
fn canonical_labels(task: &Task, canonical: &Artifact) -> Vec<String> {
    labels(task, &canonical.manifest.statistics["label_set"])
}

/// The labels of a task in head order, as its tokenised tables number them.
fn tokenized_labels(task: &Task, tokens: &Artifact) -> Vec<String> {
    labels(task, &tokens.manifest.parameters["labels"])
}

/// The task's own labels; of an open set, those that were found.
fn labels(task: &Task, found: &Value) -> Vec<String> {
    match found.as_array().filter(|_| task.open_labels) {
        Some(found) => found.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => task.labels.clone(),
    }
}

/// The (split, language) tables of an artifact, in path order.
pub(super) fn tables(artifact: &Artifact) -> impl Iterator<Item = (Split, String, PathBuf)> + '_ {
    artifact.manifest.files.iter().filter_map(|file| {
        let mut parts = file.path.split('/');
        let split = match parts.next()?.strip_prefix("split=")? {
            "train" => Split::Train,
            "validation" => Split::Validation,
            _ => Split::Test,
        };
        let language = parts.next()?.strip_prefix("language=")?.to_owned();
        Some((split, language.clone(), artifact.dir.join(table_path(split.name(), &language))))
    })
}

/// The tables of the splits of a task that are predicted, by split and language.
fn predicted_tables(artifact: &Artifact, task: &Task) -> Vec<(Split, String, PathBuf)> {
    let splits = task.predicted_splits();
    tables(artifact).filter(|(split, _, _)| splits.contains(split)).collect()
}

/// The tables of a task's evaluation split by language.
pub(super) fn evaluation_tables(artifact: &Artifact, task: &Task) -> Vec<(String, PathBuf)> {
    split_tables(artifact, task.evaluate)
}

/// The tables of one split by language.
fn split_tables(artifact: &Artifact, wanted: Split) -> Vec<(String, PathBuf)> {
    tables(artifact).filter(|(split, _, _)| *split == wanted).map(|(_, language, path)| (language, path)).collect()
}

/// The predictions of an artifact by language.
pub(super) fn prediction_tables(artifact: &Artifact) -> Vec<(String, PathBuf)> {
    let of = |path: &str| -> Option<(String, PathBuf)> {
        let language = Path::new(path).parent()?.to_str()?.strip_prefix("language=")?.to_owned();
        Some((language, artifact.dir.join(path)))
    };
    artifact.manifest.files.iter().filter_map(|file| of(&file.path)).collect()
}
