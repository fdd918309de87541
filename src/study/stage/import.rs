//! Another system's predictions, checked against gold and put into the store's form.

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Resources, Run, Stage, StageName, Threads};
use crate::error::Result;
use crate::evaluate::prediction_batch;
use crate::exchange::{Layout, SystemFile, read_predictions};
use crate::shard::{KeyColumns, keys_of};
use crate::study::StudyError;
use crate::study::artifacts::Canonical;
use crate::task::{Format, Split, Suite, Task};

/// The stage.
pub struct Import;

/// Whose predictions of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The task.
    pub task: String,
    /// Its format.
    pub format: Format,
    /// Its labels, in head order.
    pub labels: Vec<String>,
    /// The split that is predicted.
    pub split: Split,
    /// How they lie in their files.
    pub layout: Layout,
    /// The system's name.
    pub system: String,
    /// Whether the language of a sentence that is found is a column of its own: where the index is shared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prediction_language: bool,
    /// Which repetition they are.
    pub seed: u64,
    /// Where they come from.
    pub note: String,
}

/// Which file is what, and what is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unkeyed {
    /// The task, which says what may be predicted.
    pub task: Task,
    /// The suite whose languages must be there.
    pub suite: Suite,
    /// The files in order: the input's name and the language.
    pub files: Vec<(String, String)>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Number of languages.
    pub languages: usize,
    /// Number of predictions.
    pub rows: usize,
}

impl Stage for Import {
    const NAME: StageName = StageName::Import;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = Unkeyed;
    type Outcome = Outcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::One)
    }

    fn perform(
        request: Request,
        unkeyed: Unkeyed,
        inputs: &Inputs,
        out: &Output<'_>,
        _run: &Run<'_>,
    ) -> Result<Outcome> {
        let file = |(name, language): (String, String)| -> Result<SystemFile> {
            let lacks =
                || StudyError::Job { label: out.label.to_string(), message: format!("it has no input `{name}`") };
            let (path, _) = inputs.file(&name).ok_or_else(lacks)?;
            Ok(SystemFile { language, path: path.to_owned() })
        };
        let files: Vec<SystemFile> = unkeyed.files.into_iter().map(file).collect::<Result<_>>()?;
        let gold = inputs.get::<Canonical>("gold")?.of_split(request.split);
        let read = read_predictions(&unkeyed.task, &unkeyed.suite, request.layout, &files, &gold)?;
        for (language, rows) in &read {
            let of_gold =
                gold.iter().find(|(known, _)| known == language).map(|(_, path)| keys_of(path)).transpose()?;
            let keys = KeyColumns { prediction_language: request.prediction_language, ..of_gold.unwrap_or_default() };
            out.predictions(language, &prediction_batch(&request.task, request.split.name(), language, rows), keys)?;
        }
        Ok(Outcome { languages: read.len(), rows: read.iter().map(|(_, rows)| rows.len()).sum() })
    }
}
