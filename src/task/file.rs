//! One task file: `pipeline/tasks/{intermediate,xtreme,xtreme-r}/<id>.toml`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    DataId, Expected, FileSpec, Metric, Normalize, Sketch, SourceLanguage, Sources, Split, TaskError, TransformName,
};

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

    /// Whether its examples have labels of the task's own: one, or one a word.
    pub fn is_labelled(self) -> bool {
        matches!(self, Format::Classification | Format::PairClassification | Format::WordTagging)
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
    /// Training data, in the languages of its file, for the intermediate phase (and for targets that name it in `train`). With a
    /// metric it can be a target as well, scored on the split that it names in `evaluate`.
    Intermediate,
    /// Evaluated zero-shot in every language.
    Target,
    /// Text for masked-LM training: pretraining, or mixed into the intermediate phase.
    Text,
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
    /// Groups that it can be chosen by: `intermediate`, `text`. Suites that have a file of their own ([`super::Suite`]) say
    /// themselves which tasks they have.
    #[serde(default)]
    pub suites: Vec<String>,
    /// The closed label set, in head order. Empty for formats without labels, and where `open_labels` is set.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The label set is whatever the training split holds, in the order of the names: for sets that are too large to
    /// list, or licensed. Evaluation splits may then hold labels that no training example has.
    #[serde(default)]
    pub open_labels: bool,
    /// Of span extraction: whether a question may have no answer in its context, so that a prediction may be that there is
    /// none. Elsewhere the best span is predicted, however unlikely.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unanswerable: bool,
    /// How predictions are scored; absent for text, and for targets whose metric is not there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// ISO 639-1 codes: of a target, the languages that it is evaluated in; of any other task, those of its training data, which
    /// are English where nothing is said.
    #[serde(default = "default_languages")]
    pub languages: Vec<String>,
    /// Whether the languages' evaluation examples are translations of one another, those of equal id of the same item: intervals and
    /// p-values draw items then, each in all the languages that have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parallel: bool,
    /// The task whose training split a target is fine-tuned on; absent: its own, if it has one.
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
    /// When the citation was published: `2018`, `2018-11` or `2018-11-02`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub published: String,
    /// The authors of the citation, as they write their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// The dataset's page, where that is not its repository on the hub.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// The tasks whose examples, one after the other, are this task's: a view, which has no raw files of its own.
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
    /// What a plan reckons with before the data are here.
    #[serde(default, skip_serializing_if = "Sketch::is_empty")]
    pub estimate: Sketch,
}

fn default_languages() -> Vec<String> {
    vec![SourceLanguage::DEFAULT.to_owned()]
}

fn test_split() -> Split {
    Split::Test
}

/// Whether `text` is nothing, or a date as far as it is known.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    ["", "0000", "0000-00", "0000-00-00"].contains(&shape.as_str())
}

/// The first name that stands twice.
pub(super) fn twice<'a, T: Ord>(names: impl IntoIterator<Item = &'a T>) -> Option<&'a T> {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// That `metric` is not defined for `format`, and which ones are.
fn misfit(metric: Metric, format: Format) -> String {
    let fitting = Metric::ALL.into_iter().filter(|other| other.formats().contains(&format)).map(Metric::name);
    let remedy = match fitting.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "leave `metric` out".to_owned(),
        fitting => format!("use one of {fitting}"),
    };
    format!("metric `{}` does not score format {format}; {remedy}", metric.name())
}

/// Whether a name can stand in paths, labels and tables of every format as it is.
pub(super) fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
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
        if !plain(&self.id) {
            return wrong(format!("id `{}` must be lower-case letters, digits, `_` and `-`", self.id));
        }
        let needs_labels = self.format.is_labelled();
        if needs_labels == (self.labels.is_empty() && !self.open_labels) {
            let verb = if needs_labels { "needs" } else { "takes no" };
            return wrong(format!("format {} {verb} `labels`", self.format));
        }
        if self.open_labels && !self.labels.is_empty() {
            return wrong("give `labels` or `open_labels`, not both".to_owned());
        }
        if let Some(metric) = self.metric.filter(|metric| !metric.formats().contains(&self.format)) {
            return wrong(misfit(metric, self.format));
        }
        let labels = match self.metric {
            Some(Metric::BinaryF1) => (self.labels.len() != 2).then_some("two labels, the positive one last"),
            Some(Metric::Mcc) => (!(2..=3).contains(&self.labels.len())).then_some("two or three labels"),
            _ => None,
        };
        if let (Some(needed), Some(metric)) = (labels, self.metric) {
            return wrong(format!("metric `{}` needs {needed}, not {}", metric.name(), self.labels.len()));
        }
        if self.unanswerable && self.format != Format::SpanExtraction {
            return wrong(format!("`unanswerable` is for span-extraction, not for {}", self.format));
        }
        if let Some(words) = self.estimate.words.filter(|words| !(words.is_finite() && *words > 0.0)) {
            return wrong(format!("`words` of [estimate] is {words}; expected a number above 0"));
        }
        if !is_date(&self.published) {
            return wrong(format!("published `{}` must be a year, YYYY-MM or YYYY-MM-DD", self.published));
        }
        if let Some(label) = twice(&self.labels) {
            return wrong(format!("label `{label}` stands twice"));
        }
        if let Some(code) = twice(&self.languages) {
            return wrong(format!("language `{code}` stands twice"));
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

    /// The tasks whose canonical tables its own are made of; none of a task with raw files.
    pub fn made_of(&self) -> Vec<String> {
        match self.transform() {
            Some((of, _)) => vec![of.as_str().to_owned()],
            None => self.parts.clone(),
        }
    }

    /// Whether its tables are made of others'.
    pub fn is_view(&self) -> bool {
        !self.made_of().is_empty()
    }

    /// Of a view that has no file of its own: what it is made of, and how.
    pub fn transform(&self) -> Option<(DataId, TransformName)> {
        self.id.parse::<DataId>().ok()?.view()
    }

    /// The view `id` of this task, as a task: as a target fine-tuned on what this one is, in no suite, without published counts.
    pub(super) fn as_view(&self, id: &DataId) -> Task {
        Task {
            id: id.as_str().to_owned(),
            suites: Vec::new(),
            train: self.training_task().map(str::to_owned),
            parts: Vec::new(),
            source: Sources::default(),
            normalize: Normalize::default(),
            expect: BTreeMap::new(),
            estimate: Sketch { examples: BTreeMap::new(), ..self.estimate.clone() },
            ..self.clone()
        }
    }

    /// The languages that its data may be in by its own file, and `source`: a target may be trained on it.
    pub fn known_languages(&self, source: &SourceLanguage) -> Vec<String> {
        let mut known = self.languages.clone();
        if known.iter().all(|code| code != source.code()) {
            known.push(source.code().to_owned());
        }
        known
    }

    /// Whether queries are looked for among the index sentences of all languages.
    pub fn shares_index(&self) -> bool {
        self.metric.is_some_and(Metric::searches_all_languages)
    }

    /// The splits that are predicted: the one that scores are computed on and, where a threshold is chosen on development
    /// data, those.
    pub fn predicted_splits(&self) -> Vec<Split> {
        match self.metric {
            Some(Metric::BitextF1) if self.evaluate != Split::Validation => vec![Split::Validation, self.evaluate],
            _ => vec![self.evaluate],
        }
    }

    /// The languages of its training split in a study of this source language: that one of a target, which is evaluated in others;
    /// of any other task those that its file names, as of a training set that was translated.
    pub fn training_languages(&self, source: &SourceLanguage) -> Vec<String> {
        match self.role {
            Role::Target => vec![source.code().to_owned()],
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
    fn training_languages_are_those_of_the_role_and_the_study() {
        let parse = |role: &str| {
            let text =
                GOOD.replace("license", "languages = [\"de\", \"fi\"]\nlicense").replace("\"intermediate\"", role);
            Task::parse(&text, "toy.toml").unwrap()
        };
        let (english, finnish) = (SourceLanguage::default(), SourceLanguage::from("fi"));
        let target = parse("\"target\"");
        assert_eq!(target.training_languages(&english), ["en"]);
        assert_eq!(target.training_languages(&finnish), ["fi"]);
        assert_eq!(parse("\"intermediate\"").training_languages(&finnish), ["de", "fi"]);
        assert_eq!(target.known_languages(&english), ["de", "fi", "en"]);
        assert_eq!(target.known_languages(&finnish), ["de", "fi"]);
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
            ("license", "published = \"May 2018\"\nlicense", "must be a year, YYYY-MM"),
            ("license", "unanswerable = true\nlicense", "is for span-extraction"),
            (
                "license",
                "metric = \"squad\"\nlicense",
                "metric `squad` does not score format pair-classification; use one of accuracy, binary-f1, mcc",
            ),
            ("license", "metric = \"bitext-f1\"\nlicense", "`bitext-f1` does not score format pair-classification"),
            ("license", "languages = [\"en\", \"de\", \"en\"]\nlicense", "`en` stands twice"),
            ("license", "estimate = { words = 0 }\nlicense", "`words` of [estimate] is 0"),
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
