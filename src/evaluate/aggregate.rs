//! How scores become one number: the rule of XTREME and XTREME-R, written out.
//!
//! 1. A task's score in a language is the mean of its headline values ([`Metric::headline`]): question answering takes the mean
//!    of F1 and exact match, every other task has one.
//! 2. A task's score is the unweighted mean over its languages, English among them.
//! 3. A group's score is the unweighted mean over its tasks, the suite's (`all`) that over all tasks, not over groups.
//! 4. Nothing is left out in silence. A mean over fewer languages or tasks than the suite has is refused, or, where that was
//!    asked for, says what it lacks.
//!
//! 1 to 3 are XTREME's `evaluate.py` (<https://github.com/google-research/xtreme>, at 838c13b6). Which tasks, languages and groups
//! a suite has stands in its file, `pipeline/suites/<id>.toml`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::EvaluateError;
use crate::task::{ALL_TASKS, Metric, Suite};

/// A task's score: the mean of its headline values over languages.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskMean {
    /// The task's id.
    pub task: String,
    /// 0 to 100.
    pub value: f64,
    /// The languages that the suite has and the mean lacks.
    pub missing: Vec<String>,
}

/// The score of a group of tasks, or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SuiteMean {
    /// The group; `all` for the suite.
    pub group: String,
    /// The mean over its tasks, 0 to 100.
    pub value: f64,
    /// How many tasks that are.
    pub tasks: usize,
    /// What it lacks: a task's id, or `TASK/LANGUAGE` where a task lacks a language. Empty: complete.
    pub missing: Vec<String>,
}

/// The mean of the metric's headline values, each of which `value` gives by its name; `None` if one is not there.
pub fn headline_value(metric: Metric, value: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let names = metric.headline();
    let values: Option<Vec<f64>> = names.iter().map(|name| value(name)).collect();
    Some(values?.iter().sum::<f64>() / names.len() as f64)
}

/// The unweighted mean over the languages that there are, and those of `expected` that lack; `None` if there is no value.
pub fn language_mean<'a>(
    expected: impl IntoIterator<Item = &'a str>,
    values: impl IntoIterator<Item = (&'a str, f64)>,
) -> Option<(f64, Vec<String>)> {
    let (mut sum, mut count, mut seen) = (0.0, 0_u32, BTreeSet::new());
    for (language, value) in values {
        sum += value;
        count += 1;
        seen.insert(language);
    }
    let missing = expected.into_iter().filter(|language| !seen.contains(language)).map(str::to_owned).collect();
    (count > 0).then(|| (sum / f64::from(count), missing))
}

/// The scores of the suite and of its groups, `all` first.
///
/// Where `tasks` lacks a task of the suite, or a task a language, this is an error, unless `allow_missing`: then each mean is
/// over what there is of it and says what it lacks; a group of which there is nothing is left out. Tasks of other suites are
/// not looked at.
pub fn suite_means(suite: &Suite, tasks: &[TaskMean], allow_missing: bool) -> Result<Vec<SuiteMean>, EvaluateError> {
    let all: Vec<String> = suite.tasks.iter().map(|task| task.id.clone()).collect();
    let whole = suite_mean(ALL_TASKS, &all, tasks);
    if !allow_missing {
        let missing = whole.as_ref().map_or(all.join(", "), |mean| mean.missing.join(", "));
        if !missing.is_empty() {
            return Err(EvaluateError::Incomplete { suite: suite.id.clone(), missing });
        }
    }
    let groups = suite.groups.iter().filter_map(|group| suite_mean(&group.id, &group.tasks, tasks));
    Ok(whole.into_iter().chain(groups).collect())
}

/// The scores of those groups of which nothing lacks, and of the suite if that is so of all.
pub fn complete_means(suite: &Suite, tasks: &[TaskMean]) -> Vec<SuiteMean> {
    let mut means = suite_means(suite, tasks, true).unwrap_or_default();
    means.retain(|mean| mean.missing.is_empty());
    means
}

fn suite_mean(group: &str, members: &[String], tasks: &[TaskMean]) -> Option<SuiteMean> {
    let (mut sum, mut count, mut missing) = (0.0, 0, Vec::new());
    for member in members {
        match tasks.iter().find(|task| task.task == *member) {
            Some(task) => {
                sum += task.value;
                count += 1;
                missing.extend(task.missing.iter().map(|language| format!("{member}/{language}")));
            }
            None => missing.push(member.clone()),
        }
    }
    (count > 0).then(|| SuiteMean { group: group.to_owned(), value: sum / count as f64, tasks: count, missing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Registry;

    fn suite(id: &str) -> Suite {
        Registry::load(&[]).unwrap().suite(id, "the test").unwrap().clone()
    }

    fn means(suite: &Suite, but: &str) -> Vec<TaskMean> {
        let tasks = suite.tasks.iter().filter(|task| task.id != but).enumerate();
        tasks.map(|(i, task)| TaskMean { task: task.id.clone(), value: i as f64, missing: Vec::new() }).collect()
    }

    #[test]
    fn the_published_row_of_the_study_adds_up() {
        // XLM-R Large on XTREME as first printed, and its printed mean; see data/reference/xtreme.csv.
        let qa = |f1: f64, exact_match: f64| {
            headline_value(Metric::Squad, |name| Some(if name == "f1" { f1 } else { exact_match })).unwrap()
        };
        let scores = [
            ("xnli", 79.2),
            ("pawsx", 86.4),
            ("udpos", 72.6),
            ("panx", 65.4),
            ("xquad", qa(76.6, 60.8)),
            ("mlqa", qa(71.6, 53.2)),
            ("tydiqa", qa(65.1, 45.0)),
            ("bucc2018", 66.0),
            ("tatoeba", 57.3),
        ];
        let tasks = scores.map(|(task, value)| TaskMean { task: task.to_owned(), value, missing: Vec::new() });
        let means = suite_means(&suite("xtreme"), &tasks, false).unwrap();
        assert_eq!(format!("{:.1}", means[0].value), "68.1");
        assert_eq!(
            means.iter().map(|mean| mean.group.as_str()).collect::<Vec<_>>(),
            ["all", "classification", "tagging", "qa", "retrieval"]
        );
        assert_eq!(means[1].value, f64::midpoint(79.2, 86.4));
    }

    #[test]
    fn what_lacks_is_refused_or_said() {
        let suite = suite("xtreme-r");
        let mut tasks = means(&suite, "lareqa");
        tasks[1].missing = vec!["qu".to_owned(), "gu".to_owned()];
        let refused = suite_means(&suite, &tasks, false).unwrap_err().to_string();
        assert!(refused.contains("panx/qu, panx/gu, lareqa"), "{refused}");
        let allowed = suite_means(&suite, &tasks, true).unwrap();
        assert_eq!((allowed[0].tasks, allowed[0].missing.len()), (9, 3));
        assert_eq!(allowed[1].missing, [""; 0]);
        assert_eq!(allowed[4].missing, ["lareqa"]);
        let complete: Vec<String> = complete_means(&suite, &tasks).into_iter().map(|mean| mean.group).collect();
        assert_eq!(complete, ["classification", "qa"]);
        assert!(suite_means(&suite, &[], true).unwrap().is_empty());
    }

    #[test]
    fn a_mean_over_languages_names_those_that_lack() {
        let values = [("de", 1.0), ("fr", 2.0)];
        assert_eq!(language_mean(["de", "en", "fr"], values), Some((1.5, vec!["en".to_owned()])));
        assert_eq!(language_mean(["de"], []), None);
    }
}
