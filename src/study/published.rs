//! From published results back to the artifacts behind them, for what is handed on to others.

use std::collections::BTreeMap;
use std::path::Path;

use super::StudyError;
use super::artifacts::{Canonical, Kind, Predictions, Scores, input};
use super::canonical::edition;
use super::provenance::{artifact, no_such};
use super::stage::StageName;
use crate::error::Result;
use crate::evaluate::ScoreRow;
use crate::exchange::results::{ScoreRecord, System, TaskScores};
use crate::exchange::{CanonicalData, OutputDir, SubmissionTable, write_croissant, write_submission};
use crate::report::{self, Run};
use crate::shard::table_rows;
use crate::store::{Artifact, Store, digest_bytes};
use crate::task::{CHANCE, Edition, Format, Registry, Suite, Task, print_seed};

/// One target of a published row, with its artifacts.
#[derive(Debug, Clone)]
pub struct PublishedCell<'a> {
    /// The target.
    pub task: &'a Task,
    /// Its run.
    pub run: Run,
    score: Artifact,
    predictions: Artifact,
    gold: Artifact,
}

/// What a written submission holds: task and languages; and the suite's tasks that it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Task and languages.
    pub written: Vec<(String, Vec<String>)>,
    /// Tasks of the suite that the row has no results of.
    pub missing: Vec<String>,
}

/// The cells of `row` in the published results of `study`, by target. Without a seed, that of the only repetition.
///
/// # Errors
/// [`StudyError::NoSuchRow`] names what is not there; an artifact that is gone from the store.
pub fn published<'a>(
    store: &Store,
    registry: &'a Registry,
    study: &str,
    row: &str,
    seed: Option<u64>,
) -> Result<Vec<PublishedCell<'a>>> {
    let results = store.results_dir();
    let mut runs = report::runs(&results, Some(study))?;
    if runs.is_empty() {
        // To say what there is in its place.
        runs = report::runs(&results, None)?;
    }
    for (what, wanted, of) in [
        ("study", Some(study.to_owned()), (|run: &Run| run.study.clone()) as fn(&Run) -> String),
        ("row", Some(row.to_owned()), |run| run.at.row.clone()),
        ("seed", seed.map(|seed| seed.to_string()), |run| run.at.seed.to_string()),
    ] {
        let mut known: Vec<String> = runs.iter().map(of).collect();
        known.sort();
        known.dedup();
        if wanted.is_none() && known.len() == 1 {
            continue;
        }
        if !wanted.as_ref().is_some_and(|wanted| known.contains(wanted)) {
            return Err(no_such(what, wanted.as_deref(), &known.join(", ")));
        }
        runs.retain(|run| Some(of(run)) == wanted);
    }
    runs.into_iter()
        .map(|run| {
            let task = registry.task(run.at.target.as_str(), &format!("study {study}"))?;
            let score = artifact(store, &run, StageName::Score, &run.score_key)?;
            let input = |name: &str| input(store, &score.manifest, name);
            let (predictions, gold) = (input("predictions")?, input("gold")?);
            Ok(PublishedCell { task, run, score, predictions, gold })
        })
        .collect()
}

impl PublishedCell<'_> {
    /// The score rows of the hidden state that stands for the target in tables.
    fn scores(&self) -> Result<Vec<(ScoreRecord, Option<f64>)>> {
        let layer = self.layer()?;
        let mut scores = Vec::new();
        for row in table_rows(&Scores::of(&self.score)?.scores())? {
            let ScoreRow { setting, language, metric, value, ci_low, ci_high, examples, threshold, .. } = row?;
            if layer.is_none() || setting.layer == layer {
                scores.push((ScoreRecord { language, metric, value, ci_low, ci_high, examples }, threshold));
            }
        }
        Ok(scores)
    }

    /// The hidden state that stands for the target: the model file's first, where predictions have any.
    fn layer(&self) -> Result<Option<i32>> {
        if self.task.format != Format::SentenceRetrieval || self.run.at.row == CHANCE {
            return Ok(None);
        }
        if let Some(layers) = Predictions::of(&self.predictions)?.layers()? {
            return Ok(layers.first().and_then(|layer| i32::try_from(*layer).ok()));
        }
        // Another system's predictions: the layer that was published with them.
        Ok(self.run.headline_layer()?)
    }

    /// The key of the model that predicted; that of the predictions where none of ours did.
    fn model(&self) -> String {
        let model = self.predictions.manifest.inputs.get("model").and_then(|input| input.key.as_ref());
        model.map_or_else(|| self.run.predict_key.clone(), ToString::to_string)
    }

    /// The scores as other projects take them.
    pub fn task_scores(&self) -> Result<TaskScores<'_>> {
        Ok(TaskScores {
            task: self.task,
            data: self.gold.manifest.digest.clone(),
            key: self.score.manifest.key.to_string(),
            model: self.model(),
            headline: self.task.metric.map_or(&[], |metric| metric.headline()),
            scores: self.scores()?.into_iter().map(|(record, _)| record).collect(),
        })
    }
}

/// Whose scores the cells of one row are. Its revision is the BLAKE3 digest of lines `TARGET MODEL`, sorted.
pub fn system(cells: &[PublishedCell<'_>]) -> Option<System> {
    let run = &cells.first()?.run;
    let mut models: Vec<String> = cells.iter().map(|cell| format!("{} {}\n", cell.task.id, cell.model())).collect();
    models.sort();
    Some(System {
        name: format!("{}/{}/{}", run.study, run.at.row, print_seed(run.at.seed)),
        revision: digest_bytes(models.concat().as_bytes()),
        code_version: run.code_version.clone(),
    })
}

/// Writes the predictions of `cells` that are tasks of `suite`, in its languages, to `output/predictions` in XTREME's layout, and
/// their gold to `output/labels` where that is wanted. The directory appears whole or not at all.
pub fn export_submission(
    cells: &[PublishedCell<'_>],
    registry: &Registry,
    suite: &Suite,
    with_labels: bool,
    output: &Path,
) -> Result<Submitted> {
    let dir = OutputDir::create(output)?;
    let (predictions, labels) = (dir.path().join("predictions"), dir.path().join("labels"));
    let in_suite = |task: &Task| suite.has(&task.id);
    let mut written = Vec::new();
    for cell in cells.iter().filter(|cell| in_suite(cell.task)) {
        let thresholds: BTreeMap<String, f64> =
            cell.scores()?.into_iter().filter_map(|(record, threshold)| Some((record.language, threshold?))).collect();
        let mut gold = Canonical::of(&cell.gold)?.of_split(cell.task.evaluate);
        gold.sort();
        let of_suite = suite.languages(&cell.task.id);
        let mut own = Predictions::of(&cell.predictions)?.tables();
        own.retain(|(language, _)| of_suite.contains(language));
        let table = SubmissionTable { task: cell.task, predictions: own, gold, layer: cell.layer()?, thresholds };
        let languages = write_submission(&table, &predictions, with_labels.then_some(labels.as_path()))?;
        written.push((cell.task.id.clone(), languages));
    }
    if written.is_empty() {
        return Err(no_such(
            "task of the suite",
            Some(&suite.id),
            &cells.iter().map(|c| c.task.id.as_str()).collect::<Vec<_>>().join(", "),
        ));
    }
    dir.finish()?;
    let has = |task: &&Task| written.iter().any(|(id, _)| *id == task.id);
    let missing = registry.tasks().filter(|task| in_suite(task) && !has(task)).map(|task| task.id.clone()).collect();
    Ok(Submitted { written, missing })
}

/// Writes the canonical tables of `tasks` that the store holds, each with its Croissant metadata, to `output/TASK`. The directory
/// appears whole or not at all. Returns the tasks written.
///
/// # Errors
/// [`StudyError::NoCanonical`] for a task without canonical tables in the store.
pub fn export_croissant(store: &Store, tasks: &[&Task], output: &Path) -> Result<Vec<String>> {
    let artifacts = store.list()?;
    let canonical = super::canonical_artifacts(&artifacts);
    let dir = OutputDir::create(output)?;
    let mut written = Vec::new();
    for task in tasks {
        let Some(artifact) = canonical.get(&task.id) else {
            return Err(StudyError::NoCanonical { task: task.id.clone(), what: String::new() }.into());
        };
        let out = dir.path().join(&task.id);
        std::fs::create_dir_all(&out).map_err(|e| crate::error::FileError::new("create directory", &out, e))?;
        let tables = Canonical::of(artifact)?.tables();
        let digest = &artifact.manifest.digest;
        let data = CanonicalData { tables: &tables, digest, mini: edition(store, artifact)? != Some(Edition::Full) };
        write_croissant(task, &data, &out)?;
        written.push(task.id.clone());
    }
    dir.finish()?;
    Ok(written)
}
