//! Tiles on all cores: each is one matrix product of one thread, out of which rows and columns take what they can use.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::lists::{Lists, Met};
use super::{Block, SideLists, Tile};
use crate::model::elementary::vectorised;
use crate::model::{Matrix, multiply};

/// The largest tile: its products, and the rows that it is made of, stay in a core's cache and its share of the cache behind.
const ROWS: usize = 768;
const COLUMNS: usize = 480;
/// Tiles are multiples of this in both directions, as the kernels of the matrix product are: every pair of vectors is
/// multiplied in the same way wherever it stands.
const STEP: usize = 48;
/// Products that are looked at together.
const CHUNK: usize = 32;

/// The tile of a search: smaller only where a side has fewer rows.
pub(super) fn tile(rows: usize, columns: usize) -> Tile {
    let fit = |count: usize, most: usize| most.min(count.next_multiple_of(STEP));
    Tile { rows: fit(rows, ROWS), columns: fit(columns, COLUMNS) }
}

/// Lets all queries of a block and all index rows of another meet. After `stop` some have not met.
pub(super) fn meet(
    tile: Tile,
    [queries, index]: [&Block<'_>; 2],
    lists: &[SideLists; 2],
    advance: &(dyn Fn(usize) + Sync),
    stop: &AtomicBool,
) {
    let (down, across) = (queries.rows.div_ceil(tile.rows), index.rows.div_ceil(tile.columns));
    let make = || Workspace { products: vec![0.0; tile.rows * tile.columns], ..Workspace::default() };
    (0..down * across).into_par_iter().for_each_init(make, |workspace, number| {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Along diagonals: tiles that are worked on at the same time share neither rows nor columns, hence no list.
        let (row, column) = (number % down, (number / down + number % down) % across);
        let pairs = workspace.tile(tile, (queries, row * tile.rows), (index, column * tile.columns), lists);
        advance(pairs);
    });
}

/// One thread's memory.
#[derive(Default)]
struct Workspace {
    products: Vec<f32>,
    /// The rows and columns of a tile that is not full, filled up with zeros.
    padded: [Vec<f32>; 2],
}

impl Workspace {
    /// Lets the tile that begins at these rows of the two blocks meet; returns the number of pairs.
    fn tile(
        &mut self,
        tile: Tile,
        (queries, row): (&Block<'_>, usize),
        (index, column): (&Block<'_>, usize),
        lists: &[SideLists; 2],
    ) -> usize {
        let dim = queries.values.len() / queries.rows;
        let (rows, columns) = (tile.rows.min(queries.rows - row), tile.columns.min(index.rows - column));
        let [left, right] = &mut self.padded;
        let left = whole(&queries.values[row * dim..][..rows * dim], tile.rows * dim, left);
        let right = whole(&index.values[column * dim..][..columns * dim], tile.columns * dim, right);
        let left = Matrix::new(left, tile.rows, dim);
        let right = Matrix::new(right, tile.columns, dim).transposed();
        multiply(&mut self.products, left, right);
        let (first_row, first_column) = (queries.first + row, index.first + column);
        let mut own = lists[0].tile(first_row);
        let mut other = lists[1].tile(first_column);
        for (row, line) in self.products.chunks_exact(tile.columns).take(rows).enumerate() {
            take(&line[..columns], (row, first_row), first_column, &mut own, &mut other);
        }
        rows * columns
    }
}

/// `values`, followed by zeros up to `length`.
fn whole<'a>(values: &'a [f32], length: usize, padded: &'a mut Vec<f32>) -> &'a [f32] {
    if values.len() == length {
        return values;
    }
    padded.clear();
    padded.extend_from_slice(values);
    padded.resize(length, 0.0);
    padded
}

/// Offers the products of one query with some index rows to the lists of both, where they may be of use.
fn take(line: &[f32], (row, first_row): (usize, usize), first_column: usize, own: &mut Lists, other: &mut Lists) {
    let floor = own.floors()[row];
    let mut useful = useful_chunks(line, floor, other.floors());
    while useful != 0 {
        let start = useful.trailing_zeros() as usize * CHUNK;
        useful &= useful - 1;
        for (place, &score) in line.iter().enumerate().skip(start).take(CHUNK) {
            if score >= own.floors()[row] {
                own.offer(row, Met { score, row: (first_column + place) as u32 });
            }
            if score >= other.floors()[place] {
                other.offer(place, Met { score, row: (first_row + row) as u32 });
            }
        }
    }
}

vectorised! {
    /// The chunks of `line`, a bit each, that have a number not below `floor` or not below its own place's of `floors`.
    fn useful_chunks(line: &[f32], floor: f32, floors: &[f32]) -> u32 {
        let floors = &floors[..line.len()];
        let (chunks, rest) = line.as_chunks::<CHUNK>();
        let (floor_chunks, floor_rest) = floors.as_chunks::<CHUNK>();
        let mut useful = 0;
        for (place, (chunk, floors)) in chunks.iter().zip(floor_chunks).enumerate() {
            let mut any = 0u32;
            for lane in 0..CHUNK {
                any |= u32::from(chunk[lane] >= floor) | u32::from(chunk[lane] >= floors[lane]);
            }
            useful |= u32::from(any != 0) << place;
        }
        let any = rest.iter().zip(floor_rest).any(|(score, own)| *score >= floor || score >= own);
        if any { useful | 1 << chunks.len() } else { useful }
    }
}
