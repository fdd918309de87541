//! Parameters of an encoder, and the floating-point operations of running and training it.
//!
//! A multiplication and an addition are two operations. A Transformer layer of width d and feed-forward width f multiplies each token by
//! four matrices of d × d and two of d × f, and compares it with every token of its row: QKᵀ and the sum over values take 2·s·d
//! multiplications and additions for a row of s tokens, since an encoder looks both ways. So a token costs `2 N + 4 L s d` forward, with N the
//! parameters of the layers' matrices (Kaplan et al. 2020, arXiv 2001.08361, section 2.1, whose attention term is half of
//! ours because a language model looks back only). The backward pass multiplies twice as much: training is three times the forward pass,
//! `6 N` and three times the attention, and four times where layers are computed again. Embeddings are looked up, not multiplied.
//! LayerNorm, softmax, activations, heads (but for masked LM's decoder), the optimizer and padding are left out: some percent at the
//! sizes for which cost matters.

use crate::model::EncoderConfig;
use crate::task::{EncoderSizes, FromScratch};

impl EncoderSizes {
    /// Those of a configuration.
    pub fn of_config(config: &EncoderConfig) -> Self {
        Self {
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            intermediate_size: config.intermediate_size,
            vocab_size: config.vocab_size,
            max_position_embeddings: config.max_position_embeddings,
            type_vocab_size: config.type_vocab_size,
        }
    }

    /// Those of an encoder from scratch under a vocabulary of so many entries.
    pub fn of_scratch(sizes: &FromScratch, vocabulary: usize) -> Self {
        Self {
            hidden_size: sizes.hidden_size,
            num_hidden_layers: sizes.num_hidden_layers,
            intermediate_size: sizes.intermediate_size,
            vocab_size: vocabulary,
            max_position_embeddings: sizes.max_length,
            type_vocab_size: 1,
        }
    }

    /// Every parameter of the encoder, with the pooler.
    pub fn parameters(&self) -> f64 {
        let [d, f] = [self.hidden_size, self.intermediate_size].map(|size| size as f64);
        let rows = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size) as f64;
        let norm = 2.0 * d;
        let layer = 4.0 * (d * d + d) + norm + (d * f + f) + (f * d + d) + norm;
        rows * d + norm + self.num_hidden_layers as f64 * layer + (d * d + d)
    }

    /// Parameters of the layers' matrices: those that each token is multiplied by.
    pub fn multiplied(&self) -> f64 {
        let [d, f] = [self.hidden_size, self.intermediate_size].map(|size| size as f64);
        self.num_hidden_layers as f64 * (4.0 * d * d + 2.0 * d * f)
    }

    /// Operations of the forward pass over `tokens` in rows of `row` tokens.
    pub fn forward(&self, tokens: f64, row: f64) -> f64 {
        let attention = 4.0 * self.num_hidden_layers as f64 * self.hidden_size as f64 * row;
        tokens * (2.0 * self.multiplied() + attention)
    }

    /// Operations of masked LM's decoder, forward, for so many predicted tokens.
    pub fn decoder(&self, predicted: f64) -> f64 {
        let d = self.hidden_size as f64;
        predicted * 2.0 * (d * d + d * self.vocab_size as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Model, Registry};

    fn sizes(model: &str) -> EncoderSizes {
        let registry = Registry::load(&[]).unwrap();
        let model: &Model = registry.model(model, "test").unwrap();
        model.sizes.unwrap()
    }

    #[test]
    fn xlm_r_has_as_many_parameters_as_transformers_counts() {
        // `sum(p.numel() for p in XLMRobertaModel.from_pretrained(…).parameters())`
        assert_eq!(sizes("xlm-roberta-large").parameters(), 559_890_432.0);
        assert_eq!(sizes("xlm-roberta-base").parameters(), 278_043_648.0);
        // 24 layers of 12 · 1024², and 12 of 12 · 768².
        assert_eq!(sizes("xlm-roberta-large").multiplied(), 301_989_888.0);
        assert_eq!(sizes("xlm-roberta-base").multiplied(), 84_934_656.0);
    }

    #[test]
    fn a_token_costs_twice_the_matrices_and_the_attention_to_its_row() {
        let large = sizes("xlm-roberta-large");
        assert_eq!(large.forward(1.0, 0.0), 2.0 * large.multiplied());
        // Rows as long as six times the width attend as much as they multiply: 4 L s d = 2 · 12 L d².
        assert_eq!(large.forward(1.0, 6.0 * 1024.0), 4.0 * large.multiplied());
        assert!(large.forward(100.0, 20.0) < large.forward(100.0, 40.0));
        assert_eq!(large.decoder(3.0), 3.0 * 2.0 * 1024.0 * (1024.0 + 250_002.0));
    }
}
