//! What a training is asked to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::checkpoint::CheckpointEvery;
use super::sampler::Sampling;
use crate::model::{OpenDevice, Precision};
use crate::task::{Format, FromScratch};

/// Everything that a study file can set for a training; what is left out has the value that the intermediate-task study used
/// (see ARCHITECTURE.md), where it used one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hyperparameters {
    /// Peak learning rate, above 0.
    pub learning_rate: f64,
    /// Instances a batch.
    pub batch_size: usize,
    /// Batches whose gradients are averaged for one step: a mean of the batches' mean losses, as jiant has it, in which every
    /// batch counts alike however many words or masked tokens it holds. (Micro-batches are exact instead.)
    pub accumulation: usize,
    /// Passes over the instances of all tasks; gives the number of steps where `max_steps` does not.
    pub epochs: f64,
    /// Steps of the optimizer, instead of `epochs`.
    pub max_steps: Option<u64>,
    /// Share of the steps over which the learning rate rises, in [0, 1].
    pub warmup_share: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub adam_epsilon: f64,
    /// Global norm that gradients are clipped to; 0: not clipped.
    pub max_grad_norm: f64,
    /// Dropout of hidden states, attention probabilities and classifiers, instead of the encoder's own rates.
    pub dropout: Option<f64>,
    /// Steps between evaluations on the validation split; 0: none, and the last weights are kept.
    pub eval_every: u64,
    /// Most validation instances that an evaluation reads, a task.
    pub eval_examples: usize,
    /// Evaluations without improvement after which training stops.
    pub patience: u32,
    /// How steps are divided among tasks.
    pub sampling: Sampling,
    /// Exponent on each language's share of a task's instances, in (0, 1]: an epoch draws language l in proportion to its
    /// number of instances to this power (1: as they are; XLM-R's text, arXiv 1911.02116: 0.3).
    pub language_smoothing: f64,
    /// Share of tokens that masked-LM training predicts, in (0, 1).
    pub masking_share: f64,
    /// Numbers in matrix products.
    pub precision: Precision,
    /// Padded tokens that go through the encoder together, at least 1; a batch with more is cut into several, whose gradients
    /// are summed to those of the whole batch's mean loss, exactly but for rounding (see [`super::micro`]). None: never cut.
    pub micro_batch_tokens: Option<usize>,
    /// Whether each layer's intermediate results are computed again in the backward pass rather than kept: a third more
    /// computation, a fraction of the memory.
    pub gradient_checkpointing: bool,
    /// Whether rows of the word embeddings that no instance of this training names are left out while it runs, and put back
    /// at the end: the same training with less memory. Not for masked-LM training, which moves every row, nor from scratch.
    pub trim_vocabulary: bool,
}

impl Default for Hyperparameters {
    fn default() -> Self {
        Self {
            learning_rate: 1e-5,
            batch_size: 32,
            accumulation: 1,
            epochs: 3.0,
            max_steps: None,
            warmup_share: 0.1,
            weight_decay: 0.01,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            dropout: None,
            eval_every: 1_000,
            eval_examples: 500,
            patience: 30,
            sampling: Sampling::Proportional,
            language_smoothing: 1.0,
            masking_share: 0.15,
            precision: Precision::F32,
            micro_batch_tokens: None,
            gradient_checkpointing: false,
            trim_vocabulary: false,
        }
    }
}

impl Hyperparameters {
    /// Whether `tasks` can be trained with this.
    ///
    /// # Errors
    /// Where a value is outside its range, with its name.
    pub fn check(&self, tasks: &[&str]) -> Result<(), TrainError> {
        let wrong = |problem: String| Err(TrainError::Request { problem });
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let at_least_0 = |value: f64| value.is_finite() && value >= 0.0;
        if !positive(self.learning_rate) {
            return wrong(format!("learning_rate is {}; expected a number above 0", self.learning_rate));
        }
        if self.batch_size == 0 || self.accumulation == 0 {
            return wrong("batch_size and accumulation must be at least 1".into());
        }
        if self.max_steps == Some(0) || (self.max_steps.is_none() && !positive(self.epochs)) {
            return wrong("epochs or max_steps must be above 0".into());
        }
        if !(0.0..=1.0).contains(&self.warmup_share) {
            return wrong(format!("warmup_share is {}; expected 0 to 1", self.warmup_share));
        }
        let decays = [("weight_decay", self.weight_decay), ("max_grad_norm", self.max_grad_norm)];
        if let Some((name, value)) = decays.into_iter().find(|(_, value)| !at_least_0(*value)) {
            return wrong(format!("{name} is {value}; expected 0 or more"));
        }
        if self.micro_batch_tokens == Some(0) {
            return wrong("micro_batch_tokens must be at least 1; leave it out to take batches whole".into());
        }
        if !positive(self.adam_epsilon) {
            return wrong(format!("adam_epsilon is {}; expected a number above 0", self.adam_epsilon));
        }
        if let Some(rate) = self.dropout.filter(|rate| !(0.0..1.0).contains(rate)) {
            return wrong(format!("dropout is {rate}; expected at least 0 and below 1"));
        }
        if !(self.language_smoothing > 0.0 && self.language_smoothing <= 1.0) {
            return wrong(format!("language_smoothing is {}; expected above 0 and at most 1", self.language_smoothing));
        }
        if !(self.masking_share > 0.0 && self.masking_share < 1.0) {
            return wrong(format!("masking_share is {}; expected between 0 and 1", self.masking_share));
        }
        self.sampling.check(tasks).map_err(|problem| TrainError::Request { problem })
    }
}

/// One of the tasks that a training mixes.
#[derive(Debug, Clone)]
pub struct TrainTask {
    /// Unique in the training.
    pub id: String,
    /// Decides the head.
    pub format: Format,
    /// The name of the head that it shares with the other tasks of that name; none where its head is its own. Tasks that
    /// share a head have one format and one list of labels.
    pub head: Option<String>,
    /// Labels by index, where the format has them.
    pub labels: Vec<String>,
    /// Tokenised shards to train on.
    pub train: Vec<PathBuf>,
    /// Tokenised shards to choose the best step on; may be empty.
    pub validation: Vec<PathBuf>,
}

/// A training.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// Model directory whose encoder goes on; its heads do not, save that of masked LM for another masked-LM training.
    pub parent: Option<PathBuf>,
    /// Sizes of a new encoder, where there is no parent.
    pub from_scratch: Option<FromScratch>,
    /// The `tokenizer.json` that the shards were made with.
    pub tokenizer: PathBuf,
    /// What to learn.
    pub tasks: Vec<TrainTask>,
    /// How.
    pub hyperparameters: Hyperparameters,
    /// Decides new parameters, order, masks and dropout.
    pub seed: u64,
    /// Where.
    pub device: OpenDevice,
    /// What it does beside.
    pub upkeep: Upkeep,
}

/// What a training does beside computing. Nothing in here changes what comes out of it, so nothing of it is in a key.
#[derive(Debug, Clone, Default)]
pub struct Upkeep {
    /// When checkpoints are written.
    pub checkpoint_every: CheckpointEvery,
    /// The directory for TensorBoard's event files, where they are wanted.
    pub tensorboard: Option<PathBuf>,
}
