//! Our predictions, and their gold, in XTREME's folder layout.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::Array;
use serde_json::{Value, json};

use super::ExchangeError;
use super::examples::{self, Example, Examples, Kind};
use super::layout::shape_of;
use crate::error::IoContext;
use crate::evaluate::submission::Shape;
use crate::shard::{Columns, read_batches};
use crate::task::{Metric, Task};

/// The predictions of one task, as they lie in the store.
#[derive(Debug, Clone)]
pub struct SubmissionTable<'a> {
    /// The task.
    pub task: &'a Task,
    /// A table of predictions for each language.
    pub predictions: Vec<(String, PathBuf)>,
    /// The canonical table of the evaluation split for each language.
    pub gold: Vec<(String, PathBuf)>,
    /// The hidden state to take, of predictions for several.
    pub layer: Option<i32>,
    /// In bitext mining, the margin from which a pair counts, by language.
    pub thresholds: BTreeMap<String, f64>,
}

/// Writes the predictions of `table` below `predictions`, and its gold below `labels` where that is wanted, in the order of
/// the canonical tables. Returns the languages written.
///
/// # Errors
/// A task without a place in the layout; predictions that lack an example; gold that was not published, where it is wanted.
pub fn write_submission(
    table: &SubmissionTable<'_>,
    predictions: &Path,
    labels: Option<&Path>,
) -> Result<Vec<String>, ExchangeError> {
    let task = table.task;
    let shape = shape_of(task)?;
    let gold: BTreeMap<&str, Examples> = table
        .gold
        .iter()
        .map(|(language, path)| Ok((language.as_str(), examples::read(path, task.format)?)))
        .collect::<Result<_, ExchangeError>>()?;
    let shared = Shared::new(task, &gold);
    let mut written = Vec::new();
    for (language, path) in &table.predictions {
        let Some(examples) = gold.get(language.as_str()) else {
            return Err(ExchangeError::incomplete(
                path,
                format!("there is no gold in `{language}`; normalize the task in it"),
            ));
        };
        let threshold = table.thresholds.get(language).copied();
        let found = read(path, task, table.layer, threshold)?;
        write(&shape.file(predictions, &task.id, language), &answers(shape, path, examples, &found, &shared)?)?;
        if let Some(labels) = labels {
            write(&shape.file(labels, &task.id, language), &right_answers(shape, examples, &shared)?)?;
        }
        written.push(language.clone());
    }
    Ok(written)
}

fn write(path: &Path, text: &str) -> Result<(), ExchangeError> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder).at("create directory", folder)?;
    Ok(std::fs::write(path, text).at("write", path)?)
}

/// What was predicted for each example, the best first.
type Found = HashMap<String, Vec<String>>;

/// The rows of the evaluation split, of one layer, that reach the threshold.
fn read(path: &Path, task: &Task, layer: Option<i32>, threshold: Option<f64>) -> Result<Found, ExchangeError> {
    let mut found: HashMap<String, Vec<(i32, String)>> = HashMap::new();
    for batch in read_batches(path)? {
        let batch = batch?;
        let columns = Columns::new(path, &batch);
        let (ids, predictions) = (columns.text("example_id")?, columns.text("prediction")?);
        let (splits, layers, ranks) = (columns.text("split")?, columns.int32("layer")?, columns.int32("rank")?);
        let confidences = columns.float32("confidence")?;
        for row in 0..batch.num_rows() {
            let at = layers.is_valid(row).then(|| layers.value(row));
            let counts = threshold.is_none_or(|threshold| f64::from(confidences.value(row)) >= threshold);
            if splits.value(row) == task.evaluate.name() && (layer.is_none() || at == layer) && counts {
                let rank = if ranks.is_valid(row) { ranks.value(row) } else { 1 };
                found.entry(ids.value(row).to_owned()).or_default().push((rank, predictions.value(row).to_owned()));
            }
        }
    }
    let ordered = |mut ranked: Vec<(i32, String)>| {
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, prediction)| prediction).collect()
    };
    Ok(found.into_iter().map(|(id, ranked)| (id, ordered(ranked))).collect())
}

/// What the languages have in common, where queries search the sentences of all.
#[derive(Default)]
struct Shared<'a> {
    /// The ids of index sentences that one language alone has: they need no language before them.
    unique: HashSet<&'a str>,
    /// The right sentences of a query in every language that has the query, where all of them count. The same question has the
    /// same id in all.
    right: HashMap<&'a str, Vec<String>>,
}

impl<'a> Shared<'a> {
    fn new(task: &Task, gold: &'a BTreeMap<&'a str, Examples>) -> Self {
        let mut shared = Self::default();
        if !task.shares_index() {
            return shared;
        }
        let mut more = HashSet::new();
        for id in gold.values().flat_map(|examples| &examples.index) {
            if !shared.unique.insert(id.as_str()) {
                more.insert(id.as_str());
            }
        }
        shared.unique.retain(|id| !more.contains(id));
        if task.metric == Some(Metric::MeanAveragePrecision) {
            for (language, examples) in gold {
                for example in &examples.rows {
                    if let Kind::Query(Some(ids)) = &example.kind {
                        let sentence = |id: &str| shared.plain(&format!("{language}:{id}")).to_owned();
                        let sentences: Vec<String> = ids.split(' ').map(sentence).collect();
                        shared.right.entry(&example.id).or_default().extend(sentences);
                    }
                }
            }
        }
        shared
    }

    /// A sentence without its language, where its id says enough.
    fn plain<'s>(&self, sentence: &'s str) -> &'s str {
        let id = sentence.split_once(':').map_or(sentence, |(_, id)| id);
        if self.unique.contains(id) { id } else { sentence }
    }
}

fn answers(
    shape: Shape,
    path: &Path,
    examples: &Examples,
    found: &Found,
    shared: &Shared<'_>,
) -> Result<String, ExchangeError> {
    let lines: HashMap<&str, usize> = examples.index.iter().enumerate().map(|(line, id)| (id.as_str(), line)).collect();
    let mut text = String::new();
    let mut object = serde_json::Map::new();
    for example in &examples.rows {
        let ranked = found.get(&example.id).map(Vec::as_slice).unwrap_or_default();
        let best = match (ranked.first(), shape) {
            (Some(best), _) => best,
            // A query without a counterpart, or that nothing was ranked for.
            (None, Shape::Pairs | Shape::Ranking) => continue,
            (None, _) => {
                let problem = format!("no prediction for example `{}`; predict the split again", example.id);
                return Err(ExchangeError::incomplete(path, problem));
            }
        };
        let _ = match shape {
            Shape::Labels => writeln!(text, "{best}"),
            Shape::Choices => writeln!(text, "{{\"label\": {best}}}"),
            Shape::Tags => writeln!(text, "{}\n", best.replace(' ', "\n")),
            Shape::Pairs => {
                let mut told = HashSet::new();
                let mut pairs = ranked.iter().filter(|found| told.insert(*found));
                pairs.try_for_each(|found| writeln!(text, "{}\t{found}", example.id))
            }
            Shape::Numbers => match lines.get(best.as_str()) {
                Some(line) => writeln!(text, "{line}"),
                None => {
                    return Err(ExchangeError::content(path, format!("`{best}` is not the id of an index sentence")));
                }
            },
            Shape::Answers => {
                object.insert(example.id.clone(), json!(best));
                Ok(())
            }
            Shape::Ranking => {
                object.insert(example.id.clone(), ranked.iter().map(|found| shared.plain(found)).collect());
                Ok(())
            }
        };
    }
    Ok(if matches!(shape, Shape::Answers | Shape::Ranking) { pretty(&Value::Object(object)) } else { text })
}

fn right_answers(shape: Shape, examples: &Examples, shared: &Shared<'_>) -> Result<String, ExchangeError> {
    let lines: HashMap<&str, usize> = examples.index.iter().enumerate().map(|(line, id)| (id.as_str(), line)).collect();
    let blank = |example: &Example| {
        let problem = format!("example `{}` has no gold; take a split whose gold is published", example.id);
        ExchangeError::incomplete(&examples.path, problem)
    };
    let mut text = String::new();
    let mut object = serde_json::Map::new();
    let mut articles = Vec::new();
    for example in &examples.rows {
        let _ = match &example.kind {
            Kind::Label(label) => writeln!(text, "{}", label.as_ref().ok_or_else(|| blank(example))?),
            Kind::Choice { answer, .. } => {
                writeln!(text, "{{\"label\": {}}}", answer.ok_or_else(|| blank(example))?)
            }
            Kind::Words { tags, .. } => writeln!(text, "{}\n", tags.as_ref().ok_or_else(|| blank(example))?.join("\n")),
            Kind::Question { context, question, answers } => {
                articles.push(article(&example.id, context, question, answers));
                Ok(())
            }
            Kind::Query(None) if shape == Shape::Pairs => Ok(()),
            Kind::Query(gold) => {
                let gold = gold.as_ref().ok_or_else(|| blank(example))?;
                match shape {
                    Shape::Pairs => gold.split(' ').try_for_each(|id| writeln!(text, "{}\t{id}", example.id)),
                    Shape::Ranking => {
                        let right = shared.right.get(example.id.as_str());
                        object.insert(
                            example.id.clone(),
                            right.map_or_else(|| gold.split(' ').collect(), |right| json!(right)),
                        );
                        Ok(())
                    }
                    _ => writeln!(text, "{}", lines.get(gold.as_str()).ok_or_else(|| blank(example))?),
                }
            }
        };
    }
    Ok(match shape {
        Shape::Answers => pretty(&json!({"version": "1.1", "data": articles})),
        Shape::Ranking => pretty(&Value::Object(object)),
        _ => text,
    })
}

/// A question in SQuAD's layout, an article of its own. Offsets are in code points there.
fn article(id: &str, context: &str, question: &str, answers: &[(String, u32)]) -> Value {
    let start = |byte: u32| context.get(..byte as usize).map_or(0, |before| before.chars().count());
    let answers: Vec<Value> =
        answers.iter().map(|(text, byte)| json!({"text": text, "answer_start": start(*byte)})).collect();
    let questions = json!([{"id": id, "question": question, "answers": answers}]);
    json!({"title": "", "paragraphs": [{"context": context, "qas": questions}]})
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Registry;

    fn example(id: &str, gold: Option<&str>) -> Example {
        Example { id: id.to_owned(), kind: Kind::Query(gold.map(str::to_owned)) }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_pair_of_a_query_is_told_once() {
        let rows = vec![example("de-1", Some("en-1 en-2")), example("de-2", None), example("de-3", Some("en-3"))];
        let examples = Examples { path: PathBuf::from("gold"), rows, index: texts(&["en-1", "en-2", "en-3"]) };
        let found =
            Found::from([("de-1".to_owned(), texts(&["en-2", "en-1", "en-2"])), ("de-2".to_owned(), texts(&["en-3"]))]);
        let written = answers(Shape::Pairs, Path::new("found"), &examples, &found, &Shared::default()).unwrap();
        assert_eq!(written, "de-1\ten-2\nde-1\ten-1\nde-2\ten-3\n");
        let written = right_answers(Shape::Pairs, &examples, &Shared::default()).unwrap();
        assert_eq!(written, "de-1\ten-1\nde-1\ten-2\nde-3\ten-3\n");
    }

    #[test]
    fn right_sentences_of_all_languages_are_labels() {
        let registry = Registry::load(&[]).unwrap();
        let table = |language: &str, index: &[&str], gold: &str| Examples {
            path: PathBuf::from(language),
            rows: vec![example("q", Some(gold))],
            index: texts(index),
        };
        let gold = BTreeMap::from([("ar", table("ar", &["s1", "a"], "s1")), ("de", table("de", &["s1", "d"], "d"))]);
        let labels = |task: &str| -> Value {
            let shared = Shared::new(registry.task(task, "").unwrap(), &gold);
            serde_json::from_str(&right_answers(Shape::Ranking, &gold["de"], &shared).unwrap()).unwrap()
        };
        assert_eq!(labels("lareqa"), json!({"q": ["ar:s1", "d"]}));
        // An entity is named by its id alone.
        assert_eq!(labels("mewslix"), json!({"q": ["d"]}));
    }
}
