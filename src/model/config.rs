//! Hugging Face `config.json` of the two encoder families, read and written.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ModelError;
use crate::error::IoContext;

/// The encoder families that can be built. They differ in positions, heads and parameter names only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// BERT: positions count from 0; parameters under `bert.`.
    Bert,
    /// XLM-RoBERTa: positions count non-padding tokens from `pad_token_id + 1`; parameters under `roberta.`.
    XlmRoberta,
}

impl Architecture {
    /// The prefix that transformers puts before encoder parameters in a model with a head.
    pub fn prefix(self) -> &'static str {
        match self {
            Architecture::Bert => "bert.",
            Architecture::XlmRoberta => "roberta.",
        }
    }

    /// The first word of transformers' class names.
    pub fn class(self) -> &'static str {
        match self {
            Architecture::Bert => "Bert",
            Architecture::XlmRoberta => "XLMRoberta",
        }
    }
}

/// The type of numbers in matrix products. Parameters, optimizer, LayerNorm, softmax and losses are f32 in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits (IEEE half), with the loss scaled so that small gradients do not vanish.
    F16,
}

/// What `config.json` says of the encoder. Fields that Trestle does not use are read over and not written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// Family.
    pub model_type: Architecture,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Rows of the word embedding table.
    pub vocab_size: usize,
    /// Rows of the position table. XLM-R loses the first `pad_token_id + 1` of them.
    pub max_position_embeddings: usize,
    /// Rows of the token type table: 1 or 2.
    pub type_vocab_size: usize,
    /// Added to the variance in LayerNorm.
    pub layer_norm_eps: f64,
    /// Dropout of hidden states, in [0, 1).
    pub hidden_dropout_prob: f64,
    /// Dropout of attention probabilities, in [0, 1).
    pub attention_probs_dropout_prob: f64,
    /// Dropout before a classifier, where it differs from `hidden_dropout_prob`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier_dropout: Option<f64>,
    /// Id of the padding token.
    #[serde(default)]
    pub pad_token_id: u32,
    /// Id of the first special token, carried along for transformers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<u32>,
    /// Id of the last special token, carried along for transformers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eos_token_id: Option<u32>,
    /// Activation of the feed-forward layer: `gelu`, in its exact form.
    pub hidden_act: String,
    /// Standard deviation of new parameters.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
    /// Positions are learnt and absolute; other kinds are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position_embedding_type: Option<String>,
    /// transformers' class names for the head in the weights file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// Labels of a classification or tagging head, by index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub id2label: BTreeMap<String, String>,
    /// The inverse of `id2label`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub label2id: BTreeMap<String, u32>,
}

fn default_initializer_range() -> f64 {
    0.02
}

impl EncoderConfig {
    /// Reads `config.json` in `directory`.
    ///
    /// # Errors
    /// When the file can't be read, is not JSON of the right shape, or describes an encoder outside the two families.
    pub fn read(directory: &Path) -> Result<Self, ModelError> {
        let path = directory.join("config.json");
        let text = std::fs::read_to_string(&path).at("read", &path)?;
        let problem = |problem: String| ModelError::Config { path: path.clone(), problem };
        let config: Self = serde_json::from_str(&text).map_err(|error| {
            problem(format!("{error}; expected a transformers configuration of model_type bert or xlm-roberta"))
        })?;
        config.check().map_err(problem)?;
        Ok(config)
    }

    /// Writes `config.json` into `directory`, with a final newline.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, directory: &Path) -> Result<(), ModelError> {
        let path = directory.join("config.json");
        // What transformers would otherwise have to assume: the masked-LM head decodes with the word embeddings, in f32.
        #[derive(Serialize)]
        struct Written<'a> {
            #[serde(flatten)]
            config: &'a EncoderConfig,
            tie_word_embeddings: bool,
            dtype: &'static str,
        }
        let written = Written { config: self, tie_word_embeddings: true, dtype: "float32" };
        let mut text =
            serde_json::to_string_pretty(&written).expect("a plain struct of numbers and strings serialises");
        text.push('\n');
        std::fs::write(&path, text).at("write", &path)?;
        Ok(())
    }

    /// Says what makes the encoder impossible to build, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if self.hidden_act != "gelu" {
            return Err(format!("hidden_act is {:?}; only \"gelu\" is supported", self.hidden_act));
        }
        if let Some(kind) = self.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(format!("position_embedding_type is {kind:?}; only \"absolute\" is supported"));
        }
        let rates =
            [self.hidden_dropout_prob, self.attention_probs_dropout_prob, self.classifier_dropout.unwrap_or(0.0)];
        if rates.iter().any(|rate| !(0.0..1.0).contains(rate)) {
            return Err(format!("dropout rates {rates:?} must each be at least 0 and below 1"));
        }
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        if self.max_positions() == 0 {
            return Err(format!("max_position_embeddings {} leaves no usable position", self.max_position_embeddings));
        }
        if self.pad_token_id as usize >= self.vocab_size {
            return Err(format!("pad_token_id {} is outside vocab_size {}", self.pad_token_id, self.vocab_size));
        }
        Ok(())
    }

    /// The longest input in tokens, special tokens included.
    pub fn max_positions(&self) -> usize {
        match self.model_type {
            Architecture::Bert => self.max_position_embeddings,
            Architecture::XlmRoberta => self.max_position_embeddings.saturating_sub(self.pad_token_id as usize + 1),
        }
    }

    /// Dropout before a classifier.
    pub fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tiny encoder for the tests of this and other modules.
    pub(crate) fn tiny(model_type: Architecture) -> EncoderConfig {
        EncoderConfig {
            model_type,
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            vocab_size: 60,
            max_position_embeddings: 40,
            type_vocab_size: if model_type == Architecture::Bert { 2 } else { 1 },
            layer_norm_eps: 1e-5,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            pad_token_id: 1,
            bos_token_id: Some(0),
            eos_token_id: Some(2),
            hidden_act: "gelu".into(),
            initializer_range: 0.02,
            position_embedding_type: None,
            architectures: Vec::new(),
            id2label: BTreeMap::new(),
            label2id: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        for architecture in [Architecture::Bert, Architecture::XlmRoberta] {
            let config = tiny(architecture);
            config.write(directory.path()).unwrap();
            assert_eq!(EncoderConfig::read(directory.path()).unwrap(), config);
        }
    }

    #[test]
    fn an_encoder_that_cannot_be_built_is_refused_with_its_field() {
        type Change = fn(&mut EncoderConfig);
        let changes: [(Change, &str); 6] = [
            (|c| c.num_attention_heads = 3, "num_attention_heads"),
            (|c| c.hidden_act = "relu".into(), "hidden_act"),
            (|c| c.hidden_dropout_prob = 1.0, "dropout"),
            (|c| c.position_embedding_type = Some("relative_key".into()), "position_embedding_type"),
            (|c| c.max_position_embeddings = 2, "max_position_embeddings"),
            (|c| c.vocab_size = 0, "vocab_size"),
        ];
        for (change, field) in changes {
            let mut config = tiny(Architecture::XlmRoberta);
            change(&mut config);
            assert!(config.check().unwrap_err().contains(field), "{field}");
        }
    }

    #[test]
    fn a_missing_or_foreign_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = EncoderConfig::read(directory.path()).unwrap_err();
        assert!(error.to_string().contains("config.json"), "{error}");
        std::fs::write(directory.path().join("config.json"), r#"{"model_type": "gpt2"}"#).unwrap();
        let error = EncoderConfig::read(directory.path()).unwrap_err();
        assert!(error.to_string().contains("xlm-roberta"), "{error}");
    }
}
