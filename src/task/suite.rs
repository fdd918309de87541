//! One suite file: `pipeline/suites/<id>.toml`: a benchmark whose tasks are averaged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::file::{plain, twice};
use super::{Task, TaskError};

/// The group of all tasks of a suite.
pub const ALL_TASKS: &str = "all";

/// One suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Unique name, the file's stem.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// Its tasks, in the order in which they are scored and averaged.
    pub tasks: Vec<SuiteTask>,
    /// Groups of tasks that have a score of their own, in the order of tables.
    pub groups: Vec<SuiteGroup>,
}

/// A task of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteTask {
    /// The task, which is also its folder in XTREME's layout.
    pub id: String,
    /// The languages that it is evaluated in, in the order in which they are averaged.
    pub languages: Vec<String>,
    /// Labels that the suite's files may hold beside the task's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_labels: Vec<String>,
}

/// A group of a suite's tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteGroup {
    /// Its name.
    pub id: String,
    /// Its tasks.
    pub tasks: Vec<String>,
}

impl Suite {
    /// Parses and validates a suite file; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TaskError> {
        let suite: Suite = toml::from_str(text).map_err(|source| TaskError::parse(origin, &source))?;
        match suite.fault() {
            Some(message) => Err(TaskError::Invalid { origin: origin.to_owned(), message }),
            None => Ok(suite),
        }
    }

    fn fault(&self) -> Option<String> {
        let names = [&self.id].into_iter().chain(self.groups.iter().map(|group| &group.id));
        if let Some(name) = names.into_iter().find(|name| !plain(name)) {
            return Some(format!("id `{}` must be lower-case letters, digits, `_` and `-`", name.escape_debug()));
        }
        if self.tasks.is_empty() {
            return Some("`tasks` is empty".to_owned());
        }
        let ids: Vec<&String> = self.tasks.iter().map(|task| &task.id).collect();
        if let Some(id) = twice(ids.iter().copied()) {
            return Some(format!("`tasks` names `{id}` twice"));
        }
        for task in &self.tasks {
            if task.languages.is_empty() {
                return Some(format!("`languages` of task `{}` is empty", task.id));
            }
            if let Some(code) = twice(&task.languages) {
                return Some(format!("`languages` of task `{}` names `{code}` twice", task.id));
            }
        }
        if let Some(id) = twice(self.groups.iter().map(|group| &group.id)) {
            return Some(format!("`groups` has `{id}` twice"));
        }
        for group in &self.groups {
            if group.id == ALL_TASKS {
                return Some(format!("`{ALL_TASKS}` is the group of all tasks: give the one of `groups` another id"));
            }
            if group.tasks.is_empty() {
                return Some(format!("`tasks` of group `{}` is empty", group.id));
            }
            if let Some(id) = twice(&group.tasks) {
                return Some(format!("`tasks` of group `{}` names `{id}` twice", group.id));
            }
            if let Some(id) = group.tasks.iter().find(|id| !ids.contains(id)) {
                return Some(format!("`tasks` of group `{}` names `{id}`, which the suite's `tasks` lack", group.id));
            }
        }
        None
    }

    /// The entry of the task called `id`; none for a task that is not of the suite.
    pub fn task(&self, id: &str) -> Option<&SuiteTask> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// Whether the task called `id` is of the suite.
    pub fn has(&self, id: &str) -> bool {
        self.task(id).is_some()
    }

    /// The languages that the task called `id` is evaluated in; none for a task that is not of the suite.
    pub fn languages(&self, id: &str) -> &[String] {
        self.task(id).map_or(&[], |task| &task.languages)
    }

    /// The languages in which `task` must be there to be evaluated: those of the suite; where queries search the sentences of
    /// all languages, those that the task has as well.
    pub fn languages_to_read(&self, task: &Task) -> Vec<String> {
        let index = task.shares_index().then_some(&task.languages);
        let mut seen = BTreeSet::new();
        let all = self.languages(&task.id).iter().chain(index.into_iter().flatten());
        all.filter(|code| seen.insert(*code)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        id = "house"
        title = "The house's"
        tasks = [{ id = "xnli", languages = ["de", "sw"] }, { id = "udpos", languages = ["de"], other_labels = ["_"] }]
        groups = [{ id = "inference", tasks = ["xnli"] }]
    "#;

    #[test]
    fn a_suite_has_tasks_in_languages() {
        let suite = Suite::parse(GOOD, "house.toml").unwrap();
        assert_eq!(suite.languages("xnli"), ["de", "sw"]);
        assert!(suite.has("udpos") && !suite.has("xquad") && suite.languages("xquad").is_empty());
        assert_eq!(suite.task("udpos").unwrap().other_labels, ["_"]);
    }

    #[test]
    fn faults_are_named() {
        for (from, to, says) in [
            ("title", "tilte", "unknown field `tilte`"),
            ("other_labels", "labels", "unknown field `labels`"),
            ("\"house\"", "\"House\"", "id `House` must be lower-case"),
            ("\"inference\"", "\"in ference\"", "id `in ference` must be lower-case"),
            ("id = \"udpos\"", "id = \"xnli\"", "`tasks` names `xnli` twice"),
            ("[\"de\", \"sw\"]", "[]", "`languages` of task `xnli` is empty"),
            ("[\"de\", \"sw\"]", "[\"de\", \"de\"]", "`languages` of task `xnli` names `de` twice"),
            ("\"inference\"", "\"all\"", "`all` is the group of all tasks"),
            ("tasks = [\"xnli\"]", "tasks = []", "`tasks` of group `inference` is empty"),
            ("tasks = [\"xnli\"]", "tasks = [\"xnli\", \"xnli\"]", "`tasks` of group `inference` names `xnli` twice"),
            ("tasks = [\"xnli\"]", "tasks = [\"xquad\"]", "names `xquad`, which the suite's `tasks` lack"),
            (
                "[\"xnli\"] }]",
                "[\"xnli\"] }, { id = \"inference\", tasks = [\"udpos\"] }]",
                "`groups` has `inference` twice",
            ),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            let message = Suite::parse(&text, "house.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("house.toml"), "{message}");
        }
        let none = "id = \"house\"\ntitle = \"\"\ntasks = []\ngroups = []\n";
        assert!(Suite::parse(none, "house.toml").unwrap_err().to_string().contains("`tasks` is empty"));
    }
}
