//! JSON files of labels and predictions. Strings are borrowed from the file wherever they hold no escape.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::Shape;
use super::text::line_error;
use crate::evaluate::EvaluateError;
use crate::evaluate::hash::IdMap;

/// A question with its right answers.
#[derive(serde::Deserialize)]
pub(super) struct Question<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub answers: Vec<Answer<'a>>,
}

#[derive(serde::Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

#[derive(serde::Deserialize)]
struct Article<'a> {
    #[serde(borrow)]
    paragraphs: Vec<Paragraph<'a>>,
}

#[derive(serde::Deserialize)]
struct Paragraph<'a> {
    #[serde(borrow)]
    qas: Vec<Question<'a>>,
}

#[derive(serde::Deserialize)]
struct Dataset<'a> {
    #[serde(borrow)]
    data: Vec<Article<'a>>,
}

/// The questions of SQuAD's JSON, with or without the object around its articles.
pub(super) fn questions<'a>(path: &Path, text: &'a str) -> Result<Vec<Question<'a>>, EvaluateError> {
    const EXPECTED: &str = "SQuAD's layout: data, paragraphs, qas, answers";
    let articles: Vec<Article<'a>> = if text.trim_start().starts_with('[') {
        parse(path, text, EXPECTED)?
    } else {
        parse::<Dataset<'a>>(path, text, EXPECTED)?.data
    };
    Ok(articles.into_iter().flat_map(|article| article.paragraphs).flat_map(|paragraph| paragraph.qas).collect())
}

/// The entries of one JSON object, in the order of the file.
pub(crate) struct Entries<'a, T>(pub Vec<(Cow<'a, str>, T)>);

/// A string that borrows where it can: serde's own `Cow` never does inside containers.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Entries<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Collect<T> {
            type Value = Vec<(Cow<'de, str>, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one object by id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(id), value)) = map.next_entry()? {
                    entries.push((id, value));
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Collect(PhantomData)).map(Entries)
    }
}

impl<'a, T> Entries<'a, T> {
    /// Where each id stands; one that stands twice is an error.
    pub(crate) fn index(&self, path: &Path) -> Result<IdMap<'_, usize>, EvaluateError> {
        let mut index = IdMap::with_capacity_and_hasher(self.0.len(), Default::default());
        for (place, (id, _)) in self.0.iter().enumerate() {
            if index.insert(id.as_ref(), place).is_some() {
                return Err(EvaluateError::example(path, id, "stands twice; keep one entry for each"));
            }
        }
        Ok(index)
    }
}

/// One object of id to `T`, in a file of `shape`.
pub(crate) fn entries<'a, T: Deserialize<'a>>(
    path: &Path,
    text: &'a str,
    shape: Shape,
) -> Result<Entries<'a, T>, EvaluateError> {
    parse(path, text, shape.expected())
}

/// The labels of a file with one JSON object a line, with their line numbers.
pub(crate) fn line_labels(path: &Path, text: &str) -> Result<Vec<(usize, u32)>, EvaluateError> {
    #[derive(serde::Deserialize)]
    struct Row {
        label: u32,
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let label = |(number, line)| {
        let row: Row = serde_json::from_str(line).map_err(|source| {
            let problem = format!("{}; expected {}", without_place(&source), Shape::Choices.expected());
            line_error(path, number + 1, problem)
        })?;
        Ok((number + 1, row.label))
    };
    lines.map(label).collect()
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, text: &'a str, expected: &'static str) -> Result<T, EvaluateError> {
    serde_json::from_str(text).map_err(|source| EvaluateError::Json {
        path: path.to_owned(),
        message: source.to_string(),
        expected,
    })
}

/// The parser's words without its line and column, which are those of the one line.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(words, _)| words.to_owned())
}
