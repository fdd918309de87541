//! The metrics: what one example contributes, and how contributions become scores.

mod answer;
mod character;
mod label;
mod retrieval;
mod span;

use super::EvaluateError;
use crate::task::Metric;

pub use answer::{Answers, Normalization};
pub(in crate::evaluate) use character::is_space;
pub use label::{binary, matthews};
pub use retrieval::{Alternative, DEPTH, average_precision, null_threshold, pair_threshold, reciprocal_rank};
pub use span::{ChunkCounts, Chunker, chunk_counts, precision_recall_f1, strict_counts};

/// What one example contributes to a metric, to be added up over examples; unused places are zero.
///
/// | metric | places |
/// |---|---|
/// | accuracy | correct, total |
/// | binary-f1 | positive in both, predicted positive, positive in gold, correct, total |
/// | mcc | correct, total, then examples of each of three labels in gold, then in the predictions |
/// | span-f1 | chunks correct, chunks predicted, chunks in gold, tokens correct, tokens, then the three counts of chunks read strictly |
/// | squad, mlqa | exact match (0 or 1), F1 (0 to 1), total |
/// | squad-v2 | exact match, F1, total; the same of questions that have an answer, else zeros; exact match and F1 of what the best thresholds predict |
/// | bitext-f1 | right pairs taken, pairs taken, pairs in gold |
/// | mean-average-precision, reciprocal-rank | the query's value (0 to 1), total |
pub type Statistics = [f64; 8];

/// The values of a metric, in the order of [`Metric::rows`], each from 0 to 100 (correlations from -100); unused places are
/// zero.
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
/// - binary-f1: accuracy and F1 of the second of two labels, whose mean is QQP's score in jiant and GLUE; precision, recall and
///   Matthews' correlation beside them ([`binary`]);
/// - mcc: Matthews' correlation coefficient; for three labels Gorodkin's (2004), of which it is the case of two ([`matthews`]);
/// - span-f1: precision, recall and F1 of chunks as seqeval 0.0.12 counts them ([`chunk_counts`]), pooled over the
///   examples of a language, with the share of right tags beside them, and the same of well-formed chunks under names of
///   their own ([`strict_counts`]);
/// - squad: exact match and token F1 of answers as the SQuAD v1.1 script computes them, for every language
///   ([`Normalization::SQUAD`]): what XTREME uses for XQuAD and TyDi QA;
/// - squad-v2: the same as the SQuAD v2.0 script has it: a question without an answer is right where the prediction is empty
///   ([`answer_or_none`]); apart for questions that have an answer and that have none; and at the thresholds of no answer that
///   are best on these very examples ([`null_threshold`]), which makes them an upper bound;
/// - mlqa: the same as squad with MLQA's normalisation for the language of the answer ([`Normalization::mlqa`]);
/// - bitext-f1: precision, recall and F1 of the set of mined pairs, at a threshold chosen on development gold
///   ([`pair_threshold`]): BUCC 2018 as XTREME has it;
/// - mean-average-precision: the mean over queries of [`average_precision`], for LAReQA;
/// - reciprocal-rank: the mean over queries of [`reciprocal_rank`], for Mewsli-X.
impl Metric {
    /// The metric called `name`, if it scores examples of `format`.
    pub fn for_format(name: &str, format: &str) -> Result<Self, EvaluateError> {
        let Some(metric) = Metric::ALL.into_iter().find(|metric| metric.name() == name) else {
            let known = Metric::ALL.map(Metric::name).join(", ");
            return Err(EvaluateError::Unknown { kind: "metric", name: name.to_owned(), known });
        };
        if metric.formats().iter().any(|fitting| fitting.name() == format) {
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
            Metric::BinaryF1 => &["accuracy", "f1", "precision", "recall", "mcc"],
            Metric::Mcc => &["mcc"],
            Metric::SpanF1 => {
                &["f1", "precision", "recall", "token_accuracy", "strict_f1", "strict_precision", "strict_recall"]
            }
            Metric::Squad | Metric::Mlqa => &["exact_match", "f1"],
            Metric::SquadV2 => &[
                "exact_match",
                "f1",
                "has_answer_exact_match",
                "has_answer_f1",
                "no_answer_accuracy",
                "best_exact_match",
                "best_f1",
            ],
            Metric::BitextF1 => &["f1", "precision", "recall"],
            // XTREME-R's name for either.
            Metric::MeanAveragePrecision | Metric::ReciprocalRank => &["map@20"],
        }
    }

    /// The values of the examples whose statistics add up to `total`. A ratio over nothing is 0.
    pub fn combine(self, total: &Statistics) -> Values {
        match self {
            Metric::Accuracy | Metric::MeanAveragePrecision | Metric::ReciprocalRank => {
                padded([percent(total[0], total[1])])
            }
            Metric::BinaryF1 => label::binary_values(total),
            Metric::Mcc => padded([label::matthews_value(total)]),
            Metric::SpanF1 => {
                let (precision, recall, f1) = precision_recall_f1(total[0], total[1], total[2]);
                let (strict_precision, strict_recall, strict_f1) = precision_recall_f1(total[5], total[6], total[7]);
                let accuracy = percent(total[3], total[4]);
                padded([f1, precision, recall, accuracy, strict_f1, strict_precision, strict_recall])
            }
            Metric::Squad | Metric::Mlqa => padded([percent(total[0], total[2]), percent(total[1], total[2])]),
            Metric::SquadV2 => {
                let &[exact, f1, all, has_exact, has_f1, has, best_exact, best_f1] = total;
                padded([
                    percent(exact, all),
                    percent(f1, all),
                    percent(has_exact, has),
                    percent(has_f1, has),
                    percent(exact - has_exact, all - has),
                    percent(best_exact, all),
                    percent(best_f1, all),
                ])
            }
            Metric::BitextF1 => {
                let (precision, recall, f1) = precision_recall_f1(total[0], total[1], total[2]);
                padded([f1, precision, recall])
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

/// What the tags of one sentence contribute to [`Metric::Accuracy`], given as pairs of gold and predicted tag.
pub fn token_accuracy<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> Statistics {
    let (mut correct, mut tokens) = (0_u32, 0_u32);
    for (gold, predicted) in tags {
        tokens += 1;
        correct += u32::from(gold == predicted);
    }
    padded([f64::from(correct), f64::from(tokens)])
}

/// What the tags of one sentence contribute to [`Metric::SpanF1`], given as pairs of gold and predicted tag. The chunker goes
/// from sentence to sentence.
pub fn span_f1<'a>(chunker: &mut Chunker, tags: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Statistics {
    let [correct, tokens, ..] = token_accuracy(tags.clone());
    let chunks = chunker.count(tags.clone());
    let strict = strict_counts(tags);
    let count = |counts: ChunkCounts| [counts.correct as f64, counts.predicted as f64, counts.gold as f64];
    let ([c, p, g], [sc, sp, sg]) = (count(chunks), count(strict));
    [c, p, g, correct, tokens, sc, sp, sg]
}

/// The exact match and the F1 of one question that may have no answer, each 0 to 1: as in [`answer`]; where no gold answer has a
/// word left after normalisation, all or nothing by whether the prediction has none either.
pub fn answer_or_none<'a>(
    answers: &mut Answers,
    gold: impl Iterator<Item = &'a str> + Clone,
    predicted: &str,
) -> (f64, f64) {
    let worded: Vec<&str> = gold.filter(|text| !answers.is_empty(text)).collect();
    if worded.is_empty() {
        let right = f64::from(u8::from(answers.is_empty(predicted)));
        return (right, right);
    }
    answers.score(worded, predicted)
}

/// What the SQuAD v2.0 script counts for a span, or for no answer, while it looks for the best threshold. It looks at whether
/// there is an answer and a text, not at whether normalisation leaves a word of them: no answer is right exactly where there is
/// none, and of a question without one only the empty span is. Else as [`answer_or_none`].
pub fn span_or_none<'a>(
    answers: &mut Answers,
    gold: impl Iterator<Item = &'a str> + Clone,
    span: Option<&str>,
) -> (f64, f64) {
    let has_answer = gold.clone().next().is_some();
    let right = match span {
        Some(span) if has_answer => return answer_or_none(answers, gold, span),
        Some(span) => span.is_empty(),
        None => !has_answer,
    };
    let right = f64::from(u8::from(right));
    (right, right)
}

/// What one question contributes to [`Metric::Squad`] or [`Metric::Mlqa`]: the best exact match and the best F1 over
/// its gold answers, each on its own.
pub fn answer<'a>(answers: &mut Answers, gold: impl IntoIterator<Item = &'a str>, predicted: &str) -> Statistics {
    let (exact, f1) = answers.score(gold, predicted);
    padded([exact, f1, 1.0])
}

/// What one question contributes to [`Metric::SquadV2`]: its exact match and F1 as predicted, whether it has an answer, and its
/// exact match and F1 at the best threshold of each.
pub fn answered(predicted: (f64, f64), has_answer: bool, best: (f64, f64)) -> Statistics {
    let (exact, f1) = predicted;
    let has = f64::from(u8::from(has_answer));
    [exact, f1, 1.0, has * exact, has * f1, has, best.0, best.1]
}

/// What one query contributes to [`Metric::BitextF1`].
pub fn pairs(correct: usize, predicted: usize, gold: usize) -> Statistics {
    padded([correct as f64, predicted as f64, gold as f64])
}

/// What one query of the value `value` (0 to 1) contributes to [`Metric::MeanAveragePrecision`] or [`Metric::ReciprocalRank`].
pub fn ranked(value: f64) -> Statistics {
    padded([value, 1.0])
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn spans<T: AsRef<str>>(gold: &[T], predicted: &[T]) -> Statistics {
        let tags = gold.iter().map(AsRef::as_ref).zip(predicted.iter().map(AsRef::as_ref));
        span_f1(&mut Chunker::between(), tags)
    }

    fn answered_by<T: AsRef<str>>(normalization: Normalization, gold: &[T], predicted: &str) -> Statistics {
        answer(&mut Answers::new(normalization), gold.iter().map(AsRef::as_ref), predicted)
    }

    #[test]
    fn a_metric_scores_its_formats_only() {
        assert_eq!(Metric::for_format("squad", "span-extraction").unwrap(), Metric::Squad);
        let wrong = Metric::for_format("squad", "word-tagging").unwrap_err().to_string();
        assert_eq!(
            wrong,
            "metric `squad` is not defined for format `word-tagging`; name another metric in the task file"
        );
        let unknown = Metric::for_format("bleu", "word-tagging").unwrap_err().to_string();
        assert_eq!(
            unknown,
            "unknown metric `bleu`; choose one of accuracy, binary-f1, mcc, span-f1, squad, squad-v2, mlqa, bitext-f1, mean-average-precision, reciprocal-rank"
        );
    }

    #[test]
    fn one_error_in_a_run_of_nouns_costs_more_f1_than_accuracy() {
        let gold = ["DET", "NOUN", "NOUN", "VERB", "DET", "ADJ", "NOUN", "NOUN", "PUNCT", "PUNCT"];
        let mut predicted = gold;
        predicted[2] = "VERB";
        let [f1, precision, recall, accuracy, ..] = Metric::SpanF1.combine(&spans(&gold, &predicted));
        assert_eq!(accuracy, 90.0);
        // Seven chunks in each; the error spoils the run it is in and the run it joins.
        for value in [f1, precision, recall] {
            assert!((value - 100.0 * 5.0 / 7.0).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn the_best_answer_counts_for_each_value_on_its_own() {
        let squad = answered_by(Normalization::SQUAD, &["the red house of brick", "house"], "Red House");
        assert_eq!(squad[0], 0.0);
        assert!((squad[1] - 2.0 / 3.0).abs() < 1e-12, "{squad:?}");
    }

    #[test]
    fn no_answer_is_right_where_there_is_none() {
        let answer = |gold: &[&'static str], predicted: &str| {
            answer_or_none(&mut Answers::new(Normalization::SQUAD), gold.iter().copied(), predicted)
        };
        assert_eq!(answer(&[], ""), (1.0, 1.0));
        assert_eq!(answer(&[], "a house"), (0.0, 0.0));
        // An article is no word to the script.
        assert_eq!(answer(&["the"], ""), (1.0, 1.0));
        assert_eq!(answer(&["red house"], ""), (0.0, 0.0));
        assert_eq!(answer(&["red house"], "a red house"), (1.0, 1.0));
    }

    #[test]
    fn nothing_scores_nothing() {
        for metric in Metric::ALL {
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
            let [f1, precision, recall, accuracy, ..] = Metric::SpanF1.combine(&spans(&gold, &predicted));
            for value in [f1, precision, recall, accuracy] {
                prop_assert!((0.0..=100.0).contains(&value));
            }
            let mirrored = Metric::SpanF1.combine(&spans(&predicted, &gold));
            prop_assert_eq!([recall, precision], [mirrored[1], mirrored[2]]);
        }

        #[test]
        fn perfect_tags_score_a_hundred(pairs in tagged()) {
            let gold: Vec<String> = pairs.into_iter().map(|(gold, _)| gold).chain(["B-LOC".to_owned()]).collect();
            prop_assert_eq!(&Metric::SpanF1.combine(&spans(&gold, &gold))[..4], &[100.0; 4]);
        }

        #[test]
        fn perfect_answers_score_a_hundred(answers in vec("[\\p{L}\\p{N} .,-]{0,12}[x-z]", 1..4), pick in any::<prop::sample::Index>()) {
            let predicted = pick.get(&answers).clone();
            prop_assert_eq!(&Metric::Squad.combine(&answered_by(Normalization::SQUAD, &answers, &predicted))[..2], &[100.0; 2]);
            let german = Normalization::mlqa("de").unwrap();
            prop_assert_eq!(&Metric::Mlqa.combine(&answered_by(german, &answers, &predicted))[..2], &[100.0; 2]);
        }

        #[test]
        fn exact_match_implies_full_f1_unless_nothing_is_left(gold in ".{0,20}", predicted in ".{0,20}") {
            let [exact, f1, ..] = answered_by(Normalization::SQUAD, &[&gold], &predicted);
            prop_assert!((0.0..=1.0).contains(&f1));
            if exact == 1.0 {
                prop_assert!(f1 == 1.0 || Normalization::SQUAD.tokens(&gold).is_empty());
            }
        }
    }
}
