//! Runs, as the table `example-scores` holds them.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;

use super::super::EvaluateError;
use super::super::classes::PLACES;
use super::super::metric::Statistics;
use super::super::prediction::Setting;
use crate::shard::{Columns, ShardError, read_batches};

/// What one model scored on one split, at one layer and pooling.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    /// By language.
    pub languages: BTreeMap<String, Examples>,
}

/// One language's examples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Examples {
    /// Ids in ascending order.
    pub ids: Vec<String>,
    /// What each contributes, in that order.
    pub statistics: Vec<Statistics>,
}

/// The runs of one table by layer and pooling: one without either, except in retrieval.
pub type Runs = BTreeMap<Setting, Run>;

/// The runs of a score stage's table of example scores.
///
/// # Errors
/// A file that is missing or broken, lacks a column, or has an example twice.
pub fn read_runs(path: &Path) -> Result<Runs, EvaluateError> {
    let mut runs = read(path, |_, rows| Ok(vec![Some(()); rows]))?;
    Ok(runs.remove(&()).unwrap_or_default())
}

/// The runs of a published table of example scores, by row of the study and seed, as far as `wanted` picks rows.
///
/// # Errors
/// As [`read_runs`].
pub fn read_published(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<(String, u64), Runs>, EvaluateError> {
    read(path, |columns, count| {
        let (rows, seeds) = (columns.text("row")?, columns.uint64("seed")?);
        let key = |at: usize| wanted(rows.value(at)).then(|| (rows.value(at).to_owned(), seeds.value(at)));
        Ok((0..count).map(key).collect())
    })
}

/// Ids and statistics by language, in the table's order.
type Unsorted = BTreeMap<String, Vec<(String, Statistics)>>;

/// The runs by what `keys` says that each row of a batch belongs to; none where it is not wanted.
fn read<K: Ord>(
    path: &Path,
    keys: impl Fn(&Columns<'_>, usize) -> Result<Vec<Option<K>>, ShardError>,
) -> Result<BTreeMap<K, Runs>, EvaluateError> {
    let mut runs: BTreeMap<(K, Setting), Unsorted> = BTreeMap::new();
    for batch in read_batches(path)? {
        let batch = batch?;
        let columns = Columns::new(path, &batch);
        let (languages, ids) = (columns.text("language")?, columns.text("example_id")?);
        let (layers, poolings) = (columns.int32("layer")?, columns.text("pooling")?);
        let numbers = columns.list("statistics")?;
        for (row, key) in keys(&columns, batch.num_rows())?.into_iter().enumerate() {
            let Some(key) = key else { continue };
            let of_row = numbers.value(row);
            let statistics = of_row.as_primitive_opt::<Float64Type>().and_then(|v| v.values().as_ref().try_into().ok());
            let Some(statistics) = statistics else {
                let expected = "lists of eight float64";
                return Err(
                    ShardError::Column { path: path.to_owned(), column: "statistics".to_owned(), expected }.into()
                );
            };
            let setting = Setting {
                layer: layers.is_valid(row).then(|| layers.value(row)),
                pooling: poolings.is_valid(row).then(|| poolings.value(row).to_owned()),
            };
            let examples = runs.entry((key, setting)).or_default().entry(languages.value(row).to_owned()).or_default();
            examples.push((ids.value(row).to_owned(), statistics));
        }
    }
    let mut sorted: BTreeMap<K, Runs> = BTreeMap::new();
    for ((key, setting), languages) in runs {
        let run = sorted.entry(key).or_default().entry(setting).or_default();
        for (language, mut examples) in languages {
            examples.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(twice) = examples.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(EvaluateError::example(
                    path,
                    &twice[0].0,
                    format!("stands twice in language `{language}`; score again"),
                ));
            }
            let (ids, statistics) = examples.into_iter().unzip();
            run.languages.insert(language, Examples { ids, statistics });
        }
    }
    Ok(sorted)
}

const _: () = assert!(PLACES == 8, "the errors and the schema say eight");
