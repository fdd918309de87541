//! The loop itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use super::Run;
use crate::error::{Error, Result};
use crate::model::random::{first_u64, stream};
use crate::model::weights::values;
use crate::model::{Dropout, memory};
use crate::progress::Progress;
use crate::train::backward::{Keep, backward};
use crate::train::optimizer::{Gradients, learning_rate};
use crate::train::scaler::Verdict;
use crate::train::step::batch;
use crate::train::{TrainError, checkpoint};

/// Time between checkpoints. It decides how much a killed training repeats, never what it computes.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);
/// Steps whose losses are read together on a GPU, where each reading waits for the device.
const READ_TOGETHER: usize = 20;

/// A step whose numbers are still on the device.
pub(super) struct Pending {
    loss: Tensor<1>,
    norm: Tensor<1>,
    /// Whether the step was left out because its gradients were not finite under the scale of its loss.
    skipped: bool,
}

impl Run<'_> {
    /// Takes up the checkpoint, where there is one, and makes the parameters trainable.
    pub(super) fn resume(&mut self) -> Result<()> {
        if let Some((state, best)) =
            checkpoint::read(self.scratch, &self.identity, &mut self.model, &mut self.optimizer)?
        {
            (self.state, self.best_model) = (state, best);
            for step in 0..self.state.step {
                self.taken[self.sampler.task(step)] += self.request.hyperparameters.accumulation as u64;
            }
        }
        self.model = self.model.clone().tracked();
        Ok(())
    }

    pub(super) fn steps(&mut self, progress: &dyn Progress, stop: &AtomicBool) -> Result<()> {
        let hyper = &self.request.hyperparameters;
        let evaluates = hyper.eval_every > 0 && self.tasks.iter().any(|loaded| !loaded.validation.is_empty());
        progress.start(self.steps, "steps");
        progress.advance(self.state.step, "");
        let mut saved = Instant::now();
        while self.state.step < self.steps && (!evaluates || self.state.stale < hyper.patience) {
            if stop.load(Ordering::Relaxed) {
                self.save_state()?;
                return Err(Error::Interrupted);
            }
            self.step()?;
            if self.request.device.on_cpu() || self.pending.len() >= READ_TOGETHER {
                self.read_pending()?;
            }
            if evaluates && (self.state.step.is_multiple_of(hyper.eval_every) || self.state.step == self.steps) {
                self.read_pending()?;
                self.evaluate()?;
            }
            if saved.elapsed() >= CHECKPOINT_INTERVAL {
                self.save_state()?;
                saved = Instant::now();
            }
            let loss = self.state.losses.last().map_or(String::new(), |loss| format!("loss {loss:.4}"));
            progress.advance(self.state.step, &loss);
        }
        self.read_pending()?;
        progress.finish();
        Ok(())
    }

    fn save_state(&mut self) -> Result<()> {
        self.read_pending()?;
        let best = self.best_model.as_ref();
        checkpoint::write(self.scratch, &self.identity, &self.model, best, &self.optimizer, &self.state)
    }

    pub(super) fn rate(&self, step: u64) -> f64 {
        learning_rate(step, self.steps, self.warm_up, self.request.hyperparameters.learning_rate)
    }

    /// One step of the optimizer, on `accumulation` batches of one task.
    fn step(&mut self) -> Result<()> {
        let step = self.state.step;
        let hyper = &self.request.hyperparameters;
        let (seed, accumulation) = (self.request.seed, hyper.accumulation);
        let keep = if hyper.gradient_checkpointing { Keep::LayerInputs } else { Keep::Everything };
        let scale = self.state.scale.map_or(1.0, |scale| scale.scale());
        let task = self.sampler.task(step);
        let loaded = &self.tasks[task];
        let mut gradients: Option<Gradients> = None;
        let mut total: Option<Tensor<1>> = None;
        for _ in 0..accumulation {
            let number = self.taken[task];
            self.taken[task] += 1;
            let indices = self.streams[task].batch(&loaded.train, number);
            let mut rng = stream(seed, "mask", &[task as u64, number]);
            let masking = self.masking.as_ref().map(|masking| (masking, &mut rng));
            let batch = batch(&loaded.train, indices, &self.model.encoder, masking);
            let mut dropout = self.dropout(task as u64, number);
            let share = f64::from(scale) / accumulation as f64;
            if self.request.device.on_cpu() {
                memory::check(&self.model.encoder, &batch.tokens, keep == Keep::LayerInputs)?;
            }
            let (loss, found) = self.request.device.attempt("computing gradients", || {
                backward(&mut self.model, loaded.head, &batch, share, keep, &mut dropout)
            })?;
            match &mut gradients {
                Some(sum) => sum.add(found),
                None => gradients = Some(found),
            }
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
        }
        let (Some(gradients), Some(total)) = (gradients, total) else {
            unreachable!("accumulation is checked to be at least 1")
        };
        let pending = self.update(gradients, total)?;
        self.pending.push(pending);
        self.state.step += 1;
        Ok(())
    }

    /// Moves the parameters against `gradients`, unless these are not finite and a lower scale of the loss may mend that.
    fn update(&mut self, mut gradients: Gradients, mut loss: Tensor<1>) -> Result<Pending> {
        if let Some(scale) = &mut self.state.scale {
            let unscale = scale.scale().recip();
            (gradients, loss) = (gradients.scaled(unscale), loss * unscale);
            let norm = gradients.norm();
            if scale.update(values(norm.clone())?[0].is_finite()) == Verdict::Skip {
                return Ok(Pending { loss, norm, skipped: true });
            }
        }
        let rate = self.rate(self.state.step);
        let norm = self.optimizer.step(&mut self.model, gradients, rate)?;
        Ok(Pending { loss, norm, skipped: false })
    }

    fn dropout(&self, task: u64, number: u64) -> Dropout {
        let seed = first_u64(stream(self.request.seed, "dropout", &[task, number]));
        if self.request.device.on_cpu() { Dropout::host(seed) } else { Dropout::device(seed) }
    }

    /// Brings losses and norms of the last steps to the host and makes sure that they are numbers.
    pub(super) fn read_pending(&mut self) -> Result<()> {
        for Pending { loss, norm, skipped } in std::mem::take(&mut self.pending) {
            let (loss, norm) = (values(loss)?[0], values(norm)?[0]);
            let step = self.state.losses.len() as u64;
            let finite = loss.is_finite() && norm.is_finite();
            if !(finite || skipped) {
                let what = if loss.is_finite() { "the gradient norm" } else { "the loss" };
                let task = self.tasks[self.sampler.task(step)].task.id.clone();
                return Err(TrainError::NotFinite { what, step: step + 1, task, rate: self.rate(step) }.into());
            }
            self.state.losses.push(loss);
            self.state.norms.push(norm);
        }
        Ok(())
    }
}
