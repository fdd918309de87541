//! How scores become one number: the rule of XTREME and XTREME-R, written out.
//!
//! 1. A task's score in a language is the mean of its headline values ([`Metric::headline`]): question answering takes the mean
//!    of F1 and exact match, every other task has one.
//! 2. A task's score is the unweighted mean over its languages, English among them.
//! 3. A group's score is the unweighted mean over its tasks, the suite's (`all`) that over all tasks, not over groups.
//! 4. Nothing is left out in silence. A mean over fewer languages or tasks than the suite has is refused, or, where that was
//!    asked for, says what it lacks.
//!
//! 1 to 3 are XTREME's `evaluate.py` (<https://github.com/google-research/xtreme>, at 838c13b6), with two repairs for
//! XTREME-R: LAReQA, whose list of languages is empty there, so that a suite's score can never be had, has the languages of
//! XQuAD-R and belongs to retrieval; and XCOPA is in one group, not in two.

use std::collections::BTreeSet;

use serde::Serialize;

use super::EvaluateError;
use crate::task::Metric;

/// A benchmark whose tasks are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// XTREME (Hu et al. 2020): nine tasks in 40 languages.
    Xtreme,
    /// XTREME-R (Ruder et al. 2021): ten tasks in 50 languages.
    XtremeR,
}

/// Task and languages, in the order of `evaluate.py`.
type Tasks = &'static [(&'static str, &'static str)];

const XTREME: Tasks = &[
    ("pawsx", "de en es fr ja ko zh"),
    ("xnli", "ar bg de el en es fr hi ru sw th tr ur vi zh"),
    (
        "panx",
        "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk \
         tr et fi hu",
    ),
    ("udpos", "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh"),
    ("bucc2018", "de fr ru zh"),
    (
        "tatoeba",
        "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu",
    ),
    ("xquad", "en es de el ru tr ar vi th zh hi"),
    ("mlqa", "en es de ar hi vi zh"),
    ("tydiqa", "en ar bn fi id ko ru sw te"),
];

const XTREME_R: Tasks = &[
    ("xnli", "ar bg de el en es fr hi ru sw th tr ur vi zh"),
    (
        "panx",
        "ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw yo my zh kk \
         tr et fi hu qu pl uk az lt pa gu ro",
    ),
    (
        "udpos",
        "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh lt pl uk \
         wo ro",
    ),
    (
        "tatoeba",
        "ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg ru ja ka ko th sw zh kk tr et fi hu \
         az lt pl uk ro",
    ),
    ("xcopa", "et ht id it qu sw ta th tr vi zh"),
    ("lareqa", "ar de el en es hi ru th tr vi zh"),
    ("mewslix", "ar de en es fa ja pl ro ta tr uk"),
    ("xquad", "en es de el ru tr ar vi th zh hi ro"),
    ("mlqa", "en es de ar hi vi zh"),
    ("tydiqa", "en ar bn fi id ko ru sw te"),
];

/// Group and tasks.
type Groups = &'static [(&'static str, &'static [&'static str])];

const XTREME_GROUPS: Groups = &[
    ("classification", &["pawsx", "xnli"]),
    ("tagging", &["udpos", "panx"]),
    ("qa", &["xquad", "mlqa", "tydiqa"]),
    ("retrieval", &["bucc2018", "tatoeba"]),
];

const XTREME_R_GROUPS: Groups = &[
    ("classification", &["xnli", "xcopa"]),
    ("tagging", &["udpos", "panx"]),
    ("qa", &["xquad", "mlqa", "tydiqa"]),
    ("retrieval", &["tatoeba", "mewslix", "lareqa"]),
];

impl Suite {
    /// Every suite.
    pub const ALL: [Suite; 2] = [Suite::Xtreme, Suite::XtremeR];

    /// The name used in files, tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Xtreme => "xtreme",
            Suite::XtremeR => "xtreme-r",
        }
    }

    /// The suite of this name.
    pub fn named(name: &str) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// The ids of its tasks, in the order of `evaluate.py`.
    pub fn tasks(self) -> impl Iterator<Item = &'static str> {
        self.table().iter().map(|(task, _)| *task)
    }

    /// The languages that it evaluates `task` in; `None` for a task that is none of its.
    pub fn languages(self, task: &str) -> Option<Vec<&'static str>> {
        let (_, languages) = self.table().iter().find(|(known, _)| *known == task)?;
        Some(languages.split_ascii_whitespace().collect())
    }

    /// The groups of tasks that have a score of their own, with the ids of the tasks.
    pub fn groups(self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        let groups = match self {
            Suite::Xtreme => XTREME_GROUPS,
            Suite::XtremeR => XTREME_R_GROUPS,
        };
        groups.iter().copied()
    }

    fn table(self) -> Tasks {
        match self {
            Suite::Xtreme => XTREME,
            Suite::XtremeR => XTREME_R,
        }
    }
}

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
    pub group: &'static str,
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
pub fn suite_means(suite: Suite, tasks: &[TaskMean], allow_missing: bool) -> Result<Vec<SuiteMean>, EvaluateError> {
    let all: Vec<&str> = suite.tasks().collect();
    let whole = suite_mean("all", &all, tasks);
    if !allow_missing {
        let missing = whole.as_ref().map_or(all.join(", "), |mean| mean.missing.join(", "));
        if !missing.is_empty() {
            return Err(EvaluateError::Incomplete { suite: suite.name(), missing });
        }
    }
    let groups = suite.groups().filter_map(|(group, members)| suite_mean(group, members, tasks));
    Ok(whole.into_iter().chain(groups).collect())
}

/// The scores of those groups of which nothing lacks, and of the suite if that is so of all.
pub fn complete_means(suite: Suite, tasks: &[TaskMean]) -> Vec<SuiteMean> {
    let mut means = suite_means(suite, tasks, true).unwrap_or_default();
    means.retain(|mean| mean.missing.is_empty());
    means
}

fn suite_mean(group: &'static str, members: &[&str], tasks: &[TaskMean]) -> Option<SuiteMean> {
    let (mut sum, mut count, mut missing) = (0.0, 0, Vec::new());
    for member in members {
        match tasks.iter().find(|task| task.task == *member) {
            Some(task) => {
                sum += task.value;
                count += 1;
                missing.extend(task.missing.iter().map(|language| format!("{member}/{language}")));
            }
            None => missing.push((*member).to_owned()),
        }
    }
    (count > 0).then(|| SuiteMean { group, value: sum / count as f64, tasks: count, missing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(suite: Suite, but: &str) -> Vec<TaskMean> {
        let tasks = suite.tasks().filter(|task| *task != but).enumerate();
        tasks.map(|(i, task)| TaskMean { task: task.to_owned(), value: i as f64, missing: Vec::new() }).collect()
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
        let means = suite_means(Suite::Xtreme, &tasks, false).unwrap();
        assert_eq!(format!("{:.1}", means[0].value), "68.1");
        assert_eq!(
            means.iter().map(|mean| mean.group).collect::<Vec<_>>(),
            ["all", "classification", "tagging", "qa", "retrieval"]
        );
        assert_eq!(means[1].value, f64::midpoint(79.2, 86.4));
    }

    #[test]
    fn what_lacks_is_refused_or_said() {
        let mut tasks = means(Suite::XtremeR, "lareqa");
        tasks[1].missing = vec!["qu".to_owned(), "gu".to_owned()];
        let refused = suite_means(Suite::XtremeR, &tasks, false).unwrap_err().to_string();
        assert!(refused.contains("panx/qu, panx/gu, lareqa"), "{refused}");
        let allowed = suite_means(Suite::XtremeR, &tasks, true).unwrap();
        assert_eq!((allowed[0].tasks, allowed[0].missing.len()), (9, 3));
        assert_eq!(allowed[1].missing, [""; 0]);
        assert_eq!(allowed[4].missing, ["lareqa"]);
        let complete: Vec<&str> = complete_means(Suite::XtremeR, &tasks).iter().map(|mean| mean.group).collect();
        assert_eq!(complete, ["classification", "qa"]);
        assert!(suite_means(Suite::Xtreme, &[], true).unwrap().is_empty());
    }

    #[test]
    fn a_mean_over_languages_names_those_that_lack() {
        let values = [("de", 1.0), ("fr", 2.0)];
        assert_eq!(language_mean(["de", "en", "fr"], values), Some((1.5, vec!["en".to_owned()])));
        assert_eq!(language_mean(["de"], []), None);
    }

    #[test]
    fn every_task_has_a_group_and_languages() {
        for suite in Suite::ALL {
            let grouped: BTreeSet<&str> = suite.groups().flat_map(|(_, tasks)| tasks.iter().copied()).collect();
            assert_eq!(grouped, suite.tasks().collect());
            assert!(suite.tasks().all(|task| suite.languages(task).is_some_and(|languages| languages.len() > 3)));
            assert_eq!(Suite::named(suite.name()), Some(suite));
        }
        let count = |suite: Suite, task| suite.languages(task).unwrap().len();
        let xtreme = ["panx", "udpos", "tatoeba", "xquad"].map(|task| count(Suite::Xtreme, task));
        let later = ["panx", "udpos", "tatoeba", "xquad"].map(|task| count(Suite::XtremeR, task));
        assert_eq!((xtreme, later), ([40, 33, 36, 11], [48, 38, 41, 12]));
    }
}
