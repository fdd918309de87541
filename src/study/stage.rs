//! What each stage's key is made of, and how it is performed. The only place that joins the areas together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::graph::{Node, Phase, Work};
use crate::error::{IoContext, Result};
use crate::evaluate::predict::{PredictFile, PredictRequest, predict};
use crate::evaluate::{ScoreRequest, baseline, score};
use crate::model::OpenDevice;
use crate::normalize::{NormalizeRequest, normalize};
use crate::progress::Progress;
use crate::shard::{Writer, table_path, write_table};
use crate::source::{Origin, RawTask, hub::Hub, mini, resolve};
use crate::store::{Artifact, Identity, Input, Store, Transaction, digest_file};
use crate::task::{EncoderSource, Format, Language, Model, Registry, Split, Study, Task, TokenizerSource};
use crate::tokenize::{TokenizeRequest, Tokenizer, tokenize, train_unigram};
use crate::train::{Hyperparameters, TrainRequest, TrainTask, train};

/// Raised when a stage's code changes its output for the same parameters and inputs.
const VERSIONS: &[(&str, u32)] = &[
    ("generate", 1),
    ("normalize", 1),
    ("tokenizer", 1),
    ("tokenize", 1),
    ("train", 1),
    ("predict", 1),
    ("baseline", 1),
    ("score", 1),
];

/// Resamples of each bootstrap interval.
const RESAMPLES: usize = 1_000;
/// Seed of each bootstrap.
const BOOTSTRAP_SEED: u64 = 1;
