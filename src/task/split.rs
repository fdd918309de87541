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
