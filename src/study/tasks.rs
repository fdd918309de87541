//! The graph of tasks by themselves: raw files to canonical tables to model inputs, without a study around them.

use super::StudyError;
use super::graph::Graph;
use super::planner::{Planner, RawOrigin};
use crate::error::Result;
use crate::source::mini;
use crate::task::{Format, Model, Registry, Split, Study, Task};

/// Plans the data stages of `tasks`: every split that their source has, in the languages that `suite` gives them
/// (their own, where none is named). `study` only says which raw data, model, languages and limits.
///
/// A task without a language that is wanted, or (mini edition) generated, is left out; so is one without a source of
/// the kind that `origin` names.
///
/// # Errors
/// No task is left, or the model trains its own tokenizer and `study` has no text for it.
pub fn plan_tasks(
    registry: &Registry,
    study: &Study,
    model: &Model,
    origin: RawOrigin,
    tasks: &[&Task],
    suite: Option<&str>,
) -> Result<Graph> {
    let mut planner = Planner::new(registry, study, model, origin);
    let mut planned = Vec::new();
    for task in tasks {
        if want(&mut planner, registry, task, suite)? {
            planned.push(task.id.clone());
        }
    }
    if planned.is_empty() {
        return Err(StudyError::NoTasks.into());
    }
    planner.collect_languages()?;
    for task in &planned {
        planner.normalize(task)?;
    }
    for task in &planned {
        planner.tokenize(task)?;
    }
    Ok(planner.finish(Vec::new()))
}

/// Asks for every split and language of a task, or of what it is made of; `false` if there is none.
fn want(planner: &mut Planner, registry: &Registry, task: &Task, suite: Option<&str>) -> Result<bool> {
    if task.is_view() {
        let mut all = true;
        for part in &task.made_of() {
            let part = planner.task(part)?.clone();
            all &= want(planner, registry, &part, suite)?;
        }
        return Ok(all);
    }
    let splits = planner.splits(task);
    let layout = task.source.directory.as_ref().map(|source| source.layout.as_str());
    if planner.origin == RawOrigin::Mini && !layout.is_some_and(|layout| mini::LAYOUTS.contains(&layout)) {
        return Ok(false);
    }
    let generated = mini::languages();
    let mut any = false;
    for split in splits {
        let codes = match split {
            Split::Train if task.format != Format::Text => task.training_languages(&planner.study.source),
            _ => registry.languages_of(task, suite),
        };
        let wanted = |code: &String| {
            planner.study.languages.as_ref().is_none_or(|chosen| chosen.contains(code))
                && (planner.origin != RawOrigin::Mini || generated.contains(code))
        };
        let codes: Vec<String> = codes.into_iter().filter(wanted).collect();
        if !codes.is_empty() {
            any = true;
            planner.ask(&task.id, split, codes);
        }
    }
    Ok(any)
}
