//! An encoder trained on some tasks: pretraining, a row's intermediate training, a cell's fine-tuning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DeviceKind, Inputs, Output, Planned, Resources, Run, Setup, Stage, StageName};
use crate::error::Result;
use crate::study::artifacts::{TokenizerFile, Tokens};
use crate::task::{EncoderSource, Format, FromScratch, SourceLanguage, Split, Task};
use crate::train::{Hyperparameters, TrainOutcome, TrainRequest, TrainTask, Upkeep, train};

/// The stage.
pub struct Train;

/// A phase of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Masked-LM pretraining from scratch.
    Pretrain,
    /// Intermediate-task training.
    Intermediate,
    /// Fine-tuning on the target task, in the source language.
    Target,
}

impl Phase {
    /// Every phase, in the order in which a model goes through them.
    pub const ALL: [Phase; 3] = [Phase::Pretrain, Phase::Intermediate, Phase::Target];

    /// The name used in labels and tables.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pretrain => "pretrain",
            Phase::Intermediate => "intermediate",
            Phase::Target => "target",
        }
    }
}

/// What to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which training it is.
    pub phase: Phase,
    /// The tasks that are mixed.
    pub tasks: Vec<String>,
    /// The shared head of each task that shares one.
    pub heads: BTreeMap<String, String>,
    /// How.
    pub hyperparameters: Box<Hyperparameters>,
    /// Decides everything random.
    pub seed: u64,
}

/// What is learnt, how, and from which parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which training it is.
    pub phase: Phase,
    /// The tasks that are mixed.
    pub tasks: Vec<TrainedTask>,
    /// How.
    pub hyperparameters: Hyperparameters,
    /// Decides everything random.
    pub seed: u64,
    /// Where its parameters come from.
    pub encoder: Parameters,
    /// Where it runs.
    pub device: DeviceKind,
}

/// One of the tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedTask {
    /// The task.
    pub id: String,
    /// Its format, which decides the head.
    pub format: Format,
    /// Its labels, in head order.
    pub labels: Vec<String>,
    /// The head that it shares with others.
    pub head: Option<String>,
    /// The languages whose tables are read; none: those that have a training table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
}

/// Where a training's parameters come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameters {
    /// They are new ones, of these sizes.
    FromScratch(FromScratch),
    /// From the files `encoder:…` among the inputs.
    Outside(Outside),
    /// From the input `parent`.
    Parent,
}

/// How [`Parameters::Outside`] is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outside {
    /// `outside`.
    Outside,
}

/// The name of the input that is the tokenised tables of `task`.
pub fn tokens_input(task: &str) -> String {
    format!("tokens:{task}")
}

impl Stage for Train {
    const NAME: StageName = StageName::Train;
    const VERSION: u32 = 2;
    type Request = Request;
    type Unkeyed = ();
    type Outcome = TrainOutcome;

    fn needs(request: &Request) -> Resources {
        Resources::tensors(request.device)
    }

    fn perform(request: Request, (): (), inputs: &Inputs, out: &Output<'_>, run: &Run<'_>) -> Result<TrainOutcome> {
        let device = run.device(request.device)?;
        let (from_scratch, parent) = match request.encoder {
            Parameters::FromScratch(sizes) => (Some(sizes), None),
            Parameters::Outside(_) | Parameters::Parent => (None, Some(inputs.model_dir("parent")?)),
        };
        let of = |task: TrainedTask| -> Result<TrainTask> {
            let tokens = inputs.get::<Tokens>(&tokens_input(&task.id))?;
            let languages = task.languages.unwrap_or_else(|| training_tables(tokens));
            let of = |split: Split| -> Vec<PathBuf> {
                let chosen = |(language, path)| languages.contains(&language).then_some(path);
                tokens.of_split(split).into_iter().filter_map(chosen).collect()
            };
            let (train, validation) = (of(Split::Train), of(Split::Validation));
            Ok(TrainTask { id: task.id, format: task.format, head: task.head, labels: task.labels, train, validation })
        };
        let folder = run.upkeep.tensorboard.as_ref();
        let wanted = TrainRequest {
            parent,
            from_scratch,
            tokenizer: inputs.get::<TokenizerFile>("tokenizer")?.path(),
            tasks: request.tasks.into_iter().map(of).collect::<Result<_>>()?,
            hyperparameters: request.hyperparameters,
            seed: request.seed,
            device,
            upkeep: Upkeep {
                tensorboard: folder.map(|dir| dir.join(&out.label.study).join(out.label.label.to_string())),
                ..run.upkeep.clone()
            },
        };
        train(&wanted, out.dir, out.scratch, out.progress, out.stop)
    }
}

impl Planned for Train {
    type Plan = Plan;

    fn request(plan: &Plan, setup: &Setup<'_>, inputs: &mut Inputs) -> Result<(Request, ())> {
        let trained = |name: &String| -> Result<TrainedTask> {
            let task = setup.task(name)?;
            let tokens = inputs.get::<Tokens>(&tokens_input(name))?;
            Ok(TrainedTask {
                id: task.id.clone(),
                format: task.format,
                labels: tokens.labels(task)?,
                head: plan.heads.get(name).cloned(),
                languages: other_languages(task, &setup.study.source, tokens),
            })
        };
        let tasks = plan.tasks.iter().map(trained).collect::<Result<_>>()?;
        let encoder = match (&setup.model.encoder, inputs.artifact("parent").is_some()) {
            (_, true) => Parameters::Parent,
            (EncoderSource::FromScratch(sizes), false) => Parameters::FromScratch(sizes.clone()),
            (_, false) => {
                setup.add_encoder(inputs)?;
                Parameters::Outside(Outside::Outside)
            }
        };
        let (hyperparameters, device) = ((*plan.hyperparameters).clone(), setup.device());
        Ok((Request { phase: plan.phase, tasks, hyperparameters, seed: plan.seed, encoder, device }, ()))
    }
}

/// The languages that have a training table.
fn training_tables(tokens: Tokens<'_>) -> Vec<String> {
    tokens.of_split(Split::Train).into_iter().map(|(language, _)| language).collect()
}

/// The languages in which `task` is trained on `tokens`, where they are others than those of its training tables.
fn other_languages(task: &Task, source: &SourceLanguage, tokens: Tokens<'_>) -> Option<Vec<String>> {
    let wanted = task.training_languages(source);
    let read: BTreeSet<String> = tokens
        .of_splits(&[Split::Train, Split::Validation])
        .into_iter()
        .map(|(_, language, _)| language)
        .filter(|language| wanted.contains(language))
        .collect();
    let trained: BTreeSet<String> = training_tables(tokens).into_iter().collect();
    (read != trained).then(|| read.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Artifact;
    use crate::study::artifacts::Kind;

    /// Tokenised tables of these splits and languages.
    fn tokens(tables: &[&str]) -> Artifact {
        let file =
            |path: &&str| serde_json::json!({"path": format!("{path}/part-00000.parquet"), "bytes": 0, "blake3": ""});
        let manifest = serde_json::json!({
            "key": "k", "stage": "tokenize", "stage_version": 2, "label": "s:tokenize/toy", "parameters": {}, "inputs": {},
            "digest": "d", "files": tables.iter().map(file).collect::<Vec<_>>(), "statistics": {}, "tool_version": "",
            "seconds": 0.0,
        });
        Artifact { dir: PathBuf::new(), manifest: serde_json::from_value(manifest).unwrap() }
    }

    fn task(role: &str, languages: &str) -> Task {
        let text = format!(
            "id = \"toy\"\nformat = \"classification\"\nrole = \"{role}\"\nlanguages = {languages}\nlabels = [\"a\"]\n\
             license = \"CC0\"\n[source.directory]\nlayout = \"toy\"\nreader = \"tsv\"\nfiles = {{ train = \"t\" }}\n\
             [normalize]\nsql = \"SELECT 1\"\n"
        );
        Task::parse(&text, "toy.toml").unwrap()
    }

    #[test]
    fn languages_that_decide_what_is_read_are_in_the_request() {
        let made = tokens(&[
            "split=train/language=en",
            "split=validation/language=de",
            "split=validation/language=en",
            "split=test/language=fi",
        ]);
        let english = SourceLanguage::default();
        let of = |role: &str, languages: &str| other_languages(&task(role, languages), &english, Tokens::new(&made));
        // The same tables: a target is chosen on English alone, a task of two languages on both.
        assert_eq!(of("target", "[\"en\", \"de\"]"), None);
        assert_eq!(of("intermediate", "[\"en\", \"de\"]"), Some(vec!["de".to_owned(), "en".to_owned()]));
        assert_eq!(of("intermediate", "[\"en\"]"), None);
        let german = tokens(&["split=train/language=de", "split=train/language=en"]);
        let of = |source: &SourceLanguage| other_languages(&task("target", "[\"de\"]"), source, Tokens::new(&german));
        assert_eq!(of(&english), Some(vec!["en".to_owned()]));
        assert_eq!(of(&SourceLanguage::from("de")), Some(vec!["de".to_owned()]));
    }

    #[test]
    fn a_request_says_no_more_than_it_must() {
        let task =
            TrainedTask { id: "toy".to_owned(), format: Format::Text, labels: Vec::new(), head: None, languages: None };
        let written = serde_json::to_value(&task).unwrap();
        assert_eq!(written, serde_json::json!({"id": "toy", "format": "text", "labels": [], "head": null}));
        let parameters = |text: &str| serde_json::from_str::<Parameters>(text).unwrap();
        assert_eq!(parameters("null"), Parameters::Parent);
        assert_eq!(parameters("\"outside\""), Parameters::Outside(Outside::Outside));
        assert!(serde_json::from_str::<Parameters>("\"inside\"").is_err());
    }
}
