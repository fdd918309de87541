//! Predictions and results in other projects' forms: other systems' predictions in, ours out.
//!
//! - Predictions come in XTREME's folder layout, or as tables with `example_id` and `prediction`
//!   ([`system_files`] finds them, [`read_predictions`] checks them against gold). Nothing passes that the score stage would
//!   have to guess at: each gold example once, no other, with an answer of its task's kind.
//! - Predictions and gold go out in XTREME's layout ([`write_submission`]), in the order of the canonical tables, which is that of
//!   the raw files.
//! - Scores go out as MTEB's and lm-evaluation-harness's result files, and as the model index of a Hugging Face model
//!   card ([`results`]); canonical tables with Croissant metadata ([`write_croissant`]).
//!
//! Outputs appear whole or not at all, and never in the place of something ([`OutputDir`], [`write_new`]).

mod croissant;
mod error;
mod examples;
mod layout;
mod output;
mod predictions;
pub mod results;
mod submission;

pub use croissant::{CanonicalData, write_croissant};
pub use error::ExchangeError;
pub use layout::{Layout, SystemFile, system_files};
pub use output::{OutputDir, write_new};
pub use predictions::read_predictions;
pub use submission::{SubmissionTable, write_submission};
