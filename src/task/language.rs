//! `data/languages.toml`: the languages of the two benchmarks.

use serde::{Deserialize, Serialize};

use super::TaskError;

/// One language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// ISO 639-1.
    pub code: String,
    /// ISO 639-3, in the form that Tatoeba's files use.
    pub iso3: String,
    /// English name.
    pub name: String,
    /// Language family.
    pub family: String,
    /// Main script.
    pub script: String,
    /// Gibibytes of CC-100 text in XLM-R's pretraining; absent where the language was not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cc100_gib: Option<f64>,
}

/// All known languages, in the file's order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Languages {
    language: Vec<Language>,
}

impl Languages {
    /// Parses `data/languages.toml`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TaskError> {
        toml::from_str(text).map_err(|source| TaskError::parse(origin, &source))
    }

    /// The language with an ISO 639-1 code.
    pub fn get(&self, code: &str) -> Option<&Language> {
        self.language.iter().find(|language| language.code == code)
    }

    /// Every language.
    pub fn iter(&self) -> impl Iterator<Item = &Language> {
        self.language.iter()
    }
}
