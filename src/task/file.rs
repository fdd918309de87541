//! One task file: `pipeline/tasks/{intermediate,xtreme,xtreme-r}/<id>.toml`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::TaskError;

/// The shape of a task's examples: which canonical schema, tokenised schema, head and prediction it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One text, one label.
    Classification,
    /// Two texts, one label.
    PairClassification,
    /// A context or question and several choices, one of them right.
    MultipleChoice,
    /// A question and the context that holds its answer.
    SpanExtraction,
    /// One tag a word.
    WordTagging,
    /// Find each English sentence's translation among the sentences of another language.
    SentenceRetrieval,
    /// Plain text for masked-LM training.
    Text,
}

impl Format {
    /// The name used in files, schemas and tables.
    pub fn name(self) -> &'static str {
        match self {
            Format::Classification => "classification",
            Format::PairClassification => "pair-classification",
            Format::MultipleChoice => "multiple-choice",
            Format::SpanExtraction => "span-extraction",
            Format::WordTagging => "word-tagging",
            Format::SentenceRetrieval => "sentence-retrieval",
            Format::Text => "text",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a task is used for in a study.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// English training data for the intermediate phase (and for targets that name it in `train`).
    Intermediate,
    /// Evaluated zero-shot in every language.
    Target,
    /// Masked-LM pretraining text.
    Text,
}

/// How a task is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of right labels, choices or retrieved sentences.
    Accuracy,
    /// Span F1 as seqeval 0.0.12 computes it.
    SpanF1,
    /// Exact match and F1 of SQuAD v1.1's script.
    Squad,
    /// MLQA's language-aware exact match and F1.
    Mlqa,
}

impl Metric {
    /// The name used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::SpanF1 => "span-f1",
            Metric::Squad => "squad",
            Metric::Mlqa => "mlqa",
        }
    }

    /// The score rows that stand for a target in tables, averaged: QA is the mean of F1 and exact match, as XTREME's
    /// `evaluate.py` has it.
    pub fn headline(self) -> &'static [&'static str] {
        match self {
            Metric::Accuracy => &["accuracy"],
            Metric::SpanF1 => &["f1"],
            Metric::Squad | Metric::Mlqa => &["f1", "exact_match"],
        }
    }
}

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Training examples.
    Train,
    /// Development examples: early stopping, model selection.
    Validation,
    /// Examples that scores are computed on.
    Test,
}

impl Split {
    /// The name used in paths and tables.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How raw bytes become raw columns. Every reader adds `split` (utf8), `row` (int64, 0-based within the files that
/// one pattern matches) and `lang` (utf8, from `{lang}` in the path, else null).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// Parquet; structs and lists of structs flatten to `parent_child` columns.
    Parquet,
    /// One JSON object a line; nested values flatten as in Parquet.
    Jsonl,
    /// RFC 4180 with a header, or without one where `columns` names them.
    Csv,
    /// Tab-separated, no quoting, with a header, or without one where `columns` names them.
    Tsv,
    /// SQuAD's nested JSON: `id, title, context, question, answers_text, answers_start, is_impossible`.
    SquadJson,
    /// `word TAB tag` lines, blank line between sentences: `words, tags`.
    TokenTagTsv,
    /// CoNLL-U: `sent_id, words, tags` (UPOS), a multi-word token read as its surface form.
    Conllu,
    /// One text a line: `text`, or the name in `columns`.
    Lines,
}

/// The raw files of one split: a path, a path with its own reader, or several files read side by side, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FileSpec {
    /// A path relative to the source's root. `{lang}`, `{lang3}` and `{name}` stand for a language's ISO 639-1 code,
    /// ISO 639-3 code and English name; `*` and `?` match within one path segment.
    Path(String),
    /// A path with its own reader or column names.
    With {
        /// As in [`FileSpec::Path`].
        path: String,
        /// Instead of the source's reader.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reader: Option<Reader>,
        /// Column names of a file without a header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<String>>,
    },
    /// Files with the same number of rows, whose columns stand side by side.
    Beside(Vec<FileSpec>),
}

impl FileSpec {
    /// The paths, in order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            FileSpec::Path(path) | FileSpec::With { path, .. } => vec![path],
            FileSpec::Beside(parts) => parts.iter().flat_map(FileSpec::paths).collect(),
        }
    }

    /// Whether any path holds a language placeholder.
    pub fn is_per_language(&self) -> bool {
        self.paths().iter().any(|p| ["{lang}", "{lang3}", "{name}"].iter().any(|mark| p.contains(mark)))
    }
}

/// Files on the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name` of a dataset repository.
    pub repo: String,
    /// Branch, tag or commit; the lock file pins the commit it resolved to.
    #[serde(default = "main_revision")]
    pub revision: String,
    /// How to read the files.
    pub reader: Reader,
    /// Files per split.
    pub files: BTreeMap<Split, FileSpec>,
    /// Column names of files without a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Instead of the task's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

pub(super) fn main_revision() -> String {
    "main".to_owned()
}

/// The original distribution in a local directory: what `--data DIR` points at, and what the mini edition generates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySource {
    /// The dataset's folder below the data directory, and the name of the layout that the mini edition writes.
    pub layout: String,
    /// How to read the files.
    pub reader: Reader,
    /// Files per split, relative to `layout`.
    pub files: BTreeMap<Split, FileSpec>,
    /// Column names of files without a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Instead of the task's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

/// Where the raw files come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// The hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSource>,
    /// A local directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,
}

/// The unit in which a source gives answer offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffsetUnit {
    /// Unicode code points, as Python counts: SQuAD and its family.
    #[default]
    CodePoint,
    /// UTF-8 bytes: TyDiQA's raw form.
    Byte,
}

/// From raw columns to the canonical table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// `SELECT … FROM raw …`, row by row: no aggregate over several rows, since batches stream through it. Its columns
    /// are the canonical ones; `example_id` defaults to `row`, `language` to `lang` or `en`.
    #[serde(default)]
    pub sql: String,
    /// Columns of the SQL's result that together form the canonical list `choices`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Unit of `answer_starts` in the SQL's result.
    #[serde(default)]
    pub answer_offsets: OffsetUnit,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Unique name, the file's stem.
    pub id: String,
    /// Shape of the examples.
    pub format: Format,
    /// What it is used for.
    pub role: Role,
    /// The closed label set, in head order. Empty for formats without labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How predictions are scored; absent for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Languages that it is evaluated in (English only for intermediate tasks), ISO 639-1.
    #[serde(default = "english")]
    pub languages: Vec<String>,
    /// The task whose English training split a target is fine-tuned on; absent: its own, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    /// The split that scores are computed on.
    #[serde(default = "test_split")]
    pub evaluate: Split,
    /// Text domains.
    #[serde(default)]
    pub domain: Vec<String>,
    /// Licence of the data.
    pub license: String,
    /// Where the data were published: a BibTeX-style key or an arXiv id.
    #[serde(default)]
    pub citation: String,
    /// Raw files.
    pub source: Sources,
    /// Raw rows to canonical rows.
    pub normalize: Normalize,
    /// Published number of examples per split (per language, where there are several).
    #[serde(default)]
    pub expect: BTreeMap<Split, u64>,
}

fn english() -> Vec<String> {
    vec!["en".to_owned()]
}

fn test_split() -> Split {
    Split::Test
}

impl Task {
    /// Parses and validates a task file; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TaskError> {
        let task: Task = toml::from_str(text).map_err(|source| TaskError::parse(origin, &source))?;
        task.validate(origin)?;
        Ok(task)
    }

    fn validate(&self, origin: &str) -> Result<(), TaskError> {
        let wrong = |message: String| Err(TaskError::Invalid { origin: origin.to_owned(), message });
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.id.is_empty() || !self.id.chars().all(plain) {
            return wrong(format!("id `{}` must be lower-case letters, digits, `_` and `-`", self.id));
        }
        let needs_labels =
            matches!(self.format, Format::Classification | Format::PairClassification | Format::WordTagging);
        if needs_labels == self.labels.is_empty() {
            let verb = if needs_labels { "needs" } else { "takes no" };
            return wrong(format!("format {} {verb} `labels`", self.format));
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.labels.iter().find(|label| !seen.insert(label.as_str())) {
            return wrong(format!("label `{twice}` stands twice"));
        }
        if self.source.hub.is_none() && self.source.directory.is_none() {
            return wrong("it has no source: add [source.hub] or [source.directory]".to_owned());
        }
        if (self.role == Role::Target) && self.metric.is_none() {
            return wrong("a target needs `metric`".to_owned());
        }
        let sql = |own: &Option<String>| own.as_deref().unwrap_or(&self.normalize.sql).trim().is_empty();
        let empty = self.source.hub.as_ref().is_some_and(|s| sql(&s.sql))
            || self.source.directory.as_ref().is_some_and(|s| sql(&s.sql));
        if empty {
            return wrong("it has no SQL: give `normalize.sql`, or `sql` in each source".to_owned());
        }
        Ok(())
    }

    /// The task whose training split a target is fine-tuned on, if any.
    pub fn training_task(&self) -> Option<&str> {
        match (&self.train, self.format) {
            (Some(other), _) => Some(other),
            (None, Format::SentenceRetrieval) => None,
            (None, _) => Some(&self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        id = "toy"
        format = "pair-classification"
        role = "intermediate"
        labels = ["yes", "no"]
        license = "CC0"
        [source.directory]
        layout = "toy"
        reader = "tsv"
        columns = ["a", "b", "label"]
        files = { train = "train.tsv", test = [{ path = "test-{lang}.tsv" }, { path = "gold", reader = "lines" }] }
        [normalize]
        sql = "SELECT a AS text_a, b AS text_b, label FROM raw"
    "#;

    #[test]
    fn a_task_file_parses() {
        let task = Task::parse(GOOD, "toy.toml").unwrap();
        let files = &task.source.directory.as_ref().unwrap().files;
        assert_eq!(files[&Split::Test].paths(), ["test-{lang}.tsv", "gold"]);
        assert!(files[&Split::Test].is_per_language());
        assert_eq!(task.training_task(), Some("toy"));
    }

    #[test]
    fn faults_are_named() {
        for (from, to, says) in [
            ("labels = [\"yes\", \"no\"]", "", "needs `labels`"),
            ("\"yes\", \"no\"", "\"yes\", \"yes\"", "stands twice"),
            ("reader = \"tsv\"", "reader = \"xls\"", "unknown variant"),
            ("layout = \"toy\"", "layuot = \"toy\"", "unknown field"),
            ("id = \"toy\"", "id = \"Toy\"", "lower-case"),
        ] {
            let message = Task::parse(&GOOD.replace(from, to), "toy.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("toy.toml"), "{message}");
        }
    }
}
