//! One study file: `pipeline/studies/<id>.toml`: a grid of intermediate task × target × seed with hyperparameters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TaskError;

/// The row of the grid that predicts without a model: the majority, or chance. Every study has it.
pub const CHANCE: &str = "chance";

/// The row of the grid without an intermediate task, against which changes are counted.
pub const NONE: &str = "none";

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
    /// Order of the rows in tables.
    pub order: Vec<String>,
    /// Columns of the grid.
    pub targets: Vec<String>,
    /// Most examples to read per split and language; absent: all.
    #[serde(default)]
    pub limits: BTreeMap<super::Split, u64>,
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
            id: "tasks".to_owned(),
            title: String::new(),
            edition,
            mini: toml::Table::new(),
            model: model.to_owned(),
            seeds: vec![1],
            languages: None,
            pretrain,
            intermediate: BTreeMap::new(),
            order: Vec::new(),
            targets: Vec::new(),
            limits: BTreeMap::new(),
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
        if study.intermediate.contains_key(CHANCE) {
            return wrong(format!("`{CHANCE}` is the row of the baseline: give the intermediate task another name"));
        }
        let rows = study.intermediate_phase.keys().filter(|k| *k != "all" && !study.intermediate.contains_key(*k));
        let targets = study.target_phase.keys().filter(|k| *k != "all" && !study.targets.contains(k));
        if let Some(name) = rows.chain(targets).next() {
            return wrong(format!("hyperparameters are given for `{name}`, which the grid does not hold"));
        }
        Ok(study)
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
    fn faults_are_named() {
        for (from, to, says) in [
            ("\"multi\"]", "\"chance\"]", "list each row"),
            ("targets = [\"xnli\"", "targets = [\"xnli\", \"xnli\"", "stands twice"),
            ("[target_phase.all]", "[target_phase.mlqa]", "`mlqa`"),
        ] {
            let message = Study::parse(&MINI.replace(from, to), "mini.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("mini.toml"), "{message}");
        }
        let reserved = MINI.replace("\"multi\"]", "\"chance\"]").replace("\nmulti = ", "\nchance = ");
        assert!(Study::parse(&reserved, "mini.toml").unwrap_err().to_string().contains("baseline"));
    }
}
