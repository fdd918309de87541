//! Mined pairs: a threshold chosen on development gold, and what each query contributes at it.

use super::contribution::{Scorer, Thresholds};
use crate::evaluate::EvaluateError;
use crate::evaluate::gold::{Counterparts, Gold, GoldTable};
use crate::evaluate::metric::{self, Statistics};
use crate::evaluate::prediction::Row;

/// What each query contributes at the threshold that is best for `tuning`, gold and pairs of the development split; without
/// them every pair counts.
pub(super) fn statistics(
    scorer: &Scorer<'_>,
    rows: &[Row<'_>],
    tuning: Option<(&GoldTable<'_>, &[Row<'_>])>,
) -> Result<(Vec<Statistics>, Thresholds), EvaluateError> {
    let mut threshold = None;
    if let Some((gold, development)) = tuning {
        let queries = queries(scorer, gold, development)?;
        let count = queries.iter().map(Query::count).sum();
        let score = |query: &Query<'_>, pair: &Row<'_>| (pair.confidence, query.is_right(pair));
        let mut scores: Vec<(f32, bool)> =
            queries.iter().flat_map(|query| query.pairs.iter().map(|pair| score(query, pair))).collect();
        threshold = Some(metric::pair_threshold(&mut scores, count));
    }
    let statistics = queries(scorer, scorer.gold, rows)?
        .into_iter()
        .map(|query| {
            let counts = |pair: &&Row<'_>| threshold.is_none_or(|threshold| f64::from(pair.confidence) >= threshold);
            let taken = query.pairs.iter().filter(counts);
            let correct = taken.clone().filter(|pair| query.is_right(pair)).count();
            metric::pairs(correct, taken.count(), query.count())
        })
        .collect();
    let mut thresholds = Thresholds::default();
    thresholds[..3].fill(threshold);
    Ok((statistics, thresholds))
}

/// A query with the sentences it was paired with, each once, with the highest score.
struct Query<'a> {
    gold: Option<Counterparts<'a>>,
    pairs: Vec<Row<'a>>,
}

impl Query<'_> {
    /// Right pairs that there are.
    fn count(&self) -> usize {
        self.gold.map_or(0, |gold| gold.iter().count())
    }

    fn is_right(&self, pair: &Row<'_>) -> bool {
        self.gold.is_some_and(|gold| gold.contains(pair.prediction))
    }
}

/// Every query of `gold`, in order; those without a pair have no rows.
fn queries<'a>(scorer: &Scorer<'_>, gold: &GoldTable<'a>, rows: &[Row<'a>]) -> Result<Vec<Query<'a>>, EvaluateError> {
    let mut queries = Vec::with_capacity(gold.examples.len());
    let mut groups = rows.chunk_by(|a, b| a.example_id == b.example_id).peekable();
    let unknown = |id: &str| {
        let problem = format!("is not in the gold, {}; score the split that was predicted", gold.path.display());
        EvaluateError::example(scorer.path, id, problem)
    };
    for (id, right) in &gold.examples {
        if let Some(rows) = groups.next_if(|rows| rows[0].example_id < *id) {
            return Err(unknown(rows[0].example_id));
        }
        let mut pairs = groups.next_if(|rows| rows[0].example_id == *id).unwrap_or_default().to_vec();
        if let Some(pair) = pairs.iter().find(|pair| !gold.sentences.contains_key(pair.prediction)) {
            let problem = format!("`{}` is not the id of an index sentence", pair.prediction);
            return Err(EvaluateError::example(scorer.path, id, problem));
        }
        pairs.sort_by(|a, b| a.prediction.cmp(b.prediction).then(b.confidence.total_cmp(&a.confidence)));
        pairs.dedup_by(|a, b| a.prediction == b.prediction);
        let gold = if let Gold::Sentences(right) = right { *right } else { None };
        queries.push(Query { gold, pairs });
    }
    match groups.next() {
        Some(rows) => Err(unknown(rows[0].example_id)),
        None => Ok(queries),
    }
}
