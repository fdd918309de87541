//! A new task file to start from: valid as it is, with what is known of the task filled in.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::{Format, Reader, Role, Split, Task, TaskError};

/// A raw file that shows what the task's files look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleFile {
    /// Its name, and those of its siblings in other splits, below the layout's folder.
    pub files: BTreeMap<Split, String>,
    /// How it is read.
    pub reader: Reader,
    /// The raw columns that the reader makes of it.
    pub columns: Vec<String>,
}

/// What is known of a task before its file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scaffold {
    /// Its id.
    pub id: String,
    /// Its format.
    pub format: Format,
    /// Its role; absent: `text` for text, `target` for retrieval, else `intermediate`.
    pub role: Option<Role>,
    /// The folder of its files below the data directory.
    pub layout: String,
    /// Its labels; empty: whatever the training split holds.
    pub labels: Vec<String>,
    /// How its files are read.
    pub reader: Reader,
    /// Files that stand side by side, row by row; empty: names that the maintainer is to change.
    pub examples: Vec<ExampleFile>,
}

impl Reader {
    /// The reader for files whose name ends in `extension`.
    pub fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "parquet" => Reader::Parquet,
            "jsonl" => Reader::Jsonl,
            "csv" => Reader::Csv,
            "tsv" => Reader::Tsv,
            "json" => Reader::SquadJson,
            "conllu" => Reader::Conllu,
            "txt" | "lst" => Reader::Lines,
            _ => return None,
        })
    }
}

/// How `value` is written in TOML.
fn quoted(value: &impl Serialize) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
}

impl Scaffold {
    /// The text of the task file: at most 25 lines.
    ///
    /// # Errors
    /// [`TaskError::Invalid`] where no task file can say this (an id in capitals, labels for a format without labels);
    /// `origin` names the file.
    pub fn to_toml(&self, origin: &str) -> Result<String, TaskError> {
        let text = self.text();
        Task::parse(&text, origin)?;
        Ok(text)
    }

    fn role(&self) -> Role {
        self.role.unwrap_or(match self.format {
            Format::Text => Role::Text,
            Format::SentenceRetrieval => Role::Target,
            _ => Role::Intermediate,
        })
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let mut line = |words: std::fmt::Arguments| {
            let _ = writeln!(text, "{words}");
        };
        line(format_args!("id = {}", quoted(&self.id)));
        line(format_args!("format = {}", quoted(&self.format)));
        line(format_args!("role = {}", quoted(&self.role())));
        let labelled = matches!(self.format, Format::Classification | Format::PairClassification | Format::WordTagging);
        if !self.labels.is_empty() {
            line(format_args!("labels = {}", quoted(&self.labels)));
        } else if labelled {
            line(format_args!(
                "open_labels = true            # or: labels = [\"yes\", \"no\"], in the order of the head"
            ));
        }
        if let Some(metric) = self.metric() {
            line(format_args!("metric = \"{metric}\""));
        }
        match self.role() {
            Role::Target => {
                line(format_args!("languages = [\"en\"]            # every language that it is evaluated in"))
            }
            Role::Intermediate => line(format_args!("evaluate = \"validation\"")),
            Role::Text => line(format_args!("evaluate = \"train\"")),
        }
        line(format_args!("license = \"unknown\"           # the licence of the data"));
        line(format_args!("citation = \"\"                 # a BibTeX-style key or an arXiv id"));
        line(format_args!("\n[source.directory]            # below --data DIR"));
        line(format_args!("layout = {}", quoted(&self.layout)));
        line(format_args!("reader = {}", quoted(&self.reader)));
        line(format_args!("files = {{ {} }}", self.files()));
        line(format_args!("\n[normalize]                   # to the columns of schemas/{}.json", self.format));
        for example in &self.examples {
            let names: Vec<&str> = example.files.values().map(String::as_str).take(1).collect();
            line(format_args!("# raw columns of {}: {}", names.join(""), example.columns.join(", ")));
        }
        line(format_args!("sql = \"SELECT {} FROM raw\"", self.columns()));
        if self.format == Format::MultipleChoice {
            line(format_args!("choices = [\"choice0\", \"choice1\"]"));
        }
        text
    }

    fn metric(&self) -> Option<&'static str> {
        match self.format {
            Format::Classification
            | Format::PairClassification
            | Format::MultipleChoice
            | Format::SentenceRetrieval => Some("accuracy"),
            Format::SpanExtraction => Some("squad"),
            Format::WordTagging => Some("span-f1"),
            Format::Text => None,
        }
    }

    /// The canonical columns, under the names that the readers of the format give where there is one such reader.
    fn columns(&self) -> &'static str {
        match self.format {
            Format::Classification => "text_a, label",
            Format::PairClassification => "text_a, text_b, label",
            Format::MultipleChoice => "question, choice0, choice1, label",
            Format::SpanExtraction => {
                "id AS example_id, context, question, answers_text AS answer_texts, answers_start AS answer_starts"
            }
            Format::WordTagging => "words, tags",
            Format::SentenceRetrieval => "id AS example_id, side, text, gold",
            Format::Text => "text",
        }
    }

    /// The files of each split, as they stand in `files = { … }`.
    fn files(&self) -> String {
        let Some(first) = self.examples.first() else {
            let extension = match self.reader {
                Reader::SquadJson => "json".to_owned(),
                Reader::Lines => "txt".to_owned(),
                Reader::TokenTagTsv => "tsv".to_owned(),
                reader => quoted(&reader).trim_matches('"').to_owned(),
            };
            return match self.role() {
                Role::Target => format!("test = \"test-{{lang}}.{extension}\""),
                Role::Intermediate => format!("train = \"train.{extension}\", validation = \"dev.{extension}\""),
                Role::Text => format!("train = \"{{lang}}.{extension}\""),
            };
        };
        let of_split = |split: &Split| {
            let names = self.examples.iter().filter_map(|example| {
                let name = quoted(example.files.get(split)?);
                let own = example.reader != self.reader;
                let columns = if example.reader == Reader::Lines {
                    format!(", columns = {}", quoted(&example.columns))
                } else {
                    String::new()
                };
                Some(if own {
                    format!("{{ path = {name}, reader = {}{columns} }}", quoted(&example.reader))
                } else {
                    name
                })
            });
            let names: Vec<String> = names.collect();
            if names.len() == 1 { names.concat() } else { format!("[{}]", names.join(", ")) }
        };
        let splits = first.files.keys().map(|split| format!("{split} = {}", of_split(split)));
        splits.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaffold(format: Format) -> Scaffold {
        let (id, layout) = ("toy".to_owned(), "toy-1.0".to_owned());
        Scaffold { id, format, role: None, layout, labels: vec![], reader: Reader::Jsonl, examples: vec![] }
    }

    #[test]
    fn every_format_gives_a_valid_file_of_few_lines() {
        for format in Format::ALL {
            for role in [None, Some(Role::Intermediate), Some(Role::Target)] {
                let text = Scaffold { role, ..scaffold(format) }.to_toml("toy.toml").unwrap();
                let task = Task::parse(&text, "toy.toml").unwrap();
                assert_eq!((task.id.as_str(), task.format), ("toy", format));
                assert!(text.lines().count() <= 25, "{text}");
            }
        }
    }

    #[test]
    fn examples_stand_side_by_side_in_each_split() {
        let file = |train: &str, validation: &str, reader, columns: &[&str]| ExampleFile {
            files: [(Split::Train, train.to_owned()), (Split::Validation, validation.to_owned())].into(),
            reader,
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        };
        let examples = vec![
            file("train.jsonl", "dev.jsonl", Reader::Jsonl, &["goal", "sol1"]),
            file("train-labels.lst", "dev-labels.lst", Reader::Lines, &["label"]),
        ];
        let text = Scaffold { examples, ..scaffold(Format::MultipleChoice) }.to_toml("toy.toml").unwrap();
        let task = Task::parse(&text, "toy.toml").unwrap();
        let files = &task.source.directory.unwrap().files;
        assert_eq!(files[&Split::Validation].paths(), ["dev.jsonl", "dev-labels.lst"]);
        assert!(text.contains("# raw columns of train.jsonl: goal, sol1\n") && text.lines().count() <= 25, "{text}");
    }

    #[test]
    fn what_no_task_can_be_is_refused() {
        let wrong = [
            (Scaffold { id: "Toy".to_owned(), ..scaffold(Format::Text) }, "lower-case"),
            (Scaffold { labels: vec!["a".to_owned()], ..scaffold(Format::SpanExtraction) }, "takes no `labels`"),
        ];
        for (scaffold, says) in wrong {
            let message = scaffold.to_toml("new/toy.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("new/toy.toml"), "{message}");
        }
    }
}
