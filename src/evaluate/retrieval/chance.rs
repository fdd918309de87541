//! Retrieval by chance: the predictions of a model that knows nothing.

use std::path::{Path, PathBuf};

use rand::seq::index::sample;
use rand::{Rng, RngExt};

use super::task::{Found, Method, RetrieveOutcome, write};
use crate::error::Result;
use crate::evaluate::gold::each_row;
use crate::evaluate::random::generator;
use crate::evaluate::{EvaluateError, Prediction};
use crate::task::Split;

/// What to draw from.
#[derive(Debug, Clone)]
pub struct ChanceRequest {
    /// The task, for the table.
    pub task: String,
    /// Canonical tables by split and language. Gold is not looked at.
    pub files: Vec<(Split, String, PathBuf)>,
    /// What a model would look for.
    pub method: Method,
    /// Whether it would do so among the index sentences of all languages.
    pub shared_index: bool,
    /// Draws depend on it, on the language and on the query's id, and not on the order of rows.
    pub seed: u64,
}

/// Draws for every query as many index sentences as a model would rank, or in mining one sentence and its margin, into
/// `language=…/part-00000.parquet` below `output`, as [`retrieve`](super::retrieve) writes them.
///
/// # Errors
/// A table that can't be read, or one with queries and nothing to draw from.
pub fn chance(request: &ChanceRequest, output: &Path, metadata: &[(&str, &str)]) -> Result<RetrieveOutcome> {
    let mut found = Found::new();
    let mut splits: Vec<Split> = request.files.iter().map(|file| file.0).collect();
    splits.sort_unstable();
    splits.dedup();
    for split in splits {
        let (mut all, mut tables) = (Vec::new(), Vec::new());
        for (_, language, path) in request.files.iter().filter(|file| file.0 == split) {
            let [queries, index] = sides(path)?;
            if request.shared_index {
                all.extend(index.iter().map(|id| format!("{language}:{id}")));
            }
            tables.push((language, path, queries, index));
        }
        all.sort_unstable();
        for (language, path, queries, mut index) in tables.into_iter().filter(|table| !table.2.is_empty()) {
            index.sort_unstable();
            let from = if request.shared_index { &all } else { &index };
            if from.is_empty() {
                return Err(EvaluateError::Empty { path: path.clone() }.into());
            }
            let mut rows = Vec::new();
            for query in &queries {
                let random = generator(request.seed, &["baseline", language, query]);
                rows.extend(draw(request.method, query, from, random));
            }
            found.entry(language).or_default().push((split, rows));
        }
    }
    write(&request.task, found, request.shared_index, output, metadata)
}

fn draw(method: Method, query: &str, from: &[String], mut random: impl Rng) -> Vec<Prediction> {
    let count = match method {
        Method::Nearest { count } => count.min(from.len()),
        Method::Mining(_) => 1,
    };
    let drawn = sample(&mut random, from.len(), count).into_vec();
    let row = |(rank, place): (usize, usize)| {
        let confidence = match method {
            Method::Nearest { .. } => 1.0 / from.len() as f32,
            // Uniform, for a threshold to be chosen on.
            Method::Mining(_) => random.random_range(f32::EPSILON..1.0),
        };
        let rank = i32::try_from(rank + 1).ok();
        Prediction { rank, ..Prediction::new(query.to_owned(), from[place].clone(), confidence) }
    };
    drawn.into_iter().enumerate().map(row).collect()
}

/// The ids of a table's queries, and of its index sentences.
fn sides(path: &Path) -> Result<[Vec<String>; 2], EvaluateError> {
    let mut sides = [Vec::new(), Vec::new()];
    each_row(path, |columns, row, id| {
        let side = columns.text("side")?.value(row);
        sides[usize::from(side != "query")].push(id.to_owned());
        Ok(())
    })?;
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn draws_are_distinct_and_depend_on_the_query_alone() {
        let index: Vec<String> = (0..30).map(|row| row.to_string()).collect();
        let drawn = |query: &str, count: usize| -> Vec<String> {
            let random = generator(1, &["baseline", "fi", query]);
            draw(Method::Nearest { count }, query, &index, random).into_iter().map(|row| row.prediction).collect()
        };
        let twenty = drawn("a", 20);
        assert_eq!(twenty.iter().collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(twenty, drawn("a", 20));
        assert_ne!(twenty, drawn("b", 20));
        assert_eq!(drawn("a", 50).len(), 30);
        let first: BTreeSet<String> = (0..200).flat_map(|query| drawn(&query.to_string(), 1)).collect();
        assert_eq!(first.len(), 30);
    }
}
