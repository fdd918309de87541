//! What a training starts from: its model, its instances, its number of steps.

use super::meter::Meter;
use super::steps::Tried;
use super::{LoadedTask, Run};
use crate::error::{Error, Result};
use crate::model::weights::{HeadSource, Loaded, initialize, load_rows};
use crate::model::{Architecture, EncoderConfig, HeadKind, HeadSpec, Precision};
use crate::store::Scratch;
use crate::task::FromScratch;
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoints, State};
use crate::train::data::{Instances, Limits, head_of};
use crate::train::optimizer::AdamW;
use crate::train::request::TrainRequest;
use crate::train::sampler::{BatchStream, Languages, TaskSampler};
use crate::train::scaler::LossScale;
use crate::train::trim::KeptRows;
use crate::train::vocabulary::{Masking, Vocabulary};

fn wrong(problem: impl Into<String>) -> Error {
    TrainError::Request { problem: problem.into() }.into()
}

/// The heads that the tasks of `request` are trained with, and the index of each task's.
pub(super) fn heads(request: &TrainRequest) -> Result<(Vec<HeadSpec>, Vec<usize>)> {
    let mut heads: Vec<HeadSpec> = Vec::new();
    let mut of_task = Vec::new();
    for task in &request.tasks {
        let Some(kind) = head_of(task.format) else {
            return Err(wrong(format!("task {} ({}) can't be trained", task.id, task.format)));
        };
        let labelled = matches!(kind, HeadKind::SequenceClassification | HeadKind::TokenClassification);
        if labelled && task.labels.is_empty() {
            return Err(wrong(format!("task {} lists no labels", task.id)));
        }
        let labels = if labelled { task.labels.clone() } else { Vec::new() };
        let name = task.head.as_ref().unwrap_or(&task.id);
        let index = heads.iter().position(|head| head.task == *name).unwrap_or(heads.len());
        let sharers: Vec<String> = task.head.iter().map(|_| task.id.clone()).collect();
        match heads.get_mut(index) {
            None => heads.push(HeadSpec { shared_by: sharers, ..HeadSpec::new(name, kind, labels) }),
            Some(head) if sharers.is_empty() || head.shared_by.is_empty() => {
                return Err(wrong(format!(
                    "head {name} is that of one task and shared by others: give it another name"
                )));
            }
            Some(head) if head.kind != kind || head.labels != labels => {
                let first = head.shared_by.first().map_or("", String::as_str);
                let problem = "can't share a head: they differ in format or labels";
                return Err(wrong(format!("tasks {first} and {} (head {name}) {problem}", task.id)));
            }
            Some(head) => head.shared_by.extend(sharers),
        }
        of_task.push(index);
    }
    if heads.is_empty() {
        return Err(wrong("a training needs at least one task"));
    }
    Ok((heads, of_task))
}

/// The parent's configuration or that of a new encoder.
pub(super) fn starting_config(request: &TrainRequest) -> Result<EncoderConfig> {
    match (&request.parent, &request.from_scratch) {
        (Some(parent), None) => Ok(EncoderConfig::read(parent)?),
        (None, Some(sizes)) => new_config(sizes, &Vocabulary::read(&request.tokenizer)?),
        _ => Err(wrong("a training starts from a parent or from scratch, one of the two")),
    }
}

/// The instances of every task, within the limits of the encoder of `config`; `heads` has the index of each task's head.
pub(super) fn load_tasks<'a>(
    request: &'a TrainRequest,
    config: &EncoderConfig,
    heads: &[usize],
) -> Result<Vec<LoadedTask<'a>>> {
    let hyper = &request.hyperparameters;
    let limits = Limits::of(config);
    let mut tasks = Vec::new();
    for (task, head) in request.tasks.iter().zip(heads) {
        let mut train = Instances::empty(task.format);
        let mut ends = Vec::with_capacity(task.train.len());
        for path in &task.train {
            train.read(path, limits, true, usize::MAX)?;
            ends.push(train.len() as u32);
        }
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
        let languages = Languages::new(ends, hyper.language_smoothing);
        tasks.push(LoadedTask { task, head: *head, train, validation, languages });
    }
    Ok(tasks)
}

/// The rows of the word embeddings that `tasks` name, which count their ids by them from here on; none where the training
/// keeps them all.
pub(super) fn trim(
    request: &TrainRequest,
    config: &EncoderConfig,
    tasks: &mut [LoadedTask<'_>],
) -> Result<Option<KeptRows>> {
    if !request.hyperparameters.trim_vocabulary {
        return Ok(None);
    }
    if let Some(text) = request.tasks.iter().find(|task| head_of(task.format) == Some(HeadKind::MaskedLm)) {
        let problem = "trim_vocabulary leaves out rows of the word embeddings, but masked-LM training (task";
        return Err(wrong(format!("{problem} {}) moves every row: set it to false for this training", text.id)));
    }
    if request.parent.is_none() {
        return Err(wrong("trim_vocabulary puts back the rows of a parent, but this training starts from scratch"));
    }
    let instances = tasks.iter().flat_map(|loaded| [&loaded.train, &loaded.validation]);
    let kept = KeptRows::of(instances, config.vocab_size, config.pad_token_id);
    kept.renumber(tasks.iter_mut().flat_map(|loaded| [&mut loaded.train, &mut loaded.validation]));
    Ok(Some(kept))
}

/// The parent's encoder (of its word embeddings the rows `kept`) or a new one, with `heads`, and what was made new or left behind.
pub(super) fn starting_model(
    request: &TrainRequest,
    config: &EncoderConfig,
    heads: &[HeadSpec],
    kept: Option<&KeptRows>,
) -> Result<Loaded> {
    let device = &request.device.device;
    let mut loaded = match &request.parent {
        Some(parent) => {
            let source = HeadSource::New { seed: request.seed };
            load_rows(parent, heads, source, kept.map(KeptRows::ids), device)?
        }
        None => {
            let model = initialize(config, heads, request.seed, device);
            Loaded { model, new: vec!["every parameter".to_owned()], dropped: Vec::new() }
        }
    };
    request.device.check_precision(request.hyperparameters.precision)?;
    loaded.model.encoder.precision = request.hyperparameters.precision;
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
    pub(super) fn prepare(
        request: &'a TrainRequest,
        scratch: &Scratch,
        loaded: Loaded,
        tasks: Vec<LoadedTask<'a>>,
        kept: Option<KeptRows>,
    ) -> Result<Self> {
        let hyper = &request.hyperparameters;
        let Loaded { mut model, new, dropped } = loaded;
        let streams = tasks
            .iter()
            .enumerate()
            .map(|(number, loaded)| BatchStream::new(request.seed, number, hyper.batch_size, loaded.languages.clone()))
            .collect();
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
        let sizes: Vec<(&str, usize)> = names.iter().copied().zip(counts.iter().copied()).collect();
        let heads: Vec<&HeadSpec> = model.heads.iter().map(|head| &head.spec).collect();
        let rows = kept.as_ref().map(KeptRows::ids);
        let described =
            serde_json::json!([names, heads, hyper, request.seed, counts, model.encoder.config, rows]).to_string();
        let identity = blake3::hash(described.as_bytes()).to_hex().to_string();
        Ok(Self {
            request,
            checkpoints: Checkpoints::new(scratch, identity, request.upkeep.checkpoint_every),
            masking,
            optimizer: AdamW::new(&mut model, hyper.adam_epsilon, hyper.weight_decay, hyper.max_grad_norm),
            model,
            new_parameters: new,
            dropped_parameters: dropped,
            kept,
            best_model: None,
            sampler: TaskSampler::new(request.seed, hyper.sampling.shares(&sizes)),
            streams,
            taken: vec![0; tasks.len()],
            tasks,
            steps,
            warm_up: (hyper.warmup_share * steps as f64).round() as u64,
            state: State {
                micro_batch_tokens: hyper.micro_batch_tokens,
                scale: (hyper.precision == Precision::F16).then(LossScale::default),
                ..State::default()
            },
            pending: Vec::new(),
            trying: Tried::default(),
            proven: 0,
            meter: Meter::new(0),
            board: None,
            #[cfg(test)]
            memory: None,
        })
    }
}
