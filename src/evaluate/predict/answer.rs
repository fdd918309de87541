//! From logits to the words of a prediction.

use super::{PredictFile, Prediction, Window, numbers, probability};
use crate::error::Result;
use crate::evaluate::EvaluateError;
use crate::shard::{Batches, Columns, read_batches};
use crate::train::data::{Instances, Targets};
use crate::train::step::argmax;

/// Longest answer, in tokens: SQuAD's custom, and jiant's.
const MAX_ANSWER_TOKENS: usize = 30;

/// Predictions of examples that a shard's rows belong to, in order; windows of one example follow each other.
#[derive(Default)]
pub(super) struct Answers {
    done: Vec<Prediction>,
    /// Words of the last example, for the mean confidence.
    words: usize,
}

impl Answers {
    /// One of several classes or choices.
    pub fn best(&mut self, example_id: String, logits: &[f32], name: impl Fn(&usize) -> String) {
        let class = argmax(logits);
        let confidence = probability(logits, class);
        self.done.push(Prediction { example_id, layer: None, prediction: name(&class), confidence });
    }

    /// A tag for each word of a window; its example's earlier words, if any, came just before.
    pub fn tags(&mut self, example_id: String, logits: &[f32], labels: &[String]) {
        if self.done.last().is_none_or(|last| last.example_id != example_id) {
            self.done.push(Prediction { example_id, layer: None, prediction: String::new(), confidence: 0.0 });
            self.words = 0;
        }
        let Some(last) = self.done.last_mut() else { return };
        for word in logits.chunks_exact(labels.len()) {
            let tag = argmax(word);
            if !last.prediction.is_empty() {
                last.prediction.push(' ');
            }
            last.prediction.push_str(&labels[tag]);
            self.words += 1;
            last.confidence += (probability(word, tag) - last.confidence) / self.words as f32;
        }
    }

    pub fn finish(self) -> Vec<Prediction> {
        self.done
    }
}

/// Answers cut from contexts: over all windows of an example, the span of the highest start plus end logit.
pub(super) struct Spans<'a> {
    file: &'a PredictFile,
    contexts: Option<Contexts<'a>>,
    done: Vec<Prediction>,
    best: Option<f32>,
    context: String,
}

impl<'a> Spans<'a> {
    pub fn new(file: &'a PredictFile) -> Self {
        Self { file, contexts: None, done: Vec::new(), best: None, context: String::new() }
    }

    /// Looks at one window. `logits` holds start and end in turn for each token.
    pub fn add(&mut self, id: &str, window: &Window, row: usize, instances: &Instances, logits: &[f32]) -> Result<()> {
        if self.done.last().is_none_or(|last| last.example_id != id) {
            let contexts = match &mut self.contexts {
                Some(contexts) => contexts,
                None => self.contexts.insert(Contexts::open(self.file)?),
            };
            self.context = contexts.of(id)?;
            self.best = None;
            let (example_id, prediction) = (id.to_owned(), String::new());
            self.done.push(Prediction { example_id, layer: None, prediction, confidence: 0.0 });
        }
        let Targets::Spans(spans) = &instances.targets else { return Ok(()) };
        let (begin, end) = (spans[row].context_begin as usize, spans[row].context_end as usize);
        let Some(((first, last), score)) = best_span(logits, begin, end) else { return Ok(()) };
        if self.best.is_some_and(|best| best >= score) {
            return Ok(());
        }
        let offsets = numbers(window, "offsets", row)?;
        let (from, to) = (offsets[2 * first] as usize, offsets[2 * last + 1] as usize);
        let text = self.context.get(from..to.max(from)).ok_or_else(|| {
            EvaluateError::example(
                &self.file.tokens,
                id,
                "its offsets don't fit its context; tokenize again".to_owned(),
            )
        })?;
        let side = |side: usize| -> Vec<f32> { logits.iter().skip(side).step_by(2).copied().collect() };
        if let Some(prediction) = self.done.last_mut() {
            prediction.prediction = text.to_owned();
            prediction.confidence = probability(&side(0), first) * probability(&side(1), last);
        }
        self.best = Some(score);
        Ok(())
    }

    pub fn finish(self) -> Result<Vec<Prediction>> {
        Ok(self.done)
    }
}

/// The span of at most [`MAX_ANSWER_TOKENS`] tokens in `begin..end` with the highest sum of start and end logit.
fn best_span(logits: &[f32], begin: usize, end: usize) -> Option<((usize, usize), f32)> {
    let mut best: Option<((usize, usize), f32)> = None;
    for first in begin..end {
        for last in first..(first + MAX_ANSWER_TOKENS).min(end) {
            let score = logits[2 * first] + logits[2 * last + 1];
            if best.is_none_or(|(_, highest)| score > highest) {
                best = Some(((first, last), score));
            }
        }
    }
    best
}

/// Contexts of a canonical table by example, read as they are asked for: in the order of the rows.
struct Contexts<'a> {
    file: &'a PredictFile,
    batches: Batches,
    current: Vec<(String, String)>,
    next: usize,
}

impl<'a> Contexts<'a> {
    fn open(file: &'a PredictFile) -> Result<Self> {
        Ok(Self { file, batches: read_batches(&file.canonical)?, current: Vec::new(), next: 0 })
    }

    fn of(&mut self, id: &str) -> Result<String> {
        loop {
            while let Some((found, context)) = self.current.get_mut(self.next) {
                self.next += 1;
                if found == id {
                    return Ok(std::mem::take(context));
                }
            }
            let Some(batch) = self.batches.next() else {
                let problem = format!("it is not in {}; tokenize again", self.file.canonical.display());
                return Err(EvaluateError::example(&self.file.tokens, id, problem).into());
            };
            let batch = batch?;
            let columns = Columns::new(&self.file.canonical, &batch);
            let (ids, contexts) = (columns.text("example_id")?, columns.text("context")?);
            self.current =
                (0..batch.num_rows()).map(|row| (ids.value(row).to_owned(), contexts.value(row).to_owned())).collect();
            self.next = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_span_stays_in_the_context_and_within_its_length() {
        let mut logits = vec![0.0f32; 2 * 60];
        logits[2 * 10] = 5.0;
        logits[2 * 50 + 1] = 9.0;
        logits[2 * 12 + 1] = 3.0;
        assert_eq!(best_span(&logits, 5, 45).unwrap().0, (10, 12));
        assert_eq!(best_span(&logits, 45, 60).unwrap().0, (45, 50));
        assert!(best_span(&logits, 7, 7).is_none());
    }

    #[test]
    fn tags_of_several_windows_are_one_prediction() {
        let labels = ["A".to_owned(), "B".to_owned()];
        let mut answers = Answers::default();
        answers.tags("1".to_owned(), &[2.0, 0.0, 0.0, 2.0], &labels);
        answers.tags("1".to_owned(), &[2.0, 0.0], &labels);
        answers.tags("2".to_owned(), &[0.0, 2.0], &labels);
        let done = answers.finish();
        assert_eq!(done.iter().map(|p| p.prediction.as_str()).collect::<Vec<_>>(), ["A B A", "B"]);
        assert!((done[0].confidence - 0.880_797).abs() < 1e-5);
    }

    #[test]
    fn a_class_is_named_with_its_probability() {
        let mut answers = Answers::default();
        answers.best("1".to_owned(), &[0.0, 1.0, 0.0], usize::to_string);
        let prediction = &answers.finish()[0];
        assert_eq!(prediction.prediction, "1");
        assert!((prediction.confidence - 0.576_117).abs() < 1e-5);
    }
}
