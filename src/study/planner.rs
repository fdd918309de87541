//! From a study file to its graph of stages. Nothing is read but the registry.

use std::collections::{BTreeMap, BTreeSet};

use super::StudyError;
use super::graph::{Graph, GridCell, Node};
use super::label::Label;
use super::stage::analyze::ScoredCell;
use super::stage::overlap::canonical_input;
use super::stage::train::{Phase, tokens_input};
use super::stage::view::part_input;
use super::stage::{OfTask, Work, analyze, baseline, generate, normalize, overlap, train, view};
use crate::error::Result;
use crate::normalize::AnyTransform;
use crate::source::mini::{self, MiniOptions};
use crate::task::{
    CHANCE, Coordinates, EncoderSource, Format, Model, Place, Registry, Role, Split, Study, Task, TokenizerSource,
};
use crate::train::Hyperparameters;
use crate::train::data::head_of;

/// Where a study's raw files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawOrigin {
    /// Generated.
    Mini,
    /// Files in a directory.
    Directory,
    /// Files from the hub.
    Hub,
}

pub(super) struct Planner<'a> {
    registry: &'a Registry,
    pub(super) study: &'a Study,
    model: &'a Model,
    pub(super) origin: RawOrigin,
    nodes: Vec<Node>,
    index: BTreeMap<Label, usize>,
    languages: BTreeMap<String, BTreeMap<Split, BTreeSet<String>>>,
}

/// Plans `study` with `model`.
pub fn plan(registry: &Registry, study: &Study, model: &Model, origin: RawOrigin) -> Result<Graph> {
    let mut planner = Planner::new(registry, study, model, origin);
    planner.collect_languages()?;
    let cells = planner.grid()?;
    planner.analyze(&cells);
    Ok(planner.finish(cells))
}

impl<'a> Planner<'a> {
    pub(super) fn new(registry: &'a Registry, study: &'a Study, model: &'a Model, origin: RawOrigin) -> Self {
        let (nodes, index, languages) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { registry, study, model, origin, nodes, index, languages }
    }

    /// The graph, with a profile of each task that is tokenised and the overlap of all that are normalised.
    pub(super) fn finish(mut self, cells: Vec<GridCell>) -> Graph {
        let labels: Vec<Label> = self.nodes.iter().map(|node| node.label.clone()).collect();
        for label in &labels {
            let Label::Tokenize(task) = label else { continue };
            let inputs = [("canonical", Label::Normalize(task.clone())), ("tokens", label.clone())];
            let needs = inputs.iter().map(|(name, label)| ((*name).to_owned(), self.index[label])).collect();
            let work = Work::Profile(OfTask { task: task.clone() });
            self.add(Label::Profile(task.clone()), work, needs);
        }
        let normalized = labels.iter().enumerate().filter_map(|(node, label)| match label {
            Label::Normalize(task) => Some((task.clone(), node)),
            _ => None,
        });
        let (tasks, needs) = normalized.map(|(task, node)| (task.clone(), (canonical_input(&task), node))).unzip();
        self.add(Label::Overlap, Work::Overlap(overlap::Plan { tasks }), needs);
        Graph { nodes: self.nodes, cells }
    }

    /// The splits that `task` has files of, where raw files come from.
    pub(super) fn splits(&self, task: &Task) -> Vec<Split> {
        match self.origin {
            RawOrigin::Hub => task.source.hub.iter().flat_map(|source| source.files.keys().copied()).collect(),
            _ => task.source.directory.iter().flat_map(|source| source.files.keys().copied()).collect(),
        }
    }

    /// Adds to the languages of which a split of a task is read.
    pub(super) fn ask(&mut self, task: &str, split: Split, languages: Vec<String>) {
        self.languages.entry(task.to_owned()).or_default().entry(split).or_default().extend(languages);
    }

    pub(super) fn task(&self, name: &str) -> Result<&'_ Task> {
        Ok(self.registry.task(name, &format!("study {}", self.study.id))?)
    }

    /// The languages that the study evaluates `task` in: its own, narrowed by the study and by what the edition has.
    fn evaluation_languages(&self, task: &Task) -> Result<Vec<String>> {
        let mini = mini::languages();
        let wanted = |code: &String| {
            self.study.languages.as_ref().is_none_or(|chosen| chosen.contains(code))
                && (self.origin != RawOrigin::Mini || mini.contains(code))
        };
        // Tatoeba has no English file: English is the query side of every other language's.
        let found: Vec<String> = task.languages.iter().filter(|code| wanted(code)).cloned().collect();
        if found.is_empty() {
            return Err(StudyError::NoLanguages { study: self.study.id.clone(), task: task.id.clone() }.into());
        }
        Ok(found)
    }

    /// The languages of `task`'s training and development data.
    ///
    /// # Errors
    /// A task whose only language is not that of the study. One of several languages is trained in all that its file names: those
    /// of a translated training set are no study's source.
    fn training_languages(&self, task: &Task) -> Result<Vec<String>> {
        let source = &self.study.source;
        let languages = task.training_languages(source);
        match languages.as_slice() {
            [has] if has != source.code() => Err(StudyError::Source {
                study: self.study.id.clone(),
                language: source.code().to_owned(),
                task: task.id.clone(),
                has: has.clone(),
            }
            .into()),
            _ => Ok(languages),
        }
    }

    /// Which languages of which splits the study reads, per task: training and development in the source language, evaluation in
    /// every language.
    pub(super) fn collect_languages(&mut self) -> Result<()> {
        let mut needs: Vec<(String, Split, Vec<String>)> = Vec::new();
        let mut texts = Vec::new();
        let mut training = |task: &Task| -> Result<()> {
            let languages = self.training_languages(task)?;
            for split in [Split::Train, Split::Validation] {
                needs.push((task.id.clone(), split, languages.clone()));
            }
            Ok(())
        };
        for name in self.study.intermediate.values().flatten() {
            match self.task(name)? {
                // Masked-LM training beside the task, in every language: of the task, and so of the study, the source alone.
                task if task.role == Role::Text => texts.push(task),
                task => training(task)?,
            }
        }
        for name in &self.study.targets {
            if let Some(train) = self.task(name)?.training_task() {
                training(self.task(train)?)?;
            }
        }
        for name in &self.study.targets {
            let task = self.task(name)?;
            if task.role == Role::Text {
                return Err(StudyError::Role { study: self.study.id.clone(), task: name.clone() }.into());
            }
            if task.metric.is_none() {
                return Err(StudyError::NoMetric { study: self.study.id.clone(), task: name.clone() }.into());
            }
            for split in task.predicted_splits() {
                needs.push((name.clone(), split, self.evaluation_languages(task)?));
            }
        }
        if let Some(pretrain) = &self.study.pretrain {
            let task = self.task(&pretrain.task)?;
            if task.format != Format::Text {
                return Err(StudyError::Role { study: self.study.id.clone(), task: task.id.clone() }.into());
            }
            texts.push(task);
        }
        for task in texts {
            needs.push((task.id.clone(), Split::Train, self.evaluation_languages(task)?));
        }
        for (name, split, languages) in needs {
            self.need(&name, split, &languages)?;
        }
        for name in self.study.task_limits.keys() {
            let task = self.task(name)?;
            if task.is_view() {
                let (study, made_of) = (self.study.id.clone(), task.made_of().join(", "));
                return Err(StudyError::LimitedView { study, view: name.clone(), made_of }.into());
            }
        }
        Ok(())
    }

    /// Asks for a split of a task, or of what it is made of, in `languages`; whether there is any.
    fn need(&mut self, name: &str, split: Split, languages: &[String]) -> Result<bool> {
        let task = self.task(name)?;
        let made_of = task.made_of();
        let mut there = if made_of.is_empty() {
            // A task without development data is trained without early stopping.
            split != Split::Validation || self.splits(task).contains(&split)
        } else {
            false
        };
        for part in &made_of {
            there |= self.need(part, split, languages)?;
        }
        if there {
            self.ask(name, split, languages.to_vec());
        }
        Ok(there)
    }

    fn add(&mut self, label: Label, work: Work, needs: Vec<(String, usize)>) -> usize {
        if let Some(&index) = self.index.get(&label) {
            return index;
        }
        let index = self.nodes.len();
        self.index.insert(label.clone(), index);
        self.nodes.push(Node { label, work, needs: needs.into_iter().collect() });
        index
    }

    pub(super) fn normalize(&mut self, name: &str) -> Result<usize> {
        if let Some(&index) = self.index.get(&Label::Normalize(name.to_owned())) {
            return Ok(index);
        }
        let task = self.task(name)?.clone();
        let mut needs = Vec::new();
        let made_of = task.made_of();
        if !made_of.is_empty() {
            AnyTransform::of(&task, &made_of.iter().map(|part| self.task(part)).collect::<Result<Vec<_>>>()?)?;
            for part in &made_of {
                needs.push((part_input(part), self.normalize(part)?));
            }
            let splits = self.languages.get(name).into_iter().flatten().map(|(split, _)| *split).collect();
            let work = Work::View(view::Plan { task: task.id, splits });
            return Ok(self.add(Label::Normalize(name.to_owned()), work, needs));
        }
        if self.origin == RawOrigin::Mini {
            let layout = task.source.directory.as_ref().map(|source| source.layout.clone());
            let layout = layout
                .filter(|layout| mini::LAYOUTS.contains(&layout.as_str()))
                .ok_or_else(|| StudyError::NoMini { study: self.study.id.clone(), task: task.id.clone() })?;
            let options = self.mini_options()?;
            let label = Label::Generate(layout.clone());
            let work = Work::Generate(generate::Request { layout, options });
            needs.push(("source".to_owned(), self.add(label, work, vec![])));
        }
        let languages = self.languages.get(name).into_iter().flatten();
        let languages = languages.map(|(split, codes)| (*split, codes.iter().cloned().collect())).collect();
        let work = Work::Normalize(normalize::Plan { task: task.id, languages });
        Ok(self.add(Label::Normalize(name.to_owned()), work, needs))
    }

    fn mini_options(&self) -> Result<MiniOptions> {
        let table = toml::Value::Table(self.study.mini.clone());
        table.try_into().map_err(|e: toml::de::Error| self.invalid("mini", &e))
    }

    fn invalid(&self, part: &str, source: &toml::de::Error) -> crate::error::Error {
        StudyError::Hyperparameters {
            study: self.study.id.clone(),
            part: part.to_owned(),
            message: source.to_string().trim().to_owned(),
        }
        .into()
    }

    fn tokenizer(&mut self) -> Result<usize> {
        let needs = match (&self.model.tokenizer, &self.study.pretrain) {
            (TokenizerSource::Train { .. }, Some(pretrain)) => {
                let text = pretrain.task.clone();
                vec![("text".to_owned(), self.normalize(&text)?)]
            }
            (TokenizerSource::Train { .. }, None) => {
                return Err(StudyError::NoPretraining { study: self.study.id.clone(), what: "tokenizer" }.into());
            }
            _ => vec![],
        };
        Ok(self.add(Label::Tokenizer, Work::Tokenizer(()), needs))
    }

    pub(super) fn tokenize(&mut self, name: &str) -> Result<usize> {
        let canonical = self.normalize(name)?;
        let tokenizer = self.tokenizer()?;
        let needs = vec![("canonical".to_owned(), canonical), ("tokenizer".to_owned(), tokenizer)];
        let work = Work::Tokenize(OfTask { task: name.to_owned() });
        Ok(self.add(Label::Tokenize(name.to_owned()), work, needs))
    }

    fn hyperparameters(&self, table: toml::Table, part: &str) -> Result<Box<Hyperparameters>> {
        toml::Value::Table(table).try_into().map(Box::new).map_err(|e| self.invalid(part, &e))
    }

    /// That tasks which share a head have one format and one list of labels.
    fn check_heads(&self, heads: &BTreeMap<String, String>) -> Result<()> {
        let mut first: BTreeMap<&str, &Task> = BTreeMap::new();
        for (name, head) in heads {
            let task = self.task(name)?;
            let other = *first.entry(head).or_insert(task);
            let open = task.open_labels || other.open_labels;
            if head_of(task.format) != head_of(other.format)
                || task.labels != other.labels
                || (open && task.id != other.id)
            {
                let (study, head) = (self.study.id.clone(), head.clone());
                return Err(StudyError::Heads { study, head, one: other.id.clone(), other: task.id.clone() }.into());
            }
        }
        Ok(())
    }

    fn train(
        &mut self,
        label: Label,
        phase: Phase,
        tasks: &[String],
        table: toml::Table,
        seed: u64,
        parent: Option<usize>,
    ) -> Result<usize> {
        let part = label.to_string();
        let hyperparameters = self.hyperparameters(table, &part)?;
        let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
        hyperparameters.check(&names).map_err(|e| StudyError::Hyperparameters {
            study: self.study.id.clone(),
            part,
            message: e.to_string(),
        })?;
        let mut needs = vec![("tokenizer".to_owned(), self.tokenizer()?)];
        for task in tasks {
            needs.push((tokens_input(task), self.tokenize(task)?));
        }
        needs.extend(parent.map(|index| ("parent".to_owned(), index)));
        let heads = self.study.shared_heads(tasks);
        self.check_heads(&heads)?;
        let work = Work::Train(train::Plan { phase, tasks: tasks.to_vec(), heads, hyperparameters, seed });
        Ok(self.add(label, work, needs))
    }

    /// The pretrained encoder; none where it comes from outside.
    fn pretrained(&mut self) -> Result<Option<usize>> {
        match (&self.model.encoder, self.study.pretrain.clone()) {
            (EncoderSource::FromScratch(_), None) => {
                Err(StudyError::NoPretraining { study: self.study.id.clone(), what: "encoder" }.into())
            }
            (_, None) => Ok(None),
            (_, Some(pretrain)) => {
                let mut table = self.study.defaults.clone();
                table.extend(pretrain.hyperparameters);
                let seed = self.study.seeds[0];
                self.train(Label::Pretrain, Phase::Pretrain, &[pretrain.task], table, seed, None).map(Some)
            }
        }
    }

    fn grid(&mut self) -> Result<Vec<GridCell>> {
        let mut cells = Vec::new();
        let study = self.study;
        let pretrained = self.pretrained()?;
        for target in &study.targets {
            cells.push(self.chance_cell(target)?);
        }
        for &seed in &study.seeds {
            for row in &study.order {
                let mut trainings: Vec<usize> = pretrained.into_iter().collect();
                let tasks = &study.intermediate[row];
                if !tasks.is_empty() {
                    let table = study.layered(&study.intermediate_phase, row);
                    let label = Label::Intermediate { row: row.clone(), seed };
                    let node = self.train(label, Phase::Intermediate, tasks, table, seed, pretrained)?;
                    trainings.push(node);
                }
                for target in &study.targets {
                    cells.push(self.cell(row, target, seed, trainings.clone())?);
                }
            }
        }
        Ok(cells)
    }

    fn chance_cell(&mut self, target: &str) -> Result<GridCell> {
        let seed = self.study.seeds[0];
        let mut needs = vec![("gold".to_owned(), self.normalize(target)?)];
        if let Some(train) = self.task(target)?.training_task().map(str::to_owned) {
            needs.push(("train".to_owned(), self.normalize(&train)?));
        }
        let work = Work::Baseline(baseline::Plan { task: target.to_owned(), seed });
        let predict = self.add(Label::Baseline(target.to_owned()), work, needs);
        let at = Coordinates { target: self.task(target)?.into(), row: CHANCE.to_owned(), seed };
        let score = self.score(Place::chance(at.target.clone()), predict)?;
        Ok(GridCell { at, predict, score, trainings: vec![] })
    }

    fn cell(&mut self, row: &str, target: &str, seed: u64, mut trainings: Vec<usize>) -> Result<GridCell> {
        let study = self.study;
        let at = Coordinates { target: self.task(target)?.into(), row: row.to_owned(), seed };
        let place = Place::from(&at);
        let mut model = trainings.last().copied();
        if let Some(train) = self.task(target)?.training_task().map(str::to_owned) {
            let table = study.layered(&study.target_phase, target);
            // XQuAD and MLQA share a training task: with equal hyperparameters they share the training as well.
            let node = self.train(Label::Target(place.clone()), Phase::Target, &[train], table, seed, model)?;
            trainings.push(node);
            model = Some(node);
        }
        let tokens = self.tokenize(target)?;
        let mut needs = vec![("tokens".to_owned(), tokens)];
        needs.extend(model.map(|node| ("model".to_owned(), node)));
        let (task, label) = (target.to_owned(), Label::Predict(place.clone()));
        let predict = if self.task(target)?.format == Format::SentenceRetrieval {
            let work = Work::Embed(OfTask { task: task.clone() });
            let embed = self.add(Label::Embed(place.clone()), work, needs);
            self.add(label, Work::Retrieve(OfTask { task }), vec![("embeddings".to_owned(), embed)])
        } else {
            needs.push(("gold".to_owned(), self.normalize(target)?));
            self.add(label, Work::Predict(OfTask { task }), needs)
        };
        let score = self.score(place, predict)?;
        Ok(GridCell { at, predict, score, trainings })
    }

    fn score(&mut self, place: Place, predict: usize) -> Result<usize> {
        let needs =
            vec![("predictions".to_owned(), predict), ("gold".to_owned(), self.normalize(place.target.as_str())?)];
        let work = Work::Score(OfTask { task: place.target.to_string() });
        Ok(self.add(Label::Score(place), work, needs))
    }

    /// One node that reads the scores of all cells.
    fn analyze(&mut self, cells: &[GridCell]) {
        let input = |cell: &GridCell| self.nodes[cell.score].label.to_string();
        let scored = |cell: &GridCell| ScoredCell { input: input(cell), at: cell.at.clone() };
        let needs = cells.iter().map(|cell| (input(cell), cell.score)).collect();
        let work = Work::Analyze(analyze::Plan { cells: cells.iter().map(scored).collect() });
        self.add(Label::Analyze, work, needs);
    }
}
