//! The graph of a study's stages: what is to be made, from what.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::source::mini::MiniOptions;
use crate::task::Split;
use crate::train::Hyperparameters;

/// What a node of the graph does. Parameters that can change its output are all here, in the task and model files,
/// or in the inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Writes one original dataset's raw files in the mini edition.
    Generate { layout: String, options: MiniOptions },
    /// Raw files to canonical tables, for these languages per split.
    Normalize { task: String, languages: BTreeMap<Split, Vec<String>> },
    /// Trains a Unigram tokenizer, or takes one from a file.
    Tokenizer,
    /// The canonical tables of a task's parts, one after the other.
    Compose { task: String },
    /// Canonical tables to model inputs.
    Tokenize { task: String },
    /// Describes a task's tables, and what the tokenizer makes of them.
    Profile { task: String },
    /// Looks for evaluation data of all tasks in their training data.
    Overlap { tasks: Vec<String> },
    /// Trains an encoder on some tasks: `phase` is `pretrain`, `intermediate` or `target`. `heads` has the shared head of each
    /// task that shares one.
    Train {
        phase: Phase,
        tasks: Vec<String>,
        heads: BTreeMap<String, String>,
        hyperparameters: Box<Hyperparameters>,
        seed: u64,
    },
    /// Embeds the sentences of a retrieval target.
    Embed { task: String },
    /// Searches among them: the predictions of such a target.
    Retrieve { task: String },
    /// Predicts a target's evaluation split in every language.
    Predict { task: String },
    /// Predicts it without a model: the majority, or chance.
    Baseline { task: String, seed: u64 },
    /// Scores predictions against gold.
    Score { task: String },
    /// Compares a study's rows, and aggregates them over its seeds, from the scores of all its cells.
    Analyze { cells: Vec<ScoredCell> },
}

/// A cell of the grid as the analysis of the whole study sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScoredCell {
    /// The name of the input that holds its scores.
    pub input: String,
    /// Column.
    pub target: String,
    /// Row.
    pub intermediate: String,
    /// Repetition.
    pub seed: u64,
}

/// A phase of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Masked-LM pretraining from scratch.
    Pretrain,
    /// Intermediate-task training in English.
    Intermediate,
    /// Fine-tuning on the English target task.
    Target,
}

impl Phase {
    /// The name used in labels and tables.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pretrain => "pretrain",
            Phase::Intermediate => "intermediate",
            Phase::Target => "target",
        }
    }
}

impl Work {
    /// The stage's name in the store.
    pub fn stage(&self) -> &'static str {
        match self {
            Work::Generate { .. } => "generate",
            Work::Normalize { .. } => "normalize",
            Work::Compose { .. } => "compose",
            Work::Tokenizer => "tokenizer",
            Work::Tokenize { .. } => "tokenize",
            Work::Profile { .. } => "profile",
            Work::Overlap { .. } => "overlap",
            Work::Train { .. } => "train",
            Work::Embed { .. } => "embed",
            Work::Retrieve { .. } => "retrieve",
            Work::Predict { .. } => "predict",
            Work::Baseline { .. } => "baseline",
            Work::Score { .. } => "score",
            Work::Analyze { .. } => "analyze",
        }
    }
}

/// One stage to run.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique within the graph: `normalize/mnli`, `target/xnli/mnli/seed-1`.
    pub label: String,
    /// What it does.
    pub work: Work,
    /// Its inputs: name and node.
    pub needs: BTreeMap<String, usize>,
}

/// One cell of the grid: where its predictions and scores come from.
#[derive(Debug, Clone)]
pub struct GridCell {
    /// Row.
    pub intermediate: String,
    /// Column.
    pub target: String,
    /// Repetition.
    pub seed: u64,
    /// Node that predicts.
    pub predict: usize,
    /// Node that scores.
    pub score: usize,
    /// Trainings on the way, with their phase.
    pub trainings: Vec<(Phase, usize)>,
}

/// All stages of a study, each after its inputs.
#[derive(Debug, Clone)]
pub struct Graph {
    /// In an order in which every node comes after what it needs.
    pub nodes: Vec<Node>,
    /// The grid.
    pub cells: Vec<GridCell>,
}

impl Graph {
    /// The nodes that `wanted` picks, with everything they need, in order.
    pub fn closure(&self, wanted: impl Fn(&Node) -> bool) -> Vec<usize> {
        let mut keep: Vec<bool> = self.nodes.iter().map(&wanted).collect();
        for index in (0..self.nodes.len()).rev() {
            if keep[index] {
                self.nodes[index].needs.values().for_each(|&need| keep[need] = true);
            }
        }
        (0..self.nodes.len()).filter(|&index| keep[index]).collect()
    }

    /// Narrows profiles and overlap to `tasks` and to what canonical tables alone tell: no tokenizer is needed then.
    pub fn narrow_audit(&mut self, tasks: &BTreeSet<String>) {
        for node in &mut self.nodes {
            match &mut node.work {
                Work::Profile { .. } => drop(node.needs.remove("tokens")),
                Work::Overlap { tasks: all } => {
                    all.retain(|task| tasks.contains(task));
                    node.needs
                        .retain(|name, _| name.strip_prefix("canonical:").is_some_and(|task| tasks.contains(task)));
                }
                _ => {}
            }
        }
    }
}
