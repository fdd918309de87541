use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::Context;
use crate::error::Result;
use crate::model::{ChosenDevice, DeviceChoice};
use crate::source::hub::{Hub, HubOptions};
use crate::store::{Digests, Store};
use crate::study::{Graph, Raw, RawOrigin, Run, Setup, plan, plan_tasks};
use crate::task::{Edition, EncoderSource, Model, Pooling, Registry, Split, Study, Task, TokenizerSource};

/// Where downloads are pinned, unless another place is named.
const LOCK: &str = "pipeline/sources.lock";

/// Which study, on which data, with which changes.
#[derive(Debug, Clone, Args)]
pub struct StudyArgs {
    /// The study's name.
    #[arg(value_name = "STUDY", default_value = "mini")]
    pub study: String,
    #[command(flatten)]
    pub changes: StudyChanges,
}

/// Tasks of a study, or tasks by themselves.
#[derive(Debug, Clone, Args)]
pub struct TaskChoice {
    /// The study; without one, tasks by themselves, every split and language of them.
    #[arg(value_name = "STUDY")]
    pub study: Option<String>,
    /// Only these tasks.
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    pub task: Vec<String>,
    /// Only tasks of this suite, in its languages (intermediate, xtreme, xtreme-r, …).
    #[arg(long, value_name = "SUITE")]
    pub suite: Option<String>,
    /// Without a study: the edition [default: mini; full with --data].
    #[arg(long, value_parser = ["mini", "full"], conflicts_with = "study")]
    pub edition: Option<String>,
    /// Without a study: the model whose tokenizer and lengths to use [default: mini, or xlm-roberta-base].
    #[arg(long, value_name = "MODEL", conflicts_with = "study")]
    pub model: Option<String>,
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
    /// Embeds with these hidden states (0 = embeddings), each searched on its own; tables show the first.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub layers: Vec<usize>,
    /// Takes the mean over a sentence's tokens for its vector, or the first token.
    #[arg(long, value_enum)]
    pub pooling: Option<Pooling>,
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
    #[arg(long, value_name = "FILE", default_value = LOCK)]
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
    pub device: ChosenDevice,
    pub graph: Graph,
    raw: RawChoice,
    /// Whether a number of examples other than the published one is an error.
    pub check_counts: bool,
    /// Whether files outside the store are hashed again, though they look as they did.
    pub verify: bool,
}

#[derive(Clone)]
enum RawChoice {
    Mini,
    Directory(PathBuf),
    Hub(HubOptions),
}

impl StudyArgs {
    /// Applies the changes and plans the graph. Opens neither store nor device.
    pub fn resolve(&self, context: &Context) -> Result<Resolved> {
        let study = context.registry.study(&self.study, "the command line")?.clone();
        self.changes.resolve(context, study, plan)
    }
}

impl TaskChoice {
    /// As [`StudyArgs::resolve`], where no study is named for tasks by themselves.
    pub fn resolve(&self, context: &Context) -> Result<Resolved> {
        if let Some(study) = &self.study {
            return StudyArgs { study: study.clone(), changes: self.changes.clone() }.resolve(context);
        }
        let edition = match (self.edition.as_deref(), &self.changes.data) {
            (Some("mini"), _) | (None, None) => Edition::Mini,
            _ => Edition::Full,
        };
        let default_model = if edition == Edition::Mini { "mini" } else { "xlm-roberta-base" };
        let model = self.model.as_deref().unwrap_or(default_model);
        let trains = context.registry.model(model, "the command line")?.tokenizer.is_trained();
        let study = Study::of_tasks(edition, model, trains.then_some("text"));
        let tasks = self.tasks(context)?;
        self.changes.resolve(context, study, |registry, study, model, origin| {
            plan_tasks(registry, study, model, origin, &tasks, self.suite.as_deref())
        })
    }

    /// The tasks that the command line names; all where it names none.
    pub fn tasks<'a>(&self, context: &'a Context) -> Result<Vec<&'a Task>> {
        let tasks: Vec<&Task> = if self.task.is_empty() {
            context.registry.tasks().collect()
        } else {
            self.task.iter().map(|id| context.registry.task(id, "the command line")).collect::<Result<_, _>>()?
        };
        let in_suite = |task: &&Task| self.suite.as_ref().is_none_or(|suite| is_of(context, task, suite));
        Ok(tasks.into_iter().filter(in_suite).collect())
    }

    /// Whether a task of a study's graph is wanted.
    pub fn picks(&self, context: &Context, id: &str) -> bool {
        let in_suite = |suite: &String| context.registry.task(id, "").is_ok_and(|task| is_of(context, task, suite));
        (self.task.is_empty() || self.task.iter().any(|task| task == id)) && self.suite.iter().all(in_suite)
    }
}

/// Whether `task` is of the suite called `suite`.
fn is_of(context: &Context, task: &Task, suite: &str) -> bool {
    context.registry.suites_of(task).any(|own| own == suite)
}

impl StudyChanges {
    /// No change but where raw files come from.
    pub fn of_data(data: Option<PathBuf>) -> Self {
        Self {
            data,
            tokenizer: None,
            encoder: None,
            layers: Vec::new(),
            pooling: None,
            mini_size: None,
            limit: Vec::new(),
            languages: Vec::new(),
            seed: Vec::new(),
            device: DeviceChoice::Flex,
            allow_count_drift: false,
            lock: PathBuf::from(LOCK),
            locked: false,
            offline: true,
        }
    }

    fn resolve(
        &self,
        context: &Context,
        mut study: Study,
        plan: impl FnOnce(&Registry, &Study, &Model, RawOrigin) -> Result<Graph>,
    ) -> Result<Resolved> {
        let mut model = context.registry.model(&study.model, &format!("study {}", study.id))?.clone();
        if let Some(size) = self.mini_size {
            study.mini.insert("size".to_owned(), toml::Value::Float(size));
        }
        if !self.seed.is_empty() {
            study.seeds = self.seed.clone();
        }
        if !self.languages.is_empty() {
            for code in &self.languages {
                context.registry.language(code, "--languages")?;
            }
            study.languages = Some(self.languages.clone());
        }
        study.limits.extend(self.limit.iter().copied().collect::<BTreeMap<_, _>>());
        if let Some(dir) = &self.encoder {
            model.encoder = EncoderSource::Directory(dir.clone());
            model.tokenizer = TokenizerSource::Encoder;
            model.sizes = None;
            study.pretrain = None;
        }
        if let Some(file) = &self.tokenizer {
            model.tokenizer = TokenizerSource::File(file.clone());
        }
        if !self.layers.is_empty() {
            let mut seen = BTreeSet::new();
            model.retrieval.layers = self.layers.iter().copied().filter(|layer| seen.insert(*layer)).collect();
        }
        if let Some(pooling) = self.pooling {
            model.retrieval.pooling = pooling;
        }
        let store = context.store();
        let (raw, origin) = match (&self.data, study.edition) {
            (Some(dir), _) => (RawChoice::Directory(dir.clone()), RawOrigin::Directory),
            (None, Edition::Mini) => (RawChoice::Mini, RawOrigin::Mini),
            (None, Edition::Full) => {
                let options = HubOptions {
                    lock: self.lock.clone(),
                    cache: store.raw_dir(),
                    leases: store.leases().clone(),
                    locked: self.locked,
                    offline: self.offline,
                };
                (RawChoice::Hub(options), RawOrigin::Hub)
            }
        };
        let graph = plan(&context.registry, &study, &model, origin)?;
        let device = ChosenDevice::new(self.device);
        let limited = !study.limits.is_empty();
        let check_counts = origin != RawOrigin::Mini && !limited && !self.allow_count_drift;
        Ok(Resolved { study, model, store, device, graph, raw, check_counts, verify: false })
    }
}

impl Resolved {
    /// What the stages share.
    pub fn setup<'a>(&'a self, context: &'a Context) -> Result<Setup<'a>> {
        self.setup_with(context, self.raw.clone())
    }

    /// As [`Self::setup`], for looking only: nothing is downloaded.
    pub fn setup_to_inspect<'a>(&'a self, context: &'a Context) -> Result<Setup<'a>> {
        let raw = match self.raw.clone() {
            RawChoice::Hub(options) => RawChoice::Hub(HubOptions { offline: true, ..options }),
            other => other,
        };
        self.setup_with(context, raw)
    }

    fn setup_with<'a>(&'a self, context: &'a Context, raw: RawChoice) -> Result<Setup<'a>> {
        let raw = match raw {
            RawChoice::Mini => Raw::Mini,
            RawChoice::Directory(dir) => Raw::Directory(dir),
            RawChoice::Hub(options) => Raw::Hub(Box::new(Hub::open(options)?)),
        };
        let digests = Digests::of(&self.store);
        Ok(Setup {
            registry: &context.registry,
            store: &self.store,
            study: &self.study,
            model: &self.model,
            raw,
            digests: if self.verify { digests.verifying() } else { digests },
            check_counts: self.check_counts,
            run: Run::new(&self.store, &self.device),
        })
    }
}
