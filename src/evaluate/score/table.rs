//! The tables of scores and of their means over languages.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int32Array, ListBuilder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};

use super::ScoreRequest;
use crate::evaluate::bootstrap::{self, Sample};
use crate::evaluate::metric::{Statistics, Values};
use crate::evaluate::prediction::Setting;
use crate::evaluate::{Number, ScoreRow, SummaryRow, groups, numbers};
use crate::schema::{TableRow, table};
use crate::task::Metric;

/// What all rows are of.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub task: &'a str,
    pub split: &'a str,
}

/// One language in one setting.
pub(super) struct Scored {
    pub language: String,
    pub setting: Setting,
    pub values: Values,
    /// The threshold behind each value, where one was chosen.
    pub thresholds: [Option<f64>; 8],
    /// The values of each bootstrap resample.
    pub resamples: Vec<Values>,
    /// The ids of the examples, in order.
    pub examples: Vec<String>,
    /// What each contributes.
    pub statistics: Vec<Statistics>,
}

/// The table `scores`: each number of the metric in each language and layer, with its interval.
pub(super) fn scores(of: Of<'_>, metric: Metric, scored: &[Scored]) -> RecordBatch {
    let mut rows = Vec::new();
    for one in scored {
        for number in numbers(metric) {
            let (ci_low, ci_high) = interval(&one.resamples, &number);
            rows.push(ScoreRow {
                task: of.task.to_owned(),
                split: of.split.to_owned(),
                language: one.language.clone(),
                setting: one.setting.clone(),
                value: number.of(&one.values),
                ci_low,
                ci_high,
                examples: one.examples.len() as u32,
                threshold: number.place().and_then(|place| one.thresholds[place]),
                metric: number.name,
            });
        }
    }
    ScoreRow::batch(&rows)
}

/// The table `summaries` of `scored`, which is sorted by setting and language: each group of languages ([`groups`]), each
/// language with the same weight. In a group's resamples, the translations of an item stay together; a group of a single
/// language has that language's interval.
pub(super) fn summaries(of: Of<'_>, metric: Metric, scored: &[Scored], request: &ScoreRequest<'_>) -> RecordBatch {
    let mut rows = Vec::new();
    for setting in scored.chunk_by(|a, b| a.setting == b.setting) {
        let languages: Vec<&str> = setting.iter().map(|one| one.language.as_str()).collect();
        let samples: Vec<Sample<'_>> = setting
            .iter()
            .map(|one| Sample { language: &one.language, ids: &one.examples, runs: vec![&one.statistics] })
            .collect();
        let together =
            request.parallel.then(|| bootstrap::values(metric, &samples, true, request.seed, request.resamples));
        let resamples: Vec<&[Values]> = match &together {
            Some(drawn) => drawn.iter().map(Vec::as_slice).collect(),
            None => setting.iter().map(|one| one.resamples.as_slice()).collect(),
        };
        for group in groups(&languages, &request.languages, &request.source) {
            for number in numbers(metric) {
                let value = |languages: &mut dyn Iterator<Item = &Values>| {
                    group.value(&languages.map(|values| number.of(values)).collect::<Vec<_>>())
                };
                let (ci_low, ci_high) = match group.only() {
                    Some(only) => interval(&setting[only].resamples, &number),
                    None => {
                        let at = |draw| value(&mut resamples.iter().map(|language| &language[draw]));
                        bootstrap::interval((0..request.resamples).map(at))
                    }
                };
                rows.push(SummaryRow {
                    task: of.task.to_owned(),
                    split: of.split.to_owned(),
                    setting: setting[0].setting.clone(),
                    group: group.name.clone(),
                    languages: group.languages() as u32,
                    missing: group.missing.join(" "),
                    value: value(&mut setting.iter().map(|one| &one.values)),
                    ci_low,
                    ci_high,
                    metric: number.name,
                });
            }
        }
    }
    SummaryRow::batch(&rows)
}

fn interval(resamples: &[Values], number: &Number) -> (f64, f64) {
    bootstrap::interval(resamples.iter().map(|values| number.of(values)))
}

/// The table `example-scores`: the statistics of each example in each language and setting. It is built by column: a row a
/// prediction would be copied twice.
pub(super) fn examples(of: Of<'_>, scored: &[Scored]) -> RecordBatch {
    let rows = scored.iter().map(|one| one.examples.len()).sum();
    let each = || scored.iter().flat_map(|one| one.examples.iter().map(move |id| (one, id)));
    let item = Field::new("item", DataType::Float64, false);
    let mut statistics = ListBuilder::new(Float64Builder::new()).with_field(item);
    for example in scored.iter().flat_map(|one| &one.statistics) {
        statistics.values().append_slice(example);
        statistics.append(true);
    }
    let columns: Vec<ArrayRef> = vec![
        repeated(of.task, rows),
        repeated(of.split, rows),
        Arc::new(StringArray::from_iter_values(each().map(|(one, _)| &one.language))),
        Arc::new(each().map(|(one, _)| one.setting.layer).collect::<Int32Array>()),
        Arc::new(each().map(|(one, _)| one.setting.pooling.as_deref()).collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(each().map(|(_, id)| id))),
        Arc::new(statistics.finish()),
    ];
    RecordBatch::try_new(table("example-scores").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}
