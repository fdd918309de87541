//! A task's retrieval: from its embeddings to predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::{
    Collector, Embeddings, EmbeddingsFile, Mined, MiningSettings, Room, SearchSettings, SideName, Similarity, mine,
    nearest,
};
use crate::error::Result;
use crate::evaluate::{EvaluateError, Prediction, prediction_batch};
use crate::model::OpenDevice;
use crate::progress::Progress;
use crate::schema::table;
use crate::shard::{KeyColumns, PART, ROW_GROUP_ROWS, Writer};
use crate::task::{Metric, Pooling, Split};

/// How many index sentences a ranking has (XTREME-R's 20).
const RANKED: usize = 20;

/// Pairs that sentences which repeat may add to those of a search: they are held in memory.
const MOST_REPEATS: u64 = 5_000_000;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "search")]
pub enum Method {
    /// For every query the so many nearest index sentences.
    Nearest {
        /// How many.
        count: usize,
    },
    /// Pairs of queries and index sentences, of which most have no counterpart.
    Mining(MiningSettings),
}

impl Method {
    /// What a task's metric judges.
    pub fn of(metric: Option<Metric>) -> Self {
        match metric {
            Some(Metric::BitextF1) => Method::Mining(MiningSettings::default()),
            Some(Metric::MeanAveragePrecision | Metric::ReciprocalRank) => Method::Nearest { count: RANKED },
            _ => Method::Nearest { count: 1 },
        }
    }
}

/// What to search where.
#[derive(Debug, Clone)]
pub struct RetrieveRequest {
    /// The task, for the table.
    pub task: String,
    /// Tables of embeddings by split and language.
    pub files: Vec<(Split, String, PathBuf)>,
    /// The hidden states that they are of, each searched on its own.
    pub layers: Vec<usize>,
    /// What of them stands for a sentence, for the table.
    pub pooling: Pooling,
    /// What to look for.
    pub method: Method,
    /// Whether queries of every language are looked for among the index sentences of all languages.
    pub shared_index: bool,
    /// Where to compute.
    pub device: OpenDevice,
    /// Bytes that vectors and the lists of their neighbours may take in memory.
    pub memory: u64,
}

/// What was found; the statistics in the artifact's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrieveOutcome {
    /// Language and number of rows.
    pub rows: Vec<(String, u64)>,
}

/// Searches for the queries of every language into `language=…/part-00000.parquet` below `output`, in the schema
/// `predictions`, split by split and layer by layer. A language without queries has no file. What is too much for memory lies
/// in a nameless file beside them.
///
/// In a shared index a prediction has its language, too. In mining every id of a sentence
/// that repeats is paired with every id of its counterpart, ranked by their order in the table; more than 5,000,000 pairs that come
/// of repeats are refused.
///
/// # Errors
/// A table that can't be read, a split and language with queries and nothing to search, too many repeats, a device or
/// scratch file that fails, or `stop`.
pub fn retrieve(
    request: &RetrieveRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<RetrieveOutcome> {
    let mut found = Found::new();
    let mut splits: Vec<Split> = request.files.iter().map(|file| file.0).collect();
    splits.sort_unstable();
    splits.dedup();
    let task = TaskSearch { request, scratch: output, progress, stop };
    for split in splits {
        let files = || request.files.iter().filter(|file| file.0 == split);
        for layer in &request.layers {
            let shared = if request.shared_index {
                Some(task.side(
                    files().map(|file| (Some(file.1.as_str()), file.2.as_path())),
                    SideName::Index,
                    *layer,
                )?)
            } else {
                None
            };
            for (_, language, path) in files() {
                let queries = task.side([(None, path.as_path())], SideName::Query, *layer)?;
                if queries.ids.is_empty() {
                    continue;
                }
                let rows = match &shared {
                    Some(index) => task.search(&queries, index, *layer)?,
                    None => {
                        let index = task.side([(None, path.as_path())], SideName::Index, *layer)?;
                        if index.ids.is_empty() {
                            return Err(task.file(path, SideName::Index, *layer).nothing().into());
                        }
                        task.search(&queries, &index, *layer)?
                    }
                };
                found.entry(language).or_default().push((split, rows));
            }
        }
    }
    progress.finish();
    write(&request.task, found, request.shared_index, output, metadata)
}

/// Writes each language's predictions, split by split. Names that are found in a `shared` index have a language before them.
pub(super) fn write(
    task: &str,
    found: Found<'_>,
    shared: bool,
    output: &Path,
    metadata: &[(&str, &str)],
) -> Result<RetrieveOutcome> {
    let keys = KeyColumns { prediction_language: shared, ..KeyColumns::default() };
    let schema = table("predictions").schema_with(|name| keys.has(name));
    let mut rows = Vec::new();
    for (language, parts) in found {
        let path = output.join(format!("language={language}")).join(PART);
        let mut writer = Writer::create(&path, &schema, metadata)?;
        for (split, part) in parts {
            for rows in part.chunks(ROW_GROUP_ROWS) {
                writer.write(&prediction_batch(task, split.name(), language, rows))?;
            }
        }
        rows.push((language.to_owned(), writer.finish()?.rows));
    }
    Ok(RetrieveOutcome { rows })
}

/// Predictions by language, in parts of one split each.
pub(super) type Found<'a> = BTreeMap<&'a str, Vec<(Split, Vec<Prediction>)>>;

struct TaskSearch<'a> {
    request: &'a RetrieveRequest,
    scratch: &'a Path,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl TaskSearch<'_> {
    /// One side's sentences in one layer, of all of `files`; ids with the language before them where it is given.
    fn side<'f>(
        &self,
        files: impl IntoIterator<Item = (Option<&'f str>, &'f Path)>,
        side: SideName,
        layer: usize,
    ) -> Result<Embeddings> {
        let room = Room { memory: self.request.memory / 4, scratch: self.scratch.to_owned() };
        let mut all = match self.request.method {
            Method::Mining(_) => Collector::distinct(Similarity::Cosine, room),
            Method::Nearest { .. } => Collector::new(Similarity::Cosine, room),
        };
        let mut ids = Vec::new();
        for (language, path) in files {
            self.file(path, side, layer).read(&mut all, &mut |id| {
                ids.push(language.map_or_else(|| id.to_owned(), |language| format!("{language}:{id}")));
            })?;
        }
        Ok(Embeddings { ids, vectors: all.finish()? })
    }

    fn file(&self, path: &Path, side: SideName, layer: usize) -> EmbeddingsFile {
        let layer = i32::try_from(layer).ok();
        EmbeddingsFile { layer, side: Some(side), ..EmbeddingsFile::new(path.to_owned()) }
    }

    fn search(&self, queries: &Embeddings, index: &Embeddings, layer: usize) -> Result<Vec<Prediction>> {
        let settings = SearchSettings { device: self.request.device.clone(), memory: self.request.memory };
        let row = |query: &str, rank: usize, id: &str, score: f64| Prediction {
            layer: i32::try_from(layer).ok(),
            pooling: Some(self.request.pooling.name()),
            rank: i32::try_from(rank).ok(),
            ..Prediction::new(query.to_owned(), id.to_owned(), score as f32)
        };
        let sides = [&queries.vectors, &index.vectors];
        let mut rows = Vec::new();
        match self.request.method {
            Method::Nearest { count } => {
                let found = nearest(sides[0], sides[1], count, &settings, self.progress, self.stop)?;
                for (query, id) in queries.ids.iter().enumerate() {
                    for (rank, (place, cosine)) in found.of(query).iter().enumerate() {
                        rows.push(row(id, rank + 1, &index.ids[*place as usize], *cosine));
                    }
                }
            }
            Method::Mining(mining) => {
                let pairs = mine(sides, mining, &settings, self.progress, self.stop)?;
                few_repeats(&pairs, [queries, index])?;
                for pair in pairs {
                    for (source, place, target) in pair.combinations(sides) {
                        let (source, target) = (&queries.ids[source as usize], &index.ids[target as usize]);
                        rows.push(row(source, place + 1, target, pair.score));
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// Refuses pairs of sentences that repeat so often that their combinations can't all be predictions.
fn few_repeats(pairs: &[Mined], [queries, index]: [&Embeddings; 2]) -> Result<(), EvaluateError> {
    let counts = |pair: &Mined| {
        [queries.vectors.members(pair.source).count() as u64, index.vectors.members(pair.target).count() as u64]
    };
    let more: u64 = pairs.iter().map(counts).map(|[sources, targets]| sources * targets - 1).sum();
    let most = pairs.iter().max_by_key(|pair| counts(pair).iter().product::<u64>());
    match most {
        Some(pair) if more > MOST_REPEATS => {
            let name = |side: &Embeddings, row: u32| {
                side.vectors.members(row).next().map_or_else(String::new, |member| side.ids[member as usize].clone())
            };
            Err(EvaluateError::Repeats {
                query: name(queries, pair.source),
                index: name(index, pair.target),
                counts: counts(pair),
                pairs: more + pairs.len() as u64,
            })
        }
        _ => Ok(()),
    }
}
