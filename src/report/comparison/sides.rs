//! The runs of each operand, and which of them belong together.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::ReportError;
use super::super::results::check_version;
use super::super::runs::{self, Headline};
use super::{Operand, published};
use crate::evaluate::Setting;
use crate::evaluate::compare::{Run, Runs, read_published, read_runs};
use crate::shard::{self, Columns, PART};
use crate::task::{CHANCE, SourceLanguage, study_folder, target_folder};

/// What one row has on one target.
pub(super) struct SideRow {
    row: String,
    /// What stands for the row in tables; where the layer and pooling are not known, all are compared.
    headline: Headline,
    seeds: BTreeMap<u64, Runs>,
}

/// An operand's runs.
pub(super) struct Side {
    /// `A` or `B`: both may have the same name, in two stores.
    letter: &'static str,
    /// All its targets, those that were not picked as well.
    offered: Vec<String>,
    /// Rows by target.
    targets: Vec<(String, Vec<SideRow>)>,
}

impl Side {
    /// Reads an operand, as far as `targets` picks it.
    pub fn read(operand: &Operand, letter: &'static str, targets: &[String]) -> Result<Self, ReportError> {
        let wanted = |target: &String| targets.is_empty() || targets.contains(target);
        match operand {
            Operand::Scores { target, source, example_scores, .. } => {
                let runs = read_runs(example_scores)?;
                let headline = Headline { setting: None, source: source.clone() };
                let row = SideRow { row: String::new(), headline, seeds: BTreeMap::from([(0, runs)]) };
                let targets = if wanted(target) { vec![(target.clone(), vec![row])] } else { Vec::new() };
                Ok(Self { letter, offered: vec![target.clone()], targets })
            }
            Operand::Study { study, row, results_dir } => {
                let mut side = Self { letter, offered: Vec::new(), targets: Vec::new() };
                let mut known: Vec<String> = Vec::new();
                for (target, path) in published(results_dir, study)? {
                    let runs = Path::new("runs").join(study_folder(study)).join(target_folder(&target));
                    let headlines = headlines(study, &results_dir.join(runs).join(PART))?;
                    known.extend(
                        headlines
                            .iter()
                            .map(|(row, _)| row.clone())
                            .filter(|row| !known.contains(row))
                            .collect::<Vec<_>>(),
                    );
                    let of_side = |found: &str| row.as_ref().map_or(found != CHANCE, |row| row == found);
                    if headlines.iter().any(|(row, _)| of_side(row)) {
                        side.offered.push(target.clone());
                    }
                    if !wanted(&target) {
                        continue;
                    }
                    let mut by_row: BTreeMap<String, BTreeMap<u64, Runs>> = BTreeMap::new();
                    for ((row, seed), runs) in read_published(&path, of_side)? {
                        by_row.entry(row).or_default().insert(seed, runs);
                    }
                    // In the order of the study.
                    let of_row = |(row, headline): (String, Headline)| {
                        let seeds = by_row.remove(&row)?;
                        Some(SideRow { row, headline, seeds })
                    };
                    let rows: Vec<SideRow> = headlines.into_iter().filter_map(of_row).collect();
                    if !rows.is_empty() {
                        side.targets.push((target, rows));
                    }
                }
                if let Some(row) = row.as_ref().filter(|row| !known.contains(row)) {
                    let (study, known) = (study.clone(), known.join(", "));
                    return Err(ReportError::NoRow { study, row: row.clone(), known });
                }
                Ok(side)
            }
        }
    }

    /// The names of all targets that it has.
    pub fn offered(&self) -> impl Iterator<Item = &str> {
        self.offered.iter().map(String::as_str)
    }

    /// The languages of the targets that were picked.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        let seeds = self.targets.iter().flat_map(|(_, rows)| rows).flat_map(|row| row.seeds.values());
        seeds.flat_map(BTreeMap::values).flat_map(|run| run.languages.keys()).map(String::as_str)
    }

    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|(target, _)| target.as_str())
    }

    pub fn has(&self, target: &str) -> bool {
        self.targets().any(|known| known == target)
    }

    fn rows(&self, target: &str) -> &[SideRow] {
        self.targets.iter().find(|(known, _)| known == target).map_or(&[], |(_, rows)| rows)
    }
}

/// The rows of a table of runs in its order, each with what stands for it in tables.
fn headlines(study: &str, path: &Path) -> Result<Vec<(String, Headline)>, ReportError> {
    let batches = shard::read_batches(path)?;
    check_version(path, &batches)?;
    let mut found: Vec<(String, Headline)> = Vec::new();
    for batch in batches {
        let batch = batch?;
        let columns = Columns::new(path, &batch);
        let (rows, parameters) = (columns.text("row")?, columns.text("parameters")?);
        for (row, parameters) in rows.iter().flatten().zip(parameters.iter().flatten()) {
            if found.iter().all(|(known, _)| known != row) {
                let broken =
                    |e: serde_json::Error| ReportError::Run { study: study.to_owned(), message: e.to_string() };
                let parameters = serde_json::from_str(parameters).map_err(broken)?;
                found.push((row.to_owned(), runs::headline(study, &parameters)?));
            }
        }
    }
    Ok(found)
}

/// The rows of both sides that are compared on `target`: of `whole` studies those of one name, under it; else the one that
/// each side has. What has no counterpart is told.
pub(super) fn paired<'a>(
    a: &'a Side,
    b: &'a Side,
    whole: bool,
    target: &str,
    not_compared: &mut Vec<String>,
) -> Vec<(Option<String>, (&'a SideRow, &'a SideRow))> {
    if !b.has(target) {
        not_compared.push(only_in(target, a));
        return Vec::new();
    }
    let (of_a, of_b) = (a.rows(target), b.rows(target));
    let mut pairs = Vec::new();
    if !whole {
        pairs.extend(of_a.first().zip(of_b.first()).map(|pair| (None, pair)));
    } else {
        for row in of_a {
            match of_b.iter().find(|other| other.row == row.row) {
                Some(other) => pairs.push((Some(row.row.clone()), (row, other))),
                None => not_compared.push(only_in(&cell(target, Some(&row.row)), a)),
            }
        }
        let alone = of_b.iter().filter(|other| of_a.iter().all(|row| row.row != other.row));
        not_compared.extend(alone.map(|row| only_in(&cell(target, Some(&row.row)), b)));
    }
    pairs.retain(|(row, (one, other))| {
        let (cell, shared) = (cell(target, row.as_deref()), seeds(one, other).count());
        if shared == 0 {
            not_compared.push(format!("{cell}: no seed in common"));
            return false;
        }
        for (side, has, lacks) in [(a, one, other), (b, other, one)] {
            if has.seeds.len() > shared {
                let alone = has.seeds.keys().filter(|seed| !lacks.seeds.contains_key(seed));
                let alone: Vec<String> = alone.map(|seed| format!("seed-{seed}")).collect();
                not_compared.push(only_in(&format!("{cell}, {}", alone.join(", ")), side));
            }
        }
        true
    });
    pairs
}

/// What is compared at once: a target, of whole studies with the row.
pub(super) fn cell(target: &str, row: Option<&str>) -> String {
    row.map_or_else(|| target.to_owned(), |row| format!("{target}, {row}"))
}

/// That the other side does not have `what`.
pub(super) fn only_in(what: &str, side: &Side) -> String {
    format!("{what}: only in {}", side.letter)
}

/// The runs of equal seeds; where both have a single one, those, whatever their seeds.
fn seeds<'a>(a: &'a SideRow, b: &'a SideRow) -> Box<dyn Iterator<Item = (&'a Runs, &'a Runs)> + 'a> {
    if a.seeds.len() == 1 && b.seeds.len() == 1 {
        return Box::new(a.seeds.values().zip(b.seeds.values()));
    }
    Box::new(a.seeds.iter().filter_map(|(seed, runs)| Some((runs, b.seeds.get(seed)?))))
}

/// The language that both rows were trained in; none where they were trained in two, so that no group of languages means the same
/// in both.
pub(super) fn source<'a>(a: &'a SideRow, b: &SideRow) -> Option<&'a SourceLanguage> {
    (a.headline.source == b.headline.source).then_some(&a.headline.source)
}

/// The pairs of runs of two rows by layer and pooling: those that stand for the rows in tables, where they are known. A run
/// without a layer (a baseline) is compared with each of the other's.
pub(super) fn by_setting<'a>(a: &'a SideRow, b: &'a SideRow) -> Vec<(Setting, Vec<(&'a Run, &'a Run)>)> {
    let mut found: BTreeMap<&Setting, Vec<(&Run, &Run)>> = BTreeMap::new();
    for (of_a, of_b) in seeds(a, b) {
        let none = Setting::default();
        for setting in of_a.keys().chain(of_b.keys().filter(|setting| !of_a.contains_key(*setting))) {
            let one = of_a.get(setting).or_else(|| of_a.get(&none));
            let other = of_b.get(setting).or_else(|| of_b.get(&none));
            found.entry(setting).or_default().extend(one.zip(other));
        }
    }
    let headline = a.headline.setting.as_ref().or(b.headline.setting.as_ref());
    // What is no retrieval has a single run without a layer, whatever the model's settings are.
    let stands = |setting: &Setting| setting.layer.is_none() || headline.is_none_or(|headline| headline == setting);
    let kept = found.into_iter().filter(|(setting, pairs)| stands(setting) && !pairs.is_empty());
    kept.map(|(setting, pairs)| (setting.clone(), pairs)).collect()
}
