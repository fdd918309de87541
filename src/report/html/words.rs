//! What a report says in sentences: what was run, what came out, and what to know when reading it.

use std::cmp::Ordering;

use super::super::terminal::{one, sign, signed};
use super::super::{CHANCE, Change, Estimate, NONE, Row, StudyResults, StudyTable};
use super::grid::Grid;
use crate::task::{Edition, IMPORTED};

/// What was run, in words.
pub(super) fn facts(results: &StudyResults) -> Vec<(String, String)> {
    let study = &results.study;
    let imported = study.id == IMPORTED;
    let facts: Vec<(&str, String)> = editions(results)
        .into_iter()
        .map(|(edition, targets)| {
            let of = if targets.len() < study.targets.len() { targets.join(", ") + ": " } else { String::new() };
            ("Edition", of + edition_in_words(edition))
        })
        .collect();
    let mini = study.mini.iter().map(|(key, value)| (format!("Mini: {}", key.replace('_', " ")), value.to_string()));
    let mini: Vec<(String, String)> = mini.collect();
    let mut rest = if imported { Vec::new() } else { vec![("Model", study.model.clone())] };
    if let Some(pretrain) = &study.pretrain {
        rest.push(("Pretraining", format!("masked language modelling on {}", pretrain.task)));
    }
    let rows = study.order.iter().map(|row| match study.intermediate[row].as_slice() {
        [] if !imported => format!("{row} (no intermediate training)"),
        [] => row.clone(),
        [task] if task == row => row.clone(),
        tasks => format!("{row} ({})", tasks.join(" + ")),
    });
    rest.push((if imported { "Systems" } else { "Intermediate tasks" }, rows.collect::<Vec<_>>().join(", ")));
    rest.push(("Targets", study.targets.join(", ")));
    let languages = study.languages.as_ref().map(|languages| languages.join(" "));
    rest.push(("Languages", languages.unwrap_or_else(|| "all that the targets have".to_owned())));
    rest.push(("Seeds", study.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")));
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    facts.chain(mini).chain(rest.into_iter().map(|(name, value)| (name.to_owned(), value))).collect()
}

/// The targets of each edition, in the order of targets.
fn editions(results: &StudyResults) -> Vec<(Option<Edition>, Vec<&str>)> {
    let mut found: Vec<(Option<Edition>, Vec<&str>)> = Vec::new();
    for target in &results.study.targets {
        let edition = results.edition_of(target);
        match found.iter_mut().find(|(known, _)| *known == edition) {
            Some((_, targets)) => targets.push(target),
            None => found.push((edition, vec![target])),
        }
    }
    found
}

fn edition_in_words(edition: Option<Edition>) -> &'static str {
    match edition {
        Some(Edition::Mini) => "mini: a small multilingual world that the project writes itself, not natural text",
        Some(Edition::Full) => "full: the real datasets",
        None => "not known: of several, or made of tables that are gone",
    }
}

/// The style sheet's class of a gain or a loss.
pub(super) fn direction(sign: Ordering) -> &'static str {
    match sign {
        Ordering::Greater => "up",
        Ordering::Less => "down",
        Ordering::Equal => "",
    }
}

/// For each target: the best intermediate tasks (all that share the value that is shown), their change, and where chance lies.
pub(super) fn findings(table: &StudyTable, grid: &Grid) -> Vec<String> {
    let among = if table.study == IMPORTED { "systems" } else { "intermediate tasks" };
    let mut findings = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        let entry = |row: &Row| row.entries[index].as_ref().and_then(|entry| entry.non_english.zip(Some(entry.change)));
        let others = table.rows.iter().filter(|row| ![CHANCE, NONE].contains(&row.name.as_str()));
        let found: Vec<(&Row, Estimate, Change)> =
            others.filter_map(|row| entry(row).and_then(|(estimate, change)| Some((row, estimate, change?)))).collect();
        let Some((_, highest, change)) = found.iter().max_by(|a, b| a.1.value.total_cmp(&b.1.value)) else { continue };
        let best: Vec<&(&Row, Estimate, Change)> =
            found.iter().filter(|(_, estimate, _)| one(estimate.value) == one(highest.value)).collect();
        let mut verdicts: Vec<String> = best.iter().map(|(_, _, change)| verdict(grid.tested, change)).collect();
        if verdicts.iter().all(|verdict| *verdict == verdicts[0]) {
            verdicts.truncate(1);
        } else {
            let named = best.iter().zip(&verdicts).map(|((row, ..), verdict)| format!("{}: {verdict}", row.name));
            verdicts = named.collect();
        }
        let chance = table.rows.iter().find(|row| row.name == CHANCE);
        let chance = chance.and_then(entry).map(|(chance, _)| {
            let above = best.iter().all(|(_, estimate, _)| estimate.ci_low > chance.ci_high);
            format!("; {} chance ({})", if above { "clearly above" } else { "not clearly above" }, one(chance.value))
        });
        let names: Vec<&str> = best.iter().map(|(row, ..)| row.name.as_str()).collect();
        findings.push(format!(
            "{}: {} {} best among the {among}: {}, {} points against none ({}){}",
            column.target,
            names.join(" and "),
            if names.len() > 1 { "do" } else { "does" },
            one(highest.value),
            signed(change.value),
            verdicts.join("; "),
            chance.unwrap_or_default()
        ));
    }
    findings
}

/// What the test says of a change; where that is of the mean over seeds and has another sign than what is shown, that too.
fn verdict(tested: bool, change: &Change) -> String {
    let Some(test) = change.test.filter(|_| change.clear) else {
        return if tested { "not significant" } else { "not tested" }.to_owned();
    };
    let gain = if change.sign().is_gt() { "a significant gain" } else { "a significant loss" };
    if change.sign() == sign(change.value) {
        return gain.to_owned();
    }
    format!("{gain}: {} in the mean over seeds", signed(test.difference.value))
}

/// What a reader has to know to read the numbers right.
pub(super) fn caveats(results: &StudyResults, table: &StudyTable) -> Vec<String> {
    let mut caveats = table.notes.clone();
    let editions = editions(results);
    if editions.iter().any(|(edition, _)| *edition == Some(Edition::Mini)) {
        caveats.push(
            "The mini edition is synthetic and small. Its scores show that the pipeline learns and transfers; they say \
             nothing about real languages."
                .to_owned(),
        );
    }
    if let Some((_, targets)) = editions.iter().find(|(edition, _)| edition.is_none()) {
        caveats.push(format!(
            "Which edition the data are of is not known for {}: the scores may be of the synthetic mini edition.",
            targets.join(", ")
        ));
    }
    if results.study.targets.iter().any(|target| !results.study.limits_of(target).is_empty()) {
        caveats
            .push("Splits are cut to the limits in the study file: scores are not those of the full data.".to_owned());
    }
    if table.columns.iter().any(|column| column.target == "udpos") {
        caveats.push(
            "Part-of-speech F1 is seqeval's chunk F1 over bare tags, as XTREME computes it: lower than token accuracy."
                .to_owned(),
        );
    }
    if table.rows.iter().any(|row| row.name == CHANCE) {
        caveats.push(format!(
            "The row “chance” guesses without a model: the majority label or tag of the {} training data, or a random \
             choice, span or sentence.",
            table.source_name
        ));
    }
    caveats
}

#[cfg(test)]
mod tests {
    use super::super::super::{ResultsTable, fixture, study_table};
    use super::super::grid::{Statistics, grid};
    use super::*;

    #[test]
    fn the_edition_told_is_that_of_what_was_scored() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = fixture::results(dir.path());
        results.study.edition = Edition::Full;
        for (target, edition) in [("xnli", None), ("xquad", Some(Edition::Full))] {
            results.cells.iter_mut().filter(|cell| cell.at.target == target).for_each(|cell| cell.edition = edition);
        }
        let told: Vec<String> =
            facts(&results).into_iter().filter(|(name, _)| name == "Edition").map(|(_, told)| told).collect();
        assert!(told[0].starts_with("xnli: not known") && told[1].starts_with("xquad: full"), "{told:?}");
        assert!(told[2].starts_with("tatoeba: mini"), "{told:?}");
        let caveats = caveats(&results, &study_table(&results).unwrap()).join("\n");
        assert!(
            caveats.contains("The mini edition is synthetic") && caveats.contains("not known for xnli"),
            "{caveats}"
        );
    }

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
        // Medians that differ the other way than the means that are tested.
        let mut turned = table.clone();
        turned.rows[2].entries[0].as_mut().unwrap().change.as_mut().unwrap().value = -0.2;
        let told = findings(&turned, &grid(&turned, &Statistics::read(&results).unwrap()));
        assert!(
            told[0].contains("−0.2 points against none (a significant gain: +6.0 in the mean over seeds)"),
            "{told:?}"
        );
        // A second row whose value looks the same, without being significant.
        let mut shared = table.clone();
        let mut row = shared.rows[2].clone();
        row.name = "multi".to_owned();
        let entry = row.entries[0].as_mut().unwrap();
        entry.non_english.as_mut().unwrap().value += 0.01;
        entry.change.as_mut().unwrap().clear = false;
        shared.rows.push(row);
        let told = findings(&shared, &grid(&shared, &Statistics::read(&results).unwrap()));
        let want = "xnli: mnli and multi do best among the intermediate tasks: 52.0, +6.0 points against none (mnli: a \
                    significant gain; multi: not significant)";
        assert!(told[0].starts_with(want), "{told:?}");
        results.tables.remove(&ResultsTable::Comparisons);
        let table = study_table(&results).unwrap();
        let found = findings(&table, &grid(&table, &Statistics::read(&results).unwrap()));
        assert!(found[0].contains("(not tested)"), "{}", found[0]);
    }
}
