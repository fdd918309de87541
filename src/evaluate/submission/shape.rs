//! Where the files of XTREME's folder layout are, and what they hold.

use std::path::{Path, PathBuf};

/// What a file of the layout holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A label a line.
    Labels,
    /// An object with a 0-based choice a line.
    Choices,
    /// A tag a line, a blank line between sentences.
    Tags,
    /// An object of question id to answer.
    Answers,
    /// The 0-based line of an index sentence a line.
    Numbers,
    /// `query TAB counterpart` a line, only where there is one.
    Pairs,
    /// An object of query id to the ids found, the best first.
    Ranking,
}

impl Shape {
    /// The place of a language's file.
    pub(crate) fn file(self, folder: &Path, task: &str, language: &str) -> PathBuf {
        let suffix = match self {
            Shape::Labels | Shape::Numbers | Shape::Tags | Shape::Pairs => "tsv",
            Shape::Choices => "jsonl",
            Shape::Answers | Shape::Ranking => "json",
        };
        folder.join(task).join(format!("test-{language}.{suffix}"))
    }

    /// The words for it, where a file holds something else.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Shape::Labels | Shape::Numbers => "this task has one label a line",
            Shape::Choices => "one object with a number `label`",
            Shape::Tags => "this task has one tag a line, and a blank line after each sentence",
            Shape::Answers => "one object of question id to answer",
            Shape::Pairs => "this task has two ids a line, with a tab between",
            Shape::Ranking => "one object of id to a list of ids, best first",
        }
    }
}
