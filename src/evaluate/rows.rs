//! The rows of the tables that evaluation writes; `schemas/` says what each column holds.
//!
//! Two of them have as many rows as a study has predictions. They are built and read by column ([`super::prediction`],
//! `score/table.rs`, `compare/runs.rs`), and their types here hold those columns to the schema.

use super::Setting;
use crate::schema::row::table_row;

table_row! {
    /// One number of one language.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ScoreRow: "scores" {
        /// The task's id.
        pub task: String,
        /// The split that was evaluated.
        pub split: String,
        /// The language.
        pub language: String,
        /// What embeddings were taken from, in retrieval.
        pub setting: Setting,
        /// Which number it is.
        pub metric: String,
        /// 0 to 100; of `mcc` -100 to 100.
        pub value: f64,
        /// The lower end of its interval.
        pub ci_low: f64,
        /// The upper end.
        pub ci_high: f64,
        /// Examples scored.
        pub examples: u32,
        /// The tuned threshold behind the value.
        pub threshold: Option<f64>,
    }
}

table_row! {
    /// One number over a group of languages.
    #[derive(Debug, Clone, PartialEq)]
    pub struct SummaryRow: "summaries" {
        /// The task's id.
        pub task: String,
        /// The split that was evaluated.
        pub split: String,
        /// What embeddings were taken from, in retrieval.
        pub setting: Setting,
        /// Which number it is.
        pub metric: String,
        /// The group.
        pub group: String,
        /// Languages in the mean.
        pub languages: u32,
        /// Languages that it should have and has not, joined by spaces.
        pub missing: String,
        /// 0 to 100; of `mcc` -100 to 100.
        pub value: f64,
        /// The lower end of its interval.
        pub ci_low: f64,
        /// The upper end.
        pub ci_high: f64,
    }
}

table_row! {
    /// What one example contributes to a score.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ExampleScoreRow<'a>: "example-scores" {
        /// The task's id.
        pub task: &'a str,
        /// The split that was evaluated.
        pub split: &'a str,
        /// The language.
        pub language: &'a str,
        /// What embeddings were taken from, in retrieval.
        pub setting: Setting,
        /// The example.
        pub example_id: &'a str,
        /// The metric's sums of this one example.
        pub statistics: Vec<f64>,
    }
}

table_row! {
    /// What a model says about one example.
    #[derive(Debug, Clone, PartialEq)]
    pub struct PredictionRow<'a>: "predictions" {
        /// The task's id.
        pub task: &'a str,
        /// The split that was predicted.
        pub split: &'a str,
        /// The language.
        pub language: &'a str,
        /// The example.
        pub example_id: &'a str,
        /// What embeddings were taken from, in retrieval.
        pub setting: Setting,
        /// Place among the sentences found for a query, in retrieval.
        pub rank: Option<i32>,
        /// The prediction.
        pub prediction: &'a str,
        /// How sure the model is.
        pub confidence: f32,
        /// The best span, where an example may have no answer.
        pub best_span: Option<&'a str>,
        /// The score of no answer less that of the best span.
        pub null_score_difference: Option<f32>,
    }
}

table_row! {
    /// A row of a study against the row without intermediate training, in one language or group of them.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ComparisonRow: "comparisons" {
        /// The target.
        pub target: String,
        /// The row.
        pub row: String,
        /// What it is compared with.
        pub baseline: String,
        /// What embeddings were taken from, in retrieval.
        pub setting: Setting,
        /// Which number is compared.
        pub metric: String,
        /// The language, or the group.
        pub scope: String,
        /// Pairs of seeds.
        pub seeds: u32,
        /// Examples behind the difference, over all languages of the scope.
        pub examples: u32,
        /// The row's mean less the baseline's.
        pub difference: f64,
        /// The lower end of its interval.
        pub ci_low: f64,
        /// The upper end.
        pub ci_high: f64,
        /// How often chance alone gives as much.
        pub p_value: f64,
        /// The same, corrected for all comparisons of the scope.
        pub p_adjusted: f64,
        /// The smallest true difference that is found four times out of five.
        pub minimum_detectable: f64,
        /// Whether it is significant after correction.
        pub significant: bool,
        /// How the p-value was computed.
        pub method: String,
    }
}

table_row! {
    /// What a row of a study reaches over its seeds, on one target and group of languages or on one suite.
    #[derive(Debug, Clone, PartialEq)]
    pub struct AggregateRow: "aggregates" {
        /// A target's or a suite's id.
        pub target: String,
        /// The row.
        pub row: String,
        /// What embeddings were taken from, in retrieval.
        pub setting: Setting,
        /// Which number it is; of a suite `average`.
        pub metric: String,
        /// The group of languages, or of a suite's tasks.
        pub group: String,
        /// Seeds.
        pub seeds: u32,
        /// Their mean.
        pub mean: f64,
        /// Their median.
        pub median: f64,
        /// Their standard deviation, of two or more.
        pub standard_deviation: Option<f64>,
        /// The best of them.
        pub best: f64,
        /// The first seed that reaches it.
        pub best_seed: u64,
        /// Languages, or a suite's tasks and languages, that it should have and has not, joined by spaces.
        pub missing: String,
    }
}
