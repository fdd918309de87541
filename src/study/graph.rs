//! The graph of a study's stages: what is to be made, from what.

use std::collections::{BTreeMap, BTreeSet};

use super::label::Label;
use super::stage::Work;
use super::stage::overlap::canonical_input;
use crate::task::Coordinates;

/// One stage to run.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique within the graph.
    pub label: Label,
    /// What it does.
    pub work: Work,
    /// Its inputs: name and node.
    pub needs: BTreeMap<String, usize>,
}

/// One cell of the grid: where its predictions and scores come from.
#[derive(Debug, Clone)]
pub struct GridCell {
    /// Which cell.
    pub at: Coordinates,
    /// Node that predicts.
    pub predict: usize,
    /// Node that scores.
    pub score: usize,
    /// Trainings on the way, in order.
    pub trainings: Vec<usize>,
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

    /// The place of the node that is called `label`.
    pub fn place(&self, label: &Label) -> Option<usize> {
        self.nodes.iter().position(|node| node.label == *label)
    }

    /// Narrows profiles and overlap to `tasks` and to what canonical tables alone tell: no tokenizer is needed then.
    pub fn narrow_audit(&mut self, tasks: &BTreeSet<String>) {
        let inputs: BTreeSet<String> = tasks.iter().map(|task| canonical_input(task)).collect();
        for node in &mut self.nodes {
            match &mut node.work {
                Work::Profile(_) => drop(node.needs.remove("tokens")),
                Work::Overlap(plan) => {
                    plan.tasks.retain(|task| tasks.contains(task));
                    node.needs.retain(|name, _| inputs.contains(name));
                }
                _ => {}
            }
        }
    }
}
