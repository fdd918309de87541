//! Loads tasks for real and holds their rows against what their files promise. One task's fault does not keep the others
//! from being looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::executor::{Executor, Watcher};
use super::graph::Graph;
use super::label::Label;
use super::stage::{Raw, Setup, Work};
use crate::audit::{Overlap, Profile};
use crate::error::{Error, ExitCode, Result};
use crate::shard::table_rows;
use crate::store::Artifact;
use crate::task::{Split, Task};

/// What became of one task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskCheck {
    /// The task's id.
    pub task: String,
    /// Whether it is as it should be.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Its tables, where its rows were loaded.
    pub tables: Vec<Profile>,
    /// Languages that its file lists for a split, but that have no rows here.
    pub absent: BTreeMap<Split, Vec<String>>,
    /// Evaluation rows that stand in training data, its own or another task's; those pairs where some were found.
    pub overlap: Vec<Overlap>,
}

/// Whether a task is as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Every row is as its contract says, and there are as many as published.
    Fine,
    /// Every row is as its contract says, but there are more or fewer than published.
    Differs {
        /// The splits and languages with another number of rows.
        counts: Vec<CountDifference>,
    },
    /// Some row, or the task's file, breaks the contract.
    Bad {
        /// What is wrong, and where.
        message: String,
        /// The exit code of that failure.
        exit: u8,
    },
    /// No file, or not all files, are here.
    Missing {
        /// What was looked for.
        message: String,
    },
}

/// A number of rows other than published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountDifference {
    /// The split.
    pub split: Split,
    /// The language.
    pub language: String,
    /// As many as there are.
    pub found: u64,
    /// As many as the task's file expects.
    pub expected: u64,
}

/// Which tasks to check.
pub struct CheckRequest<'a> {
    /// The tasks.
    pub tasks: &'a [&'a Task],
    /// Whether numbers of rows are held against the published ones.
    pub counts: bool,
    /// Where stages run.
    pub executor: &'a dyn Executor,
}

/// What [`check`] found.
pub struct CheckOutcome {
    /// One a task, in the order of the request.
    pub tasks: Vec<TaskCheck>,
    /// The artifact of each node of the graph that was made or found.
    pub artifacts: Vec<Option<Artifact>>,
}

/// Normalises each task of the request, then profiles those whose rows are right and compares their evaluation data with
/// their training data. `graph` is narrowed to that. `setup` must not check counts itself.
///
/// # Errors
/// What no task is to blame for: a store that can't be written, a network that is down, a bug, `stop`.
pub fn check(
    setup: &Setup,
    graph: &mut Graph,
    request: &CheckRequest,
    watcher: &dyn Watcher,
    stop: &AtomicBool,
) -> Result<CheckOutcome> {
    let mut artifacts: Vec<Option<Artifact>> = vec![None; graph.nodes.len()];
    let mut checks = Vec::new();
    let mut loaded = BTreeSet::new();
    for task in request.tasks {
        let label = Label::Normalize(task.id.clone());
        let failure = if graph.place(&label).is_some() {
            let wanted = graph.closure(|node| node.label == label);
            match request.executor.execute(setup, graph, &wanted, watcher, stop) {
                Ok(outcome) => {
                    keep(&mut artifacts, outcome.artifacts);
                    loaded.insert(task.id.clone());
                    None
                }
                Err(error) => Some(blame(error)?),
            }
        } else {
            let message = match setup.raw {
                Raw::Mini => "the mini edition does not write its files",
                Raw::Directory(_) => "its file has no [source.directory], or none of the languages asked for",
                Raw::Hub(_) => "its file has no [source.hub], or none of the languages asked for",
            };
            Some(Verdict::Missing { message: message.to_owned() })
        };
        let verdict = failure.unwrap_or(Verdict::Fine);
        let (task, tables, absent, overlap) = (task.id.clone(), Vec::new(), BTreeMap::new(), Vec::new());
        checks.push(TaskCheck { task, verdict, tables, absent, overlap });
    }
    if loaded.is_empty() {
        return Ok(CheckOutcome { tasks: checks, artifacts });
    }
    graph.narrow_audit(&loaded);
    let wanted = graph.closure(|node| match &node.label {
        Label::Profile(task) => loaded.contains(task),
        label => *label == Label::Overlap,
    });
    keep(&mut artifacts, request.executor.execute(setup, graph, &wanted, watcher, stop)?.artifacts);
    let overlap: Vec<Overlap> = match artifact(graph, &artifacts, &Label::Overlap) {
        Some(artifact) => table_rows(&artifact.dir.join("overlap.parquet"))?.collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    for (check, task) in checks.iter_mut().zip(request.tasks) {
        if let Some(profile) = artifact(graph, &artifacts, &Label::Profile(task.id.clone())) {
            check.tables = table_rows(&profile.dir.join("profiles.parquet"))?.collect::<Result<_, _>>()?;
            check.overlap = overlap.iter().filter(|row| row.task == task.id && row.found > 0).cloned().collect();
            check.absent = absent(graph, task, &check.tables);
            let counts = if request.counts { differences(task, &check.tables) } else { Vec::new() };
            if !counts.is_empty() {
                check.verdict = Verdict::Differs { counts };
            }
        }
    }
    Ok(CheckOutcome { tasks: checks, artifacts })
}

fn keep(artifacts: &mut [Option<Artifact>], made: Vec<Option<Artifact>>) {
    for (place, artifact) in artifacts.iter_mut().zip(made) {
        *place = artifact.or(place.take());
    }
}

fn artifact<'a>(graph: &Graph, artifacts: &'a [Option<Artifact>], label: &Label) -> Option<&'a Artifact> {
    artifacts[graph.place(label)?].as_ref()
}

/// The verdict on a task that failed with `error`; the error itself, where it is not the task's fault.
fn blame(error: Error) -> Result<Verdict> {
    let exit = error.exit();
    let message = error.to_string();
    match exit {
        ExitCode::Missing => Ok(Verdict::Missing { message }),
        ExitCode::Config | ExitCode::Data | ExitCode::Mismatch => Ok(Verdict::Bad { message, exit: exit as u8 }),
        _ => Err(error),
    }
}

/// Tables with another number of rows than the task's file expects.
fn differences(task: &Task, tables: &[Profile]) -> Vec<CountDifference> {
    let differs = |table: &Profile| {
        let expected = task.expect.get(&table.split)?.of(&table.language)?;
        let (split, language, found) = (table.split, table.language.clone(), table.examples);
        (found != expected).then_some(CountDifference { split, language, found, expected })
    };
    tables.iter().filter_map(differs).collect()
}

/// The languages that were asked for, by split, and that have no table.
fn absent(graph: &Graph, task: &Task, tables: &[Profile]) -> BTreeMap<Split, Vec<String>> {
    let asked = graph.nodes.iter().find_map(|node| match &node.work {
        Work::Normalize(plan) if plan.task == task.id => Some(&plan.languages),
        _ => None,
    });
    let here = |split: Split, code: &str| tables.iter().any(|table| table.split == split && table.language == code);
    let absent = |(split, codes): (&Split, &Vec<String>)| {
        let codes: Vec<String> = codes.iter().filter(|code| !here(*split, code)).cloned().collect();
        (!codes.is_empty()).then_some((*split, codes))
    };
    asked.into_iter().flatten().filter_map(absent).collect()
}
