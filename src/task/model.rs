//! One model file: `pipeline/models/<id>.toml`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file::twice;
use super::{Format, TaskError};

/// Sizes of an encoder that starts from random weights; field names as in Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromScratch {
    /// `xlm-roberta` or `bert`.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Longest input in tokens, special tokens included.
    pub max_length: usize,
    /// Dropout on embeddings and sub-layer outputs.
    #[serde(default)]
    pub hidden_dropout: f64,
    /// Dropout on attention probabilities.
    #[serde(default)]
    pub attention_dropout: f64,
}

/// The sizes of an encoder that decide what it costs; field names as in Hugging Face's `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSizes {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of Transformer layers.
    pub num_hidden_layers: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Rows of the position table.
    pub max_position_embeddings: usize,
    /// Rows of the token type table.
    pub type_vocab_size: usize,
}

/// Where the encoder's weights come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum EncoderSource {
    /// Random weights of the given sizes.
    FromScratch(FromScratch),
    /// A Hugging Face model directory (`config.json`, weights, `tokenizer.json`).
    Directory(PathBuf),
    /// A model repository on the hub.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        #[serde(default = "super::source::main_revision")]
        revision: String,
    },
}

/// Where the tokenizer comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TokenizerSource {
    /// A Unigram tokenizer trained on the study's pretraining text.
    Train {
        /// Number of entries, special tokens included.
        vocabulary: u32,
        /// Most lines of each language to train on, evenly spaced over its text.
        lines: u64,
    },
    /// A `tokenizer.json` file.
    File(PathBuf),
    /// The `tokenizer.json` that stands beside the encoder's weights.
    Encoder,
}

impl TokenizerSource {
    /// Whether the tokenizer is trained on text of the study's.
    pub fn is_trained(&self) -> bool {
        matches!(self, TokenizerSource::Train { .. })
    }
}

/// Longest input in tokens, special tokens included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// Everything but question answering.
    pub default: usize,
    /// Windows of span extraction.
    pub span_extraction: usize,
    /// Overlap between neighbouring windows of a long context.
    pub stride: usize,
    /// Longest question in tokens.
    pub question: usize,
}

impl Lengths {
    /// The longest input of a format.
    pub fn of(&self, format: Format) -> usize {
        match format {
            Format::SpanExtraction => self.span_extraction,
            _ => self.default,
        }
    }
}

/// Which hidden states stand for a sentence in retrieval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalSettings {
    /// Indices into the hidden states (0 = embeddings, n = output of layer n). Each gets its own score row; the first
    /// is the one that summary tables show.
    pub layers: Vec<usize>,
    /// What of a hidden state stands for the sentence.
    #[serde(default)]
    pub pooling: Pooling,
}

/// How the hidden states of a sentence's tokens become its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The mean over all tokens that are not padding, special tokens included.
    #[default]
    Mean,
    /// The first token, `<s>` or `[CLS]`.
    FirstToken,
}

impl Pooling {
    /// The name used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Pooling::Mean => "mean",
            Pooling::FirstToken => "first-token",
        }
    }
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Unique name, the file's stem.
    pub id: String,
    /// Weights.
    pub encoder: EncoderSource,
    /// Tokenizer.
    pub tokenizer: TokenizerSource,
    /// Input lengths.
    pub lengths: Lengths,
    /// Sentence vectors.
    pub retrieval: RetrievalSettings,
    /// The sizes of an encoder from elsewhere, which a plan reckons with until its `config.json` is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<EncoderSizes>,
}

impl Model {
    /// Parses and validates a model file; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TaskError> {
        let model: Model = toml::from_str(text).map_err(|source| TaskError::parse(origin, &source))?;
        let wrong = |message: &str| Err(TaskError::Invalid { origin: origin.to_owned(), message: message.to_owned() });
        if let EncoderSource::FromScratch(sizes) = &model.encoder {
            if !sizes.hidden_size.is_multiple_of(sizes.num_attention_heads.max(1)) {
                return wrong("hidden_size must be a multiple of num_attention_heads");
            }
            if sizes.max_length < model.lengths.default.max(model.lengths.span_extraction) {
                return wrong("lengths exceed encoder max_length");
            }
            if model.sizes.is_some() {
                return wrong("an encoder from scratch has the sizes that stand there: leave out [sizes]");
            }
            if model.tokenizer == TokenizerSource::Encoder {
                return wrong("an encoder from scratch brings no tokenizer: use tokenizer.train or tokenizer.file");
            }
        }
        if model.retrieval.layers.is_empty() {
            return wrong("retrieval.layers is empty");
        }
        if let Some(layer) = twice(&model.retrieval.layers) {
            return wrong(&format!("retrieval.layers names {layer} twice"));
        }
        if model.lengths.question + model.lengths.stride + 8 > model.lengths.span_extraction {
            return wrong("lengths.span_extraction leaves no room for question and stride");
        }
        Ok(model)
    }
}
