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
    /// Every format.
    pub const ALL: [Format; 7] = [
        Format::Classification,
        Format::PairClassification,
        Format::MultipleChoice,
        Format::SpanExtraction,
        Format::WordTagging,
        Format::SentenceRetrieval,
        Format::Text,
    ];

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
    /// The split of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Split::Train, Split::Validation, Split::Test].into_iter().find(|split| split.name() == name)
    }

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

/// How raw bytes become raw columns. Every reader adds `split` (utf8), `row` (int64, 0-based within the files of a split
/// and language), `lang` (utf8, from `{lang}` in the path, else null) and `file` (utf8, the file's name below the data
/// directory or on the hub; the first file's where several stand side by side).
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
    /// As [`Reader::Tsv`], but the columns that a short line lacks are null.
    RaggedTsv,
    /// SQuAD's nested JSON: `id, title, context, question, answers_text, answers_start, is_impossible`.
    SquadJson,
    /// `word TAB tag` lines, blank line between sentences: `words, tags`.
    TokenTagTsv,
    /// CoNLL-U: `sent_id, words, tags` (UPOS), a multi-word token read as its surface form.
    Conllu,
    /// One text a line: `text`, or the name in `columns`.
    Lines,
    /// CCGbank's AUTO files: `id, words, tags` (lexical categories).
    CcgAuto,
    /// WikiANN as PAN-X is shipped, `xx:word TAB tag` lines: `words, tags`.
    Wikiann,
    /// Three files side by side, sentences of a language, English sentences (both `id TAB text`) and gold pairs
    /// (`id TAB id`): `id, side, text, gold`.
    Bucc,
    /// XQuAD-R: SQuAD's nested JSON with `sentence_breaks` in each paragraph: `id, side, text, gold`.
    XquadR,
    /// Mewsli-X's mentions: one row a mention, `id, language, document_id,
    /// document_title, sentence, mention, mention_start, mention_end, entity_id`; offsets count the sentence's code points.
    MewsliX,
}

/// The raw files of one split: a path, a path with its own reader, several files read side by side, or several read one
/// after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "files are a path, { path, reader?, columns?, sql? }, a list of these (side by side), or { sequence = […] }"
)]
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
        /// Instead of the source's SQL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sql: Option<String>,
    },
    /// Files with the same number of rows, whose columns stand side by side.
    Beside(Vec<FileSpec>),
    /// Files whose rows follow one another, each with its own reader and SQL.
    Sequence {
        /// In order.
        sequence: Vec<FileSpec>,
    },
}

impl FileSpec {
    /// The paths, in order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            FileSpec::Path(path) | FileSpec::With { path, .. } => vec![path],
            FileSpec::Beside(parts) | FileSpec::Sequence { sequence: parts } => {
                parts.iter().flat_map(FileSpec::paths).collect()
            }
        }
    }

    fn has_own_sql(&self) -> bool {
        match self {
            FileSpec::Path(_) | FileSpec::Beside(_) => false,
            FileSpec::With { sql, .. } => sql.is_some(),
            FileSpec::Sequence { sequence } => sequence.iter().all(FileSpec::has_own_sql),
        }
    }

    /// A sequence stands at the top only, and files side by side share one SQL.
    fn is_well_formed(&self) -> bool {
        let plain = |spec: &FileSpec| matches!(spec, FileSpec::Path(_) | FileSpec::With { .. });
        let beside = |parts: &[FileSpec]| parts.iter().all(|part| plain(part) && !part.has_own_sql());
        let step = |spec: &FileSpec| match spec {
            FileSpec::Beside(parts) => beside(parts),
            other => plain(other),
        };
        match self {
            FileSpec::Sequence { sequence } => !sequence.is_empty() && sequence.iter().all(step),
            other => step(other),
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
    /// Instead of the task's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_offsets: Option<OffsetUnit>,
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
    /// Code points before blanks around contexts and answers were cut off, as some of the hub's copies were made: a
    /// question's answers stand where they are said to, or all moved by the same few characters.
    CodePointBeforeStrip,
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

/// The published number of examples of one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expected {
    /// In each language that the split has.
    Each(u64),
    /// By language; others are not checked.
    ByLanguage(BTreeMap<String, u64>),
}

impl Expected {
    /// The number in `language`, if one is published.
    pub fn of(&self, language: &str) -> Option<u64> {
        match self {
            Expected::Each(count) => Some(*count),
            Expected::ByLanguage(counts) => counts.get(language).copied(),
        }
    }
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
    /// The groups that it belongs to: `intermediate`, `xtreme`, `xtreme-r`, `text`.
    #[serde(default)]
    pub suites: Vec<String>,
    /// The closed label set, in head order. Empty for formats without labels, and where `open_labels` is set.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The label set is whatever the training split holds, in the order of the names: for sets that are too large to
    /// list, or licensed. Evaluation splits may then hold labels that no training example has.
    #[serde(default)]
    pub open_labels: bool,
    /// How predictions are scored; absent for text, and for targets whose metric is not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// ISO 639-1 codes: of a target, the languages that it is evaluated in; of any other task, those of its training data.
    #[serde(default = "english")]
    pub languages: Vec<String>,
    /// Languages that a later suite added to the same data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub added_languages: BTreeMap<String, Vec<String>>,
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
    /// The tasks whose examples, one after the other, are this task's; it has no raw files of its own then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Raw files.
    #[serde(default)]
    pub source: Sources,
    /// Raw rows to canonical rows.
    #[serde(default)]
    pub normalize: Normalize,
    /// Published number of examples per split.
    #[serde(default)]
    pub expect: BTreeMap<Split, Expected>,
}

fn english() -> Vec<String> {
    vec!["en".to_owned()]
}

fn test_split() -> Split {
    Split::Test
}

/// The first name that stands twice.
fn twice<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
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
        if needs_labels == (self.labels.is_empty() && !self.open_labels) {
            let verb = if needs_labels { "needs" } else { "takes no" };
            return wrong(format!("format {} {verb} `labels`", self.format));
        }
        if self.open_labels && !self.labels.is_empty() {
            return wrong("give `labels` or `open_labels`, not both".to_owned());
        }
        if let Some(label) = twice(&self.labels) {
            return wrong(format!("label `{label}` stands twice"));
        }
        for (suite, added) in &self.added_languages {
            if !self.suites.contains(suite) {
                return wrong(format!("`added_languages` names suite `{suite}`, which `suites` lacks"));
            }
            if let Some(code) = twice(self.languages.iter().chain(added)) {
                return wrong(format!("language `{code}` stands twice"));
            }
        }
        if self.parts.is_empty() { self.validate_sources() } else { self.validate_parts() }
            .or_else(|message| wrong(message.to_owned()))
    }

    fn validate_sources(&self) -> Result<(), &'static str> {
        let Sources { hub, directory } = &self.source;
        if hub.is_none() && directory.is_none() {
            return Err("it has no source: add [source.hub], [source.directory] or `parts`");
        }
        let declared = |sql: &Option<String>, files: &BTreeMap<Split, FileSpec>| {
            let blank = sql.as_deref().unwrap_or(&self.normalize.sql).trim().is_empty();
            !blank || files.values().all(FileSpec::has_own_sql)
        };
        let complete = hub.as_ref().is_none_or(|s| declared(&s.sql, &s.files))
            && directory.as_ref().is_none_or(|s| declared(&s.sql, &s.files));
        if !complete {
            return Err("it has no SQL: give `normalize.sql`, or `sql` in each source");
        }
        let files = hub.iter().map(|s| &s.files).chain(directory.iter().map(|s| &s.files));
        if !files.flat_map(BTreeMap::values).all(FileSpec::is_well_formed) {
            return Err(
                "files that follow one another stand in one `sequence` for the split, those side by side in a list",
            );
        }
        Ok(())
    }

    fn validate_parts(&self) -> Result<(), &'static str> {
        if self.source != Sources::default() || self.normalize != Normalize::default() {
            return Err("a task with `parts` takes no [source] and no [normalize]: its rows are those of its parts");
        }
        match twice(&self.parts) {
            Some(_) => Err("`parts` names a task twice"),
            None => Ok(()),
        }
    }

    /// The languages in which `suite` evaluates the task: its own, and those that the suite added.
    pub fn languages_of(&self, suite: Option<&str>) -> Vec<String> {
        let added = suite.and_then(|suite| self.added_languages.get(suite));
        self.languages.iter().chain(added.into_iter().flatten()).cloned().collect()
    }

    /// Every language that its data may be in, English included: a target may be trained on it.
    pub fn knows_language(&self, code: &str) -> bool {
        let mut known = self.languages.iter().chain(self.added_languages.values().flatten());
        code == "en" || known.any(|known| known == code)
    }

    /// The languages of its training split.
    pub fn training_languages(&self) -> Vec<String> {
        match self.role {
            Role::Target => english(),
            Role::Intermediate | Role::Text => self.languages.clone(),
        }
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
    fn files_follow_one_another_with_their_own_sql() {
        let files =
            r#"{ test = { sequence = [{ path = "a.tsv", sql = "SELECT 1" }, { path = "b.tsv", sql = "SELECT 2" }] } }"#;
        let text =
            GOOD.replace("[normalize]", "").replace("sql = \"SELECT a AS text_a, b AS text_b, label FROM raw\"", "");
        let at = text.find("files = ").unwrap();
        let end = at + text[at..].find('\n').unwrap();
        let task = Task::parse(&format!("{}files = {files}{}", &text[..at], &text[end..]), "toy.toml").unwrap();
        assert_eq!(task.source.directory.unwrap().files[&Split::Test].paths(), ["a.tsv", "b.tsv"]);
    }

    #[test]
    fn languages_are_those_of_the_role_and_the_suite() {
        let more =
            "suites = [\"old\", \"new\"]\nlanguages = [\"de\", \"fi\"]\nadded_languages = { new = [\"lt\"] }\nlicense";
        let parse = |role: &str| {
            let text = GOOD.replace("license", more).replace("\"intermediate\"", role);
            Task::parse(&text, "toy.toml").unwrap()
        };
        let target = parse("\"target\"");
        assert_eq!(target.languages_of(None), ["de", "fi"]);
        assert_eq!(target.languages_of(Some("old")), ["de", "fi"]);
        assert_eq!(target.languages_of(Some("new")), ["de", "fi", "lt"]);
        assert_eq!(target.training_languages(), ["en"]);
        assert_eq!(parse("\"intermediate\"").training_languages(), ["de", "fi"]);
        assert!(["de", "lt", "en"].iter().all(|code| target.knows_language(code)) && !target.knows_language("sw"));
    }

    #[test]
    fn counts_are_expected_of_each_language_or_by_language() {
        let text = format!("{GOOD}\n[expect]\ntrain = 5\ntest = {{ en = 7 }}\n");
        let expect = Task::parse(&text, "toy.toml").unwrap().expect;
        assert_eq!((expect[&Split::Train].of("en"), expect[&Split::Train].of("de")), (Some(5), Some(5)));
        assert_eq!((expect[&Split::Test].of("en"), expect[&Split::Test].of("de")), (Some(7), None));
    }

    #[test]
    fn faults_are_named() {
        for (from, to, says) in [
            ("labels = [\"yes\", \"no\"]", "", "needs `labels`"),
            ("\"yes\", \"no\"", "\"yes\", \"yes\"", "stands twice"),
            ("reader = \"tsv\"", "reader = \"xls\"", "unknown variant"),
            ("layout = \"toy\"", "layuot = \"toy\"", "unknown field"),
            ("id = \"toy\"", "id = \"Toy\"", "lower-case"),
            ("license", "open_labels = true\nlicense", "not both"),
            ("license", "added_languages = { more = [\"de\"] }\nlicense", "`suites` lacks"),
            ("license", "suites = [\"more\"]\nadded_languages = { more = [\"en\"] }\nlicense", "`en` stands twice"),
            ("license", "parts = [\"other\"]\nlicense", "takes no [source]"),
            ("sql = \"SELECT a AS text_a, b AS text_b, label FROM raw\"", "", "has no SQL"),
            (
                "train = \"train.tsv\"",
                "train = { path = \"train.tsv\", colums = [\"a\"] }",
                "files are a path, { path,",
            ),
            ("train = \"train.tsv\"", "train = [{ sequence = [\"a\"] }]", "one `sequence` for the split"),
        ] {
            let message = Task::parse(&GOOD.replace(from, to), "toy.toml").unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("toy.toml"), "{message}");
        }
    }
}
