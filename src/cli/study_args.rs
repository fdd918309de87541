use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use clap::Args;

use super::Context;
use crate::error::Result;
use crate::model::{DeviceChoice, OpenDevice, device};
use crate::source::hub::{Hub, HubOptions};
use crate::store::Store;
use crate::study::{Graph, Raw, RawOrigin, Setup, plan};
use crate::task::{Edition, EncoderSource, Model, Split, Study, TokenizerSource};

/// Which study, on which data, with which changes.
#[derive(Debug, Clone, Args)]
pub struct StudyArgs {
    /// The study's name.
    #[arg(value_name = "STUDY", default_value = "mini")]
    pub study: String,
    #[command(flatten)]
    pub changes: StudyChanges,
}

/// Changes to a study that need no new study file.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Study")]
pub struct StudyChanges {
    /// Reads original distributions below DIR instead of the study's own edition.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Uses this `tokenizer.json`.
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Uses the encoder in this Hugging Face model directory, and its tokenizer.
    #[arg(long, value_name = "DIR")]
    pub encoder: Option<PathBuf>,
    /// Writes this many times the default amount of mini data.
    #[arg(long, value_name = "FACTOR")]
    pub mini_size: Option<f64>,
    /// Reads at most N examples of each language's split.
    #[arg(long, value_name = "SPLIT=N", value_parser = parse_limit)]
    pub limit: Vec<(Split, u64)>,
    /// Evaluates in these languages only.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    pub languages: Vec<String>,
    /// Uses these seeds.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub seed: Vec<u64>,
    /// Where to train and predict.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Takes numbers of examples other than the published ones.
    #[arg(long)]
    pub allow_count_drift: bool,
    /// Where downloads are pinned.
    #[arg(long, value_name = "FILE", default_value = "pipeline/sources.lock")]
    pub lock: PathBuf,
    /// Downloads only what the lock file pins.
    #[arg(long)]
    pub locked: bool,
    /// Downloads nothing.
    #[arg(long, env = "HF_HUB_OFFLINE", value_parser = clap::builder::FalseyValueParser::new())]
    pub offline: bool,
}

fn parse_limit(text: &str) -> std::result::Result<(Split, u64), String> {
    let (split, number) = text.split_once('=').ok_or("must be SPLIT=N, as in train=1000")?;
    let split = match split {
        "train" => Split::Train,
        "validation" => Split::Validation,
        "test" => Split::Test,
        _ => return Err("the split must be train, validation or test".to_owned()),
    };
    let number: u64 = number.parse().map_err(|e| format!("{number}: {e}"))?;
    if number == 0 { Err("N must be at least 1".to_owned()) } else { Ok((split, number)) }
}

/// A study that is ready to be planned, inspected or run.
pub struct Resolved {
    pub study: Study,
    pub model: Model,
    pub store: Store,
    pub device: OpenDevice,
    pub graph: Graph,
    raw: RawChoice,
    check_counts: bool,
}

enum RawChoice {
    Mini,
    Directory(PathBuf),
    Hub(HubOptions),
}

impl StudyArgs {
    /// Applies the changes, opens store and device, and plans the graph.
    pub fn resolve(&self, context: &Context) -> Result<Resolved> {
        let changes = &self.changes;
        let mut study = context.registry.study(&self.study, "the command line")?.clone();
        let mut model = context.registry.model(&study.model, &format!("study {}", study.id))?.clone();
        if let Some(size) = changes.mini_size {
            study.mini.insert("size".to_owned(), toml::Value::Float(size));
        }
        if !changes.seed.is_empty() {
            study.seeds = changes.seed.clone();
        }
        if !changes.languages.is_empty() {
            for code in &changes.languages {
                context.registry.language(code, "--languages")?;
            }
            study.languages = Some(changes.languages.clone());
        }
        study.limits.extend(changes.limit.iter().copied().collect::<BTreeMap<_, _>>());
        if let Some(dir) = &changes.encoder {
            model.encoder = EncoderSource::Directory(dir.clone());
            model.tokenizer = TokenizerSource::Encoder;
            study.pretrain = None;
        }
        if let Some(file) = &changes.tokenizer {
            model.tokenizer = TokenizerSource::File(file.clone());
        }
        let store = context.store()?;
        let raw = match (&changes.data, study.edition) {
            (Some(dir), _) => RawChoice::Directory(dir.clone()),
            (None, Edition::Mini) => RawChoice::Mini,
            (None, Edition::Full) => RawChoice::Hub(HubOptions {
                lock: changes.lock.clone(),
                cache: store.raw_dir(),
                locked: changes.locked,
                offline: changes.offline,
            }),
        };
        let origin = if matches!(raw, RawChoice::Mini) { RawOrigin::Mini } else { RawOrigin::Files };
        let graph = plan(&context.registry, &study, &model, origin)?;
        let device = device::open(changes.device)?;
        let limited = !study.limits.is_empty();
        let check_counts = origin == RawOrigin::Files && !limited && !changes.allow_count_drift;
        Ok(Resolved { study, model, store, device, graph, raw, check_counts })
    }
}

impl Resolved {
    /// What the stages share.
    pub fn setup<'a>(&'a self, context: &'a Context) -> Result<Setup<'a>> {
        let raw = match &self.raw {
            RawChoice::Mini => Raw::Mini,
            RawChoice::Directory(dir) => Raw::Directory(dir.clone()),
            RawChoice::Hub(options) => Raw::Hub(Box::new(Hub::open(options.clone())?)),
        };
        Ok(Setup {
            registry: &context.registry,
            store: &self.store,
            study: &self.study,
            model: &self.model,
            raw,
            device: &self.device,
            check_counts: self.check_counts,
            gpu: Mutex::new(()),
        })
    }
}
