//! A whole study: every row against the row without intermediate training, and what its seeds come to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    BOOTSTRAP_SEED, Inputs, Output, Planned, RESAMPLES, Resources, Run, Setup, Stage, StageName, TRIALS, Threads,
};
use crate::error::Result;
use crate::evaluate::{AnalyzeCell, AnalyzeRequest, AnalyzeTarget, Setting, analyze};
use crate::study::artifacts::Scores;
use crate::task::{Coordinates, Metric, NONE, Pooling, SourceLanguage, Suite, Traits};

/// The stage.
pub struct Analyze;

/// Which cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The study's cells: targets and rows in its order.
    pub cells: Vec<ScoredCell>,
}

/// What is compared with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The study's cells: targets and rows in its order.
    pub cells: Vec<ScoredCell>,
    /// How each target is scored.
    pub targets: BTreeMap<String, Target>,
    /// The suites that have a target among their tasks.
    pub suites: Vec<Suite>,
    /// The row that the others are compared with.
    pub baseline: String,
    /// The language that the study trains in.
    #[serde(default, skip_serializing_if = "SourceLanguage::is_default")]
    pub source: SourceLanguage,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// Trials behind each p-value.
    pub trials: usize,
    /// Seed of every draw.
    pub seed: u64,
}

/// A cell of the grid as the analysis of the whole study sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredCell {
    /// The name of the input that holds its scores.
    pub input: String,
    /// Which cell.
    pub at: Coordinates,
}

/// A target as it is analysed: a retrieval task by its first layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How it is scored.
    pub metric: Metric,
    /// The hidden state that stands for it, in retrieval.
    pub layer: Option<i32>,
    /// What of the hidden state, in retrieval.
    pub pooling: Option<Pooling>,
    /// The languages that it has.
    pub languages: BTreeMap<String, Traits>,
    /// Whether their examples are translations of one another.
    pub parallel: bool,
}

/// How many rows were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Of the table of comparisons.
    pub comparisons: usize,
    /// Of the table of aggregates.
    pub aggregates: usize,
}

impl Stage for Analyze {
    const NAME: StageName = StageName::Analyze;
    const VERSION: u32 = 5;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = Outcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<Outcome> {
        let mut targets: Vec<AnalyzeTarget> = Vec::new();
        for cell in &request.cells {
            if let Some(target) = request.targets.get(cell.at.target.as_str())
                && targets.iter().all(|known| cell.at.target != known.id)
            {
                targets.push(AnalyzeTarget {
                    id: cell.at.target.to_string(),
                    metric: target.metric,
                    setting: Setting {
                        layer: target.layer,
                        pooling: target.pooling.map(|pooling| pooling.name().to_owned()),
                    },
                    languages: target.languages.clone(),
                    parallel: target.parallel,
                });
            }
        }
        let scored = |cell: ScoredCell| -> Result<AnalyzeCell> {
            let example_scores = inputs.get::<Scores>(&cell.input)?.examples();
            Ok(AnalyzeCell { at: cell.at, example_scores })
        };
        let wanted = AnalyzeRequest {
            baseline: &request.baseline,
            source: request.source,
            targets,
            cells: request.cells.into_iter().map(scored).collect::<Result<_>>()?,
            suites: request.suites,
            seed: request.seed,
            resamples: request.resamples,
            trials: request.trials,
        };
        let made = analyze(&wanted, out.progress, out.stop)?;
        out.table("comparisons", &made.comparisons)?;
        out.table("aggregates", &made.aggregates)?;
        Ok(Outcome { comparisons: made.comparisons.num_rows(), aggregates: made.aggregates.num_rows() })
    }
}

impl Planned for Analyze {
    type Plan = Plan;

    fn request(plan: &Plan, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let mut targets = BTreeMap::new();
        for cell in &plan.cells {
            let task = setup.task(cell.at.target.as_str())?;
            let Some(metric) = task.metric.filter(|_| !targets.contains_key(&task.id)) else { continue };
            let (layer, pooling) = setup.headline_setting(task).unzip();
            let languages = inputs.get::<Scores>(&cell.input)?.request()?.languages;
            let target = Target { metric, layer, pooling, languages, parallel: task.parallel };
            targets.insert(task.id.clone(), target);
        }
        let has_target = |suite: &&Suite| suite.tasks.iter().any(|task| targets.contains_key(&task.id));
        let suites = setup.registry.suites().filter(has_target).cloned().collect();
        let request = Request {
            cells: plan.cells.clone(),
            targets,
            suites,
            baseline: NONE.to_owned(),
            source: setup.study.source.clone(),
            resamples: RESAMPLES,
            trials: TRIALS,
            seed: BOOTSTRAP_SEED,
        };
        Ok((request, ()))
    }
}
