//! Heads on top of the encoder, their losses, and the model they make together; each exactly as transformers has it.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::config::{Architecture, EncoderConfig};
use super::dropout::Dropout;
use super::encoder::{Encoder, TokenBatch};
use super::kernels::{cross_entropy, gelu};
use super::layers::{Dense, Norm, Slot, Visitor, integers, lookup};
use super::weights::{put, values};

/// What a head computes from the hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// One of the labels for a row.
    SequenceClassification,
    /// A score for each choice, one row a choice.
    MultipleChoice,
    /// A start and an end score for each token.
    Span,
    /// One of the labels for a token.
    TokenClassification,
    /// One of the vocabulary for a masked token.
    MaskedLm,
}

impl HeadKind {
    /// Whether the head reads the encoder's pooler.
    pub fn pools(self, architecture: Architecture) -> bool {
        match self {
            HeadKind::MultipleChoice => true,
            HeadKind::SequenceClassification => architecture == Architecture::Bert,
            HeadKind::Span | HeadKind::TokenClassification | HeadKind::MaskedLm => false,
        }
    }

    /// The end of transformers' class name.
    pub fn class(self) -> &'static str {
        match self {
            HeadKind::SequenceClassification => "ForSequenceClassification",
            HeadKind::MultipleChoice => "ForMultipleChoice",
            HeadKind::Span => "ForQuestionAnswering",
            HeadKind::TokenClassification => "ForTokenClassification",
            HeadKind::MaskedLm => "ForMaskedLM",
        }
    }
}

/// The parameters of a head.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has a handful of heads")]
pub enum Head {
    /// XLM-R's classification head: dropout, dense, tanh, dropout, projection of the first token.
    FirstToken {
        /// `classifier.dense`.
        dense: Dense,
        /// `classifier.out_proj`.
        projection: Dense,
    },
    /// Pooler, dropout, classifier: BERT's classification and both families' multiple choice (one output).
    Pooled {
        /// `classifier`.
        classifier: Dense,
    },
    /// `qa_outputs`: start and end.
    Span {
        /// Two outputs a token.
        outputs: Dense,
    },
    /// Dropout and classifier on tokens.
    Tokens {
        /// `classifier`.
        classifier: Dense,
    },
    /// Dense, gelu, LayerNorm, then the word embeddings as decoder, with a bias of its own.
    MaskedLm {
        /// `lm_head.dense` or `cls.predictions.transform.dense`.
        dense: Dense,
        /// `lm_head.layer_norm` or `cls.predictions.transform.LayerNorm`.
        norm: Norm,
        /// `[vocabulary]`.
        bias: Tensor<1>,
    },
}

impl Head {
    /// A head of zeros with `labels` outputs (where the kind has labels), to be filled by [`super::weights`].
    pub fn new(kind: HeadKind, labels: usize, config: &EncoderConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let dense = |outputs| Dense::new(width, outputs, device);
        match (kind, config.model_type) {
            (HeadKind::SequenceClassification, Architecture::XlmRoberta) => {
                Head::FirstToken { dense: dense(width), projection: dense(labels) }
            }
            (HeadKind::SequenceClassification, Architecture::Bert) => Head::Pooled { classifier: dense(labels) },
            (HeadKind::MultipleChoice, _) => Head::Pooled { classifier: dense(1) },
            (HeadKind::Span, _) => Head::Span { outputs: dense(2) },
            (HeadKind::TokenClassification, _) => Head::Tokens { classifier: dense(labels) },
            (HeadKind::MaskedLm, _) => Head::MaskedLm {
                dense: dense(width),
                norm: Norm::new(width, config.layer_norm_eps, device),
                bias: Tensor::zeros([config.vocab_size], device),
            },
        }
    }

    /// Logits `[rows, outputs]` of the first token of each of `rows` rows of `hidden [rows × positions, width]`.
    pub fn rows(&self, encoder: &Encoder, hidden: Tensor<2>, rows: usize, dropout: &mut Dropout) -> Tensor<2> {
        let [tokens, width] = hidden.dims();
        let first =
            hidden.reshape([rows, tokens / rows, width]).slice([0..rows, 0..1, 0..width]).reshape([rows, width]);
        let (rate, precision) = (encoder.config.head_dropout(), encoder.precision);
        match (self, &encoder.pooler) {
            (Head::FirstToken { dense, projection }, _) => {
                let inner = dense.forward(dropout.apply(first, rate), precision).tanh();
                projection.forward(dropout.apply(inner, rate), precision)
            }
            (Head::Pooled { classifier }, Some(pooler)) => {
                let pooled = pooler.forward(first, precision).tanh();
                classifier.forward(dropout.apply(pooled, rate), precision)
            }
            _ => unreachable!("a head over rows is built with the pooler it reads"),
        }
    }

    /// Logits `[tokens, outputs]` of the tokens at `places`, indices into `hidden [rows × positions, width]`; of all tokens
    /// where no places are given.
    pub fn tokens(
        &self,
        encoder: &Encoder,
        hidden: Tensor<2>,
        places: Option<Vec<i32>>,
        dropout: &mut Dropout,
    ) -> Tensor<2> {
        let hidden = match places {
            Some(places) => {
                let count = places.len();
                lookup(hidden, integers(places, [count], &encoder.device), encoder.on_cpu())
            }
            None => hidden,
        };
        let precision = encoder.precision;
        match self {
            Head::Span { outputs } => outputs.forward(hidden, precision),
            Head::Tokens { classifier } => {
                classifier.forward(dropout.apply(hidden, encoder.config.head_dropout()), precision)
            }
            Head::MaskedLm { dense, norm, bias } => {
                encoder.decode(norm.forward(gelu(dense.forward(hidden, precision))), bias)
            }
            Head::FirstToken { .. } | Head::Pooled { .. } => unreachable!("a head over rows has no token logits"),
        }
    }

    /// Visits each parameter of the head under its transformers name.
    pub fn visit<'a>(&'a mut self, architecture: Architecture, visitor: &mut Visitor<'a, '_>) {
        match self {
            Head::FirstToken { dense, projection } => {
                dense.visit("classifier.dense", visitor);
                projection.visit("classifier.out_proj", visitor);
            }
            Head::Pooled { classifier } | Head::Tokens { classifier } => classifier.visit("classifier", visitor),
            Head::Span { outputs } => outputs.visit("qa_outputs", visitor),
            Head::MaskedLm { dense, norm, bias } => match architecture {
                Architecture::Bert => {
                    dense.visit("cls.predictions.transform.dense", visitor);
                    norm.visit("cls.predictions.transform.LayerNorm", visitor);
                    visitor("cls.predictions.bias".into(), Slot::Vector(bias));
                }
                Architecture::XlmRoberta => {
                    dense.visit("lm_head.dense", visitor);
                    norm.visit("lm_head.layer_norm", visitor);
                    visitor("lm_head.bias".into(), Slot::Vector(bias));
                }
            },
        }
    }
}

/// Cross-entropy of `choices` rows an example: `logits [examples × choices, 1]`, one right choice an example.
pub fn choice_loss(logits: Tensor<2>, choices: usize, labels: Vec<i32>) -> Tensor<1> {
    let [rows, _] = logits.dims();
    cross_entropy(logits.reshape([rows / choices, choices]), labels)
}

/// Mean of the cross-entropies of start and end over the positions of a row, padding included, as transformers has it: over
/// [`TokenBatch::scored`] of them. `logits [rows × width of the batch, 2]`.
pub fn span_loss(logits: Tensor<2>, batch: &TokenBatch, starts: Vec<i32>, ends: Vec<i32>) -> Tensor<1> {
    let (rows, scored) = (batch.rows, batch.scored);
    let logits = logits.reshape([rows, batch.width, 2]);
    let side = |index: usize| logits.clone().slice([0..rows, 0..scored, index..index + 1]).reshape([rows, scored]);
    (cross_entropy(side(0), starts) + cross_entropy(side(1), ends)) * 0.5
}

/// What a head is for: stored beside the weights as `heads.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// The task's id, or the name of a head that several tasks share.
    pub task: String,
    /// What the head computes.
    pub kind: HeadKind,
    /// Label names by output; empty where the kind has none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The tasks that share the head, in order; empty where it is one task's alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_by: Vec<String>,
}

impl HeadSpec {
    /// The head of one task.
    pub fn new(task: impl Into<String>, kind: HeadKind, labels: Vec<String>) -> Self {
        Self { task: task.into(), kind, labels, shared_by: Vec::new() }
    }

    /// Whether the head answers for `task`.
    pub fn serves(&self, task: &str) -> bool {
        if self.shared_by.is_empty() { self.task == task } else { self.shared_by.iter().any(|sharer| sharer == task) }
    }
}

/// A head with its parameters.
#[derive(Clone, Debug)]
pub struct TaskHead {
    /// What it is for.
    pub spec: HeadSpec,
    /// Its parameters.
    pub head: Head,
}

/// An encoder with its heads: one a task, or one for several.
#[derive(Clone, Debug)]
pub struct Model {
    /// Shared by all tasks.
    pub encoder: Encoder,
    /// In the order of the tasks that name them first.
    pub heads: Vec<TaskHead>,
}

impl Model {
    /// A model of zeros with a head for each of `heads`, and a pooler where one of them reads it or `pooler` says so.
    pub fn new(config: &EncoderConfig, heads: &[HeadSpec], pooler: bool, device: &Device) -> Self {
        let pooler = pooler || heads.iter().any(|spec| spec.kind.pools(config.model_type));
        Self {
            encoder: Encoder::new(config, pooler, device),
            heads: heads
                .iter()
                .map(|spec| TaskHead {
                    spec: spec.clone(),
                    head: Head::new(spec.kind, spec.labels.len(), config, device),
                })
                .collect(),
        }
    }

    /// Every parameter with its name, in a fixed order. One head's parameters have their transformers names; several heads
    /// have their task (or shared name) and `/` before them, since transformers has no name for that.
    pub fn parameters(&mut self) -> Vec<(String, Slot<'_>)> {
        let mut parameters = Vec::new();
        let architecture = self.encoder.config.model_type;
        let prefix = if self.heads.is_empty() { "" } else { architecture.prefix() };
        self.encoder.visit(prefix, &mut |name, slot| parameters.push((name, slot)));
        let several = self.heads.len() > 1;
        for TaskHead { spec, head } in &mut self.heads {
            head.visit(architecture, &mut |name, slot| {
                parameters.push((if several { format!("{}/{name}", spec.task) } else { name }, slot));
            });
        }
        parameters
    }

    /// The same parameters, tracked for gradients.
    pub fn tracked(mut self) -> Self {
        for (_, slot) in self.parameters() {
            match slot {
                Slot::Vector(tensor) => tensor.inplace(|tensor| tensor.autodiff().detach().require_grad()),
                Slot::Table(tensor) | Slot::Map(tensor) => {
                    tensor.inplace(|tensor| tensor.autodiff().detach().require_grad());
                }
            }
        }
        self
    }

    /// A copy of the parameters on `device`, without tracking.
    ///
    /// The numbers pass through memory of our own: burn's transfer from a GPU to the CPU can hand over memory that goes on to
    /// change with the parameters.
    ///
    /// # Errors
    /// When the device fails to hand over a parameter.
    pub fn moved(self, device: &Device) -> Result<Self, ModelError> {
        let mut model = self.untracked();
        if model.encoder.device == *device {
            return Ok(model);
        }
        for (_, slot) in model.parameters() {
            let held = match &slot {
                Slot::Vector(tensor) => values((*tensor).clone())?,
                Slot::Table(tensor) | Slot::Map(tensor) => values((*tensor).clone())?,
            };
            put(slot, held, device);
        }
        model.encoder.device = device.clone();
        Ok(model)
    }

    /// The same parameters without tracking, for evaluation.
    pub fn untracked(mut self) -> Self {
        for (_, slot) in self.parameters() {
            match slot {
                Slot::Vector(tensor) => tensor.inplace(Tensor::without_autodiff),
                Slot::Table(tensor) | Slot::Map(tensor) => tensor.inplace(Tensor::without_autodiff),
            }
        }
        self
    }
}
