//! The tables of scores and of their means over languages.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, UInt32Array};

use crate::evaluate::bootstrap;
use crate::evaluate::metric::Values;
use crate::schema::table;
use crate::task::Metric;

/// One language at one layer.
pub(super) struct Scored {
    pub language: String,
    pub layer: Option<i32>,
    pub values: Values,
    /// The values of each bootstrap resample.
    pub resamples: Vec<Values>,
    pub examples: usize,
}

/// One value of the metric with its interval.
struct Row<'a> {
    /// A language or a group of languages.
    subject: &'a str,
    layer: Option<i32>,
    metric: &'static str,
    value: f64,
    interval: (f64, f64),
    /// Examples or languages.
    count: u32,
}

/// The table `scores`: each value of the metric in each language and layer, with its interval.
pub(super) fn scores(task: &str, metric: Metric, scored: &[Scored]) -> RecordBatch {
    let mut rows = Vec::new();
    for one in scored {
        for (place, name) in metric.rows().iter().enumerate() {
            rows.push(Row {
                subject: &one.language,
                layer: one.layer,
                metric: name,
                value: one.values[place],
                interval: bootstrap::interval(&one.resamples, place),
                count: one.examples as u32,
            });
        }
    }
    let columns = vec![
        Arc::new(StringArray::from(vec![task; rows.len()])) as ArrayRef,
        subjects(&rows),
        layers(&rows),
        metrics(&rows),
        values(&rows, |row| row.value),
        values(&rows, |row| row.interval.0),
        values(&rows, |row| row.interval.1),
        counts(&rows),
    ];
    RecordBatch::try_new(table("scores").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

/// The table `summaries` of `scored`, which is sorted by layer: means over `all` languages, the `non-english` ones and
/// `english`, as far as there are any, each language with the same weight.
pub(super) fn summaries(task: &str, metric: Metric, scored: &[Scored]) -> RecordBatch {
    // Name, whether English belongs, whether the others do.
    let groups = [("all", true, true), ("non-english", false, true), ("english", true, false)];
    let mut rows = Vec::new();
    for layer in scored.chunk_by(|a, b| a.layer == b.layer) {
        for (group, english, others) in groups {
            let members: Vec<&Scored> =
                layer.iter().filter(|one| if one.language == "en" { english } else { others }).collect();
            if members.is_empty() {
                continue;
            }
            let resamples: Vec<&[Values]> = members.iter().map(|one| one.resamples.as_slice()).collect();
            let resamples = bootstrap::mean(&resamples);
            for (place, name) in metric.rows().iter().enumerate() {
                let sum: f64 = members.iter().map(|one| one.values[place]).sum();
                rows.push(Row {
                    subject: group,
                    layer: members[0].layer,
                    metric: name,
                    value: sum / members.len() as f64,
                    interval: bootstrap::interval(&resamples, place),
                    count: members.len() as u32,
                });
            }
        }
    }
    let columns = vec![
        Arc::new(StringArray::from(vec![task; rows.len()])) as ArrayRef,
        layers(&rows),
        metrics(&rows),
        subjects(&rows),
        counts(&rows),
        values(&rows, |row| row.value),
        values(&rows, |row| row.interval.0),
        values(&rows, |row| row.interval.1),
    ];
    RecordBatch::try_new(table("summaries").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

fn subjects(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.subject)))
}

fn layers(rows: &[Row<'_>]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.layer).collect::<Int32Array>())
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
