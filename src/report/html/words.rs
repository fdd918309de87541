//! What a report says in sentences: what was run, what came out, and what to know when reading it.

use super::super::terminal::{one, signed};
use super::super::{CHANCE, NONE, StudyResults, StudyTable};
use super::grid::Grid;
use crate::task::{Edition, Study};

/// What was run, in words.
pub(super) fn facts(study: &Study) -> Vec<(String, String)> {
    let mut facts: Vec<(&str, String)> = Vec::new();
    let edition = match study.edition {
        Edition::Mini => "mini: a small multilingual world that the project writes itself, not natural text",
        Edition::Full => "full: the real datasets",
    };
    facts.push(("Edition", edition.to_owned()));
    let mini = study.mini.iter().map(|(key, value)| (format!("Mini: {}", key.replace('_', " ")), value.to_string()));
    let mini: Vec<(String, String)> = mini.collect();
    let mut rest = vec![("Model", study.model.clone())];
    if let Some(pretrain) = &study.pretrain {
        rest.push(("Pretraining", format!("masked language modelling on {}", pretrain.task)));
    }
    let rows = study.order.iter().map(|row| match study.intermediate[row].as_slice() {
        [] => format!("{row} (no intermediate training)"),
        [task] if task == row => row.clone(),
        tasks => format!("{row} ({})", tasks.join(" + ")),
    });
    rest.push(("Intermediate tasks", rows.collect::<Vec<_>>().join(", ")));
    rest.push(("Targets", study.targets.join(", ")));
    let languages = study.languages.as_ref().map(|languages| languages.join(" "));
    rest.push(("Languages", languages.unwrap_or_else(|| "all that the targets have".to_owned())));
    rest.push(("Seeds", study.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")));
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    facts.chain(mini).chain(rest.into_iter().map(|(name, value)| (name.to_owned(), value))).collect()
}

/// For each target: the best intermediate task, its change, and where chance lies.
pub(super) fn findings(table: &StudyTable, grid: &Grid) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let trained = table.rows.iter().zip(&grid.rows);
        let trained = trained.filter(|(row, _)| ![CHANCE, NONE].contains(&row.intermediate.as_str()));
        let best = trained
            .filter_map(|(row, shown)| {
                let estimate = row.entries[index].as_ref()?.non_english?;
                Some((row, estimate, shown.cells[index].as_ref()?.change.as_ref()?))
            })
            .max_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let Some((row, estimate, change)) = best else { continue };
        let verdict = match (grid.tested, change.marked, change.value > 0.0) {
            (false, ..) => "not tested",
            (true, false, _) => "not significant",
            (true, true, true) => "a significant gain",
            (true, true, false) => "a significant loss",
        };
        let chance = table.rows.iter().find(|row| row.intermediate == CHANCE);
        let chance = chance.and_then(|row| row.entries[index].as_ref()?.non_english).map(|chance| {
            let above = if estimate.ci_low > chance.ci_high { "clearly above" } else { "not clearly above" };
            format!("; {above} chance ({})", one(chance.value))
        });
        findings.push(format!(
            "{}: {} does best among the intermediate tasks: {}, {} points against none ({verdict}){}",
            column.target,
            row.intermediate,
            one(estimate.value),
            signed(change.value),
            chance.unwrap_or_default()
        ));
    }
    findings
}

/// What a reader has to know to read the numbers right.
pub(super) fn caveats(results: &StudyResults, table: &StudyTable) -> Vec<String> {
    let mut caveats = table.notes.clone();
    if results.study.edition == Edition::Mini {
        caveats.push(
            "The mini edition is synthetic and small. Its scores show that the pipeline learns and transfers; they say \
             nothing about real languages."
                .to_owned(),
        );
    }
    if !results.study.limits.is_empty() {
        caveats
            .push("Splits are cut to the limits in the study file: scores are not those of the full data.".to_owned());
    }
    if table.columns.iter().any(|column| column.target == "udpos") {
        caveats.push(
            "Part-of-speech F1 is seqeval's chunk F1 over bare tags, as XTREME computes it: lower than token accuracy."
                .to_owned(),
        );
    }
    if table.rows.iter().any(|row| row.intermediate == CHANCE) {
        caveats.push(
            "The row “chance” guesses without a model: the majority label or tag of the English training data, or a \
             random choice, span or sentence."
                .to_owned(),
        );
    }
    caveats
}

#[cfg(test)]
mod tests {
    use super::super::super::{fixture, study_table};
    use super::super::grid::{Statistics, grid};
    use super::*;

    #[test]
    fn findings_name_the_best_row_and_chance() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        let table = study_table(&results).unwrap();
        let found = findings(&table, &grid(&table, &Statistics::read(&results).unwrap()));
        assert_eq!(
            found[0],
            "xnli: mnli does best among the intermediate tasks: 52.0, +6.0 points against none (a significant gain); \
             clearly above chance (33.0)"
        );
        assert!(found[2].contains("(not significant)"), "{}", found[2]);
        results.comparisons = None;
        let table = study_table(&results).unwrap();
        let found = findings(&table, &grid(&table, &Statistics::read(&results).unwrap()));
        assert!(found[0].contains("(not tested)"), "{}", found[0]);
    }
}
