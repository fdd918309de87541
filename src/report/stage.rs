//! The tables that stages wrote, read back and checked against their schemas.

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, UInt32Type, UInt64Type};

use super::{ChangeTest, Estimate, ReportError};
use crate::schema::{self, Table};
use crate::shard;

/// Reads a whole table of a stage.
pub(super) fn read(path: &Path, table: &'static Table) -> Result<RecordBatch, ReportError> {
    let (found, batches) = shard::read_table(path)?;
    let batch = concat_batches(&found, &batches).expect("the batches of one file share its schema");
    table.check(&batch).map_err(|e| ReportError::schema(path, e))?;
    Ok(batch)
}

/// One row of `scores` or `summaries`, as far as tables need it.
pub(super) struct ScoreRow {
    /// Language, or group of languages.
    pub of: String,
    pub metric: String,
    pub layer: Option<i32>,
    pub value: f64,
    pub ci_low: f64,
    pub ci_high: f64,
    /// Languages in the mean; 1 for a language.
    pub languages: u32,
    /// Examples scored, of a language.
    pub examples: Option<u32>,
    /// The split.
    pub split: String,
    /// Languages that the mean should have and has not.
    pub missing: String,
}

/// The rows of a cell's `scores`.
pub(super) fn scores(path: &Path) -> Result<Vec<ScoreRow>, ReportError> {
    let batch = read(path, schema::table("scores"))?;
    Ok(score_rows(&batch, "language"))
}

/// The rows of a cell's `summaries`.
pub(super) fn summaries(path: &Path) -> Result<Vec<ScoreRow>, ReportError> {
    let batch = read(path, schema::table("summaries"))?;
    Ok(score_rows(&batch, "group"))
}

/// `batch` has been checked against a schema that holds all the columns named here.
fn score_rows(batch: &RecordBatch, of: &str) -> Vec<ScoreRow> {
    let (of, metric) = (batch[of].as_string::<i32>(), batch["metric"].as_string::<i32>());
    let layer = batch["layer"].as_primitive::<Int32Type>();
    let number = |name: &str| batch[name].as_primitive::<Float64Type>();
    let (value, ci_low, ci_high) = (number("value"), number("ci_low"), number("ci_high"));
    let count = |name| batch.column_by_name(name).map(|column| column.as_primitive::<UInt32Type>());
    let (languages, examples) = (count("languages"), count("examples"));
    let split = batch["split"].as_string::<i32>();
    let missing = batch.column_by_name("missing").map(|column| column.as_string::<i32>());
    (0..batch.num_rows())
        .map(|row| ScoreRow {
            of: of.value(row).to_owned(),
            metric: metric.value(row).to_owned(),
            layer: layer.is_valid(row).then(|| layer.value(row)),
            value: value.value(row),
            ci_low: ci_low.value(row),
            ci_high: ci_high.value(row),
            languages: languages.map_or(1, |column| column.value(row)),
            examples: examples.map(|column| column.value(row)),
            split: split.value(row).to_owned(),
            missing: missing.map(|column| column.value(row).to_owned()).unwrap_or_default(),
        })
        .collect()
}

/// One row of `comparisons`, as far as tables need it.
pub(super) struct ComparisonRow {
    pub target: String,
    pub row: String,
    /// Language, or group of languages.
    pub scope: String,
    pub test: ChangeTest,
    pub significant: bool,
    /// Examples behind the difference, over all languages of the scope.
    pub examples: u32,
    /// How the p-value was computed.
    pub method: String,
}

/// The rows of a study's `comparisons`.
pub(super) fn comparisons(path: &Path) -> Result<Vec<ComparisonRow>, ReportError> {
    let batch = read(path, schema::table("comparisons"))?;
    let text = |name: &str| batch[name].as_string::<i32>();
    let (target, rows, scope) = (text("target"), text("row"), text("scope"));
    let number = |name: &str, row: usize| batch[name].as_primitive::<Float64Type>().value(row);
    let one = |row: usize| ComparisonRow {
        target: target.value(row).to_owned(),
        row: rows.value(row).to_owned(),
        scope: scope.value(row).to_owned(),
        test: ChangeTest {
            difference: Estimate {
                value: number("difference", row),
                ci_low: number("ci_low", row),
                ci_high: number("ci_high", row),
            },
            p_value: number("p_value", row),
            p_adjusted: number("p_adjusted", row),
            minimum_detectable: number("minimum_detectable", row),
        },
        significant: batch["significant"].as_boolean().value(row),
        examples: batch["examples"].as_primitive::<UInt32Type>().value(row),
        method: text("method").value(row).to_owned(),
    };
    Ok((0..batch.num_rows()).map(one).collect())
}

/// The training losses of a log: step (from 1) and loss, in the log's order.
pub(super) fn losses(path: &Path) -> Result<Vec<(u32, f32)>, ReportError> {
    let batch = read(path, schema::table("training-log"))?;
    let (step, loss) = (batch["step"].as_primitive::<UInt32Type>(), batch["loss"].as_primitive::<Float32Type>());
    Ok(step.values().iter().zip(loss).filter_map(|(step, loss)| Some((*step, loss?))).collect())
}

/// The last step of a log.
pub(super) fn last_step(path: &Path) -> Result<u32, ReportError> {
    let batch = read(path, schema::table("training-log"))?;
    Ok(batch["step"].as_primitive::<UInt32Type>().values().iter().copied().max().unwrap_or(0))
}

/// The validation scores of a log: step and value, in the log's order. Validation losses are left out.
pub(super) fn validations(path: &Path) -> Result<Vec<(u32, f64)>, ReportError> {
    let batch = read(path, schema::table("training-log"))?;
    let (step, value) = (batch["step"].as_primitive::<UInt32Type>(), batch["value"].as_primitive::<Float64Type>());
    let rows = step.values().iter().zip(value).zip(batch["metric"].as_string::<i32>());
    let scores = rows.filter(|(_, metric)| metric.is_some_and(|metric| metric != "loss"));
    Ok(scores.filter_map(|((step, value), _)| Some((*step, value?))).collect())
}

/// What a row of a study reaches over its seeds on one target and group of languages.
#[derive(Debug, Clone)]
pub(super) struct Aggregate {
    pub target: String,
    pub row: String,
    pub layer: Option<i32>,
    pub metric: String,
    pub group: String,
    pub seeds: u32,
    pub mean: f64,
    pub standard_deviation: Option<f64>,
    pub best: f64,
    pub best_seed: u64,
    pub missing: String,
}

/// The rows of `aggregates`.
pub(super) fn aggregates(path: &Path) -> Result<Vec<Aggregate>, ReportError> {
    let batch = read(path, schema::table("aggregates"))?;
    let text = |name: &str| batch[name].as_string::<i32>();
    let number = |name: &str| batch[name].as_primitive::<Float64Type>();
    let layer = batch["layer"].as_primitive::<Int32Type>();
    let deviation = number("standard_deviation");
    let row = |row| Aggregate {
        target: text("target").value(row).to_owned(),
        row: text("row").value(row).to_owned(),
        layer: layer.is_valid(row).then(|| layer.value(row)),
        metric: text("metric").value(row).to_owned(),
        group: text("group").value(row).to_owned(),
        seeds: batch["seeds"].as_primitive::<UInt32Type>().value(row),
        mean: number("mean").value(row),
        standard_deviation: deviation.is_valid(row).then(|| deviation.value(row)),
        best: number("best").value(row),
        best_seed: batch["best_seed"].as_primitive::<UInt64Type>().value(row),
        missing: text("missing").value(row).to_owned(),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
