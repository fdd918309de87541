//! The metrics: what one example contributes, and how contributions become scores.

mod answer;
mod span;

use super::EvaluateError;
use crate::task::Metric;

pub use answer::Normalization;
pub use span::{ChunkCounts, chunk_counts, precision_recall_f1};

pub(super) const METRICS: [Metric; 5] =
    [Metric::Accuracy, Metric::SpanF1, Metric::Squad, Metric::SquadV2, Metric::Mlqa];

/// What one example contributes to a metric, to be added up over examples; unused places are zero.
///
/// | metric | places |
/// |---|---|
/// | accuracy | correct, total |
/// | span-f1 | chunks correct, chunks predicted, chunks in gold, tokens correct, tokens |
/// | squad, squad-v2, mlqa | exact match (0 or 1), F1 (0 to 1), total |
pub type Statistics = [f64; 8];

/// The values of a metric, in the order of [`Metric::rows`], each from 0 to 100; unused places are zero.
pub type Values = [f64; 8];

/// `first`, and zeros in the places after it.
pub(super) fn padded<const N: usize>(first: [f64; N]) -> [f64; 8] {
    let mut all = [0.0; 8];
    all[..N].copy_from_slice(&first);
    all
}

/// What scoring adds to the metrics that a task file may name. Their definitions:
///
/// - accuracy: the share of examples (of words, in word tagging) whose prediction equals gold;
/// - span-f1: precision, recall and F1 of chunks as seqeval 0.0.12 counts them ([`chunk_counts`]), pooled over the
///   examples of a language, with the share of right tags beside them;
/// - squad: exact match and token F1 of answers as the SQuAD v1.1 script computes them, for every language
///   ([`Normalization::SQUAD`]): what XTREME uses for XQuAD and TyDi QA;
/// - squad-v2: the same as the SQuAD v2.0 script has it: a question without an answer is right where the prediction is empty
///   ([`answer_or_none`]);
/// - mlqa: the same with MLQA's normalisation for the language of the answer ([`Normalization::mlqa`]).
impl Metric {
    /// The metric called `name`, if it scores examples of `format`.
    pub fn for_format(name: &str, format: &str) -> Result<Self, EvaluateError> {
        let Some(metric) = METRICS.into_iter().find(|metric| metric.name() == name) else {
            let known = METRICS.map(Metric::name).join(", ");
            return Err(EvaluateError::Unknown { kind: "metric", name: name.to_owned(), known });
        };
        let formats: &[&str] = match metric {
            Metric::Accuracy => {
                &["classification", "pair-classification", "multiple-choice", "sentence-retrieval", "word-tagging"]
            }
            Metric::SpanF1 => &["word-tagging"],
            Metric::Squad | Metric::SquadV2 | Metric::Mlqa => &["span-extraction"],
        };
        if formats.contains(&format) {
            return Ok(metric);
        }
        Err(EvaluateError::Undefined {
            metric: metric.name(),
            what: format!("format `{format}`"),
            remedy: "name another metric in the task file",
        })
    }

    /// The names of the metric's values.
    pub fn rows(self) -> &'static [&'static str] {
        match self {
            Metric::Accuracy => &["accuracy"],
            Metric::SpanF1 => &["f1", "precision", "recall", "token_accuracy"],
            Metric::Squad | Metric::SquadV2 | Metric::Mlqa => &["exact_match", "f1"],
        }
    }

    /// The values of the examples whose statistics add up to `total`. A ratio over nothing is 0.
    pub fn combine(self, total: &Statistics) -> Values {
        match self {
            Metric::Accuracy => padded([percent(total[0], total[1])]),
            Metric::SpanF1 => {
                let (precision, recall, f1) = precision_recall_f1(total[0], total[1], total[2]);
                padded([f1, precision, recall, percent(total[3], total[4])])
            }
            Metric::Squad | Metric::SquadV2 | Metric::Mlqa => {
                padded([percent(total[0], total[2]), percent(total[1], total[2])])
            }
        }
    }
}

/// The sum of the statistics of many examples.
pub fn total<'a>(statistics: impl IntoIterator<Item = &'a Statistics>) -> Statistics {
    let mut total = Statistics::default();
    for example in statistics {
        for (sum, part) in total.iter_mut().zip(example) {
            *sum += part;
        }
    }
    total
}

/// What one example contributes to [`Metric::Accuracy`].
pub fn accuracy(correct: bool) -> Statistics {
    padded([f64::from(u8::from(correct)), 1.0])
}

/// What the tags of one sentence contribute to [`Metric::Accuracy`]. Both slices have one tag per word.
pub fn token_accuracy<G: AsRef<str>, P: AsRef<str>>(gold: &[G], predicted: &[P]) -> Statistics {
    let correct = gold.iter().zip(predicted).filter(|(g, p)| g.as_ref() == p.as_ref()).count();
    padded([correct as f64, gold.len() as f64])
}

/// What the tags of one sentence contribute to [`Metric::SpanF1`]. Both slices have one tag per word.
pub fn span_f1<G: AsRef<str>, P: AsRef<str>>(gold: &[G], predicted: &[P]) -> Statistics {
    let chunks = chunk_counts(gold, predicted);
    let [correct, tokens, ..] = token_accuracy(gold, predicted);
    padded([chunks.correct as f64, chunks.predicted as f64, chunks.gold as f64, correct, tokens])
}

/// What one question contributes to [`Metric::SquadV2`]: as to [`Metric::Squad`]; where no gold answer has a word left after
/// normalisation, all or nothing by whether the prediction has none either.
pub fn answer_or_none<G: AsRef<str>>(gold: &[G], predicted: &str) -> Statistics {
    let normalization = &Normalization::SQUAD;
    let gold: Vec<&str> =
        gold.iter().map(AsRef::as_ref).filter(|text| !normalization.tokens(text).is_empty()).collect();
    if gold.is_empty() {
        let right = f64::from(u8::from(normalization.tokens(predicted).is_empty()));
        return padded([right, right, 1.0]);
    }
    answer(normalization, &gold, predicted)
}

/// What one question contributes to [`Metric::Squad`] or [`Metric::Mlqa`]: the best exact match and the best F1 over
/// its gold answers, each on its own.
pub fn answer<G: AsRef<str>>(normalization: &Normalization, gold: &[G], predicted: &str) -> Statistics {
    let predicted = normalization.tokens(predicted);
    let mut best = padded([0.0, 0.0, 1.0]);
    for answer in gold {
        let answer = normalization.tokens(answer.as_ref());
        if answer == predicted {
            best[0] = 1.0;
        }
        best[1] = f64::max(best[1], answer::f1(&predicted, &answer));
    }
    best
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn a_metric_scores_its_formats_only() {
        assert_eq!(Metric::for_format("squad", "span-extraction").unwrap(), Metric::Squad);
        let wrong = Metric::for_format("squad", "word-tagging").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "metric `squad` is not defined for format `word-tagging`; name another metric in the task file"
        );
        let unknown = Metric::for_format("bleu", "word-tagging").unwrap_err().to_string();
        assert_eq!(unknown, "unknown metric `bleu`; choose one of accuracy, span-f1, squad, squad-v2, mlqa");
    }

    #[test]
    fn one_error_in_a_run_of_nouns_costs_more_f1_than_accuracy() {
        let gold = ["DET", "NOUN", "NOUN", "VERB", "DET", "ADJ", "NOUN", "NOUN", "PUNCT", "PUNCT"];
        let mut predicted = gold;
        predicted[2] = "VERB";
        let [f1, precision, recall, accuracy, ..] = Metric::SpanF1.combine(&span_f1(&gold, &predicted));
        assert_eq!(accuracy, 90.0);
        // Seven chunks in each; the error spoils the run it is in and the run it joins.
        for value in [f1, precision, recall] {
            assert!((value - 100.0 * 5.0 / 7.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn the_best_answer_counts_for_each_value_on_its_own() {
        let squad = answer(&Normalization::SQUAD, &["the red house of brick", "house"], "Red House");
        assert_eq!(squad[0], 0.0);
        assert!((squad[1] - 2.0 / 3.0).abs() < 1e-12, "{squad:?}");
    }

    #[test]
    fn no_answer_is_right_where_there_is_none() {
        let none: [&str; 0] = [];
        assert_eq!(answer_or_none(&none, "")[..3], [1.0, 1.0, 1.0]);
        assert_eq!(answer_or_none(&none, "a house")[..3], [0.0, 0.0, 1.0]);
        // An article is no word to the script.
        assert_eq!(answer_or_none(&["the"], "")[..3], [1.0, 1.0, 1.0]);
        assert_eq!(answer_or_none(&["red house"], "")[..3], [0.0, 0.0, 1.0]);
        assert_eq!(answer_or_none(&["red house"], "a red house")[..3], [1.0, 1.0, 1.0]);
    }

    #[test]
    fn nothing_scores_nothing() {
        for metric in METRICS {
            assert_eq!(metric.combine(&Statistics::default()), Values::default());
        }
    }

    fn tagged() -> impl Strategy<Value = Vec<(String, String)>> {
        let tag = prop::sample::select(vec!["O", "B-PER", "I-PER", "I-LOC", "S-LOC", "E-PER", "NOUN", "SYM", "INTJ"]);
        vec((tag.clone(), tag), 1..30)
            .prop_map(|pairs| pairs.into_iter().map(|(g, p)| (g.to_owned(), p.to_owned())).collect())
    }

    proptest! {
        #[test]
        fn spans_stay_in_bounds_and_swap_precision_with_recall(pairs in tagged()) {
            let (gold, predicted): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let [f1, precision, recall, accuracy, ..] = Metric::SpanF1.combine(&span_f1(&gold, &predicted));
            for value in [f1, precision, recall, accuracy] {
                prop_assert!((0.0..=100.0).contains(&value));
            }
            let mirrored = Metric::SpanF1.combine(&span_f1(&predicted, &gold));
            prop_assert_eq!([recall, precision], [mirrored[1], mirrored[2]]);
        }

        #[test]
        fn perfect_tags_score_a_hundred(pairs in tagged()) {
            let gold: Vec<String> = pairs.into_iter().map(|(gold, _)| gold).chain(["B-LOC".to_owned()]).collect();
            prop_assert_eq!(Metric::SpanF1.combine(&span_f1(&gold, &gold)), padded([100.0; 4]));
        }

        #[test]
        fn perfect_answers_score_a_hundred(answers in vec("[\\p{L}\\p{N} .,-]{0,12}[x-z]", 1..4), pick in any::<prop::sample::Index>()) {
            let predicted = pick.get(&answers).clone();
            prop_assert_eq!(&Metric::Squad.combine(&answer(&Normalization::SQUAD, &answers, &predicted))[..2], &[100.0; 2]);
            let german = Normalization::mlqa("de").unwrap();
            prop_assert_eq!(&Metric::Mlqa.combine(&answer(&german, &answers, &predicted))[..2], &[100.0; 2]);
        }

        #[test]
        fn exact_match_implies_full_f1_unless_nothing_is_left(gold in ".{0,20}", predicted in ".{0,20}") {
            let [exact, f1, ..] = answer(&Normalization::SQUAD, &[&gold], &predicted);
            prop_assert!((0.0..=1.0).contains(&f1));
            if exact == 1.0 {
                prop_assert!(f1 == 1.0 || Normalization::SQUAD.tokens(&gold).is_empty());
            }
        }
    }
}
