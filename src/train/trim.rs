//! Vocabulary trimming: training without the rows of the word embeddings that no instance names.
//!
//! XLM-R has 250,002 rows; an English training names a tenth of them. The others get no gradient, and with them the
//! training carries their values, gradients and two moments for nothing. Here they stay out: token ids are counted anew
//! ([`KeptRows::renumber`]), only the rows kept are read from the parent, and at the end the whole table is written, the
//! other rows as training would have left them ([`KeptRows::restore`]).
//!
//! It is the same training, to the last bit on the CPU. A row without a gradient keeps moments of 0, so that AdamW does
//! nothing to it but multiply by `1 - learning rate × weight decay` at each step, which is done at the end, step by step in
//! f32 as it would have been. (The product of all factors, applied once, is not the same: at a learning rate of 1e-5 a step
//! takes away two units in the last place of a factor of 1, and rounding decides what is left.) The gradient norm is a sum of
//! squares to which those rows add zeros: [`super::optimizer`] adds tables up row by row.

use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::*;

use super::TrainError;
use super::data::Instances;
use crate::error::Result;
use crate::model::Model;
use crate::model::layers::Slot;
use crate::model::weights::{WORD_EMBEDDINGS, values};

/// Elements that are decayed together, few enough to stay in registers through all steps.
const BLOCK: usize = 32;

/// The rows of the word embeddings that a training keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRows {
    /// Ascending.
    ids: Vec<u32>,
    vocabulary: usize,
}

impl KeptRows {
    /// The ids that `instances` hold, of a vocabulary of `vocabulary`, and all up to the padding token `pad`: it keeps its id,
    /// from which XLM-R counts positions.
    pub fn of<'a>(instances: impl IntoIterator<Item = &'a Instances>, vocabulary: usize, pad: u32) -> Self {
        let mut named = vec![false; vocabulary];
        named.iter_mut().take(pad as usize + 1).for_each(|named| *named = true);
        for instances in instances {
            instances.ids().iter().for_each(|id| named[*id as usize] = true);
        }
        Self { ids: (0..vocabulary as u32).filter(|id| named[*id as usize]).collect(), vocabulary }
    }

    /// The ids, ascending.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Replaces each id in `instances` by the number of its row among those kept.
    pub fn renumber<'a>(&self, instances: impl IntoIterator<Item = &'a mut Instances>) {
        let mut numbers = vec![0; self.vocabulary];
        for (number, id) in self.ids.iter().enumerate() {
            numbers[*id as usize] = number as u32;
        }
        instances.into_iter().for_each(|instances| instances.map_ids(|id| numbers[id as usize]));
    }

    /// Gives `model`, which is on the host, its whole table again: `table` is that of the parent, `factors` what weight decay
    /// left of an element at each step that `model` has behind it.
    ///
    /// # Errors
    /// When the trained rows can't be read or `table` is not of the parent.
    pub fn restore(&self, model: &mut Model, mut table: Vec<f32>, factors: &[f32]) -> Result<()> {
        let width = model.encoder.config.hidden_size;
        if table.len() != self.vocabulary * width {
            let problem =
                format!("the parent's word embeddings have changed: they no longer have {} rows", self.vocabulary);
            return Err(TrainError::Request { problem }.into());
        }
        let factors: Vec<f32> = factors.iter().copied().filter(|factor| *factor != 1.0).collect();
        table.par_chunks_mut(BLOCK).for_each(|block| decay(block, &factors));
        let device = model.encoder.device.clone();
        for (name, slot) in model.parameters() {
            let Slot::Table(tensor) = slot else { continue };
            if name.ends_with(WORD_EMBEDDINGS) {
                let trained = values(tensor.clone())?;
                for (row, id) in trained.chunks_exact(width).zip(&self.ids) {
                    table[*id as usize * width..][..width].copy_from_slice(row);
                }
                let whole = TensorData::new(std::mem::take(&mut table), [self.vocabulary, width]);
                *tensor = Tensor::from_data(whole, (&device, DType::F32));
            }
        }
        model.encoder.config.vocab_size = self.vocabulary;
        Ok(())
    }
}

/// Multiplies each element by one factor after another, rounding each time.
fn decay(block: &mut [f32], factors: &[f32]) {
    match <&mut [f32; BLOCK]>::try_from(&mut *block) {
        Ok(whole) => {
            let mut held = *whole;
            for factor in factors {
                held.iter_mut().for_each(|value| *value *= factor);
            }
            *whole = held;
        }
        // The end of a table whose elements are no multiple of a block.
        Err(_) => {
            block.iter_mut().for_each(|value| *value = factors.iter().fold(*value, |value, factor| value * factor))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::model::weights::word_embeddings;
    use crate::progress::Quiet;
    use crate::task::Format;
    use crate::train::tests::{StopAt, TRAINED, bytes, request, run, task};
    use crate::train::{TrainOutcome, TrainRequest};

    /// A training that goes on from a parent with the made-up vocabulary of 20, of which the shards name 15, decays weights
    /// fast and stops early.
    fn from_parent(directory: &Path, formats: &[Format]) -> TrainRequest {
        let parent = directory.join("parent");
        let text = request(directory, vec![task(directory, Format::Text)], 2);
        run(&text, &parent, &Quiet, &AtomicBool::new(false)).unwrap();
        let tasks = formats.iter().map(|format| task(directory, *format)).collect();
        let mut next = request(directory, tasks, 60);
        (next.parent, next.from_scratch) = (Some(parent.join("output")), None);
        let hyper = &mut next.hyperparameters;
        (hyper.weight_decay, hyper.patience, hyper.eval_every) = (0.3, 2, 4);
        next
    }

    fn trimmed(request: &TrainRequest) -> TrainRequest {
        let mut request = request.clone();
        request.hyperparameters.trim_vocabulary = true;
        request
    }

    #[test]
    fn a_trimmed_training_gives_the_bytes_of_its_twin() {
        let several = &TRAINED[..4];
        for formats in several.iter().map(std::slice::from_ref).chain([several]) {
            let directory = tempfile::tempdir().unwrap();
            let whole = from_parent(directory.path(), formats);
            let (a, b) = (directory.path().join("whole"), directory.path().join("trimmed"));
            let outcome = run(&whole, &a, &Quiet, &AtomicBool::new(false)).unwrap();
            let twin = run(&trimmed(&whole), &b, &Quiet, &AtomicBool::new(false)).unwrap();
            assert!(twin.kept_rows.is_some_and(|rows| (10..=17).contains(&rows)), "{twin:?}");
            assert_eq!(TrainOutcome { kept_rows: None, ..twin }, outcome);
            assert!(outcome.best_step.unwrap() < 60, "{outcome:?}");
            // Losses, gradient norms, evaluations, heads, layers, and every row of the word embeddings.
            assert!(bytes(&a) == bytes(&b), "{formats:?}");
            let row = |folder: &Path| word_embeddings(folder).unwrap()[19 * 32..].to_vec();
            let parent = row(whole.parent.as_deref().unwrap());
            let decayed = row(&b.join("output"));
            assert!(decayed.iter().zip(&parent).all(|(after, before)| after.abs() < before.abs() * 0.999));
        }
    }

    #[test]
    fn a_trimmed_training_that_was_stopped_goes_on_to_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let request = trimmed(&from_parent(directory.path(), &[Format::SpanExtraction, Format::WordTagging]));
        let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
        run(&request, &whole, &Quiet, &AtomicBool::new(false)).unwrap();
        let stop = AtomicBool::new(false);
        run(&request, &parts, &StopAt(7, &stop), &stop).unwrap_err();
        run(&request, &parts, &Quiet, &AtomicBool::new(false)).unwrap();
        assert!(bytes(&whole) == bytes(&parts));
    }

    #[test]
    fn what_moves_every_row_is_not_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        let fails = |request: TrainRequest| {
            run(&trimmed(&request), directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err().to_string()
        };
        let message = fails(from_parent(directory.path(), &[Format::WordTagging, Format::Text]));
        assert!(message.contains("(task toy-text) moves every row"), "{message}");
        let message = fails(request(directory.path(), vec![task(directory.path(), Format::WordTagging)], 5));
        assert!(message.contains("starts from scratch"), "{message}");
    }

    #[test]
    fn ids_are_numbered_in_order_and_padding_keeps_its_own() {
        let mut instances = Instances::empty(Format::Text);
        instances.push_row(&[0, 9, 2, 7, 9]);
        let kept = KeptRows::of([&instances], 12, 3);
        assert_eq!(kept.ids(), [0, 1, 2, 3, 7, 9]);
        kept.renumber([&mut instances]);
        assert_eq!(instances.ids(), [0, 5, 2, 4, 5]);
    }

    #[test]
    fn decay_rounds_at_every_step() {
        let factors: Vec<f32> = (1..400).map(|step| 1.0 - step as f32 * 1e-7).collect();
        let mut table: Vec<f32> = (0..BLOCK + 5).map(|index| 0.37 + index as f32 * 0.011).collect();
        let before = table.clone();
        table.chunks_mut(BLOCK).for_each(|block| decay(block, &factors));
        for (after, before) in table.iter().zip(before) {
            let mut value = before;
            for factor in &factors {
                value *= factor;
            }
            assert_eq!(after.to_bits(), value.to_bits());
        }
    }
}
