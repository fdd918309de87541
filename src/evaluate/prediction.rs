//! The table that `predict` writes and `score` reads: one row per example (and per layer, in retrieval).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray};
use rayon::slice::ParallelSliceMut;

use super::EvaluateError;
use crate::schema::row::table_row;
use crate::schema::table;
use crate::shard::{Columns, read_columns};

/// What a model says about one example.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The example's id in the canonical table.
    pub example_id: String,
    /// The hidden layer that embeddings were taken from, in retrieval.
    pub layer: Option<i32>,
    /// What of the hidden layer stands for a sentence, in retrieval: [`Pooling::name`](crate::task::Pooling::name).
    pub pooling: Option<&'static str>,
    /// Place among the sentences found for a query, in retrieval; 1 is the best.
    pub rank: Option<i32>,
    /// In classification the label; in multiple choice the index of the choice, decimal; in span extraction the answer
    /// (empty for none); in word tagging one tag per word of the example, joined by spaces; in retrieval the
    /// `example_id` of the index sentence.
    pub prediction: String,
    /// How sure the model is: a probability, 0 to 1; the cosine, or in mining the margin, in retrieval.
    pub confidence: f32,
    /// Where an example may have no answer: the text of the best span, also where the prediction is empty.
    pub best_span: Option<String>,
    /// Where an example may have no answer: the score of none less that of the best span; the prediction is empty where it
    /// is above 0.
    pub null_score_difference: Option<f32>,
}

impl Prediction {
    /// A prediction of one set, about something that is there.
    pub fn new(example_id: String, prediction: String, confidence: f32) -> Self {
        Self {
            example_id,
            layer: None,
            pooling: None,
            rank: None,
            prediction,
            confidence,
            best_span: None,
            null_score_difference: None,
        }
    }
}

/// The rows of one file of the table `predictions` (`schemas/predictions.json`), in the order given.
pub fn prediction_batch(task: &str, split: &str, language: &str, rows: &[Prediction]) -> RecordBatch {
    let constant = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows.len()])) };
    let columns: Vec<ArrayRef> = vec![
        constant(task),
        constant(split),
        constant(language),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.example_id))),
        Arc::new(rows.iter().map(|row| row.layer).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|row| row.pooling).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.rank).collect::<Int32Array>()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.prediction))),
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.confidence))),
        Arc::new(rows.iter().map(|row| row.best_span.as_deref()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.null_score_difference).collect::<Float32Array>()),
    ];
    RecordBatch::try_new(table("predictions").schema.clone(), columns)
        .expect("the columns are the schema's and of one length")
}

table_row! {
    /// What tells the sets of predictions of one task apart: the hidden layer and the pooling, in retrieval.
    #[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Setting {
        /// The hidden state (0 = embeddings).
        pub layer: Option<i32>,
        /// What of it stands for a sentence: `mean` or `first-token`.
        pub pooling: Option<String>,
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.layer, &self.pooling) {
            (Some(layer), Some(pooling)) => write!(f, "{layer} ({pooling})"),
            (Some(layer), None) => write!(f, "{layer}"),
            _ => f.write_str("none"),
        }
    }
}

/// The predictions of a task in one language, in memory.
pub(super) struct PredictionFile {
    path: PathBuf,
    batches: Vec<RecordBatch>,
}

/// One row of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub example_id: &'a str,
    /// 1 where the table has none.
    pub rank: i32,
    pub prediction: &'a str,
    pub confidence: f32,
    pub best_span: Option<&'a str>,
    pub null_score_difference: Option<f32>,
}

impl PredictionFile {
    /// Reads the table at `path`.
    pub fn read(path: &Path) -> Result<Self, EvaluateError> {
        let table = table("predictions");
        let names: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let batches = read_columns(path, &names)?.collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), batches })
    }

    /// The predictions of `split` of `task` in `language`, set by set, each in the order of ids, ranks and predictions. Rows of
    /// another task or language are errors; rows of another split are left out.
    pub fn sets(
        &self,
        task: &str,
        split: &str,
        language: &str,
    ) -> Result<BTreeMap<Setting, Vec<Row<'_>>>, EvaluateError> {
        let path = &self.path;
        let mut sets: Vec<(Option<i32>, Option<&str>, Vec<Row<'_>>)> = Vec::new();
        for batch in &self.batches {
            let columns = Columns::new(path, batch);
            let (tasks, languages) = (columns.text("task")?, columns.text("language")?);
            let (splits, ids) = (columns.text("split")?, columns.text("example_id")?);
            let (predictions, confidences) = (columns.text("prediction")?, columns.float32("confidence")?);
            let (layers, poolings) = (columns.int32("layer")?, columns.text("pooling")?);
            let (ranks, spans) = (columns.int32("rank")?, columns.text("best_span")?);
            let differences = columns.float32("null_score_difference")?;
            for row in 0..batch.num_rows() {
                let problem = |problem: String| Err(EvaluateError::example(path, ids.value(row), problem));
                if (tasks.value(row), languages.value(row)) != (task, language) {
                    let found = format!("{} in {}", tasks.value(row), languages.value(row));
                    return problem(format!(
                        "is of {found}, not of {task} in {language}; give each language its own file"
                    ));
                }
                if splits.value(row) != split {
                    continue;
                }
                if predictions.is_null(row) {
                    return problem("its prediction is null; predict the split again".to_owned());
                }
                let layer = layers.is_valid(row).then(|| layers.value(row));
                let pooling = poolings.is_valid(row).then(|| poolings.value(row));
                let known = sets.iter().position(|set| (set.0, set.1) == (layer, pooling));
                let place = known.unwrap_or_else(|| {
                    sets.push((layer, pooling, Vec::new()));
                    sets.len() - 1
                });
                sets[place].2.push(Row {
                    example_id: ids.value(row),
                    rank: if ranks.is_valid(row) { ranks.value(row) } else { 1 },
                    prediction: predictions.value(row),
                    confidence: confidences.value(row),
                    best_span: spans.is_valid(row).then(|| spans.value(row)),
                    null_score_difference: differences.is_valid(row).then(|| differences.value(row)),
                });
            }
        }
        let order = |a: &Row<'_>, b: &Row<'_>| {
            (a.example_id, a.rank, a.prediction)
                .cmp(&(b.example_id, b.rank, b.prediction))
                .then(b.confidence.total_cmp(&a.confidence))
        };
        let sorted = |(layer, pooling, mut rows): (Option<i32>, Option<&str>, Vec<_>)| {
            if !rows.is_sorted_by(|a, b| order(a, b).is_le()) {
                rows.par_sort_unstable_by(order);
            }
            (Setting { layer, pooling: pooling.map(str::to_owned) }, rows)
        };
        Ok(sets.into_iter().map(sorted).collect())
    }
}
