//! Predictions of a model that knows nothing but the training split's statistics: the row that any other row
//! of a table has to beat.
//!
//! | format | prediction | confidence |
//! |---|---|---|
//! | classification, pair-classification | the training split's most frequent label | its share there |
//! | word-tagging | the training split's most frequent tag, for every word | its share there |
//! | multiple-choice | a choice drawn uniformly | one over the choices |
//! | span-extraction | a span of the context drawn uniformly, as long as the median training answer | one over the spans |
//!
//! Sentence retrieval has its own: [`super::retrieval::chance`]. Draws depend on the seed, the language and the
//! example's id, so the order of rows does not matter.

use std::path::{Path, PathBuf};

use arrow::array::{Array, RecordBatch};
use rand::RngExt;

use super::EvaluateError;
use super::gold::{each_row, text, texts, unknown_format};
use super::prediction::{Prediction, prediction_batch};
use super::random::generator;

/// Languages written without spaces between words: their spans are counted in characters.
const UNSPACED: [&str; 3] = ["ja", "th", "zh"];

/// What the baseline of a format says about an example.
enum Guess {
    /// Always this label or tag, with its share of the training split.
    Majority(String, f32),
    /// A choice.
    Choice,
    /// So many consecutive words of the context (characters in [`UNSPACED`] languages).
    Span(usize),
}

/// The predictions of `task` in each language of `gold`, in the schema of [`prediction_batch`].
///
/// `labels` are the task's, in order: of equally frequent labels the first is taken. `train` are the canonical
/// training tables in the source language, needed for classification, word tagging and span extraction; `gold` the canonical tables of the
/// languages to predict, whose gold is not looked at.
pub fn baseline(
    format: &str,
    labels: &[String],
    train: &[PathBuf],
    gold: &[(String, PathBuf)],
    split: &str,
    task: &str,
    seed: u64,
) -> Result<Vec<(String, RecordBatch)>, EvaluateError> {
    let guess = match format {
        "classification" | "pair-classification" | "word-tagging" => majority(format, labels, train)?,
        "multiple-choice" => Guess::Choice,
        "span-extraction" => Guess::Span(median_answer_length(train)?),
        other => return Err(unknown_format(other)),
    };
    gold.iter()
        .map(|(language, path)| {
            let rows = examples(&guess, format, path, language, seed)?;
            Ok((language.clone(), prediction_batch(task, split, language, &rows)))
        })
        .collect()
}

/// The most frequent label of the training tables' examples, or tag of their words.
fn majority(format: &str, labels: &[String], train: &[PathBuf]) -> Result<Guess, EvaluateError> {
    let mut counts = vec![0_u64; labels.len()];
    for path in train {
        each_row(path, |columns, row, id| {
            let found = match format {
                "word-tagging" => texts(path, columns, "tags", row, id)?.unwrap_or_default(),
                _ => text(columns, "label", row)?.into_iter().collect(),
            };
            for label in found {
                let Some(place) = labels.iter().position(|known| *known == label) else {
                    let problem = format!("`{label}` is none of the task's labels; add it to the task file");
                    return Err(EvaluateError::example(path, id, problem));
                };
                counts[place] += 1;
            }
            Ok(())
        })?;
    }
    let total: u64 = counts.iter().sum();
    // `max_by_key` takes the last of equals, hence the reversal.
    match counts.iter().zip(labels).rev().max_by_key(|(count, _)| **count) {
        Some((count, label)) if total > 0 => Ok(Guess::Majority(label.clone(), (*count as f64 / total as f64) as f32)),
        _ => Err(EvaluateError::NoTraining { format: format.to_owned(), what: "a label" }),
    }
}

/// The median number of words of the first answers in the training tables (the lower of two in the middle).
fn median_answer_length(train: &[PathBuf]) -> Result<usize, EvaluateError> {
    let mut lengths = Vec::new();
    for path in train {
        each_row(path, |columns, row, id| {
            let answers = texts(path, columns, "answer_texts", row, id)?.unwrap_or_default();
            lengths.extend(answers.first().map(|answer| answer.split_whitespace().count().max(1)));
            Ok(())
        })?;
    }
    if lengths.is_empty() {
        return Err(EvaluateError::NoTraining { format: "span-extraction".to_owned(), what: "an answer" });
    }
    lengths.sort_unstable();
    Ok(lengths[(lengths.len() - 1) / 2])
}

fn examples(
    guess: &Guess,
    format: &str,
    path: &Path,
    language: &str,
    seed: u64,
) -> Result<Vec<Prediction>, EvaluateError> {
    let mut rows = Vec::new();
    each_row(path, |columns, row, id| {
        let mut random = generator(seed, &["baseline", language, id]);
        let (prediction, confidence) = match guess {
            Guess::Majority(tag, share) if format == "word-tagging" => {
                let words = columns.list("words")?.value(row).len();
                (vec![tag.as_str(); words].join(" "), *share)
            }
            Guess::Majority(label, share) => (label.clone(), *share),
            Guess::Choice => {
                let choices = columns.list("choices")?.value(row).len();
                if choices == 0 {
                    return Err(EvaluateError::example(path, id, "has no choices; normalize the split again"));
                }
                (random.random_range(0..choices).to_string(), 1.0 / choices as f32)
            }
            Guess::Span(length) => {
                let context = columns.text("context")?.value(row);
                let units = units(context, UNSPACED.contains(&language));
                let spans = units.len().saturating_sub(*length) + 1;
                let first = random.random_range(0..spans);
                let span = &units[first..units.len().min(first + length)];
                let text = match (span.first(), span.last()) {
                    (Some((begin, _)), Some((_, end))) => &context[*begin..*end],
                    _ => "",
                };
                (text.to_owned(), 1.0 / spans as f32)
            }
        };
        rows.push(Prediction::new(id.to_owned(), prediction, confidence));
        Ok(())
    })?;
    Ok(rows)
}

/// The byte ranges of a text's words, or of its characters other than white space.
fn units(text: &str, characters: bool) -> Vec<(usize, usize)> {
    let begin = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    if characters {
        let visible = text.char_indices().filter(|(_, c)| !c.is_whitespace());
        return visible.map(|(at, c)| (at, at + c.len_utf8())).collect();
    }
    text.split_whitespace().map(|word| (begin(word), begin(word) + word.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::write_table;
    use arrow::array::{ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
    use arrow::datatypes::Float32Type;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values))
    }

    fn lists(rows: &[&str], separator: &str) -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for row in rows {
            builder.append_value(row.split(separator).map(Some));
        }
        Arc::new(builder.finish())
    }

    /// A table of `columns` with ids 0, 1, …
    fn table(dir: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let path = dir.join(format!("{name}.parquet"));
        let ids: Vec<String> = (0..columns[0].1.len()).map(|i| i.to_string()).collect();
        let ids = ("example_id", strings(ids.iter().map(String::as_str)));
        let batch = RecordBatch::try_from_iter(std::iter::once(ids).chain(columns)).unwrap();
        write_table(&path, &batch.schema(), &[], &[batch]).unwrap();
        path
    }

    fn predicted(batch: &RecordBatch) -> Vec<&str> {
        batch["prediction"].as_string::<i32>().iter().flatten().collect()
    }

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_majority_label_and_the_first_of_equals() {
        let dir = tempfile::tempdir().unwrap();
        let train = table(dir.path(), "train", vec![("label", strings(["b", "c", "c", "b", "a"]))]);
        let gold = vec![("fi".to_owned(), table(dir.path(), "gold", vec![("text_a", strings(["x", "y"]))]))];
        let guess = |labels: &[String]| {
            baseline("classification", labels, std::slice::from_ref(&train), &gold, "test", "task", 1).unwrap()
        };
        let batch = &guess(&labels(&["a", "b", "c"]))[0].1;
        assert_eq!(predicted(batch), ["b", "b"]);
        assert_eq!(batch["confidence"].as_primitive::<Float32Type>().value(0), 0.4);
        assert_eq!(predicted(&guess(&labels(&["a", "c", "b"]))[0].1), ["c", "c"]);
        let unknown = baseline("classification", &labels(&["a", "b"]), &[train], &gold, "test", "task", 1).unwrap_err();
        assert!(
            unknown.to_string().ends_with("example `1`: `c` is none of the task's labels; add it to the task file")
        );
        let none = baseline("classification", &labels(&["a", "b"]), &[], &gold, "test", "task", 1).unwrap_err();
        assert!(none.to_string().contains("needs the training split in the source language"), "{none}");
    }

    #[test]
    fn the_majority_tag_for_every_word() {
        let dir = tempfile::tempdir().unwrap();
        let train = table(dir.path(), "train", vec![("tags", lists(&["X Y Y", "X Z Y"], " "))]);
        let gold = vec![("fi".to_owned(), table(dir.path(), "gold", vec![("words", lists(&["a", "a b c"], " "))]))];
        let result = baseline("word-tagging", &labels(&["X", "Y", "Z"]), &[train], &gold, "test", "task", 1).unwrap();
        assert_eq!(predicted(&result[0].1), ["Y", "Y Y Y"]);
    }

    #[test]
    fn spans_are_whole_words_or_characters_of_the_context() {
        let dir = tempfile::tempdir().unwrap();
        let train =
            table(dir.path(), "train", vec![("answer_texts", lists(&["one", "one two", "one two three"], "|"))]);
        let context = "yksi  kaksi, kolme\nneljä";
        let rows: Vec<&str> = std::iter::repeat_n(context, 60).collect();
        let fi = table(dir.path(), "fi", vec![("context", strings(rows))]);
        let zh = table(dir.path(), "zh", vec![("context", strings(["北京 在", "北", ""]))]);
        let gold = vec![("fi".to_owned(), fi), ("zh".to_owned(), zh)];
        let result = baseline("span-extraction", &[], &[train], &gold, "test", "task", 1).unwrap();
        let drawn: BTreeSet<&str> = predicted(&result[0].1).into_iter().collect();
        assert_eq!(drawn, BTreeSet::from(["yksi  kaksi,", "kaksi, kolme", "kolme\nneljä"]));
        let chinese = predicted(&result[1].1);
        assert!(["北京", "京 在"].contains(&chinese[0]), "{chinese:?}");
        assert_eq!(chinese[1..], ["北", ""]);
    }

    #[test]
    fn choices_are_drawn_for_each_example() {
        let dir = tempfile::tempdir().unwrap();
        let rows = vec!["a b c"; 60];
        let choices = vec![("en".to_owned(), table(dir.path(), "choices", vec![("choices", lists(&rows, " "))]))];
        let draw = |seed| baseline("multiple-choice", &[], &[], &choices, "test", "task", seed).unwrap().remove(0).1;
        let drawn: BTreeSet<String> = predicted(&draw(1)).into_iter().map(str::to_owned).collect();
        assert_eq!(drawn, BTreeSet::from(["0", "1", "2"].map(str::to_owned)));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
