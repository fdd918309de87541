//! The tables of scores and of their means over languages.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Float64Builder, Int32Array, ListBuilder, RecordBatch, StringArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field};

use crate::evaluate::bootstrap;
use crate::evaluate::metric::{Statistics, Values};
use crate::evaluate::prediction::Setting;
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
    /// A language or a group of languages.
    subject: &'a str,
    setting: &'a Setting,
    metric: &'static str,
    value: f64,
    threshold: Option<f64>,
    interval: (f64, f64),
    /// Examples or languages.
    count: u32,
}

/// The table `scores`: each value of the metric in each language and layer, with its interval.
pub(super) fn scores(of: Of<'_>, metric: Metric, scored: &[Scored]) -> RecordBatch {
    let mut rows = Vec::new();
    for one in scored {
        for (place, name) in metric.rows().iter().enumerate() {
            rows.push(Row {
                subject: &one.language,
                setting: &one.setting,
                metric: name,
                value: one.values[place],
                threshold: one.thresholds[place],
                interval: bootstrap::interval(&one.resamples, place),
                count: one.examples.len() as u32,
            });
        }
    }
    let columns = vec![
        repeated(of.task, rows.len()),
        repeated(of.split, rows.len()),
        subjects(&rows),
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

/// The table `summaries` of `scored`, which is sorted by layer: means over `all` languages, the `non-english` ones and
/// `english`, as far as there are any, each language with the same weight.
pub(super) fn summaries(of: Of<'_>, metric: Metric, scored: &[Scored]) -> RecordBatch {
    // Name, whether English belongs, whether the others do.
    let groups = [("all", true, true), ("non-english", false, true), ("english", true, false)];
    let mut rows = Vec::new();
    for setting in scored.chunk_by(|a, b| a.setting == b.setting) {
        for (group, english, others) in groups {
            let members: Vec<&Scored> =
                setting.iter().filter(|one| if one.language == "en" { english } else { others }).collect();
            if members.is_empty() {
                continue;
            }
            let resamples: Vec<&[Values]> = members.iter().map(|one| one.resamples.as_slice()).collect();
            let resamples = bootstrap::mean(&resamples);
            for (place, name) in metric.rows().iter().enumerate() {
                let sum: f64 = members.iter().map(|one| one.values[place]).sum();
                rows.push(Row {
                    subject: group,
                    setting: &members[0].setting,
                    metric: name,
                    value: sum / members.len() as f64,
                    threshold: None,
                    interval: bootstrap::interval(&resamples, place),
                    count: members.len() as u32,
                });
            }
        }
    }
    let columns = vec![
        repeated(of.task, rows.len()),
        repeated(of.split, rows.len()),
        layers(&rows),
        poolings(&rows),
        metrics(&rows),
        subjects(&rows),
        counts(&rows),
        repeated("", rows.len()),
        values(&rows, |row| row.value),
        values(&rows, |row| row.interval.0),
        values(&rows, |row| row.interval.1),
    ];
    RecordBatch::try_new(table("summaries").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
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

fn subjects(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.subject)))
}

fn layers(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.setting.layer).collect::<Int32Array>())
}

fn poolings(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.setting.pooling.as_deref()).collect::<StringArray>())
}

fn metrics(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.metric)))
}

fn counts(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.count)))
}

fn values(rows: &[Row<'_>], value: impl Fn(&Row<'_>) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(rows.iter().map(value)))
}
