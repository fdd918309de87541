//! The headline numbers of a study's rows over their seeds, by group of languages and by suite.

use std::collections::{BTreeMap, BTreeSet};

use super::{AnalyzeTarget, Row};
use crate::evaluate::aggregate::{TaskMean, language_mean, suite_means};
use crate::evaluate::bootstrap::standard_error;
use crate::evaluate::groups::{groups, is_gap};
use crate::evaluate::number::headline;
use crate::evaluate::{AggregateRow, Setting};
use crate::task::{SourceLanguage, Suite};

/// The median of some numbers, by total order; the mean of the middle two where their count is even.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n.is_multiple_of(2) => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

/// One row on a target or suite, over its seeds.
pub(super) struct Aggregate {
    /// A target's or a suite's id.
    target: String,
    metric: String,
    row: String,
    setting: Setting,
    /// Of languages, or of a suite's tasks.
    group: String,
    missing: Vec<String>,
    /// Seed and number.
    seeds: Vec<(u64, f64)>,
}

impl Aggregate {
    fn numbers(&self) -> Vec<f64> {
        self.seeds.iter().map(|(_, number)| *number).collect()
    }

    /// The first seed with the best number: the highest, of a gap the lowest.
    fn best(&self) -> (u64, f64) {
        let better = |a: f64, b: f64| if is_gap(&self.group) { a < b } else { a > b };
        let best = |best: (u64, f64), seed: &(u64, f64)| if better(seed.1, best.1) { *seed } else { best };
        self.seeds.iter().fold(self.seeds[0], best)
    }

    pub(super) fn row(&self) -> AggregateRow {
        let (numbers, (best_seed, best)) = (self.numbers(), self.best());
        AggregateRow {
            target: self.target.clone(),
            row: self.row.clone(),
            setting: self.setting.clone(),
            metric: self.metric.clone(),
            group: self.group.clone(),
            seeds: numbers.len() as u32,
            mean: numbers.iter().sum::<f64>() / numbers.len() as f64,
            standard_deviation: (numbers.len() > 1).then(|| standard_error(&numbers)),
            median: median(numbers).unwrap_or_default(),
            best,
            best_seed,
            missing: self.missing.join(" "),
        }
    }
}

/// The row's numbers by setting and group.
pub(super) fn aggregates(target: &AnalyzeTarget, source: &SourceLanguage, row: &Row<'_>) -> Vec<Aggregate> {
    let mut found: Vec<Aggregate> = Vec::new();
    for (seed, scored) in &row.seeds {
        for (setting, numbers) in &scored.numbers {
            let (codes, values): (Vec<&str>, Vec<f64>) =
                numbers.iter().map(|(code, value)| (code.as_str(), *value)).unzip();
            for group in groups(&codes, &target.languages, source) {
                let number = (*seed, group.value(&values));
                match found.iter_mut().find(|one| one.setting == *setting && one.group == group.name) {
                    Some(one) => one.seeds.push(number),
                    None => found.push(Aggregate {
                        target: target.id.clone(),
                        metric: headline(target.metric).name,
                        row: row.name.to_owned(),
                        setting: setting.clone(),
                        group: group.name,
                        missing: group.missing,
                        seeds: vec![number],
                    }),
                }
            }
        }
    }
    found
}

/// The numbers that stand for a target in one row and seed.
pub(super) struct Standing<'a> {
    pub target: &'a str,
    pub row: &'a str,
    pub seed: u64,
    /// The headline number of each language.
    pub languages: Vec<(String, f64)>,
}

/// Each row's means over the tasks of each of `wanted`, each task over the suite's languages, in the seeds that all of its targets
/// have. They say which tasks and languages of the suite the study lacks.
pub(super) fn suites(wanted: &[Suite], standing: &[Standing<'_>]) -> Vec<Aggregate> {
    let mut rows: Vec<&str> = Vec::new();
    for one in standing {
        if !rows.contains(&one.row) {
            rows.push(one.row);
        }
    }
    let mut found = Vec::new();
    for (suite, row) in wanted.iter().flat_map(|suite| rows.iter().map(move |row| (suite, *row))) {
        let mut by_seed: BTreeMap<u64, Vec<TaskMean>> = BTreeMap::new();
        let mut targets: BTreeSet<&str> = BTreeSet::new();
        for one in standing.iter().filter(|one| one.row == row) {
            let expected = suite.languages(one.target);
            let of_suite = one.languages.iter().filter(|(code, _)| expected.contains(code));
            let values: Vec<(&str, f64)> = of_suite.map(|(code, value)| (code.as_str(), *value)).collect();
            let Some((value, missing)) = language_mean(expected.iter().map(String::as_str), values) else { continue };
            targets.insert(one.target);
            by_seed.entry(one.seed).or_default().push(TaskMean { task: one.target.to_owned(), value, missing });
        }
        by_seed.retain(|_, means| means.len() == targets.len());
        let mut of_row: Vec<Aggregate> = Vec::new();
        for (seed, means) in &by_seed {
            for mean in suite_means(suite, means, true).unwrap_or_default() {
                match of_row.iter_mut().find(|one| one.group == mean.group) {
                    Some(one) => one.seeds.push((*seed, mean.value)),
                    None => of_row.push(Aggregate {
                        target: suite.id.clone(),
                        metric: "average".to_owned(),
                        row: row.to_owned(),
                        setting: Setting::default(),
                        group: mean.group,
                        missing: mean.missing,
                        seeds: vec![(*seed, mean.value)],
                    }),
                }
            }
        }
        found.extend(of_row);
    }
    found
}
