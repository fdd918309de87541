//! Scores of a folder in XTREME's layout, whoever made it: what XTREME's own `evaluate.py` says of it.
//!
//! A submission is `TASK/test-LANGUAGE.tsv` (`.json` for question answering, Mewsli-X and LAReQA, `.jsonl` for XCOPA) with the
//! labels in a folder of the same shape. Labels, tags (a blank line between sentences), Tatoeba's line numbers and BUCC's
//! pairs stand one a line; answers in a JSON object by question id; Mewsli-X's entities and LAReQA's sentences, best first, in a
//! JSON object of lists; XCOPA's choices in one JSON object a line. What a task's files hold follows from its format and metric;
//! which tasks and languages there are, and in which order, from the suite's file. The rules are evaluate.py's (Hu et al. 2020,
//! <https://github.com/google-research/xtreme>, at 838c13b6): an unweighted mean over the languages of a task, and tagging
//! scored by seqeval 0.0.12. It has no reader for LAReQA; the layout and the cut of mAP after twenty are our reading.
//!
//! Where evaluate.py would go on with input that can't be meant, this refuses: tags beside the wrong words, an answer to a
//! question that is not there, a label that the task does not have. A question without an answer scores 0 there; here it is an
//! error unless what lacks is allowed to, and then it is counted.

mod files;
pub(crate) mod json;
mod shape;
pub(crate) mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::EvaluateError;
use super::aggregate::{SuiteMean, TaskMean, complete_means, headline_value, language_mean, suite_means};
use super::metric::Values;
use crate::error::IoContext;
use crate::task::{Registry, Suite, SuiteTask, Task};

use files::{Files, Scoring};
pub(crate) use shape::Shape;

/// What to score.
#[derive(Debug, Clone, Copy)]
pub struct SubmissionRequest<'a> {
    /// The folder of predictions.
    pub predictions: &'a Path,
    /// The folder of labels.
    pub labels: &'a Path,
    /// The tasks that there are.
    pub registry: &'a Registry,
    /// Whose tasks, languages and averages.
    pub suite: &'a Suite,
    /// Only these tasks (folder names); empty for all.
    pub tasks: &'a [&'a str],
    /// Whether languages, tasks and answers may lack: means are then over what there is, and say so.
    pub allow_missing: bool,
}

/// The scores of a submission.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Submission {
    /// The suite's name.
    pub suite: String,
    /// One entry for each task and value of its metric.
    pub scores: Vec<SubmissionScore>,
    /// The suite's score and its groups', as far as there are any: [`suite_means`]. Where only some tasks were asked for, those
    /// that are complete.
    pub means: Vec<SuiteMean>,
    /// Seconds that comparing took, without reading and parsing files.
    pub comparing_seconds: f64,
}

/// One value of a task's metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmissionScore {
    /// The task's folder.
    pub task: String,
    /// The value's name: accuracy, f1, precision, recall, exact_match, map@20.
    pub metric: &'static str,
    /// The value in each language, 0 to 100, in evaluate.py's order of languages.
    pub languages: Vec<(String, f64)>,
    /// The unweighted mean over the languages.
    pub average: f64,
    /// The languages that the suite has and the mean lacks.
    pub missing: Vec<String>,
    /// Questions and mentions without a prediction, which score 0, in all languages.
    pub unanswered: usize,
}

/// Scores the tasks of a suite, and averages them. All values are those of evaluate.py.
pub fn score_submission(request: &SubmissionRequest<'_>) -> Result<Submission, EvaluateError> {
    let suite = request.suite;
    let known: Vec<&str> = suite.tasks.iter().map(|task| task.id.as_str()).collect();
    if let Some(task) = request.tasks.iter().find(|task| !known.contains(task)) {
        return Err(EvaluateError::Unknown { kind: "task", name: (*task).to_owned(), known: known.join(", ") });
    }
    let predicted = folders(request.predictions, &known, suite)?;
    let labelled = folders(request.labels, &known, suite)?;
    let wanted = |task: &str| {
        let there = predicted.contains(task) && labelled.contains(task);
        if request.tasks.is_empty() { there } else { request.tasks.contains(&task) }
    };
    let (mut scores, mut means) = (Vec::new(), Vec::new());
    let mut comparing = Duration::ZERO;
    let mut without = Vec::new();
    for (of_suite, task) in request.registry.tasks_of(suite).filter(|(_, task)| wanted(&task.id)) {
        match score_task(request, of_suite, task, &mut scores, &mut comparing)? {
            Some(mean) => means.push(mean),
            None => without.push(task.id.as_str()),
        }
    }
    // A task that was named, or the whole suite, of which there is nothing.
    if means.is_empty() || !(request.tasks.is_empty() || without.is_empty()) {
        let missing = if request.tasks.is_empty() { known } else { without };
        return Err(EvaluateError::Incomplete { suite: suite.id.clone(), missing: missing.join(", ") });
    }
    let means = if request.tasks.is_empty() {
        suite_means(suite, &means, request.allow_missing)?
    } else {
        complete_means(suite, &means)
    };
    Ok(Submission { suite: suite.id.clone(), scores, means, comparing_seconds: comparing.as_secs_f64() })
}

/// Which of the suite's folders `path` has; none is an error.
fn folders(path: &Path, known: &[&str], suite: &Suite) -> Result<BTreeSet<String>, EvaluateError> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).at("read directory", path)? {
        found.insert(entry.at("read directory", path)?.file_name().to_string_lossy().into_owned());
    }
    if found.iter().any(|name| known.contains(&name.as_str())) {
        return Ok(found);
    }
    let listed: Vec<&str> = found.iter().take(8).map(String::as_str).collect();
    let found = if listed.is_empty() { "nothing".to_owned() } else { listed.join(", ") };
    Err(EvaluateError::Folder { path: path.to_owned(), suite: suite.id.clone(), found, known: known.join(", ") })
}

/// Appends the scores of `task` and adds the time of comparing; its mean, if any of its languages is there.
fn score_task(
    request: &SubmissionRequest<'_>,
    of_suite: &SuiteTask,
    task: &Task,
    scores: &mut Vec<SubmissionScore>,
    comparing: &mut Duration,
) -> Result<Option<TaskMean>, EvaluateError> {
    let scoring = Scoring::of(of_suite, task)?;
    let (task, languages) = (task.id.as_str(), &of_suite.languages);
    let mut values: Vec<(&str, Values)> = Vec::new();
    let mut unanswered = 0;
    let mut missing = Vec::new();
    for language in languages {
        let place = |folder: &Path| scoring.shape().file(folder, task, language);
        let files = Files { task, predictions: place(request.predictions), labels: place(request.labels) };
        if !files.predictions.exists() || !files.labels.exists() {
            missing.push(format!("{task}/{language}"));
            continue;
        }
        let scored = files.score(&scoring, language, request.allow_missing)?;
        unanswered += scored.unanswered;
        *comparing += scored.time;
        values.push((language, scored.values));
    }
    if !(missing.is_empty() || request.allow_missing) {
        return Err(EvaluateError::Incomplete { suite: request.suite.id.clone(), missing: missing.join(", ") });
    }
    let first = scores.len();
    for (row, metric) in scoring.names().iter().enumerate() {
        let by_language = values.iter().map(|(language, values)| (*language, values[row]));
        let Some((average, missing)) = language_mean(languages.iter().map(String::as_str), by_language.clone()) else {
            return Ok(None);
        };
        let languages = by_language.map(|(language, value)| (language.to_owned(), value)).collect();
        scores.push(SubmissionScore { task: task.to_owned(), metric, languages, average, missing, unanswered });
    }
    let own = &scores[first..];
    let value = headline_value(scoring.metric(), |name| Some(own.iter().find(|score| score.metric == name)?.average));
    let missing = own.first().map(|score| score.missing.clone()).unwrap_or_default();
    Ok(value.map(|value| TaskMean { task: task.to_owned(), value, missing }))
}

#[cfg(test)]
mod tests;
