//! How tasks are scored: the names that task files use. What they mean is in `evaluate::metric`.

use serde::{Deserialize, Serialize};

use super::Format;

/// How a task is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of right labels, choices or retrieved sentences.
    Accuracy,
    /// Accuracy and F1 of two labels, the second of which is the positive one.
    BinaryF1,
    /// Matthews' correlation coefficient of two or three labels.
    Mcc,
    /// Span F1 as seqeval 0.0.12 computes it.
    SpanF1,
    /// Exact match and F1 of SQuAD v1.1's script.
    Squad,
    /// Exact match and F1 of SQuAD v2.0's script: where there is no answer, only the empty one is right.
    SquadV2,
    /// MLQA's language-aware exact match and F1.
    Mlqa,
    /// F1 of mined sentence pairs at a threshold chosen on development gold, as in BUCC 2018.
    BitextF1,
    /// Mean average precision of the first twenty sentences found, as in LAReQA.
    MeanAveragePrecision,
    /// Mean reciprocal rank of the first right one among twenty entities found, as in Mewsli-X.
    ReciprocalRank,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 10] = [
        Metric::Accuracy,
        Metric::BinaryF1,
        Metric::Mcc,
        Metric::SpanF1,
        Metric::Squad,
        Metric::SquadV2,
        Metric::Mlqa,
        Metric::BitextF1,
        Metric::MeanAveragePrecision,
        Metric::ReciprocalRank,
    ];

    /// The name used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::BinaryF1 => "binary-f1",
            Metric::Mcc => "mcc",
            Metric::SpanF1 => "span-f1",
            Metric::Squad => "squad",
            Metric::SquadV2 => "squad-v2",
            Metric::Mlqa => "mlqa",
            Metric::BitextF1 => "bitext-f1",
            Metric::MeanAveragePrecision => "mean-average-precision",
            Metric::ReciprocalRank => "reciprocal-rank",
        }
    }

    /// The formats whose examples it scores.
    pub fn formats(self) -> &'static [Format] {
        match self {
            Metric::Accuracy => &[
                Format::Classification,
                Format::PairClassification,
                Format::MultipleChoice,
                Format::SentenceRetrieval,
                Format::WordTagging,
            ],
            Metric::BinaryF1 | Metric::Mcc => &[Format::Classification, Format::PairClassification],
            Metric::SpanF1 => &[Format::WordTagging],
            Metric::Squad | Metric::SquadV2 | Metric::Mlqa => &[Format::SpanExtraction],
            Metric::BitextF1 | Metric::MeanAveragePrecision | Metric::ReciprocalRank => &[Format::SentenceRetrieval],
        }
    }

    /// Whether queries search the sentences of all languages, so that a prediction names the language as well:
    /// `LANGUAGE:EXAMPLE_ID`.
    pub fn searches_all_languages(self) -> bool {
        matches!(self, Metric::MeanAveragePrecision | Metric::ReciprocalRank)
    }

    /// The score rows that stand for a target in tables, averaged: QA is the mean of F1 and exact match, as XTREME's
    /// `evaluate.py` has it.
    pub fn headline(self) -> &'static [&'static str] {
        match self {
            Metric::Accuracy => &["accuracy"],
            Metric::BinaryF1 => &["accuracy", "f1"],
            Metric::Mcc => &["mcc"],
            Metric::SpanF1 | Metric::BitextF1 => &["f1"],
            Metric::Squad | Metric::SquadV2 | Metric::Mlqa => &["f1", "exact_match"],
            Metric::MeanAveragePrecision | Metric::ReciprocalRank => &["map@20"],
        }
    }
}
