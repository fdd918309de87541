//! How each stage is performed: the areas' functions, with what the store holds as their inputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};

use super::{
    BOOTSTRAP_SEED, Prepared, RESAMPLES, RETRIEVAL_MEMORY, Setup, TRIALS, canonical_labels, evaluation_tables,
    predicted_tables, prediction_tables, split_tables, tables, tokenized_labels,
};
use crate::audit::{AuditTable, OverlapRequest, ProfileRequest, TokenCounts, overlap, profile};
use crate::error::{IoContext, Result};
use crate::evaluate::predict::{EmbedRequest, PredictFile, PredictRequest, embed, predict};
use crate::evaluate::retrieval::{ChanceRequest, Method, RetrieveRequest, chance, retrieve};
use crate::evaluate::{AnalyzeCell, AnalyzeRequest, ScoreRequest, analyze, baseline, score};
use crate::normalize::{ComposeRequest, NormalizeRequest, compose, normalize};
use crate::progress::Progress;
use crate::shard::{Writer, write_table};
use crate::source::mini;
use crate::store::{Artifact, Transaction};
use crate::study::StudyError;
use crate::study::graph::{Node, Phase, ScoredCell, Work};
use crate::task::{EncoderSource, Format, Language, NONE, Split, Task, TokenizerSource};
use crate::tokenize::{TableOutcome, TokenizeOutcome, TokenizeRequest, Tokenizer, tokenize, train_unigram};
use crate::train::{Hyperparameters, TrainRequest, TrainTask, train};

impl Setup<'_> {
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
                    limits: &self.study.limits_of(&task.id),
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
                let tokenizer = self.shared_tokenizer(&inputs["tokenizer"])?;
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
            Work::Profile { task } => {
                let task = self.task(task)?;
                let tables: Vec<_> = tables(&inputs["canonical"]).collect();
                let counts = inputs.get("tokens").map(token_counts).transpose()?;
                let request = ProfileRequest {
                    task: &task.id,
                    format: task.format,
                    labels: &canonical_labels(task, &inputs["canonical"]),
                    tables: &tables,
                    tokens: counts.as_deref(),
                };
                Ok(json!(profile(&request, out, &metadata, progress, stop)?))
            }
            Work::Overlap { tasks } => {
                let mut all = Vec::new();
                for name in tasks {
                    let task = self.task(name)?;
                    all.extend(tables(&inputs[&format!("canonical:{name}")]).map(|(split, language, path)| {
                        AuditTable {
                            task: task.id.clone(),
                            format: task.format,
                            role: task.role,
                            split,
                            language,
                            path,
                        }
                    }));
                }
                Ok(json!(overlap(&OverlapRequest { tables: &all }, out, &metadata, progress, stop)?))
            }
            Work::Train { phase, tasks, heads, hyperparameters, seed } => {
                let _slot = self.gpu_slot();
                let mut request = self.train_request(*phase, (tasks, heads), hyperparameters, *seed, inputs)?;
                if let Some(directory) = &mut request.upkeep.tensorboard {
                    *directory = directory.join(&self.study.id).join(&node.label);
                }
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
                    trained_as: task.training_task().map(str::to_owned),
                    format: task.format,
                    unanswerable: task.unanswerable,
                    labels: tokenized_labels(task, &inputs["tokens"]),
                    files,
                    split: task.evaluate,
                    device: self.device.clone(),
                };
                Ok(json!(predict(&request, out, progress, stop)?))
            }
            Work::Embed { task } => {
                let _slot = self.gpu_slot();
                let task = self.task(task)?;
                let model_dir = match inputs.get("model") {
                    Some(model) => model.dir.clone(),
                    None => self.encoder_dir()?,
                };
                let request = EmbedRequest {
                    model_dir,
                    task: task.id.clone(),
                    files: predicted_tables(&inputs["tokens"], task),
                    layers: self.model.retrieval.layers.clone(),
                    pooling: self.model.retrieval.pooling,
                    device: self.device.clone(),
                };
                Ok(json!(embed(&request, out, &metadata, progress, stop)?))
            }
            Work::Retrieve { task } => {
                let _slot = self.gpu_slot();
                let task = self.task(task)?;
                let request = RetrieveRequest {
                    task: task.id.clone(),
                    files: tables(&inputs["embeddings"]).collect(),
                    layers: self.model.retrieval.layers.clone(),
                    pooling: self.model.retrieval.pooling,
                    method: Method::of(task.metric),
                    shared_index: task.shares_index(),
                    device: self.device.clone(),
                    memory: RETRIEVAL_MEMORY,
                };
                Ok(json!(retrieve(&request, out, &metadata, progress, stop)?))
            }
            Work::Baseline { task, seed } if self.task(task)?.format == Format::SentenceRetrieval => {
                let task = self.task(task)?;
                let request = ChanceRequest {
                    task: task.id.clone(),
                    files: predicted_tables(&inputs["gold"], task),
                    method: Method::of(task.metric),
                    shared_index: task.shares_index(),
                    seed: *seed,
                };
                Ok(json!(chance(&request, out, &metadata)?))
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
                perform_score(task, self.languages(task, &inputs["gold"])?, inputs, out, &metadata)
            }
            Work::Analyze { cells } => {
                let scored = |cell: &ScoredCell| AnalyzeCell {
                    target: cell.target.clone(),
                    intermediate: cell.intermediate.clone(),
                    seed: cell.seed,
                    example_scores: inputs[&cell.input].dir.join("example-scores.parquet"),
                };
                let request = AnalyzeRequest {
                    baseline: NONE,
                    targets: self.analyzed_targets(cells, inputs)?,
                    cells: cells.iter().map(scored).collect(),
                    seed: BOOTSTRAP_SEED,
                    resamples: RESAMPLES,
                    trials: TRIALS,
                };
                let made = analyze(&request, progress, stop)?;
                for (id, batch) in [("comparisons", &made.comparisons), ("aggregates", &made.aggregates)] {
                    let table = crate::schema::table(id);
                    table.check(batch)?;
                    let path = out.join(format!("{id}.parquet"));
                    write_table(&path, &table.schema, &metadata, std::slice::from_ref(batch))?;
                }
                Ok(json!({"comparisons": made.comparisons.num_rows(), "aggregates": made.aggregates.num_rows()}))
            }
        }
    }

    /// The tokenizer of the graph, of which there is one.
    fn shared_tokenizer(&self, artifact: &Artifact) -> Result<Arc<Tokenizer>> {
        let mut shared = self.tokenizer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokenizer) = &*shared {
            return Ok(Arc::clone(tokenizer));
        }
        let loaded = Arc::new(Tokenizer::load(&artifact.dir.join("tokenizer.json"))?);
        Ok(Arc::clone(shared.insert(loaded)))
    }

    fn gpu_slot(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        self.device.is_gpu().then(|| self.gpu.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn train_request(
        &self,
        phase: Phase,
        (tasks, heads): (&[String], &BTreeMap<String, String>),
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
                    head: heads.get(name).cloned(),
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
            upkeep: self.upkeep.clone(),
        })
    }
}

/// Scores the predictions among `inputs` of `task`, which has `languages`, against the gold among them: the tables of
/// the score stage, written below `out`. Returns the statistics for the manifest.
pub(in crate::study) fn perform_score(
    task: &Task,
    languages: Vec<Language>,
    inputs: &BTreeMap<String, Artifact>,
    out: &Path,
    metadata: &[(&str, &str)],
) -> Result<Value> {
    let predictions = prediction_tables(&inputs["predictions"]);
    let mut gold = evaluation_tables(&inputs["gold"], task);
    // An import is in all languages of its suite that there is gold of; another suite may have added some.
    if inputs["predictions"].manifest.stage == "import" && !task.shares_index() {
        gold.retain(|(language, _)| predictions.iter().any(|(predicted, _)| predicted == language));
    }
    let request = ScoreRequest {
        task: &task.id,
        format: task.format.name(),
        metric: task.metric.map_or("", |metric| metric.name()),
        labels: &canonical_labels(task, &inputs["gold"]),
        split: task.evaluate.name(),
        predictions,
        gold,
        languages,
        parallel: task.parallel,
        development: split_tables(&inputs["gold"], Split::Validation),
        seed: BOOTSTRAP_SEED,
        resamples: RESAMPLES,
    };
    let made = score(&request)?;
    for (id, batch) in [("scores", &made.scores), ("summaries", &made.summaries), ("example-scores", &made.examples)] {
        let table = crate::schema::table(id);
        table.check(batch)?;
        let mut writer = Writer::create(&out.join(format!("{id}.parquet")), &table.schema, metadata)?;
        writer.write(batch)?;
        writer.finish()?;
    }
    Ok(json!({"rows": made.scores.num_rows()}))
}

/// What tokenising gave, as the manifest of its artifact says.
fn token_counts(tokens: &Artifact) -> Result<Vec<TokenCounts>> {
    let outcome: TokenizeOutcome = serde_json::from_value(tokens.manifest.statistics.clone())
        .map_err(|e| StudyError::Statistics { stage: tokens.manifest.stage.clone(), message: e.to_string() })?;
    let counts = |table: TableOutcome| TokenCounts {
        split: table.split,
        language: table.language,
        instances: table.instances,
        tokens: table.tokens,
        framing: outcome.framing,
        unknown_tokens: table.unknown_tokens,
        truncated_examples: table.truncated_examples,
    };
    Ok(outcome.tables.into_iter().map(counts).collect())
}
