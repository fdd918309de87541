//! The rows of the bench: shapes of encoders, positions, batches, and the arithmetic of each.

use serde_json::{Value, json};
use trestle::model::{Architecture, EncoderConfig};

/// One shape at one length of input.
#[derive(Debug, Clone)]
pub struct Row {
    /// `shape/positions`.
    pub name: String,
    /// Of the encoder.
    pub config: EncoderConfig,
    /// Tokens a row of the batch; none is padding.
    pub positions: usize,
    /// Rows a batch.
    pub rows: usize,
}

impl Row {
    /// Tokens a batch.
    pub fn tokens(&self) -> usize {
        self.rows * self.positions
    }

    /// Floating-point operations of a forward pass, a token: the matrix products of the layers.
    pub fn forward_flops(&self) -> f64 {
        let width = self.config.hidden_size as f64;
        let maps = 4.0 * width * width + 2.0 * width * self.config.intermediate_size as f64;
        // Scores and context: each as many products as positions, over the width of all heads together.
        let attention = 2.0 * self.positions as f64 * width;
        2.0 * (maps + attention) * self.config.num_hidden_layers as f64
    }

    /// For a peer that is to do the same.
    pub fn described(&self) -> Value {
        json!({
            "row": self.name, "rows": self.rows, "positions": self.positions, "config": self.config,
            "forward_flops": self.forward_flops(),
        })
    }
}

/// What tells a shape from another.
struct Shape {
    name: &'static str,
    model_type: Architecture,
    layers: usize,
    width: usize,
    heads: usize,
    vocabulary: usize,
    positions: &'static [usize],
    /// Tokens a batch on a CPU.
    batch_tokens: usize,
    /// Tokens a batch on a GPU.
    gpu_batch_tokens: usize,
}

const SHAPES: [Shape; 6] = [
    mini("mini-64", 64),
    mini("mini-96", 96),
    mini("mini-128", 128),
    Shape {
        name: "minilm",
        model_type: Architecture::Bert,
        layers: 6,
        width: 384,
        heads: 12,
        vocabulary: 30_522,
        positions: &[128, 384],
        batch_tokens: 4_096,
        gpu_batch_tokens: 16_384,
    },
    Shape {
        name: "xlmr-base",
        model_type: Architecture::XlmRoberta,
        layers: 12,
        width: 768,
        heads: 12,
        vocabulary: 250_002,
        positions: &[128, 384],
        batch_tokens: 2_048,
        gpu_batch_tokens: 16_384,
    },
    Shape {
        name: "xlmr-large",
        model_type: Architecture::XlmRoberta,
        layers: 24,
        width: 1_024,
        heads: 16,
        vocabulary: 250_002,
        positions: &[128, 384],
        batch_tokens: 1_024,
        gpu_batch_tokens: 8_192,
    },
];

/// An encoder as the mini study trains: two layers, four heads.
const fn mini(name: &'static str, width: usize) -> Shape {
    Shape {
        name,
        model_type: Architecture::XlmRoberta,
        layers: 2,
        width,
        heads: 4,
        vocabulary: 8_000,
        positions: &[64],
        batch_tokens: 2_048,
        gpu_batch_tokens: 16_384,
    }
}

/// Every row, with batches of `batch_tokens` tokens or, without, of as many as suit the device.
pub fn rows(on_gpu: bool, batch_tokens: Option<usize>) -> Vec<Row> {
    let row = |shape: &Shape, positions: usize| {
        let own = if on_gpu { shape.gpu_batch_tokens } else { shape.batch_tokens };
        Row {
            name: format!("{}/{positions}", shape.name),
            config: config(shape),
            positions,
            rows: (batch_tokens.unwrap_or(own) / positions).max(1),
        }
    };
    SHAPES.iter().flat_map(|shape| shape.positions.iter().map(move |positions| row(shape, *positions))).collect()
}

fn config(shape: &Shape) -> EncoderConfig {
    let bert = shape.model_type == Architecture::Bert;
    EncoderConfig {
        model_type: shape.model_type,
        hidden_size: shape.width,
        num_hidden_layers: shape.layers,
        num_attention_heads: shape.heads,
        intermediate_size: 4 * shape.width,
        vocab_size: shape.vocabulary,
        max_position_embeddings: if bert { 512 } else { 514 },
        type_vocab_size: if bert { 2 } else { 1 },
        layer_norm_eps: if bert { 1e-12 } else { 1e-5 },
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        classifier_dropout: None,
        pad_token_id: if bert { 0 } else { 1 },
        bos_token_id: None,
        eos_token_id: None,
        hidden_act: "gelu".into(),
        initializer_range: 0.02,
        position_embedding_type: None,
        architectures: Vec::new(),
        id2label: Default::default(),
        label2id: Default::default(),
    }
}
