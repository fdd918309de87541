//! The loop itself.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Tensor;

use super::Run;
use super::meter::Meter;
use crate::error::{Error, Result};
use crate::model::random::{first_u64, stream};
use crate::model::weights::values;
use crate::model::{Dropout, ModelError, memory};
use crate::progress::Progress;
use crate::train::TrainError;
use crate::train::backward::{Keep, backward};
use crate::train::checkpoint::StepLog;
use crate::train::micro::{MicroBatch, cut};
use crate::train::optimizer::{Gradients, learning_rate};
use crate::train::scaler::Verdict;
use crate::train::step::{Batch, batch};
use crate::train::tensorboard::Board;

/// Steps whose losses are read together on a GPU, where each reading waits for the device.
const READ_TOGETHER: usize = 20;

/// A step whose numbers are still on the device.
pub(super) struct Pending {
    loss: Tensor<1>,
    norm: Tensor<1>,
    tokens: u32,
    micro_batches: u32,
    scale: f32,
    /// Whether the step was left out because its gradients were not finite under the scale of its loss.
    skipped: bool,
}

/// The shape of what the device was last asked to compute.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tried {
    /// Padded tokens.
    tokens: usize,
    /// Instances, which are never divided.
    instances: usize,
}

impl Tried {
    pub(super) fn of(batch: &Batch) -> Self {
        Self { tokens: batch.tokens.ids.len(), instances: batch.tokens.rows / batch.targets.rows_each() }
    }
}

/// The gradients of a step, and what they were made of.
struct Computed {
    gradients: Gradients,
    loss: Tensor<1>,
    tokens: usize,
    micro_batches: u32,
}

impl Run<'_> {
    /// Takes up the newest good checkpoint, where there is one, and makes the parameters trainable.
    pub(super) fn resume(&mut self, progress: &dyn Progress) -> Result<()> {
        let found =
            self.checkpoints.read(&mut self.model, &mut self.optimizer, &mut |warning| progress.note(warning))?;
        if let Some((state, best)) = found {
            (self.state, self.best_model) = (state, best);
            for step in 0..self.state.step {
                self.taken[self.sampler.task(step)] += self.request.hyperparameters.accumulation as u64;
            }
        }
        if let Some(directory) = &self.request.upkeep.tensorboard {
            self.board = Some(Board::open(directory, self.state.step)?);
        }
        self.meter = Meter::new(self.state.step);
        self.model = self.model.clone().tracked();
        Ok(())
    }

    pub(super) fn steps(&mut self, progress: &dyn Progress, stop: &AtomicBool) -> Result<()> {
        let hyper = &self.request.hyperparameters;
        let evaluates = hyper.eval_every > 0 && self.tasks.iter().any(|loaded| !loaded.validation.is_empty());
        progress.start(self.steps, "steps");
        progress.advance(self.state.step, "");
        while self.state.step < self.steps && (!evaluates || self.state.stale < hyper.patience) {
            if stop.load(Ordering::Relaxed) {
                self.save_state()?;
                return Err(Error::Interrupted);
            }
            self.step(progress)?;
            if self.request.device.on_cpu() || self.pending.len() >= READ_TOGETHER {
                self.read_pending()?;
            }
            if evaluates && (self.state.step.is_multiple_of(hyper.eval_every) || self.state.step == self.steps) {
                self.read_pending()?;
                self.evaluate(progress)?;
            }
            if self.checkpoints.due(self.state.step) {
                self.save_state()?;
            }
            let done = self.state.step;
            progress.advance(done, &self.meter.line(done, self.steps, self.rate(done - 1)));
        }
        self.read_pending()?;
        if let Some(board) = &mut self.board {
            board.flush()?;
        }
        Ok(())
    }

    fn save_state(&mut self) -> Result<()> {
        self.read_pending()?;
        if let Some(board) = &mut self.board {
            // Events of steps that a checkpoint holds are never written again.
            board.flush()?;
        }
        self.checkpoints.write(&self.model, self.best_model.as_ref(), &self.optimizer, &self.state)
    }

    pub(super) fn rate(&self, step: u64) -> f64 {
        learning_rate(step, self.steps, self.warm_up, self.request.hyperparameters.learning_rate)
    }

    /// One step of the optimizer, on `accumulation` batches of one task. Where the device's memory is too small, the step
    /// begins again with smaller micro-batches: nothing has changed by then.
    fn step(&mut self, progress: &dyn Progress) -> Result<()> {
        let task = self.sampler.task(self.state.step);
        let computed = loop {
            match self.compute(task) {
                Ok(computed) => break computed,
                Err(error) => self.shrink(task, error, progress)?,
            }
        };
        self.taken[task] += self.request.hyperparameters.accumulation as u64;
        let pending = self.update(computed)?;
        self.pending.push(pending);
        self.state.step += 1;
        Ok(())
    }

    /// Moves the parameters against the gradients, unless these are not finite and a lower scale of the loss may mend that.
    fn update(&mut self, computed: Computed) -> Result<Pending> {
        let Computed { mut gradients, mut loss, tokens, micro_batches } = computed;
        let scale = self.scale();
        let pending =
            |loss, norm, skipped| Pending { loss, norm, tokens: tokens as u32, micro_batches, scale, skipped };
        if let Some(scaler) = &mut self.state.scale {
            (gradients, loss) = (gradients.scaled(scale.recip()), loss * scale.recip());
            let norm = gradients.norm();
            if scaler.update(values(norm.clone())?[0].is_finite()) == Verdict::Skip {
                return Ok(pending(loss, norm, true));
            }
        }
        let rate = self.rate(self.state.step);
        let norm = self.optimizer.step(&mut self.model, gradients, rate)?;
        Ok(pending(loss, norm, false))
    }

    /// What the loss is multiplied by.
    fn scale(&self) -> f32 {
        self.state.scale.map_or(1.0, |scale| scale.scale())
    }

    /// The gradients of the next step, times the scale of the loss; it trains the task at index `task`.
    fn compute(&mut self, task: usize) -> Result<Computed> {
        let accumulation = self.request.hyperparameters.accumulation;
        let weight = f64::from(self.scale()) / accumulation as f64;
        let pad = self.model.encoder.config.pad_token_id;
        let mut computed: Option<Computed> = None;
        for number in self.taken[task]..self.taken[task] + accumulation as u64 {
            let loaded = &self.tasks[task];
            let indices = self.streams[task].batch(&loaded.train, number);
            let mut rng = stream(self.request.seed, "mask", &[task as u64, number]);
            let masking = self.masking.as_ref().map(|masking| (masking, &mut rng));
            let whole = batch(&loaded.train, indices, &self.model.encoder, masking);
            let tokens: usize = whole.tokens.lengths.iter().sum();
            for (part, micro) in cut(whole, self.state.micro_batch_tokens, pad).into_iter().enumerate() {
                let dropout = self.dropout(&[task as u64, number, part as u64]);
                let (loss, found) = self.backward(task, &micro, weight, dropout)?;
                let tokens = if part == 0 { tokens } else { 0 };
                computed = Some(match computed {
                    None => Computed { gradients: found, loss, tokens, micro_batches: 1 },
                    Some(mut sum) => {
                        sum.gradients.add(found);
                        Computed {
                            loss: sum.loss + loss,
                            tokens: sum.tokens + tokens,
                            micro_batches: sum.micro_batches + 1,
                            ..sum
                        }
                    }
                });
            }
        }
        let Some(computed) = computed else {
            unreachable!("accumulation is at least 1, and so are the units of a batch")
        };
        Ok(computed)
    }

    /// The loss and the gradients of one micro-batch, `weight` being that of its batch.
    fn backward(
        &mut self,
        task: usize,
        micro: &MicroBatch,
        weight: f64,
        mut dropout: Dropout,
    ) -> Result<(Tensor<1>, Gradients)> {
        let head = self.tasks[task].head;
        self.trying = Tried::of(&micro.batch);
        #[cfg(test)]
        if self.memory.is_some_and(|memory| self.trying.tokens > memory) {
            return Err(ModelError::OutOfMemory { problem: "injected".into() }.into());
        }
        let hyper = &self.request.hyperparameters;
        let keep = if hyper.gradient_checkpointing { Keep::LayerInputs } else { Keep::Everything };
        let device = &self.request.device;
        if device.on_cpu() {
            memory::check(&self.model.encoder, &micro.batch.tokens, keep == Keep::LayerInputs)?;
        }
        let computed = device.attempt("computing gradients", || {
            backward(&mut self.model, head, &micro.batch, micro.share * weight, keep, &mut dropout)
        })?;
        if self.trying.tokens > self.proven && device.is_gpu() {
            // A GPU computes later: whether a shape fits is to be known before the parameters move.
            device.wait("computing gradients")?;
            self.proven = self.trying.tokens;
        }
        Ok(computed)
    }

    /// Halves the micro-batches where `error` says that the device's memory was too small for the last one; passes on any
    /// other error.
    pub(super) fn shrink(&mut self, task: usize, error: Error, progress: &dyn Progress) -> Result<()> {
        let Error::Model(ModelError::OutOfMemory { problem }) = error else { return Err(error) };
        let Tried { tokens, instances } = self.trying;
        let task = self.tasks[task].task.id.clone();
        if instances <= 1 {
            return Err(TrainError::OutOfMemory { task, tokens, problem }.into());
        }
        let limit = tokens / 2;
        progress.note(&format!(
            "a micro-batch of {tokens} padded tokens (task {task}) is too large for the device's memory; \
             going on with micro_batch_tokens = {limit}"
        ));
        self.state.micro_batch_tokens = Some(limit);
        Ok(())
    }

    fn dropout(&self, place: &[u64]) -> Dropout {
        let seed = first_u64(stream(self.request.seed, "dropout", place));
        if self.request.device.on_cpu() { Dropout::host(seed) } else { Dropout::device(seed) }
    }

    /// Brings losses and norms of the last steps to the host and makes sure that they are numbers.
    pub(super) fn read_pending(&mut self) -> Result<()> {
        for Pending { loss, norm, tokens, micro_batches, scale, skipped } in std::mem::take(&mut self.pending) {
            let (loss, norm) = (values(loss)?[0], values(norm)?[0]);
            let step = self.state.log.len() as u64;
            let rate = self.rate(step);
            let task = &self.tasks[self.sampler.task(step)].task.id;
            let finite = loss.is_finite() && norm.is_finite();
            if !(finite || skipped) {
                let what = if loss.is_finite() { "the gradient norm" } else { "the loss" };
                return Err(TrainError::NotFinite { what, step: step + 1, task: task.clone(), rate }.into());
            }
            self.state.log.push(StepLog { loss, norm, tokens, micro_batches, scale });
            self.meter.step(loss, tokens);
            if let Some(board) = &mut self.board {
                let step = step + 1;
                let mut scalars = vec![
                    ("train/loss", loss),
                    ("train/learning_rate", rate as f32),
                    ("train/gradient_norm", norm),
                    ("train/tokens_per_second", self.meter.tokens_per_second() as f32),
                ];
                let of_task = format!("train/loss/{task}");
                if self.tasks.len() > 1 {
                    scalars.push((&of_task, loss));
                }
                if self.state.scale.is_some() {
                    scalars.push(("train/loss_scale", scale));
                }
                // A skipped step has no loss or no norm.
                for (tag, value) in scalars.into_iter().filter(|(_, value)| value.is_finite()) {
                    board.scalar(tag, step, value)?;
                }
            }
        }
        Ok(())
    }
}
