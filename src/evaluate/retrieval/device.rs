//! Tiles on a GPU: each is one matrix product, out of which every row and every column takes its best, round by round.

use std::sync::atomic::AtomicBool;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::lists::Met;
use super::{Block, SideLists, Tile};
use crate::error::Result;
use crate::model::ModelError;
use crate::model::failure;
use crate::model::weights::values;
use crate::progress::check;

/// The largest tile: 256 MiB of products, which every GPU takes as one buffer and which keep it busy for a while.
const ROWS: usize = 4_096;
const COLUMNS: usize = 16_384;

/// The tile of a search.
pub(super) fn tile(rows: usize, columns: usize) -> Tile {
    Tile { rows: rows.min(ROWS), columns: columns.min(COLUMNS) }
}

/// Lets all queries of a block and all index rows of another meet.
///
/// # Errors
/// A device that fails, or `stop`.
pub(super) fn meet(
    device: &Device,
    tile: Tile,
    [queries, index]: [&Block<'_>; 2],
    lists: &[SideLists; 2],
    advance: &dyn Fn(usize),
    stop: &AtomicBool,
) -> Result<()> {
    let upload = |block: &Block<'_>, first: usize, rows: usize| -> Tensor<2> {
        let dim = block.values.len() / block.rows;
        let values = block.values[first * dim..][..rows * dim].to_vec();
        Tensor::from_data(TensorData::new(values, [rows, dim]), device)
    };
    for column in (0..index.rows).step_by(tile.columns) {
        let columns = tile.columns.min(index.rows - column);
        let right = upload(index, column, columns).transpose();
        for row in (0..queries.rows).step_by(tile.rows) {
            check(stop)?;
            let rows = tile.rows.min(queries.rows - row);
            let products = upload(queries, row, rows).matmul(right.clone());
            let firsts = [queries.first + row, index.first + column];
            // Along the columns for the rows' lists, along the rows for the columns'.
            for side in [0, 1] {
                best(products.clone(), 1 - side, &lists[side], firsts[side], firsts[1 - side])?;
            }
            advance(rows * columns);
        }
    }
    Ok(())
}

/// Offers the best `products` along `along` to the lists of the other direction, which begin at row `first`; the rows met
/// begin at `first_met`.
fn best(
    products: Tensor<2>,
    along: usize,
    lists: &SideLists,
    first: usize,
    first_met: usize,
) -> Result<(), ModelError> {
    let mut own = lists.tile(first);
    let shape = products.dims();
    let rounds = own.keep().min(shape[along]);
    if rounds == 0 {
        return Ok(());
    }
    let mut wide = [1, 1];
    wide[along] = shape[along];
    let places = Tensor::<1, Int>::arange(0..shape[along] as i64, &products.device()).reshape(wide).expand(shape);
    let (mut scores, mut rows) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    let mut left = products;
    for round in 0..rounds {
        let (highest, place) = left.clone().max_dim_with_indices(along);
        if round + 1 < rounds {
            left = left.mask_fill(places.clone().equal(place.clone().expand(shape)), f32::NEG_INFINITY);
        }
        scores.push(highest);
        rows.push(place);
    }
    let scores = values(Tensor::cat(scores, along))?;
    let rows = Tensor::cat(rows, along).try_into_vec_as::<i64>();
    let rows = rows.map_err(|error| failure("searching", &error.to_string()))?;
    let count = shape[1 - along];
    for place in 0..count {
        for round in 0..rounds {
            let at = if along == 1 { place * rounds + round } else { round * count + place };
            if scores[at] > f32::NEG_INFINITY {
                own.offer(place, Met { score: scores[at], row: (first_met as i64 + rows[at]) as u32 });
            }
        }
    }
    Ok(())
}
