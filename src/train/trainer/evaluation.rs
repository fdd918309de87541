//! Measuring on the validation split while a training runs.

use burn::tensor::Device;

use super::Run;
use crate::error::Result;
use crate::model::HeadKind;
use crate::model::random::stream;
use crate::train::checkpoint::{Best, Evaluation};
use crate::train::step::{Tally, batch, evaluate};

impl Run<'_> {
    /// Measures every task on its validation instances and keeps the parameters where their mean score is the best so far.
    pub(super) fn evaluate(&mut self) -> Result<()> {
        let model = self.model.clone().untracked();
        let batch_size = self.request.hyperparameters.batch_size;
        let mut scores = Vec::new();
        for (index, loaded) in self.tasks.iter().enumerate().filter(|(_, loaded)| !loaded.validation.is_empty()) {
            let mut order: Vec<u32> = (0..loaded.validation.len() as u32).collect();
            order.sort_by_key(|index| loaded.validation.length(*index as usize));
            let mut sum = Tally::default();
            for (number, indices) in order.chunks(batch_size).enumerate() {
                // The same masks at every evaluation.
                let mut rng = stream(self.request.seed, "validation mask", &[index as u64, number as u64]);
                let masking = self.masking.as_ref().map(|masking| (masking, &mut rng));
                let batch = batch(&loaded.validation, indices, &model.encoder, masking);
                let tally = evaluate(&model, loaded.head, &batch)?;
                sum.score += tally.score;
                sum.loss += tally.loss;
                sum.units += tally.units;
            }
            scores.push(sum.mean_score());
            let kind = model.heads[loaded.head].spec.kind;
            for (metric, value) in [(metric_name(kind), sum.mean_score()), ("loss", sum.mean_loss())] {
                let (step, task) = (self.state.step, loaded.task.id.clone());
                self.state.evaluations.push(Evaluation { step, task, metric: metric.to_owned(), value });
            }
        }
        let score = scores.iter().sum::<f64>() / scores.len() as f64;
        if self.state.best.is_none_or(|best| score > best.score) {
            self.state.best = Some(Best { step: self.state.step, score });
            self.state.stale = 0;
            self.best_model = Some(model.moved(&Device::flex()));
        } else {
            self.state.stale += 1;
        }
        Ok(())
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
