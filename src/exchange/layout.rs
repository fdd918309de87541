//! XTREME's folder layout, and tables.
//!
//! XTREME's is that of [`crate::evaluate::submission`], whose readers serve here as well. Lines are in the order of the test file.
//!
//! A table is `TASK/LANGUAGE.parquet` or `TASK/LANGUAGE.csv` with columns `example_id` and `prediction`, and as many of
//! the others of `schemas/predictions.json` as its writer has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ExchangeError;
use crate::error::IoContext;
use crate::evaluate::submission::Shape;
use crate::task::{Format, Registry, Suite, Task};

/// How predictions lie in a folder; in manifests `xtreme` or `table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// XTREME's.
    Xtreme,
    /// A table a language.
    Table,
}

/// What predictions of `task` are in XTREME's layout.
pub(super) fn shape_of(task: &Task) -> Result<Shape, ExchangeError> {
    let metric = task.metric.map(|metric| metric.name());
    Ok(match (task.format, metric) {
        (Format::Classification | Format::PairClassification, _) => Shape::Labels,
        (Format::MultipleChoice, _) => Shape::Choices,
        (Format::WordTagging, _) => Shape::Tags,
        (Format::SpanExtraction, _) => Shape::Answers,
        (Format::SentenceRetrieval, Some("accuracy")) => Shape::Numbers,
        (Format::SentenceRetrieval, Some("bitext-f1")) => Shape::Pairs,
        (Format::SentenceRetrieval, Some(_)) => Shape::Ranking,
        (Format::SentenceRetrieval | Format::Text, _) => {
            let (task, problem) = (task.id.clone(), "it has no metric".to_owned());
            return Err(ExchangeError::Unsupported { task, layout: "xtreme", problem });
        }
    })
}

/// One file of a system's predictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemFile {
    /// The language that it is of.
    pub language: String,
    /// Where it is.
    pub path: PathBuf,
}

/// The files below `folder` for each task that it holds predictions of: of `tasks`, or (where none is named) of every task of
/// `suite` that has a folder there.
///
/// # Errors
/// A folder that is of no task of the suite, or of another suite's; none at all; a task's folder without files of its shape.
pub fn system_files<'a>(
    folder: &Path,
    layout: Layout,
    registry: &'a Registry,
    suite: &'a Suite,
    tasks: &[String],
) -> Result<Vec<(&'a Task, Vec<SystemFile>)>, ExchangeError> {
    let of_suite: BTreeMap<&str, &Task> = registry.tasks_of(suite).map(|(_, task)| (task.id.as_str(), task)).collect();
    let suite = &suite.id;
    let known = || of_suite.keys().copied().collect::<Vec<_>>().join(", ");
    let mut chosen = Vec::new();
    if tasks.is_empty() {
        for name in folders(folder)? {
            let Some(task) = of_suite.get(name.as_str()) else {
                let other = registry.task(&name, "a folder").ok();
                let other = other.map(|task| registry.suites_of(task).collect::<Vec<_>>().join(" and "));
                let other = other.map(|suites| format!(" (it is of {suites})")).unwrap_or_default();
                let problem = format!(
                    "its folder `{name}` is of no task of suite {suite}{other}; name another --suite, or pick folders with \
                     --task; the suite's tasks: {}",
                    known()
                );
                return Err(ExchangeError::folder(folder, problem));
            };
            chosen.push(*task);
        }
        if chosen.is_empty() {
            let problem = format!(
                "it has no folder of a task of suite {suite}; expected TASK/{}; tasks: {}",
                pattern(layout),
                known()
            );
            return Err(ExchangeError::folder(folder, problem));
        }
    } else {
        for name in tasks {
            let Some(task) = of_suite.get(name.as_str()) else {
                let problem = format!("suite {suite} has no task `{name}`; its tasks: {}", known());
                return Err(ExchangeError::folder(folder, problem));
            };
            chosen.push(*task);
        }
    }
    chosen.into_iter().map(|task| Ok((task, files_of(folder, layout, task)?))).collect()
}

fn pattern(layout: Layout) -> &'static str {
    match layout {
        Layout::Xtreme => "test-LANGUAGE.tsv (.json for questions and rankings, .jsonl for xcopa)",
        Layout::Table => "LANGUAGE.parquet or LANGUAGE.csv",
    }
}

fn files_of(folder: &Path, layout: Layout, task: &Task) -> Result<Vec<SystemFile>, ExchangeError> {
    let place = folder.join(&task.id);
    let shape = shape_of(task)?;
    let (mut files, mut others) = (BTreeMap::new(), BTreeSet::new());
    for entry in std::fs::read_dir(&place).at("read directory", &place)? {
        let path = entry.at("read directory", &place)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let language = match layout {
            Layout::Xtreme => {
                let language = name.strip_prefix("test-").and_then(|rest| rest.split_once('.')).map(|(code, _)| code);
                language.filter(|language| shape.file(folder, &task.id, language) == path).map(str::to_owned)
            }
            Layout::Table => {
                ["parquet", "csv"].iter().find_map(|suffix| name.strip_suffix(&format!(".{suffix}"))).map(str::to_owned)
            }
        };
        match language {
            Some(language) => {
                if let Some(other) = files.insert(language, path) {
                    let problem = format!("it has two files for one language, {} and {name}", other.display());
                    return Err(ExchangeError::folder(&place, problem));
                }
            }
            None => drop(others.insert(name)),
        }
    }
    if files.is_empty() {
        let there: Vec<String> = others.into_iter().take(5).collect();
        let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
        let expected = match layout {
            Layout::Xtreme => shape.file(Path::new(""), &task.id, "LANGUAGE").display().to_string(),
            Layout::Table => pattern(layout).to_owned(),
        };
        return Err(ExchangeError::folder(
            &place,
            format!("expected {expected}, and found {there}; is it another task's?"),
        ));
    }
    Ok(files.into_iter().map(|(language, path)| SystemFile { language, path }).collect())
}

/// The names of the folders in `folder`, sorted; hidden ones are passed over.
fn folders(folder: &Path) -> Result<BTreeSet<String>, ExchangeError> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).at("read directory", folder)? {
        let path = entry.at("read directory", folder)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}
