//! From a number to everything that it was made from: predictions, model, every training, data, raw files.
//!
//! A score row is named as tables show it, `STUDY/TARGET/ROW[/seed-N][/LANGUAGE or GROUP][/METRIC][@LAYER]`. Its artifact's
//! manifest names its inputs, theirs name theirs, and so on to files from outside: what is told here is what stands in
//! the store, not what a study file says today.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::RecordBatch;
use serde::Serialize;
use serde_json::Value;

use super::StudyError;
use super::stage::StageName;
use crate::error::Result;
use crate::report::{self, ResultsTable, Run};
use crate::source::{LockEntry, RepoKind, hub, locked_files};
use crate::store::{Artifact, Input, Manifest, Store, digest_file};
use crate::task::print_seed;

/// The name of a score row, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowName {
    parts: Vec<String>,
    layer: Option<String>,
}

/// A score row that was found in results.
#[derive(Debug, Clone)]
pub struct ScoreRows {
    /// The cell that it belongs to.
    pub run: Run,
    /// Its score artifact.
    pub artifact: Artifact,
    /// The rows of its table `scores`, or (without a language) `summaries`, that the name picks.
    pub rows: RecordBatch,
}

/// One artifact on the way from a number to raw files.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Stage, key, label, parameters, statistics, version of the code.
    #[serde(flatten)]
    pub manifest: Manifest,
    /// What it was made from, by name.
    pub made_from: Vec<Origin>,
}

/// One input of a step.
#[derive(Debug, Clone, Serialize)]
pub struct Origin {
    /// What the step calls it: `predictions`, `model`, `parent`, `raw:…`.
    pub name: String,
    /// Digest of its content (blake3).
    pub digest: String,
    /// The stage that made it, if it is an artifact.
    pub stage: Option<String>,
    /// The artifact's key.
    pub key: Option<String>,
    /// Whether the artifact is in the store no longer.
    pub gone: bool,
    /// A file from the hub: repository, revision, commit, path and sha256 in the lock file.
    pub locked: Vec<LockEntry>,
}

impl RowName {
    /// Takes `name` apart.
    pub fn parse(name: &str) -> Self {
        let (name, layer) = match name.rsplit_once('@') {
            Some((name, layer)) => (name, Some(layer.to_owned())),
            None => (name, None),
        };
        Self { parts: name.split('/').map(str::to_owned).collect(), layer }
    }

    /// The study that it names.
    pub fn study(&self) -> &str {
        &self.parts[0]
    }

    /// Looks it up in the published results of `store`.
    ///
    /// # Errors
    /// [`StudyError::NoSuchRow`] names the first part that is not there, and what there is in its place.
    pub fn find(&self, store: &Store) -> Result<ScoreRows> {
        let results = store.results_dir();
        let mut runs = report::runs(&results, Some(self.study()))?;
        if runs.is_empty() {
            // To say what there is in its place.
            runs = report::runs(&results, None)?;
        }
        narrow(&mut runs, "study", self.parts.first(), |run| run.study.clone())?;
        narrow(&mut runs, "target", self.parts.get(1), |run| run.at.target.to_string())?;
        narrow(&mut runs, "row", self.parts.get(2), |run| run.at.row.clone())?;
        let mut rest: Vec<&String> = self.parts.iter().skip(3).collect();
        let seed = rest.iter().position(|part| part.starts_with("seed-")).map(|index| rest.remove(index));
        if seed.is_some() || runs.len() > 1 {
            narrow(&mut runs, "seed", seed, |run| print_seed(run.at.seed))?;
        }
        let run = runs.remove(0);
        let artifact = artifact(store, &run, StageName::Score, &run.score_key)?;
        let rows = self.rows(&artifact.dir, &rest)?;
        Ok(ScoreRows { run, artifact, rows })
    }

    /// The rows of the score artifact in `dir` that `rest` (language or group, metric) and the layer pick.
    fn rows(&self, dir: &Path, rest: &[&String]) -> Result<RecordBatch> {
        let tables = [ResultsTable::Scores, ResultsTable::Summaries].map(|table| table.of_stage(dir));
        let known = |sql: &str| -> Result<BTreeSet<String>> {
            let batch = report::query(sql, &tables)?;
            let mut out = Vec::new();
            report::write_rows(&batch, report::OutputFormat::Csv, &mut out)?;
            let text = String::from_utf8_lossy(&out);
            Ok(text.lines().skip(1).map(str::to_owned).collect())
        };
        let languages = known("SELECT DISTINCT language FROM scores")?;
        let groups = known("SELECT DISTINCT \"group\" FROM summaries")?;
        let metrics = known("SELECT DISTINCT metric FROM scores")?;
        let layers = known("SELECT DISTINCT layer FROM scores WHERE layer IS NOT NULL")?;
        let (mut from, mut scope, mut metric) = ("summaries", None, None);
        for part in rest {
            let (place, what, condition) = if languages.contains(*part) {
                from = "scores";
                (&mut scope, "language or group", format!("language = '{part}'"))
            } else if groups.contains(*part) {
                (&mut scope, "language or group", format!("\"group\" = '{part}'"))
            } else if metrics.contains(*part) {
                (&mut metric, "metric", format!("metric = '{part}'"))
            } else {
                let all: Vec<&str> = languages.iter().chain(&groups).chain(&metrics).map(String::as_str).collect();
                return Err(no_such("language, group or metric", Some(part), &all.join(", ")));
            };
            if let Some((one, _)) = place.replace(((*part).clone(), condition)) {
                return Err(StudyError::TwoOf { what, one, other: (*part).clone() }.into());
            }
        }
        let mut conditions: Vec<String> = scope.into_iter().chain(metric).map(|(_, condition)| condition).collect();
        if let Some(layer) = &self.layer {
            if !layers.contains(layer) {
                let all: Vec<&str> = layers.iter().map(String::as_str).collect();
                let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                return Err(match layer.parse::<i32>() {
                    Ok(_) => no_such("layer", Some(layer), &all),
                    Err(_) => StudyError::LayerName { layer: layer.clone(), known: all }.into(),
                });
            }
            conditions.push(format!("layer = {layer}"));
        }
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        Ok(report::query(&format!("SELECT * FROM {from}{condition}"), &tables)?)
    }
}

/// Keeps the runs whose `of` is `wanted`.
fn narrow(runs: &mut Vec<Run>, what: &'static str, wanted: Option<&String>, of: impl Fn(&Run) -> String) -> Result<()> {
    let known: BTreeSet<String> = runs.iter().map(&of).collect();
    let Some(wanted) = wanted.filter(|wanted| known.contains(*wanted)) else {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(no_such(what, wanted.map(String::as_str), &known.join(", ")));
    };
    runs.retain(|run| of(run) == *wanted);
    Ok(())
}

pub(super) fn no_such(what: &'static str, name: Option<&str>, known: &str) -> crate::error::Error {
    let known = if known.is_empty() { "nothing was published yet, run a study first" } else { known }.to_owned();
    let name = name.map(|name| format!("`{name}`"));
    StudyError::NoSuchRow { what, name, known }.into()
}

/// An artifact that a published run names by key.
pub(super) fn artifact(store: &Store, run: &Run, stage: StageName, key: &str) -> Result<Artifact> {
    let label = format!("{}/{}", run.study, run.at);
    Ok(store.named(stage.name(), key)?.ok_or_else(|| StudyError::InputGone { label, input: stage.to_string() })?)
}

/// `artifact` and everything that it was made from, depth first, inputs by name, each once: where it is reached first, which may be
/// before another that was made from it. Files from the hub are looked up in the lock file at `lock`.
pub fn provenance(store: &Store, artifact: &Artifact, lock: &Path) -> Result<Vec<Step>> {
    let entries = locked_files(lock)?;
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    let mut pending = vec![artifact.clone()];
    while let Some(artifact) = pending.pop() {
        if !seen.insert(artifact.manifest.key.clone()) {
            continue;
        }
        let mut made_from = Vec::new();
        let mut next = Vec::new();
        for (name, input) in &artifact.manifest.inputs {
            let mut origin = Origin {
                name: name.clone(),
                digest: input.digest.clone(),
                stage: input.stage.clone(),
                key: input.key.as_ref().map(ToString::to_string),
                gone: false,
                locked: Vec::new(),
            };
            match (&input.stage, &input.key) {
                (Some(stage), Some(key)) => match store.artifact(stage, key)? {
                    Some(found) => next.push(found),
                    None => origin.gone = true,
                },
                _ => origin.locked = pinned(store, &entries, name, input),
            }
            made_from.push(origin);
        }
        // The first input is walked first.
        pending.extend(next.into_iter().rev());
        steps.push(Step { manifest: artifact.manifest, made_from });
    }
    Ok(steps)
}

/// The entries of the lock file that may be this input; where several may be, those with its bytes.
fn pinned(store: &Store, entries: &[LockEntry], name: &str, input: &Input) -> Vec<LockEntry> {
    let names = |entry: &&LockEntry| match name.split_once(':') {
        Some(("raw", file)) => entry.kind == RepoKind::Dataset && file == format!("{}/{}", entry.repo, entry.path),
        Some(("encoder", file)) => entry.kind == RepoKind::Model && file == entry.path,
        _ => false,
    };
    let candidates: Vec<&LockEntry> = entries.iter().filter(names).collect();
    let is_it = |entry: &&&LockEntry| {
        let blob = hub::blob(&store.raw_dir(), &entry.sha256);
        candidates.len() == 1 || digest_file(&blob).is_ok_and(|digest| digest == input.digest)
    };
    candidates.iter().filter(is_it).map(|entry| (*entry).clone()).collect()
}

/// The steps as an indented tree. An artifact that several others were made from stands in full where it comes first.
pub fn provenance_tree(steps: &[Step]) -> String {
    let mut lines = Vec::new();
    if let Some(first) = steps.first() {
        let mut shown = BTreeSet::new();
        branch(steps, first, "", "", &mut shown, &mut lines);
    }
    lines.join("\n")
}

fn branch<'a>(
    steps: &'a [Step],
    step: &'a Step,
    name: &str,
    indent: &str,
    shown: &mut BTreeSet<&'a str>,
    lines: &mut Vec<String>,
) {
    let manifest = &step.manifest;
    let title = if name.is_empty() { String::new() } else { format!("{name}: ") };
    let head = format!("{indent}{title}{} {}  {}", manifest.stage, manifest.key.short(), manifest.label);
    if !shown.insert(manifest.key.as_str()) {
        lines.push(format!("{head}  (above)"));
        return;
    }
    lines.push(head);
    let inner = format!("{indent}  ");
    lines.push(format!(
        "{inner}code: trestle {}, version {} of the stage",
        manifest.tool_version, manifest.stage_version
    ));
    for (name, value) in facts(manifest) {
        lines.push(format!("{inner}{name}: {value}"));
    }
    for origin in &step.made_from {
        let found = origin.key.as_ref().and_then(|key| steps.iter().find(|step| step.manifest.key.as_str() == key));
        if let Some(next) = found {
            branch(steps, next, &origin.name, &inner, shown, lines);
            continue;
        }
        let digest = &origin.digest[..12.min(origin.digest.len())];
        let gone = if origin.gone { ", in this store no longer" } else { "" };
        lines.push(format!("{inner}{}: blake3 {digest}{gone}", origin.name));
        for entry in &origin.locked {
            lines.push(format!("{inner}  {} at {} (commit {})", entry.repo, entry.revision, entry.commit));
            lines.push(format!("{inner}  {}, sha256 {}, {} bytes", entry.path, entry.sha256, entry.bytes));
        }
    }
}

/// What a person wants to know of an artifact. (The rest is in its manifest.)
fn facts(manifest: &Manifest) -> Vec<(String, String)> {
    let parameters = manifest.parameters.as_object();
    let mut facts: Vec<(String, String)> = parameters
        .into_iter()
        .flatten()
        .filter(|(name, _)| {
            !matches!(name.as_str(), "format" | "labels" | "sql" | "choices" | "open_labels" | "languages")
        })
        .filter(|(_, value)| !is_blank(value))
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect();
    for name in ["steps", "best_step", "best_score"] {
        if !manifest.statistics[name].is_null() {
            facts.push((name.to_owned(), plain(&manifest.statistics[name])));
        }
    }
    let rows: u64 = manifest.files.iter().filter_map(|file| file.rows).sum();
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let rows = if rows > 0 { format!("{rows} rows, ") } else { String::new() };
    facts.push(("holds".to_owned(), format!("{} files, {rows}{bytes} bytes", manifest.files.len())));
    facts
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A value without quotes and braces: `task mnli, format pair-classification`.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, value)| !is_blank(value) && name.as_str() != "labels");
            fields.map(|(name, value)| format!("{name} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Identity, StoreError, Transaction};
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicBool;

    fn commit(store: &Store, stage: &str, parameters: Value, inputs: BTreeMap<String, Input>) -> Artifact {
        let identity =
            Identity { stage: stage.to_owned(), version: 1, label: format!("s:{stage}"), parameters, inputs };
        let write = |transaction: &Transaction| -> Result<Value, StoreError> {
            std::fs::write(transaction.dir().join("file"), stage).unwrap();
            Ok(Value::Null)
        };
        store.make(&identity, &AtomicBool::new(false), write).unwrap().unwrap()
    }

    #[test]
    fn a_walk_reaches_the_lock_file_and_tells_two_revisions_apart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&dir.path().join("work"));
        let (old, new) = ("ab".repeat(32), "cd".repeat(32));
        let lock = dir.path().join("sources.lock");
        let mut text = String::from("version = 1\n");
        for (revision, sha256) in [("main", &old), ("next", &new)] {
            text += &format!(
                "[[file]]\nkind = \"dataset\"\nrepo = \"o/toy\"\nrevision = \"{revision}\"\npath = \"a/train.parquet\"\n\
                 commit = \"{revision}-commit\"\nsha256 = \"{sha256}\"\nbytes = 3\n"
            );
            let blob = hub::blob(&store.raw_dir(), sha256);
            std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
            std::fs::write(&blob, revision).unwrap();
        }
        std::fs::write(&lock, text).unwrap();
        let digest = crate::store::digest_bytes(b"next");
        let raw = BTreeMap::from([("raw:o/toy/a/train.parquet".to_owned(), Input::external(digest))]);
        let canonical = commit(&store, "normalize", json!({"task": "toy"}), raw);
        let inputs = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), canonical.as_input())).collect();
        let model =
            commit(&store, "train", json!({"seed": 3, "hyperparameters": {"batch_size": 8}}), inputs(&["tokens"]));
        let mut both: BTreeMap<String, Input> = inputs(&["gold"]);
        both.insert("model".to_owned(), model.as_input());
        let score = commit(&store, "score", json!({"metric": "accuracy"}), both);
        let steps = provenance(&store, &score, &lock).unwrap();
        let stages: Vec<&str> = steps.iter().map(|step| step.manifest.stage.as_str()).collect();
        assert_eq!(stages, ["score", "normalize", "train"], "depth first, each once");
        let commits: Vec<&str> =
            steps.iter().flat_map(|s| &s.made_from).flat_map(|o| &o.locked).map(|e| e.commit.as_str()).collect();
        assert_eq!(commits, ["next-commit"]);
        let tree = provenance_tree(&steps);
        assert!(tree.contains("  gold: normalize") && tree.contains("(above)"), "{tree}");
        assert!(tree.contains("hyperparameters: batch_size 8") && tree.contains(&new), "{tree}");
        std::fs::remove_dir_all(&model.dir).unwrap();
        assert!(provenance_tree(&provenance(&store, &score, &lock).unwrap()).contains("in this store no longer"));
    }

    #[test]
    fn names_are_taken_apart() {
        let name = RowName::parse("mini/tatoeba/none/seed-2/sw/accuracy@7");
        assert_eq!((name.study(), name.layer.as_deref(), name.parts.len()), ("mini", Some("7"), 6));
    }
}
