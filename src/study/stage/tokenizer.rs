//! A tokenizer: a Unigram one trained on text, or one from a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Inputs, Output, Planned, Resources, Run, Setup, Stage, StageName, Threads};
use crate::error::{IoContext, Result};
use crate::study::StudyError;
use crate::study::artifacts::Canonical;
use crate::task::TokenizerSource;
use crate::tokenize::{self, TokenizerStatistics, train_unigram};

/// The stage.
pub struct Tokenizer;

/// Where the tokenizer comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Request {
    /// It is trained.
    Trained {
        /// Number of entries, special tokens included.
        vocabulary: u32,
        /// Most lines of each language.
        lines: u64,
    },
    /// It is the file among the inputs.
    File {},
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It was trained.
    Trained(TokenizerStatistics),
    /// It was there.
    File {
        /// Number of entries, special tokens included.
        vocabulary: usize,
    },
}

impl Outcome {
    /// Number of entries, special tokens included.
    pub fn vocabulary(&self) -> usize {
        match self {
            Outcome::Trained(statistics) => statistics.vocabulary as usize,
            Outcome::File { vocabulary } => *vocabulary,
        }
    }
}

impl Stage for Tokenizer {
    const NAME: StageName = StageName::Tokenizer;
    const VERSION: u32 = 1;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = Outcome;

    fn needs(_request: &Request) -> Resources {
        Resources::cpu(Threads::Many)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, _run: &Run<'_>) -> Result<Outcome> {
        let path = out.dir.join("tokenizer.json");
        match request {
            Request::Trained { vocabulary, lines } => {
                let text = inputs.get::<Canonical>("text")?;
                let tables: Vec<PathBuf> = text.tables().into_iter().map(|(_, _, path)| path).collect();
                Ok(Outcome::Trained(train_unigram(&tables, vocabulary, lines, &path, out.stop)?))
            }
            Request::File {} => {
                let lacks = || StudyError::Job { label: out.label.to_string(), message: "it has no file".to_owned() };
                let (file, _) = inputs.file("file").ok_or_else(lacks)?;
                std::fs::copy(file, &path).at("copy", file)?;
                Ok(Outcome::File { vocabulary: tokenize::Tokenizer::load(&path)?.vocabulary_size() })
            }
        }
    }
}

impl Planned for Tokenizer {
    type Plan = ();

    fn request((): &(), setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let path = match &setup.model.tokenizer {
            TokenizerSource::Train { vocabulary, lines } => {
                return Ok((Request::Trained { vocabulary: *vocabulary, lines: *lines }, ()));
            }
            TokenizerSource::File(path) => path.clone(),
            TokenizerSource::Encoder => setup.encoder_dir()?.join("tokenizer.json"),
        };
        setup.add_file(inputs, "file".to_owned(), path)?;
        Ok((Request::File {}, ()))
    }
}
