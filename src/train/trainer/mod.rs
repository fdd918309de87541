//! A training from its request to its model directory.

mod evaluation;
mod log;
mod prepare;
mod steps;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use serde::Serialize;

use super::checkpoint::State;
use super::data::Instances;
use super::optimizer::{AdamW, kept};
use super::request::{TrainRequest, TrainTask};
use super::sampler::{BatchStream, Languages, TaskSampler};
use super::trim::KeptRows;
use super::vocabulary::Masking;
use crate::error::Result;
use crate::model::Model;
use crate::model::weights::{Loaded, save, word_embeddings};
use crate::progress::Progress;
use prepare::{heads, load_tasks, starting_config, starting_model, trim};
use steps::Pending;

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
    /// Steps left out because their gradients were not finite under the loss scale of a training in 16 bits.
    pub skipped_steps: u64,
    /// Training instances of each task.
    pub instances: Vec<(String, usize)>,
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
    scratch: &'a Path,
    identity: String,
    tasks: Vec<LoadedTask<'a>>,
    masking: Option<Masking>,
    model: Model,
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
    /// The last steps, still on the device.
    pending: Vec<Pending>,
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
    let (heads, of_task) = heads(request)?;
    let config = starting_config(request)?;
    let mut tasks = load_tasks(request, &config, &of_task)?;
    let kept = trim(request, &config, &mut tasks)?;
    let Loaded { model, new, dropped } = starting_model(request, &config, &heads, kept.as_ref())?;
    let mut run = Run::prepare(request, scratch, model, tasks, kept)?;
    run.resume()?;
    run.steps(progress, stop)?;
    save(&run.trained_model()?, output)?;
    run.write_log(output)?;
    Ok(TrainOutcome {
        steps: run.state.step,
        planned_steps: run.steps,
        best_step: run.state.best.map(|best| best.step),
        best_score: run.state.best.map(|best| best.score),
        last_loss: run.state.losses.last().copied().unwrap_or(f32::NAN),
        skipped_steps: run.state.scale.map_or(0, |scale| scale.skipped()),
        instances: run.tasks.iter().map(|loaded| (loaded.task.id.clone(), loaded.train.len())).collect(),
        new_parameters: new,
        dropped_parameters: dropped,
    })
}

impl Run<'_> {
    /// The model to write, on the host, with the whole vocabulary: that of the best evaluation, the last one where there was
    /// none.
    fn trained_model(&mut self) -> Result<Model> {
        let (mut model, steps) = match (self.best_model.take(), self.state.best) {
            (Some(best), Some(evaluation)) => (best, evaluation.step),
            _ => (self.model.clone().moved(&Device::flex()), self.state.step),
        };
        if let (Some(rows), Some(parent)) = (&self.kept, &self.request.parent) {
            let decay = self.request.hyperparameters.weight_decay;
            // A step that was skipped under a loss scale has no norm and decayed nothing.
            let moved = |step: &u64| self.state.norms[*step as usize].is_finite();
            let factors: Vec<f32> = (0..steps).filter(moved).map(|step| kept(self.rate(step), decay)).collect();
            rows.restore(&mut model, word_embeddings(parent)?, &factors)?;
        }
        Ok(model)
    }
}
