//! What a node of a study is called: `normalize/mnli`, `target/xnli/mnli/seed-1`. The only place that writes labels or takes
//! them apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Phase;
use crate::task::{CHANCE, Place, parse_seed, print_seed};

/// The name of a node, unique in its graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Raw files of the mini edition, by layout.
    Generate(String),
    /// Canonical tables of a task.
    Normalize(String),
    /// The tokenizer.
    Tokenizer,
    /// Model inputs of a task.
    Tokenize(String),
    /// What the tables of a task hold.
    Profile(String),
    /// What the tables of all tasks share.
    Overlap,
    /// The pretrained encoder.
    Pretrain,
    /// A row's training.
    Intermediate {
        /// Row.
        row: String,
        /// Repetition.
        seed: u64,
    },
    /// A cell's training.
    Target(Place),
    /// A cell's sentence vectors.
    Embed(Place),
    /// A cell's predictions.
    Predict(Place),
    /// A target's predictions without a model: those of the row [`CHANCE`].
    Baseline(String),
    /// Another system's predictions.
    Import(Place),
    /// A cell's scores.
    Score(Place),
    /// The comparison of all rows.
    Analyze,
}

/// A node of a study: the study's name and the node's, with a colon between. What manifests have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StudyLabel {
    /// The study's name.
    pub study: String,
    /// The node's.
    pub label: Label,
}

/// A text that is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no stage's label; expected one as `trestle plan` lists them")]
pub struct NoLabel(String);

/// A label's first word, and the label of what follows it.
type Beginning<T> = (&'static str, fn(T) -> Label);

impl Label {
    /// What labels of cells begin with.
    const CELLS: [Beginning<Place>; 5] = [
        ("target", Label::Target),
        ("embed", Label::Embed),
        ("predict", Label::Predict),
        ("import", Label::Import),
        ("score", Label::Score),
    ];

    /// What labels of one dataset begin with.
    const DATA: [Beginning<String>; 5] = [
        ("generate", Label::Generate),
        ("normalize", Label::Normalize),
        ("tokenize", Label::Tokenize),
        ("profile", Label::Profile),
        ("baseline", Label::Baseline),
    ];

    /// The labels that are one word.
    const WORDS: [(&'static str, Label); 4] = [
        ("tokenizer", Label::Tokenizer),
        ("overlap", Label::Overlap),
        ("pretrain", Label::Pretrain),
        ("analyze", Label::Analyze),
    ];

    /// What labels of a row's trainings begin with.
    const ROWS: &'static str = "intermediate";

    /// Whether labels of three parts and more, of a row or a cell, begin with `word`.
    pub fn begins_in_grid(word: &str) -> bool {
        word == Self::ROWS || Self::CELLS.iter().any(|(name, _)| *name == word)
    }

    /// The column that it belongs to, if it is one's.
    pub fn target(&self) -> Option<&str> {
        match self {
            Label::Baseline(target) => Some(target),
            _ => self.cell().map(|place| place.target.as_str()),
        }
    }

    /// The row that it belongs to, if it is one's.
    pub fn row(&self) -> Option<&str> {
        match self {
            Label::Intermediate { row, .. } => Some(row),
            Label::Baseline(_) => Some(CHANCE),
            _ => self.cell().map(|place| place.row.as_str()),
        }
    }

    fn cell(&self) -> Option<&Place> {
        match self {
            Label::Target(place)
            | Label::Embed(place)
            | Label::Predict(place)
            | Label::Import(place)
            | Label::Score(place) => Some(place),
            _ => None,
        }
    }

    /// The phase that it trains in, if it is a training.
    pub fn phase(&self) -> Option<Phase> {
        match self {
            Label::Pretrain => Some(Phase::Pretrain),
            Label::Intermediate { .. } => Some(Phase::Intermediate),
            Label::Target(_) => Some(Phase::Target),
            _ => None,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Tokenizer => f.write_str("tokenizer"),
            Label::Overlap => f.write_str("overlap"),
            Label::Pretrain => f.write_str("pretrain"),
            Label::Analyze => f.write_str("analyze"),
            Label::Generate(layout) => write!(f, "generate/{layout}"),
            Label::Normalize(task) => write!(f, "normalize/{task}"),
            Label::Tokenize(task) => write!(f, "tokenize/{task}"),
            Label::Profile(task) => write!(f, "profile/{task}"),
            Label::Baseline(target) => write!(f, "baseline/{target}"),
            Label::Intermediate { row, seed } => write!(f, "{}/{row}/{}", Self::ROWS, print_seed(*seed)),
            Label::Target(place) => write!(f, "target/{place}"),
            Label::Embed(place) => write!(f, "embed/{place}"),
            Label::Predict(place) => write!(f, "predict/{place}"),
            Label::Import(place) => write!(f, "import/{place}"),
            Label::Score(place) => write!(f, "score/{place}"),
        }
    }
}

impl FromStr for Label {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Self, NoLabel> {
        let (word, rest) = text.split_once('/').unwrap_or((text, ""));
        let parts: Vec<&str> = rest.split('/').collect();
        let named = |names: &[&str]| names.iter().all(|name| !name.is_empty());
        let label = match parts.as_slice() {
            parts if !named(parts) => {
                Self::WORDS.iter().find(|(name, _)| *name == text).map(|(_, label)| label.clone())
            }
            [row, seed] if word == Self::ROWS => {
                parse_seed(seed).map(|seed| Label::Intermediate { row: (*row).to_owned(), seed })
            }
            [name] => Self::DATA.iter().find(|(known, _)| *known == word).map(|(_, of)| of((*name).to_owned())),
            parts => {
                Self::CELLS.iter().find(|(known, _)| *known == word).and_then(|(_, of)| Some(of(Place::parse(parts)?)))
            }
        };
        label.ok_or_else(|| NoLabel(text.to_owned()))
    }
}

impl fmt::Display for StudyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.study, self.label)
    }
}

impl FromStr for StudyLabel {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Self, NoLabel> {
        // No label holds a colon, as a study's name may.
        let (study, label) = text.rsplit_once(':').ok_or_else(|| NoLabel(text.to_owned()))?;
        Ok(Self { study: study.to_owned(), label: label.parse()? })
    }
}

impl TryFrom<String> for StudyLabel {
    type Error = NoLabel;

    fn try_from(text: String) -> Result<Self, NoLabel> {
        text.parse()
    }
}

impl From<StudyLabel> for String {
    fn from(label: StudyLabel) -> Self {
        label.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_printed_as_they_are_read() {
        for text in [
            "generate/XNLI-MT-1.0",
            "normalize/mnli",
            "tokenizer",
            "tokenize/mnli",
            "profile/mnli",
            "overlap",
            "pretrain",
            "intermediate/mnli/seed-1",
            "target/xnli/mnli/seed-18446744073709551615",
            "embed/tatoeba/none/seed-2",
            "predict/xnli/mnli/seed-1",
            "baseline/xnli",
            "import/xnli/Their_System.2/seed-1",
            "score/xnli/chance",
            "score/xnli/mnli/seed-1",
            "analyze",
        ] {
            let label: Label = text.parse().unwrap();
            assert_eq!(label.to_string(), text);
            let whole: StudyLabel = format!("a:study:{text}").parse().unwrap();
            assert_eq!((whole.study.as_str(), whole.label), ("a:study", label));
        }
    }

    #[test]
    fn other_texts_are_no_labels() {
        for text in [
            "",
            "mnli",
            "normalize",
            "normalize/",
            "normalize/a/b",
            "tokenizer/a",
            "pretrain/",
            "intermediate/mnli",
            "intermediate/mnli/1",
            "target/xnli",
            "target/xnli/mnli/seed-x",
            "target/xnli/mnli/seed-1/de",
            "target//a",
        ] {
            assert_eq!(text.parse::<Label>(), Err(NoLabel(text.to_owned())));
        }
    }

    #[test]
    fn rows_and_columns_are_those_of_the_grid() {
        let of = |text: &str| {
            let label: Label = text.parse().unwrap();
            (label.target().map(str::to_owned), label.row().map(str::to_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("score/xnli/mnli/seed-1"), (some("xnli"), some("mnli")));
        assert_eq!(of("baseline/xnli"), (some("xnli"), some("chance")));
        assert_eq!(of("intermediate/mnli/seed-1"), (None, some("mnli")));
        assert_eq!(of("normalize/mnli"), (None, None));
    }
}
