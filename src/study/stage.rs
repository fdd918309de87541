//! What each stage's key is made of, and how it is performed. The only place that joins the areas together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::graph::{Node, Phase, Work};
use crate::error::{IoContext, Result};
use crate::evaluate::predict::{PredictFile, PredictRequest, predict};
use crate::evaluate::{ScoreRequest, baseline, score};
use crate::model::OpenDevice;
use crate::normalize::{ComposeRequest, NormalizeRequest, compose, normalize};
use crate::progress::Progress;
use crate::shard::{Writer, table_path, write_table};
use crate::source::{Origin, RawTask, hub::Hub, mini, resolve};
use crate::store::{Artifact, Identity, Input, Store, Transaction, digest_file};
use crate::task::{EncoderSource, Format, Language, Model, Registry, Split, Study, Task, TokenizerSource};
use crate::tokenize::{TokenizeRequest, Tokenizer, tokenize, train_unigram};
use crate::train::{Hyperparameters, TrainRequest, TrainTask, train};

/// Raised when a stage's code changes its output for the same parameters and inputs.
const VERSIONS: &[(&str, u32)] = &[
    ("generate", 1),
    ("normalize", 2),
    ("compose", 2),
    ("tokenizer", 1),
    ("tokenize", 2),
    ("train", 1),
    ("predict", 1),
    ("baseline", 1),
    ("score", 1),
];

/// Resamples of each bootstrap interval.
const RESAMPLES: usize = 1_000;
/// Seed of each bootstrap.
const BOOTSTRAP_SEED: u64 = 1;

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
                    "choices": task.normalize.choices, "answer_offsets": task.normalize.answer_offsets,
                    "languages": languages, "limits": self.study.limits, "source": self.source_parameters(task),
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
            Work::Train { phase, tasks, hyperparameters, seed } => {
                let tasks: Vec<Value> = tasks
                    .iter()
                    .map(|name| {
                        let task = self.task(name)?;
                        let labels = tokenized_labels(task, &inputs[&format!("tokens:{name}")]);
                        Ok(json!({"id": task.id, "format": task.format, "labels": labels}))
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
                let layers = (task.format == Format::SentenceRetrieval).then_some(&self.model.retrieval.layers);
                json!({
                    "task": task.id, "format": task.format, "labels": tokenized_labels(task, &inputs["tokens"]),
                    "split": task.evaluate, "layers": layers, "device": self.device.kind(),
                })
            }
            Work::Baseline { task, seed } => {
                let task = self.task(task)?;
                json!({
                    "task": task.id, "format": task.format, "labels": canonical_labels(task, &inputs["gold"]),
                    "split": task.evaluate, "seed": seed,
                })
            }
            Work::Score { task } => {
                let task = self.task(task)?;
                json!({
                    "task": task.id, "format": task.format, "metric": task.metric, "split": task.evaluate,
                    "resamples": RESAMPLES, "seed": BOOTSTRAP_SEED,
                })
            }
        };
        let stage = node.work.stage();
        let version = VERSIONS.iter().find(|(name, _)| *name == stage).map_or(0, |(_, version)| *version);
        let label = format!("{}:{}", self.study.id, node.label);
        let identity = Identity { stage: stage.to_owned(), version, label, parameters, inputs: known };
        Ok(Prepared { identity, raw, file })
    }

    /// Performs `node` into `transaction`'s directory; returns the statistics for the manifest.
    pub fn perform(
        &self,
        node: &Node,
        prepared: &Prepared,
        inputs: &BTreeMap<String, Artifact>,
        transaction: &Transaction,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Value> {
        let key = transaction.key().as_str();
        let out = transaction.dir();
        let metadata = [("trestle.key", key), ("trestle.stage", node.work.stage())];
        match &node.work {
            Work::Generate { layout, options } => {
                let files = mini::generate(layout, options, &out.join(layout))?;
                Ok(json!({"files": files.len()}))
            }
            Work::Normalize { task, languages } => {
                let task = self.task(task)?;
                let raw = prepared.raw.as_ref().expect("prepare found the raw files of a normalize node");
                let mut codes: Vec<String> = languages.values().flatten().cloned().collect();
                codes.sort();
                codes.dedup();
                let request = NormalizeRequest {
                    task,
                    raw,
                    languages: &codes,
                    limits: &self.study.limits,
                    check_counts: self.check_counts,
                };
                Ok(json!(normalize(&request, out, &metadata, progress, stop)?))
            }
            Work::Compose { task } => {
                let task = self.task(task)?;
                let parts: Vec<_> = task
                    .parts
                    .iter()
                    .map(|part| (part.clone(), tables(&inputs[&format!("part:{part}")]).collect()))
                    .collect();
                let request = ComposeRequest { task, parts: &parts, check_counts: self.check_counts };
                Ok(json!(compose(&request, out, &metadata, progress, stop)?))
            }
            Work::Tokenizer => {
                let path = out.join("tokenizer.json");
                match (&self.model.tokenizer, &prepared.file) {
                    (TokenizerSource::Train { vocabulary, lines }, _) => {
                        let tables: Vec<PathBuf> = tables(&inputs["text"]).map(|(_, _, path)| path).collect();
                        Ok(json!(train_unigram(&tables, *vocabulary, *lines, &path, stop)?))
                    }
                    (_, file) => {
                        let file = file.as_ref().expect("prepare found the tokenizer's file");
                        std::fs::copy(file, &path).at("copy", file)?;
                        Ok(json!({"vocabulary": Tokenizer::load(&path)?.vocabulary_size()}))
                    }
                }
            }
            Work::Tokenize { task } => {
                let task = self.task(task)?;
                let tokenizer = Tokenizer::load(&inputs["tokenizer"].dir.join("tokenizer.json"))?;
                let tables: Vec<(Split, String, PathBuf)> = tables(&inputs["canonical"]).collect();
                let lengths = &self.model.lengths;
                let labels = canonical_labels(task, &inputs["canonical"]);
                let request = TokenizeRequest {
                    format: task.format,
                    labels: &labels,
                    open_labels: task.open_labels,
                    tokenizer: &tokenizer,
                    max_length: lengths.of(task.format),
                    stride: lengths.stride,
                    max_question: lengths.question,
                    tables: &tables,
                };
                Ok(json!(tokenize(&request, out, &metadata, progress, stop)?))
            }
            Work::Train { phase, tasks, hyperparameters, seed } => {
                let _slot = self.gpu_slot();
                let request = self.train_request(*phase, tasks, hyperparameters, *seed, inputs)?;
                Ok(json!(train(&request, out, transaction.scratch(), progress, stop)?))
            }
            Work::Predict { task } => {
                let _slot = self.gpu_slot();
                let task = self.task(task)?;
                let model_dir = match inputs.get("model") {
                    Some(model) => model.dir.clone(),
                    None => self.encoder_dir()?,
                };
                let gold: BTreeMap<String, PathBuf> = evaluation_tables(&inputs["gold"], task).into_iter().collect();
                let files = evaluation_tables(&inputs["tokens"], task)
                    .into_iter()
                    .filter_map(|(language, tokens)| {
                        Some(PredictFile { canonical: gold.get(&language)?.clone(), language, tokens })
                    })
                    .collect();
                let request = PredictRequest {
                    model_dir,
                    task: task.id.clone(),
                    format: task.format,
                    labels: tokenized_labels(task, &inputs["tokens"]),
                    files,
                    split: task.evaluate,
                    layers: self.model.retrieval.layers.clone(),
                    device: self.device.clone(),
                };
                Ok(json!(predict(&request, out, progress, stop)?))
            }
            Work::Baseline { task, seed } => {
                let task = self.task(task)?;
                let train: Vec<PathBuf> = inputs
                    .get("train")
                    .into_iter()
                    .flat_map(tables)
                    .filter(|(split, language, _)| *split == Split::Train && language == "en")
                    .map(|(_, _, path)| path)
                    .collect();
                let gold = evaluation_tables(&inputs["gold"], task);
                let split = task.evaluate.name();
                let labels = canonical_labels(task, &inputs["gold"]);
                let batches = baseline(task.format.name(), &labels, &train, &gold, split, &task.id, *seed)?;
                let table = crate::schema::table("predictions");
                for (language, batch) in &batches {
                    table.check(batch)?;
                    let path = out.join(format!("language={language}")).join(crate::shard::PART);
                    write_table(&path, &table.schema, &metadata, std::slice::from_ref(batch))?;
                }
                Ok(json!({"languages": batches.len()}))
            }
            Work::Score { task } => {
                let task = self.task(task)?;
                let request = ScoreRequest {
                    task: &task.id,
                    format: task.format.name(),
                    metric: task.metric.map_or("", |metric| metric.name()),
                    predictions: prediction_tables(&inputs["predictions"]),
                    gold: evaluation_tables(&inputs["gold"], task),
                    seed: BOOTSTRAP_SEED,
                    resamples: RESAMPLES,
                };
                let (scores, summaries) = score(&request)?;
                for (id, batch) in [("scores", &scores), ("summaries", &summaries)] {
                    let table = crate::schema::table(id);
                    table.check(batch)?;
                    let mut writer = Writer::create(&out.join(format!("{id}.parquet")), &table.schema, &metadata)?;
                    writer.write(batch)?;
                    writer.finish()?;
                }
                Ok(json!({"rows": scores.num_rows()}))
            }
        }
    }

    fn task(&self, name: &str) -> Result<&Task> {
        Ok(self.registry.task(name, &format!("study {}", self.study.id))?)
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

    fn gpu_slot(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        self.device.is_gpu().then(|| self.gpu.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn train_request(
        &self,
        phase: Phase,
        tasks: &[String],
        hyperparameters: &Hyperparameters,
        seed: u64,
        inputs: &BTreeMap<String, Artifact>,
    ) -> Result<TrainRequest> {
        let tokenizer = inputs["tokenizer"].dir.join("tokenizer.json");
        let parent = match (inputs.get("parent"), &self.model.encoder) {
            (Some(parent), _) => Some(parent.dir.clone()),
            (None, EncoderSource::FromScratch(_)) => None,
            (None, _) => Some(self.encoder_dir()?),
        };
        let tasks = tasks
            .iter()
            .map(|name| {
                let task = self.task(name)?;
                let of = |wanted: Split| -> Vec<PathBuf> {
                    let languages = task.training_languages();
                    tables(&inputs[&format!("tokens:{name}")])
                        .filter(|(split, language, _)| *split == wanted && languages.contains(language))
                        .map(|(_, _, path)| path)
                        .collect()
                };
                Ok(TrainTask {
                    id: task.id.clone(),
                    format: task.format,
                    labels: tokenized_labels(task, &inputs[&format!("tokens:{name}")]),
                    train: of(Split::Train),
                    validation: of(Split::Validation),
                })
            })
            .collect::<Result<_>>()?;
        let from_scratch = match (&self.model.encoder, phase) {
            (EncoderSource::FromScratch(sizes), Phase::Pretrain) => Some(sizes.clone()),
            _ => None,
        };
        Ok(TrainRequest {
            parent,
            from_scratch,
            tokenizer,
            tasks,
            hyperparameters: hyperparameters.clone(),
            seed,
            device: self.device.clone(),
        })
    }
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
fn tables(artifact: &Artifact) -> impl Iterator<Item = (Split, String, PathBuf)> + '_ {
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

/// The tables of a task's evaluation split by language.
fn evaluation_tables(artifact: &Artifact, task: &Task) -> Vec<(String, PathBuf)> {
    tables(artifact)
        .filter(|(split, _, _)| *split == task.evaluate)
        .map(|(_, language, path)| (language, path))
        .collect()
}

/// The predictions of an artifact by language.
pub(super) fn prediction_tables(artifact: &Artifact) -> Vec<(String, PathBuf)> {
    let of = |path: &str| -> Option<(String, PathBuf)> {
        let language = Path::new(path).parent()?.to_str()?.strip_prefix("language=")?.to_owned();
        Some((language, artifact.dir.join(path)))
    };
    artifact.manifest.files.iter().filter_map(|file| of(&file.path)).collect()
}
