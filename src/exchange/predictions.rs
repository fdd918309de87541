//! Another system's predictions, read and checked against gold: whole, or an error that names the place.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::examples::{self, Example, Examples, Kind};
use super::layout::shape_of;
use super::{ExchangeError, Layout, SystemFile};
use crate::evaluate::submission::Shape;
use crate::evaluate::submission::json::{self, Entries, Text};
use crate::evaluate::submission::text::{self, Lines};
use crate::evaluate::{EvaluateError, Prediction, Setting};
use crate::shard::{join, join_found, read_as_filed};
use crate::task::{Pooling, Suite, Task};

/// A prediction and where it stands in its file: `line 3`, `row 7`.
struct Placed {
    place: String,
    prediction: Prediction,
}

/// Reads `files`, predictions of `task`, and checks them against `gold`, the canonical tables of its evaluation split by
/// language, in the languages that `suite` has. Returns the predictions by language.
///
/// A layout that says no more than the answer (XTREME's) stands for a system that is sure of it: confidence 1.
///
/// # Errors
/// A language on one side only; a file that is empty, not UTF-8, or not of its layout; an example that is missing,
/// unknown or answered twice; layers and poolings that differ between languages; a label, choice, tag or sentence that
/// the task does not have; tags too many or too few.
pub fn read_predictions(
    task: &Task,
    suite: &Suite,
    layout: Layout,
    files: &[SystemFile],
    gold: &[(String, PathBuf)],
) -> Result<Vec<(String, Vec<Prediction>)>, ExchangeError> {
    let shape = shape_of(task)?;
    let gold: BTreeMap<&str, Examples> = gold
        .iter()
        .map(|(language, path)| Ok((language.as_str(), examples::read(path, task.format)?)))
        .collect::<Result<_, ExchangeError>>()?;
    let given: BTreeSet<&str> = files.iter().map(|file| file.language.as_str()).collect();
    // Gold may have the languages that another suite added.
    let of_suite = suite.languages(&task.id);
    let asked = |(language, examples): &(&&str, &Examples)| {
        !examples.rows.is_empty() && of_suite.iter().any(|own| own == **language)
    };
    let wanted: BTreeSet<&str> = gold.iter().filter(asked).map(|(language, _)| *language).collect();
    if let Some(file) = files.iter().find(|file| !wanted.contains(file.language.as_str())) {
        let known: Vec<&str> = wanted.iter().copied().collect();
        let problem = format!(
            "the gold of task {} for suite {} has no language `{}`; it has {}: leave the file out, or normalize the \
             task in that language",
            task.id,
            suite.id,
            file.language,
            known.join(", ")
        );
        return Err(ExchangeError::content(&file.path, problem));
    }
    if let Some(language) = wanted.iter().find(|language| !given.contains(*language)) {
        let folder = files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new("."));
        let problem =
            format!("no predictions in `{language}`, which the gold of task {} has; give all its languages", task.id);
        return Err(ExchangeError::incomplete(folder, problem));
    }
    let shared = shared_index(shape, &gold);
    let mut read = Vec::with_capacity(files.len());
    let mut expected: Option<Vec<Setting>> = None;
    for file in files {
        let examples = &gold[file.language.as_str()];
        let placed = match layout {
            Layout::Xtreme => submitted(&file.path, shape, examples, &shared)?,
            Layout::Table => table(&file.path, task, &file.language)?,
        };
        if placed.is_empty() {
            return Err(ExchangeError::content(&file.path, "is empty; expected a prediction for each example"));
        }
        let found = check(&file.path, task, shape, examples, &shared, &placed)?;
        let expected = expected.get_or_insert_with(|| found.clone());
        if *expected != found {
            let (path, found, expected) = (file.path.clone(), listed(&found), listed(expected));
            return Err(EvaluateError::Layers { path, found, expected }.into());
        }
        read.push((file.language.clone(), placed.into_iter().map(|placed| placed.prediction).collect()));
    }
    Ok(read)
}

fn listed(settings: &[Setting]) -> String {
    settings.iter().map(Setting::to_string).collect::<Vec<_>>().join(", ")
}

/// The languages that have an index sentence of an id, where the index is that of all languages.
type Shared<'a> = HashMap<&'a str, Vec<&'a str>>;

fn shared_index<'a>(shape: Shape, gold: &'a BTreeMap<&'a str, Examples>) -> Shared<'a> {
    let mut shared = Shared::new();
    if shape == Shape::Ranking {
        for (language, examples) in gold {
            for id in &examples.index {
                shared.entry(id).or_default().push(language);
            }
        }
    }
    shared
}

/// The predictions in a file of XTREME's layout.
fn submitted(
    path: &Path,
    shape: Shape,
    examples: &Examples,
    shared: &Shared<'_>,
) -> Result<Vec<Placed>, ExchangeError> {
    let placed = |place: String, id: &str, answer: String| Placed {
        place,
        prediction: Prediction::new(id.to_owned(), answer, 1.0),
    };
    let at = |line: usize| format!("line {line}");
    match shape {
        Shape::Labels | Shape::Numbers => {
            let text = text::read_lines(path, shape)?;
            let lines: Vec<&str> = Lines(&text).collect();
            same_count(path, "lines", lines.len(), examples)?;
            let one = |(number, (line, example)): (usize, (&&str, &Example))| {
                let place = at(number + 1);
                let answer = if shape == Shape::Numbers {
                    let problem = || {
                        let count = examples.index.len();
                        format!("{place}: `{line}` is not the line of one of {count} sentences, counted from 0")
                    };
                    let number = line.parse::<usize>().ok().filter(|_| text::is_number(line));
                    let found = number.and_then(|number| examples.index.get(number).cloned());
                    found.ok_or_else(|| ExchangeError::content(path, problem()))?
                } else {
                    (*line).to_owned()
                };
                Ok(placed(place, &example.id, answer))
            };
            lines.iter().zip(&examples.rows).enumerate().map(one).collect()
        }
        Shape::Choices => {
            let text = text::read(path)?;
            let choices = json::line_labels(path, &text)?;
            same_count(path, "lines", choices.len(), examples)?;
            let one =
                |((line, choice), example): ((usize, u32), &Example)| placed(at(line), &example.id, choice.to_string());
            Ok(choices.into_iter().zip(&examples.rows).map(one).collect())
        }
        Shape::Tags => {
            let text = text::read_lines(path, shape)?;
            let sentences = text::sentences(&text);
            same_count(path, "sentences", sentences.len(), examples)?;
            let mut line = 1;
            let one = |(sentence, example): (Range<usize>, &Example)| {
                let tags: Vec<&str> = Lines(&text[sentence]).collect();
                let place = at(line);
                line += tags.len() + 1;
                placed(place, &example.id, tags.join(" "))
            };
            Ok(sentences.into_iter().zip(&examples.rows).map(one).collect())
        }
        Shape::Pairs => {
            let text = text::read_lines(path, shape)?;
            let (mut told, mut ranks) = (HashSet::new(), HashMap::new());
            let mut all = Vec::new();
            for (number, pair) in text::pairs(path, &text)?.into_iter().enumerate() {
                // As the script reads them, pairs are a set.
                if !told.insert(pair) {
                    continue;
                }
                let (query, found) = pair.split_once('\t').unwrap_or((pair, ""));
                let rank = ranks.entry(query).or_insert(0);
                *rank += 1;
                let mut one = placed(at(number + 1), query, found.to_owned());
                one.prediction.rank = Some(*rank);
                all.push(one);
            }
            Ok(all)
        }
        Shape::Answers => {
            let text = text::read(path)?;
            let answers: Entries<'_, Text<'_>> = json::entries(path, &text, shape)?;
            answers.index(path)?;
            let one = |(id, Text(answer)): (Cow<'_, str>, Text<'_>)| {
                placed(format!("answer to `{id}`"), &id, answer.into_owned())
            };
            Ok(answers.0.into_iter().map(one).collect())
        }
        Shape::Ranking => {
            let text = text::read(path)?;
            let rankings: Entries<'_, Vec<Text<'_>>> = json::entries(path, &text, shape)?;
            rankings.index(path)?;
            let mut all = Vec::new();
            for (id, found) in rankings.0 {
                for (place, Text(found)) in found.into_iter().enumerate() {
                    // An id that one language alone has needs no language before it.
                    let found = match shared.get(found.as_ref()).map(Vec::as_slice) {
                        Some([language]) => format!("{language}:{found}"),
                        _ => found.into_owned(),
                    };
                    let mut one = placed(format!("ranking of `{id}`"), &id, found);
                    one.prediction.rank = Some(i32::try_from(place + 1).unwrap_or(i32::MAX));
                    all.push(one);
                }
            }
            Ok(all)
        }
    }
}

fn same_count(path: &Path, unit: &str, found: usize, examples: &Examples) -> Result<(), ExchangeError> {
    let expected = examples.rows.len();
    if found == expected {
        return Ok(());
    }
    let gold = examples.path.display();
    let problem =
        format!("{found} {unit}, but {expected} examples in {gold}; give one prediction for each, in their order");
    Err(if found < expected { ExchangeError::incomplete(path, problem) } else { ExchangeError::content(path, problem) })
}

/// The columns of a table that predictions take; the first two must be there.
const COLUMNS: [&str; 13] = [
    "example_id",
    "prediction",
    "layer",
    "pooling",
    "rank",
    "confidence",
    "best_span",
    "null_score_difference",
    "task",
    "split",
    "language",
    "language_b",
    "prediction_language",
];

/// The predictions in a Parquet or CSV file.
fn table(path: &Path, task: &Task, language: &str) -> Result<Vec<Placed>, ExchangeError> {
    let mut rows = Vec::new();
    if path.extension().is_some_and(|suffix| suffix == "csv") {
        let text = text::utf8(path)?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let broken = |e: csv::Error| ExchangeError::content(path, format!("is no CSV table: {e}"));
        let header: Vec<String> = reader.headers().map_err(broken)?.iter().map(str::to_owned).collect();
        check_columns(path, &header)?;
        for record in reader.records() {
            let record = record.map_err(broken)?;
            // An empty field is null, but for a prediction: no answer is an answer.
            let cells = header.iter().zip(&record).filter(|(name, value)| *name == "prediction" || !value.is_empty());
            let cells = cells.map(|(name, value)| (name.as_str(), value.to_owned())).collect();
            rows.push(placed(path, rows.len(), &cells, task, language)?);
        }
        return Ok(rows);
    }
    let batches = read_as_filed(path)?;
    let header: Vec<String> = batches.schema().fields().iter().map(|field| field.name().clone()).collect();
    check_columns(path, &header)?;
    for batch in batches {
        let batch = batch?;
        let mut columns = Vec::new();
        for (name, column) in header.iter().zip(batch.columns()) {
            let column = cast(column, &DataType::Utf8);
            columns.push((
                name.as_str(),
                column.map_err(|e| ExchangeError::content(path, format!("column `{name}`: {e}")))?,
            ));
        }
        for row in 0..batch.num_rows() {
            let cells = columns.iter().filter(|(_, column)| column.is_valid(row));
            let cells = cells.map(|(name, column)| (*name, column.as_string::<i32>().value(row).to_owned())).collect();
            rows.push(placed(path, rows.len(), &cells, task, language)?);
        }
    }
    Ok(rows)
}

fn check_columns(path: &Path, header: &[String]) -> Result<(), ExchangeError> {
    let known = COLUMNS.join(", ");
    let problem = if let Some(missing) = COLUMNS[..2].iter().find(|name| !header.iter().any(|column| column == *name)) {
        format!("has no column `{missing}`; its columns may be {known}")
    } else if let Some(other) = header.iter().find(|column| !COLUMNS.contains(&column.as_str())) {
        format!("has a column `{other}`, which predictions have not; its columns may be {known}")
    } else if let Some((_, twice)) = header.iter().enumerate().find(|(at, column)| header[..*at].contains(*column)) {
        format!("has a column `{twice}` twice; keep one")
    } else {
        return Ok(());
    };
    Err(ExchangeError::content(path, problem))
}

/// The prediction in a row's cells (those that are not null).
fn placed(
    path: &Path,
    row: usize,
    cells: &HashMap<&str, String>,
    task: &Task,
    language: &str,
) -> Result<Placed, ExchangeError> {
    let place = format!("row {}", row + 1);
    let wrong = |problem: String| ExchangeError::content(path, format!("{place}: {problem}"));
    for (name, expected) in [("task", task.id.as_str()), ("split", task.evaluate.name()), ("language", language)] {
        if let Some(found) = cells.get(name).filter(|found| *found != expected) {
            return Err(wrong(format!("is of {name} `{found}`; this file is of `{expected}`")));
        }
    }
    let needed = |name: &str| cells.get(name).cloned().ok_or_else(|| wrong(format!("has no `{name}`")));
    let (mut id, mut found) = (needed("example_id")?, needed("prediction")?);
    if let Some(language) = cells.get("language_b") {
        id = join(language, &id);
    }
    if let Some(language) = cells.get("prediction_language") {
        found = join_found(language, &found);
    }
    let mut prediction = Prediction::new(id, found, 1.0);
    prediction.layer = number(cells, "layer").map_err(wrong)?;
    prediction.rank = number(cells, "rank").map_err(wrong)?;
    prediction.confidence = number(cells, "confidence").map_err(wrong)?.unwrap_or(1.0);
    prediction.null_score_difference = number(cells, "null_score_difference").map_err(wrong)?;
    prediction.best_span = cells.get("best_span").cloned();
    if let Some(name) = cells.get("pooling") {
        let pooling = [Pooling::Mean, Pooling::FirstToken].into_iter().map(Pooling::name).find(|known| known == name);
        prediction.pooling =
            Some(pooling.ok_or_else(|| wrong(format!("`{name}` is no pooling; take mean or first-token")))?);
    }
    Ok(Placed { place, prediction })
}

fn number<T: std::str::FromStr>(cells: &HashMap<&str, String>, name: &str) -> Result<Option<T>, String> {
    let parse = |text: &String| text.parse().map_err(|_| format!("`{text}` in column `{name}` is not a number"));
    cells.get(name).map(parse).transpose()
}

/// What is answered in one setting.
#[derive(Default)]
struct Answered<'a> {
    examples: HashSet<&'a str>,
    ranks: HashSet<(&'a str, i32)>,
    found: HashSet<(&'a str, &'a str)>,
}

/// That each example is answered once in each setting, and as its task allows. Returns the settings.
fn check(
    path: &Path,
    task: &Task,
    shape: Shape,
    examples: &Examples,
    shared: &Shared<'_>,
    placed: &[Placed],
) -> Result<Vec<Setting>, ExchangeError> {
    let known: HashMap<&str, &Example> = examples.rows.iter().map(|example| (example.id.as_str(), example)).collect();
    let index: HashSet<&str> = examples.index.iter().map(String::as_str).collect();
    let mut settings: BTreeMap<(Option<i32>, Option<&str>), Answered<'_>> = BTreeMap::new();
    for Placed { place, prediction } in placed {
        let wrong = |problem: String| Err(ExchangeError::content(path, format!("{place}: {problem}")));
        let id = prediction.example_id.as_str();
        let Some(example) = known.get(id) else {
            return wrong(format!("`{id}` is not in the gold, {}; leave it out", examples.path.display()));
        };
        if !prediction.confidence.is_finite() {
            return wrong("its confidence is not a number".to_owned());
        }
        if prediction.null_score_difference.is_some_and(|difference| !difference.is_finite()) {
            return wrong("its null_score_difference is not a number".to_owned());
        }
        let answer = prediction.prediction.as_str();
        let answered = settings.entry((prediction.layer, prediction.pooling)).or_default();
        let rank = prediction.rank.unwrap_or(1);
        if shape != Shape::Pairs && !answered.ranks.insert((id, rank)) {
            return wrong(format!("`{id}` is answered twice; give one prediction for each example"));
        }
        if matches!(shape, Shape::Pairs | Shape::Ranking) && !answered.found.insert((id, answer)) {
            return wrong(format!("`{answer}` is found for `{id}` twice; name it once"));
        }
        // Of several sentences found, the first is the answer where they are no ranking.
        if rank == 1 || shape == Shape::Ranking {
            answered.examples.insert(id);
        }
        let label = |label: &str| task.open_labels || task.labels.iter().any(|known| known == label);
        match (&example.kind, shape) {
            (Kind::Label(_), _) if !label(answer) => {
                return wrong(format!(
                    "`{answer}` is no label of task {}; its labels: {}",
                    task.id,
                    task.labels.join(", ")
                ));
            }
            (Kind::Choice { choices, .. }, _)
                if !(text::is_number(answer) && answer.parse::<u32>().is_ok_and(|index| index < *choices)) =>
            {
                return wrong(format!("`{answer}` is not one of its choices, 0 to {}", choices.saturating_sub(1)));
            }
            (Kind::Words { count, .. }, _) => {
                let tags: Vec<&str> = answer.split_ascii_whitespace().collect();
                if tags.len() != *count {
                    return wrong(format!("{} tags for the {count} words of `{id}`; give one a word", tags.len()));
                }
                if let Some(tag) = tags.iter().find(|tag| !label(tag)) {
                    return wrong(format!(
                        "`{tag}` is no tag of task {}; its tags: {}",
                        task.id,
                        task.labels.join(", ")
                    ));
                }
            }
            (Kind::Query(_), Shape::Ranking) => {
                let found = answer.split_once(':').is_some_and(|(language, id)| {
                    shared.get(id).is_some_and(|languages| languages.contains(&language))
                });
                if !found {
                    return wrong(format!("`{answer}` is not the LANGUAGE:id of an index sentence"));
                }
                if prediction.rank.is_none() {
                    return wrong("has no `rank`, and a ranking needs one".to_owned());
                }
            }
            (Kind::Query(_), _) if !index.contains(answer) => {
                return wrong(format!("`{answer}` is not the id of an index sentence"));
            }
            _ => (),
        }
    }
    // Of pairs, only those that were found are told.
    for ((layer, _), answered) in settings.iter().filter(|_| shape != Shape::Pairs) {
        if let Some(example) = examples.rows.iter().find(|example| !answered.examples.contains(example.id.as_str())) {
            let layer = layer.map(|layer| format!(" at layer {layer}")).unwrap_or_default();
            let problem = format!("no prediction for example `{}`{layer}; give one for each", example.id);
            return Err(ExchangeError::incomplete(path, problem));
        }
    }
    let setting =
        |(layer, pooling): (Option<i32>, Option<&str>)| Setting { layer, pooling: pooling.map(str::to_owned) };
    Ok(settings.into_keys().map(setting).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_stands_once() {
        let problem = |header: &[&str]| {
            let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
            check_columns(Path::new("de.csv"), &header).err().map(|error| error.to_string())
        };
        assert_eq!(problem(&["prediction", "example_id", "rank"]), None);
        let twice = problem(&["example_id", "prediction", "rank", "prediction"]).unwrap();
        assert_eq!(twice, "de.csv: has a column `prediction` twice; keep one");
    }
}
