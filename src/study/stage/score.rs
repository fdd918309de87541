//! Predictions against gold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    BOOTSTRAP_SEED, Inputs, OfTask, Output, Planned, RESAMPLES, Resources, Run, Setup, Stage, StageName, Threads,
};
use crate::error::Result;
use crate::evaluate::{ScoreRequest, score};
use crate::shard::{KeyColumns, keys_of};
use crate::study::artifacts::{Canonical, Predictions};
use crate::task::{Format, Metric, SourceLanguage, Split, Task, Traits};

/// The stage.
pub struct Score;

/// How predictions are scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The target.
    pub task: String,
    /// Its format.
    pub format: Format,
    /// How it is scored.
    pub metric: Option<Metric>,
    /// Its labels, in head order.
    pub labels: Vec<String>,
    /// The split that is scored.
    pub split: Split,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// Seed of every draw.
    pub seed: u64,
    /// The languages that it has.
    pub languages: BTreeMap<String, Traits>,
    /// The one that what predicted was trained in.
    #[serde(default, skip_serializing_if = "SourceLanguage::is_default")]
    pub source: SourceLanguage,
    /// Whether their examples are translations of one another.
    pub parallel: bool,
}

/// What was scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Rows of the table of scores.
    pub rows: usize,
}

impl Request {
    /// How predictions of `task`, which has `languages`, are scored against `gold` where `source` is what models were trained in.
    pub fn of(
        task: &Task,
        languages: BTreeMap<String, Traits>,
        source: &SourceLanguage,
        gold: Canonical<'_>,
    ) -> Result<Self> {
        Ok(Self {
            task: task.id.clone(),
            format: task.format,
            metric: task.metric,
            labels: gold.labels(task)?,
            split: task.evaluate,
            resamples: RESAMPLES,
            seed: BOOTSTRAP_SEED,
            languages,
            source: source.clone(),
            parallel: task.parallel,
        })
    }

    /// Those of the tables of gold that predictions are held against. Gold may have languages that another suite added than the
    /// one that was predicted: they are none of the request's.
    fn scored(&self, mut gold: Vec<Table>, predictions: &[Table]) -> Vec<Table> {
        if !self.metric.is_some_and(Metric::searches_all_languages) {
            let predicted = |language: &String| predictions.iter().any(|(predicted, _)| predicted == language);
            gold.retain(|(language, _)| self.languages.contains_key(language) || predicted(language));
        }
        gold
    }
}

/// Language and file.
type Table = (String, PathBuf);

impl Stage for Score {
    const NAME: StageName = StageName::Score;
    const VERSION: u32 = 4;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = Outcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<Outcome> {
        let predictions = inputs.get::<Predictions>("predictions")?.tables();
        let canonical = inputs.get::<Canonical>("gold")?;
        let gold = request.scored(canonical.of_split(request.split), &predictions);
        // Of examples in two languages, so are their scores.
        let of_gold = gold.first().map(|(_, path)| keys_of(path)).transpose()?.unwrap_or_default();
        let keys = KeyColumns { prediction_language: false, ..of_gold };
        let made = score(&ScoreRequest {
            task: &request.task,
            format: request.format.name(),
            metric: request.metric.map_or("", |metric| metric.name()),
            labels: &request.labels,
            split: request.split.name(),
            predictions,
            gold,
            languages: request.languages,
            source: request.source,
            parallel: request.parallel,
            development: canonical.of_split(Split::Validation),
            seed: request.seed,
            resamples: request.resamples,
        })?;
        out.table("scores", &made.scores)?;
        out.table("summaries", &made.summaries)?;
        out.table_with("example-scores", &made.examples, keys)?;
        Ok(Outcome { rows: made.scores.num_rows() })
    }
}

impl Planned for Score {
    type Plan = OfTask;

    fn request(plan: &OfTask, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let (task, gold) = (setup.task(&plan.task)?, inputs.get::<Canonical>("gold")?);
        Ok((Request::of(task, setup.languages(task, gold)?, &setup.study.source, gold)?, ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scored_follows_from_the_request_and_not_from_who_predicted() {
        let languages =
            crate::task::Languages::parse(include_str!("../../../data/languages.toml"), "languages").unwrap();
        let mut request = Request {
            task: "toy".to_owned(),
            format: Format::WordTagging,
            metric: Some(Metric::SpanF1),
            labels: Vec::new(),
            split: Split::Test,
            resamples: 1,
            seed: 1,
            languages: ["de", "en"].map(|code| (code.to_owned(), languages.get(code).unwrap().traits())).into(),
            source: SourceLanguage::default(),
            parallel: false,
        };
        let tables = |codes: &[&str]| codes.iter().map(|code| ((*code).to_owned(), PathBuf::new())).collect::<Vec<_>>();
        let scored = |request: &Request, predicted: &[&str]| -> Vec<String> {
            let gold = request.scored(tables(&["de", "en", "fi", "lt"]), &tables(predicted));
            gold.into_iter().map(|(language, _)| language).collect()
        };
        // Of languages that are not the task's those that were predicted; of its own, all: one that lacks is an error.
        assert_eq!(scored(&request, &["de", "en", "fi"]), ["de", "en", "fi"]);
        assert_eq!(scored(&request, &["en"]), ["de", "en"]);
        request.metric = Some(Metric::MeanAveragePrecision);
        assert_eq!(scored(&request, &["en"]), ["de", "en", "fi", "lt"]);
    }
}
