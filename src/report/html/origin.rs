//! Where each number comes from: the artifacts behind a cell of the grid, and every training on the way.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::{Cell, Row, StudyResults, StudyTable};

/// All cells of one row and target.
#[derive(Debug, Serialize)]
pub(super) struct Origin<'a> {
    pub id: String,
    pub target: &'a str,
    pub row: &'a str,
    pub seeds: Vec<Seed<'a>>,
}

/// One cell.
#[derive(Debug, Serialize)]
pub(super) struct Seed<'a> {
    pub seed: u64,
    /// What `trestle explain` is asked for, before and after a language's code.
    pub explain: [String; 2],
    pub keys: Vec<(&'a str, &'a str)>,
    /// Phase and element id of each training.
    pub trainings: Vec<(&'a str, String)>,
    /// Places in the list of data artifacts.
    pub data: Vec<usize>,
    /// How it was predicted and scored.
    pub parameters: String,
}

/// One training.
#[derive(Debug, Serialize)]
pub(super) struct Training<'a> {
    pub id: String,
    pub phase: &'a str,
    /// The tasks that it was trained on.
    pub tasks: String,
    /// What it was made for.
    pub purpose: String,
    pub key: &'a str,
    pub parameters: String,
    pub statistics: String,
}

/// The cells that a row's means over targets are of.
#[derive(Debug, Serialize)]
pub(super) struct RowCells<'a> {
    pub id: String,
    pub row: &'a str,
    /// Target and element id of each finished cell.
    pub cells: Vec<(&'a str, String)>,
}

/// The element that lists the cells of a row.
pub(super) fn row_id(table: &StudyTable, row: &str) -> String {
    let place = table.rows.iter().position(|found| found.name == row).unwrap_or_default();
    format!("r{place}")
}

/// The finished cells of every row that has some.
pub(super) fn row_cells(table: &StudyTable) -> Vec<RowCells<'_>> {
    let of_row = |row: &'_ Row| {
        let finished = row.entries.iter().zip(&table.columns).filter(|(entry, _)| entry.is_some());
        finished.map(|(_, column)| (column.target.as_str(), id(table, &column.target, &row.name))).collect()
    };
    let rows =
        table.rows.iter().map(|row| RowCells { id: row_id(table, &row.name), row: &row.name, cells: of_row(row) });
    rows.filter(|row| !row.cells.is_empty()).collect()
}

/// The element that tells where a row's numbers on a target come from.
pub(super) fn id(table: &StudyTable, target: &str, row: &str) -> String {
    let column = table.columns.iter().position(|column| column.target == target).unwrap_or_default();
    let place = table.rows.iter().position(|found| found.name == row).unwrap_or_default();
    format!("o{column}-{place}")
}

/// All origins of a study's numbers.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    /// By target and row.
    pub cells: Vec<Origin<'a>>,
    /// Each once, in the order of phases.
    pub trainings: Vec<Training<'a>>,
    /// Name and key, or digest, of every data artifact and raw file, each once.
    pub data: Vec<(&'a str, &'a str)>,
}

/// Where every cell of the study comes from.
pub(super) fn origins<'a>(results: &'a StudyResults, table: &StudyTable) -> Origins<'a> {
    let mut trainings: BTreeMap<&str, Training> = BTreeMap::new();
    let pairs = results.cells.iter().flat_map(|cell| &cell.data_keys);
    let mut data: Vec<(&str, &str)> = pairs.map(|(name, key)| (name.as_str(), key.as_str())).collect();
    data.sort_unstable();
    data.dedup();
    let mut origins: Vec<Origin> = Vec::new();
    for cell in results.study.targets.iter().flat_map(|target| results.of_target(target)) {
        for (phase, training) in phases(cell) {
            let Some(key) = training["key"].as_str() else { continue };
            let found = trainings.entry(key).or_insert_with(|| described(phase, key, training));
            found.purpose = match phase.as_str() {
                "pretrain" => "all rows".to_owned(),
                "intermediate" => format!("row {}, seed {}", cell.at.row, cell.at.seed),
                _ => format!("{} after {}, seed {}", cell.at.target, cell.at.row, cell.at.seed),
            };
        }
        let id = id(table, cell.at.target.as_str(), &cell.at.row);
        match origins.last_mut().filter(|origin| origin.id == id) {
            Some(origin) => origin.seeds.push(seed(cell, &data)),
            None => origins.push(Origin {
                id,
                target: cell.at.target.as_str(),
                row: &cell.at.row,
                seeds: vec![seed(cell, &data)],
            }),
        }
    }
    let mut trainings: Vec<Training> = trainings.into_values().collect();
    let order = |phase| ["pretrain", "intermediate", "target"].iter().position(|known| *known == phase);
    trainings.sort_by(|a, b| (order(a.phase), &a.purpose, a.key).cmp(&(order(b.phase), &b.purpose, b.key)));
    Origins { cells: origins, trainings, data }
}

fn phases(cell: &Cell) -> impl Iterator<Item = (&String, &Value)> {
    cell.parameters["trainings"].as_object().into_iter().flatten()
}

fn training_id(key: &str) -> String {
    format!("training-{}", key.chars().take(12).collect::<String>())
}

fn described<'a>(phase: &'a str, key: &'a str, training: &'a Value) -> Training<'a> {
    let tasks = training["parameters"]["tasks"].as_array().into_iter().flatten();
    let names = tasks.filter_map(|task| task.as_str().or_else(|| task["id"].as_str()));
    Training {
        id: training_id(key),
        phase,
        tasks: names.collect::<Vec<_>>().join(" + "),
        purpose: String::new(),
        key,
        parameters: format!("{:#}", training["parameters"]),
        statistics: format!("{:#}", training["statistics"]),
    }
}

fn seed<'a>(cell: &'a Cell, data: &[(&str, &str)]) -> Seed<'a> {
    let keys = [
        ("score", &cell.score_key),
        ("predictions", &cell.predict_key),
        ("model", &cell.model_key),
        ("tokenizer", &cell.tokenizer_digest),
    ];
    let layer = cell.layer.map(|layer| format!("@{layer}")).unwrap_or_default();
    let order = ["pretrain", "intermediate", "target"];
    let mut trainings: Vec<(&str, String)> = phases(cell)
        .filter_map(|(phase, training)| Some((phase.as_str(), training_id(training["key"].as_str()?))))
        .collect();
    trainings.sort_by_key(|(phase, _)| order.iter().position(|known| known == phase));
    let own = cell.data_keys.iter().map(|(name, key)| (name.as_str(), key.as_str()));
    let mut parameters = cell.parameters.clone();
    if let Some(all) = parameters.as_object_mut() {
        all.remove("trainings");
    }
    Seed {
        seed: cell.at.seed,
        explain: [format!("{}/{}", cell.study, cell.at), layer],
        keys: keys.into_iter().filter(|(_, key)| !key.is_empty()).map(|(name, key)| (name, key.as_str())).collect(),
        trainings,
        data: own.filter_map(|pair| data.binary_search(&pair).ok()).collect(),
        parameters: format!("{parameters:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{fixture, study_table};
    use super::*;

    #[test]
    fn every_cell_has_its_keys_and_every_training_stands_once() {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let Origins { cells: origins, trainings, data } = origins(&results, &table);
        assert_eq!(origins.len(), 9);
        let mnli = origins.iter().find(|origin| origin.id == id(&table, "xnli", "mnli")).unwrap();
        assert_eq!((mnli.target, mnli.row, mnli.seeds.len()), ("xnli", "mnli", 2));
        let seed = &mnli.seeds[1];
        assert_eq!(seed.explain, ["small/xnli/mnli/seed-2".to_owned(), String::new()]);
        assert!(seed.keys.contains(&("score", "score-xnli-mnli-2")) && seed.keys.contains(&("tokenizer", "tokenizer")));
        let names: Vec<(&str, &str)> = seed.data.iter().map(|place| data[*place]).collect();
        assert_eq!(names, [("canonical", "normalize-xnli")]);
        let phases: Vec<&str> = seed.trainings.iter().map(|(phase, _)| *phase).collect();
        assert_eq!(phases, ["pretrain", "intermediate", "target"]);
        assert!(seed.trainings.iter().all(|(_, id)| trainings.iter().filter(|t| t.id == *id).count() == 1));
        // One pretraining, mnli with two seeds, and two targets with two rows and two seeds.
        assert_eq!(trainings.len(), 1 + 2 + 8);
        assert_eq!((trainings[0].phase, trainings[0].tasks.as_str()), ("pretrain", "text"));
        assert_eq!(trainings[3].purpose, "xnli after mnli, seed 1");
        let rows = row_cells(&table);
        assert_eq!((rows.len(), rows[2].row, rows[2].id.as_str()), (3, "mnli", "r2"));
        assert_eq!(rows[2].cells[0], ("xnli", id(&table, "xnli", "mnli")));
        let retrieval = origins.iter().find(|origin| origin.id == id(&table, "tatoeba", "mnli")).unwrap();
        assert_eq!(retrieval.seeds[0].explain[1], "@2");
    }
}
