//! Other systems' predictions as a study of their own: checked against the gold in the store, scored by the same stage,
//! published beside everything else.
//!
//! An import is an artifact of stage `import`, keyed by the content of its files, the gold, and what was said of it. Study
//! [`IMPORTED`] has a row for each system. A name that is imported again, from other files or against other gold, stands for what
//! was imported last; nothing is removed from the store.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::StudyError;
use super::artifacts::{self, Canonical, Kind, Predictions, Scores};
use super::canonical::{canonical_with, edition};
use super::label::{Label, StudyLabel};
use super::stage::import::{self, Import};
use super::stage::normalize::{self, Normalize};
use super::stage::score::{self, Score};
use super::stage::{Job, Run, Source, Stage, task_languages};
use crate::error::{Error, Result};
use crate::evaluate::ScoreRow;
use crate::exchange::{ExchangeError, Layout, SystemFile, read_predictions};
use crate::model::{ChosenDevice, DeviceChoice};
use crate::progress::Quiet;
use crate::report::{Cell, StudyResults};
use crate::shard::table_rows;
use crate::store::{Artifact, Store, digest_file};
use crate::task::{
    CHANCE, Coordinates, Edition, Format, IMPORTED, Place, Registry, SourceLanguage, Study, Suite, Task, Traits,
};

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportRequest<'a> {
    /// The suite whose languages they are in.
    pub suite: &'a Suite,
    /// How predictions lie in their files.
    pub layout: Layout,
    /// The files of each task, as [`crate::exchange::system_files`] finds them.
    pub files: Vec<(&'a Task, Vec<SystemFile>)>,
    /// The canonical tables to score a task against, where they are not to be the newest in the store.
    pub gold: BTreeMap<String, Artifact>,
    /// The system's name: its row in tables.
    pub name: &'a str,
    /// Which repetition they are, of a system with several.
    pub seed: u64,
    /// Where they come from, for `explain`.
    pub note: &'a str,
}

/// Imports, scores and publishes nothing yet: every task is read and checked before the first is committed. Returns the score
/// artifact of each task.
///
/// # Errors
/// [`ExchangeError`] for what is wrong with the files; [`StudyError::NoCanonical`] for a task whose gold is not in the store.
pub fn import(
    store: &Store,
    registry: &Registry,
    request: &ImportRequest<'_>,
    stop: &AtomicBool,
) -> Result<Vec<(String, Artifact)>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if request.name.is_empty() || request.name == CHANCE || !request.name.chars().all(plain) {
        return Err(ExchangeError::Name { name: request.name.to_owned() }.into());
    }
    let artifacts = store.list()?;
    let mut checked = Vec::new();
    for (task, files) in &request.files {
        let gold = request.gold.get(&task.id).or_else(|| canonical_with(&artifacts, &task.id, task.evaluate));
        let no_gold =
            || StudyError::NoCanonical { task: task.id.clone(), what: format!("of split {} ", task.evaluate) };
        let gold = gold.ok_or_else(no_gold)?;
        let tables = Canonical::of(gold)?.of_split(task.evaluate);
        read_predictions(task, request.suite, request.layout, files, &tables)?;
        checked.push((*task, files, gold));
    }
    // Neither reading nor scoring needs a device.
    let device = ChosenDevice::new(DeviceChoice::Flex);
    let run = Run::new(store, &device);
    let mut scored = Vec::new();
    for (task, files, gold) in checked {
        let imported = perform(&run, &import_job(task, files, gold, request)?, stop)?;
        let languages = languages(store, registry, task, gold, &imported)?;
        let at = at(task, request.name, request.seed);
        let score = perform(&run, &score_job(task, languages, &imported, gold, &at)?, stop)?;
        // From now on it is the last one of its name.
        imported.touch()?;
        scored.push((task.id.clone(), score));
    }
    Ok(scored)
}

/// The artifact of `job`: found, or made now.
fn perform(run: &Run<'_>, job: &Job, stop: &AtomicBool) -> Result<Artifact> {
    let made = run.store.make(&job.identity(), stop, |transaction| job.perform(transaction, run, &Quiet, stop))?;
    made.ok_or(Error::Interrupted)
}

fn at(task: &Task, system: &str, seed: u64) -> Coordinates {
    Coordinates { target: task.into(), row: system.to_owned(), seed }
}

fn label(label: Label) -> StudyLabel {
    StudyLabel { study: IMPORTED.to_owned(), label }
}

fn import_job(task: &Task, files: &[SystemFile], gold: &Artifact, request: &ImportRequest<'_>) -> Result<Job> {
    let mut sources = BTreeMap::from([("gold".to_owned(), Source::artifact(gold))]);
    let mut named = Vec::new();
    for file in files {
        let name = format!("file:{}/{}", task.id, file.path.file_name().unwrap_or_default().to_string_lossy());
        sources.insert(name.clone(), Source::file(file.path.clone(), digest_file(&file.path)?));
        named.push((name, file.language.clone()));
    }
    let at = at(task, request.name, request.seed);
    let asked = import::Request {
        task: task.id.clone(),
        format: task.format,
        labels: task.labels.clone(),
        split: task.evaluate,
        layout: request.layout,
        system: request.name.to_owned(),
        seed: request.seed,
        note: request.note.to_owned(),
        prediction_language: task.shares_index(),
    };
    let unkeyed = import::Unkeyed { task: task.clone(), suite: request.suite.clone(), files: named };
    Job::new::<Import>(label(Label::Import(Place::from(&at))), &asked, &unkeyed, sources)
}

/// The languages that `task` has in the edition that its gold is of; of those that a suite added, the ones imported.
fn languages(
    store: &Store,
    registry: &Registry,
    task: &Task,
    gold: &Artifact,
    imported: &Artifact,
) -> Result<BTreeMap<String, Traits>> {
    let mini = edition(store, gold)? == Some(Edition::Mini);
    let mut languages = task_languages(registry, task, Canonical::of(gold)?, mini)?;
    let tables = Predictions::of(imported)?.tables();
    let predicted = |code: &String| tables.iter().any(|(language, _)| language == code);
    languages.retain(|code, _| task.languages.contains(code) || predicted(code));
    Ok(languages)
}

fn score_job(
    task: &Task,
    languages: BTreeMap<String, Traits>,
    imported: &Artifact,
    gold: &Artifact,
    at: &Coordinates,
) -> Result<Job> {
    let artifacts = [("predictions", imported), ("gold", gold)];
    let sources = artifacts.map(|(name, artifact)| (name.to_owned(), Source::artifact(artifact))).into();
    let request = score::Request::of(task, languages, &SourceLanguage::default(), Canonical::of(gold)?)?;
    Job::new::<Score>(label(Label::Score(at.into())), &request, &(), sources)
}

/// Everything imported into `store`, as results: the last import of each system, task and seed whose scores are there.
pub fn imported_results(store: &Store, registry: &Registry) -> Result<StudyResults> {
    let mut last: BTreeMap<(String, String, u64), (Artifact, Artifact, Artifact)> = BTreeMap::new();
    for artifact in store.list()?.into_iter().filter(|artifact| artifact.manifest.stage == Import::NAME.name()) {
        let import::Request { system, task, seed, .. } = match artifacts::request::<Import>(&artifact.manifest) {
            // What an older version imported, and this one can't read, is to be imported again.
            Err(_) if artifact.manifest.stage_version != Import::VERSION => continue,
            read => read?,
        };
        let name = (system, task, seed);
        // An import without scores, because they failed or were interrupted, takes the place of none.
        if last.get(&name).is_none_or(|(known, ..)| known.written() < artifact.written())
            && let Some((gold, score)) = scored(store, registry, &name, &artifact)?
        {
            last.insert(name, (artifact, gold, score));
        }
    }
    let mut cells = Vec::new();
    let mut task_limits = BTreeMap::new();
    for ((system, target, seed), (imported, gold, score)) in &last {
        let task = registry.task(target, "an import")?;
        cells.push(cell(store, task, (system, *seed), imported, gold, score)?);
        if let Some(limit) = limit(gold, task)? {
            task_limits.insert(target.clone(), BTreeMap::from([(task.evaluate, limit)]));
        }
    }
    Ok(StudyResults {
        study: Study { task_limits, ..study(&cells) },
        tables: BTreeMap::new(),
        cells,
        code_version: env!("TRESTLE_VERSION").to_owned(),
    })
}

/// Most examples of each language that were read of the split that is scored, where there was a limit.
fn limit(gold: &Artifact, task: &Task) -> Result<Option<u64>> {
    if gold.manifest.stage != Normalize::NAME.name() {
        return Ok(None);
    }
    let normalize::Request { limits, .. } = artifacts::request::<Normalize>(&gold.manifest)?;
    Ok(limits.get(&task.evaluate).copied())
}

/// The gold and the scores of an import of `(system, task, seed)`, if both are there and its task still is.
fn scored(
    store: &Store,
    registry: &Registry,
    (system, target, seed): &(String, String, u64),
    imported: &Artifact,
) -> Result<Option<(Artifact, Artifact)>> {
    let input = imported.manifest.inputs.get("gold").and_then(|gold| gold.stage.as_ref().zip(gold.key.as_ref()));
    let (Ok(task), Some((stage, key))) = (registry.task(target, "an import"), input) else { return Ok(None) };
    let Some(gold) = store.artifact(stage, key)? else { return Ok(None) };
    let languages = languages(store, registry, task, &gold, imported)?;
    let job = score_job(task, languages, imported, &gold, &at(task, system, *seed))?;
    Ok(store.lookup(&job.identity())?.map(|score| (gold, score)))
}

/// The grid of what was imported: a row a system, nothing trained.
fn study(cells: &[Cell]) -> Study {
    let mut study = Study::of_tasks(Edition::Full, IMPORTED, None);
    study.id = IMPORTED.to_owned();
    study.title = "Imported predictions".to_owned();
    study.seeds = Vec::new();
    for cell in cells {
        if !study.order.contains(&cell.at.row) {
            study.order.push(cell.at.row.clone());
            study.intermediate.insert(cell.at.row.clone(), Vec::new());
        }
        if !study.targets.iter().any(|target| cell.at.target == *target) {
            study.targets.push(cell.at.target.to_string());
        }
        if !study.seeds.contains(&cell.at.seed) {
            study.seeds.push(cell.at.seed);
        }
    }
    study.targets.sort();
    study.seeds.sort_unstable();
    study
}

fn cell(
    store: &Store,
    task: &Task,
    (system, seed): (&str, u64),
    imported: &Artifact,
    gold: &Artifact,
    score: &Artifact,
) -> Result<Cell> {
    let manifest = &imported.manifest;
    let layer = if task.format == Format::SentenceRetrieval { first_layer(score)? } else { None };
    Ok(Cell {
        study: IMPORTED.to_owned(),
        at: at(task, system, seed),
        metric: task.metric.map_or(&[], |metric| metric.headline()),
        layer,
        edition: edition(store, gold)?,
        score_dir: Scores::of(score)?.dir().to_owned(),
        predictions: Predictions::of(imported)?.tables(),
        training_logs: Vec::new(),
        predict_key: manifest.key.to_string(),
        score_key: score.manifest.key.to_string(),
        model_key: String::new(),
        tokenizer_digest: String::new(),
        data_keys: BTreeMap::from([(format!("gold/{}", task.id), gold.manifest.key.to_string())]),
        parameters: json!({
            "predict": manifest.parameters, "score": score.manifest.parameters,
            "model": {"retrieval": {"layers": layer.map_or(Value::Null, |layer| json!([layer]))}},
        }),
    })
}

/// The lowest hidden state that was scored.
fn first_layer(score: &Artifact) -> Result<Option<i32>> {
    let mut lowest = None;
    for row in table_rows::<ScoreRow>(&Scores::of(score)?.scores())? {
        lowest = [lowest, row?.setting.layer].into_iter().flatten().min();
    }
    Ok(lowest)
}
