//! One study file: `pipeline/studies/<id>.toml`: a grid of intermediate task × target × seed with hyperparameters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SourceLanguage, TaskError};

/// The row of the grid that predicts without a model: the majority, or chance. Every study has it.
pub const CHANCE: &str = "chance";

/// The row of the grid without an intermediate task, against which changes are counted.
pub const NONE: &str = "none";

/// The study that other systems' predictions are published as.
pub const IMPORTED: &str = "imported";
/// The study that tasks are in that are read by themselves.
pub const TASKS: &str = "tasks";
/// The study that the profiles of checked tasks are published as.
pub const CHECK: &str = "check";

/// Which raw data a study reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    /// The world that the project writes itself.
    Mini,
    /// The real datasets, from the hub or from a directory.
    Full,
}

/// Masked-LM pretraining of an encoder from scratch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// The text task.
    pub task: String,
    /// Hyperparameters, over the study's `[defaults]`.
    #[serde(default)]
    pub hyperparameters: toml::Table,
}

/// One study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Unique name, the file's stem.
    pub id: String,
    /// One sentence for tables and reports.
    #[serde(default)]
    pub title: String,
    /// Raw data.
    pub edition: Edition,
    /// Parameters of the mini edition, where it is used.
    #[serde(default)]
    pub mini: toml::Table,
    /// The model file.
    pub model: String,
    /// The language that targets are fine-tuned in, and from which they transfer to the others.
    #[serde(default, skip_serializing_if = "SourceLanguage::is_default")]
    pub source: SourceLanguage,
    /// Seeds; each is a repetition of everything after pretraining.
    pub seeds: Vec<u64>,
    /// Languages to evaluate in; absent: all that the targets list (and the edition has).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Pretraining, for an encoder from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<Pretrain>,
    /// Rows of the grid: each name maps to the tasks trained on together (an empty list: none).
    pub intermediate: BTreeMap<String, Vec<String>>,
    /// Heads that tasks of one row share: each name maps to two or more tasks of one format and one list of labels. A row
    /// that holds one of them alone gives it a head of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub heads: BTreeMap<String, Vec<String>>,
    /// Order of the rows in tables.
    pub order: Vec<String>,
    /// Columns of the grid.
    pub targets: Vec<String>,
    /// Most examples to read per split and language; absent: all.
    #[serde(default)]
    pub limits: BTreeMap<super::Split, u64>,
    /// The same for single tasks (`[task_limits.text]`); where both limit a split, the lower holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub task_limits: BTreeMap<String, BTreeMap<super::Split, u64>>,
    /// Hyperparameters of every training.
    #[serde(default)]
    pub defaults: toml::Table,
    /// Over the defaults, in the intermediate phase: `[intermediate_phase.all]`, then `[intermediate_phase.<row>]`.
    #[serde(default)]
    pub intermediate_phase: BTreeMap<String, toml::Table>,
    /// Over the defaults, in the target phase: `[target_phase.all]`, then `[target_phase.<target>]`.
    #[serde(default)]
    pub target_phase: BTreeMap<String, toml::Table>,
}

impl Study {
    /// What stands for a study where tasks are read by themselves: no grid; `text` is what a tokenizer is trained on.
    pub fn of_tasks(edition: Edition, model: &str, text: Option<&str>) -> Self {
        let pretrain = text.map(|task| Pretrain { task: task.to_owned(), hyperparameters: toml::Table::new() });
        Self {
            id: TASKS.to_owned(),
            title: String::new(),
            edition,
            mini: toml::Table::new(),
            model: model.to_owned(),
            source: SourceLanguage::default(),
            seeds: vec![1],
            languages: None,
            pretrain,
            intermediate: BTreeMap::new(),
            heads: BTreeMap::new(),
            order: Vec::new(),
            targets: Vec::new(),
            limits: BTreeMap::new(),
            task_limits: BTreeMap::new(),
            defaults: toml::Table::new(),
            intermediate_phase: BTreeMap::new(),
            target_phase: BTreeMap::new(),
        }
    }

    /// Parses and validates a study file; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TaskError> {
        let study: Study = toml::from_str(text).map_err(|source| TaskError::parse(origin, &source))?;
        let wrong = |message: String| Err(TaskError::Invalid { origin: origin.to_owned(), message });
        if study.seeds.is_empty() || study.targets.is_empty() || study.intermediate.is_empty() {
            return wrong("seeds, targets and intermediate must not be empty".to_owned());
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = study.targets.iter().find(|target| !seen.insert(target.as_str())) {
            return wrong(format!("target `{twice}` stands twice"));
        }
        let mut ordered: Vec<&str> = study.order.iter().map(String::as_str).collect();
        ordered.sort_unstable();
        if !ordered.iter().eq(study.intermediate.keys()) {
            return wrong("`order` must list each row of [intermediate] once".to_owned());
        }
        if let Some(row) = study.intermediate.keys().find(|row| !super::file::plain(row)) {
            return wrong(format!(
                "row `{}` of [intermediate] must be lower-case letters, digits, `_` and `-`",
                row.escape_debug()
            ));
        }
        if study.intermediate.contains_key(CHANCE) {
            return wrong(format!("`{CHANCE}` is the row of the baseline: give the intermediate task another name"));
        }
        if study.id == IMPORTED {
            return wrong(format!("`{IMPORTED}` is the study of imported predictions: give it another id"));
        }
        if let Some(taken) = [CHECK, TASKS].into_iter().find(|taken| study.id == *taken) {
            return wrong(format!("`{taken}` is the study of tasks by themselves: give it another id"));
        }
        if let Some(problem) = study.wrong_heads() {
            return wrong(problem);
        }
        let rows = study.intermediate_phase.keys().filter(|k| *k != "all" && !study.intermediate.contains_key(*k));
        let targets = study.target_phase.keys().filter(|k| *k != "all" && !study.targets.contains(k));
        if let Some(name) = rows.chain(targets).next() {
            return wrong(format!("hyperparameters are given for `{name}`, which the grid does not hold"));
        }
        Ok(study)
    }

    fn wrong_heads(&self) -> Option<String> {
        let mut seen = BTreeMap::new();
        for (head, tasks) in &self.heads {
            if self.intermediate.values().flatten().any(|task| task == head) {
                return Some(format!("head `{head}` of [heads] has the name of a task: give it another"));
            }
            for task in tasks {
                if let Some(other) = seen.insert(task, head) {
                    return Some(format!("[heads] names task `{task}` twice (heads `{other}` and `{head}`)"));
                }
            }
            if !self.intermediate.values().any(|row| shared(row, tasks).count() > 1) {
                return Some(format!("no row of [intermediate] holds two of the tasks that share head `{head}`"));
            }
        }
        None
    }

    /// The shared head of each task that has one where `tasks` are trained together: task and head.
    pub fn shared_heads(&self, tasks: &[String]) -> BTreeMap<String, String> {
        let sharing = self.heads.iter().filter(|(_, sharers)| shared(tasks, sharers).count() > 1);
        sharing.flat_map(|(head, sharers)| shared(tasks, sharers).map(|task| (task.clone(), head.clone()))).collect()
    }

    /// Most examples to read of `task` per split and language.
    pub fn limits_of(&self, task: &str) -> BTreeMap<super::Split, u64> {
        let mut limits = self.limits.clone();
        for (split, own) in self.task_limits.get(task).into_iter().flatten() {
            let limit = limits.entry(*split).or_insert(*own);
            *limit = (*limit).min(*own);
        }
        limits
    }

    /// `defaults`, overlaid with the phase's `all` table, overlaid with the table of `name`.
    pub fn layered(&self, phase: &BTreeMap<String, toml::Table>, name: &str) -> toml::Table {
        let mut table = self.defaults.clone();
        for overlay in ["all", name].iter().filter_map(|key| phase.get(*key)) {
            table.extend(overlay.clone());
        }
        table
    }
}

/// Those of `tasks` that are among `sharers`.
fn shared<'a>(tasks: &'a [String], sharers: &'a [String]) -> impl Iterator<Item = &'a String> {
    tasks.iter().filter(|task| sharers.contains(task))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINI: &str = include_str!("../../pipeline/studies/mini.toml");

    #[test]
    fn hyperparameters_are_laid_over_the_defaults() {
        let study = Study::parse(MINI, "mini.toml").unwrap();
        let table = study.layered(&study.target_phase, "xnli");
        assert!(
            table.contains_key("weight_decay") && table["dropout"].as_float() != study.defaults["dropout"].as_float()
        );
    }

    #[test]
    fn a_row_has_a_name_that_every_table_and_path_can_hold() {
        for name in ["a/b", "[x]", "two words", "Multi", "a\nb", ""] {
            let rows = format!("\n[intermediate]\n{name:?} = [\"mnli\"]\n");
            let text =
                MINI.replace("\n[intermediate]\n", &rows).replace("\"multi\"]", &format!("\"multi\", {name:?}]"));
            let message = Study::parse(&text, "mini.toml").unwrap_err().to_string();
            let wanted = format!("row `{}` of [intermediate] must be lower-case letters", name.escape_debug());
            assert!(message.contains("mini.toml") && message.contains(&wanted), "{message}");
        }
    }

    #[test]
    fn of_two_limits_the_lower_holds() {
        let text = format!(
            "{MINI}\n[limits]\ntrain = 50\n[task_limits.text]\ntrain = 20\n[task_limits.mnli]\ntrain = 60\ntest = 5\n"
        );
        let study = Study::parse(&text, "mini.toml").unwrap();
        use super::super::Split::{Test, Train};
        assert_eq!(study.limits_of("text"), BTreeMap::from([(Train, 20)]));
        assert_eq!(study.limits_of("mnli"), BTreeMap::from([(Train, 50), (Test, 5)]));
        assert_eq!(study.limits_of("xnli"), study.limits);
    }

    #[test]
    fn tasks_of_a_row_share_the_heads_that_list_two_of_them() {
        let rows = "\n[heads]\nnli = [\"mnli\", \"snli\", \"anli_r1\"]\n\n[intermediate]\nboth = [\"snli\", \"qqp\", \"mnli\"]\n";
        let text = MINI.replace("\n[intermediate]\n", rows).replace("\"multi\"]", "\"multi\", \"both\"]");
        let study = Study::parse(&text, "mini.toml").unwrap();
        let heads = |row: &str| study.shared_heads(&study.intermediate[row]);
        let shared = |task: &str| (task.to_owned(), "nli".to_owned());
        assert_eq!(heads("both"), BTreeMap::from([shared("mnli"), shared("snli")]));
        assert!(heads("mnli").is_empty() && heads("multi").is_empty());
        for (from, to, says) in [
            ("\nnli = [", "\nmnli = [", "name of a task"),
            ("\"anli_r1\"]", "\"mnli\"]", "`mnli` twice"),
            ("\"snli\", \"qqp\", \"mnli\"", "\"snli\", \"qqp\"", "no row of [intermediate] holds two"),
        ] {
            let message = Study::parse(&text.replace(from, to), "mini.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("mini.toml"), "{message}");
        }
    }

    #[test]
    fn faults_are_named() {
        for (from, to, says) in [
            ("\"multi\"]", "\"chance\"]", "list each row"),
            ("targets = [\"xnli\"", "targets = [\"xnli\", \"xnli\"", "stands twice"),
            ("[target_phase.all]", "[target_phase.mlqa]", "`mlqa`"),
        ] {
            let message = Study::parse(&MINI.replace(from, to), "mini.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("mini.toml"), "{message}");
        }
        for id in [IMPORTED, CHECK, TASKS] {
            let message =
                Study::parse(&MINI.replacen("\"mini\"", &format!("{id:?}"), 1), "a.toml").unwrap_err().to_string();
            assert!(message.contains("give it another id"), "{message}");
        }
        let reserved = MINI.replace("\"multi\"]", "\"chance\"]").replace("\nmulti = ", "\nchance = ");
        assert!(Study::parse(&reserved, "mini.toml").unwrap_err().to_string().contains("baseline"));
    }
}
