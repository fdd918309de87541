//! From logits to the words of a prediction.

use super::{PredictFile, Prediction, Window, numbers, probability};
use crate::error::Result;
use crate::evaluate::EvaluateError;
use crate::model::best_span;
use crate::shard::{Batches, Columns, read_batches};
use crate::train::data::{Instances, Targets};
use crate::train::step::argmax;

/// By how much the score of no answer must exceed that of the best span: jiant's, and transformers' where it is not set.
const NULL_THRESHOLD: f32 = 0.0;

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
        self.done.push(Prediction::new(example_id, name(&class), confidence));
    }

    /// A tag for each word of a window; its example's earlier words, if any, came just before.
    pub fn tags(&mut self, example_id: String, logits: &[f32], labels: &[String]) {
        if self.done.last().is_none_or(|last| last.example_id != example_id) {
            self.done.push(Prediction::new(example_id, String::new(), 0.0));
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

/// Answers cut from contexts: over all windows of an example, the span of the highest start plus end logit; or none.
///
/// Whether there is an answer is decided as transformers' `postprocess_qa_predictions` does for SQuAD v2: the score of no
/// answer is start plus end logit of a window's first token, the lowest of an example's windows (a window that is sure of an
/// answer outweighs those that are sure of none); the prediction is empty where that exceeds the score of the best span. What
/// is not taken over is that it looks for the best span among the twenty best starts and ends only.
pub(super) struct Spans<'a> {
    file: &'a PredictFile,
    /// Whether no answer is an answer.
    unanswerable: bool,
    contexts: Option<Contexts<'a>>,
    done: Vec<Prediction>,
    best: Option<f32>,
    /// Score and probability of no answer.
    none: Option<(f32, f32)>,
    context: String,
}

impl<'a> Spans<'a> {
    pub fn new(file: &'a PredictFile, unanswerable: bool) -> Self {
        let (contexts, done, context) = (None, Vec::new(), String::new());
        Self { file, unanswerable, contexts, done, best: None, none: None, context }
    }

    /// Looks at one window. `logits` holds start and end in turn for each token.
    pub fn add(&mut self, id: &str, window: &Window, row: usize, instances: &Instances, logits: &[f32]) -> Result<()> {
        if self.done.last().is_none_or(|last| last.example_id != id) {
            self.close();
            let contexts = match &mut self.contexts {
                Some(contexts) => contexts,
                None => self.contexts.insert(Contexts::open(self.file)?),
            };
            self.context = contexts.of(id)?;
            self.done.push(Prediction::new(id.to_owned(), String::new(), 0.0));
        }
        let Targets::Spans(spans) = &instances.targets else { return Ok(()) };
        let probability = |first: usize, last: usize| {
            let side = |side: usize| -> Vec<f32> { logits.iter().skip(side).step_by(2).copied().collect() };
            probability(&side(0), first) * probability(&side(1), last)
        };
        if self.unanswerable && self.none.is_none_or(|(score, _)| logits[0] + logits[1] < score) {
            self.none = Some((logits[0] + logits[1], probability(0, 0)));
        }
        let (begin, end) = (spans[row].context_begin as usize, spans[row].context_end as usize);
        let Some(((first, last), score)) = best_span(logits, begin..end) else { return Ok(()) };
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
        if let Some(prediction) = self.done.last_mut() {
            prediction.prediction = text.to_owned();
            prediction.confidence = probability(first, last);
        }
        self.best = Some(score);
        Ok(())
    }

    /// Settles the last example, all of whose windows have been seen.
    fn close(&mut self) {
        let (best, none) = (self.best.take(), self.none.take());
        if let (Some(last), Some((score, confidence))) = (self.done.last_mut(), none) {
            // No span at all, in a context of no tokens, counts as one of score 0.
            let difference = score - best.unwrap_or(0.0);
            last.null_score_difference = Some(difference);
            last.best_span = Some(last.prediction.clone());
            if difference > NULL_THRESHOLD || best.is_none() {
                (last.prediction, last.confidence) = (String::new(), confidence);
            }
        }
    }

    pub fn finish(mut self) -> Result<Vec<Prediction>> {
        self.close();
        Ok(self.done)
    }
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
    use std::sync::Arc;

    use arrow::array::{ArrayRef, ListArray, RecordBatch, StringArray};
    use arrow::datatypes::UInt32Type;

    use super::*;
    use crate::model::random::{stream, uniform};
    use crate::shard::write_table;
    use crate::task::Format;
    use crate::train::data::Span;

    /// A window's logits (start, end) by token, and the tokens of its context.
    type WindowLogits = (Vec<(f32, f32)>, std::ops::Range<usize>);

    /// What transformers' `postprocess_qa_predictions` says of an example, brute force: all spans of all windows, best first,
    /// against the lowest score of no answer.
    fn by_definition(windows: &[WindowLogits], text: impl Fn(usize, usize) -> String) -> (String, f32) {
        let none = windows.iter().map(|(logits, _)| logits[0].0 + logits[0].1).fold(f32::INFINITY, f32::min);
        let mut spans = Vec::new();
        for (logits, context) in windows {
            for first in 0..logits.len() {
                for last in 0..logits.len() {
                    let in_context = context.contains(&first) && context.contains(&last);
                    if in_context && last >= first && last - first < 30 {
                        let place = (first - context.start, last - context.start);
                        spans.push((logits[first].0 + logits[last].1, text(place.0, place.1)));
                    }
                }
            }
        }
        spans.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (score, best) = spans[0].clone();
        if none - score > 0.0 { (String::new(), none - score) } else { (best, none - score) }
    }

    #[test]
    fn no_answer_is_predicted_as_transformers_defines_it() {
        let directory = tempfile::tempdir().unwrap();
        let canonical = directory.path().join("canonical.parquet");
        let context: String = ('a'..='z').chain('A'..='Z').collect();
        let ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();
        let texts = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let table = [("example_id", texts(ids.clone())), ("context", texts(vec![context.clone(); 60]))];
        let batch = RecordBatch::try_from_iter(table).unwrap();
        write_table(&canonical, &batch.schema(), &[], &[batch]).unwrap();
        let file = PredictFile { language: "en".into(), tokens: "tokens".into(), canonical };

        let mut rng = stream(5, "windows", &[]);
        let mut draw = || uniform(&mut rng) as f32;
        // Each example has one to three windows of the whole context, after a first token and a question of two.
        let mut windows = Vec::new();
        for id in &ids {
            for _ in 0..1 + (draw() * 3.0) as usize {
                let mut logits: Vec<(f32, f32)> =
                    (0..3 + context.len() + 1).map(|_| (draw() * 4.0, draw() * 4.0)).collect();
                logits[0] = (1.5 + draw() * 5.0, 1.5 + draw() * 5.0);
                windows.push((id.clone(), logits, 3..3 + context.len()));
            }
        }
        let offsets = |length: usize| -> Vec<Option<u32>> {
            (0..length).flat_map(|token| [token.max(3) - 3, token.max(2) - 2]).map(|at| Some(at as u32)).collect()
        };
        let lists = ListArray::from_iter_primitive::<UInt32Type, _, _>(
            windows.iter().map(|(_, logits, _)| Some(offsets(logits.len()))),
        );
        let columns: [(&str, ArrayRef); 2] =
            [("example_id", texts(windows.iter().map(|w| w.0.clone()).collect())), ("offsets", Arc::new(lists))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let window = Window { path: &file.tokens, batch: &batch };
        let mut instances = Instances::empty(Format::SpanExtraction);
        let span = |w: &(String, Vec<(f32, f32)>, std::ops::Range<usize>)| Span {
            start: 0,
            end: 0,
            context_begin: w.2.start as u32,
            context_end: w.2.end as u32,
        };
        instances.targets = Targets::Spans(windows.iter().map(span).collect());

        let predicted = |unanswerable: bool| {
            let mut spans = Spans::new(&file, unanswerable);
            for (row, (id, logits, _)) in windows.iter().enumerate() {
                let flat: Vec<f32> = logits.iter().flat_map(|(start, end)| [*start, *end]).collect();
                spans.add(id, &window, row, &instances, &flat).unwrap();
            }
            spans.finish().unwrap()
        };
        let (with, without) = (predicted(true), predicted(false));
        assert_eq!(with.len(), 60);
        for (with, without) in with.iter().zip(&without) {
            let own: Vec<_> =
                windows.iter().filter(|w| w.0 == with.example_id).map(|w| (w.1.clone(), w.2.clone())).collect();
            let (text, difference) = by_definition(&own, |from, to| context[from..=to].to_owned());
            assert_eq!((&with.prediction, with.null_score_difference), (&text, Some(difference)));
            assert!(!without.prediction.is_empty() && without.null_score_difference.is_none());
            assert_eq!(with.best_span.as_ref(), Some(&without.prediction));
            let (best_span, null_score_difference) = (with.best_span.clone(), Some(difference));
            assert!(text.is_empty() || *with == Prediction { best_span, null_score_difference, ..without.clone() });
        }
        let empty = with.iter().filter(|prediction| prediction.prediction.is_empty()).count();
        assert!((5..55).contains(&empty), "{empty}");
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
