//! The loop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array};
use burn::tensor::Tensor;
use serde::Serialize;

use super::TrainError;
use super::backward::backward;
use super::checkpoint::{self, Best, Evaluation, State};
use super::data::{Instances, Limits, head_of};
use super::optimizer::{AdamW, Gradients, learning_rate};
use super::request::{TrainRequest, TrainTask};
use super::sampler::{BatchStream, Languages, TaskSampler};
use super::step::{Tally, batch, evaluate};
use super::vocabulary::{Masking, Vocabulary};
use crate::error::{Error, Result};
use crate::model::random::{first_u64, stream};
use crate::model::weights::{HeadSource, Loaded, initialize, load, save, values};
use crate::model::{Architecture, Dropout, EncoderConfig, HeadKind, HeadSpec, Model};
use crate::progress::Progress;
use crate::shard::write_table;
use crate::task::FromScratch;

/// Time between checkpoints. It decides how much a killed training repeats, never what it computes.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
/// Steps whose losses are read together on a GPU, where each reading waits for the device.
const READ_TOGETHER: usize = 20;

/// What came of a training; the statistics in the artifact's manifest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainOutcome {
    /// Steps done.
    pub steps: u64,
    /// Steps planned.
    pub planned_steps: u64,
    /// Step whose weights were kept, where there was an evaluation.
    pub best_step: Option<u64>,
    /// Mean score over tasks on the validation split at that step, from 0 to 1.
    pub best_score: Option<f64>,
    /// Loss of the last step.
    pub last_loss: f32,
    /// Training instances of each task.
    pub instances: Vec<(String, usize)>,
    /// Parameters that were made new rather than read from the parent, by name.
    pub new_parameters: Vec<String>,
    /// Parameters of the parent's heads that were left behind, by name.
    pub dropped_parameters: Vec<String>,
}

struct LoadedTask<'a> {
    task: &'a TrainTask,
    train: Instances,
    validation: Instances,
}

struct Run<'a> {
    request: &'a TrainRequest,
    scratch: &'a Path,
    identity: String,
    tasks: Vec<LoadedTask<'a>>,
    masking: Option<Masking>,
    model: Model,
    best_model: Option<Model>,
    optimizer: AdamW,
    sampler: TaskSampler,
    streams: Vec<BatchStream>,
    /// Batches taken from each task.
    taken: Vec<u64>,
    steps: u64,
    warm_up: u64,
    state: State,
    /// Losses and norms of the last steps, still on the device.
    pending: Vec<(Tensor<1>, Tensor<1>)>,
}

/// Trains as `request` says, or goes on from the checkpoint in `scratch`, and writes the model and `training_log.parquet`
/// into `output`.
///
/// On the CPU the same request gives the same bytes, killed and gone on or not, alone in the process or beside others, as
/// long as the caller's rayon pool has the same number of threads. The weights written are those of the best evaluation; the
/// last ones where there was none.
///
/// # Errors
/// When inputs can't be read or do not fit the model, the loss is not finite, or `stop` is set (after a checkpoint).
pub fn train(
    request: &TrainRequest,
    output: &Path,
    scratch: &Path,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<TrainOutcome> {
    request.hyperparameters.check()?;
    let Loaded { model, new, dropped } = starting_model(request)?;
    let mut run = Run::prepare(request, scratch, model)?;
    run.resume()?;
    run.steps(progress, stop)?;
    let model = match run.best_model.take() {
        Some(best) => best,
        None => run.model.clone().untracked(),
    };
    save(&model, output)?;
    run.write_log(output)?;
    Ok(TrainOutcome {
        steps: run.state.step,
        planned_steps: run.steps,
        best_step: run.state.best.map(|best| best.step),
        best_score: run.state.best.map(|best| best.score),
        last_loss: run.state.losses.last().copied().unwrap_or(f32::NAN),
        instances: run.tasks.iter().map(|loaded| (loaded.task.id.clone(), loaded.train.len())).collect(),
        new_parameters: new,
        dropped_parameters: dropped,
    })
}

/// The parent's encoder or a new one, with a head for each task, and the names of parameters made new or left behind.
fn starting_model(request: &TrainRequest) -> Result<Loaded> {
    let mut heads = Vec::new();
    for task in &request.tasks {
        let Some(kind) = head_of(task.format) else {
            return Err(TrainError::Request {
                problem: format!("task {} ({}) can't be trained", task.id, task.format),
            }
            .into());
        };
        let labelled = matches!(kind, HeadKind::SequenceClassification | HeadKind::TokenClassification);
        if labelled && task.labels.is_empty() {
            return Err(TrainError::Request { problem: format!("task {} lists no labels", task.id) }.into());
        }
        let labels = if labelled { task.labels.clone() } else { Vec::new() };
        heads.push(HeadSpec { task: task.id.clone(), kind, labels });
    }
    if heads.is_empty() {
        return Err(TrainError::Request { problem: "a training needs at least one task".into() }.into());
    }
    let device = &request.device.device;
    let mut loaded = match (&request.parent, &request.from_scratch) {
        (Some(parent), None) => load(parent, &heads, HeadSource::New { seed: request.seed }, device)?,
        (None, Some(sizes)) => {
            let config = new_config(sizes, &Vocabulary::read(&request.tokenizer)?)?;
            let model = initialize(&config, &heads, request.seed, device);
            Loaded { model, new: vec!["every parameter".to_owned()], dropped: Vec::new() }
        }
        _ => {
            let problem = "a training starts from a parent or from scratch, one of the two".into();
            return Err(TrainError::Request { problem }.into());
        }
    };
    if let Some(rate) = request.hyperparameters.dropout {
        let config = &mut loaded.model.encoder.config;
        config.hidden_dropout_prob = rate;
        config.attention_probs_dropout_prob = rate;
        config.classifier_dropout = None;
    }
    Ok(loaded)
}

/// The configuration of a new encoder of these `sizes` for `vocabulary`.
fn new_config(sizes: &FromScratch, vocabulary: &Vocabulary) -> Result<EncoderConfig> {
    let wrong = |problem: String| Error::from(TrainError::Request { problem });
    let (model_type, type_vocab_size, unused_positions) = match sizes.model_type.as_str() {
        "bert" => (Architecture::Bert, 2, 0),
        "xlm-roberta" => (Architecture::XlmRoberta, 1, vocabulary.pad as usize + 1),
        other => return Err(wrong(format!("model_type is {other:?}; expected bert or xlm-roberta"))),
    };
    let config = EncoderConfig {
        model_type,
        hidden_size: sizes.hidden_size,
        num_hidden_layers: sizes.num_hidden_layers,
        num_attention_heads: sizes.num_attention_heads,
        intermediate_size: sizes.intermediate_size,
        vocab_size: vocabulary.size,
        max_position_embeddings: sizes.max_length + unused_positions,
        type_vocab_size,
        layer_norm_eps: if model_type == Architecture::Bert { 1e-12 } else { 1e-5 },
        hidden_dropout_prob: sizes.hidden_dropout,
        attention_probs_dropout_prob: sizes.attention_dropout,
        classifier_dropout: None,
        pad_token_id: vocabulary.pad,
        bos_token_id: vocabulary.first,
        eos_token_id: vocabulary.last,
        hidden_act: "gelu".into(),
        initializer_range: 0.02,
        position_embedding_type: None,
        architectures: Vec::new(),
        id2label: Default::default(),
        label2id: Default::default(),
    };
    config.check().map_err(wrong)?;
    Ok(config)
}

impl<'a> Run<'a> {
    fn prepare(request: &'a TrainRequest, scratch: &'a Path, mut model: Model) -> Result<Self> {
        let hyper = &request.hyperparameters;
        let limits = Limits::of(&model.encoder.config);
        let mut tasks = Vec::new();
        let mut streams = Vec::new();
        for (number, task) in request.tasks.iter().enumerate() {
            let mut train = Instances::empty(task.format);
            let mut ends = Vec::with_capacity(task.train.len());
            for path in &task.train {
                train.read(path, limits, true, usize::MAX)?;
                ends.push(train.len() as u32);
            }
            let languages = Languages::new(ends, hyper.language_smoothing);
            streams.push(BatchStream::new(request.seed, number, hyper.batch_size, languages));
            if train.is_empty() {
                return Err(TrainError::Empty { task: task.id.clone(), files: task.train.len() }.into());
            }
            train.check_labels(&task.id, task.labels.len())?;
            let mut validation = Instances::empty(task.format);
            if hyper.eval_every > 0 {
                // Several files are several languages (of text): each gives its share.
                let share = hyper.eval_examples.div_ceil(task.validation.len().max(1));
                for path in &task.validation {
                    validation.read(path, limits, true, validation.len() + share)?;
                }
            }
            tasks.push(LoadedTask { task, train, validation });
        }
        let masking = if model.heads.iter().any(|head| head.spec.kind == HeadKind::MaskedLm) {
            let Vocabulary { mask, specials, .. } = Vocabulary::read(&request.tokenizer)?;
            Some(Masking { share: hyper.masking_share, mask, vocabulary: model.encoder.config.vocab_size, specials })
        } else {
            None
        };
        let counts: Vec<usize> = tasks.iter().map(|loaded| loaded.train.len()).collect();
        let each_step = hyper.batch_size * hyper.accumulation;
        let epoch: usize = counts.iter().map(|count| hyper.sampling.counted(*count).div_ceil(each_step)).sum();
        let steps = hyper.max_steps.unwrap_or_else(|| (hyper.epochs * epoch as f64).ceil() as u64);
        let names: Vec<&str> = request.tasks.iter().map(|task| task.id.as_str()).collect();
        let described = serde_json::json!([names, hyper, request.seed, counts, model.encoder.config]).to_string();
        Ok(Self {
            request,
            scratch,
            identity: blake3::hash(described.as_bytes()).to_hex().to_string(),
            masking,
            optimizer: AdamW::new(&mut model, hyper.adam_epsilon, hyper.weight_decay, hyper.max_grad_norm),
            model,
            best_model: None,
            sampler: TaskSampler::new(request.seed, hyper.sampling.shares(&counts)),
            streams,
            taken: vec![0; tasks.len()],
            tasks,
            steps,
            warm_up: (hyper.warmup_share * steps as f64).round() as u64,
            state: State::default(),
            pending: Vec::new(),
        })
    }

    /// Takes up the checkpoint, where there is one, and makes the parameters trainable.
    fn resume(&mut self) -> Result<()> {
        if let Some((state, best)) =
            checkpoint::read(self.scratch, &self.identity, &mut self.model, &mut self.optimizer)?
        {
            (self.state, self.best_model) = (state, best);
            for step in 0..self.state.step {
                self.taken[self.sampler.task(step)] += self.request.hyperparameters.accumulation as u64;
            }
        }
        self.model = self.model.clone().tracked();
        Ok(())
    }

    fn steps(&mut self, progress: &dyn Progress, stop: &AtomicBool) -> Result<()> {
        let hyper = &self.request.hyperparameters;
        let evaluates = hyper.eval_every > 0 && self.tasks.iter().any(|loaded| !loaded.validation.is_empty());
        progress.start(self.steps, "steps");
        progress.advance(self.state.step, "");
        let mut saved = Instant::now();
        while self.state.step < self.steps && (!evaluates || self.state.stale < hyper.patience) {
            if stop.load(Ordering::Relaxed) {
                self.save_state()?;
                return Err(Error::Interrupted);
            }
            self.step()?;
            if self.request.device.on_cpu() || self.pending.len() >= READ_TOGETHER {
                self.read_pending()?;
            }
            if evaluates && (self.state.step.is_multiple_of(hyper.eval_every) || self.state.step == self.steps) {
                self.read_pending()?;
                self.evaluate()?;
            }
            if saved.elapsed() >= CHECKPOINT_INTERVAL {
                self.save_state()?;
                saved = Instant::now();
            }
            let loss = self.state.losses.last().map_or(String::new(), |loss| format!("loss {loss:.4}"));
            progress.advance(self.state.step, &loss);
        }
        self.read_pending()?;
        progress.finish();
        Ok(())
    }

    fn save_state(&mut self) -> Result<()> {
        self.read_pending()?;
        let best = self.best_model.as_ref();
        checkpoint::write(self.scratch, &self.identity, &self.model, best, &self.optimizer, &self.state)
    }

    fn rate(&self, step: u64) -> f64 {
        learning_rate(step, self.steps, self.warm_up, self.request.hyperparameters.learning_rate)
    }

    /// One step of the optimizer, on `accumulation` batches of one task.
    fn step(&mut self) -> Result<()> {
        let step = self.state.step;
        let (seed, accumulation) = (self.request.seed, self.request.hyperparameters.accumulation);
        let task = self.sampler.task(step);
        let loaded = &self.tasks[task];
        let mut gradients: Option<Gradients> = None;
        let mut total: Option<Tensor<1>> = None;
        for _ in 0..accumulation {
            let number = self.taken[task];
            self.taken[task] += 1;
            let indices = self.streams[task].batch(&loaded.train, number);
            let mut rng = stream(seed, "mask", &[task as u64, number]);
            let masking = self.masking.as_ref().map(|masking| (masking, &mut rng));
            let batch = batch(&loaded.train, indices, &self.model.encoder.config, masking);
            let mut dropout = self.dropout(task as u64, number);
            let share = 1.0 / accumulation as f64;
            let (loss, found) = backward(&mut self.model, task, &batch, share, &mut dropout);
            match &mut gradients {
                Some(sum) => sum.add(found),
                None => gradients = Some(found),
            }
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
        }
        let (Some(gradients), Some(total)) = (gradients, total) else {
            unreachable!("accumulation is checked to be at least 1")
        };
        let rate = self.rate(step);
        let norm = self.optimizer.step(&mut self.model, gradients, rate)?;
        self.pending.push((total, norm));
        self.state.step += 1;
        Ok(())
    }

    fn dropout(&self, task: u64, number: u64) -> Dropout {
        let seed = first_u64(stream(self.request.seed, "dropout", &[task, number]));
        if self.request.device.on_cpu() { Dropout::host(seed) } else { Dropout::device(seed) }
    }

    /// Brings losses and norms of the last steps to the host and makes sure that they are numbers.
    fn read_pending(&mut self) -> Result<()> {
        for (loss, norm) in std::mem::take(&mut self.pending) {
            let (loss, norm) = (values(loss)?[0], values(norm)?[0]);
            let step = self.state.losses.len() as u64;
            if !loss.is_finite() || !norm.is_finite() {
                let what = if loss.is_finite() { "the gradient norm" } else { "the loss" };
                let task = self.tasks[self.sampler.task(step)].task.id.clone();
                return Err(TrainError::NotFinite { what, step: step + 1, task, rate: self.rate(step) }.into());
            }
            self.state.losses.push(loss);
            self.state.norms.push(norm);
        }
        Ok(())
    }

    /// Measures every task on its validation instances and keeps the parameters where their mean score is the best so far.
    fn evaluate(&mut self) -> Result<()> {
        let model = self.model.clone().untracked();
        let batch_size = self.request.hyperparameters.batch_size;
        let mut scores = Vec::new();
        for (index, loaded) in self.tasks.iter().enumerate().filter(|(_, loaded)| !loaded.validation.is_empty()) {
            let mut order: Vec<u32> = (0..loaded.validation.len() as u32).collect();
            order.sort_by_key(|index| loaded.validation.length(*index as usize));
            let mut sum = Tally::default();
            for (number, indices) in order.chunks(batch_size).enumerate() {
                // The same masks at every evaluation.
                let mut rng = stream(self.request.seed, "validation mask", &[index as u64, number as u64]);
                let masking = self.masking.as_ref().map(|masking| (masking, &mut rng));
                let batch = batch(&loaded.validation, indices, &model.encoder.config, masking);
                let tally = evaluate(&model, index, &batch)?;
                sum.score += tally.score;
                sum.loss += tally.loss;
                sum.units += tally.units;
            }
            scores.push(sum.mean_score());
            let kind = model.heads[index].spec.kind;
            for (metric, value) in [(metric_name(kind), sum.mean_score()), ("loss", sum.mean_loss())] {
                let (step, task) = (self.state.step, loaded.task.id.clone());
                self.state.evaluations.push(Evaluation { step, task, metric: metric.to_owned(), value });
            }
        }
        let score = scores.iter().sum::<f64>() / scores.len() as f64;
        if self.state.best.is_none_or(|best| score > best.score) {
            self.state.best = Some(Best { step: self.state.step, score });
            self.state.stale = 0;
            self.best_model = Some(model);
        } else {
            self.state.stale += 1;
        }
        Ok(())
    }

    /// Steps first, then evaluations.
    fn write_log(&self, output: &Path) -> Result<()> {
        let steps = self.state.losses.len();
        let evaluations = &self.state.evaluations;
        let task_of = |step: usize| self.tasks[self.sampler.task(step as u64)].task.id.as_str();
        let nothing = |count: usize| std::iter::repeat_n(None, count);
        let tasks = (0..steps).map(task_of).chain(evaluations.iter().map(|row| row.task.as_str()));
        let numbers = (1..=steps as u32).chain(evaluations.iter().map(|row| row.step as u32));
        let losses = self.state.losses.iter().copied().map(Some).chain(nothing(evaluations.len()));
        let rates =
            (0..steps as u64).map(|step| Some(self.rate(step))).chain(std::iter::repeat_n(None, evaluations.len()));
        let norms = self.state.norms.iter().copied().map(Some).chain(nothing(evaluations.len()));
        let metrics = std::iter::repeat_n(None, steps).chain(evaluations.iter().map(|row| Some(row.metric.as_str())));
        let measured = std::iter::repeat_n(None, steps).chain(evaluations.iter().map(|row| Some(row.value)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(tasks)),
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(losses.collect::<Float32Array>()),
            Arc::new(rates.collect::<Float64Array>()),
            Arc::new(norms.collect::<Float32Array>()),
            Arc::new(metrics.collect::<StringArray>()),
            Arc::new(measured.collect::<Float64Array>()),
        ];
        let table = crate::schema::table("training-log");
        let batch = RecordBatch::try_new(table.schema.clone(), columns).expect("the columns are those of the schema");
        let metadata = table.metadata();
        let metadata: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
        write_table(&output.join("training_log.parquet"), &table.schema, &metadata, &[batch])?;
        Ok(())
    }
}

/// The name in the log of what [`evaluate`] measures.
fn metric_name(kind: HeadKind) -> &'static str {
    match kind {
        HeadKind::SequenceClassification | HeadKind::MultipleChoice => "accuracy",
        HeadKind::Span => "window_span_score",
        HeadKind::TokenClassification => "word_accuracy",
        HeadKind::MaskedLm => "masked_token_accuracy",
    }
}
