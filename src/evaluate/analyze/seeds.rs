//! The headline numbers of a study's rows over their seeds, by group of languages and by suite.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array};

use super::{AnalyzeRequest, AnalyzeTarget, Row, texts};
use crate::evaluate::Setting;
use crate::evaluate::aggregate::{Suite, TaskMean, suite_means};
use crate::evaluate::bootstrap::standard_error;
use crate::evaluate::compare::language_numbers;
use crate::evaluate::groups::{ENGLISH_GAP, groups};
use crate::evaluate::number::headline;
use crate::schema::table;

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
    intermediate: String,
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

    /// The first seed with the best number: the highest, of the English gap the lowest.
    fn best(&self) -> (u64, f64) {
        let better = |a: f64, b: f64| if self.group == ENGLISH_GAP { a < b } else { a > b };
        let best = |best: (u64, f64), seed: &(u64, f64)| if better(seed.1, best.1) { *seed } else { best };
        self.seeds.iter().fold(self.seeds[0], best)
    }
}

/// The row's numbers by setting and group.
pub(super) fn aggregates(target: &AnalyzeTarget, row: &Row<'_>) -> Vec<Aggregate> {
    let mut found: Vec<Aggregate> = Vec::new();
    for (seed, settings) in &row.seeds {
        for (setting, run) in settings {
            let codes: Vec<&str> = run.languages.keys().map(String::as_str).collect();
            let of_languages = language_numbers(target.metric, run);
            for group in groups(&codes, &target.languages) {
                let number = (*seed, group.value(&of_languages));
                match found.iter_mut().find(|one| one.setting == *setting && one.group == group.name) {
                    Some(one) => one.seeds.push(number),
                    None => found.push(Aggregate {
                        target: target.id.clone(),
                        metric: headline(target.metric).name,
                        intermediate: row.intermediate.to_owned(),
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

/// Each row's means over the tasks of a suite, in the seeds that all of its targets have; they say which tasks the study lacks.
pub(super) fn suites(request: &AnalyzeRequest<'_>, aggregated: &[Aggregate]) -> Vec<Aggregate> {
    let mut rows: Vec<&str> = Vec::new();
    for cell in &request.cells {
        if !rows.contains(&cell.intermediate.as_str()) {
            rows.push(&cell.intermediate);
        }
    }
    let stands = |one: &&Aggregate| {
        let target = request.targets.iter().find(|target| target.id == one.target);
        // A baseline has no layers.
        one.group == "all"
            && (one.setting.layer.is_none() || target.is_some_and(|target| target.setting == one.setting))
    };
    let mut found = Vec::new();
    for (suite, row) in Suite::ALL.into_iter().flat_map(|suite| rows.iter().map(move |row| (suite, *row))) {
        let in_suite = |one: &&Aggregate| one.intermediate == row && suite.tasks().any(|task| task == one.target);
        let tasks: Vec<&Aggregate> = aggregated.iter().filter(stands).filter(in_suite).collect();
        let Some(first) = tasks.first() else { continue };
        let mut of_row: Vec<Aggregate> = Vec::new();
        for (seed, _) in &first.seeds {
            let mean = |task: &&Aggregate| {
                let (_, value) = task.seeds.iter().find(|(known, _)| known == seed)?;
                Some(TaskMean { task: task.target.clone(), value: *value, missing: task.missing.clone() })
            };
            let Some(means) = tasks.iter().map(mean).collect::<Option<Vec<_>>>() else { continue };
            for mean in suite_means(suite, &means, true).unwrap_or_default() {
                match of_row.iter_mut().find(|one| one.group == mean.group) {
                    Some(one) => one.seeds.push((*seed, mean.value)),
                    None => of_row.push(Aggregate {
                        target: suite.name().to_owned(),
                        metric: "average".to_owned(),
                        intermediate: row.to_owned(),
                        setting: Setting::default(),
                        group: mean.group.to_owned(),
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

pub(super) fn aggregate_table(aggregated: &[Aggregate]) -> RecordBatch {
    let number = |of: &dyn Fn(&Aggregate) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(aggregated.iter().map(of)))
    };
    let mean = |one: &Aggregate| one.numbers().iter().sum::<f64>() / one.seeds.len() as f64;
    let deviation = |one: &Aggregate| (one.seeds.len() > 1).then(|| standard_error(&one.numbers()));
    let columns = vec![
        texts(aggregated.iter().map(|one| one.target.clone())),
        texts(aggregated.iter().map(|one| one.intermediate.clone())),
        Arc::new(aggregated.iter().map(|one| one.setting.layer).collect::<Int32Array>()) as ArrayRef,
        Arc::new(aggregated.iter().map(|one| one.setting.pooling.as_deref()).collect::<StringArray>()),
        texts(aggregated.iter().map(|one| one.metric.clone())),
        texts(aggregated.iter().map(|one| one.group.clone())),
        Arc::new(UInt32Array::from_iter_values(aggregated.iter().map(|one| one.seeds.len() as u32))),
        number(&mean),
        number(&|one| median(one.numbers()).unwrap_or_default()),
        Arc::new(aggregated.iter().map(deviation).collect::<Float64Array>()),
        number(&|one| one.best().1),
        Arc::new(UInt64Array::from_iter_values(aggregated.iter().map(|one| one.best().0))),
        texts(aggregated.iter().map(|one| one.missing.join(" "))),
    ];
    RecordBatch::try_new(table("aggregates").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}
