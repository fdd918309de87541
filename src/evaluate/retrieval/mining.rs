//! Mining: which sentences of two sides are translations of each other.
//!
//! As in LASER and XTREME (Artetxe and Schwenk, arXiv 1811.01136): a pair's cosine by itself says little, because some
//! sentences are close to everything; so it is set against the mean of both sentences' cosines to their nearest neighbours on
//! the other side. Each sentence proposes the best of its neighbours by that margin; of the proposals of both sides the
//! highest are taken first, and each sentence is used once.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::{Neighbours, SearchSettings, Vectors, nearest_both};
use crate::error::Result;
use crate::progress::Progress;

/// How a pair's cosine is set against the mean of both sentences' cosines to their neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Margin {
    /// Divided by it; where it is not above zero, the two are no pair.
    #[default]
    Ratio,
    /// Less it.
    Distance,
    /// Not at all: the cosine itself.
    Absolute,
}

impl Margin {
    /// None where a quotient says nothing: by a mean below zero the farthest neighbour would be the best.
    fn of(self, cosine: f64, mean: f64) -> Option<f64> {
        match self {
            Margin::Ratio => (mean > 0.0).then(|| cosine / mean),
            Margin::Distance => Some(cosine - mean),
            Margin::Absolute => Some(cosine),
        }
    }
}

/// What decides which pairs are mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MiningSettings {
    /// Neighbours of a sentence on the other side that it may be paired with, and whose mean counts.
    pub neighbours: usize,
    /// What a pair's score is.
    pub margin: Margin,
}

/// XTREME's.
impl Default for MiningSettings {
    fn default() -> Self {
        Self { neighbours: 4, margin: Margin::Ratio }
    }
}

/// A pair of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mined {
    /// Row of the first side.
    pub source: u32,
    /// Row of the second side.
    pub target: u32,
    /// Its margin.
    pub score: f64,
}

impl Mined {
    /// What the two rows stand for, by [`Vectors::members`], one combination after another: every source with every target, and
    /// with the target's place among its equals, from 0.
    pub(super) fn combinations<'a>(
        &self,
        sides: [&'a Vectors; 2],
    ) -> impl Iterator<Item = (u32, usize, u32)> + use<'a> {
        let targets = sides[1].members(self.target).enumerate();
        let sources = sides[0].members(self.source);
        sources.flat_map(move |source| targets.clone().map(move |(place, target)| (source, place, target)))
    }
}

/// The pairs of scores above zero, the highest first, each row in one pair at most. Both sides should hold each sentence once
/// ([`Collector::distinct`](super::Collector::distinct)) and be scaled to length one.
///
/// # Errors
/// As [`nearest_both`].
pub fn mine(
    sides: [&Vectors; 2],
    settings: MiningSettings,
    search: &SearchSettings,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<Mined>> {
    let found = nearest_both(sides, settings.neighbours, search, progress, stop)?;
    Ok(one_to_one(proposals(&found, sides.map(Vectors::rows), settings.margin)))
}

/// Every row's best neighbour by margin, from both sides; of equal ones the nearer.
fn proposals(found: &[Neighbours; 2], rows: [usize; 2], margin: Margin) -> Vec<Mined> {
    let mean = |side: usize, row: usize| {
        let neighbours = found[side].of(row);
        neighbours.iter().map(|(_, cosine)| cosine).sum::<f64>() / neighbours.len() as f64
    };
    let means: [Vec<f64>; 2] = [0, 1].map(|side| (0..rows[side]).map(|row| mean(side, row)).collect());
    let best = |side: usize, row: usize| {
        let scored = found[side].of(row).iter().filter_map(|(other, cosine)| {
            let mean = (means[side][row] + means[1 - side][*other as usize]) / 2.0;
            Some((*other, margin.of(*cosine, mean)?))
        });
        // Of equals `reduce` keeps the first.
        scored.reduce(|best, next| if next.1 > best.1 { next } else { best })
    };
    let forward =
        (0..rows[0]).filter_map(|row| best(0, row).map(|(target, score)| Mined { source: row as u32, target, score }));
    let backward =
        (0..rows[1]).filter_map(|row| best(1, row).map(|(source, score)| Mined { source, target: row as u32, score }));
    forward.chain(backward).collect()
}

/// The proposals above zero from high to low (among equals by row), each row once.
fn one_to_one(mut proposals: Vec<Mined>) -> Vec<Mined> {
    proposals.retain(|pair| pair.score > 0.0);
    proposals.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.source.cmp(&b.source)).then(a.target.cmp(&b.target)));
    let rows = |of: fn(&Mined) -> u32| proposals.iter().map(of).max().map_or(0, |row| row as usize + 1);
    let mut used = [vec![false; rows(|pair| pair.source)], vec![false; rows(|pair| pair.target)]];
    proposals.retain(|pair| {
        let [source, target] = [pair.source as usize, pair.target as usize];
        let free = !used[0][source] && !used[1][target];
        if free {
            (used[0][source], used[1][target]) = (true, true);
        }
        free
    });
    proposals
}
