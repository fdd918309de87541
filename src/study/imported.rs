//! Other systems' predictions as a study of their own: checked against the gold in the store, scored by the same stage,
//! published beside everything else.
//!
//! An import is an artifact of stage `import`, keyed by the content of its files, the gold, and what was said of it. Study
//! [`IMPORTED`] has a row for each system. A name that is imported again, from other files or against other gold, stands for what
//! was imported last; nothing is removed from the store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::StudyError;
use super::canonical::{canonical_with, edition};
use super::stage::{
    evaluation_tables, perform_score, prediction_tables, score_parameters, stage_version, task_languages,
};
use crate::error::Result;
use crate::evaluate::prediction_batch;
use crate::exchange::{ExchangeError, Layout, SystemFile, read_predictions};
use crate::report::{Cell, StudyResults};
use crate::schema;
use crate::shard::{PART, write_table};
use crate::store::{Artifact, Begin, Identity, Input, Store, digest_file};
use crate::task::{CHANCE, Edition, Format, IMPORTED, Language, Registry, Study, Task};

/// What to import.
#[derive(Debug, Clone)]
pub struct ImportRequest<'a> {
    /// The suite whose languages they are in.
    pub suite: &'a str,
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
pub fn import(store: &Store, registry: &Registry, request: &ImportRequest<'_>) -> Result<Vec<(String, Artifact)>> {
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
        let tables = evaluation_tables(gold, task);
        let predictions = read_predictions(task, request.suite, request.layout, files, &tables)?;
        checked.push((task, files, gold, predictions));
    }
    let mut scored = Vec::new();
    for (task, files, gold, predictions) in checked {
        let identity = identity(task, files, gold, request)?;
        let imported = match store.begin(identity, || {})? {
            Begin::Done(artifact) => *artifact,
            Begin::Open(transaction) => {
                let key = transaction.key().to_string();
                let metadata = [("trestle.key", key.as_str()), ("trestle.stage", "import")];
                let table = schema::table("predictions");
                for (language, rows) in &predictions {
                    let batch = prediction_batch(&task.id, task.evaluate.name(), language, rows);
                    table.check(&batch)?;
                    let path = transaction.dir().join(format!("language={language}")).join(PART);
                    write_table(&path, &table.schema, &metadata, std::slice::from_ref(&batch))?;
                }
                let rows: usize = predictions.iter().map(|(_, rows)| rows.len()).sum();
                transaction.commit(json!({"languages": predictions.len(), "rows": rows}))?
            }
        };
        let languages = languages(store, registry, task, gold, &imported)?;
        let score = score(store, (task, languages), &imported, gold, request)?;
        // From now on it is the last one of its name.
        imported.touch()?;
        scored.push((task.id.clone(), score));
    }
    Ok(scored)
}

fn label(stage: &str, task: &str, request: &ImportRequest<'_>) -> String {
    format!("{IMPORTED}:{stage}/{task}/{}/seed-{}", request.name, request.seed)
}

fn identity(task: &Task, files: &[SystemFile], gold: &Artifact, request: &ImportRequest<'_>) -> Result<Identity> {
    let mut inputs = BTreeMap::from([("gold".to_owned(), gold.as_input())]);
    for file in files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        inputs.insert(format!("file:{}/{name}", task.id), Input::external(digest_file(&file.path)?));
    }
    let parameters = json!({
        "task": task.id, "format": task.format, "labels": task.labels, "split": task.evaluate,
        "layout": request.layout.name(), "system": request.name, "seed": request.seed, "note": request.note,
    });
    let label = label("import", &task.id, request);
    Ok(Identity { stage: "import".to_owned(), version: stage_version("import"), label, parameters, inputs })
}

/// The languages that `task` has in the edition that its gold is of; of those that a suite added, the ones imported.
fn languages(
    store: &Store,
    registry: &Registry,
    task: &Task,
    gold: &Artifact,
    imported: &Artifact,
) -> Result<Vec<Language>> {
    let mut languages = task_languages(registry, task, gold, edition(store, gold)? == Some(Edition::Mini))?;
    let predicted: BTreeSet<String> = prediction_tables(imported).into_iter().map(|(language, _)| language).collect();
    languages.retain(|language| task.languages.contains(&language.code) || predicted.contains(&language.code));
    Ok(languages)
}

fn score_identity(
    (task, languages): (&Task, &[Language]),
    imported: &Artifact,
    gold: &Artifact,
    label: String,
) -> Identity {
    let inputs =
        BTreeMap::from([("predictions".to_owned(), imported.as_input()), ("gold".to_owned(), gold.as_input())]);
    let parameters = score_parameters(task, languages, gold);
    Identity { stage: "score".to_owned(), version: stage_version("score"), label, parameters, inputs }
}

fn score(
    store: &Store,
    (task, languages): (&Task, Vec<Language>),
    imported: &Artifact,
    gold: &Artifact,
    request: &ImportRequest<'_>,
) -> Result<Artifact> {
    let identity = score_identity((task, &languages), imported, gold, label("score", &task.id, request));
    Ok(match store.begin(identity, || {})? {
        Begin::Done(artifact) => *artifact,
        Begin::Open(transaction) => {
            let key = transaction.key().to_string();
            let metadata = [("trestle.key", key.as_str()), ("trestle.stage", "score")];
            let inputs =
                BTreeMap::from([("predictions".to_owned(), imported.clone()), ("gold".to_owned(), gold.clone())]);
            let statistics = perform_score(task, languages, &inputs, transaction.dir(), &metadata)?;
            transaction.commit(statistics)?
        }
    })
}

/// Everything imported into `store`, as results: the last import of each system, task and seed whose scores are there.
pub fn imported_results(store: &Store, registry: &Registry) -> Result<StudyResults> {
    let mut last: BTreeMap<(String, String, u64), (Artifact, Artifact, Artifact)> = BTreeMap::new();
    for artifact in store.list()?.into_iter().filter(|artifact| artifact.manifest.stage == "import") {
        let parameters = &artifact.manifest.parameters;
        let text = |name: &str| parameters[name].as_str().unwrap_or_default().to_owned();
        let place = (text("system"), text("task"), parameters["seed"].as_u64().unwrap_or(0));
        // An import without scores, because they failed or were interrupted, takes the place of none.
        if last.get(&place).is_none_or(|(known, ..)| known.written() < artifact.written())
            && let Some((gold, score)) = scored(store, registry, &artifact)?
        {
            last.insert(place, (artifact, gold, score));
        }
    }
    let mut cells = Vec::new();
    let mut task_limits = BTreeMap::new();
    for ((system, target, seed), (imported, gold, score)) in &last {
        let task = registry.task(target, "an import")?;
        cells.push(cell(store, task, (system, *seed), imported, gold, score)?);
        if let Some(limit) = gold.manifest.parameters["limits"][task.evaluate.name()].as_u64() {
            task_limits.insert(target.clone(), BTreeMap::from([(task.evaluate, limit)]));
        }
    }
    Ok(StudyResults {
        study: Study { task_limits, ..study(&cells) },
        profiles: BTreeMap::new(),
        overlap: None,
        comparisons: None,
        aggregates: None,
        cells,
        code_version: env!("TRESTLE_VERSION").to_owned(),
    })
}

/// The gold and the scores of an import, if both are there and its task still is.
fn scored(store: &Store, registry: &Registry, imported: &Artifact) -> Result<Option<(Artifact, Artifact)>> {
    let manifest = &imported.manifest;
    let target = manifest.parameters["task"].as_str().unwrap_or_default();
    let input = manifest.inputs.get("gold").and_then(|gold| gold.stage.as_ref().zip(gold.key.as_ref()));
    let (Ok(task), Some((stage, key))) = (registry.task(target, "an import"), input) else { return Ok(None) };
    let Some(gold) = store.artifact(stage, key)? else { return Ok(None) };
    let languages = languages(store, registry, task, &gold, imported)?;
    let score = store.lookup(&score_identity((task, &languages), imported, &gold, String::new()))?;
    Ok(score.map(|score| (gold, score)))
}

/// The grid of what was imported: a row a system, nothing trained.
fn study(cells: &[Cell]) -> Study {
    let mut study = Study::of_tasks(Edition::Full, IMPORTED, None);
    study.id = IMPORTED.to_owned();
    study.title = "Imported predictions".to_owned();
    study.seeds = Vec::new();
    for cell in cells {
        if !study.order.contains(&cell.intermediate) {
            study.order.push(cell.intermediate.clone());
            study.intermediate.insert(cell.intermediate.clone(), Vec::new());
        }
        if !study.targets.contains(&cell.target) {
            study.targets.push(cell.target.clone());
        }
        if !study.seeds.contains(&cell.seed) {
            study.seeds.push(cell.seed);
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
        target: task.id.clone(),
        intermediate: system.to_owned(),
        seed,
        metric: task.metric.map_or(&[], |metric| metric.headline()),
        layer,
        edition: edition(store, gold)?,
        scores: score.dir.join("scores.parquet"),
        summaries: score.dir.join("summaries.parquet"),
        example_scores: score.dir.join("example-scores.parquet"),
        predictions: prediction_tables(imported),
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
    use arrow::array::{Array, AsArray};
    let table = crate::report::file_table("scores", &score.dir.join("scores.parquet"));
    let rows = crate::report::query("SELECT MIN(layer) AS layer FROM scores", &[table])?;
    let layers = rows["layer"].as_primitive::<arrow::datatypes::Int32Type>();
    Ok(layers.is_valid(0).then(|| layers.value(0)))
}
