//! The tables of scores and of their means over languages.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int32Array, ListBuilder, RecordBatch, StringArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field};

use super::ScoreRequest;
use crate::evaluate::bootstrap::{self, Sample};
use crate::evaluate::metric::{Statistics, Values};
use crate::evaluate::prediction::Setting;
use crate::evaluate::{Number, groups, numbers};
use crate::schema::table;
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

/// One value of the metric with its interval.
struct Row<'a> {
    setting: &'a Setting,
    metric: String,
    value: f64,
    threshold: Option<f64>,
    interval: (f64, f64),
    /// Examples or languages.
    count: u32,
}

/// The table `scores`: each number of the metric in each language and layer, with its interval.
pub(super) fn scores(of: Of<'_>, metric: Metric, scored: &[Scored]) -> RecordBatch {
    let (mut rows, mut languages) = (Vec::new(), Vec::new());
    for one in scored {
        for number in numbers(metric) {
            rows.push(Row {
                setting: &one.setting,
                value: number.of(&one.values),
                threshold: number.place().and_then(|place| one.thresholds[place]),
                interval: interval(&one.resamples, &number),
                metric: number.name,
                count: one.examples.len() as u32,
            });
            languages.push(one.language.as_str());
        }
    }
    let columns = vec![
        repeated(of.task, rows.len()),
        repeated(of.split, rows.len()),
        Arc::new(StringArray::from(languages)),
        layers(&rows),
        poolings(&rows),
        metrics(&rows),
        values(&rows, |row| row.value),
        values(&rows, |row| row.interval.0),
        values(&rows, |row| row.interval.1),
        counts(&rows),
        Arc::new(rows.iter().map(|row| row.threshold).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(table("scores").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

/// The table `summaries` of `scored`, which is sorted by setting and language: each group of languages ([`groups`]), each
/// language with the same weight. In a group's resamples, the translations of an item stay together; a group of a single
/// language has that language's interval.
pub(super) fn summaries(of: Of<'_>, metric: Metric, scored: &[Scored], request: &ScoreRequest<'_>) -> RecordBatch {
    let (mut rows, mut names, mut missing) = (Vec::new(), Vec::new(), Vec::new());
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
                let interval = match group.only() {
                    Some(only) => interval(&setting[only].resamples, &number),
                    None => {
                        let at = |draw| value(&mut resamples.iter().map(|language| &language[draw]));
                        bootstrap::interval((0..request.resamples).map(at))
                    }
                };
                rows.push(Row {
                    setting: &setting[0].setting,
                    value: value(&mut setting.iter().map(|one| &one.values)),
                    threshold: None,
                    interval,
                    count: group.languages() as u32,
                    metric: number.name,
                });
                names.push(group.name.clone());
                missing.push(group.missing.join(" "));
            }
        }
    }
    let columns = vec![
        repeated(of.task, rows.len()),
        repeated(of.split, rows.len()),
        layers(&rows),
        poolings(&rows),
        metrics(&rows),
        Arc::new(StringArray::from(names)),
        counts(&rows),
        Arc::new(StringArray::from(missing)),
        values(&rows, |row| row.value),
        values(&rows, |row| row.interval.0),
        values(&rows, |row| row.interval.1),
    ];
    RecordBatch::try_new(table("summaries").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

fn interval(resamples: &[Values], number: &Number) -> (f64, f64) {
    bootstrap::interval(resamples.iter().map(|values| number.of(values)))
}

/// The table `example-scores`: the statistics of each example in each language and setting.
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

fn layers(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.setting.layer).collect::<Int32Array>())
}

fn poolings(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.setting.pooling.as_deref()).collect::<StringArray>())
}

fn metrics(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.metric)))
}

fn counts(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.count)))
}

fn values(rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(rows.iter().map(value)))
}
