//! What a training starts from: its model, its instances, its number of steps.

use std::path::Path;

use super::{LoadedTask, Run};
use crate::error::{Error, Result};
use crate::model::weights::{HeadSource, initialize, load};
use crate::model::{Architecture, EncoderConfig, HeadKind, HeadSpec, Model};
use crate::task::FromScratch;
use crate::train::TrainError;
use crate::train::checkpoint::State;
use crate::train::data::{Instances, Limits, head_of};
use crate::train::optimizer::AdamW;
use crate::train::request::TrainRequest;
use crate::train::sampler::{BatchStream, Languages, TaskSampler};
use crate::train::vocabulary::{Masking, Vocabulary};

/// The parent's encoder or a new one, with a head for each task, and the names of new parameters.
pub(super) fn starting_model(request: &TrainRequest) -> Result<(Model, Vec<String>)> {
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
    let (mut model, new) = match (&request.parent, &request.from_scratch) {
        (Some(parent), None) => {
            let loaded = load(parent, &heads, HeadSource::New { seed: request.seed }, device)?;
            (loaded.model, loaded.new)
        }
        (None, Some(sizes)) => {
            let config = new_config(sizes, &Vocabulary::read(&request.tokenizer)?)?;
            (initialize(&config, &heads, request.seed, device), vec!["every parameter".to_owned()])
        }
        _ => {
            let problem = "a training starts from a parent or from scratch, one of the two".into();
            return Err(TrainError::Request { problem }.into());
        }
    };
    if let Some(rate) = request.hyperparameters.dropout {
        let config = &mut model.encoder.config;
        config.hidden_dropout_prob = rate;
        config.attention_probs_dropout_prob = rate;
        config.classifier_dropout = None;
    }
    Ok((model, new))
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
    pub(super) fn prepare(request: &'a TrainRequest, scratch: &'a Path, mut model: Model) -> Result<Self> {
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
}
