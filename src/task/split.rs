//! The parts of a dataset, and how large they are said to be.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

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

/// What a plan reckons with until the data are here. Nothing is held against it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sketch {
    /// Mean number of words, as blanks divide them, that the encoder reads of an English example: those of all its texts; of
    /// several choices, of each with the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<f64>,
    /// Mean number of examples of a language, of splits for which nothing is published.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub examples: BTreeMap<Split, u64>,
}

impl Sketch {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
