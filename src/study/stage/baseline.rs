//! Predictions without a model: the majority, or chance.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::error::Result;
use crate::evaluate::baseline;
use crate::evaluate::retrieval::{ChanceRequest, Method, RetrieveOutcome, chance};
use crate::shard::keys_of;
use crate::study::artifacts::Canonical;
use crate::task::{Format, SourceLanguage, Split};

/// The stage.
pub struct Baseline;

/// Which task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The target.
    pub task: String,
    /// Decides every draw.
    pub seed: u64,
}

/// What is predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The target.
    pub task: String,
    /// Its format.
    pub format: Format,
    /// Its labels, in head order.
    pub labels: Vec<String>,
    /// The splits that are predicted, the one that scores are computed on last.
    pub splits: Vec<Split>,
    /// Decides every draw.
    pub seed: u64,
    /// The language of the training split that it learns from.
    #[serde(default, skip_serializing_if = "SourceLanguage::is_default")]
    pub source: SourceLanguage,
    /// In retrieval, what a model would look for.
    pub method: Option<Method>,
    /// In retrieval, whether queries search the sentences of all languages.
    pub shared_index: bool,
    /// Whether the language of a sentence that is found is a column of its own: where the index is shared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prediction_language: bool,
}

/// What was predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// In retrieval.
    Drawn(RetrieveOutcome),
    /// Elsewhere.
    Guessed {
        /// Number of languages.
        languages: usize,
    },
}

impl Stage for Baseline {
    const NAME: StageName = StageName::Baseline;
    const VERSION: u32 = 3;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = Outcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::One)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<Outcome> {
        let gold = inputs.get::<Canonical>("gold")?;
        if let Some(method) = request.method {
            let files = gold.of_splits(&request.splits);
            let (shared_index, seed) = (request.shared_index, request.seed);
            let wanted = ChanceRequest { task: request.task, files, method, shared_index, seed };
            return Ok(Outcome::Drawn(chance(&wanted, out.dir, &out.metadata())?));
        }
        let of_source = |(language, path): (String, PathBuf)| (language == request.source.code()).then_some(path);
        let train = inputs.find::<Canonical>("train")?.map(|train| train.of_split(Split::Train));
        let train: Vec<PathBuf> = train.into_iter().flatten().filter_map(of_source).collect();
        let split = request.splits.last().copied().unwrap_or(Split::Test);
        let tables = gold.of_split(split);
        let (format, labels) = (request.format.name(), &request.labels);
        let batches = baseline(format, labels, &train, &tables, split.name(), &request.task, request.seed)?;
        for ((language, batch), (_, path)) in batches.iter().zip(&tables) {
            out.predictions(language, batch, keys_of(path)?)?;
        }
        Ok(Outcome::Guessed { languages: batches.len() })
    }
}

impl Planned for Baseline {
    type Plan = Plan;

    fn request(plan: &Plan, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let task = setup.task(&plan.task)?;
        let request = Request {
            task: task.id.clone(),
            format: task.format,
            labels: inputs.get::<Canonical>("gold")?.labels(task)?,
            splits: task.predicted_splits(),
            seed: plan.seed,
            source: setup.study.source.clone(),
            method: (task.format == Format::SentenceRetrieval).then(|| Method::of(task.metric)),
            shared_index: task.shares_index(),
            prediction_language: task.shares_index(),
        };
        Ok((request, ()))
    }
}
