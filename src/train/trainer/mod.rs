//! A training from its request to its model directory.

mod evaluation;
mod log;
mod meter;
mod prepare;
mod steps;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoints, State};
use super::data::Instances;
use super::optimizer::{AdamW, kept};
use super::request::{TrainRequest, TrainTask};
use super::sampler::{BatchStream, Languages, TaskSampler};
use super::tensorboard::Board;
use super::trim::KeptRows;
use super::vocabulary::Masking;
use crate::error::Result;
use crate::model::Model;
use crate::model::weights::{save, word_embeddings};
use crate::progress::Progress;
use crate::store::Scratch;
pub use log::LogRow;
use meter::{Meter, grouped};
use prepare::{heads, load_tasks, starting_config, starting_model, trim};
use steps::{Pending, Tried};

/// What came of a training; the statistics in the artifact's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Steps left out because their gradients were not finite under the loss scale of a training in 16 bits.
    pub skipped_steps: u64,
    /// Most padded tokens a micro-batch at the end: what was asked for, or less where the device's memory was too small.
    pub micro_batch_tokens: Option<usize>,
    /// Training instances of each task.
    pub instances: Vec<(String, usize)>,
    /// Rows of the word embeddings that were trained, where the vocabulary was trimmed.
    pub kept_rows: Option<usize>,
    /// Parameters that were made new rather than read from the parent, by name.
    pub new_parameters: Vec<String>,
    /// Parameters of the parent's heads that were left behind, by name.
    pub dropped_parameters: Vec<String>,
}

struct LoadedTask<'a> {
    task: &'a TrainTask,
    /// Index of its head.
    head: usize,
    train: Instances,
    validation: Instances,
    /// How often an epoch draws from each language.
    languages: Languages,
}

struct Run<'a> {
    request: &'a TrainRequest,
    checkpoints: Checkpoints,
    tasks: Vec<LoadedTask<'a>>,
    masking: Option<Masking>,
    model: Model,
    new_parameters: Vec<String>,
    dropped_parameters: Vec<String>,
    /// The rows of the word embeddings that `model` has, where it has not all.
    kept: Option<KeptRows>,
    /// On the host.
    best_model: Option<Model>,
    optimizer: AdamW,
    sampler: TaskSampler,
    streams: Vec<BatchStream>,
    /// Batches taken from each task.
    taken: Vec<u64>,
    steps: u64,
    warm_up: u64,
    state: State,
    /// The last steps, whose numbers are still on the device.
    pending: Vec<Pending>,
    /// What the device was last asked to compute.
    trying: Tried,
    /// Padded tokens of the largest micro-batch that went through a GPU.
    proven: usize,
    meter: Meter,
    board: Option<Board>,
    /// Padded tokens beyond which a micro-batch runs out of memory, for tests.
    #[cfg(test)]
    memory: Option<usize>,
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
    scratch: &Scratch,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<TrainOutcome> {
    let names: Vec<&str> = request.tasks.iter().map(|task| task.id.as_str()).collect();
    request.hyperparameters.check(&names)?;
    let run = Run::of(request, scratch)?;
    run.go(output, progress, stop)
}

/// As [`train`], on a device on which micro-batches of more than `memory` padded tokens run out of memory.
#[cfg(test)]
pub(super) fn train_within(
    memory: usize,
    request: &TrainRequest,
    output: &Path,
    progress: &dyn Progress,
) -> Result<TrainOutcome> {
    let mut run = Run::of(request, &Scratch::alone(&output.join("scratch")))?;
    run.memory = Some(memory);
    run.go(output, progress, &AtomicBool::new(false))
}

impl<'a> Run<'a> {
    /// A training at its first step.
    fn of(request: &'a TrainRequest, scratch: &Scratch) -> Result<Self> {
        let (heads, of_task) = heads(request)?;
        let config = starting_config(request)?;
        let mut tasks = load_tasks(request, &config, &of_task)?;
        let kept = trim(request, &config, &mut tasks)?;
        let loaded = starting_model(request, &config, &heads, kept.as_ref())?;
        Run::prepare(request, scratch, loaded, tasks, kept)
    }

    fn go(mut self, output: &Path, progress: &dyn Progress, stop: &AtomicBool) -> Result<TrainOutcome> {
        self.resume(progress)?;
        self.steps(progress, stop)?;
        save(&self.trained_model()?, output)?;
        self.write_log(output)?;
        progress.note(&self.summary());
        progress.finish();
        Ok(TrainOutcome {
            steps: self.state.step,
            planned_steps: self.steps,
            best_step: self.state.best.map(|best| best.step),
            best_score: self.state.best.map(|best| best.score),
            last_loss: self.state.log.last().map_or(f32::NAN, |step| step.loss),
            skipped_steps: self.state.scale.map_or(0, |scale| scale.skipped()),
            micro_batch_tokens: self.state.micro_batch_tokens,
            instances: self.tasks.iter().map(|loaded| (loaded.task.id.clone(), loaded.train.len())).collect(),
            kept_rows: self.kept.as_ref().map(|rows| rows.ids().len()),
            new_parameters: self.new_parameters,
            dropped_parameters: self.dropped_parameters,
        })
    }

    /// `300 of 600 steps, loss 0.4132, best score 0.8312 after step 200, 12,345 tokens/s`.
    fn summary(&self) -> String {
        let loss = self.meter.loss().map_or(String::new(), |loss| format!(", loss {loss:.4}"));
        let best = self
            .state
            .best
            .map_or(String::new(), |best| format!(", best score {:.4} after step {}", best.score, best.step));
        let speed = grouped(self.meter.tokens_per_second() as u64);
        format!("{} of {} steps{loss}{best}, {speed} tokens/s", self.state.step, self.steps)
    }

    /// The model to write, on the host, with the whole vocabulary: that of the best evaluation, the last one where there was
    /// none.
    fn trained_model(&mut self) -> Result<Model> {
        let (mut model, steps) = match (self.best_model.take(), self.state.best) {
            (Some(best), Some(evaluation)) => (best, evaluation.step),
            _ => (self.model.clone().moved(&Device::flex())?, self.state.step),
        };
        if let (Some(rows), Some(parent)) = (&self.kept, &self.request.parent) {
            let decay = self.request.hyperparameters.weight_decay;
            // A step that was skipped under a loss scale decayed nothing.
            let moved = |step: &u64| !self.state.log[*step as usize].skipped();
            let factors: Vec<f32> = (0..steps).filter(moved).map(|step| kept(self.rate(step), decay)).collect();
            rows.restore(&mut model, word_embeddings(parent)?, &factors)?;
        }
        Ok(model)
    }
}
