//! A study that is ready to be planned and run: from its nodes to jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{DeviceKind, Inputs, Job, Planned, Run, Source, Work};
use crate::error::Result;
use crate::model::directory_files;
use crate::normalize::check_counts;
use crate::source::hub::Hub;
use crate::source::mini;
use crate::store::{Artifact, Digests, Store};
use crate::study::artifacts::{Canonical, Kind};
use crate::study::graph::Node;
use crate::study::{StudyError, StudyLabel};
use crate::task::{
    DataId, EncoderSource, Format, Model, Pooling, Registry, Role, Split, Study, Task, TaskError, Traits,
};

/// Where raw files come from when they are not generated.
pub enum Raw {
    /// The mini edition.
    Mini,
    /// Original distributions below a directory.
    Directory(PathBuf),
    /// The hub.
    Hub(Box<Hub>),
}

/// Everything that the stages of one study share.
pub struct Setup<'a> {
    /// Tasks and languages.
    pub registry: &'a Registry,
    /// Artifacts.
    pub store: &'a Store,
    /// The study, with the command line's changes applied.
    pub study: &'a Study,
    /// Its model, likewise.
    pub model: &'a Model,
    /// Raw files.
    pub raw: Raw,
    /// Whether a number of examples other than the published one is an error.
    pub check_counts: bool,
    /// Digests of files outside the store.
    pub digests: Digests,
    /// What jobs are performed with.
    pub run: Run<'a>,
}

impl Setup<'_> {
    /// The job of `node`, whose inputs are `inputs` by name.
    pub fn job(&self, node: &Node, inputs: BTreeMap<String, Artifact>) -> Result<Job> {
        let label = StudyLabel { study: self.study.id.clone(), label: node.label.clone() };
        node.work.job(self, Inputs::new(label, inputs))
    }

    pub(super) fn job_of<S: Planned>(&self, plan: &S::Plan, mut inputs: Inputs) -> Result<Job> {
        let (request, unkeyed) = S::request(plan, self, &mut inputs)?;
        let (label, sources) = inputs.into_sources();
        Job::new::<S>(label, &request, &unkeyed, sources)
    }

    /// Whether `artifact`, which `node` asked for, may be used: made or found, canonical tables must have training data in the
    /// source language where the study trains on them, and as many rows as were published where that is asked for.
    ///
    /// # Errors
    /// [`StudyError::NoTraining`]; [`crate::normalize::NormalizeError::Count`] for a table that has more or fewer rows.
    pub fn accept(&self, node: &Node, artifact: &Artifact) -> Result<()> {
        let (task, limits) = match &node.work {
            Work::Normalize(plan) => (self.task(&plan.task)?, self.study.limits_of(&plan.task)),
            Work::View(plan) => (self.task(&plan.task)?, BTreeMap::new()),
            _ => return Ok(()),
        };
        self.check_training(task, Canonical::of(artifact)?)?;
        if !self.check_counts {
            return Ok(());
        }
        let outcome = Canonical::of(artifact)?.outcome()?;
        let whole = outcome.tables.iter().filter(|table| !limits.contains_key(&table.split));
        Ok(check_counts(task, whole)?)
    }

    /// That `task` has training data in the languages that the study trains it in, if it does: here, before anything is trained.
    fn check_training(&self, task: &Task, tables: Canonical<'_>) -> Result<()> {
        let in_rows = self.study.intermediate.values().flatten().any(|name| *name == task.id);
        let trains = |target: &String| Ok(self.task(target)?.training_task() == Some(&task.id));
        let for_target = || self.study.targets.iter().map(trains).collect::<Result<Vec<bool>>>();
        if task.role == Role::Text || !(in_rows || for_target()?.contains(&true)) {
            return Ok(());
        }
        let wanted = task.training_languages(&self.study.source);
        let has: Vec<String> = tables.of_split(Split::Train).into_iter().map(|(language, _)| language).collect();
        if has.iter().any(|language| wanted.contains(language)) {
            return Ok(());
        }
        let (study, task) = (self.study.id.clone(), task.id.clone());
        Err(StudyError::NoTraining { study, task, wanted: wanted.join(" "), has: has.join(" ") }.into())
    }

    pub(super) fn task(&self, name: &str) -> Result<&Task> {
        Ok(self.registry.task(name, &format!("study {}", self.study.id))?)
    }

    /// Where trainings and predictions run.
    pub(super) fn device(&self) -> DeviceKind {
        self.run.device_kind()
    }

    /// The languages that `task` has in the edition that the study reads, whether the study evaluates them all or not.
    pub(super) fn languages(&self, task: &Task, gold: Canonical<'_>) -> Result<BTreeMap<String, Traits>> {
        task_languages(self.registry, task, gold, matches!(self.raw, Raw::Mini))
    }

    /// The hidden state and the pooling whose numbers stand for `task` in tables, if it is a retrieval task.
    pub fn headline_setting(&self, task: &Task) -> Option<(i32, Pooling)> {
        let retrieval = (task.format == Format::SentenceRetrieval).then_some(&self.model.retrieval)?;
        Some((i32::try_from(retrieval.layers[0]).unwrap_or(i32::MAX), retrieval.pooling))
    }

    /// Adds the file at `path`, which lies there as it is.
    pub(super) fn add_file(&self, inputs: &mut Inputs, name: String, path: PathBuf) -> Result<()> {
        let digest = self.digests.file(&path)?;
        inputs.add(name, Source::file(path, digest));
        Ok(())
    }

    /// Adds the files of the encoder that comes from outside.
    pub(super) fn add_encoder(&self, inputs: &mut Inputs) -> Result<()> {
        for path in directory_files(&self.encoder_dir()?)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.add_file(inputs, format!("encoder:{name}"), path)?;
        }
        Ok(())
    }

    /// The model directory from outside.
    pub(super) fn encoder_dir(&self) -> Result<PathBuf> {
        match (&self.model.encoder, &self.raw) {
            (EncoderSource::Directory(dir), _) if dir.is_dir() => Ok(dir.clone()),
            (EncoderSource::Hub { repo, revision }, Raw::Hub(hub)) => Ok(hub.model_dir(repo, revision)?),
            _ => Err(StudyError::NoEncoder { model: self.model.id.clone() }.into()),
        }
    }
}

/// The languages that `task` is evaluated in, in the mini edition or in the full one: its own (of an index that serves the
/// queries of several languages, those in which a suite has queries), and those that a suite added and `gold` has.
pub(in crate::study) fn task_languages(
    registry: &Registry,
    task: &Task,
    gold: Canonical<'_>,
    mini: bool,
) -> Result<BTreeMap<String, Traits>> {
    let mini = mini.then(mini::languages);
    let queried: Vec<&String> =
        registry.suites().flat_map(|suite| suite.languages(DataId::from(task).task())).collect();
    let has_queries = |code: &&String| !task.shares_index() || queried.is_empty() || queried.contains(code);
    let own = task.languages.iter().filter(|code| mini.as_ref().is_none_or(|mini| mini.contains(code)));
    let there: BTreeSet<String> = gold.of_split(task.evaluate).into_iter().map(|(language, _)| language).collect();
    let added = registry.added_languages(task).into_iter().filter(|code| there.contains(*code));
    let codes = own.filter(has_queries).map(String::as_str).chain(added);
    let traits = |code: &str| Ok((code.to_owned(), registry.language(code, &task.id)?.traits()));
    Ok(codes.map(traits).collect::<Result<_, TaskError>>()?)
}
