//! Predictions and metrics.
//!
//! Evaluation is two stages with a file between them. *Predict* runs a model and writes one row per example (its
//! submodule is the only place here that knows a tensor). *Score* reads those rows and the canonical tables, and
//! nothing else: no model, no tokenizer, no device. So every number of a report can be computed again, cut another way
//! or checked with another tool, from files that anyone can read.
//!
//! What holds throughout:
//!
//! - Every metric is a sum over examples of a fixed-size vector ([`metric::Statistics`]) followed by one closed formula
//!   ([`Metric::combine`](crate::task::Metric::combine)). That is what makes scores independent of the order of
//!   examples, and what lets the [`bootstrap`] resample examples without knowing which metric it serves.
//! - Official definitions are kept with their quirks and carry their official names: seqeval 0.0.12 for spans, the
//!   SQuAD v1.1 script for answers, MLQA's variant of it. A better-behaved number (token accuracy, say) is a row of its
//!   own beside them, never a silent change.
//! - A score is over all the gold examples of a split or it is an error. A missing, unknown or repeated example, a
//!   language on one side only, gold that was blanked by whoever published the split: all are refused by name.
//! - Values are percentages, 0 to 100. A mean over languages gives each language the same weight.
//! - Whatever is random takes a seed and names what it draws for, so a result depends neither on the number of threads
//!   nor on the order of rows, nor on which other languages are scored beside it.
//!
//! [`score_submission`] scores folders in XTREME's layout, whoever made them; [`baseline()`] makes the predictions of a
//! model that knows nothing, to be scored as any other; [`retrieval`] finds nearest neighbours and
//! translation pairs among embeddings.

pub mod aggregate;
mod analyze;
mod baseline;
pub mod bootstrap;
mod classes;
pub mod compare;
mod error;
mod gold;
mod groups;
mod hash;
pub mod metric;
mod number;
pub mod predict;
mod prediction;
mod random;
pub mod retrieval;
mod rows;
mod score;
pub(crate) mod submission;

pub use analyze::{AnalyzeCell, AnalyzeRequest, AnalyzeTables, AnalyzeTarget, analyze, median};
pub use baseline::baseline;
pub use error::EvaluateError;
pub use groups::{Group, SourceNames, groups};
pub use number::{Number, headline, headline_name, numbers};
pub use prediction::{Prediction, Setting, prediction_batch};
pub use rows::{AggregateRow, ComparisonRow, ExampleScoreRow, PredictionRow, ScoreRow, SummaryRow};
pub use score::{ScoreRequest, ScoreTables, score};
pub use submission::{Submission, SubmissionRequest, SubmissionScore, score_submission};
