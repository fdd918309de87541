//! Exact search among sentence vectors: nearest neighbours, and mining of translation pairs.
//!
//! Every query is compared with every index row, tile by tile of a matrix product, and what each row and each column of
//! a tile is best at is taken out while the tile is in cache (`cpu`) or on the GPU (`device`). The matrix of similarities
//! never exists: beside the vectors there are only short lists, one a row. Mining needs the neighbours of both sides, and
//! gets both from the one product. Vectors that are too many for memory lie in a scratch file and are read in blocks
//! ([`Vectors`]).
//!
//! What holds throughout:
//!
//! - The products are in 32 bits and choose candidates, a few more than were asked for; the similarities that come out are
//!   computed again in 64 bits in one fixed order, and decide. So the result does not depend on the number of threads, on the
//!   sizes of blocks or on the device, unless more neighbours than are spare ([`SPARE`]) are equal to the last one to within
//!   the rounding of a 32-bit product.
//! - Among equals the lowest row comes first. On the CPU that holds however many equal rows there are: each product of two
//!   vectors is the same bits wherever they stand.

mod chance;
mod cpu;
mod device;
mod file;
mod job;
mod lists;
mod mining;
mod task;
mod vectors;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::error::Result;
use crate::evaluate::EvaluateError;
use crate::model::elementary::vectorised;
use crate::model::{OpenDevice, failure};
use crate::progress::{Progress, check};
use lists::{Lists, Met};

pub use chance::{ChanceRequest, chance};
pub use file::{Embeddings, EmbeddingsFile, SideName};
pub use job::{FileSearch, FileSearched};
pub use mining::{Margin, Mined, MiningSettings, mine};
pub use task::{Method, RetrieveOutcome, RetrieveRequest, retrieve};
pub use vectors::{Collector, Room, Similarity, Vectors};

/// Candidates that are kept beyond those asked for.
pub const SPARE: usize = 4;

/// Queries whose similarities are computed again together.
const EXACT_BLOCK: usize = 256;
/// Bytes of index rows that are read from a scratch file at a time.
const PANEL_BYTES: u64 = 64 << 20;

/// How to search; none of it changes the result.
#[derive(Debug, Clone)]
pub struct SearchSettings {
    /// Where the products are computed.
    pub device: OpenDevice,
    /// Bytes that all of a search may take. Half of them are for the vectors as they were given ([`Room`]), half for the lists of
    /// neighbours and, in what these leave, for blocks of vectors read from scratch files.
    pub memory: u64,
}

/// The nearest of the other side for each row, the best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    count: usize,
    found: Vec<(u32, f64)>,
}

impl Neighbours {
    /// How many each row has: as many as were asked for, or as the other side has rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Rows and similarities of the neighbours of `row`.
    pub fn of(&self, row: usize) -> &[(u32, f64)] {
        &self.found[row * self.count..][..self.count]
    }
}

/// The `count` nearest index rows of every query.
///
/// # Errors
/// Sides of different widths, a side without rows, more neighbours than the memory has room for, a scratch file or device that
/// fails, or `stop`.
pub fn nearest(
    queries: &Vectors,
    index: &Vectors,
    count: usize,
    settings: &SearchSettings,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Neighbours> {
    let [found, _] = Search { sides: [queries, index], settings, progress, stop }.run([count, 0])?;
    Ok(found)
}

/// The `count` nearest rows of each side's rows among the other side's, from one product of both.
///
/// # Errors
/// As [`nearest`].
pub fn nearest_both(
    sides: [&Vectors; 2],
    count: usize,
    settings: &SearchSettings,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<[Neighbours; 2]> {
    Search { sides, settings, progress, stop }.run([count; 2])
}

/// Rows of each side that are multiplied together.
#[derive(Debug, Clone, Copy)]
struct Tile {
    rows: usize,
    columns: usize,
}

/// What the rows of one side have met, a list for as many rows as a tile has.
struct SideLists {
    height: usize,
    parts: Vec<Mutex<Lists>>,
}

impl SideLists {
    fn new(rows: usize, height: usize, keep: usize) -> Self {
        let parts = (0..rows).step_by(height).map(|first| Mutex::new(Lists::new(height.min(rows - first), keep)));
        Self { height, parts: parts.collect() }
    }

    /// The lists of the tile that begins at row `first`.
    fn tile(&self, first: usize) -> MutexGuard<'_, Lists> {
        self.parts[first / self.height].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, row: usize) -> Vec<Met> {
        self.tile(row).of(row % self.height).collect()
    }
}

/// Rows of one side that are in memory.
struct Block<'a> {
    /// The number of the first.
    first: usize,
    rows: usize,
    values: &'a [f32],
}

struct Search<'a> {
    sides: [&'a Vectors; 2],
    settings: &'a SearchSettings,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
}

impl Search<'_> {
    /// For each side the `counts` nearest of the other; none where that is 0.
    fn run(&self, counts: [usize; 2]) -> Result<[Neighbours; 2]> {
        let [rows, columns] = self.sides.map(Vectors::rows);
        let [dim, other] = self.sides.map(Vectors::dim);
        if rows == 0 || columns == 0 {
            return Err(EvaluateError::NoVectors.into());
        }
        if dim != other {
            return Err(EvaluateError::Widths { queries: dim, index: other }.into());
        }
        let counts = [counts[0].min(columns), counts[1].min(rows)];
        let on_gpu = self.settings.device.is_gpu();
        let tile = if on_gpu { device::tile(rows, columns) } else { cpu::tile(rows, columns) };
        let keep = |count: usize, most: usize| if count == 0 { 0 } else { (count + SPARE).min(most) };
        let keep = [keep(counts[0], columns), keep(counts[1], rows)];
        let memory = self.room_beside(keep, counts)?;
        let lists = [SideLists::new(rows, tile.rows, keep[0]), SideLists::new(columns, tile.columns, keep[1])];
        self.progress.start(rows as u64 * columns as u64, "pairs");
        let done = AtomicU64::new(0);
        let advance = |pairs: usize| {
            let pairs = pairs as u64;
            self.progress.advance(done.fetch_add(pairs, Ordering::Relaxed) + pairs, "");
        };
        let held = memory / size_of::<f32>() as u64 / dim as u64;
        let panel = PANEL_BYTES.min(memory / 4) / size_of::<f32>() as u64 / dim as u64;
        for block in blocks(self.sides[0], tile.rows, held.saturating_sub(panel)) {
            let values = self.sides[0].block(block.clone())?;
            let queries = Block { first: block.start, rows: block.len(), values: &values };
            for panel in blocks(self.sides[1], tile.columns, panel) {
                check(self.stop)?;
                let values = self.sides[1].block(panel.clone())?;
                let index = Block { first: panel.start, rows: panel.len(), values: &values };
                if on_gpu {
                    device::meet(&self.settings.device.device, tile, [&queries, &index], &lists, &advance, self.stop)?;
                } else {
                    cpu::meet(tile, [&queries, &index], &lists, &advance, self.stop);
                }
            }
        }
        check(self.stop)?;
        let found = [self.exact(0, &lists[0], counts[0])?, self.exact(1, &lists[1], counts[1])?];
        Ok(found)
    }

    /// The bytes that blocks of vectors may take beside the lists of candidates, and of what comes out of them.
    fn room_beside(&self, keep: [usize; 2], counts: [usize; 2]) -> Result<u64, EvaluateError> {
        let row =
            |side: usize| size_of::<f32>() + keep[side] * size_of::<Met>() + counts[side] * size_of::<(u32, f64)>();
        let lists: u64 = [0, 1].map(|side| self.sides[side].rows() as u64 * row(side) as u64).iter().sum();
        let given = self.settings.memory;
        (given / 2).checked_sub(lists).ok_or(EvaluateError::Neighbours { needed: 2 * lists, given })
    }

    /// The `count` best of each row's candidates, by similarities computed again.
    fn exact(&self, side: usize, lists: &SideLists, count: usize) -> Result<Neighbours> {
        if count == 0 {
            return Ok(Neighbours { count, found: Vec::new() });
        }
        let (own, other) = (self.sides[side], self.sides[1 - side]);
        let mut found = vec![(0, 0.0); own.rows() * count];
        found.par_chunks_mut(EXACT_BLOCK * count).enumerate().try_for_each(|(block, found)| {
            check(self.stop)?;
            let first = block * EXACT_BLOCK;
            let vectors = own.block(first..first + found.len() / count)?;
            for (row, found) in found.chunks_exact_mut(count).enumerate() {
                let vector = &vectors[row * own.dim()..][..own.dim()];
                let candidates = lists.of(first + row).into_iter().map(|met| {
                    let place = met.row as usize;
                    Ok((met.row, dot(vector, &other.block(place..place + 1)?)))
                });
                let mut candidates = candidates.collect::<Result<Vec<(u32, f64)>, EvaluateError>>()?;
                candidates.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(a.cmp(b)));
                // Fewer come out of products that are not numbers, which a device may give.
                let best = candidates.get(..count);
                let best = best.ok_or_else(|| failure("searching", "some of its products are not numbers"))?;
                found.copy_from_slice(best);
            }
            Ok::<(), crate::error::Error>(())
        })?;
        Ok(Neighbours { count, found })
    }
}

/// The rows of one side in blocks of so many (whole tiles, and one at least); all at once where they are in memory anyway.
fn blocks(side: &Vectors, tile: usize, rows: u64) -> impl Iterator<Item = Range<usize>> + use<> {
    let all = side.rows();
    let rows = usize::try_from(rows).unwrap_or(usize::MAX) / tile * tile;
    let step = if side.in_memory() { all } else { rows.max(tile) };
    (0..all).step_by(step).map(move |first| first..all.min(first.saturating_add(step)))
}

vectorised! {
    /// The inner product, in [`LANES`] sums of 64 bits that are added in order.
    fn dot(a: &[f32], b: &[f32]) -> f64 {
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let mut sums = [0.0f64; LANES];
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                sums[lane] += f64::from(a[lane]) * f64::from(b[lane]);
            }
        }
        let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        sums.iter().sum::<f64>() + rest
    }
}

/// Partial sums of an inner product.
const LANES: usize = 16;

#[cfg(test)]
mod tests;
