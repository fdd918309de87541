//! One batch: its targets on the host, its loss, and how well the model does on it.

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::data::{Instances, Targets};
use super::vocabulary::Masking;
use crate::model::heads::{choice_loss, span_loss};
use crate::model::kernels::cross_entropy;
use crate::model::random::{below, uniform};
use crate::model::weights::values;
use crate::model::{Dropout, Encoder, Model, ModelError, TokenBatch, best_span};

/// Padded tokens and what is to be learnt from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The encoder's input.
    pub tokens: TokenBatch,
    /// What the head should say.
    pub targets: BatchTargets,
}

/// The targets of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchTargets {
    /// One class a row.
    Classes(Vec<i32>),
    /// One right row of every `choices` rows.
    Choices {
        /// Rows an instance.
        choices: usize,
        /// The right one.
        labels: Vec<i32>,
    },
    /// First and last token of the answer in each row.
    Spans {
        /// First token.
        starts: Vec<i32>,
        /// Last token.
        ends: Vec<i32>,
        /// The tokens of the context in each row, end exclusive.
        contexts: Vec<(usize, usize)>,
    },
    /// A class at each of some places: first sub-words, or masked tokens.
    Places {
        /// Row-major indices into the tokens.
        places: Vec<i32>,
        /// The class at each.
        classes: Vec<i32>,
    },
}

impl BatchTargets {
    /// What the loss is a mean over: rows, instances of several choices, windows, or places.
    pub fn units(&self) -> usize {
        match self {
            BatchTargets::Classes(classes) => classes.len(),
            BatchTargets::Choices { labels, .. } => labels.len(),
            BatchTargets::Spans { starts, .. } => starts.len(),
            BatchTargets::Places { places, .. } => places.len(),
        }
    }

    /// Rows of tokens an instance.
    pub fn rows_each(&self) -> usize {
        match self {
            BatchTargets::Choices { choices, .. } => (*choices).max(1),
            _ => 1,
        }
    }
}

/// The batch of the instances at `indices` for `encoder`. Text is masked with `masking` and `rng`.
pub fn batch(
    instances: &Instances,
    indices: &[u32],
    encoder: &Encoder,
    masking: Option<(&Masking, &mut ChaCha8Rng)>,
) -> Batch {
    let mut tokens = instances.tokens(indices, encoder);
    let pick = |list: &[i32]| indices.iter().map(|index| list[*index as usize]).collect::<Vec<_>>();
    let targets = match &instances.targets {
        Targets::Classes(labels) => BatchTargets::Classes(pick(labels)),
        Targets::Choices { choices, labels } => BatchTargets::Choices { choices: *choices, labels: pick(labels) },
        Targets::Spans(spans) => {
            let spans: Vec<_> = indices.iter().map(|index| spans[*index as usize]).collect();
            BatchTargets::Spans {
                starts: spans.iter().map(|span| span.start as i32).collect(),
                ends: spans.iter().map(|span| span.end as i32).collect(),
                contexts: spans.iter().map(|s| (s.context_begin as usize, s.context_end as usize)).collect(),
            }
        }
        Targets::Words { positions, labels } => {
            let (mut places, mut classes) = (Vec::new(), Vec::new());
            for (row, index) in indices.iter().enumerate() {
                let index = *index as usize;
                for (position, label) in positions.get(index).iter().zip(labels.get(index)) {
                    if *label >= 0 {
                        places.push(tokens.flat(row, *position as usize) as i32);
                        classes.push(*label);
                    }
                }
            }
            BatchTargets::Places { places, classes }
        }
        Targets::Text => {
            let (masking, rng) = masking.expect("a task of text is given its masking");
            let (places, classes) = mask(&mut tokens, masking, rng);
            BatchTargets::Places { places, classes }
        }
    };
    Batch { tokens, targets }
}

/// Chooses `masking.share` of the tokens that are not special, replaces 80% of them by the mask, 10% by a random token,
/// leaves 10% as they are, and returns the places and what stood there. At least one place is chosen.
fn mask(tokens: &mut TokenBatch, masking: &Masking, rng: &mut ChaCha8Rng) -> (Vec<i32>, Vec<i32>) {
    let mut eligible = Vec::with_capacity(tokens.ids.len());
    for (row, length) in tokens.lengths.iter().enumerate() {
        let places = (0..*length).map(|index| tokens.flat(row, index));
        eligible.extend(places.filter(|place| !masking.is_special(tokens.ids[*place] as u32)));
    }
    let threshold = (masking.share * f64::from(u32::MAX)) as u32;
    let mut chosen: Vec<usize> = eligible.iter().copied().filter(|_| rng.next_u32() < threshold).collect();
    if chosen.is_empty() {
        chosen.push(if eligible.is_empty() { 0 } else { eligible[below(rng, eligible.len())] });
    }
    let classes = chosen.iter().map(|place| tokens.ids[*place]).collect();
    for place in &chosen {
        let drawn = uniform(rng);
        if drawn < 0.8 {
            tokens.ids[*place] = masking.mask as i32;
        } else if drawn < 0.9 {
            tokens.ids[*place] = below(rng, masking.vocabulary) as i32;
        }
    }
    (chosen.into_iter().map(|place| place as i32).collect(), classes)
}

/// The mean loss of `batch` under the head at index `head`.
pub fn loss(model: &Model, head: usize, batch: &Batch, dropout: &mut Dropout) -> Tensor<1> {
    let hidden = model.encoder.forward(&batch.tokens, dropout);
    head_loss(model, head, batch, hidden, dropout)
}

/// The same, given the encoder's last hidden state for the batch.
pub fn head_loss(model: &Model, head: usize, batch: &Batch, hidden: Tensor<2>, dropout: &mut Dropout) -> Tensor<1> {
    loss_of(logits(model, head, batch, hidden, dropout), batch)
}

/// Logits of the head at index `head`: `[rows, outputs]` over rows, `[places or tokens, outputs]` over tokens.
fn logits(model: &Model, head: usize, batch: &Batch, hidden: Tensor<2>, dropout: &mut Dropout) -> Tensor<2> {
    let head = &model.heads[head].head;
    match &batch.targets {
        BatchTargets::Classes(_) | BatchTargets::Choices { .. } => {
            head.rows(&model.encoder, hidden, batch.tokens.rows, dropout)
        }
        BatchTargets::Spans { .. } => head.tokens(&model.encoder, hidden, None, dropout),
        BatchTargets::Places { places, .. } => head.tokens(&model.encoder, hidden, Some(places.clone()), dropout),
    }
}

fn loss_of(logits: Tensor<2>, batch: &Batch) -> Tensor<1> {
    match &batch.targets {
        BatchTargets::Classes(labels) => cross_entropy(logits, labels.clone()),
        BatchTargets::Choices { choices, labels } => choice_loss(logits, *choices, labels.clone()),
        BatchTargets::Spans { starts, ends, .. } => span_loss(logits, &batch.tokens, starts.clone(), ends.clone()),
        BatchTargets::Places { classes, .. } => cross_entropy(logits, classes.clone()),
    }
}

/// How well a model does on some batches; sums, so that batches can be added up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// Sum over units of what each scores, from 0 to 1.
    pub score: f64,
    /// Sum over batches of mean loss times units.
    pub loss: f64,
    /// Rows, windows, words or masked tokens.
    pub units: usize,
}

impl Tally {
    /// Takes in what another batch gave.
    pub fn add(&mut self, other: Self) {
        self.score += other.score;
        self.loss += other.loss;
        self.units += other.units;
    }

    /// The mean score in [0, 1].
    pub fn mean_score(&self) -> f64 {
        self.score / self.units.max(1) as f64
    }

    /// The mean loss.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.units.max(1) as f64
    }
}

/// Scores `batch`: 1 for a right class, choice, tag or masked token; for a window with the best span of at most 30 tokens,
/// the mean of exact match and token overlap F1 with the gold span. These stand in for the official metrics, which need
/// texts, words and whole examples.
///
/// # Errors
/// When the device fails.
pub fn evaluate(model: &Model, head: usize, batch: &Batch) -> Result<Tally, ModelError> {
    let (rows, off) = (batch.tokens.rows, &mut Dropout::off());
    let logits = logits(model, head, batch, model.encoder.forward(&batch.tokens, off), off);
    let mean = f64::from(values(loss_of(logits.clone(), batch))?[0]);
    let right = |logits: Tensor<2>, classes: &[i32]| -> Result<(f64, usize), ModelError> {
        let [count, outputs] = logits.dims();
        let best = values(logits)?.chunks_exact(outputs).map(argmax).collect::<Vec<_>>();
        Ok((best.iter().zip(classes).filter(|(best, class)| **best == **class as usize).count() as f64, count))
    };
    let (score, units) = match &batch.targets {
        BatchTargets::Classes(labels) => right(logits, labels)?,
        BatchTargets::Choices { choices, labels } => right(logits.reshape([rows / choices, *choices]), labels)?,
        BatchTargets::Places { classes, .. } => right(logits, classes)?,
        BatchTargets::Spans { starts, ends, contexts } => {
            let logits = values(logits)?;
            let score = logits.chunks_exact(2 * batch.tokens.width).zip(contexts).enumerate().map(
                |(row, (logits, context))| {
                    let found = best_or_none(logits, *context);
                    span_score(found, (starts[row] as usize, ends[row] as usize))
                },
            );
            (score.sum(), rows)
        }
    };
    Ok(Tally { score, loss: mean * units as f64, units })
}

/// The index of the largest of `values`, the first where several are.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// The best span in the context, or the first token (no answer) where that is no lower.
fn best_or_none(logits: &[f32], (begin, end): (usize, usize)) -> (usize, usize) {
    let none = logits[0] + logits[1];
    best_span(logits, begin..end).filter(|(_, score)| *score > none).map_or((0, 0), |(span, _)| span)
}

/// Mean of exact match and overlap F1 of two inclusive spans of tokens.
fn span_score(found: (usize, usize), gold: (usize, usize)) -> f64 {
    let exact = f64::from(u8::from(found == gold));
    let shared = (found.1.min(gold.1) + 1).saturating_sub(found.0.max(gold.0)) as f64;
    let f1 = 2.0 * shared / ((found.1 - found.0 + 1) + (gold.1 - gold.0 + 1)) as f64;
    (exact + f1) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::random::stream;

    #[test]
    fn masking_keeps_to_its_shares_and_to_tokens_that_are_not_special() {
        let masking = Masking { share: 0.15, mask: 4, vocabulary: 1000, specials: vec![0, 1, 2, 3, 4] };
        let rows: Vec<Vec<u32>> =
            (0..200).map(|row| (0..50).map(|i| if i == 0 { 0 } else { 10 + row }).collect()).collect();
        let before = TokenBatch::new(rows.iter().map(|row| (&row[..], &[][..])), 1, 8, 100);
        let mut after = before.clone();
        let (places, classes) = mask(&mut after, &masking, &mut stream(1, "mask", &[0]));
        let share = places.len() as f64 / (200.0 * 49.0);
        assert!((share - 0.15).abs() < 0.01, "{share}");
        let (mut masked, mut kept) = (0, 0);
        for (place, class) in places.iter().zip(&classes) {
            let place = *place as usize;
            assert!(before.ids[place] >= 10 && before.ids[place] == *class);
            masked += usize::from(after.ids[place] == 4);
            kept += usize::from(after.ids[place] == *class);
        }
        let share = |count: usize| count as f64 / places.len() as f64;
        assert!((share(masked) - 0.8).abs() < 0.03 && (share(kept) - 0.1).abs() < 0.03, "{masked} {kept}");
        let changed = before.ids.iter().zip(&after.ids).filter(|(a, b)| a != b).count();
        assert_eq!(changed, places.len() - kept);
    }

    #[test]
    fn a_batch_always_has_something_to_predict() {
        let masking = Masking { share: 0.0, mask: 4, vocabulary: 10, specials: vec![0, 1, 2, 4] };
        let row: [(&[u32], &[u32]); 1] = [(&[0, 7, 2], &[])];
        let mut tokens = TokenBatch::new(row.iter().copied(), 1, 8, 100);
        assert_eq!(mask(&mut tokens, &masking, &mut stream(1, "mask", &[0])), (vec![1], vec![7]));
    }

    #[test]
    fn a_span_is_found_where_it_is_better_than_none() {
        let mut logits = vec![0.0f32; 2 * 60];
        logits[2 * 10] = 5.0; // start at 10
        logits[2 * 12 + 1] = 3.0; // end at 12
        assert_eq!(best_or_none(&logits, (5, 45)), (10, 12));
        assert_eq!(best_or_none(&logits, (20, 45)), (0, 0));
        logits[0] = 8.0;
        assert_eq!(best_or_none(&logits, (5, 45)), (0, 0));
        assert_eq!(span_score((10, 12), (10, 12)), 1.0);
        assert_eq!(span_score((10, 12), (12, 14)), (2.0 / 6.0) / 2.0);
        assert_eq!(span_score((0, 0), (3, 4)), 0.0);
    }
}
