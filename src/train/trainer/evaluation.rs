//! Measuring on the validation split while a training runs.

use burn::tensor::Device;

use super::Run;
use super::steps::Tried;
use crate::error::Result;
use crate::model::random::stream;
use crate::model::{HeadKind, Model};
use crate::progress::Progress;
use crate::train::checkpoint::{Best, Evaluation};
use crate::train::micro::cut;
use crate::train::step::{Tally, batch, evaluate};

impl Run<'_> {
    /// Measures every task on its validation instances and keeps the parameters where their mean score is the best so far.
    pub(super) fn evaluate(&mut self, progress: &dyn Progress) -> Result<()> {
        let model = self.model.clone().untracked();
        let mut scores = Vec::new();
        for index in 0..self.tasks.len() {
            if self.tasks[index].validation.is_empty() {
                continue;
            }
            let tally = loop {
                match self.measure(&model, index) {
                    Ok(tally) => break tally,
                    Err(error) => self.shrink(index, error, progress)?,
                }
            };
            scores.push(tally.mean_score());
            let kind = model.heads[self.tasks[index].head].spec.kind;
            let task = &self.tasks[index].task.id;
            for (metric, value) in [(metric_name(kind), tally.mean_score()), ("loss", tally.mean_loss())] {
                let step = self.state.step;
                if let Some(board) = &mut self.board {
                    board.scalar(&format!("validation/{task}/{metric}"), step, value as f32)?;
                }
                self.state.evaluations.push(Evaluation { step, task: task.clone(), metric: metric.to_owned(), value });
            }
        }
        let score = scores.iter().sum::<f64>() / scores.len() as f64;
        if self.state.best.is_none_or(|best| score > best.score) {
            self.state.best = Some(Best { step: self.state.step, score });
            self.state.stale = 0;
            // A second model would take a GPU's memory from the first.
            self.best_model = Some(model.moved(&Device::flex())?);
        } else {
            self.state.stale += 1;
        }
        if let Some(board) = &mut self.board {
            board.scalar("validation/score", self.state.step, score as f32)?;
        }
        Ok(())
    }

    /// How well `model` does on the validation instances of the task at `index`.
    fn measure(&mut self, model: &Model, index: usize) -> Result<Tally> {
        let head = self.tasks[index].head;
        let validation = &self.tasks[index].validation;
        let mut order: Vec<u32> = (0..validation.len() as u32).collect();
        order.sort_by_key(|index| validation.length(*index as usize));
        let mut sum = Tally::default();
        for (number, indices) in order.chunks(self.request.hyperparameters.batch_size).enumerate() {
            // The same masks at every evaluation.
            let mut rng = stream(self.request.seed, "validation mask", &[index as u64, number as u64]);
            let masking = self.masking.as_ref().map(|masking| (masking, &mut rng));
            let batch = batch(validation, indices, &model.encoder, masking);
            for part in cut(batch, self.state.micro_batch_tokens, model.encoder.config.pad_token_id) {
                self.trying = Tried::of(&part.batch);
                let tally = self.request.device.attempt("evaluating", || evaluate(model, head, &part.batch))?;
                sum.add(tally?);
            }
        }
        Ok(sum)
    }
}

/// The name in the log of what [`evaluate`] measures.
fn metric_name(kind: HeadKind) -> &'static str {
    match kind {
        HeadKind::SequenceClassification | HeadKind::MultipleChoice => "accuracy",
        HeadKind::Span => "window_span_score",
        HeadKind::TokenClassification => "word_accuracy",
        HeadKind::MaskedLm => "masked_token_accuracy",
    }
}
